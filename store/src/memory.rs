//! Small durable memory: what was seen until when. Vacation replies and duplicate tests rest on it.
//!
//! One redb file. A key is remembered until a time; after it, it is as if it had never been seen. What
//! [`Memory::remember`] has taken is on stable storage when it returns. At most [`ENTRY_LIMIT`] keys are kept:
//! when there are more, those that expire first give way.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use crate::envelope::Time;

/// Keys kept at most.
pub const ENTRY_LIMIT: u64 = 1_000_000;

/// Longest key, in octets; longer ones are cut, which can only make two keys one.
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

fn cut(key: &str) -> &[u8] {
    let bytes = key.as_bytes();
    bytes.get(..KEY_LIMIT).unwrap_or(bytes)
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
        let until = table.get(cut(key)).map_err(redb::Error::from)?;
        Ok(until.is_some_and(|u| u.value() > now))
    }

    /// Remembers a key until a time; true if it was not remembered before. Blocks for a sync.
    pub fn remember(&self, key: &str, until: Time, now: Time) -> Result<bool, MemoryError> {
        let write = self.database.begin_write().map_err(redb::Error::from)?;
        let new = {
            let mut table = write.open_table(SEEN).map_err(redb::Error::from)?;
            let before = table
                .insert(cut(key), until)
                .map_err(redb::Error::from)?
                .map(|b| b.value());
            if self
                .inserted
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(SWEEP)
            {
                table.retain(|_, u| u > now).map_err(redb::Error::from)?;
                let over = table
                    .len()
                    .map_err(redb::Error::from)?
                    .saturating_sub(ENTRY_LIMIT);
                if over > 0 {
                    let all = table.iter().map_err(redb::Error::from)?;
                    let mut times: Vec<Time> = all.filter_map(|e| Some(e.ok()?.1.value())).collect();
                    times.sort_unstable();
                    let limit = times.get(over as usize).copied().unwrap_or(now);
                    table.retain(|_, u| u >= limit).map_err(redb::Error::from)?;
                }
            }
            before.is_none_or(|u| u <= now)
        };
        write.commit().map_err(redb::Error::from)?;
        Ok(new)
    }
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
        assert!(memory.remember(&"x".repeat(5000), 10, 0).unwrap());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
