//! What a segment file looks like, to the byte, and how to read one that may be damaged.
//!
//! All numbers are little-endian. A segment is one header and then batches; a batch is one header and then
//! records; a batch was written by one append and made durable by one sync.
//!
//! ```text
//! segment  magic "SLUICESP" | version u32 | number u64 | next id u64 | salt u64 | crc32 u32      (40 bytes)
//! batch    salt u64 | sequence u64 | length of its records u32 | crc32 u32                       (24 bytes)
//! record   length u32 | crc32 u32 | length of head u32 | head (postcard) | inline body           (12 bytes +)
//! ```
//!
//! A record's crc covers its length and everything after the crc. The salt is chosen at random for each
//! segment: bytes that a sender put into a message can therefore never pass for a batch, even while looking
//! for the next readable one behind damage. Sequence numbers of batches begin at 0 and have no gaps.
//!
//! [`scan`] reads any bytes at all without panic and without allocating more than a small multiple of them.
//! It keeps a batch only when all its records are whole; that is what makes a commit atomic. It leaves to the
//! caller to say whether bytes that do not read are a torn tail (never acknowledged) or damage, and offers the
//! records of damaged batches that still verify.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, Recipient, Time};
use crate::spool::{Attempt, Change, Entry, EntryId};

/// The format this code writes, and the only one it reads.
pub(super) const VERSION: u32 = 1;

/// Length of a segment header.
pub(super) const SEGMENT_HEADER: usize = 40;

/// Length of a batch header.
pub(super) const BATCH_HEADER: usize = 24;

/// Length of what comes before a record's head.
pub(super) const RECORD_HEADER: usize = 12;

/// The largest record: an inline body with its overlays and recipients fits many times over.
pub const MAX_RECORD: usize = 32 * 1024 * 1024;

const MAGIC: &[u8; 8] = b"SLUICESP";

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u64,
    /// No id from here on had been used when the segment was begun.
    pub(super) next_id: u64,
    pub(super) salt: u64,
}

/// Why the header of a segment does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// The file ends before the header does.
    Short,
    /// The bytes are not a header.
    Damaged,
    /// Another version of the format.
    Version(u32),
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let slice = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(slice.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let slice = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(slice.try_into().ok()?))
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.next_id.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let header = bytes.get(..SEGMENT_HEADER).ok_or(HeaderFault::Short)?;
        if !header.starts_with(MAGIC) {
            return Err(HeaderFault::Damaged);
        }
        let field = |at| u64_at(header, at).ok_or(HeaderFault::Short);
        let version = u32_at(header, 8).ok_or(HeaderFault::Short)?;
        let sound = header.get(..36).map(crc32fast::hash) == u32_at(header, 36);
        // A later format may have a longer header: its version counts even where this crc does not.
        match (version, sound) {
            (VERSION, true) => Ok(Self {
                number: field(12)?,
                next_id: field(20)?,
                salt: field(28)?,
            }),
            (VERSION, false) | (0, _) => Err(HeaderFault::Damaged),
            (other, _) if other > 1000 => Err(HeaderFault::Damaged),
            (other, _) => Err(HeaderFault::Version(other)),
        }
    }
}

/// Fills the hole of [`BATCH_HEADER`] bytes at the start of a batch.
pub(super) fn seal_batch(batch: &mut [u8], salt: u64, sequence: u64) {
    let Some(len) = batch.len().checked_sub(BATCH_HEADER) else {
        return;
    };
    let mut header = [0; BATCH_HEADER];
    let fields = [
        &salt.to_le_bytes()[..],
        &sequence.to_le_bytes(),
        &(len as u32).to_le_bytes(),
    ]
    .concat();
    let crc = crc32fast::hash(&fields);
    for (to, from) in header.iter_mut().zip(fields.iter().chain(&crc.to_le_bytes())) {
        *to = *from;
    }
    if let Some(hole) = batch.get_mut(..BATCH_HEADER) {
        hole.copy_from_slice(&header);
    }
}

#[derive(Clone, Copy)]
struct BatchHeader {
    salt: u64,
    sequence: u64,
    len: usize,
}

impl BatchHeader {
    fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let fields = bytes.get(at..at.checked_add(BATCH_HEADER - 4)?)?;
        if crc32fast::hash(fields) != u32_at(bytes, at + BATCH_HEADER - 4)? {
            return None;
        }
        Some(Self {
            salt: u64_at(fields, 0)?,
            sequence: u64_at(fields, 8)?,
            len: u32_at(fields, 16)? as usize,
        })
    }
}

/// Where the bytes of a message are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum BodyHead {
    /// Behind the head, in the record.
    Inline { crc: u32 },
    /// In a file of its own.
    File { number: u64, len: u64, crc: u32 },
}

/// An [`Entry`] without what it shares with the other entries of its message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryHead<'a> {
    id: EntryId,
    channel: Cow<'a, str>,
    host: Cow<'a, str>,
    recipients: Cow<'a, [Recipient]>,
    overlay: Option<Bytes>,
    attempts: u32,
    next_attempt: Time,
    held: bool,
    warnings: u8,
    history: Cow<'a, [Attempt]>,
    log_tag: Cow<'a, str>,
}

