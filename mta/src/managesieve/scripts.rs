//! The scripts of a user: `SITE/sieve/USER/NAME.sieve`, and the active one's copy in `SITE/sieve/USER.sieve`.
//!
//! Delivery reads the copy alone ([`UserScripts`](crate::filter::UserScripts)); `SITE/sieve/USER/active` holds
//! the active script's name. A copy that is there without a name, as an operator writes it, is taken over as
//! the script `imported` when its user first logs in here, so that it is not lost.
//!
//! Guarantees: every file is replaced as a whole (written beside, synchronised, renamed); one change at a time.
//! After a crash between the copy and the name, the copy is what delivery does.
//! Refuses: names that are no plain file names ([`check_name`]).
//! Limits: [`MAX_SCRIPTS`], [`MAX_SCRIPT`], [`MAX_TOTAL`], [`MAX_NAME`], [`MAX_NAME_OCTETS`].

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::directory::user::check_uid;
use crate::files::{make_private, remove, replace, sync_folder_of};
use crate::filter::library::{GLOBAL, Shelf};

/// Most scripts of a user.
pub const MAX_SCRIPTS: usize = 50;

/// Largest script, in octets.
pub const MAX_SCRIPT: usize = 64 << 10;

/// Most octets of all scripts of a user.
pub const MAX_TOTAL: u64 = 1 << 20;

/// Longest name, in characters (RFC 5804 1.6 asks for as many).
pub const MAX_NAME: usize = 128;

/// Longest name, in octets: what a file name of 255 leaves beside `.sieve`.
pub const MAX_NAME_OCTETS: usize = 249;

const SUFFIX: &str = ".sieve";

/// Changes are rare and short: one lock for all users.
static CHANGE: Mutex<()> = Mutex::new(());

/// Why a script cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The name is no name.
    #[error(
        "a script name has 1 to {MAX_NAME} characters, without slash, control characters, `..` or a leading dot"
    )]
    Name,
    /// The user's folder is not the user's.
    #[error("a user named `{GLOBAL}` has no scripts: its folder holds those that all share")]
    Reserved,
    /// There is none.
    #[error("there is no script {0:?}")]
    Missing(String),
    /// There is one already.
    #[error("there is a script {0:?} already; delete it first or choose another name")]
    Exists(String),
    /// It is active.
    #[error("the script {0:?} is active; activate another one first")]
    Active(String),
    /// Too many.
    #[error("at most {MAX_SCRIPTS} scripts are kept; delete one first")]
    TooMany,
    /// Too large.
    #[error("scripts are at most {MAX_SCRIPT} octets")]
    TooLarge,
    /// All together too large.
    #[error("all scripts together are at most {MAX_TOTAL} octets; delete one first")]
    Full,
    /// The system.
    #[error("the scripts cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
}

/// A script in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name.
    pub name: String,
    /// Octets.
    pub size: u64,
    /// Whether it is the active one.
    pub active: bool,
}

/// The scripts of one user. Every call reads or writes files, and may block.
#[derive(Debug, Clone)]
pub struct Scripts {
    folder: PathBuf,
    copy: PathBuf,
}

/// Checks a script name: one that passes is a file name of its own, and stays so with `.sieve` after it.
pub fn check_name(name: &str) -> Result<(), ScriptError> {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\u{2028}' | '\u{2029}');
    let long = name.len() > MAX_NAME_OCTETS || name.chars().count() > MAX_NAME;
    if name.is_empty() || long || name.starts_with('.') || name.contains("..") || name.chars().any(bad) {
        return Err(ScriptError::Name);
    }
    Ok(())
}

impl Scripts {
    /// The scripts of a user in the folder `SITE/sieve`; nothing is written before the first script is.
    pub fn open(sieve: &Path, uid: &str) -> Result<Self, ScriptError> {
        check_uid(uid).map_err(|_| ScriptError::Name)?;
        if uid == GLOBAL {
            return Err(ScriptError::Reserved);
        }
        let scripts = Scripts {
            folder: sieve.join(uid),
            copy: sieve.join(format!("{uid}{SUFFIX}")),
        };
        scripts.adopt()?;
        Ok(scripts)
    }

    /// What these scripts can include.
    pub fn shelf(&self) -> Shelf {
        Shelf::new(&self.folder)
    }

    fn path(&self, name: &str) -> Result<PathBuf, ScriptError> {
        check_name(name)?;
        Ok(self.folder.join(format!("{name}{SUFFIX}")))
    }

    fn name_file(&self) -> PathBuf {
        self.folder.join("active")
    }

