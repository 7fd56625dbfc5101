//! Rotation of the log files: current, yesterday, and everything older.
//!
//! [`rotate`] appends `mail.log_yesterday` to `mail.log` and renames `mail.log_current` to
//! `mail.log_yesterday`; the same for `connection.log`. A writer sees by the inode that its file has been
//! renamed (see [`file`](mod@super::file)) and makes a new one.
//!
//! Guarantees: no entry is lost at any point where this may stop: yesterday's file goes only after its copy
//! is on the disk, and a copy that fails is taken back. One rotation runs at a time, held apart by a lock on
//! `mail.log`, also between processes.
//!
//! Limits: if the machine stops between the copy and the rename, the next rotation copies yesterday's
//! entries again. `mail.log` only grows; its size is the site's business.
//!
//! Source: logging specification 1.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Permissions of a new log file, less the umask.
pub(super) const MODE: u32 = 0o640;

/// The two families of log files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogName {
    /// `mail.log...`
    Mail,
    /// `connection.log...`
    Connection,
}

impl LogName {
    /// `mail.log` or `connection.log`: everything older.
    pub fn all(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            LogName::Mail => "mail.log",
            LogName::Connection => "connection.log",
        })
    }

    /// `..._yesterday`: the period before.
    pub fn yesterday(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            LogName::Mail => "mail.log_yesterday",
            LogName::Connection => "connection.log_yesterday",
        })
    }

    /// `..._current`: now being written.
    pub fn current(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            LogName::Mail => "mail.log_current",
            LogName::Connection => "connection.log_current",
        })
    }
}

/// Rotates both families in the log directory; one without files is passed over.
///
/// # Errors
///
/// Any file error, with the file's name, and [`io::ErrorKind::WouldBlock`] if another rotation is running.
/// Nothing is lost then; run it again.
pub fn rotate(dir: &Path) -> io::Result<()> {
    let mail = rotate_one(dir, LogName::Mail);
    rotate_one(dir, LogName::Connection).and(mail)
}

fn rotate_one(dir: &Path, name: LogName) -> io::Result<()> {
    let (all, yesterday, current) = (name.all(dir), name.yesterday(dir), name.current(dir));
    if !yesterday.try_exists()? && !current.try_exists()? {
        return Ok(());
    }
    let archive = open(&all)?;
    archive.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(
            io::ErrorKind::WouldBlock,
            format!(
                "{} is locked: another rotation is running; try again when it is done",
                all.display()
            ),
        ),
        TryLockError::Error(error) => named(&all, error),
    })?;
    match File::open(&yesterday) {
        Ok(mut old) => {
            let before = archive.metadata()?.len();
            let copied = (|| {
                end_line(&archive)?;
                io::copy(&mut old, &mut &archive)?;
                end_line(&archive)?;
                archive.sync_data()
            })();
            if let Err(error) = copied {
                let _ = archive.set_len(before);
                return Err(named(&all, error));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(named(&yesterday, error)),
    }
    match fs::rename(&current, &yesterday) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::remove_file(&yesterday).map_err(|error| named(&yesterday, error))
        }
        result => result.map_err(|error| named(&current, error)),
    }
}

/// Opens a log file for appending, and for looking at its last octet; creates it where it does not exist.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(MODE)
        .open(path);
    opened.map_err(|error| named(path, error))
}

/// Makes a file end with an end of line, so that what follows begins a line of its own.
pub(super) fn end_line(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut last = [0];
    if length > 0 && file.read_at(&mut last, length - 1)? == 1 && last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::Dir;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn read(path: PathBuf) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    #[test]
    fn three_periods() {
        let dir = Dir::new("three-periods");
        for period in ["one\n", "two\n", "three\n"] {
            fs::write(LogName::Mail.current(dir.path()), period).unwrap();
            rotate(dir.path()).unwrap();
        }
        assert_eq!(read(LogName::Mail.current(dir.path())), None);
        assert_eq!(
            read(LogName::Mail.yesterday(dir.path())).as_deref(),
            Some("three\n")
        );
        assert_eq!(read(LogName::Mail.all(dir.path())).as_deref(), Some("one\ntwo\n"));
        assert_eq!(read(LogName::Connection.all(dir.path())), None);
        let mode = fs::metadata(LogName::Mail.all(dir.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
    }

    #[test]
    fn a_period_without_entries_does_not_copy_yesterday_twice() {
        let dir = Dir::new("empty-period");
        fs::write(LogName::Connection.current(dir.path()), "one\n").unwrap();
        for _ in 0..3 {
            rotate(dir.path()).unwrap();
        }
        assert_eq!(
            read(LogName::Connection.all(dir.path())).as_deref(),
            Some("one\n")
        );
        assert_eq!(read(LogName::Connection.yesterday(dir.path())), None);
    }

    #[test]
    fn lines_without_end_are_ended() {
        let dir = Dir::new("ends");
        fs::write(LogName::Mail.all(dir.path()), "cut").unwrap();
        fs::write(LogName::Mail.yesterday(dir.path()), "one\ntwo").unwrap();
        fs::write(LogName::Mail.current(dir.path()), "three\n").unwrap();
        rotate(dir.path()).unwrap();
        assert_eq!(
            read(LogName::Mail.all(dir.path())).as_deref(),
            Some("cut\none\ntwo\n")
        );
    }

    #[test]
    fn one_rotation_at_a_time() {
        let dir = Dir::new("locked");
        fs::write(LogName::Mail.current(dir.path()), "one\n").unwrap();
        let other = open(&LogName::Mail.all(dir.path())).unwrap();
        other.lock().unwrap();
        assert_eq!(rotate(dir.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(read(LogName::Mail.current(dir.path())).as_deref(), Some("one\n"));
        drop(other);
        rotate(dir.path()).unwrap();
        assert_eq!(
            read(LogName::Mail.yesterday(dir.path())).as_deref(),
            Some("one\n")
        );
    }

    #[test]
    fn a_copy_that_fails_keeps_yesterday() {
        let dir = Dir::new("full");
        std::os::unix::fs::symlink("/dev/full", LogName::Mail.all(dir.path())).unwrap();
        fs::write(LogName::Mail.yesterday(dir.path()), "one\n").unwrap();
        fs::write(LogName::Mail.current(dir.path()), "two\n").unwrap();
        let error = rotate(dir.path()).unwrap_err();
        assert!(error.to_string().contains("mail.log: "), "{error}");
        assert_eq!(
            read(LogName::Mail.yesterday(dir.path())).as_deref(),
            Some("one\n")
        );
        assert_eq!(read(LogName::Mail.current(dir.path())).as_deref(), Some("two\n"));
    }
}
