//! The queue in memory: every entry, where its message lies, and what each segment still holds.
//!
//! Only the writer changes it, and only after the change is on stable storage; recovery fills it. A message
//! takes about 200 bytes here and an entry about 400 with one recipient.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::spool::{Change, Entry, EntryId, HISTORY_LIMIT};

/// Where a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyPlace {
    /// In the message's segment at this offset.
    Inline { offset: u64, len: usize, crc: u32 },
    /// In `bodies/NUMBER`.
    File { number: u64, len: u64, crc: u32 },
}

/// A message with at least one live entry.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Segment of its newest record.
    pub(super) segment: u64,
    /// Length of that record.
    pub(super) record_len: u64,
    pub(super) body: BodyPlace,
    pub(super) entries: Vec<EntryId>,
}

/// A segment file.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Bytes that count.
    pub(super) len: u64,
    /// Bytes of records of live messages.
    pub(super) live: u64,
    /// The live messages whose newest record it holds.
    pub(super) messages: HashSet<u64>,
}

impl Segment {
    pub(super) fn new(path: PathBuf, len: u64) -> Self {
        Self {
            path,
            len,
            live: 0,
            messages: HashSet::new(),
        }
    }
}

struct Slot {
    entry: Arc<Entry>,
    message: u64,
}

/// A message whose last entry went.
pub(super) struct Gone {
    pub(super) number: u64,
    pub(super) body: BodyPlace,
}

/// All that is in the queue.
#[derive(Default)]
pub(super) struct Index {
    slots: BTreeMap<EntryId, Slot>,
    messages: HashMap<u64, Message>,
    pub(super) segments: BTreeMap<u64, Segment>,
}

impl Index {
    pub(super) fn entry(&self, id: EntryId) -> Option<&Arc<Entry>> {
        self.slots.get(&id).map(|slot| &slot.entry)
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.slots.values().map(|slot| slot.entry.clone()).collect()
    }

    pub(super) fn entry_count(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn messages(&self) -> &HashMap<u64, Message> {
        &self.messages
    }

    /// The number and the message an entry belongs to.
    pub(super) fn message_of(&self, id: EntryId) -> Option<(u64, &Message)> {
        let number = self.slots.get(&id)?.message;
        Some((number, self.messages.get(&number)?))
    }

    /// The live entries of a message.
    pub(super) fn entries_of(&self, number: u64) -> Vec<Arc<Entry>> {
        let ids = self
            .messages
            .get(&number)
            .map(|message| message.entries.as_slice())
            .unwrap_or_default();
        ids.iter().filter_map(|id| self.entry(*id).cloned()).collect()
    }

    /// Puts a message in, or its newer record in the place of the older one.
    pub(super) fn put(&mut self, number: u64, message: Message, entries: Vec<Arc<Entry>>) {
        if let Some(old) = self.messages.remove(&number) {
            self.release(number, &old);
            for id in &old.entries {
                self.slots.remove(id);
            }
        }
        if let Some(segment) = self.segments.get_mut(&message.segment) {
            segment.live += message.record_len;
            segment.messages.insert(number);
        }
        for entry in entries {
            self.slots.insert(
                entry.id,
                Slot {
                    entry,
                    message: number,
                },
            );
        }
        self.messages.insert(number, message);
    }

    fn release(&mut self, number: u64, message: &Message) {
        if let Some(segment) = self.segments.get_mut(&message.segment)
            && segment.messages.remove(&number)
        {
            segment.live = segment.live.saturating_sub(message.record_len);
        }
    }

    pub(super) fn update(&mut self, id: EntryId, change: &Change) {
        if let Some(slot) = self.slots.get_mut(&id) {
            apply(Arc::make_mut(&mut slot.entry), change);
        }
    }

    /// Takes an entry out; the message when it was the last.
    pub(super) fn remove(&mut self, id: EntryId) -> Option<Gone> {
        let slot = self.slots.remove(&id)?;
        let message = self.messages.get_mut(&slot.message)?;
        message.entries.retain(|other| *other != id);
        if !message.entries.is_empty() {
            return None;
        }
        let message = self.messages.remove(&slot.message)?;
        self.release(slot.message, &message);
        Some(Gone {
            number: slot.message,
            body: message.body,
        })
    }

    /// Bytes of all segments, and those of live records in them.
    pub(super) fn volume(&self) -> (u64, u64) {
        self.segments
            .values()
            .fold((0, 0), |(len, live), s| (len + s.len, live + s.live))
    }

    /// The oldest segment, unless it is also the newest.
    pub(super) fn oldest(&self) -> Option<(u64, &Segment)> {
        let (number, segment) = self.segments.first_key_value()?;
        (self.segments.len() > 1).then_some((*number, segment))
    }
}

/// Changes an entry.
pub(super) fn apply(entry: &mut Entry, change: &Change) {
    for (index, state) in &change.states {
        if let Some(recipient) = entry.recipients.get_mut(*index as usize) {
            recipient.state = state.clone();
        }
    }
    if let Some(attempt) = &change.attempt {
        entry.attempts = entry.attempts.saturating_add(1);
        entry.history.push(attempt.clone());
        let excess = entry.history.len().saturating_sub(HISTORY_LIMIT);
        entry.history.drain(..excess);
    }
    entry.next_attempt = change.next_attempt.unwrap_or(entry.next_attempt);
    entry.held = change.held.unwrap_or(entry.held);
    entry.warnings = change.warnings.unwrap_or(entry.warnings);
    if let Some(tag) = &change.log_tag {
        entry.log_tag.clone_from(tag);
    }
}

/// The first recipient index of a change that the entry does not have.
pub(super) fn wrong_index(entry: &Entry, change: &Change) -> Option<u32> {
    change
        .states
        .iter()
        .map(|(index, _)| *index)
        .find(|index| *index as usize >= entry.recipients.len())
}

/// A range of a segment as the place of an inline body.
pub(super) fn inline(range: &Range<usize>, base: u64, crc: u32) -> BodyPlace {
    BodyPlace::Inline {
        offset: base + range.start as u64,
        len: range.len(),
        crc,
    }
}
