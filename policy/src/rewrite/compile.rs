//! Parsed rewrite rules to a table that is looked up by pattern.

use grammar::imta::{ImtaFile, Match, PartKind};
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
            template: rule.template.as_slice().into(),
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
    rules.domain_failure = grammar::imta::parse_template(text, &at, diagnostics).into();
    super::lint::check(file, &rules, table_exists, diagnostics);
    rules
}
