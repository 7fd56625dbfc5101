//! The one writer: takes every request that waits, writes them as one batch, syncs once, answers them all.
//!
//! Requests that arrive during a sync form the next batch, so a lone commit costs one sync, at once, and many
//! share one. (Only after a batch of several does the writer yield for at most 50 µs; see [`Patience`].) The
//! index changes after the sync and before the answers.
//!
//! A batch that fails is answered with the error; see [`super::segments`] for why it never comes back. When it
//! fails for want of room its updates and removals are tried once more, alone, on the room of the reserve.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::compact::{Compaction, Copied};
use super::format::{BATCH_HEADER, Encoded, SEGMENT_HEADER};
use super::index::{BodyPlace, Gone, Message, Segment, inline, wrong_index};
use super::segments::{SegmentEvent, Segments, WriteFailure, Written};
use crate::disk::{DiskLock, is_full};
use crate::spool::{Change, Entry, EntryId, SpoolError, StoredBody};

/// A batch takes no further request beyond so many bytes.
const MAX_BATCH: usize = 8 * 1024 * 1024;

pub(super) type Answer<T> = oneshot::Sender<Result<T, SpoolError>>;

/// What a caller asks of the writer. `record` is encoded by the caller.
pub(super) enum Request {
    Enqueue(Box<Enqueue>),
    Update {
        id: EntryId,
        change: Box<Change>,
        record: Encoded,
        answer: Answer<()>,
    },
    Remove {
        id: EntryId,
        record: Encoded,
        answer: Answer<()>,
    },
    /// Wakes the writer so that it sees that the spool closes.
    Close,
}

pub(super) struct Enqueue {
    pub(super) number: u64,
    pub(super) entries: Vec<Arc<Entry>>,
    /// Checksum of an inline body.
    pub(super) crc: u32,
    /// A body in a file: its place, and what removes it when the message is not stored.
    pub(super) stored: Option<(BodyPlace, StoredBody)>,
    pub(super) record: Encoded,
    pub(super) answer: Answer<Vec<EntryId>>,
}

impl Request {
    fn record(&self) -> Option<&Bytes> {
        match self {
            Self::Enqueue(enqueue) => Some(&enqueue.record.bytes),
            Self::Update { record, .. } | Self::Remove { record, .. } => Some(&record.bytes),
            Self::Close => None,
        }
    }

    fn fail(self, error: SpoolError) {
        // A caller that no longer listens needs no answer.
        match self {
            Self::Enqueue(enqueue) => drop(enqueue.answer.send(Err(error))),
            Self::Update { answer, .. } | Self::Remove { answer, .. } => drop(answer.send(Err(error))),
            Self::Close => {}
        }
    }
}

/// Callers of one batch come back together, and the first of them must not have a sync for itself: that would
/// split them into two halves for good, each waiting for the other. So after a batch of several the writer
/// yields its processor for a moment while fewer have come back. After a lone commit it never does.
struct Patience {
    until: Option<Instant>,
    expected: usize,
}

impl Patience {
    /// Well below the time of any sync.
    const LIMIT: Duration = Duration::from_micros(50);

    /// So many share a sync well enough; to wait for more costs more than it saves (measured with 64 callers).
    const ENOUGH: usize = 16;

    fn new(wanted: bool, expected: usize) -> Self {
        let until = (wanted && expected > 1).then(|| Instant::now() + Self::LIMIT);
        Self {
            until,
            expected: expected.min(Self::ENOUGH),
        }
    }

    fn lasts(&self, arrived: usize) -> bool {
        arrived < self.expected && self.until.is_some_and(|until| Instant::now() < until)
    }
}

