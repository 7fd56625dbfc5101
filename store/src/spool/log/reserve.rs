//! Room kept for removals: a file of zeros that is given up when the disk is full.
//!
//! A removal must be recorded before it frees anything, so a queue on a full disk could never shrink. The
//! reserve breaks the circle: when a batch fails for want of room it is deleted, and updates and removals use
//! what it held. While it is away no message is taken: each one first tries to make the reserve again, and is
//! refused with [`SpoolError::Full`] where that fails. So service resumes once there is room for the reserve.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::Disk;
use crate::spool::SpoolError;

pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    size: u64,
    held: Mutex<bool>,
}

impl Reserve {
    /// Takes up the reserve that is there, or makes it; on a full disk it starts released.
    pub(super) fn open(disk: Arc<dyn Disk>, path: PathBuf, size: u64) -> Self {
        let there = disk.len(&path).is_ok_and(|len| len == size);
        let reserve = Self {
            disk,
            path,
            size,
            held: Mutex::new(there),
        };
        if !there {
            let _ = reserve.ensure();
        }
        reserve
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held(&self) -> bool {
        *self.lock()
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Gives its room to whoever writes next.
    pub(super) fn release(&self) {
        let mut held = self.lock();
        if *held && self.size > 0 {
            *held = false;
            let _ = self.disk.remove(&self.path);
        }
    }

    /// Makes it again if it was released.
    pub(super) fn ensure(&self) -> Result<(), SpoolError> {
        let mut held = self.lock();
        if !*held && self.size > 0 {
            if self.disk.len(&self.path).is_ok() {
                self.disk.remove(&self.path)?;
            }
            if let Err(error) = self.make() {
                let _ = self.disk.remove(&self.path);
                return Err(error.into());
            }
        }
        *held = true;
        Ok(())
    }

    fn make(&self) -> io::Result<()> {
        const PIECE: u64 = 64 * 1024;
        let mut file = self.disk.create(&self.path)?;
        let mut left = self.size;
        while left > 0 {
            let piece = left.min(PIECE);
            file.append(&vec![0; piece as usize])?;
            left -= piece;
        }
        // Some file systems find room for the bytes only now.
        file.sync()
    }
}
