//! The queue on stable storage.
//!
//! A message is stored once, as one body with one [`Entry`] for each destination channel. Everything a
//! caller is told is done *is* done: a [`Commit`] resolves after the data is on stable storage, and never
//! before. Many commits share one sync. After a crash, entries whose commit resolved are all there;
//! entries whose commit did not resolve are there whole or not at all.

pub mod log;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, Failure, Recipient, RecipientState, Time};

/// The largest body kept inside the log; larger ones get a file of their own.
pub const INLINE_LIMIT: usize = 64 * 1024;

/// Names an entry for as long as it exists; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryId(pub u64);

/// A promise: resolves when the data is on stable storage.
pub type Commit<T> = Pin<Box<dyn Future<Output = Result<T, SpoolError>> + Send>>;

/// What goes wrong with a spool.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// No room; try again later. SMTP: 452 4.3.1.
    #[error("the queue's disk is full")]
    Full,
    /// A write or sync failed; nothing of it counts. SMTP: 452 4.3.0.
    #[error("the queue cannot be written: {0}")]
    Io(Arc<std::io::Error>),
    /// The entry is not (or no longer) in the queue.
    #[error("queue entry {0:?} does not exist")]
    NoEntry(EntryId),
    /// Stored data does not read back as written.
    #[error("the queue is damaged: {0}")]
    Corrupt(String),
    /// The spool cannot be opened: another server has it, or it is of another version.
    #[error("the queue cannot be opened: {0}")]
    Unusable(String),
    /// The spool has been closed.
    #[error("the queue is closed")]
    Closed,
}

impl From<std::io::Error> for SpoolError {
    fn from(error: std::io::Error) -> Self {
        if crate::disk::is_full(&error) {
            Self::Full
        } else {
            Self::Io(Arc::new(error))
        }
    }
}

/// One destination channel's share of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// Destination channel.
    pub channel: String,
    /// Host queue within the channel: the domain it goes to; empty where the channel has but one.
    pub host: String,
    /// Envelope, shared by all entries of the message.
    pub envelope: Arc<Envelope>,
    /// Recipients of this entry.
    pub recipients: Vec<Recipient>,
    /// Size of the message in bytes, header and body.
    pub size: u64,
    /// Length of the header block in the stored message, the blank line included.
    pub stored_header_len: u32,
    /// Header block that replaces the stored one for this entry.
    pub overlay: Option<Bytes>,
    /// Attempts made.
    pub attempts: u32,
    /// Not to be tried before.
    pub next_attempt: Time,
    /// `.HELD`: not to be tried until released.
    pub held: bool,
    /// Delay warnings already sent.
    pub warnings: u8,
    /// The last attempts, newest last; at most [`HISTORY_LIMIT`].
    pub history: Vec<Attempt>,
    /// Tag that a LOG_ACTION `$T` put in front of later probes of this entry.
    pub log_tag: String,
}

/// Attempts remembered for notifications and `qm history` (HISTORY_TO_RETURN).
pub const HISTORY_LIMIT: usize = 20;

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// When.
    pub at: Time,
    /// What came of it.
    pub failure: Failure,
}

impl Entry {
    /// The queue file name that logs, probes and `qm` show: attempts in complemented base 36, the
    /// entry's number, and `.00` or `.HELD` (queue specification 4.2).
    pub fn file_name(&self) -> String {
        let left = 1295 - self.attempts.min(1295);
        let digit = |d: u32| char::from_digit(d, 36).unwrap_or('0').to_ascii_uppercase();
        let suffix = if self.held {
            "HELD".to_string()
        } else {
            format!("{:02}", self.attempts.min(99))
        };
        format!(
            "{}{}{:011}.{suffix}",
            digit(left / 36),
            digit(left % 36),
            self.id.0
        )
    }

    /// Length of the header block of the entry's content: of the overlay, where there is one.
    pub fn header_len(&self) -> usize {
        match &self.overlay {
            Some(overlay) => overlay.len(),
            None => self.stored_header_len as usize,
        }
    }

