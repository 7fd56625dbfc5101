//! Large bodies: a file each, complete and synced before any record speaks of it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Shared;
use crate::disk::DiskFile;
use crate::spool::{BodyWriter, Commit, SpoolError, StoredBody};

/// Bytes gathered before they are given to the file system.
const BUFFER: usize = 64 * 1024;

/// Bodies synced at one time; further ones wait.
pub(super) const SYNCERS: usize = 8;

/// What is known of a complete body that belongs to no message yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyFacts {
    pub(super) len: u64,
    pub(super) crc: u32,
}

/// Removes the file unless it is told not to.
struct Unclaimed {
    shared: Arc<Shared>,
    number: u64,
    path: Option<PathBuf>,
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Unclaimed {
    fn remove(&mut self) {
        if let Some(path) = self.path.take() {
            self.shared.bodies().remove(&self.number);
            // What cannot be removed now is an orphan, and goes at the next start.
            let _ = self.shared.disk.remove(&path);
        }
    }
}

pub(super) struct FileBody {
    unclaimed: Unclaimed,
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    len: u64,
    crc: crc32fast::Hasher,
    failed: Option<SpoolError>,
}

impl FileBody {
    pub(super) fn create(shared: Arc<Shared>) -> Result<Self, SpoolError> {
        shared.reserve.ensure()?;
        let number = shared.new_id();
        let path = shared.layout.body(number);
        let file = shared.disk.create(&path)?;
        Ok(Self {
            unclaimed: Unclaimed {
                shared,
                number,
                path: Some(path),
            },
            file,
            buffer: Vec::with_capacity(BUFFER),
            len: 0,
            crc: crc32fast::Hasher::new(),
            failed: None,
        })
    }

    fn flush(&mut self) -> Result<(), SpoolError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if !self.buffer.is_empty()
            && let Err(error) = self.file.append(&self.buffer)
        {
            let error = SpoolError::from(error);
            self.failed = Some(error.clone());
            return Err(error);
        }
        self.buffer.clear();
        Ok(())
    }

    fn sync(mut self) -> Result<StoredBody, SpoolError> {
        self.flush()?;
        self.file.sync()?;
        let shared = self.unclaimed.shared.clone();
        shared.disk.sync_dir(&shared.layout.bodies)?;
        let Self {
            mut unclaimed,
            len,
            crc,
            ..
        } = self;
        let number = unclaimed.number;
        shared.bodies().insert(
            number,
            BodyFacts {
                len,
                crc: crc.finalize(),
            },
        );
        // From here on the file goes only if the guard is called, not if it is thrown away.
        let path = unclaimed.path.take();
        let guard = move || Unclaimed { shared, number, path }.remove();
        Ok(StoredBody {
            number,
            len,
            guard: Some(Box::new(guard)),
        })
    }
}

impl BodyWriter for FileBody {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.len += bytes.len() as u64;
        self.crc.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BUFFER - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() >= BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Commit<StoredBody> {
        Box::pin(async move {
            let syncers = self.unclaimed.shared.syncers.clone();
            let permit = syncers.acquire_owned().await.map_err(|_| SpoolError::Closed)?;
            let (done, wait) = oneshot::channel();
            // A thread a body: its sync may take long, and must hold up neither the caller's executor nor the
            // commits of small messages. The cost is small next to the sync.
            std::thread::Builder::new()
                .name("body-sync".into())
                .spawn(move || {
                    let _ = done.send(self.sync());
                    drop(permit);
                })?;
            wait.await.unwrap_or(Err(SpoolError::Closed))
        })
    }
}