/// A message with its live entries as they stand: written when it is stored, and again when it is copied
/// forward. The later record replaces the earlier one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MessageHead<'a> {
    pub(super) number: u64,
    pub(super) size: u64,
    pub(super) header_len: u32,
    pub(super) body: BodyHead,
    envelope: Cow<'a, Envelope>,
    entries: Vec<EntryHead<'a>>,
}

/// What a record says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Head<'a> {
    /// A message is in the queue.
    Message(MessageHead<'a>),
    /// An entry changed.
    Update(EntryId, Cow<'a, Change>),
    /// An entry is gone.
    Remove(EntryId),
}

impl<'a> MessageHead<'a> {
    /// `entries` must be of one message.
    pub(super) fn new(
        number: u64,
        body: BodyHead,
        envelope: &'a Envelope,
        entries: &'a [std::sync::Arc<Entry>],
    ) -> Self {
        let heads = entries.iter().map(|entry| EntryHead {
            id: entry.id,
            channel: Cow::Borrowed(&entry.channel),
            host: Cow::Borrowed(&entry.host),
            recipients: Cow::Borrowed(&entry.recipients),
            overlay: entry.overlay.clone(),
            attempts: entry.attempts,
            next_attempt: entry.next_attempt,
            held: entry.held,
            warnings: entry.warnings,
            history: Cow::Borrowed(&entry.history),
            log_tag: Cow::Borrowed(&entry.log_tag),
        });
        Self {
            number,
            size: entries.first().map_or(0, |entry| entry.size),
            header_len: entries.first().map_or(0, |entry| entry.stored_header_len),
            body,
            envelope: Cow::Borrowed(envelope),
            entries: heads.collect(),
        }
    }

    /// The entries, sharing one envelope.
    pub(super) fn into_entries(self) -> Vec<std::sync::Arc<Entry>> {
        let envelope = std::sync::Arc::new(self.envelope.into_owned());
        let entry = |head: EntryHead<'_>| Entry {
            id: head.id,
            channel: head.channel.into_owned(),
            host: head.host.into_owned(),
            envelope: envelope.clone(),
            recipients: head.recipients.into_owned(),
            size: self.size,
            stored_header_len: self.header_len,
            overlay: head.overlay,
            attempts: head.attempts,
            next_attempt: head.next_attempt,
            held: head.held,
            warnings: head.warnings,
            history: head.history.into_owned(),
            log_tag: head.log_tag.into_owned(),
        };
        self.entries
            .into_iter()
            .map(|head| std::sync::Arc::new(entry(head)))
            .collect()
    }
}

/// A record ready to be written, and where its inline body lies in it.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) body: Range<usize>,
}

/// Why a record cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    #[error(
        "a record of {0} bytes is larger than the {MAX_RECORD} bytes the queue takes; split the recipients"
    )]
    TooLarge(usize),
    #[error("the record cannot be encoded: {0}")]
    Encoding(postcard::Error),
}

/// Encodes a record. `body` is `(bytes, crc32 of them)`.
pub(super) fn encode(head: &Head<'_>, body: Option<(&[u8], u32)>) -> Result<Encoded, EncodeError> {
    let (body, body_crc) = body.unwrap_or((&[], 0));
    let mut bytes = Vec::with_capacity(RECORD_HEADER + 512 + body.len());
    bytes.resize(RECORD_HEADER, 0);
    let mut bytes = postcard::to_extend(head, bytes).map_err(EncodeError::Encoding)?;
    let head_len = bytes.len() - RECORD_HEADER;
    let total = bytes.len().saturating_add(body.len());
    if total > MAX_RECORD {
        return Err(EncodeError::TooLarge(total));
    }
    let length = ((total - 8) as u32).to_le_bytes();
    if let Some(fields) = bytes.get_mut(..RECORD_HEADER) {
        fields[..4].copy_from_slice(&length);
        fields[8..].copy_from_slice(&(head_len as u32).to_le_bytes());
    }
    // The body's own checksum is already known: it is combined, not computed again.
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length);
    crc.update(bytes.get(8..).unwrap_or_default());
    crc.combine(&crc32fast::Hasher::new_with_initial_len(
        body_crc,
        body.len() as u64,
    ));
    if let Some(field) = bytes.get_mut(4..8) {
        field.copy_from_slice(&crc.finalize().to_le_bytes());
    }
    let start = bytes.len();
    bytes.extend_from_slice(body);
    Ok(Encoded {
        bytes: bytes.into(),
        body: start..total,
    })
}

/// A record that verified.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) head: Head<'a>,
    /// Length of the whole record.
    pub(super) len: usize,
    /// Its inline body in the segment.
    pub(super) body: Range<usize>,
}

