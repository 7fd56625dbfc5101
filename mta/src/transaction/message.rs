//! The message itself: collected while it arrives, then queued.
//!
//! Up to [`INLINE_LIMIT`] octets stay in memory; a larger body goes to a file of the spool as it arrives, so
//! a session never holds more; only where a recipient has a script is it read back, for the scripts to see. The
//! header is completed once its end is seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use jiff::Zoned;
use policy::site::Site;
use store::envelope::Recipient;
use store::spool::{BodyWriter, Content, EntryId, INLINE_LIMIT, NewEntry, NewMessage, Spool, SpoolError};

use super::header::{HeaderFacts, Processed, process, received_lines, with_additions};
use super::{Changed, Noted, Transaction, header_len};
use crate::queue::Program;

/// Largest header, in octets; a message with a larger one is refused.
const HEADER_LIMIT: usize = 1 << 20;

/// The header of the message is larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header of the message is larger than {} kilobytes", HEADER_LIMIT / 1024)]
pub struct HeaderTooLarge;

/// A message while it arrives.
pub struct Collector {
    spool: Arc<dyn Spool>,
    facts: HeaderFacts,
    now: Zoned,
    /// The header, as long as its end was not seen.
    raw_header: Vec<u8>,
    scanned: usize,
    processed: Option<Processed>,
    memory: Vec<u8>,
    file: Option<Box<dyn BodyWriter>>,
    failed: Option<SpoolError>,
    header_too_large: bool,
}

/// A message that arrived whole.
pub struct Collected {
    content: Content,
    header: Bytes,
    size: u64,
    message_id: String,
    received: usize,
    received_here: usize,
}

impl Collector {
    /// Begins a message. How large it may be is the protocol's to see to.
    pub fn new(spool: Arc<dyn Spool>, facts: HeaderFacts, now: Zoned) -> Self {
        Collector {
            spool,
            facts,
            now,
            raw_header: Vec::new(),
            scanned: 0,
            processed: None,
            memory: Vec::new(),
            file: None,
            failed: None,
            header_too_large: false,
        }
    }

    /// Takes a piece. After a failure the rest is dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.header_too_large || self.failed.is_some() {
            self.memory = Vec::new();
            self.file = None;
            return;
        }
        if self.processed.is_some() {
            return self.store(bytes);
        }
        self.raw_header.extend_from_slice(bytes);
        if self.raw_header.starts_with(b"\r\n") {
            return self.header_ends(0, 2);
        }
        let from = self.scanned.saturating_sub(3);
        match memchr::memmem::find(&self.raw_header[from..], b"\r\n\r\n") {
            Some(at) => self.header_ends(from + at + 2, from + at + 4),
            None => {
                self.scanned = self.raw_header.len();
                self.header_too_large |= self.raw_header.len() > HEADER_LIMIT;
            }
        }
    }

    fn header_ends(&mut self, header_len: usize, body_at: usize) {
        let raw = std::mem::take(&mut self.raw_header);
        let processed = process(&raw[..header_len], &self.facts, &self.now);
        let header = processed.header.clone();
        let body_start = processed.body_start.clone();
        self.processed = Some(processed);
        self.store(&header);
        if !body_start.is_empty() {
            self.store(&body_start);
            // the blank line belongs to the body now
            self.store(b"\r\n");
        }
        self.store(&raw[body_at..]);
    }

    fn store(&mut self, bytes: &[u8]) {
        if self.file.is_none() && self.memory.len() + bytes.len() > INLINE_LIMIT {
            match self.spool.body_writer() {
                Ok(mut file) => {
                    let memory = std::mem::take(&mut self.memory);
                    match file.write(&memory) {
                        Ok(()) => self.file = Some(file),
                        Err(error) => self.failed = Some(error),
                    }
                }
                Err(error) => self.failed = Some(error),
            }
        }
        match &mut self.file {
            Some(file) => {
                if let Err(error) = file.write(bytes) {
                    self.failed = Some(error);
                    self.file = None;
                }
            }
            None if self.failed.is_none() => self.memory.extend_from_slice(bytes),
            None => {}
        }
    }

    /// The end of the message: everything of it is on stable storage, or in memory if it is small.
    pub async fn finish(mut self) -> Result<Result<Collected, HeaderTooLarge>, SpoolError> {
        if self.header_too_large {
            return Ok(Err(HeaderTooLarge));
        }
        if self.processed.is_none() {
            let len = self.raw_header.len();
            self.header_ends(len, len);
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        let processed = self.processed.unwrap_or_default();
        let (content, size) = match self.file {
            Some(file) => {
                let body = file.finish().await?;
                let len = body.len;
                (Content::Stored(body), len)
            }
            None => {
                let len = self.memory.len() as u64;
                (Content::Inline(Bytes::from(self.memory)), len)
            }
        };
        Ok(Ok(Collected {
            content,
            size,
            header: processed.header.into(),
            message_id: processed.message_id,
            received: processed.received,
            received_here: processed.received_here,
        }))
    }
}

