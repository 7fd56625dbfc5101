//! Delivery into a Maildir, with Maildir++ folders.
//!
//! A message is written to `tmp/`, synced, renamed into `new/` (or `cur/` when it comes with flags), and the
//! directory is synced: when [`Maildir::deliver`] returns, the message is on stable storage, and no reader ever
//! sees half of one. Lines end in LF in the file, as readers of Maildirs expect; the CRLF of mail is converted,
//! and a CR or LF that stands alone is kept.
//!
//! **Once only.** A delivery has a key. It is part of the file's name, and a delivery whose key is already in
//! `new/` or `cur/` writes nothing and returns the file that is there: so a delivery repeated after a crash
//! makes no second copy, unless a reader moved or deleted the first meanwhile. The search reads the names of
//! both directories, so its cost grows with the mailbox (roughly a microsecond a name).
//!
//! **Folders.** `Lists.Rust` is the directory `.Lists.Rust`, made on demand; `INBOX` (in any case) is the
//! Maildir itself and `INBOX.Lists` is `Lists`. Characters beyond ASCII and `&` are written in the modified
//! UTF-7 of IMAP (RFC 3501, 5.1.3). Names that could leave the Maildir or confuse a reader are refused.
//!
//! Files get mode 0600 and directories 0700. What a crash leaves in `tmp/` is for readers to remove, after the
//! customary 36 hours.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use crate::disk::{Disk, is_full};

/// The longest name of a folder's directory, in bytes.
pub const FOLDER_LIMIT: usize = 240;

/// Longest key written out in a file name; longer ones are shortened to their beginning and a hash.
const KEY_LIMIT: usize = 120;

/// Bytes given to the system in one write.
const CHUNK: usize = 256 * 1024;

