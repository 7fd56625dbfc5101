//! The mapping file: named tables of pattern/template entries.
//!
//! ```text
//! ORIG_SEND_ACCESS
//!
//!   tcp_local|*|tcp_local|*   $NRelaying$ not$ allowed
//! ```
//!
//! [`parse`] turns the text, with its includes, into [`MappingFile`] and reports every error at once.
//! Source: mapping specification 1 to 4.

mod pattern;
mod template;

use std::collections::HashMap;

use pest::Parser as _;

use crate::diagnostic::Diagnostic;
use crate::lines::{LogicalLine, Rules, logical_lines};
use crate::source::{FileId, Reader, Sources, Span};

pub use pattern::{Class, ELEMENT_LIMIT, Element, IpNet, address_bits, mask, parse_pattern};
pub(crate) use template::find_unquoted;
pub use template::{Case, Control, Part, PartKind, SequenceFormat, parse_template};

#[allow(missing_docs)]
mod syntax {
    #[derive(pest_derive::Parser)]
    #[grammar = "mapping/mapping.pest"]
    pub(crate) struct Grammar;
}
pub(crate) use syntax::{Grammar, Rule};

/// A parsed mapping file.
#[derive(Debug, Clone, Default)]
pub struct MappingFile {
    /// Its tables, in the order of the file.
    pub tables: Vec<Table>,
}

/// One table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name as written; names compare without regard to case.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The pattern as written.
    pub pattern_text: String,
    /// The template as written.
    pub template_text: String,
    /// The pattern.
    pub pattern: Vec<Element>,
    /// The template.
    pub template: Vec<Part>,
    /// Where the entry stands: pattern and template.
    pub span: Span,
    /// Where the pattern stands.
    pub pattern_span: Span,
}

impl MappingFile {
    /// A table by name, without regard to case.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.name.eq_ignore_ascii_case(name))
    }
}

/// Parses a mapping file that is `file` of `sources`; includes come through `reader`.
pub fn parse(
    sources: &mut Sources,
    file: FileId,
    reader: &dyn Reader,
    diagnostics: &mut Vec<Diagnostic>,
) -> MappingFile {
    let lines = logical_lines(sources, file, Rules::default(), reader, diagnostics);
    let mut state = State {
        result: MappingFile::default(),
        diagnostics,
        place: Place::Outside,
        names: HashMap::new(),
    };
    for line in &lines {
        state.line(line);
    }
    state.result
}

/// Where the reading of the file stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Before the first table, or after a blank line that ended one.
    Outside,
    /// Just after a header.
    Header,
    /// After a header and its blank line, or among entries.
    Entries,
    /// Entries of a table that is in error are read for their own errors only.
    Ignored,
}

struct State<'a> {
    result: MappingFile,
    diagnostics: &'a mut Vec<Diagnostic>,
    place: Place,
    /// Names of tables so far, in upper case, and where they stand.
    names: HashMap<String, Span>,
}

