//! What an administrator would want to be told of rewrite rules that load: rules that never run, that always
//! fail, or that lead nowhere.

use std::collections::{HashMap, HashSet};

use grammar::Diagnostic;
use grammar::Span;
use grammar::imta::{ImtaFile, Match, Part, PartKind, RewriteRule};

use super::Rules;
use crate::spelling::suggest;

/// Longest tag that is looked for at the beginning of a pattern, in bytes.
const TAG_LIMIT: usize = 128;

/// Reports what is wrong with the rules of a file.
pub(super) fn check(
    file: &ImtaFile,
    rules: &Rules,
    table_exists: &dyn Fn(&str) -> bool,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let tags = Tags::of(file);
    let mut certain: HashMap<String, Span> = HashMap::new();
    for rule in &file.rules {
        conditions(rule, table_exists, diagnostics);
        pattern(rule, &tags, diagnostics);
        structure(rule, diagnostics);
        let key = rule.pattern.to_ascii_lowercase();
        if let Some(first) = certain.get(&key) {
            diagnostics.push(
                Diagnostic::warning("R017", rule.span, "this rule is never tried")
                    .also(
                        *first,
                        "this rule has the same pattern, stands before it and always applies",
                    )
                    .help("remove one of them, or give the first a condition"),
            );
        } else if always_applies(rule) {
            certain.insert(key, rule.span);
        }
    }
    destinations(file, rules, diagnostics);
    channels(file, diagnostics);
}

/// Conditions that exclude one another, and tables that do not exist.
fn conditions(rule: &RewriteRule, table_exists: &dyn Fn(&str) -> bool, diagnostics: &mut Vec<Diagnostic>) {
    let has = |m: Match| rule.template.iter().any(|p| p.kind == PartKind::When(m));
    for (a, b, names) in [
        (Match::Envelope, Match::Header, "`$E` and `$B`"),
        (Match::Forward, Match::Backward, "`$F` and `$R`"),
    ] {
        if has(a) && has(b) {
            diagnostics.push(
                Diagnostic::warning(
                    "R010",
                    rule.span,
                    format!("this rule never applies: {names} exclude each other"),
                )
                .help("remove one of them, or write two rules"),
            );
        }
    }
    for part in &rule.template {
        if let PartKind::Mapping { table, .. } = &part.kind
            && !table_exists(table)
        {
            diagnostics.push(
                Diagnostic::warning(
                    "R011",
                    part.span,
                    format!("there is no mapping table `{table}`: this rule always fails"),
                )
                .help("define the table in the mapping file"),
            );
        }
    }
}

/// The tags that rules set.
struct Tags {
    /// In lower case.
    set: HashSet<String>,
    /// A result that is expanded again may set others.
    open: bool,
}

impl Tags {
    fn of(file: &ImtaFile) -> Self {
        let parts = || file.rules.iter().flat_map(|r| &r.template);
        Tags {
            set: parts()
                .filter_map(|p| match &p.kind {
                    PartKind::Tag(tag) if !tag.is_empty() => Some(tag.to_ascii_lowercase()),
                    _ => None,
                })
                .collect(),
            open: parts().any(is_expanded),
        }
    }

    /// What may follow a tag in a pattern; the whole pattern is none of them.
    fn rests<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = &'a str> {
        let ends = pattern.char_indices().map(|(i, _)| i).skip(1);
        ends.take_while(|i| *i <= TAG_LIMIT && !self.set.is_empty())
            .filter(|i| self.set.contains(&pattern[..*i]))
            .map(|i| &pattern[i..])
    }
}

/// A result that is scanned again can hold anything.
fn is_expanded(part: &Part) -> bool {
    matches!(part.kind, PartKind::General(_) | PartKind::Mapping { .. })
}

/// Patterns that the scan never asks for, and tags that no rule sets.
fn pattern(rule: &RewriteRule, tags: &Tags, diagnostics: &mut Vec<Diagnostic>) {
    let pattern = rule.pattern.to_ascii_lowercase();
    let mut rests = tags.rests(&pattern).peekable();
    if rests.peek().is_none()
        && let Some((tag, rest)) = pattern.split_once('|')
    {
        if !tags.open {
            diagnostics.push(
                Diagnostic::warning(
                    "R018",
                    rule.pattern_span,
                    format!("this rule is never tried: no rule sets the tag `{tag}|`"),
                )
                .help(format!("set it with `$T{tag}|` in the template of another rule")),
            );
        }
        say_unasked(rule, unasked(rest), diagnostics);
        return;
    }
    match unasked(&pattern) {
        None => {}
        why if rests.all(|rest| unasked(rest).is_some()) => say_unasked(rule, why, diagnostics),
        _ => {}
    }
}

