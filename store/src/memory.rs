//! Small durable memory: what was seen until when. Vacation replies and duplicate tests rest on it.
//!
//! One redb file. A key is remembered until a time; after it, it is as if it had never been seen. What
//! [`Memory::remember`] has taken is on stable storage when it returns. At most [`ENTRY_LIMIT`] keys are kept:
//! when there are more, those that expire first give way.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition};

use crate::envelope::Time;

/// Keys kept at most.
pub const ENTRY_LIMIT: u64 = 1_000_000;

/// Longest key, in octets, that is stored as it is.
pub const KEY_LIMIT: usize = 1024;

/// Insertions between two sweeps of what has expired.
const SWEEP: u64 = 1000;

const SEEN: TableDefinition<'_, &[u8], i64> = TableDefinition::new("seen");

/// Why the memory fails.
#[derive(Debug, thiserror::Error)]
#[error("the memory of replies and duplicates: {0}")]
pub struct MemoryError(#[from] redb::Error);

/// The memory.
#[derive(Debug)]
pub struct Memory {
    database: Database,
    inserted: AtomicU64,
}

/// The key as it is stored: one that is too long keeps its beginning, and the rest by a hash that nobody can aim at.
fn stored(key: &str) -> Cow<'_, [u8]> {
    let bytes = key.as_bytes();
    if bytes.len() <= KEY_LIMIT {
        return Cow::Borrowed(bytes);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let begin = bytes.get(..KEY_LIMIT - digest.as_ref().len()).unwrap_or_default();
    Cow::Owned([begin, digest.as_ref()].concat())
}

impl Memory {
    /// Opens the file, making it where it is not there.
    pub fn open(path: &Path) -> Result<Self, MemoryError> {
        let database = Database::create(path).map_err(redb::Error::from)?;
        let write = database.begin_write().map_err(redb::Error::from)?;
        write.open_table(SEEN).map_err(redb::Error::from)?;
        write.commit().map_err(redb::Error::from)?;
        Ok(Memory {
            database,
            inserted: AtomicU64::new(0),
        })
    }

    /// Whether a key is remembered at `now`.
    pub fn seen(&self, key: &str, now: Time) -> Result<bool, MemoryError> {
        let read = self.database.begin_read().map_err(redb::Error::from)?;
        let table = read.open_table(SEEN).map_err(redb::Error::from)?;
        let until = table.get(&*stored(key)).map_err(redb::Error::from)?;
        Ok(until.is_some_and(|u| u.value() > now))
    }

    /// Remembers a key until a time, unless it is remembered already; true if it was not. Blocks for a sync where
    /// it was not.
    pub fn remember(&self, key: &str, until: Time, now: Time) -> Result<bool, MemoryError> {
        if self.seen(key, now)? {
            return Ok(false);
        }
        // two at once: the later one finds what the earlier one wrote
        self.insert(key, until, now)
            .map(|before| before.is_none_or(|u| u <= now))
    }

    /// Remembers a key until a time, whether or not it is remembered. Blocks for a sync.
    pub fn renew(&self, key: &str, until: Time, now: Time) -> Result<(), MemoryError> {
        self.insert(key, until, now).map(|_| ())
    }

    fn insert(&self, key: &str, until: Time, now: Time) -> Result<Option<Time>, MemoryError> {
        let write = self.database.begin_write().map_err(redb::Error::from)?;
        let before = {
            let mut table = write.open_table(SEEN).map_err(redb::Error::from)?;
            let before = table.insert(&*stored(key), until).map_err(redb::Error::from)?;
            let before = before.map(|b| b.value());
            let inserted = self.inserted.fetch_add(1, Ordering::Relaxed);
            if inserted.is_multiple_of(SWEEP) {
                sweep(&mut table, now, ENTRY_LIMIT)?;
            }
            before
        };
        write.commit().map_err(redb::Error::from)?;
        Ok(before)
    }
}

/// Takes out what has expired, and of more than `limit` keys those that expire first.
fn sweep(table: &mut Table<'_, &[u8], Time>, now: Time, limit: u64) -> Result<(), MemoryError> {
    table.retain(|_, until| until > now).map_err(redb::Error::from)?;
    let len = table.len().map_err(redb::Error::from)?;
    let mut over = len.saturating_sub(limit);
    if over == 0 {
        return Ok(());
    }
    let all = table.iter().map_err(redb::Error::from)?;
    let mut times: Vec<Time> = all.filter_map(|e| Some(e.ok()?.1.value())).collect();
    let n = (over - 1) as usize;
    let (_, last, _) = times.select_nth_unstable(n);
    let last = *last;
    table
        .retain(|_, until| {
            let goes = over > 0 && until <= last;
            over -= u64::from(goes);
            !goes
        })
        .map_err(redb::Error::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_until_the_time_and_over_a_restart() {
        let dir = std::env::temp_dir().join(format!("sluice-memory-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("memory");
        let memory = Memory::open(&path).unwrap();
        assert!(memory.remember("a", 100, 0).unwrap());
        assert!(!memory.remember("a", 100, 50).unwrap());
        drop(memory);
        let memory = Memory::open(&path).unwrap();
        assert!(memory.seen("a", 99).unwrap());
        assert!(!memory.seen("a", 100).unwrap());
        assert!(!memory.seen("b", 0).unwrap());
        let long = "x".repeat(5000);
        assert!(memory.remember(&format!("{long}a"), 10, 0).unwrap());
        assert!(
            memory.remember(&format!("{long}b"), 10, 0).unwrap(),
            "told apart behind the limit"
        );
        assert!(memory.seen(&format!("{long}a"), 0).unwrap());
        // what is remembered keeps its time, unless it is renewed
        assert!(memory.remember("c", 100, 0).unwrap());
        assert!(!memory.remember("c", 200, 50).unwrap());
        assert!(!memory.seen("c", 100).unwrap());
        memory.renew("c", 300, 100).unwrap();
        assert!(memory.seen("c", 299).unwrap());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_sweep_keeps_to_its_limit_also_among_keys_of_one_time() {
        let dir = std::env::temp_dir().join(format!("sluice-sweep-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let memory = Memory::open(&dir.join("memory")).unwrap();
        let write = memory.database.begin_write().unwrap();
        {
            let mut table = write.open_table(SEEN).unwrap();
            for n in 0..100u8 {
                table.insert(&[n][..], if n < 10 { 50 } else { 70 }).unwrap();
            }
            table.insert(&b"expired"[..], 1).unwrap();
            sweep(&mut table, 1, 30).unwrap();
            assert_eq!(table.len().unwrap(), 30);
            assert!(
                table.get(&[5][..]).unwrap().is_none(),
                "those that expire first go first"
            );
            sweep(&mut table, 1, 30).unwrap();
            assert_eq!(table.len().unwrap(), 30);
        }
        write.commit().unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