/// What goes wrong with a delivery.
#[derive(Debug, thiserror::Error)]
pub enum MaildirError {
    /// No room or no quota. SMTP: 452 4.2.2, or defer.
    #[error("no room for the message in {}", .0.display())]
    Full(PathBuf),
    /// A file could not be made, written, synced or renamed; nothing was delivered.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The folder's name is refused.
    #[error("the folder name {folder:?} is refused: {why}")]
    Folder {
        /// As it was given.
        folder: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> MaildirError + '_ {
    move |error| {
        let path = path.to_path_buf();
        if is_full(&error) {
            MaildirError::Full(path)
        } else {
            MaildirError::Io { path, error }
        }
    }
}

/// A mailbox in Maildir format.
#[derive(Clone)]
pub struct Maildir {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    host: String,
}

impl Maildir {
    /// Opens the Maildir at `path`, making it if it is not there.
    pub fn open(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Result<Self, MaildirError> {
        let root = path.into();
        make(&*disk, &root)?;
        Ok(Self {
            disk,
            root,
            host: escape_host(&host_name()),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Delivers a message with CRLF line ends, given in parts that each end a line but the last; returns the file
    /// it is in, durable.
    ///
    /// `key` names the delivery: the same message to the same recipient has the same key at every attempt, and
    /// no other delivery to this mailbox has it. `folder`: `None` is the inbox. `flags` are IMAP flags; those
    /// that Maildir has no letter for are not stored (see [`info_letters`]). Blocks while it writes and syncs.
    pub fn deliver(
        &self,
        key: &str,
        content: &[&[u8]],
        folder: Option<&str>,
        flags: &[String],
    ) -> Result<PathBuf, MaildirError> {
        let dir = self.folder(folder)?;
        let marker = format!("K{}", escape_key(key));
        for sub in ["new", "cur"] {
            let sub = dir.join(sub);
            if let Some(there) = self.find(&sub, &marker)? {
                // Whoever put it there may have died before it was durable.
                self.disk.sync_dir(&sub).map_err(failed(&sub))?;
                return Ok(there);
            }
        }
        let name = self.unique(&marker);
        let (letters, _) = info_letters(flags);
        let (sub, last_name) = match letters.as_str() {
            "" => ("new", name.clone()),
            letters => ("cur", format!("{name}:2,{letters}")),
        };
        let temporary = dir.join("tmp").join(name);
        let target_dir = dir.join(sub);
        let target = target_dir.join(last_name);
        let outcome = self
            .write(&temporary, content)
            .map_err(failed(&temporary))
            .and_then(|()| self.disk.rename(&temporary, &target).map_err(failed(&target)));
        if let Err(error) = outcome {
            // If this fails too, readers clear tmp/ in time.
            let _ = self.disk.remove(&temporary);
            return Err(error);
        }
        self.disk.sync_dir(&target_dir).map_err(failed(&target_dir))?;
        Ok(target)
    }

    fn folder(&self, folder: Option<&str>) -> Result<PathBuf, MaildirError> {
        let Some(folder) = folder else {
            return Ok(self.root.clone());
        };
        let refused = |why| MaildirError::Folder {
            folder: folder.to_string(),
            why,
        };
        let Some(name) = folder_directory(folder).map_err(refused)? else {
            return Ok(self.root.clone());
        };
        let dir = self.root.join(name);
        // The marker is made last: where it is, all else is durable.
        let marker = dir.join("maildirfolder");
        if self.disk.len(&marker).is_err() {
            make(&*self.disk, &dir)?;
            match self.disk.create(&marker) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&marker)(error)),
            }
            self.disk.sync_dir(&dir).map_err(failed(&dir))?;
        }
        Ok(dir)
    }

    /// The file of a directory whose name has the key.
    fn find(&self, dir: &Path, marker: &str) -> Result<Option<PathBuf>, MaildirError> {
        let files = self.disk.list(dir).map_err(failed(dir))?;
        Ok(files.into_iter().find(|file| {
            let name = file.file_name().and_then(|name| name.to_str());
            name.and_then(|name| name.split_once('.'))
                .and_then(|(_, rest)| rest.strip_prefix(marker))
                .is_some_and(|rest| rest.starts_with(','))
        }))
    }

    fn write(&self, path: &Path, content: &[&[u8]]) -> io::Result<()> {
        let mut file = self.disk.create(path)?;
        let mut buffer = Vec::with_capacity(content.iter().map(|part| part.len()).sum::<usize>().min(CHUNK));
        for part in content {
            let mut rest = *part;
            while !rest.is_empty() {
                let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                let (line, after) = rest.split_at(end.min(CHUNK));
                match line.strip_suffix(b"\r\n") {
                    Some(text) => {
                        buffer.extend_from_slice(text);
                        buffer.push(b'\n');
                    }
                    // A CR at the end of a piece of a very long line: the LF may be the first byte of the next.
                    None if line.last() == Some(&b'\r') && after.first() == Some(&b'\n') => {
                        buffer.extend_from_slice(line.get(..line.len() - 1).unwrap_or_default());
                    }
                    None => buffer.extend_from_slice(line),
                }
                rest = after;
                if buffer.len() >= CHUNK {
                    file.append(&buffer)?;
                    buffer.clear();
                }
            }
        }
        if !buffer.is_empty() {
            file.append(&buffer)?;
        }
        file.sync()
    }

    /// Seconds first, as every reader expects; then the key, and what makes the name the only one of its kind.
    fn unique(&self, marker: &str) -> String {
        static DELIVERIES: AtomicU64 = AtomicU64::new(0);
        let count = DELIVERIES.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, micros, pid) = (now.as_secs(), now.subsec_micros(), std::process::id());
        format!("{seconds}.{marker},M{micros}P{pid}Q{count}.{}", self.host)
    }
}

fn make(disk: &dyn Disk, dir: &Path) -> Result<(), MaildirError> {
    for sub in ["tmp", "new", "cur"] {
        let path = dir.join(sub);
        disk.create_dir(&path).map_err(failed(&path))?;
    }
    disk.create_dir(dir).map_err(failed(dir))
}

/// The letters of Maildir for IMAP flags, in order and once each, and the flags that have none.
///
/// Maildir knows `\Answered`, `\Deleted`, `\Draft`, `\Flagged`, `\Seen` and `$Forwarded`; other keywords have no
/// place in it.
pub fn info_letters(flags: &[String]) -> (String, Vec<&str>) {
    let (mut letters, mut unknown) = (Vec::new(), Vec::new());
    for flag in flags {
        letters.push(match flag.to_ascii_lowercase().as_str() {
            "\\answered" => 'R',
            "\\deleted" => 'T',
            "\\draft" => 'D',
            "\\flagged" => 'F',
            "\\seen" => 'S',
            "$forwarded" => 'P',
            _ => {
                unknown.push(flag.as_str());
                continue;
            }
        });
    }
    letters.sort_unstable();
    letters.dedup();
    (letters.into_iter().collect(), unknown)
}

/// The directory of a folder; `None` for the inbox.
fn folder_directory(folder: &str) -> Result<Option<String>, &'static str> {
    if folder.contains('/') {
        return Err("the levels of a folder are separated by a dot, not by a slash");
    }
    if folder.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    let mut levels: Vec<&str> = folder.split('.').collect();
    if levels.iter().any(|level| level.is_empty()) {
        return Err("it has an empty level");
    }
    if levels
        .first()
        .is_some_and(|level| level.eq_ignore_ascii_case("INBOX"))
    {
        levels.remove(0);
    }
    if levels.is_empty() {
        return Ok(None);
    }
    let mut name = String::new();
    for level in levels {
        name.push('.');
        modified_utf7(level, &mut name);
    }
    if name.len() > FOLDER_LIMIT {
        Err("it is too long")
    } else {
        Ok(Some(name))
    }
}