fn say_unasked(rule: &RewriteRule, why: Option<&str>, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(why) = why {
        diagnostics.push(
            Diagnostic::warning(
                "R015",
                rule.pattern_span,
                format!("no host is ever looked for under this pattern: {why}"),
            )
            .help("patterns are names, `.suffix`, `*.suffix`, `[literal]`, `.`, `$*`, `$%` and `$!`"),
        );
    }
}

/// Why the scan never asks for a pattern (rewrite specification 4.1, 4.2, 4.8); `None`: it may.
fn unasked(pattern: &str) -> Option<&'static str> {
    if matches!(pattern, "$*" | "$%" | "$!" | ".") {
        return None;
    }
    if let Some(inner) = pattern.strip_prefix('[') {
        let Some((inner, after)) = inner.split_once(']') else {
            return Some("the literal is not closed");
        };
        if inner.contains('*') && inner.split('.').any(|part| part != "*") {
            return Some("in a literal all elements are `*`, or none");
        }
        if !after.is_empty() && (!after.starts_with('.') || inner.is_empty() || inner.contains('*')) {
            return Some("nothing follows such a literal");
        }
        return None;
    }
    if pattern.contains(['@', '%', '!', '<', '>', '(', ')', '"', ',', ';', ':', '\\']) {
        return Some("a host name does not hold such a character");
    }
    let (suffix, name) = match pattern.strip_prefix('.') {
        Some(name) => (true, name),
        None => (false, pattern),
    };
    let mut named = false;
    for label in name.split('.') {
        match label {
            "" => return Some("it has an empty component"),
            "*" if suffix => return Some("`*` does not follow a leading dot"),
            "*" if named => return Some("only leading components can be `*`"),
            "*" => {}
            label if label.contains('*') => return Some("`*` stands for a whole component"),
            _ => named = true,
        }
    }
    None
}

/// The fields of a template, with the separators between them; `None` where results decide about them.
fn fields(template: &[Part]) -> Option<(String, Vec<Vec<&Part>>)> {
    let (mut separators, mut fields) = (String::new(), vec![Vec::new()]);
    for part in template {
        match &part.kind {
            PartKind::At | PartKind::Percent => {
                separators.push(if part.kind == PartKind::At { '@' } else { '%' });
                fields.push(Vec::new());
            }
            PartKind::CheckNow | PartKind::Temporary(_) => return None,
            _ if is_expanded(part) => return None,
            _ => {
                if let Some(field) = fields.last_mut() {
                    field.push(part);
                }
            }
        }
    }
    Some((separators, fields))
}

fn is_error_text(template: &[Part]) -> bool {
    matches!(
        template,
        [Part {
            kind: PartKind::ErrorText { .. },
            ..
        }]
    )
}

/// Templates that build no address.
fn structure(rule: &RewriteRule, diagnostics: &mut Vec<Diagnostic>) {
    if is_error_text(&rule.template) {
        return;
    }
    let Some((separators, fields)) = fields(&rule.template) else {
        return;
    };
    let why = if !super::FORMS.contains(&separators.as_str()) {
        "it has none of the forms `A%B`, `A@B`, `A%B@C`, `A@B@C` and `A@B@C@D`"
    } else if fields.iter().take(2).any(|f| !f.iter().any(|p| puts_in(&p.kind))) {
        "the local part or the host is empty"
    } else {
        return;
    };
    diagnostics.push(
        Diagnostic::warning(
            "R016",
            rule.span,
            format!("this rule always fails: its template builds no address: {why}"),
        )
        .help("write for example `$U%$H@tcp_local-daemon`; a literal `@` or `%` is `$@`, `$%`"),
    );
}

/// Whether a part may put text in.
fn puts_in(kind: &PartKind) -> bool {
    match kind {
        PartKind::Text(text) => !text.is_empty(),
        PartKind::When(_)
        | PartKind::Source { .. }
        | PartKind::Destination { .. }
        | PartKind::Internal { .. }
        | PartKind::DomainCheck { .. }
        | PartKind::Case(_)
        | PartKind::QuoteLdap
        | PartKind::Tag(_)
        | PartKind::ErrorText { .. }
        | PartKind::DestinationHost => false,
        _ => true,
    }
}