impl State<'_> {
    fn line(&mut self, line: &LogicalLine) {
        if line.is_blank() {
            self.place = match self.place {
                Place::Header => Place::Entries,
                // the blank line after the header, or several of them, before the first entry
                Place::Entries if self.result.tables.last().is_some_and(|t| t.entries.is_empty()) => {
                    Place::Entries
                }
                // one report for all that follows, up to the next table name
                Place::Ignored => Place::Ignored,
                _ => Place::Outside,
            };
        } else if line.text.starts_with([' ', '\t']) {
            self.entry(line);
        } else if line.text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.header(line);
        } else {
            self.diagnostics.push(
                Diagnostic::error(
                    "M001",
                    line.whole(),
                    "this line is neither a table name nor an entry",
                )
                .help("a table name begins with a letter in column 1; an entry begins with a blank"),
            );
        }
    }

    fn header(&mut self, line: &LogicalLine) {
        let name = line.text.trim_ascii_end();
        let span = line.span(0..name.len());
        if self.place == Place::Entries && self.result.tables.last().is_some_and(|t| !t.entries.is_empty()) {
            let mut d = Diagnostic::error(
                "M002",
                span,
                format!("table `{name}` follows an entry without a blank line"),
            )
            .help("put a blank line before the table name");
            if name.contains([' ', '\t', '|', '$', '*']) {
                d = Diagnostic::error(
                    "M002",
                    span,
                    "an entry must begin with a blank; this looks like a table name",
                )
                .help("indent the entry by two blanks");
            }
            self.diagnostics.push(d);
        } else if name.contains([' ', '\t', '|', '$', '*']) {
            self.diagnostics.push(
                Diagnostic::error("M003", span, format!("`{name}` is not a table name"))
                    .label("names consist of letters, digits, `_` and `-`")
                    .help("if this is an entry, indent it by two blanks"),
            );
        }
        let first = *self.names.entry(name.to_ascii_uppercase()).or_insert(span);
        if first != span {
            self.diagnostics.push(
                Diagnostic::error("M004", span, format!("duplicate mapping name found: `{name}`"))
                    .also(first, "first defined here")
                    .help("merge the two tables, or rename one of them"),
            );
            self.place = Place::Ignored;
            return;
        }
        self.result.tables.push(Table {
            name: name.to_string(),
            span,
            entries: Vec::new(),
        });
        self.place = Place::Header;
    }

    fn entry(&mut self, line: &LogicalLine) {
        match self.place {
            Place::Header => {
                self.diagnostics.push(
                    Diagnostic::error(
                        "M005",
                        line.whole(),
                        "a blank line is missing between the table name and its first entry",
                    )
                    .help("put an empty line above this entry"),
                );
                self.place = Place::Entries;
            }
            Place::Outside => {
                let ended = self.result.tables.last();
                let message = match ended {
                    Some(t) => format!("this entry belongs to no table: a blank line ended `{}`", t.name),
                    None => "this entry belongs to no table".to_string(),
                };
                let mut d = Diagnostic::error("M006", line.whole(), message);
                if let Some(last) = ended.and_then(|t| t.entries.last()) {
                    d = d.also(last.span, "the table's last entry");
                }
                self.diagnostics
                    .push(d.help("remove the blank line between the entries, or write a table name above"));
                self.place = Place::Ignored;
            }
            Place::Entries | Place::Ignored => {}
        }
        let Some(entry) = self.columns(line) else { return };
        if self.place == Place::Entries
            && let Some(table) = self.result.tables.last_mut()
        {
            table.entries.push(entry);
        }
    }

    fn columns(&mut self, line: &LogicalLine) -> Option<Entry> {
        let mut pairs = Grammar::parse(Rule::entry, &line.text).ok()?.next()?.into_inner();
        let pattern = pairs.next()?;
        let pattern_range = pattern.as_span().start()..pattern.as_span().end();
        let mut template_range = pattern_range.end..pattern_range.end;
        for pair in pairs {
            let range = pair.as_span().start()..pair.as_span().end();
            match pair.as_rule() {
                Rule::column => template_range = range,
                Rule::rest if !range.is_empty() => self.diagnostics.push(
                    Diagnostic::warning(
                        "M007",
                        line.span(range),
                        "this text is ignored: the template ended at the blank before it",
                    )
                    .help("write `$ ` for a blank that belongs to the template"),
                ),
                _ => {}
            }
        }
        let pattern_text = &line.text[pattern_range.clone()];
        let template_text = &line.text[template_range.clone()];
        let at =
            |r: std::ops::Range<usize>| line.span(pattern_range.start + r.start..pattern_range.start + r.end);
        let pattern = parse_pattern(pattern_text, &at, self.diagnostics);
        let at = |r: std::ops::Range<usize>| {
            line.span(template_range.start + r.start..template_range.start + r.end)
        };
        let template = parse_template(template_text, &at, self.diagnostics);
        Some(Entry {
            pattern_text: pattern_text.to_string(),
            template_text: template_text.to_string(),
            pattern,
            template,
            span: line.span(pattern_range.start..template_range.end),
            pattern_span: line.span(pattern_range),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> (MappingFile, Vec<&'static str>) {
        let mut sources = Sources::new();
        let file = sources.add("mappings", text);
        let mut diagnostics = Vec::new();
        let reader = |_: &str| Err("none".to_string());
        let parsed = parse(&mut sources, file, &reader, &mut diagnostics);
        for d in &diagnostics {
            assert!(
                !sources.text(d.span()).is_empty() || d.code == "M005",
                "{d:?} points at nothing"
            );
        }
        (parsed, diagnostics.iter().map(|d| d.code).collect())
    }

    #[test]
    fn reads_tables() {
        let (file, codes) = codes("ONE\n\n  a$ b|*  x$ y\n\tc\n! note\n  d  e\n\nTWO-2  \n\n  f  g\n");
        assert_eq!(codes, [""; 0]);
        assert_eq!(file.tables.len(), 2);
        assert_eq!(file.tables[1].name, "TWO-2");
        let texts: Vec<_> = file.tables[0]
            .entries
            .iter()
            .map(|e| (e.pattern_text.as_str(), e.template_text.as_str()))
            .collect();
        assert_eq!(texts, [("a$ b|*", "x$ y"), ("c", ""), ("d", "e")]);
        assert!(file.table("one").is_some());
    }

    #[test]
    fn every_error_is_reported_at_once() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("entry before any table", "  a b\n", &["M006"]),
            ("blank line inside a table", "T\n\n  a b\n\n  c d\n", &["M006"]),
            ("no blank after the name", "T\n  a b\n", &["M005"]),
            ("no blank before a name", "T\n\n  a b\nU\n\n  c d\n", &["M002"]),
            ("unindented entry", "T\n\n  a b\ntcp|* x\n", &["M002"]),
            ("duplicate table", "T\n\n  a b\n\nt\n\n  c d\n", &["M004"]),
            ("odd line", "T\n\n  a b\n\n$x\n", &["M001"]),
            ("text after the template", "T\n\n  a b c d\n", &["M007"]),
            (
                "bad address and open callout",
                "T\n\n  $(1.2.3/99) x\n  b $[im,ro\n",
                &["P001", "T001"],
            ),
            (
                "two errors in one entry",
                "T\n\n  $[a-c $?x?\n",
                &["P003", "T005"],
            ),
        ];
        for (name, text, expected) in cases {
            let (_, codes) = codes(text);
            assert_eq!(&codes, expected, "{name}");
        }
    }
}
