//! Sequence files: a number in a file, counted up under a lock (mapping specification 4.2).

use std::fs::OpenOptions;
use std::io::{Read, Seek, Write};
use std::path::Path;

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
    /// It holds something else.
    #[error("sequence file {path} does not hold a number")]
    NoNumber {
        /// The file.
        path: String,
    },
}

/// Counts the number in a file up and returns it. Blocks while another process does the same.
pub fn next(path: &Path) -> Result<u64, SequenceError> {
    let name = || path.display().to_string();
    let io = |error| SequenceError::Io { path: name(), error };
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    file.lock().map_err(io)?;
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
    file.write_all(format!("{number:020}\n").as_bytes()).map_err(io)?;
    file.sync_data().map_err(io)?;
    Ok(number)
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
}