/// Reads the record at `at`. `Err` says how far to go to skip it: the length field may itself be wrong.
fn record_at(bytes: &[u8], at: usize, end: usize) -> Result<Record<'_>, Option<usize>> {
    let len = u32_at(bytes, at).ok_or(None)? as usize;
    let next = at
        .checked_add(8)
        .and_then(|start| start.checked_add(len))
        .filter(|next| *next <= end)
        .ok_or(None)?;
    let skip = Some(next);
    let crc = u32_at(bytes, at + 4).ok_or(None)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(len as u32).to_le_bytes());
    hasher.update(bytes.get(at + 8..next).ok_or(None)?);
    if hasher.finalize() != crc {
        return Err(skip);
    }
    let start = at + RECORD_HEADER;
    let body = u32_at(bytes, at + 8)
        .and_then(|head| start.checked_add(head as usize))
        .ok_or(skip)?;
    let head = bytes
        .get(start..body.min(next))
        .filter(|_| body <= next)
        .ok_or(skip)?;
    let head = postcard::from_bytes(head).map_err(|_| skip)?;
    Ok(Record {
        head,
        len: next - at,
        body: body..next,
    })
}

/// A stretch of a segment that does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) range: Range<usize>,
    /// Records inside it that read nevertheless.
    pub(super) salvaged: usize,
    /// Nothing that reads comes after it.
    pub(super) at_end: bool,
}

/// What [`scan`] found.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) header: Result<SegmentHeader, HeaderFault>,
    pub(super) faults: Vec<Fault>,
    /// End of the last whole batch.
    pub(super) end: usize,
}

/// At most so many faults are told apart in one segment; the rest is one fault.
const MAX_FAULTS: usize = 64;

/// Reads a segment, handing each record that counts to `take`, in order.
///
/// `tail_may_be_torn`: bytes at the end that are no whole batch are dropped with all their records, being an
/// append that never completed. Otherwise every record that verifies is taken.
pub(super) fn scan<'a>(bytes: &'a [u8], tail_may_be_torn: bool, take: &mut dyn FnMut(Record<'a>)) -> Scan {
    let header = SegmentHeader::decode(bytes);
    let mut result = Scan {
        header,
        faults: Vec::new(),
        end: SEGMENT_HEADER.min(bytes.len()),
    };
    // A damaged segment header costs no batch: each batch repeats the salt.
    let salt = match header {
        Ok(header) => header.salt,
        Err(HeaderFault::Damaged) => match BatchHeader::at(bytes, SEGMENT_HEADER) {
            Some(first) => first.salt,
            None => return result,
        },
        Err(_) => return result,
    };
    let (mut at, mut expected) = (SEGMENT_HEADER, 0);
    while at < bytes.len() {
        let header = BatchHeader::at(bytes, at).filter(|b| b.salt == salt && b.sequence >= expected);
        if let Some(header) = header {
            let start = at + BATCH_HEADER;
            let end = start.saturating_add(header.len);
            if header.sequence == expected
                && end <= bytes.len()
                && let Some(records) = whole_batch(bytes, start, end)
            {
                records.into_iter().for_each(&mut *take);
                (at, expected) = (end, expected + 1);
                result.end = end;
                continue;
            }
            if header.sequence > expected && end <= bytes.len() && whole_batch(bytes, start, end).is_some() {
                // The batches between are missing altogether.
                result.faults.push(Fault {
                    range: at..at,
                    salvaged: 0,
                    at_end: false,
                });
                expected = header.sequence;
                continue;
            }
        }
        let search = result.faults.len() < MAX_FAULTS;
        let next = if search {
            next_batch(bytes, at + 1, salt, expected)
        } else {
            None
        };
        let until = next.map_or(bytes.len(), |(offset, _)| offset);
        let mut salvaged = 0;
        if let Some(header) = header
            && (next.is_some() || !tail_may_be_torn)
        {
            let start = at + BATCH_HEADER;
            salvaged = salvage(bytes, start, start.saturating_add(header.len).min(until), take);
        }
        result.faults.push(Fault {
            range: at..until,
            salvaged,
            at_end: search && next.is_none(),
        });
        let Some((offset, sequence)) = next else { break };
        (at, expected) = (offset, sequence);
    }
    result
}

fn whole_batch(bytes: &[u8], start: usize, end: usize) -> Option<Vec<Record<'_>>> {
    let mut records = Vec::new();
    let mut at = start;
    while at < end {
        let record = record_at(bytes, at, end).ok()?;
        at += record.len;
        records.push(record);
    }
    Some(records)
}

fn salvage<'a>(bytes: &'a [u8], start: usize, end: usize, take: &mut dyn FnMut(Record<'a>)) -> usize {
    let (mut at, mut salvaged) = (start, 0);
    while at < end {
        match record_at(bytes, at, end) {
            Ok(record) => {
                at += record.len;
                salvaged += 1;
                take(record);
            }
            Err(Some(next)) => at = next,
            Err(None) => break,
        }
    }
    salvaged
}

fn next_batch(bytes: &[u8], from: usize, salt: u64, expected: u64) -> Option<(usize, u64)> {
    let needle = salt.to_le_bytes();
    let mut at = from;
    loop {
        at += bytes
            .get(at..)?
            .windows(needle.len())
            .position(|window| *window == needle)?;
        if let Some(header) = BatchHeader::at(bytes, at)
            && header.sequence >= expected
        {
            return Some((at, header.sequence));
        }
        at += 1;
    }
}
