//! The embedded queue: a segment log with one writer.
//!
//! ```text
//! DIR/lock                     held by the server that has the spool open
//! DIR/segments/000000000001.log   batches of records, appended; see `format` for the bytes
//! DIR/segments/000000000002-4711.cut   a segment of which only the first 4711 bytes count
//! DIR/bodies/NUMBER            one message of more than 64 KiB, as it is
//! DIR/reserve                  zeros, given up when the disk is full
//! DIR/damaged/                 copies of bytes that did not read at a start; for you to look at and delete
//! ```
//!
//! Guarantees: a commit that resolved `Ok` survives a power failure; one that resolved with an error leaves no
//! trace; one that never resolved is there whole or not at all. Requests waiting at one moment share one sync,
//! and a lone one does not wait for others. Ids are never used twice. Nothing that was acknowledged is dropped
//! silently: what does not read is in [`Recovery::problems`].
//!
//! Limits, each with its answer: [`Options::queue`] requests wait for the writer, further callers wait in their
//! futures; a record has at most [`MAX_RECORD`] bytes (an error that names it); on a full disk messages
//! are refused with [`SpoolError::Full`] while updates and removals go on for as long as the reserve lasts.
//!
//! A future dropped before it resolves may still take effect: drop an enqueue only with the session.
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use store::disk::sim::SimDisk;
//! use store::spool::{Spool, log::{Options, SegmentSpool}};
//!
//! let disk = Arc::new(SimDisk::new());
//! let (spool, recovery) = SegmentSpool::open(disk, Path::new("/queue"), Options::default())?;
//! assert_eq!(recovery.entries, 0);
//! spool.close();
//! # Ok::<(), store::spool::SpoolError>(())
//! ```

mod body;
mod cache;
mod compact;
mod format;
mod index;
mod recover;
mod reserve;
mod segments;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::body::{BodyFacts, FileBody};
use self::cache::Cache;
use self::compact::Compaction;
use self::format::{BodyHead, Encoded, Head, MessageHead, encode};
use self::index::{BodyPlace, Index, Message};
use self::recover::{Layout, Recovered, recover};
use self::reserve::Reserve;
use self::segments::Segments;
use self::writer::{Answer, Enqueue, Request, Writer};
use super::{
    BodyWriter, Change, Commit, Content, Entry, EntryId, INLINE_LIMIT, NewMessage, Spool, SpoolError,
};
use crate::disk::Disk;

pub use self::format::MAX_RECORD;
pub use self::recover::{Problem, Recovery};

/// Sizes of a [`SegmentSpool`].
#[derive(Debug, Clone)]
pub struct Options {
    /// A segment is closed at this many bytes; default 64 MiB, at most 1 GiB.
    pub segment_size: u64,
    /// Bytes kept for removals on a full disk; default 1 MiB; 0 keeps none.
    pub reserve: u64,
    /// Bytes of recent inline bodies kept in memory; default 64 MiB.
    pub cache: usize,
    /// Requests that may wait for the writer before callers have to; default 1024, at least 1.
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: 64 << 20,
            reserve: 1 << 20,
            cache: 64 << 20,
            queue: 1024,
        }
    }
}

/// What the engine has done since it was opened.
#[derive(Debug, Default)]
pub struct Counters {
    /// Batches made durable, each by one sync.
    pub batches: AtomicU64,
    /// Records in them.
    pub records: AtomicU64,
    /// Bytes in them.
    pub bytes: AtomicU64,
    /// Batches that failed.
    pub failed_batches: AtomicU64,
    /// Messages copied forward.
    pub copied: AtomicU64,
    /// Segments removed.
    pub segments_removed: AtomicU64,
    /// Live messages that could not be read for copying; their segment stays.
    pub unreadable: AtomicU64,
    /// Bodies answered from memory.
    pub cache_hits: AtomicU64,
    /// Bodies read from the disk.
    pub cache_misses: AtomicU64,
}

