//! What a mapping file says to nobody: tables and flags that this version does not look at.

use grammar::Diagnostic;
use policy::mapping::FlagSet;
use policy::site::Site;

use crate::access::{Point, unknown_flags};

/// Policy points that are known, and not asked in this version.
const NOT_ASKED: &[Point] = &[
    Point::IpAccess,
    Point::DequeueAccess,
    Point::TlsAccess,
    Point::EtrnAccess,
    Point::AuthRewrite,
    Point::AuthAccess,
];

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

/// Says which tables are not probed, and which flags of probed ones have no meaning.
pub fn unprobed(site: &Site) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for table in site.program.tables() {
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
            continue;
        }
        for (flag, span) in table.flags() {
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
