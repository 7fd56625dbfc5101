//! Parsed rewrite rules to a table that is looked up by pattern.

use std::collections::HashMap;

use grammar::imta::{ImtaFile, Match, Part, PartKind};
use grammar::{Diagnostic, Span};

use super::{ChannelFacts, HostEntry, Rule, Rules};

/// DOMAIN_FAILURE where the site sets none (rewrite specification 5.10).
const DOMAIN_FAILURE: &str = "reprocess-daemon$Mtcp_local$1M$1~-error$4000000?Temporary lookup failure";

/// Compiles rules and host names. `domain_failure` is the site's DOMAIN_FAILURE with its place;
/// `table_exists` tells whether a mapping table exists.
pub fn compile(
    file: &ImtaFile,
    channels: Vec<ChannelFacts>,
    hosts: Vec<(String, usize, Option<String>)>,
    domain_failure: Option<(&str, Span)>,
    table_exists: &dyn Fn(&str) -> bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Rules {
    let mut rules = Rules {
        channels,
        ..Rules::default()
    };
    for (name, channel, proper) in hosts {
        let entry = HostEntry {
            channel: channel as u32,
            proper_name: proper.map(String::into_boxed_str),
        };
        rules.hosts.insert(name.to_ascii_lowercase().into(), entry);
    }
    for rule in &file.rules {
        check(rule, table_exists, diagnostics);
        let n = rules.rules.len() as u32;
        rules
            .by_pattern
            .entry(rule.pattern.to_ascii_lowercase().into())
            .or_default()
            .push(n);
        let locations = rule.template.iter().filter_map(|p| match p.kind {
            PartKind::When(m @ (Match::At | Match::Percent | Match::Route | Match::Bang)) => Some(m),
            _ => None,
        });
        rules.rules.push(Rule {
            pattern: rule.pattern.as_str().into(),
            template_text: rule.template_text.as_str().into(),
            locations: locations.collect(),
            template: rule.template.clone(),
            span: rule.span,
        });
    }
    let (text, place) = domain_failure.unwrap_or((DOMAIN_FAILURE, Span::default()));
    // a continued value has one place only
    let at = |range: std::ops::Range<usize>| {
        let within = Span {
            start: place.start + range.start as u32,
            end: place.start + range.end as u32,
            ..place
        };
        if within.end <= place.end { within } else { place }
    };
    rules.domain_failure = grammar::imta::parse_template(text, &at, diagnostics);
    check_destinations(file, &rules, diagnostics);
    rules
}

/// Conditions that exclude one another, and tables that do not exist.
fn check(
    rule: &grammar::imta::RewriteRule,
    table_exists: &dyn Fn(&str) -> bool,
    diagnostics: &mut Vec<Diagnostic>,
) {
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

/// Rules whose literal channel tag is no host of the channel table.
fn check_destinations(file: &ImtaFile, rules: &Rules, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<String, ()> = HashMap::new();
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
        if literal && !tag.is_empty() && !known && seen.insert(tag.clone(), ()).is_none() {
            let span = last.first().map_or(rule.span, |p: &Part| p.span);
            diagnostics.push(
                Diagnostic::warning("R012", span, format!("no channel has the host name `{tag}`: addresses that this rule takes are refused"))
                    .help("add the name to a channel block, or correct it; a stray blank line above may have turned channel blocks into something else"),
            );
        }
    }
}
