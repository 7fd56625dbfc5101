//! What an administrator would want to be told of a table that loads: entries that can never be reached, and
//! conditions that end the look-up where the next entry was meant.

use grammar::mapping::{Class, Control, Element};
use grammar::{Diagnostic, Span};

use super::{Op, Table};
use crate::pattern::Scratch;
use crate::pattern_set::Cursor;

/// Stands for a wildcard of the later pattern: only a `*` of an earlier one takes it.
const WILDCARD: char = '\u{1}';

/// Entries of a table that an earlier entry always takes first. `elements` are the patterns as parsed.
pub(super) fn shadowed(table: &Table, elements: &[&[Element]], diagnostics: &mut Vec<Diagnostic>) {
    let simple = |e: &&[Element]| {
        e.iter().all(|e| match e {
            Element::Literal(_) => true,
            Element::Wild {
                class: Class::Any,
                many,
                ..
            } => *many,
            _ => false,
        })
    };
    let takers: Vec<bool> = elements
        .iter()
        .enumerate()
        .map(|(n, e)| simple(e) && ends(table, n))
        .collect();
    let (mut scratch, mut cursor) = (Scratch::default(), Cursor::default());
    for (n, pattern) in elements.iter().enumerate() {
        let text: String = pattern
            .iter()
            .map(|e| match e {
                Element::Literal(text) => text.to_ascii_lowercase(),
                _ => WILDCARD.to_string(),
            })
            .collect();
        table.patterns.cursor(text.as_bytes(), &mut cursor);
        let (mut from, mut fuel) = (0, 1_000_000);
        while let Ok(Some(m)) =
            table
                .patterns
                .next(&text, text.as_bytes(), &cursor, from, &mut scratch, &mut fuel)
        {
            if m >= n {
                break;
            }
            if takers.get(m).copied().unwrap_or(false) {
                let (entry, earlier) = (&table.entries[n], &table.entries[m]);
                diagnostics.push(
                    Diagnostic::warning("M014", entry.span, "this entry can never match")
                        .also(
                            earlier.span,
                            "this earlier entry takes every probe that the entry could take",
                        )
                        .help("move it above the earlier entry, or remove it"),
                );
                break;
            }
            from = m + 1;
        }
    }
}

/// Whether a match of an entry always ends the look-up: nothing in its template can fail, and nothing goes on.
fn ends(table: &Table, entry: usize) -> bool {
    !template(table, entry).any(|(op, _)| {
        matches!(
            op,
            Op::Control(Control::Continue | Control::Loop | Control::Restart)
        ) || can_fail(op)
    })
}

fn can_fail(op: &Op) -> bool {
    matches!(op, Op::Test { .. } | Op::Random(_) | Op::Call(_))
}

/// The instructions of an entry's template.
fn template(table: &Table, entry: usize) -> impl Iterator<Item = (&Op, Span)> {
    let start = table.entries.get(entry).map_or(0, |e| e.start as usize);
    let end = table
        .entries
        .get(entry + 1)
        .map_or(table.code.ops.len(), |e| e.start as usize);
    let ops = table.code.ops.get(start..end).unwrap_or_default();
    let spans = table.code.spans.get(start..end).unwrap_or_default();
    ops.iter().zip(spans.iter().copied())
}

impl Table {
    /// Conditions and callouts without `$C`, `$L` or `$R` to their left, in entries that others follow: where
    /// they fail, the look-up ends there.
    pub fn unguarded(&self) -> Vec<Span> {
        let entries = 0..self.entries.len().saturating_sub(1);
        entries
            .filter_map(|n| {
                let mut goes_on = false;
                for (op, span) in template(self, n) {
                    match op {
                        Op::Stop => return None,
                        Op::Control(Control::End) => goes_on = false,
                        Op::Control(_) => goes_on = true,
                        op if can_fail(op) => return (!goes_on).then_some(span),
                        _ => {}
                    }
                }
                None
            })
            .collect()
    }

    /// Indexes of the tables that it calls.
    pub fn calls(&self) -> impl Iterator<Item = u32> {
        self.code.ops.iter().filter_map(|op| match op {
            Op::Call(super::Call::Table {
                table: Some(table), ..
            }) => Some(table.0),
            _ => None,
        })
    }
}
