//! Giving room back: dead segments go, and what still lives in old ones is copied forward.
//!
//! Segments are removed from the oldest on, and in no other order: a record that removes or changes an entry
//! is then never gone while an older record of that entry is still there. A segment in which nothing lives is
//! removed at once when its turn comes. Where entries live long, the oldest segment's are written again at the
//! end of the log (in the same batches as the commits of the moment, a little at a time), once the log is more
//! than twice as large as what lives in it. So a byte given back costs at most about one byte copied.
//!
//! Crash safety: the copy is durable before the original goes, a copy replaces its original at replay, and a
//! removed segment's name is durably gone before the next segment is removed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::format::{BodyHead, Encoded, Head, MessageHead, encode};
use super::index::{BodyPlace, Index};
use super::writer::Writer;
use crate::spool::Entry;

/// Bytes of live records copied with one batch, at least one record.
const STEP: u64 = 1024 * 1024;

/// Segments below their full size (each start begins a new one) that are put up with.
const SMALL_SEGMENTS: u64 = 8;

/// A live message on its way to the end of the log.
pub(super) struct Copied {
    pub(super) number: u64,
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) body: BodyPlace,
    pub(super) record: Encoded,
}

/// When to compact.
pub(super) struct Compaction {
    /// Size at which segments are closed.
    pub(super) segment_size: u64,
    /// Segments up to this one are damaged, and are emptied whatever lives in them.
    pub(super) retire_through: u64,
    /// Something failed: no more until a commit has succeeded.
    pub(super) paused: bool,
    /// A message in this segment cannot be read: it stays, and so does everything behind it.
    pub(super) blocked: Option<u64>,
    /// A segment's removal is not known to be durable.
    pub(super) unsynced: bool,
}

impl Compaction {
    fn due(&self, index: &Index, reserve: Option<u64>) -> Option<u64> {
        let (oldest, segment) = index.oldest()?;
        let (total, live) = index.volume();
        let wasteful = total > 2 * live + 2 * self.segment_size;
        let scattered = index.segments.len() as u64 > SMALL_SEGMENTS + 2 * (total / self.segment_size.max(1));
        let wanted = wasteful || scattered || oldest <= self.retire_through;
        // On a full disk only what surely fits into the room of the reserve is copied.
        let fits = reserve.is_none_or(|room| segment.live <= room / 2);
        // One in which nothing lives needs no copying.
        (wanted && fits && !segment.messages.is_empty() && self.blocked != Some(oldest)).then_some(oldest)
    }
}

impl Writer {
    fn compaction_due(&self, index: &Index) -> Option<u64> {
        let reserve = &self.shared.reserve;
        self.compaction
            .due(index, (!reserve.held()).then_some(reserve.size()))
    }

    /// There is something to do without being asked.
    pub(super) fn has_tidying(&self) -> bool {
        if self.compaction.paused || self.shared.closing.load(Relaxed) {
            return false;
        }
        let index = self.shared.index();
        self.removable(&index).is_some() || self.compaction_due(&index).is_some()
    }

    /// The oldest segment, if nothing lives in it.
    fn removable(&self, index: &Index) -> Option<u64> {
        let (number, segment) = index.oldest()?;
        (segment.messages.is_empty() && self.segments.settled() && self.segments.current() != Some(number))
            .then_some(number)
    }

    /// The next live messages to copy forward.
    pub(super) fn copies(&mut self) -> Vec<Copied> {
        if self.compaction.paused {
            return Vec::new();
        }
        let shared = self.shared.clone();
        let index = shared.index();
        let Some(oldest) = self.compaction_due(&index) else {
            return Vec::new();
        };
        let Some(segment) = index.segments.get(&oldest) else {
            return Vec::new();
        };
        let (mut copies, mut bytes) = (Vec::new(), 0);
        for number in &segment.messages {
            let Some(message) = index.messages().get(number) else {
                continue;
            };
            if bytes > 0 && bytes + message.record_len > STEP {
                break;
            }
            bytes += message.record_len;
            let entries = index.entries_of(*number);
            let Some(first) = entries.first() else { continue };
            let (head, inline) = match message.body {
                BodyPlace::File { number, len, crc } => (BodyHead::File { number, len, crc }, None),
                BodyPlace::Inline { crc, .. } => match shared.read(&index, message) {
                    Ok(body) => (BodyHead::Inline { crc }, Some((body, crc))),
                    Err(_) => {
                        self.compaction.blocked = Some(oldest);
                        shared.counters.unreadable.fetch_add(1, Relaxed);
                        return Vec::new();
                    }
                },
            };
            let body = inline.as_ref().map(|(bytes, crc)| (bytes.as_ref(), *crc));
            let head = Head::Message(MessageHead::new(*number, head, &first.envelope, &entries));
            match encode(&head, body) {
                Ok(record) => copies.push(Copied {
                    number: *number,
                    body: message.body,
                    record,
                    entries,
                }),
                Err(_) => {
                    self.compaction.blocked = Some(oldest);
                    return Vec::new();
                }
            }
        }
        copies
    }

    /// Removes the oldest segment if nothing lives in it; body files have gone with their messages.
    pub(super) fn tidy(&mut self) {
        if self.compaction.paused {
            return;
        }
        let shared = self.shared.clone();
        if self.compaction.unsynced {
            if shared.disk.sync_dir(&shared.layout.segments).is_err() {
                self.compaction.paused = true;
                return;
            }
            self.compaction.unsynced = false;
        }
        let oldest = {
            let index = shared.index();
            self.removable(&index)
                .and_then(|n| index.segments.get(&n).map(|segment| (n, segment.path.clone())))
        };
        let Some((number, path)) = oldest else { return };
        if shared.disk.remove(&path).is_err() {
            self.compaction.paused = true;
            return;
        }
        shared.index_mut().segments.remove(&number);
        shared.counters.segments_removed.fetch_add(1, Relaxed);
        self.compaction.unsynced = shared.disk.sync_dir(&shared.layout.segments).is_err();
        self.compaction.paused = self.compaction.unsynced;
    }
}
