//! Sequence files (`$#file#`): a number in a text file, one more each time.
//!
//! The file must exist; an empty one counts as 0. It holds one decimal number and a line end. Only one
//! process at a time changes it (an advisory lock on the file itself, waited for at most
//! [`LOCK_PATIENCE`]). The number is on stable storage before it is given out, so none is given twice.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use policy::Answer;

use crate::config::{explain, table_path};

/// How long to wait for another process that has the file.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The longest content of a sequence file: 20 digits and room for blanks.
const CONTENT_LIMIT: u64 = 64;

/// The next number of a file; `IMTA_TABLE:` stands for `directory`.
pub fn next(name: &str, directory: &Path) -> Answer {
    let path = table_path(name, directory);
    if !path.is_absolute() && path.as_os_str() == name {
        return Answer::NotConfigured(format!("sequence file `{name}`: write its full path"));
    }
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) => {
            let why = explain(&error);
            return Answer::NotConfigured(format!("sequence file `{name}`: {why}; `touch` makes a new one"));
        }
    };
    match lock(&file).and_then(|()| increment(&mut file)) {
        Ok(number) => Answer::Found(number.to_string()),
        Err(why) => Answer::Temporary(format!("sequence file `{name}`: {why}")),
    }
}

fn lock(file: &File) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Err("another process holds it".into()),
            Err(TryLockError::Error(error)) => return Err(explain(&error)),
        }
    }
}

fn increment(file: &mut File) -> Result<u64, String> {
    let mut text = String::new();
    let mut read =
        || -> std::io::Result<usize> { (&mut *file).take(CONTENT_LIMIT).read_to_string(&mut text) };
    read().map_err(|e| explain(&e))?;
    let old = match text.trim() {
        "" => 0,
        digits => digits
            .parse::<u64>()
            .map_err(|_| "it does not hold a number".to_string())?,
    };
    let new = old.checked_add(1).ok_or("the number is at its end")?;
    let content = format!("{new}\n");
    let mut write = || -> std::io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        // the new number is never shorter than the old one, so that a crash leaves one or the other
        file.write_all(content.as_bytes())?;
        file.set_len(content.len() as u64)?;
        file.sync_data()
    };
    write().map_err(|e| explain(&e))?;
    Ok(new)
}
