//! A disk in memory that keeps no promise it has not made: for crash tests.
//!
//! [`SimDisk`] behaves as a running system sees a disk: what was written reads back at once. What would be
//! found after a power failure is a different matter, and [`SimDisk::crash`] shows one possible outcome:
//!
//! - of the bytes not synced, any prefix survives (none, all, part), and now and then sectors inside it read
//!   as zeros; each file fares on its own, so later writes may survive earlier ones;
//! - a name made, removed or renamed since the last sync of its directory may or may not be so;
//! - a failed sync dooms the bytes it was to save: later syncs succeed without saving them, and after the crash
//!   they are there or not, as chance has it.
//!
//! It can stop at the n-th changing call ([`SimDisk::crash_at`]; that call happens in part or whole and errors,
//! as does every later one), be of limited size ([`SimDisk::set_capacity`]), and fail one sync
//! ([`SimDisk::fail_sync`]). Clones share the disk. The chance is a function of the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, DiskLock};

/// The unit in which a disk loses data inside a file.
const SECTOR: usize = 512;

/// The simulated disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: Names,
    /// Names as they were at the last sync, and what was done to them since.
    durable: Names,
    pending: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    calls: u64,
    crash_at: Option<u64>,
    crashed: bool,
    capacity: Option<u64>,
    fail_syncs: BTreeSet<u64>,
    syncs: u64,
    syncs_after_failure: u64,
    fail_renames: u64,
}

#[derive(Clone, Default)]
struct Names {
    files: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Clone)]
enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    /// From, to, and what it is the name of.
    Rename(PathBuf, PathBuf, u64),
    Directory(PathBuf),
}

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    bytes: Vec<u8>,
    /// Cut below the durable length since the last sync.
    truncated: bool,
    /// A sync failed: what was not durable then never will be.
    doomed: bool,
}

impl Names {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Link(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            NameChange::Unlink(path) => {
                self.files.remove(path);
            }
            NameChange::Rename(from, to, inode) => {
                self.files.remove(from);
                self.files.insert(to.clone(), *inode);
            }
            NameChange::Directory(path) => {
                self.dirs.insert(path.clone());
            }
        }
    }
}

impl NameChange {
    /// A sync of `dir` makes it durable. A rename is one change, so that of either directory does.
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Directory(path) => path.parent() == Some(dir),
            Self::Rename(from, to, _) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}

/// SplitMix64: small, seedable, good enough for chance.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit.max(1) as u64)) as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

