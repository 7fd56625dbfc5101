//! The alias file: `name: address, address, ...` (rewrite specification 8.2).
//!
//! A line goes on after a backslash, after a comma at its end, or when the next line is indented.

use std::collections::HashMap;

use crate::diagnostic::Diagnostic;
use crate::lines::{Rules, logical_lines};
use crate::source::{FileId, Reader, Sources, Span};

/// One alias.
#[derive(Debug, Clone, PartialEq)]
pub struct Alias {
    /// Left side as written, quotes kept.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// What it stands for, in order.
    pub members: Vec<Member>,
}

/// One item of the right side.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its text as written, blanks around it removed.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// Parses an alias file that is `file` of `sources`.
pub fn parse(
    sources: &mut Sources,
    file: FileId,
    reader: &dyn Reader,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Alias> {
    let lines = logical_lines(sources, file, Rules::default(), reader, diagnostics);
    let mut aliases: Vec<Alias> = Vec::new();
    let mut seen: HashMap<String, Span> = HashMap::new();
    let mut open = false;
    for line in &lines {
        if line.is_blank() {
            open = false;
            continue;
        }
        let indented = line.text.starts_with([' ', '\t']);
        let mut start = 0;
        if !(open || indented && !aliases.is_empty()) {
            let Some(colon) = find_outside_quotes(&line.text, ':', 0) else {
                diagnostics.push(
                    Diagnostic::error("A001", line.whole(), "bad equivalence for alias: there is no `:`")
                        .help("write `name: address, address`"),
                );
                continue;
            };
            let name = line.text[..colon].trim_ascii();
            let lead = line.text[..colon].len() - line.text[..colon].trim_ascii_start().len();
            let span = line.span(lead..lead + name.len());
            if name.is_empty() {
                diagnostics.push(
                    Diagnostic::error("A002", line.whole(), "the alias has no name")
                        .help("write a name before the `:`"),
                );
            }
            let first = *seen.entry(name.to_ascii_lowercase()).or_insert(span);
            if first != span {
                diagnostics.push(
                    Diagnostic::error("A003", span, format!("duplicate aliases found: `{name}`"))
                        .also(first, "first defined here")
                        .help("put all addresses into one alias"),
                );
            }
            aliases.push(Alias {
                name: name.to_string(),
                span,
                members: Vec::new(),
            });
            start = colon + 1;
        }
        let Some(alias) = aliases.last_mut() else { continue };
        let mut ends_with_comma = false;
        while start <= line.text.len() {
            let comma = find_outside_quotes(&line.text, ',', start);
            let end = comma.unwrap_or(line.text.len());
            let raw = &line.text[start..end];
            let text = raw.trim_ascii();
            if !text.is_empty() {
                let lead = raw.len() - raw.trim_ascii_start().len();
                let span = line.span(start + lead..start + lead + text.len());
                let list = match text.as_bytes().first() {
                    Some(b'<') => Some("a mailing list in a file"),
                    Some(b'[') => Some("a named parameter of a mailing list"),
                    _ => None,
                };
                if let Some(list) = list {
                    diagnostics.push(
                        Diagnostic::error(
                            "A005",
                            span,
                            format!("this is {list}, which is not done in this version"),
                        )
                        .help("write the members as addresses, separated by commas"),
                    );
                }
                alias.members.push(Member {
                    text: text.to_string(),
                    span,
                });
            }
            ends_with_comma = comma.is_some() && line.text[end + 1..].trim_ascii().is_empty();
            if comma.is_none() || ends_with_comma {
                break;
            }
            start = end + 1;
        }
        open = ends_with_comma;
    }
    for alias in aliases
        .iter()
        .filter(|a| a.members.is_empty() && !a.name.is_empty())
    {
        diagnostics.push(
            Diagnostic::error(
                "A004",
                alias.span,
                format!("no equivalence addresses for alias `{}`", alias.name),
            )
            .help("write at least one address after the `:`"),
        );
    }
    aliases
}

fn find_outside_quotes(text: &str, wanted: char, from: usize) -> Option<usize> {
    let mut quoted = false;
    let mut skip = false;
    for (i, c) in text.get(from..)?.char_indices() {
        match c {
            _ if skip => skip = false,
            '\\' if quoted => skip = true,
            '"' => quoted = !quoted,
            c if c == wanted && !quoted => return Some(from + i),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_no_addresses() {
        for (text, expected) in [
            ("a: </etc/list.txt, b@c.example\n", 1),
            ("a: b@c.example,\n   [AUTH_LIST] /etc/list.txt,<x>\n", 2),
            ("a: b@[192.0.2.1], \"<b\"@c.example\n", 0),
        ] {
            let mut sources = Sources::new();
            let file = sources.add("aliases", text);
            let mut diagnostics = Vec::new();
            let reader = |_: &str| Err("none".to_string());
            parse(&mut sources, file, &reader, &mut diagnostics);
            let codes: Vec<_> = diagnostics.iter().map(|d| d.code).collect();
            assert_eq!(codes, vec!["A005"; expected], "{text}");
        }
    }

    #[test]
    fn reads_aliases_and_names_errors() {
        let mut sources = Sources::new();
        let text = "! x\npostmaster: a@b.example,\n  c@d.example\nq: \"x, y\"@z.example\nbad\ne:\nq: r\n";
        let file = sources.add("aliases", text);
        let mut diagnostics = Vec::new();
        let reader = |_: &str| Err("none".to_string());
        let aliases = parse(&mut sources, file, &reader, &mut diagnostics);
        let codes: Vec<_> = diagnostics
            .iter()
            .map(|d| (d.code, sources.place(d.span()).line))
            .collect();
        assert_eq!(codes, [("A001", 5), ("A003", 7), ("A004", 6)]);
        let texts: Vec<_> = aliases[0].members.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(texts, ["a@b.example", "c@d.example"]);
        assert_eq!(aliases[1].members[0].text, "\"x, y\"@z.example");
    }
}