/// A request that gets an error whatever becomes of the batch.
struct Refused {
    request: Request,
    error: SpoolError,
    /// The error holds only if the batch is written: it removes the entry.
    depends: bool,
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) segments: Segments,
    pub(super) compaction: Compaction,
    receiver: mpsc::Receiver<Request>,
    batch: Vec<u8>,
    /// Requests in the last batch.
    answered: usize,
    _lock: DiskLock,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        segments: Segments,
        compaction: Compaction,
        receiver: mpsc::Receiver<Request>,
        lock: DiskLock,
    ) -> Self {
        Self {
            shared,
            segments,
            compaction,
            receiver,
            batch: Vec::new(),
            answered: 0,
            _lock: lock,
        }
    }

    /// Works until the spool is closed and all requests are answered.
    pub(super) fn run(mut self) {
        while self.turn(true) {}
    }

    /// One batch, and one step of tidying up. `wait`: for a request, when there is nothing else to do.
    /// False when the spool is closed and nothing waits.
    pub(super) fn turn(&mut self, wait: bool) -> bool {
        let closing = self.shared.closing.load(Relaxed);
        if closing {
            self.receiver.close();
        }
        let mut requests = Vec::new();
        // Once closed the writer must not wait: a caller may have been given the room to send and may never be
        // polled again, least of all while its thread waits in `close`.
        if wait && !closing && !self.has_tidying() {
            requests.extend(self.receiver.blocking_recv());
        }
        let mut bytes = requests
            .iter()
            .filter_map(Request::record)
            .map(Bytes::len)
            .sum::<usize>();
        let mut open = true;
        let patience = Patience::new(wait && !closing && !requests.is_empty(), self.answered);
        while bytes < MAX_BATCH {
            match self.receiver.try_recv() {
                Ok(request) => {
                    bytes += request.record().map_or(0, Bytes::len);
                    requests.push(request);
                }
                Err(mpsc::error::TryRecvError::Empty) if patience.lasts(requests.len()) => {
                    std::thread::yield_now();
                }
                Err(mpsc::error::TryRecvError::Empty) => {
                    open = !closing;
                    break;
                }
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        self.answered = requests.len();
        let copies = if open { self.copies() } else { Vec::new() };
        self.commit(requests, copies);
        self.tidy();
        open
    }

    fn commit(&mut self, requests: Vec<Request>, copies: Vec<Copied>) {
        let (accepted, refused) = self.screen(requests);
        if accepted.is_empty() && copies.is_empty() {
            refused
                .into_iter()
                .for_each(|refused| refused.request.fail(refused.error));
            return;
        }
        let copied = !copies.is_empty();
        let outcome = match self.write(&accepted, &copies) {
            Ok(written) => {
                self.apply(&written, accepted, copies);
                self.compaction.paused = false;
                Ok(())
            }
            Err(failure) => {
                self.shared.counters.failed_batches.fetch_add(1, Relaxed);
                self.compaction.paused |= copied;
                self.failed(failure, accepted)
            }
        };
        for Refused {
            request,
            error,
            depends,
        } in refused
        {
            match &outcome {
                Err(failure) if depends => request.fail(failure.clone()),
                _ => request.fail(error),
            }
        }
    }

    /// Refuses what cannot be done, before anything is written.
    fn screen(&self, requests: Vec<Request>) -> (Vec<Request>, Vec<Refused>) {
        let index = self.shared.index();
        let mut removed = HashSet::new();
        let mut no_room = None;
        let (mut accepted, mut refused) = (Vec::with_capacity(requests.len()), Vec::new());
        for request in requests {
            let mut depends = false;
            let error = match &request {
                Request::Close => continue,
                Request::Enqueue(_) => match &no_room {
                    Some(error) => Some(SpoolError::clone(error)),
                    None => {
                        no_room = self.shared.reserve.ensure().err();
                        no_room.clone()
                    }
                },
                Request::Update { id, change, .. } => match index.entry(*id) {
                    Some(_) if removed.contains(id) => {
                        depends = true;
                        Some(SpoolError::NoEntry(*id))
                    }
                    Some(entry) => wrong_index(entry, change).map(|index| {
                        super::invalid(format!("queue entry {} has no recipient of index {index}", id.0))
                    }),
                    None => Some(SpoolError::NoEntry(*id)),
                },
                Request::Remove { id, .. } => match index.entry(*id) {
                    Some(_) if removed.insert(*id) => None,
                    found => {
                        depends = found.is_some();
                        Some(SpoolError::NoEntry(*id))
                    }
                },
            };
            match error {
                None => accepted.push(request),
                Some(error) => refused.push(Refused {
                    request,
                    error,
                    depends,
                }),
            }
        }
        (accepted, refused)
    }

    fn write(&mut self, requests: &[Request], copies: &[Copied]) -> Result<Written, WriteFailure> {
        self.batch.clear();
        self.batch.resize(BATCH_HEADER, 0);
        let copied = copies.iter().map(|copied| &copied.record.bytes);
        for record in copied.chain(requests.iter().filter_map(Request::record)) {
            self.batch.extend_from_slice(record);
        }
        let next_id = self.shared.next_id.load(Relaxed);
        let outcome = self.segments.write(&mut self.batch, next_id);
        let events = self.segments.events();
        if !events.is_empty() {
            let mut index = self.shared.index_mut();
            for event in events {
                match event {
                    SegmentEvent::Begun(number, path) => {
                        index
                            .segments
                            .insert(number, Segment::new(path, SEGMENT_HEADER as u64));
                    }
                    SegmentEvent::Cut(number, path) => {
                        index
                            .segments
                            .entry(number)
                            .and_modify(|segment| segment.path = path);
                    }
                }
            }
        }
        let counters = &self.shared.counters;
        if outcome.is_ok() {
            counters.batches.fetch_add(1, Relaxed);
            counters
                .records
                .fetch_add((requests.len() + copies.len()) as u64, Relaxed);
            counters.bytes.fetch_add(self.batch.len() as u64, Relaxed);
            counters.copied.fetch_add(copies.len() as u64, Relaxed);
        }
        if self.batch.capacity() > 2 * MAX_BATCH {
            self.batch = Vec::new();
        }
        outcome
    }

    fn apply(&mut self, written: &Written, requests: Vec<Request>, copies: Vec<Copied>) {
        let mut at = written.offset + BATCH_HEADER as u64;
        let mut gone: Vec<Gone> = Vec::new();
        let mut bodies = Vec::new();
        let shared = self.shared.clone();
        let mut index = shared.index_mut();
        index
            .segments
            .entry(written.segment)
            .and_modify(|segment| segment.len = written.len);
        for copied in copies {
            let record_len = copied.record.bytes.len() as u64;
            let body = match copied.body {
                BodyPlace::Inline { crc, .. } => inline(&copied.record.body, at, crc),
                file => file,
            };
            let ids = copied.entries.iter().map(|entry| entry.id).collect();
            let message = Message {
                segment: written.segment,
                record_len,
                body,
                entries: ids,
            };
            index.put(copied.number, message, copied.entries);
            at += record_len;
        }
        for request in &requests {
            match request {
                Request::Enqueue(enqueue) => {
                    let body = match &enqueue.stored {
                        Some((place, _)) => *place,
                        None => {
                            let bytes = enqueue.record.bytes.slice(enqueue.record.body.clone());
                            bodies.push((enqueue.number, bytes));
                            inline(&enqueue.record.body, at, enqueue.crc)
                        }
                    };
                    let record_len = enqueue.record.bytes.len() as u64;
                    let entries = enqueue.entries.iter().map(|entry| entry.id).collect();
                    let message = Message {
                        segment: written.segment,
                        record_len,
                        body,
                        entries,
                    };
                    index.put(enqueue.number, message, enqueue.entries.clone());
                }
                Request::Update { id, change, .. } => index.update(*id, change),
                Request::Remove { id, .. } => gone.extend(index.remove(*id)),
                Request::Close => {}
            }
            at += request.record().map_or(0, |record| record.len() as u64);
        }
        drop(index);
        let mut cache = shared.cache();
        bodies
            .into_iter()
            .for_each(|(number, body)| cache.put(number, body));
        gone.iter().for_each(|gone| cache.remove(gone.number));
        drop(cache);
        requests.into_iter().for_each(|request| done(&shared, request));
        for gone in gone {
            if let BodyPlace::File { number, .. } = gone.body {
                // The removal is durable; a file that stays is an orphan for the next start.
                let _ = shared.disk.remove(&shared.layout.body(number));
            }
        }
    }

    fn failed(&mut self, failure: WriteFailure, mut requests: Vec<Request>) -> Result<(), SpoolError> {
        let full = is_full(&failure.error);
        let error = SpoolError::from(failure.error);
        if !failure.certain {
            // The records may be found after a crash: their bodies must be too. Start-up removes them otherwise.
            for request in &mut requests {
                if let Request::Enqueue(enqueue) = request
                    && let Some((_, stored)) = &mut enqueue.stored
                {
                    stored.guard = None;
                }
            }
        }
        let mut rest = Vec::new();
        for request in requests {
            match request {
                Request::Enqueue(_) => request.fail(error.clone()),
                _ => rest.push(request),
            }
        }
        if full {
            self.shared.reserve.release();
            if rest.is_empty() {
                return Ok(());
            }
            match self.write(&rest, &[]) {
                Ok(written) => {
                    self.apply(&written, rest, Vec::new());
                    return Ok(());
                }
                Err(again) => {
                    self.shared.counters.failed_batches.fetch_add(1, Relaxed);
                    let error = SpoolError::from(again.error);
                    rest.into_iter().for_each(|request| request.fail(error.clone()));
                    return Err(error);
                }
            }
        }
        rest.into_iter().for_each(|request| request.fail(error.clone()));
        Err(error)
    }
}

fn done(shared: &Shared, request: Request) {
    match request {
        Request::Enqueue(enqueue) => {
            let Enqueue {
                entries,
                stored,
                answer,
                ..
            } = *enqueue;
            if let Some((_, mut stored)) = stored {
                shared.bodies().remove(&stored.number);
                stored.guard = None;
            }
            drop(answer.send(Ok(entries.iter().map(|entry| entry.id).collect())));
        }
        Request::Update { answer, .. } | Request::Remove { answer, .. } => drop(answer.send(Ok(()))),
        Request::Close => {}
    }
}