/// RFC 3501, 5.1.3.
fn modified_utf7(text: &str, out: &mut String) {
    let engine = GeneralPurpose::new(&base64::alphabet::IMAP_MUTF7, NO_PAD);
    let flush = |wide: &mut Vec<u8>, out: &mut String| {
        if !wide.is_empty() {
            out.push('&');
            engine.encode_string(&wide, out);
            out.push('-');
            wide.clear();
        }
    };
    let mut wide = Vec::new();
    for char in text.chars() {
        if char.is_ascii() {
            flush(&mut wide, out);
            out.push(char);
            if char == '&' {
                out.push('-');
            }
        } else {
            wide.extend(
                char.encode_utf16(&mut [0; 2])
                    .iter()
                    .flat_map(|unit| unit.to_be_bytes()),
            );
        }
    }
    flush(&mut wide, out);
}

/// Letters, digits, `-` and `_` as they are, all else as `=XX`; long keys end in a hash of the whole.
fn escape_key(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("={byte:02X}"));
        }
    }
    if escaped.len() > KEY_LIMIT {
        escaped.truncate(KEY_LIMIT - 40);
        // `=~` is no escape, so that a short key can never look like a shortened one.
        escaped.push_str(&format!("=~{:032x}", fnv128(key.as_bytes())));
    }
    escaped
}

/// FNV-1a with 128 bits: the same in every version of this program, which a standard hasher need not be.
fn fnv128(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
}

fn host_name() -> String {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname")
        .or_else(|| read("/etc/hostname"))
        .unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".to_string()
    } else {
        name.to_string()
    }
}

/// By custom `/` and `:` are written in octal; all else that is not of a host name is dropped.
fn escape_host(host: &str) -> String {
    let mut out = String::new();
    for char in host.chars().take(64) {
        match char {
            '/' => out.push_str("\\057"),
            ':' => out.push_str("\\072"),
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => out.push(char),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders() {
        let cases: [(&str, Result<Option<&str>, ()>); 18] = [
            ("INBOX", Ok(None)),
            ("inbox", Ok(None)),
            ("INBOX.Lists", Ok(Some(".Lists"))),
            ("Lists", Ok(Some(".Lists"))),
            ("Lists.Rust", Ok(Some(".Lists.Rust"))),
            ("new", Ok(Some(".new"))),
            ("a b", Ok(Some(".a b"))),
            ("R&D", Ok(Some(".R&-D"))),
            ("Entwürfe", Ok(Some(".Entw&APw-rfe"))),
            (
                "~peter.mail.台北.日本語",
                Ok(Some(".~peter.mail.&U,BTFw-.&ZeVnLIqe-")),
            ),
            ("", Err(())),
            ("..", Err(())),
            (".", Err(())),
            (".hidden", Err(())),
            ("a..b", Err(())),
            ("../other", Err(())),
            ("a/b", Err(())),
            ("a\0b", Err(())),
        ];
        for (folder, expected) in cases {
            let found = folder_directory(folder).map_err(|_| ());
            assert_eq!(
                found.as_ref().map(|name| name.as_deref()),
                expected.as_ref().map(|name| *name),
                "{folder:?}"
            );
        }
        assert!(folder_directory("a\r\nb").is_err());
        assert!(folder_directory(&"ü".repeat(200)).is_err());
    }

    #[test]
    fn flags() {
        let flags = ["\\Seen", "\\flagged", "\\Seen", "$Forwarded", "Work"].map(String::from);
        assert_eq!(info_letters(&flags), ("FPS".to_string(), vec!["Work"]));
    }

    #[test]
    fn keys_are_told_apart() {
        let long = "x".repeat(300);
        let keys = [
            "1-user@example.org",
            "1-user=40example.org",
            "1,user",
            "1",
            "",
            &long,
            &long[1..],
            "a.b",
            "=~",
        ];
        for (n, key) in keys.iter().enumerate() {
            let escaped = escape_key(key);
            assert!(
                escaped.len() <= KEY_LIMIT && !escaped.contains(['.', ',', '/', ':']),
                "{key}: {escaped}"
            );
            for other in &keys[n + 1..] {
                assert_ne!(escaped, escape_key(other), "{key} and {other}");
            }
        }
    }

    #[test]
    fn hash_is_fnv_1a() {
        // The offset basis, and the published value for "a".
        assert_eq!(fnv128(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv128(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn host_names() {
        assert_eq!(escape_host("mail.example.org"), "mail.example.org");
        assert_eq!(escape_host("a/b:c d\n"), "a\\057b\\072cd");
    }
}
