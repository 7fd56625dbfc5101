//! From the files to the queue, at start.
//!
//! Segments are replayed in the order of their numbers. Only the newest may end in a torn batch: it is cut
//! there (see [`super::segments`]) and counted as dropped; it was never acknowledged. The newest segment is
//! synced first, since a killed process leaves bytes that only the system's memory holds. (One gap stays: a
//! process killed between a failed sync and the cut that follows it. Its batch was not acknowledged, but may
//! be taken for good here and be gone after a power failure.)
//!
//! Anything else that does not read is **damage**: something had been acknowledged there. The damaged bytes
//! are copied to `damaged/`, the report says so, and what verifies around them is kept. A lost removal brings
//! its entry back (a duplicate), a lost message is gone from the queue but its bytes are in the copy.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::format::{BodyHead, Fault, Head, HeaderFault, Record, SEGMENT_HEADER, Scan, VERSION, scan};
use super::index::{BodyPlace, Index, Message, Segment, inline};
use super::segments::SegmentName;
use crate::disk::Disk;
use crate::spool::SpoolError;

/// What opening a spool found.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Messages in the queue.
    pub messages: usize,
    /// Entries in the queue.
    pub entries: usize,
    /// Segments read.
    pub segments: usize,
    /// Bytes read from segments.
    pub bytes: u64,
    /// Bytes of a batch that was being written when the machine stopped; nothing acknowledged is among them.
    pub dropped_bytes: u64,
    /// Body files that no message claimed, removed.
    pub orphan_bodies: usize,
    /// What was acknowledged once and does not read now. Empty on a healthy disk.
    pub problems: Vec<Problem>,
    /// Time it took.
    pub elapsed: Duration,
    /// Every entry with a number up to this one may have been tried before this start; later ones were not.
    pub last_id: u64,
}

/// Damage found while opening a spool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}{}", path.display(), preserved.as_ref().map(|p| format!("; the damaged bytes are kept in {}", p.display())).unwrap_or_default())]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// Where the damaged bytes were copied to.
    pub preserved: Option<PathBuf>,
}

/// Names below the spool's directory.
pub(super) struct Layout {
    pub(super) root: PathBuf,
    pub(super) segments: PathBuf,
    pub(super) bodies: PathBuf,
    pub(super) damaged: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            segments: root.join("segments"),
            bodies: root.join("bodies"),
            damaged: root.join("damaged"),
        }
    }

    pub(super) fn body(&self, number: u64) -> PathBuf {
        self.bodies.join(number.to_string())
    }
}

/// What the engine starts from.
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) next_id: u64,
    pub(super) next_segment: u64,
    /// Segments up to this one are damaged: copy what lives in them forward.
    pub(super) retire_through: u64,
    pub(super) report: Recovery,
}

pub(super) fn recover(disk: &dyn Disk, layout: &Layout) -> Result<Recovered, SpoolError> {
    let started = Instant::now();
    let mut replay = Replay {
        disk,
        layout,
        index: Index::default(),
        next_id: 1,
        retire_through: 0,
        report: Recovery::default(),
    };
    let files = replay.segment_files()?;
    let next_segment = files.last().map_or(1, |(name, _)| name.number.saturating_add(1));
    let newest = replay.newest(&files)?;
    for (name, path) in files {
        replay.segment(name, &path, Some(name.number) == newest)?;
    }
    replay.bodies()?;
    let Replay {
        index,
        next_id,
        retire_through,
        mut report,
        ..
    } = replay;
    report.messages = index.messages().len();
    report.entries = index.entry_count();
    report.last_id = next_id.saturating_sub(1);
    report.elapsed = started.elapsed();
    Ok(Recovered {
        index,
        next_id,
        next_segment,
        retire_through,
        report,
    })
}

struct Replay<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    index: Index,
    next_id: u64,
    retire_through: u64,
    report: Recovery,
}