/// What the writer, the readers and body writers share.
struct Shared {
    disk: Arc<dyn Disk>,
    layout: Layout,
    index: RwLock<Index>,
    cache: Mutex<Cache>,
    bodies: Mutex<HashMap<u64, BodyFacts>>,
    next_id: AtomicU64,
    reserve: Reserve,
    counters: Counters,
    sender: Mutex<Option<mpsc::Sender<Request>>>,
    closing: AtomicBool,
    syncers: Arc<Semaphore>,
}

impl Shared {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bodies(&self) -> MutexGuard<'_, HashMap<u64, BodyFacts>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender(&self) -> MutexGuard<'_, Option<mpsc::Sender<Request>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// Reads and verifies the body of a message.
    fn read(&self, index: &Index, message: &Message) -> Result<Bytes, SpoolError> {
        self.read_place(&self.path(index, message), message.body)
    }

    /// The file that a message's body is in.
    fn path(&self, index: &Index, message: &Message) -> PathBuf {
        match message.body {
            BodyPlace::File { number, .. } => self.layout.body(number),
            BodyPlace::Inline { .. } => index
                .segments
                .get(&message.segment)
                .map(|segment| segment.path.clone())
                .unwrap_or_default(),
        }
    }

    fn read_place(&self, path: &Path, place: BodyPlace) -> Result<Bytes, SpoolError> {
        let (offset, len, crc) = match place {
            BodyPlace::Inline { offset, len, crc } => (offset, len as u64, crc),
            BodyPlace::File { len, crc, .. } => (0, len, crc),
        };
        let len = usize::try_from(len)
            .map_err(|_| SpoolError::Corrupt(format!("{} is too large for this machine", path.display())))?;
        let bytes = self
            .disk
            .read_at(path, offset, len)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof => SpoolError::Corrupt(
                    format!("{} does not have {len} bytes at {offset}", path.display()),
                ),
                _ => error.into(),
            })?;
        if crc32fast::hash(&bytes) != crc {
            return Err(SpoolError::Corrupt(format!(
                "the message at byte {offset} of {} has changed",
                path.display()
            )));
        }
        Ok(bytes.into())
    }

    /// The stored body of an entry.
    fn body(&self, id: EntryId) -> Result<Bytes, SpoolError> {
        loop {
            let (segment, place, path) = {
                let index = self.index();
                let (number, message) = index.message_of(id).ok_or(SpoolError::NoEntry(id))?;
                if let Some(bytes) = self.cache().get(number) {
                    self.counters.cache_hits.fetch_add(1, Relaxed);
                    return Ok(bytes);
                }
                (message.segment, message.body, self.path(&index, message))
            };
            self.counters.cache_misses.fetch_add(1, Relaxed);
            let outcome = self.read_place(&path, place);
            if outcome.is_ok() {
                return outcome;
            }
            // It may have been removed, copied forward or its segment renamed meanwhile: look again.
            let index = self.index();
            let (_, now) = index.message_of(id).ok_or(SpoolError::NoEntry(id))?;
            if now.segment == segment && now.body == place && self.path(&index, now) == path {
                return outcome;
            }
        }
    }
}

/// An error of the caller's making.
fn invalid(what: impl Into<String>) -> SpoolError {
    SpoolError::Io(Arc::new(std::io::Error::new(
        std::io::ErrorKind::InvalidInput,
        what.into(),
    )))
}

impl From<format::EncodeError> for SpoolError {
    fn from(error: format::EncodeError) -> Self {
        invalid(error.to_string())
    }
}

/// The embedded engine of [`Spool`].
pub struct SegmentSpool {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SegmentSpool {
    /// Opens the spool in `dir`, making it if it is not there, and starts its writer thread.
    ///
    /// Takes as long as reading the segments. Errors: [`SpoolError::Unusable`] when another server has it open
    /// or it is of another version, else what the disk says.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<(Self, Recovery), SpoolError> {
        let (spool, writer, recovery) = Self::open_idle(disk, dir, options)?;
        let thread = std::thread::Builder::new()
            .name("spool-writer".into())
            .spawn(move || writer.run())?;
        *spool.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok((spool, recovery))
    }