    /// Takes over an active script that has no name.
    fn adopt(&self) -> Result<(), ScriptError> {
        let _change = lock();
        if !self.copy.is_file() || self.name_file().is_file() {
            return Ok(());
        }
        let taken = self.all()?;
        let names = std::iter::once("imported".to_string()).chain((2..100).map(|n| format!("imported-{n}")));
        let Some(name) = names.into_iter().find(|n| !taken.iter().any(|(t, _)| t == n)) else {
            return Ok(());
        };
        let text = std::fs::read(&self.copy)?;
        self.make_folder()?;
        replace(&self.path(&name)?, 0o600, &text)?;
        replace(&self.name_file(), 0o600, name.as_bytes())?;
        Ok(())
    }

    fn make_folder(&self) -> Result<(), ScriptError> {
        Ok(make_private(&self.folder)?)
    }

    fn all(&self) -> Result<Vec<(String, u64)>, ScriptError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry?;
            let file = entry.file_name();
            let Some(name) = file.to_str().and_then(|f| f.strip_suffix(SUFFIX)) else {
                continue;
            };
            if check_name(name).is_ok() {
                all.push((name.to_string(), entry.metadata()?.len()));
            }
        }
        all.sort();
        Ok(all)
    }

    fn active(&self) -> Option<String> {
        if !self.copy.is_file() {
            return None;
        }
        std::fs::read_to_string(self.name_file()).ok()
    }

    /// All scripts, by name.
    pub fn list(&self) -> Result<Vec<Listed>, ScriptError> {
        let _change = lock();
        let active = self.active();
        let listed = |(name, size): (String, u64)| Listed {
            active: active.as_deref() == Some(name.as_str()),
            name,
            size,
        };
        Ok(self.all()?.into_iter().map(listed).collect())
    }

    /// The text of a script.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, ScriptError> {
        read(&self.path(name)?, name)
    }

    /// Whether a script of this size could be stored under this name.
    pub fn have_space(&self, name: &str, size: u64) -> Result<(), ScriptError> {
        check_name(name)?;
        if size > MAX_SCRIPT as u64 {
            return Err(ScriptError::TooLarge);
        }
        let others: Vec<u64> = self
            .all()?
            .into_iter()
            .filter(|(n, _)| n != name)
            .map(|(_, s)| s)
            .collect();
        if others.len() >= MAX_SCRIPTS {
            return Err(ScriptError::TooMany);
        }
        if others.iter().fold(size, |sum, s| sum.saturating_add(*s)) > MAX_TOTAL {
            return Err(ScriptError::Full);
        }
        Ok(())
    }

    /// Stores a script, which the caller has checked; that of the active name is in force at once.
    pub fn put(&self, name: &str, text: &[u8]) -> Result<(), ScriptError> {
        let path = self.path(name)?;
        let _change = lock();
        self.have_space(name, text.len() as u64)?;
        self.make_folder()?;
        replace(&path, 0o600, text)?;
        if self.active().as_deref() == Some(name) {
            replace(&self.copy, 0o600, text)?;
        }
        Ok(())
    }

    /// Makes a script the active one; an empty name: none is.
    pub fn set_active(&self, name: &str) -> Result<(), ScriptError> {
        let _change = lock();
        if name.is_empty() {
            remove(&self.copy)?;
            remove(&self.name_file())?;
            return Ok(());
        }
        let text = read(&self.path(name)?, name)?;
        replace(&self.copy, 0o600, &text)?;
        replace(&self.name_file(), 0o600, name.as_bytes())?;
        Ok(())
    }

    /// Deletes a script that is not active.
    pub fn delete(&self, name: &str) -> Result<(), ScriptError> {
        let path = self.path(name)?;
        let _change = lock();
        if !path.is_file() {
            return Err(ScriptError::Missing(name.to_string()));
        }
        if self.active().as_deref() == Some(name) {
            return Err(ScriptError::Active(name.to_string()));
        }
        std::fs::remove_file(&path)?;
        sync_folder_of(&path)?;
        Ok(())
    }

    /// Gives a script another name; one that is active stays so.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), ScriptError> {
        let (old, new) = (self.path(from)?, self.path(to)?);
        let _change = lock();
        if !old.is_file() {
            return Err(ScriptError::Missing(from.to_string()));
        }
        if new.exists() {
            return Err(ScriptError::Exists(to.to_string()));
        }
        let active = self.active().as_deref() == Some(from);
        std::fs::rename(&old, &new)?;
        sync_folder_of(&new)?;
        if active {
            replace(&self.name_file(), 0o600, to.as_bytes())?;
        }
        Ok(())
    }
}

fn lock() -> std::sync::MutexGuard<'static, ()> {
    CHANGE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>, ScriptError> {
    std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => ScriptError::Missing(name.to_string()),
        _ => e.into(),
    })
}