impl Replay<'_> {
    fn segment_files(&mut self) -> Result<Vec<(SegmentName, PathBuf)>, SpoolError> {
        let mut files: Vec<_> = self
            .disk
            .list(&self.layout.segments)?
            .into_iter()
            .filter_map(|path| SegmentName::parse(&path).map(|name| (name, path)))
            .collect();
        // Of two files with one number the cut one comes first and wins.
        files.sort_by_key(|(name, _)| (name.number, name.cut.is_none(), name.cut));
        files.dedup_by(|(later, path), (first, _)| {
            let twice = later.number == first.number;
            if twice {
                self.report.problems.push(Problem {
                    path: path.clone(),
                    what: "a second file of one segment is ignored; move it away".into(),
                    preserved: None,
                });
            }
            twice
        });
        Ok(files)
    }

    /// The newest segment that was ever complete enough to hold a batch.
    fn newest(&self, files: &[(SegmentName, PathBuf)]) -> Result<Option<u64>, SpoolError> {
        for (name, path) in files.iter().rev() {
            if self.disk.len(path)? > SEGMENT_HEADER as u64 {
                return Ok(Some(name.number));
            }
        }
        Ok(None)
    }

    fn segment(&mut self, name: SegmentName, path: &Path, newest: bool) -> Result<(), SpoolError> {
        let disk = self.disk;
        let whole = disk.len(path)?;
        let counts = name.cut.map_or(whole, |cut| cut.min(whole));
        if newest && name.cut.is_none() {
            disk.open_append(path).and_then(|mut file| file.sync())?;
        }
        let len = usize::try_from(counts)
            .map_err(|_| SpoolError::Corrupt(format!("{} is too large", path.display())))?;
        let bytes = disk.read_at(path, 0, len)?;
        self.report.segments += 1;
        self.report.bytes += counts;
        self.index
            .segments
            .insert(name.number, Segment::new(path.to_path_buf(), counts));

        let may_be_torn = newest && name.cut.is_none();
        let result = scan(&bytes, may_be_torn, &mut |record| {
            self.record(name.number, record)
        });
        match result.header {
            Ok(header) => self.next_id = self.next_id.max(header.next_id),
            Err(HeaderFault::Version(found)) => {
                return Err(SpoolError::Unusable(format!(
                    "{} has format version {found} and this server reads version {VERSION}; empty the queue with the \
                     server that wrote it",
                    path.display()
                )));
            }
            Err(_) if whole <= SEGMENT_HEADER as u64 => {
                // A segment whose making was interrupted: nothing was ever written to it.
                self.report.dropped_bytes += whole;
                self.index.segments.remove(&name.number);
                disk.remove(path)?;
                return Ok(disk.sync_dir(&self.layout.segments)?);
            }
            Err(_) => {}
        }
        self.judge(name, path, &bytes, result, may_be_torn)?;
        if name.cut.is_some_and(|cut| cut > whole) {
            self.problem(
                name.number,
                path,
                &bytes,
                0..0,
                format!("{} bytes are missing at the end", name.cut.unwrap_or(0) - whole),
            )?;
        }
        Ok(())
    }

    fn judge(
        &mut self,
        name: SegmentName,
        path: &Path,
        bytes: &[u8],
        result: Scan,
        may_be_torn: bool,
    ) -> Result<(), SpoolError> {
        if result.header.is_err() {
            // Without its header the number of the next id is what the records say.
            let all = result.end <= SEGMENT_HEADER && result.faults.is_empty();
            let range = 0..if all { bytes.len() } else { SEGMENT_HEADER };
            self.problem(
                name.number,
                path,
                bytes,
                range,
                "the segment's header is damaged".into(),
            )?;
        }
        for Fault {
            range,
            salvaged,
            at_end,
        } in result.faults
        {
            if at_end && may_be_torn {
                self.report.dropped_bytes += range.len() as u64;
                let cut = SegmentName {
                    number: name.number,
                    cut: Some(range.start as u64),
                };
                let to = cut.path(&self.layout.segments);
                self.disk.rename(path, &to)?;
                self.disk.sync_dir(&self.layout.segments)?;
                self.index.segments.entry(name.number).and_modify(|segment| {
                    segment.path = to;
                    segment.len = range.start as u64;
                });
                continue;
            }
            let what = if range.is_empty() {
                format!("batches are missing before byte {}", range.start)
            } else {
                format!(
                    "bytes {} to {} are damaged; {salvaged} records in them still read",
                    range.start, range.end
                )
            };
            self.problem(name.number, path, bytes, range, what)?;
        }
        Ok(())
    }

    fn problem(
        &mut self,
        segment: u64,
        path: &Path,
        bytes: &[u8],
        range: Range<usize>,
        what: String,
    ) -> Result<(), SpoolError> {
        let preserved = match bytes.get(range.clone()) {
            Some(lost) if !lost.is_empty() => Some(self.preserve(segment, lost, &range)?),
            _ => None,
        };
        self.report.problems.push(Problem {
            path: path.to_path_buf(),
            what,
            preserved,
        });
        self.retire_through = self.retire_through.max(segment);
        Ok(())
    }

    fn preserve(&self, segment: u64, lost: &[u8], range: &Range<usize>) -> io::Result<PathBuf> {
        let dir = &self.layout.damaged;
        self.disk.create_dir(dir)?;
        let path = dir.join(format!("{segment:012}-{}-{}.damaged", range.start, range.end));
        match self.disk.len(&path) {
            Ok(len) if len == lost.len() as u64 => return Ok(path),
            Ok(_) => self.disk.remove(&path)?,
            Err(_) => {}
        }
        let mut file = self.disk.create(&path)?;
        file.append(lost)?;
        file.sync()?;
        self.disk.sync_dir(dir)?;
        Ok(path)
    }

    fn seen(&mut self, number: u64) {
        self.next_id = self.next_id.max(number.saturating_add(1));
    }

    fn record(&mut self, segment: u64, record: Record<'_>) {
        match record.head {
            Head::Message(head) => {
                let body = match head.body {
                    BodyHead::Inline { crc } => inline(&record.body, 0, crc),
                    BodyHead::File { number, len, crc } => {
                        self.seen(number);
                        BodyPlace::File { number, len, crc }
                    }
                };
                let number = head.number;
                self.seen(number);
                let entries = head.into_entries();
                let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
                ids.iter().for_each(|id| self.seen(id.0));
                let message = Message {
                    segment,
                    record_len: record.len as u64,
                    body,
                    entries: ids,
                };
                self.index.put(number, message, entries);
            }
            Head::Update(id, change) => {
                self.seen(id.0);
                self.index.update(id, &change);
            }
            Head::Remove(id) => {
                self.seen(id.0);
                self.index.remove(id);
            }
        }
    }

    /// Removes body files that belong to no message, and finds those that should be there. Where anything is
    /// damaged, a body that nobody claims may be that of a lost message: it is kept with the damaged bytes.
    fn bodies(&mut self) -> Result<(), SpoolError> {
        let damaged = !self.report.problems.is_empty();
        let mut claimed = HashSet::new();
        let mut missing = Vec::new();
        for message in self.index.messages().values() {
            if let BodyPlace::File { number, len, .. } = message.body {
                claimed.insert(number);
                let path = self.layout.body(number);
                if self.disk.len(&path).ok() != Some(len) {
                    missing.push(Problem {
                        path,
                        what: format!(
                            "the body of queue entries {:?} is missing or not {len} bytes long",
                            message.entries
                        ),
                        preserved: None,
                    });
                }
            }
        }
        self.report.problems.append(&mut missing);
        let mut unclaimed = Vec::new();
        for path in self.disk.list(&self.layout.bodies)? {
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(number) = name.and_then(|name| name.parse().ok()) {
                self.seen(number);
                if !claimed.contains(&number) {
                    unclaimed.push((number, path));
                }
            }
        }
        if unclaimed.is_empty() {
            return Ok(());
        }
        if damaged {
            self.disk.create_dir(&self.layout.damaged)?;
        }
        for (number, path) in unclaimed {
            if !damaged {
                self.disk.remove(&path)?;
                self.report.orphan_bodies += 1;
                continue;
            }
            let kept = self.layout.damaged.join(format!("body-{number}"));
            self.disk.rename(&path, &kept)?;
            self.report.problems.push(Problem {
                path,
                what: "no message claims this body; it may be that of one that is lost".into(),
                preserved: Some(kept),
            });
        }
        if damaged {
            self.disk.sync_dir(&self.layout.damaged)?;
        }
        self.disk.sync_dir(&self.layout.bodies)?;
        Ok(())
    }
}
