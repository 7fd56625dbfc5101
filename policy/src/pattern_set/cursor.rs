//! The entries that could match one subject.

use super::index::Bucket;

/// Keys with at most this many entries are copied into the cursor; of longer ones it keeps the place.
const COPY_LIMIT: usize = 16;

/// Long keys of one subject. Each costs a binary search a candidate, so with more the short ones among
/// them are copied, too.
const BUCKET_LIMIT: usize = 8;

/// Candidates copied into a cursor before it gives up and walks the whole set instead.
pub(super) const CANDIDATE_LIMIT: usize = 4096;

/// Reads a set for one subject, entry by entry. Start it with [`PatternSet::cursor`].
#[derive(Debug, Default, Clone)]
pub struct Cursor {
    /// Candidates in order.
    pub(super) copied: Vec<u32>,
    /// Ranges of the postings with further ones.
    pub(super) ranges: Vec<(u32, u32)>,
    /// All entries are candidates.
    pub(super) all: bool,
}

impl Cursor {
    pub(super) fn take(&mut self, postings: &[u32], bucket: Bucket) {
        match bucket {
            Bucket::One(entry) => self.copied.push(entry),
            Bucket::Many(start, end) => match postings.get(start as usize..end as usize) {
                Some(entries) if entries.len() <= COPY_LIMIT => self.copied.extend_from_slice(entries),
                _ => self.ranges.push((start, end)),
            },
        }
        if self.copied.len() + self.ranges.len() > CANDIDATE_LIMIT {
            self.settle();
            // what is left now were no repetitions
            self.all |= self.copied.len() + self.ranges.len() > CANDIDATE_LIMIT / 2;
        }
    }

    /// Puts what was gathered in order, each once.
    fn settle(&mut self) {
        if self.copied.len() > 1 {
            self.copied.sort_unstable();
            self.copied.dedup();
        }
        if self.ranges.len() > 1 {
            self.ranges.sort_unstable();
            self.ranges.dedup();
        }
    }

    /// Puts everything in order for [`PatternSet::next`].
    pub(super) fn finish(&mut self, postings: &[u32]) {
        self.settle();
        if self.ranges.len() > BUCKET_LIMIT {
            let mut room = CANDIDATE_LIMIT;
            let copied = &mut self.copied;
            self.ranges
                .retain(|&(start, end)| match postings.get(start as usize..end as usize) {
                    Some(entries) if entries.len() <= room => {
                        room -= entries.len();
                        copied.extend_from_slice(entries);
                        false
                    }
                    _ => true,
                });
            self.settle();
            self.all |= self.ranges.len() > BUCKET_LIMIT;
        }
    }
}