/// A message made by the server itself: header, blank line, body; lines end in CRLF.
#[derive(Debug)]
pub struct OwnMessage {
    /// All of it.
    pub content: Bytes,
    /// Length of its header, the blank line included.
    pub header_len: usize,
    /// Its Message-ID, with angle brackets.
    pub message_id: String,
    /// It holds octets above 127.
    pub eight_bit: bool,
}

impl Collected {
    /// Its size in octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Length of its header block, the blank line included.
    pub fn header_len(&self) -> u32 {
        self.header.len() as u32
    }

    /// Its header, the blank line included.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The whole message, for scripts: a large one is read back from its file.
    pub fn whole(
        &self,
        spool: &Arc<dyn Spool>,
    ) -> impl Future<Output = Result<Arc<[u8]>, SpoolError>> + Send + use<> {
        let content = match &self.content {
            Content::Inline(bytes) => Ok(bytes.clone()),
            Content::Stored(body) => Err((body.number, body.len)),
        };
        let spool = Arc::clone(spool);
        async move {
            let bytes = match content {
                Ok(bytes) => bytes,
                Err((number, len)) => tokio::task::spawn_blocking(move || spool.stored(number, len))
                    .await
                    .unwrap_or(Err(SpoolError::Closed))?,
            };
            Ok(Arc::from(&bytes[..]))
        }
    }

    /// What a notification about it can return, and the length of its header: all of it, or of a large one the
    /// header alone.
    pub fn returnable(&self) -> (Bytes, u32) {
        let bytes = match &self.content {
            Content::Inline(bytes) => bytes.clone(),
            Content::Stored(_) => self.header.clone(),
        };
        (bytes, self.header_len())
    }

    /// Takes a message of the server's own, or one that it addresses anew; `host` is its name.
    pub async fn from_own(spool: &dyn Spool, message: OwnMessage, host: &str) -> Result<Self, SpoolError> {
        let OwnMessage {
            content, header_len, ..
        } = message;
        let header = content.slice(..header_len.min(content.len()));
        let (received, received_here) = received_lines(&header, host);
        let size = content.len() as u64;
        let content = stored(spool, content).await?;
        Ok(Collected {
            content,
            header,
            size,
            message_id: message.message_id,
            received,
            received_here,
        })
    }
}

/// What enqueuing needs.
pub struct Enqueue<'a> {
    /// The spool.
    pub spool: &'a dyn Spool,
    /// The site that the transaction began with.
    pub site: &'a Site,
    /// Seconds since 1970.
    pub now: i64,
}

/// A message that is on stable storage.
pub struct Queued {
    /// Its entries.
    pub entries: Vec<EntryId>,
    /// What the log says of the recipients of each entry, in their order.
    pub noted: Vec<Vec<Noted>>,
}