    /// Opens without a thread: whoever holds the writer turns it.
    fn open_idle(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
    ) -> Result<(Self, Writer, Recovery), SpoolError> {
        let layout = Layout::new(dir);
        for path in [&layout.root, &layout.segments, &layout.bodies] {
            disk.create_dir(path)?;
        }
        let lock = disk
            .lock(&layout.root.join("lock"))
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::WouldBlock => SpoolError::Unusable(format!(
                    "another server has {} open; stop it, or give this one a directory of its own",
                    dir.display()
                )),
                _ => error.into(),
            })?;
        // Names that a killed process left unsynced are taken for what they seem, so they must last.
        for path in [&layout.segments, &layout.bodies] {
            disk.sync_dir(path)?;
        }
        let Recovered {
            index,
            next_id,
            next_segment,
            retire_through,
            report,
        } = recover(&*disk, &layout)?;
        let reserve = Reserve::open(disk.clone(), layout.root.join("reserve"), options.reserve);
        let segment_size = options.segment_size.clamp(1, 1 << 30);
        let segments = Segments::new(disk.clone(), layout.segments.clone(), segment_size, next_segment);
        let (sender, receiver) = mpsc::channel(options.queue.max(1));
        let shared = Arc::new(Shared {
            disk,
            layout,
            index: RwLock::new(index),
            cache: Mutex::new(Cache::new(options.cache)),
            bodies: Mutex::default(),
            next_id: AtomicU64::new(next_id),
            reserve,
            counters: Counters::default(),
            sender: Mutex::new(Some(sender)),
            closing: AtomicBool::new(false),
            syncers: Arc::new(Semaphore::new(body::SYNCERS)),
        });
        let compaction = Compaction {
            segment_size,
            retire_through,
            paused: false,
            blocked: None,
            unsynced: false,
        };
        let writer = Writer::new(shared.clone(), segments, compaction, receiver, lock);
        Ok((
            Self {
                shared,
                thread: Mutex::default(),
            },
            writer,
            report,
        ))
    }

    /// What was done since the spool was opened.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    fn encode_message(
        &self,
        message: NewMessage,
        answer: Answer<Vec<EntryId>>,
    ) -> Result<Request, SpoolError> {
        let NewMessage {
            envelope,
            content,
            header_len,
            entries,
        } = message;
        if entries.is_empty() {
            return Err(invalid("a message without entries would go nowhere"));
        }
        let (size, inline, stored) = match content {
            Content::Inline(bytes) if bytes.len() > INLINE_LIMIT => {
                return Err(invalid(format!(
                    "a body of {} bytes is too large to be inline; write it with body_writer",
                    bytes.len()
                )));
            }
            Content::Inline(bytes) => (bytes.len() as u64, bytes, None),
            Content::Stored(body) => {
                let facts = self.shared.bodies().get(&body.number).copied();
                let facts =
                    facts.ok_or_else(|| invalid(format!("body {} is not of this queue", body.number)))?;
                let place = BodyPlace::File {
                    number: body.number,
                    len: facts.len,
                    crc: facts.crc,
                };
                (facts.len, Bytes::new(), Some((place, body)))
            }
        };
        if u64::from(header_len) > size {
            return Err(invalid(format!(
                "a header of {header_len} bytes does not fit into a message of {size}"
            )));
        }
        let envelope = Arc::new(envelope);
        let entries: Vec<_> = entries
            .into_iter()
            .map(|new| {
                Arc::new(Entry {
                    id: EntryId(self.shared.new_id()),
                    channel: new.channel,
                    host: new.host,
                    envelope: envelope.clone(),
                    recipients: new.recipients,
                    size,
                    stored_header_len: header_len,
                    overlay: new.overlay,
                    attempts: 0,
                    next_attempt: new.next_attempt,
                    held: new.held,
                    warnings: 0,
                    history: Vec::new(),
                    log_tag: new.log_tag,
                })
            })
            .collect();
        let number = entries.first().map_or(0, |entry| entry.id.0);
        let crc = crc32fast::hash(&inline);
        let head = match &stored {
            Some((BodyPlace::File { number, len, crc }, _)) => BodyHead::File {
                number: *number,
                len: *len,
                crc: *crc,
            },
            _ => BodyHead::Inline { crc },
        };
        let head = Head::Message(MessageHead::new(number, head, &envelope, &entries));
        let record = encode(&head, Some((&inline, crc)))?;
        Ok(Request::Enqueue(Box::new(Enqueue {
            number,
            entries,
            crc,
            stored,
            record,
            answer,
        })))
    }
}

