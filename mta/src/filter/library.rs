//! Where scripts find those that they include (RFC 6609): a user's own in `SITE/sieve/USER/NAME.sieve`, those that
//! all share in `SITE/sieve/global/NAME.sieve`.
//!
//! A name is a file name of its own ([`check_name`]): it never leaves its folder. What was looked at is remembered
//! with its [`Mark`], also what was not there, so that a script is compiled again when any of it changes.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use policy::sieve::{Library, Place};

use crate::managesieve::scripts::check_name;

/// Folder of the scripts that all share, in `SITE/sieve`. No user of this name has scripts to include.
pub const GLOBAL: &str = "global";

/// Largest script, in octets.
pub const SCRIPT_LIMIT: u64 = 1 << 20;

/// What tells one state of a file from another: a file that is written anew or replaced has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    changed: (i64, i64),
    inode: u64,
    len: u64,
}

impl Mark {
    /// The mark of a file; `None` where there is no file.
    pub fn of(path: &Path) -> Option<Mark> {
        let facts = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        Some(Mark {
            changed: (facts.ctime(), facts.ctime_nsec()),
            inode: facts.ino(),
            len: facts.len(),
        })
    }
}

/// A file that was looked at, and how it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    path: PathBuf,
    mark: Option<Mark>,
}

impl Seen {
    /// Looks at a file.
    pub fn at(path: PathBuf) -> Seen {
        let mark = Mark::of(&path);
        Seen { path, mark }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there was one.
    pub fn is_there(&self) -> bool {
        self.mark.is_some()
    }

    /// Whether it is as it was.
    pub fn is_unchanged(&self) -> bool {
        Mark::of(&self.path) == self.mark
    }
}

/// The scripts that those of one user can include.
#[derive(Debug)]
pub struct Shelf {
    personal: Option<PathBuf>,
    global: PathBuf,
    seen: RefCell<Vec<Seen>>,
}

impl Shelf {
    /// The shelf of a user, in the folder `SITE/sieve`.
    pub fn of_user(sieve: &Path, uid: &str) -> Self {
        let mut shelf = Shelf::new(&sieve.join(uid));
        shelf.personal = shelf.personal.filter(|_| uid != GLOBAL);
        shelf
    }

    /// The shelf of a user whose scripts are in a folder of `SITE/sieve`.
    pub fn new(personal: &Path) -> Self {
        Shelf {
            personal: Some(personal.to_path_buf()),
            global: personal.with_file_name(GLOBAL),
            seen: RefCell::default(),
        }
    }

    /// What was looked at.
    pub fn into_seen(self) -> Vec<Seen> {
        self.seen.into_inner()
    }
}

impl Library for Shelf {
    fn script(&self, place: Place, name: &str) -> Result<Option<String>, String> {
        let folder = match place {
            Place::Personal => self.personal.as_ref(),
            Place::Global => Some(&self.global),
        };
        let Some(folder) = folder.filter(|_| check_name(name).is_ok()) else {
            return Ok(None);
        };
        let path = folder.join(format!("{name}.sieve"));
        // looked at before it is read: a change in between is seen the next time
        self.seen.borrow_mut().push(Seen::at(path.clone()));
        read(&path)
    }
}

/// The text of a script; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<String>, String> {
    let facts = match std::fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error.to_string()),
    };
    if !facts.is_file() {
        return Err("it is no plain file".into());
    }
    if facts.len() > SCRIPT_LIMIT {
        return Err(format!("it is larger than {SCRIPT_LIMIT} octets"));
    }
    std::fs::read_to_string(path).map(Some).map_err(|e| e.to_string())
}

/// The shared scripts as those of the site find them: through what reads the configuration, so that a compiled
/// configuration holds them, too.
pub struct OfSite<'a> {
    /// Reads a text of the configuration.
    pub read: &'a dyn Fn(&str) -> Result<String, String>,
}

/// What the name of a shared script begins with among the texts of a configuration.
pub const SHARED: &str = "sieve/global/";

impl Library for OfSite<'_> {
    fn script(&self, place: Place, name: &str) -> Result<Option<String>, String> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        if place == Place::Personal {
            return Err("a script of the site has no personal scripts; include it as `:global`".into());
        }
        match (self.read)(&format!("{SHARED}{name}.sieve")) {
            Ok(text) => Ok(Some(text)),
            Err(why)
                if [crate::configuration::NO_FILE, crate::configuration::NOT_COMPILED].contains(&&*why) =>
            {
                Ok(None)
            }
            Err(why) => Err(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_folder() {
        let dir = std::env::temp_dir().join(format!("sluice-shelf-{}", std::process::id()));
        for folder in ["sieve/alice", "sieve/bob", "sieve/global"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        for file in [
            "secret.sieve",
            "sieve/x.sieve",
            "sieve/bob/x.sieve",
            "sieve/alice/own.sieve",
        ] {
            std::fs::write(dir.join(file), "keep;").unwrap();
        }
        let shelf = Shelf::of_user(&dir.join("sieve"), "alice");
        for name in [
            "../x",
            "../bob/x",
            "/etc/passwd",
            "..",
            ".",
            "",
            "a/b",
            "own\0",
            "../../secret",
        ] {
            assert_eq!(shelf.script(Place::Personal, name), Ok(None), "{name:?}");
        }
        assert!(shelf.seen.borrow().is_empty(), "nothing was looked at");
        assert_eq!(shelf.script(Place::Personal, "own"), Ok(Some("keep;".into())));
        assert_eq!(shelf.script(Place::Global, "own"), Ok(None));
        std::fs::write(
            dir.join("sieve/global/own.sieve"),
            vec![b'#'; 1 + SCRIPT_LIMIT as usize],
        )
        .unwrap();
        let seen = shelf.seen.borrow().clone();
        assert_eq!(
            seen.iter().map(Seen::is_unchanged).collect::<Vec<_>>(),
            [true, false],
            "what was not there is there"
        );
        let why = shelf.script(Place::Global, "own").unwrap_err();
        assert!(why.contains("larger than"), "{why}");
        let of_global = Shelf::of_user(&dir.join("sieve"), GLOBAL);
        std::fs::write(dir.join("sieve/global/x.sieve"), "keep;").unwrap();
        assert_eq!(of_global.script(Place::Personal, "x"), Ok(None));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
