//! What a site says to nobody: tables, flags and aliases that are not looked at.

use grammar::Diagnostic;
use policy::alias::ALIAS_DOMAINS;
use policy::mapping::FlagSet;
use policy::reverse::USE_REVERSE_DATABASE;
use policy::site::Site;

use crate::access::{Point, unknown_flags};

/// Policy points that are known, and not asked in this version.
const NOT_ASKED: &[Point] = &[Point::EtrnAccess, Point::AuthRewrite, Point::AuthAccess];

/// Other tables of the product that are known, and not probed in this version.
const NOT_PROBED: &[&str] = &[
    "PERSONAL_NAMES",
    "COMMENT_STRINGS",
    "CHARSET-CONVERSION",
    "CONVERSIONS",
    "NOTIFICATION_LANGUAGE",
    "DISPOSITION_LANGUAGE",
    "MESSAGE-SAVE-COPY",
    "BURL_ACCESS",
    "SPF_LOCAL",
    "X-ATT-NAMES",
    "AUTH_DEACCESS",
    "MX_ACCESS",
];

/// Tables that are no policy points and are probed.
const PROBED: &[&str] = &["FORWARD", "INTERNAL_IP", "LOG_ACTION", "REVERSE"];

/// Says which tables are not probed, and which flags of probed ones have no meaning.
pub fn unprobed(site: &Site) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (number, table) in site.program.tables().iter().enumerate() {
        let name = table.name.to_ascii_uppercase();
        let point = Point::by_table(&name);
        if point.is_some_and(|p| NOT_ASKED.contains(&p)) || NOT_PROBED.contains(&name.as_str()) {
            found.push(
                Diagnostic::warning(
                    "M020",
                    table.span,
                    format!("table {name}: recognised, not probed in this version"),
                )
                .help("nothing of it takes effect yet, unless other tables call it"),
            );
        }
        if point.is_none() {
            let called = site
                .program
                .tables()
                .iter()
                .any(|t| t.calls().any(|n| n as usize == number))
                || site.program.rules.calls(&name);
            if name == "REVERSE" && site.options.number("USE_REVERSE_DATABASE", USE_REVERSE_DATABASE) == 0 {
                found.push(
                    Diagnostic::warning(
                        "M022",
                        table.span,
                        "USE_REVERSE_DATABASE=0: no address is reversed",
                    )
                    .help("leave that option out of option.dat, or give it another value"),
                );
            }
            if !called && !PROBED.contains(&name.as_str()) && !NOT_PROBED.contains(&name.as_str()) {
                let mut d =
                    Diagnostic::warning("M022", table.span, format!("nothing looks into table {name}"));
                let points = Point::ALL.iter().map(|p| p.table());
                let known: Vec<String> = points.chain(PROBED.iter().copied()).map(String::from).collect();
                d = match policy::spelling::nearest(&name, known.iter()) {
                    Some(near) => d.help(format!("did you mean `{near}`?")),
                    None => {
                        d.help("call it from another table, as `$|TABLE;argument|`, or from a rewrite rule")
                    }
                };
                found.push(d);
            }
            continue;
        }
        for span in table.unguarded() {
            found.push(
                Diagnostic::warning(
                    "M023",
                    span,
                    "where this fails, the look-up ends here and nothing is refused",
                )
                .label("no `$C` to the left of it")
                .help("write `$C` in front of it to go on with the next entry"),
            );
        }
        for (flag, span) in table.flags() {
            if flag == 'U' {
                let message = format!("flag `$U` of {name}: recognised, no effect in this version");
                let help = "`sluice explain --last` shows what a session did";
                found.push(Diagnostic::note("M024", span, message).help(help));
            }
            let mut set = FlagSet::default();
            set.insert(flag);
            if !unknown_flags(&name, set).is_empty() {
                found.push(
                    Diagnostic::warning("M021", span, format!("flag `${flag}` has no meaning in {name}"))
                        .help("write `$$` for a dollar sign; see the table of flags in docs/block-relays.md"),
                );
            }
        }
    }
    found
}

/// Says which aliases are never looked up.
pub fn unreachable_aliases(site: &Site) -> Vec<Diagnostic> {
    let domains = site.options.number("ALIAS_DOMAINS", ALIAS_DOMAINS);
    let mut unreachable: Vec<_> = site.aliases.unreachable(domains).collect();
    unreachable.sort_by_key(|(_, span)| (span.file.0, span.start));
    unreachable
        .into_iter()
        .map(|(name, span)| {
            let message = format!("alias `{name}` is never looked up: ALIAS_DOMAINS is {domains}");
            let help = match name.split_once('@') {
                None => {
                    format!("write the whole address, `{name}@` and its domain, or add 1 to ALIAS_DOMAINS")
                }
                Some(("*", _)) => "add 4 to ALIAS_DOMAINS".to_string(),
                Some(_) => "add 2 to ALIAS_DOMAINS".to_string(),
            };
            Diagnostic::warning("A006", span, message).help(help)
        })
        .collect()
}
