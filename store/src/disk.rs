//! The file calls that durability rests on, and nothing more.
//!
//! [`Disk`] is the real file system or its simulated twin. The contract is that of POSIX on a
//! journalling file system, taken pessimistically: what was appended is durable after
//! [`DiskFile::sync`] of the file; that a *name* exists (or is gone) is durable after
//! [`Disk::sync_dir`] of its directory. A failed sync says nothing about what is on the disk: never
//! sync the same file again after it.

mod real;
pub mod sim;

use std::io;
use std::path::{Path, PathBuf};

pub use real::RealDisk;

/// Holds a lock file until it is dropped; see [`Disk::lock`].
pub type DiskLock = Box<dyn Send + Sync>;

/// The error means that there is no room (or no quota) for more bytes.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A file open for appending.
pub trait DiskFile: Send {
    /// Appends bytes; not durable until [`DiskFile::sync`] returns.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything appended so far durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A directory tree on stable storage.
pub trait Disk: Send + Sync {
    /// Creates a file that must not exist.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for appending.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Reads `len` bytes at `offset`; an error where the file is shorter.
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Length of a file in bytes.
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Files (not directories) of a directory, unordered.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Renames within one directory tree, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory and its parents where they are missing. Their names are durable on return, and so is
    /// the name of `dir` if it was there before: whoever made it may have died before syncing it.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock file `path`, made if missing, for as long as the result lives. Another holder, in this
    /// process or any other: [`io::ErrorKind::WouldBlock`]. The lock of a dead process is free.
    fn lock(&self, path: &Path) -> io::Result<DiskLock>;
}