    /// Recipients not yet delivered or failed.
    pub fn pending(&self) -> impl Iterator<Item = &Recipient> {
        self.recipients
            .iter()
            .filter(|r| r.state == RecipientState::Pending)
    }
}

/// An entry to be.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Destination channel.
    pub channel: String,
    /// Host queue within it.
    pub host: String,
    /// Recipients.
    pub recipients: Vec<Recipient>,
    /// Header block that replaces the stored one for this entry.
    pub overlay: Option<Bytes>,
    /// Not before.
    pub next_attempt: Time,
    /// Queue it held.
    pub held: bool,
    /// Tag of LOG_ACTION.
    pub log_tag: String,
}

/// A message to be stored.
#[derive(Debug)]
pub struct NewMessage {
    /// Its envelope.
    pub envelope: Envelope,
    /// Header and body.
    pub content: Content,
    /// Length of the header block, the blank line included.
    pub header_len: u32,
    /// One entry a destination; at least one.
    pub entries: Vec<NewEntry>,
}

/// The bytes of a message, lines ending in CRLF.
#[derive(Debug)]
pub enum Content {
    /// At most [`INLINE_LIMIT`] bytes.
    Inline(Bytes),
    /// Written and synced beforehand through [`Spool::body_writer`].
    Stored(StoredBody),
}

/// A body file that is complete and synced but belongs to no message yet. Dropping it removes the file.
pub struct StoredBody {
    /// Its number, which names the file.
    pub number: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Removes the file when it was not used.
    pub guard: Option<Box<dyn FnOnce() + Send>>,
}

impl std::fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredBody")
            .field("number", &self.number)
            .field("len", &self.len)
            .finish()
    }
}

impl Drop for StoredBody {
    fn drop(&mut self) {
        if let Some(remove) = self.guard.take() {
            remove();
        }
    }
}

/// Takes a large body while it arrives. Dropping it unfinished removes the file.
pub trait BodyWriter: Send {
    /// Appends.
    fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError>;
    /// Syncs; the body can then be enqueued.
    fn finish(self: Box<Self>) -> Commit<StoredBody>;
}

/// What changes about an entry after an attempt or by an operator.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Change {
    /// New states by recipient index.
    pub states: Vec<(u32, RecipientState)>,
    /// Count one more attempt with this outcome.
    pub attempt: Option<Attempt>,
    /// New time of the next attempt.
    pub next_attempt: Option<Time>,
    /// Hold or release.
    pub held: Option<bool>,
    /// New number of warnings sent.
    pub warnings: Option<u8>,
    /// New LOG_ACTION tag.
    pub log_tag: Option<String>,
}

/// The queue's storage. The embedded segment log is the default engine.
pub trait Spool: Send + Sync {
    /// Stores a message and its entries, all or nothing; the ids are in the order of the entries.
    fn enqueue(&self, message: NewMessage) -> Commit<Vec<EntryId>>;

    /// Begins a body of more than [`INLINE_LIMIT`] bytes.
    fn body_writer(&self) -> Result<Box<dyn BodyWriter>, SpoolError>;

    /// Reads back a body that is complete and belongs to no message yet, by the number and length of its
    /// [`StoredBody`].
    fn stored(&self, number: u64, len: u64) -> Result<Bytes, SpoolError>;

    /// Records what became of an entry.
    fn update(&self, id: EntryId, change: Change) -> Commit<()>;

    /// Forgets an entry; the body goes with the last entry of its message.
    fn remove(&self, id: EntryId) -> Commit<()>;

    /// An entry as it stands.
    fn entry(&self, id: EntryId) -> Option<Arc<Entry>>;

    /// All entries, in the order of their ids.
    fn entries(&self) -> Vec<Arc<Entry>>;

    /// Header (with the entry's overlay applied) and body of an entry.
    fn content(&self, id: EntryId) -> Result<Bytes, SpoolError>;

    /// Writes what waits and closes; later calls answer [`SpoolError::Closed`].
    fn close(&self);
}
