//! The write side of the log: segment files, and what happens when one fails.
//!
//! One segment is written at a time. An append or sync that fails *poisons* it: it is never written or synced
//! again, because what is on the disk is then unknown. Bytes of the failed batch may be there, whole. So that
//! they never come back, the segment is **cut**: renamed from `NUMBER.log` to `NUMBER-LENGTH.cut`, where
//! LENGTH is the end of the last batch that counts, and the directory is synced. A rename needs no room on
//! the disk, and syncs another file than the one that failed. Until the cut is durable nothing more is
//! written, so that nothing acknowledged can ever depend on it.
//!
//! If the machine dies between a failed sync and a durable cut, the batch may be found whole. Its senders were
//! told to try again; they then cause duplicates, never a loss.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{BATCH_HEADER, SEGMENT_HEADER, SegmentHeader, seal_batch};
use crate::disk::{Disk, DiskFile};

/// The name of a segment file, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentName {
    pub(super) number: u64,
    /// How many bytes count; `None`: all.
    pub(super) cut: Option<u64>,
}

impl SegmentName {
    pub(super) fn parse(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if let Some(number) = name.strip_suffix(".log") {
            return Some(Self {
                number: number.parse().ok()?,
                cut: None,
            });
        }
        let (number, len) = name.strip_suffix(".cut")?.split_once('-')?;
        Some(Self {
            number: number.parse().ok()?,
            cut: Some(len.parse().ok()?),
        })
    }

    pub(super) fn path(self, dir: &Path) -> PathBuf {
        dir.join(match self.cut {
            None => format!("{:012}.log", self.number),
            Some(len) => format!("{:012}-{len}.cut", self.number),
        })
    }
}

struct Current {
    file: Box<dyn DiskFile>,
    number: u64,
    salt: u64,
    len: u64,
    sequence: u64,
}

/// A batch that was not written.
#[derive(Debug)]
pub(super) struct WriteFailure {
    pub(super) error: io::Error,
    /// It is certain that the batch will not be found after a crash.
    pub(super) certain: bool,
}

impl From<io::Error> for WriteFailure {
    fn from(error: io::Error) -> Self {
        Self { error, certain: true }
    }
}

/// Where a batch was written.
pub(super) struct Written {
    pub(super) segment: u64,
    /// Offset of the batch in the segment.
    pub(super) offset: u64,
    /// Length of the segment now.
    pub(super) len: u64,
}

/// What became of segment files, for the index.
pub(super) enum SegmentEvent {
    /// A new one, with its header written.
    Begun(u64, PathBuf),
    /// Renamed.
    Cut(u64, PathBuf),
}

/// The segment being written.
pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    limit: u64,
    next_number: u64,
    current: Option<Current>,
    uncut: Option<(u64, u64)>,
    events: Vec<SegmentEvent>,
}

impl Segments {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, limit: u64, next_number: u64) -> Self {
        Self {
            disk,
            dir,
            limit,
            next_number,
            current: None,
            uncut: None,
            events: Vec::new(),
        }
    }

    /// What happened to files since the last call.
    pub(super) fn events(&mut self) -> Vec<SegmentEvent> {
        std::mem::take(&mut self.events)
    }

    /// Writes one batch and makes it durable. `batch` begins with a hole of [`BATCH_HEADER`] bytes.
    pub(super) fn write(&mut self, batch: &mut [u8], next_id: u64) -> Result<Written, WriteFailure> {
        debug_assert!(batch.len() > BATCH_HEADER);
        self.cut()?;
        let limit = self.limit;
        let current = match self.current.take_if(|current| current.len < limit) {
            Some(current) => current,
            None => self.begin(next_id)?,
        };
        let current = self.current.insert(current);
        seal_batch(batch, current.salt, current.sequence);
        let outcome = current.file.append(batch).and_then(|()| current.file.sync());
        match outcome {
            Ok(()) => {
                let offset = current.len;
                current.len += batch.len() as u64;
                current.sequence += 1;
                Ok(Written {
                    segment: current.number,
                    offset,
                    len: current.len,
                })
            }
            Err(error) => {
                self.uncut = Some((current.number, current.len));
                self.current = None;
                let certain = self.cut().is_ok();
                Err(WriteFailure { error, certain })
            }
        }
    }

    /// Cuts the poisoned segment, if there is one.
    fn cut(&mut self) -> io::Result<()> {
        let Some((number, len)) = self.uncut else {
            return Ok(());
        };
        let from = SegmentName { number, cut: None }.path(&self.dir);
        let to = SegmentName {
            number,
            cut: Some(len),
        }
        .path(&self.dir);
        match self.disk.rename(&from, &to) {
            Ok(()) => self.events.push(SegmentEvent::Cut(number, to)),
            // An earlier try renamed it and then failed to sync the directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.disk.len(&to).is_ok() => {}
            Err(error) => return Err(error),
        }
        self.disk.sync_dir(&self.dir)?;
        self.uncut = None;
        Ok(())
    }

    fn begin(&mut self, next_id: u64) -> io::Result<Current> {
        let number = self.next_number;
        let salt = RandomState::new().build_hasher().finish();
        let path = SegmentName { number, cut: None }.path(&self.dir);
        let mut file = self.disk.create(&path)?;
        // The number is used up even if this fails: the name may come back after a crash.
        self.next_number += 1;
        let header = SegmentHeader {
            number,
            next_id,
            salt,
        }
        .encode();
        let outcome = file
            .append(&header)
            .and_then(|()| file.sync())
            .and_then(|()| self.disk.sync_dir(&self.dir));
        if let Err(error) = outcome {
            // Without a batch in it, it does no harm should the removal fail or not last.
            let _ = self.disk.remove(&path);
            return Err(error);
        }
        self.events.push(SegmentEvent::Begun(number, path));
        Ok(Current {
            file,
            number,
            salt,
            len: SEGMENT_HEADER as u64,
            sequence: 0,
        })
    }

    /// No segment waits for its cut.
    pub(super) fn settled(&self) -> bool {
        self.uncut.is_none()
    }

    /// The segment being written, which must not be removed.
    pub(super) fn current(&self) -> Option<u64> {
        self.current.as_ref().map(|current| current.number)
    }
}
