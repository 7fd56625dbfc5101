//! Many patterns, in order, asked for the first that matches at or after a place.
//!
//! A mapping table means a scan from the top, whatever its size. [`PatternSet`] gives the same answers from
//! an index: it gathers, for one subject, the entries that could match, in order, and the real matcher
//! verifies each. Every pattern is filed under the one key that fewest others share:
//!
//! - the whole text, where it has no wildcard;
//! - the text it begins with, or ends with;
//! - a network (all networks that cover an address in the subject are found, not the longest only);
//! - the longest text within it (an Aho-Corasick automaton finds those that occur);
//! - nothing: such patterns are candidates always.
//!
//! Sets of at most [`SCAN_LIMIT`] patterns are scanned: an index would cost more than it saves.

mod cursor;
mod hash;
mod index;

use self::index::Index;
use crate::pattern::{OutOfFuel, Pattern, Scratch};

pub use cursor::Cursor;

/// Sets up to this size are scanned without an index.
pub const SCAN_LIMIT: usize = 12;

/// Patterns in order, with an index over them.
#[derive(Debug, Default)]
pub struct PatternSet {
    patterns: Vec<Pattern>,
    index: Option<Box<Index>>,
}

impl PatternSet {
    /// A set of patterns in their order.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        let index = (patterns.len() > SCAN_LIMIT).then(|| Box::new(Index::new(&patterns)));
        PatternSet { patterns, index }
    }

    /// Prepares a cursor for a subject; `folded` is the subject in ASCII lower case.
    pub fn cursor(&self, folded: &[u8], cursor: &mut Cursor) {
        cursor.copied.clear();
        cursor.ranges.clear();
        cursor.all = true;
        if let Some(index) = &self.index {
            cursor.all = false;
            index.gather(folded, cursor);
        }
    }

    /// The smallest entry at or after `from` that matches the cursor's subject; `scratch.captures` then
    /// holds its fields.
    pub fn next(
        &self,
        subject: &str,
        folded: &[u8],
        cursor: &Cursor,
        mut from: usize,
        scratch: &mut Scratch,
        fuel: &mut u64,
    ) -> Result<Option<usize>, OutOfFuel> {
        loop {
            let candidate = if cursor.all {
                from
            } else {
                self.candidate(cursor, from)
            };
            let Some(pattern) = self.patterns.get(candidate) else {
                return Ok(None);
            };
            if pattern.matches(subject, folded, scratch, fuel)? {
                return Ok(Some(candidate));
            }
            if *fuel == 0 {
                return Err(OutOfFuel);
            }
            from = candidate + 1;
        }
    }

    fn candidate(&self, cursor: &Cursor, from: usize) -> usize {
        let Some(index) = &self.index else {
            return usize::MAX;
        };
        let first = |entries: &[u32]| {
            let n = match entries {
                [] => 0,
                // the start of a pass, and short lists
                [entry, ..] if *entry as usize >= from => 0,
                _ => entries.partition_point(|&e| (e as usize) < from),
            };
            entries.get(n).map_or(usize::MAX, |&e| e as usize)
        };
        let mut best = first(&cursor.copied);
        for &(start, end) in &cursor.ranges {
            best = best.min(first(
                index.postings.get(start as usize..end as usize).unwrap_or(&[]),
            ));
        }
        best
    }

    /// The same as [`PatternSet::next`] from the first entry, by a plain scan: the meaning that the index
    /// must keep, for tests and benchmarks.
    pub fn scan(&self, subject: &str, from: usize, scratch: &mut Scratch) -> Option<usize> {
        let folded = subject.to_ascii_lowercase();
        let mut fuel = u64::MAX;
        (from..self.patterns.len())
            .find(|&n| self.patterns[n].matches(subject, folded.as_bytes(), scratch, &mut fuel) == Ok(true))
    }
}