/// Whether nothing in a rule can fail.
fn always_applies(rule: &RewriteRule) -> bool {
    if is_error_text(&rule.template) {
        return true;
    }
    let Some((separators, fields)) = fields(&rule.template) else {
        return false;
    };
    let harmless = |part: &&Part| {
        matches!(
            part.kind,
            PartKind::Text(_)
                | PartKind::Local(_)
                | PartKind::Domain(_)
                | PartKind::Host(_)
                | PartKind::Literal
                | PartKind::Case(_)
                | PartKind::QuoteLdap
                | PartKind::Unique
                | PartKind::Tag(_)
                | PartKind::ErrorText { .. }
                | PartKind::DestinationHost
        )
    };
    // the part that matched is there, and what it left, for these forms of pattern
    let pattern = rule.pattern.as_str();
    let matched = !pattern.starts_with(['$', '*']) && !pattern.contains('|');
    let left = matched && (pattern.starts_with('.') || pattern == "[]");
    let certain = |part: &&Part| match &part.kind {
        PartKind::Text(text) => !text.is_empty(),
        PartKind::Local(None) => true,
        PartKind::Domain(0) => matched,
        PartKind::Host(0) => left && pattern != "[]",
        PartKind::Literal => pattern == "[]",
        _ => false,
    };
    // `$,` sets text aside
    let shown = |field: &Vec<&Part>| {
        let mut parts = field.iter().take_while(|p| p.kind != PartKind::DestinationHost);
        parts.any(certain)
    };
    super::FORMS.contains(&separators.as_str())
        && fields.iter().flatten().all(harmless)
        && fields.iter().take(2).all(shown)
}

/// Rules whose literal channel tag is no host of the channel table.
fn destinations(file: &ImtaFile, rules: &Rules, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: HashSet<String> = HashSet::new();
    for rule in &file.rules {
        let mut parts = rule.template.rsplitn(2, |p| p.kind == PartKind::At);
        let Some(last) = parts
            .next()
            .filter(|_| rule.template.iter().any(|p| p.kind == PartKind::At))
        else {
            continue;
        };
        let mut tag = String::new();
        let mut literal = true;
        for part in last {
            match &part.kind {
                PartKind::Text(text) => tag.push_str(text),
                // a check after the tag belongs to it, and does not change it
                PartKind::Source { .. }
                | PartKind::Destination { .. }
                | PartKind::Internal { .. }
                | PartKind::When(_) => {}
                _ => literal = false,
            }
        }
        let known = rules.hosts.contains_key(tag.to_ascii_lowercase().as_str());
        if literal && !tag.is_empty() && !known && seen.insert(tag.clone()) {
            let span = last.first().map_or(rule.span, |p: &Part| p.span);
            diagnostics.push(
                Diagnostic::warning("R012", span, format!("no channel has the host name `{tag}`: addresses that this rule takes are refused"))
                    .help("add the name to a channel block, or correct it; a stray blank line above may have turned channel blocks into something else"),
            );
        }
    }
}

/// Channels that conditions name and that do not exist: such a condition always has the same answer.
fn channels(file: &ImtaFile, diagnostics: &mut Vec<Diagnostic>) {
    let known: HashSet<String> = file.blocks.iter().map(|b| b.name.to_ascii_lowercase()).collect();
    let parts = file.rules.iter().flat_map(|rule| &rule.template);
    for part in parts {
        let (letter, is, channel) = match &part.kind {
            PartKind::Source { is, channel } => (if *is { 'M' } else { 'N' }, *is, channel),
            PartKind::Destination { is, channel } => (if *is { 'Q' } else { 'C' }, *is, channel),
            _ => continue,
        };
        let name = channel.to_ascii_lowercase();
        if name.contains('*') || known.contains(&name) {
            continue;
        }
        let outcome = if is { "never holds" } else { "always holds" };
        let near = suggest(diagnostics.len(), &name, file.blocks.iter().map(|b| &b.name));
        let message = format!("this `${letter}` {outcome}: there is no such channel");
        diagnostics.push(Diagnostic::warning("R023", part.span, message).help(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name a channel of this file; a name ends at the next `@`, `%` or condition".into(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_patterns_that_are_asked_for() {
        for pattern in [
            "a",
            "a.b",
            ".",
            ".a",
            ".a.b",
            "*",
            "*.*",
            "*.a.b",
            "$*",
            "$%",
            "$!",
            "[]",
            "[*]",
            "[*.*.*.*]",
            "[1.2.3.4]",
            "[1.2.]",
            "[ipv6:::1]",
            "[1.2.3.4].foo",
            "a_b-c",
        ] {
            assert_eq!(unasked(pattern), None, "{pattern}");
        }
        for pattern in [
            "a.*", "a.*.b", "*a.b", ".*", ".*.a", "a.", "a..b", "..", "[1.2", "[1.*]", "[].a", "u@a", "u%a",
            "u!a",
        ] {
            assert!(unasked(pattern).is_some(), "{pattern}");
        }
    }
}