fn encode_small(head: &Head<'_>) -> Result<Encoded, SpoolError> {
    Ok(encode(head, None)?)
}

impl Spool for SegmentSpool {
    fn enqueue(&self, message: NewMessage) -> Commit<Vec<EntryId>> {
        let (answer, wait) = oneshot::channel();
        let request = self.encode_message(message, answer);
        Box::pin(submit(self.shared.clone(), request, wait))
    }

    fn body_writer(&self) -> Result<Box<dyn BodyWriter>, SpoolError> {
        if self.shared.closing.load(Relaxed) {
            return Err(SpoolError::Closed);
        }
        Ok(Box::new(FileBody::create(self.shared.clone())?))
    }

    fn stored(&self, number: u64, len: u64) -> Result<Bytes, SpoolError> {
        let path = self.shared.layout.body(number);
        let len = usize::try_from(len).map_err(|_| invalid("a body larger than memory"))?;
        Ok(self.shared.disk.read_at(&path, 0, len)?.into())
    }

    fn update(&self, id: EntryId, change: Change) -> Commit<()> {
        let (answer, wait) = oneshot::channel();
        let record = encode_small(&Head::Update(id, std::borrow::Cow::Borrowed(&change)));
        let request = record.map(|record| Request::Update {
            id,
            change: Box::new(change),
            record,
            answer,
        });
        Box::pin(submit(self.shared.clone(), request, wait))
    }

    fn remove(&self, id: EntryId) -> Commit<()> {
        let (answer, wait) = oneshot::channel();
        let request = encode_small(&Head::Remove(id)).map(|record| Request::Remove { id, record, answer });
        Box::pin(submit(self.shared.clone(), request, wait))
    }

    fn entry(&self, id: EntryId) -> Option<Arc<Entry>> {
        self.shared.index().entry(id).cloned()
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.shared.index().entries()
    }

    fn content(&self, id: EntryId) -> Result<Bytes, SpoolError> {
        if self.shared.closing.load(Relaxed) {
            return Err(SpoolError::Closed);
        }
        let entry = self.entry(id).ok_or(SpoolError::NoEntry(id))?;
        let stored = self.shared.body(id)?;
        let Some(overlay) = &entry.overlay else {
            return Ok(stored);
        };
        let body = stored.get(entry.stored_header_len as usize..).unwrap_or_default();
        let mut bytes = BytesMut::with_capacity(overlay.len() + body.len());
        bytes.extend_from_slice(overlay);
        bytes.extend_from_slice(body);
        Ok(bytes.freeze())
    }

    fn close(&self) {
        self.shared.closing.store(true, Relaxed);
        let sender = self.shared.sender().take();
        if let Some(sender) = sender {
            // If there is no room the writer is busy, and sees the flag when it is done.
            let _ = sender.try_send(Request::Close);
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A writer that panicked has dropped its requests: their callers were told.
            let _ = thread.join();
        }
    }
}

impl Drop for SegmentSpool {
    fn drop(&mut self) {
        self.close();
    }
}

/// Sends the request when first polled, and waits for the writer's answer.
async fn submit<T>(
    shared: Arc<Shared>,
    request: Result<Request, SpoolError>,
    wait: oneshot::Receiver<Result<T, SpoolError>>,
) -> Result<T, SpoolError> {
    let request = request?;
    let sender = shared.sender().clone().ok_or(SpoolError::Closed)?;
    sender.send(request).await.map_err(|_| SpoolError::Closed)?;
    drop(sender);
    wait.await.unwrap_or(Err(SpoolError::Closed))
}
