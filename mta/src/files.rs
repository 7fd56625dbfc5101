//! Files that are replaced as a whole, and folders that others cannot read.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::Path;

/// Writes a file, all or nothing, with `mode` from the beginning. It is on stable storage when this returns.
///
/// The owner stays; a new file belongs to the owner of its folder, so that a command run by root does not lock
/// the server out. A crash may leave a file beside it whose name begins with a dot and ends in `.new`.
///
/// # Errors
/// Any file error; the file is as it was then, but for a failed sync of its folder.
pub fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{:016x}.new", u64::from_ne_bytes(random)));
    let folder = folder(path);
    let attempt = || {
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(mode)
            .open(&temporary)?;
        let owner = fs::metadata(path).or_else(|_| fs::metadata(folder))?;
        if file.metadata()?.uid() != owner.uid() {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    let written = attempt();
    if written.is_err() {
        // what is left of a failed attempt has no further use; the error that counts is the first
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_folder_of(path)
}

/// Removes a file, if it is there; it is gone for good when this returns.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder_of(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a folder that only its owner can use, and those above it; one that is there stays as it is.
pub fn make_private(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = folder(dir);
    make_private(above)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder_of(dir),
    }
}

/// Takes a folder from everybody but its owner.
pub fn close_to_others(dir: &Path) -> io::Result<()> {
    if fs::metadata(dir)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Puts on stable storage what was made, renamed or removed beside `path`.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_or_stays() {
        let root = std::env::temp_dir().join(format!("sluice-files-{}", std::process::id()));
        let folder = root.join("a/b");
        make_private(&folder).unwrap();
        make_private(&folder).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&root.join("a")), mode(&folder)), (0o700, 0o700));
        let path = folder.join("x");
        replace(&path, 0o600, b"one").unwrap();
        replace(&path, 0o600, b"two").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        // a folder in its place cannot be replaced by a file
        let taken = folder.join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, 0o600, b"three").is_err());
        let left: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 2, "nothing is left of the attempt: {left:?}");
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