/// Queues a message; it resolves after everything is on stable storage. The transaction keeps its recipients, for
/// the log where nothing could be queued.
pub async fn enqueue(
    to: Enqueue<'_>,
    transaction: &mut Transaction,
    message: Collected,
    eight_bit: bool,
) -> Result<Queued, SpoolError> {
    let options = &to.site.options;
    let loops = message.received as i64 > options.number("MAX_RECEIVED_LINES", 50)
        || message.received as i64 > options.number("MAX_TOTAL_RECEIVED_LINES", 100)
        || message.received_here as i64 > options.number("MAX_LOCAL_RECEIVED_LINES", 10);
    let many = to
        .site
        .channel(&transaction.envelope.source_channel)
        .and_then(|c| c.settings.hold_limit);
    let hold_all =
        transaction.hold || loops || many.is_some_and(|n| transaction.recipients.len() > n as usize);
    transaction.envelope.message_id.clone_from(&message.message_id);
    transaction.envelope.eight_bit = eight_bit;
    let mut versions: BTreeMap<Changed, BTreeMap<Share, Vec<(Recipient, Noted)>>> = BTreeMap::new();
    for (n, mut accepted) in transaction.recipients.iter().cloned().enumerate() {
        let changed = std::mem::take(&mut accepted.changed);
        let (channel, host) = match transaction.discard {
            true => (crate::queue::BITBUCKET.to_string(), String::new()),
            false => (accepted.channel, accepted.host),
        };
        let single = crate::queue::is_single(to.site, &channel);
        let holds = crate::queue::program(to.site, &channel) == Some(Program::Hold);
        let mut headers = transaction.headers.clone();
        headers.extend(accepted.headers);
        let share = Share {
            channel,
            host,
            held: hold_all || accepted.hold || holds,
            headers,
            subject_tag: accepted.subject_tag.or_else(|| transaction.subject_tag.clone()),
            edited: accepted.header,
            single: if single { n } else { 0 },
        };
        let shares = versions.entry(changed).or_default();
        shares
            .entry(share)
            .or_default()
            .push((accepted.recipient, accepted.noted));
    }
    let mut messages: Vec<NewMessage> = Vec::new();
    let mut noted = Vec::new();
    let mut came = Came::Here(message.content);
    for (changed, shares) in versions {
        let mut envelope = transaction.envelope.clone();
        changed.apply(&mut envelope);
        let (content, header) = match &changed.message {
            Some(own) => {
                envelope.eight_bit = !own.is_ascii();
                let header = own.slice(..header_len(own));
                (stored(to.spool, own.clone()).await?, header)
            }
            None => {
                let content = match std::mem::replace(&mut came, Came::With(messages.len())) {
                    Came::Here(content) => content,
                    Came::With(n) => {
                        came = Came::With(n);
                        let Some(first) = messages.get(n) else { continue };
                        let again = octets(to.spool, &first.content)?;
                        stored(to.spool, again).await?
                    }
                };
                (content, message.header.clone())
            }
        };
        let mut entries = Vec::new();
        for (share, recipients) in shares {
            let (recipients, said) = recipients.into_iter().unzip();
            noted.push(said);
            entries.push(NewEntry {
                overlay: share.header(&header),
                channel: share.channel,
                host: share.host,
                recipients,
                next_attempt: to.now,
                held: share.held,
                log_tag: String::new(),
            });
        }
        messages.push(NewMessage {
            envelope,
            content,
            header_len: header.len() as u32,
            entries,
        });
    }
    // all are on their way to one sync before any is waited for
    let commits: Vec<_> = messages.into_iter().map(|m| to.spool.enqueue(m)).collect();
    let mut entries = Vec::new();
    let mut failed = None;
    for commit in commits {
        match commit.await {
            Ok(ids) => entries.extend(ids),
            Err(error) => failed = Some(error),
        }
    }
    let Some(error) = failed else {
        return Ok(Queued { entries, noted });
    };
    // all or nothing: the sender is told that nothing was taken, and comes again with the whole
    for id in entries {
        if let Err(error) = to.spool.remove(id).await {
            crate::complain!("queue entry {id:?} of a message that was not taken: {error}");
        }
    }
    Err(error)
}

/// Where the body that came is.
enum Came {
    /// Nobody has it yet.
    Here(Content),
    /// With the message of this number.
    With(usize),
}

/// Content for the spool: what is too large to lie in its log goes to a file.
async fn stored(spool: &dyn Spool, content: Bytes) -> Result<Content, SpoolError> {
    if content.len() <= INLINE_LIMIT {
        return Ok(Content::Inline(content));
    }
    let mut file = spool.body_writer()?;
    file.write(&content)?;
    Ok(Content::Stored(file.finish().await?))
}

/// The octets of content that belongs to no message yet.
fn octets(spool: &dyn Spool, content: &Content) -> Result<Bytes, SpoolError> {
    match content {
        Content::Inline(bytes) => Ok(bytes.clone()),
        Content::Stored(body) => spool.stored(body.number, body.len),
    }
}

/// What the recipients of one queue entry have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    channel: String,
    host: String,
    held: bool,
    /// Header lines that tables add.
    headers: Vec<String>,
    subject_tag: Option<String>,
    /// The header, where it is another than the message's.
    edited: Option<Bytes>,
    /// Makes the share of one recipient its own.
    single: usize,
}

impl Share {
    /// The header of this share, where it is another than that of the message.
    fn header(&self, of_message: &Bytes) -> Option<Bytes> {
        let edited = self.edited.as_ref().filter(|e| *e != of_message);
        if self.headers.is_empty() && self.subject_tag.is_none() {
            return edited.cloned();
        }
        let base = edited.unwrap_or(of_message);
        Some(with_additions(base, &self.headers, self.subject_tag.as_deref()).into())
    }
}

/// A unique name for a transaction: time and a counter in base 36.
pub fn unique_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let micros = jiff::Timestamp::now().as_microsecond().max(0) as u128;
    let mut number = micros << 16 | u128::from(COUNTER.fetch_add(1, Ordering::Relaxed) & 0xffff);
    let mut digits = Vec::new();
    while number > 0 {
        let digit = char::from_digit((number % 36) as u32, 36).unwrap_or('0');
        digits.push(digit.to_ascii_uppercase());
        number /= 36;
    }
    digits.iter().rev().collect()
}
