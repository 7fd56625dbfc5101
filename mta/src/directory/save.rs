//! The `users` file on disk: reading, and changing it all or nothing.
//!
//! A change is written to a new file (mode 0600, the owner of the old one), synced, renamed over the old one,
//! and the folder synced: a crash leaves the old file or the new one. [`edit`] holds a lock on `users.lock`
//! from reading to renaming, so two commands never lose each other's change.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use grammar::{Diagnostic, Severity, Sources, Span};

use super::{Directory, DirectoryError, redacted};

/// A directory that was read, with its warnings and the (redacted) text they point into.
#[derive(Debug)]
pub struct Loaded {
    /// The directory.
    pub directory: Directory,
    /// What the administrator should know.
    pub warnings: Vec<Diagnostic>,
    /// For [`Diagnostic::render`].
    pub sources: Sources,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read the users file {}: {error}{}", path.display(), begin(error))]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It has errors.
    #[error("the users file {} has {} error(s); the first: {}", path.display(), errors(diagnostics), first(diagnostics))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All of them.
        diagnostics: Vec<Diagnostic>,
        /// For [`Diagnostic::render`]; passwords are redacted.
        sources: Box<Sources>,
    },
}

fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count()
}

fn first(diagnostics: &[Diagnostic]) -> &str {
    diagnostics
        .iter()
        .find(|d| d.severity == Severity::Error)
        .map_or("none", |d| &d.message)
}

/// How a file begins that is not there.
fn begin(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "; begin one with a line `domain: example.com`, then run `sluice user add NAME`"
        }
        _ => "",
    }
}

/// Why the file cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The old file cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The change is refused.
    #[error(transparent)]
    Refused(#[from] DirectoryError),
    /// The new file cannot be written.
    #[error("cannot write the users file: {doing} {}: {error}; the old file is unchanged", path.display())]
    Write {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// Reads the file at `path`.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let read_error = |error| LoadError::Read {
        path: path.to_path_buf(),
        error,
    };
    let text = fs::read_to_string(path).map_err(read_error)?;
    let mode = fs::metadata(path).map_err(read_error)?.mode();
    let mut sources = Sources::new();
    let file = sources.add(path.to_string_lossy(), redacted(&text));
    match Directory::parse(file, &text) {
        Ok((directory, mut warnings)) => {
            if mode & 0o007 != 0 {
                let message = "everyone on this machine can read the password verifiers in this file";
                let warning = Diagnostic::warning("U018", Span::new(file, 0, 0), message);
                warnings.push(warning.help(format!("run `chmod 600 {}`", path.display())));
            }
            Ok(Loaded {
                directory,
                warnings,
                sources,
            })
        }
        Err(diagnostics) => Err(LoadError::Invalid {
            path: path.to_path_buf(),
            diagnostics,
            sources: Box::new(sources),
        }),
    }
}

/// Reads the file (an empty directory where there is none), changes it and writes it, under a lock.
///
/// Blocks while another process changes the file. Nothing is written where `change` refuses.
pub fn edit<T>(
    path: &Path,
    change: impl FnOnce(&mut Directory) -> Result<T, DirectoryError>,
) -> Result<T, SaveError> {
    // Through whichever link: one file, one lock.
    let path = &resolved(path);
    let lock_path = beside(path, "users.lock");
    let locked = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path);
    let lock = locked.map_err(failed("opening the lock", &lock_path))?;
    lock.lock().map_err(failed("locking", &lock_path))?;
    let mut directory = match load(path) {
        Ok(loaded) => loaded.directory,
        Err(LoadError::Read { error, .. }) if error.kind() == io::ErrorKind::NotFound => Directory::new()?,
        Err(error) => return Err(error.into()),
    };
    let result = change(&mut directory)?;
    directory.save(path)?;
    Ok(result)
}

impl Directory {
    /// Writes the file at `path`, all or nothing, with mode 0600. The owner stays; a new file belongs to the
    /// owner of its folder, so that a command run by root does not lock the server out.
    pub fn save(&self, path: &Path) -> Result<(), SaveError> {
        // A link to the file stays a link.
        let path = resolved(path);
        crate::files::replace(&path, 0o600, self.to_text().as_bytes()).map_err(failed("writing", &path))
    }
}

/// The file that a path leads to; the path itself where nothing is there yet.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

fn beside(path: &Path, name: &str) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.join(name),
        _ => PathBuf::from(name),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SaveError {
    let path = path.to_path_buf();
    move |error| SaveError::Write { doing, path, error }
}