fn gone() -> io::Error {
    io::Error::other("the simulated machine has crashed")
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl State {
    /// Counts a changing call. `Ok(true)`: the machine stops during it.
    fn call(&mut self) -> io::Result<bool> {
        if self.crashed {
            return Err(gone());
        }
        self.crashed = self.crash_at == Some(self.calls);
        self.calls += 1;
        Ok(self.crashed)
    }

    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(gone()) } else { Ok(()) }
    }

    fn change(&mut self, change: NameChange) {
        self.names.apply(&change);
        self.pending.push(change);
    }

    fn used(&self) -> u64 {
        self.names
            .files
            .values()
            .filter_map(|n| self.inodes.get(n))
            .map(|i| i.bytes.len() as u64)
            .sum()
    }

    fn append(&mut self, inode: u64, bytes: &[u8]) -> io::Result<()> {
        let stops = self.call()?;
        let room = match self.capacity {
            Some(capacity) => usize::try_from(capacity.saturating_sub(self.used())).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let file = self.inodes.get_mut(&inode).ok_or_else(not_found)?;
        file.bytes.extend(bytes.iter().take(room));
        if stops {
            Err(gone())
        } else if room < bytes.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn sync(&mut self, inode: u64) -> io::Result<()> {
        let stops = self.call()?;
        let number = self.syncs;
        self.syncs += 1;
        let file = self.inodes.get_mut(&inode).ok_or_else(not_found)?;
        if stops {
            // Done or not: the crash decides, as for all that is not durable.
            return Err(gone());
        }
        if self.fail_syncs.remove(&number) {
            file.doomed = true;
            return Err(io::Error::other("simulated sync failure"));
        }
        if file.doomed {
            self.syncs_after_failure += 1;
        } else {
            if file.truncated {
                file.durable.clone_from(&file.bytes);
                file.truncated = false;
            } else {
                let tail = file.bytes.get(file.durable.len()..).unwrap_or_default();
                file.durable.extend_from_slice(tail);
            }
        }
        Ok(())
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// A disk of unlimited size with an empty root directory.
    pub fn new() -> Self {
        let mut state = State::default();
        for names in [&mut state.names, &mut state.durable] {
            names.dirs.insert(PathBuf::from("/"));
        }
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changing calls made so far: create, append, sync, truncate, rename, remove, directories.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Stops the machine during the changing call of this number, counted from 0 as [`SimDisk::calls`] does.
    pub fn crash_at(&self, call: u64) {
        self.state().crash_at = Some(call);
    }

    /// The machine has stopped.
    pub fn crashed(&self) -> bool {
        self.state().crashed
    }

    /// Limits the sum of all file lengths, in bytes; an append takes what fits and then fails. `None`: no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Sum of the lengths of all files that have a name.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Fails the n-th sync of a file from now, 0 being the next.
    pub fn fail_sync(&self, nth: u64) {
        let mut state = self.state();
        let number = state.syncs + nth;
        state.fail_syncs.insert(number);
    }

    /// Fails the next renames, so many of them.
    pub fn fail_renames(&self, count: u64) {
        self.state().fail_renames = count;
    }

    /// Syncs of a file of which a sync had failed before: each is a mistake of the caller.
    pub fn syncs_after_failure(&self) -> u64 {
        self.state().syncs_after_failure
    }

    /// Flips bits of one byte of a file, durably: what a failing disk does.
    pub fn damage(&self, path: &Path, offset: usize, mask: u8) {
        let mut state = self.state();
        let Some(inode) = state.names.files.get(path).copied() else {
            return;
        };
        if let Some(file) = state.inodes.get_mut(&inode) {
            for bytes in [&mut file.durable, &mut file.bytes] {
                if let Some(byte) = bytes.get_mut(offset) {
                    *byte ^= mask;
                }
            }
        }
    }

    /// The disk as the next process finds it when only the process died: nothing is lost, and nothing is more
    /// durable than it was. This disk is left as it is.
    pub fn kill(&self) -> SimDisk {
        let mut state = self.state().clone();
        (state.crashed, state.crash_at) = (false, None);
        state.locks.clear();
        state.fail_syncs.clear();
        SimDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The disk as it might be found after a power failure now. The same seed gives the same outcome; this
    /// disk is left as it is, so that one run can be crashed in many ways.
    pub fn crash(&self, seed: u64) -> SimDisk {
        let state = self.state();
        let mut chance = Chance(seed);
        // One seed in four spares the data, one in four the names: the extremes deserve more than their share.
        let (keep_data, keep_names) = (chance.below(4) == 0, chance.below(4) == 0);
        let mut names = state.durable.clone();
        for change in &state.pending {
            if keep_names || chance.coin() {
                names.apply(change);
            }
        }
        let Names { files, dirs } = &mut names;
        files.retain(|path, _| path.parent().is_none_or(|dir| dirs.contains(dir)));
        let mut inodes = BTreeMap::new();
        for inode in names.files.values() {
            let Some(file) = state.inodes.get(inode) else {
                continue;
            };
            let bytes = if keep_data {
                file.bytes.clone()
            } else {
                file.survive(&mut chance)
            };
            inodes.insert(
                *inode,
                Inode {
                    durable: bytes.clone(),
                    bytes,
                    ..Inode::default()
                },
            );
        }
        let after = State {
            inodes,
            next_inode: state.next_inode,
            durable: names.clone(),
            names,
            capacity: state.capacity,
            ..State::default()
        };
        SimDisk {
            state: Arc::new(Mutex::new(after)),
        }
    }
}

impl Inode {
    fn survive(&self, chance: &mut Chance) -> Vec<u8> {
        if self.truncated {
            return if chance.coin() {
                self.bytes.clone()
            } else {
                self.durable.clone()
            };
        }
        let start = self.durable.len();
        let unsynced = self.bytes.len() - start;
        let kept = match chance.below(4) {
            0 => 0,
            1 => unsynced,
            _ => chance.below(unsynced + 1),
        };
        let mut bytes = self.bytes.get(..start + kept).unwrap_or_default().to_vec();
        if chance.below(4) == 0 {
            let mut sector = start;
            while sector < bytes.len() {
                let end = ((sector / SECTOR + 1) * SECTOR).min(bytes.len());
                if chance.below(3) == 0
                    && let Some(lost) = bytes.get_mut(sector..end)
                {
                    lost.fill(0);
                }
                sector = end;
            }
        }
        bytes
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.state().append(self.inode, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.state().sync(self.inode)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let stops = state.call()?;
        let file = state.inodes.get_mut(&self.inode).ok_or_else(not_found)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        file.bytes.resize(len, 0);
        file.truncated |= len < file.durable.len();
        if stops { Err(gone()) } else { Ok(()) }
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let stops = state.call()?;
        if state.names.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if path.parent().is_some_and(|dir| !state.names.dirs.contains(dir)) {
            return Err(not_found());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        state.change(NameChange::Link(path.to_path_buf(), inode));
        if stops {
            Err(gone())
        } else {
            Ok(Box::new(SimFile {
                disk: self.clone(),
                inode,
            }))
        }
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        state.alive()?;
        let inode = *state.names.files.get(path).ok_or_else(not_found)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let state = self.state();
        state.alive()?;
        let inode = state.names.files.get(path).ok_or_else(not_found)?;
        let file = state.inodes.get(inode).ok_or_else(not_found)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let range = start..start.saturating_add(len);
        file.bytes
            .get(range)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let state = self.state();
        state.alive()?;
        let inode = state.names.files.get(path).ok_or_else(not_found)?;
        Ok(state.inodes.get(inode).map_or(0, |file| file.bytes.len() as u64))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state();
        state.alive()?;
        if !state.names.dirs.contains(dir) {
            return Err(not_found());
        }
        Ok(state
            .names
            .files
            .keys()
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let stops = state.call()?;
        let inode = *state.names.files.get(from).ok_or_else(not_found)?;
        if state.fail_renames > 0 {
            state.fail_renames -= 1;
            return Err(io::Error::other("simulated rename failure"));
        }
        state.change(NameChange::Rename(from.to_path_buf(), to.to_path_buf(), inode));
        if stops { Err(gone()) } else { Ok(()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let stops = state.call()?;
        if !state.names.files.contains_key(path) {
            return Err(not_found());
        }
        state.change(NameChange::Unlink(path.to_path_buf()));
        if stops { Err(gone()) } else { Ok(()) }
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let stops = state.call()?;
        let ancestors: Vec<PathBuf> = dir.ancestors().map(Path::to_path_buf).collect();
        for path in ancestors.into_iter().rev() {
            let change = NameChange::Directory(path);
            if stops {
                state.change(change);
            } else {
                state.names.apply(&change);
                state.durable.apply(&change);
            }
        }
        if stops { Err(gone()) } else { Ok(()) }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.call()? {
            return Err(gone());
        }
        let pending = std::mem::take(&mut state.pending);
        for change in pending {
            if change.is_in(dir) {
                state.durable.apply(&change);
            } else {
                state.pending.push(change);
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        let mut state = self.state();
        state.alive()?;
        if !state.locks.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_path_buf(),
        }))
    }
}
