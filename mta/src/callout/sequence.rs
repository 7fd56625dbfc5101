//! Sequence files: a number in a file, counted up under a lock (mapping specification 4.2).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::configuration::{NO_TABLE_PATH, table_path};

/// Why a sequence has no next number.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// The file must exist already; an empty file is a valid start.
    #[error("sequence file {path}: {error}; create it empty, writable by the mail user")]
    Io {
        /// The file.
        path: String,
        /// What went wrong.
        error: std::io::Error,
    },
    /// It is named in a way that depends on where a program was started.
    #[error("sequence file {path}: {NO_TABLE_PATH}")]
    Relative {
        /// As written.
        path: String,
    },
    /// It holds something else.
    #[error("sequence file {path} does not hold a number")]
    NoNumber {
        /// The file.
        path: String,
    },
}

/// Longest wait for another process that counts the same file up.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// [`next`] of the file that a configuration in `folder` names.
pub fn next_of(folder: &Path, name: &str) -> Result<u64, SequenceError> {
    match table_path(folder, name) {
        Some(path) => next(&path),
        None => Err(SequenceError::Relative {
            path: name.to_string(),
        }),
    }
}

/// Counts the number in a file up and returns it, after it is on stable storage. Blocks while another process
/// does the same, up to [`LOCK_PATIENCE`].
pub fn next(path: &Path) -> Result<u64, SequenceError> {
    let name = || path.display().to_string();
    let io = |error| SequenceError::Io { path: name(), error };
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    lock(&file).map_err(io)?;
    let mut text = String::new();
    // a file that is no sequence is not read into memory whole
    (&mut file).take(64).read_to_string(&mut text).map_err(io)?;
    let last: u64 = match text.trim() {
        "" => 0,
        number => number
            .parse()
            .map_err(|_| SequenceError::NoNumber { path: name() })?,
    };
    let number = last.wrapping_add(1);
    file.rewind().map_err(io)?;
    let text = format!("{number}\n");
    file.write_all(text.as_bytes()).map_err(io)?;
    file.set_len(text.len() as u64).map_err(io)?;
    file.sync_data().map_err(io)?;
    Ok(number)
}

fn lock(file: &File) -> std::io::Result<()> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_and_refuses_other_files() {
        let dir = std::env::temp_dir().join(format!("sluice-sequence-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("seq");
        assert!(matches!(next(&path), Err(SequenceError::Io { .. })));
        std::fs::write(&path, "").unwrap();
        assert_eq!((next(&path).unwrap(), next(&path).unwrap()), (1, 2));
        std::fs::write(&path, "abc").unwrap();
        assert!(matches!(next(&path), Err(SequenceError::NoNumber { .. })));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn files_are_named_in_one_way() {
        let folder = std::env::temp_dir().join(format!("sluice-sequence-names-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("seq");
        std::fs::write(&path, "").unwrap();
        let full = path.display().to_string();
        for (n, name) in ["IMTA_TABLE:seq", "imta_table:/seq", &full]
            .into_iter()
            .enumerate()
        {
            assert_eq!(next_of(&folder, name).unwrap(), n as u64 + 1, "{name}");
        }
        for name in ["seq", "./seq", "OTHER:seq"] {
            assert!(
                matches!(next_of(&folder, name), Err(SequenceError::Relative { .. })),
                "{name}"
            );
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn sequence_numbers_are_given_once() {
        let directory = std::env::temp_dir().join(format!("sluice-sequences-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("seq"), "41").unwrap();
        let mut numbers: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let one = |_| next(&directory.join("seq")).unwrap();
                        (0..10).map(one).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        numbers.sort_unstable();
        assert_eq!(numbers, (42..82).collect::<Vec<_>>());
    }
}
