//! The compiled configuration (`imsimta cnbuild`): a checked, checksummed bundle of the texts.
//!
//! It holds the texts as they were when they were found to be without error, includes among them, so that
//! what a server loads is what was tested. Loading builds the indexes anew.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use grammar::Reader;
use policy::site::{LoadError, Texts};
use serde::{Deserialize, Serialize};

use super::{Configuration, Layout, include, texts};

/// First octets of an image; the digit is its version.
const MAGIC: &[u8; 8] = b"SLUICE 2";

/// The texts of a configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    /// The texts.
    pub texts: Texts,
    /// Included files by the name that is written in the texts.
    pub includes: BTreeMap<String, String>,
    /// When it was built, seconds since 1970.
    pub built: u64,
}

/// Why an image is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file.
    #[error("the compiled configuration cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// Another version wrote it.
    #[error("the compiled configuration is of another version")]
    Version,
    /// It was damaged.
    #[error("the compiled configuration is damaged")]
    Damaged,
}

impl Image {
    /// Texts that were changed after the image was built.
    pub fn stale(&self, layout: &Layout) -> Vec<String> {
        let built = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(self.built + 1);
        let newer = |path: &PathBuf| {
            std::fs::metadata(path)
                .and_then(|m| m.modified())
                .is_ok_and(|t| t > built)
        };
        let names = [
            "imta.cnf",
            "mappings",
            "option.dat",
            "aliases",
            "dispatcher.cnf",
            "general.txt",
            "reverse.txt",
            "forward.txt",
            "imta.filter",
            "msg.conf",
        ];
        let files = names.iter().map(|n| layout.config().join(n));
        let included = self
            .includes
            .keys()
            .map(PathBuf::from)
            .filter(|p| p.is_absolute());
        files
            .chain(included)
            .filter(newer)
            .map(|p| p.display().to_string())
            .collect()
    }
}

/// Reads the image of a site; `None` where there is none.
pub fn load(layout: &Layout) -> Result<Option<Image>, ImageError> {
    load_file(&layout.image())
}

/// Reads an image by its path; `None` where there is none.
pub fn load_file(path: &Path) -> Result<Option<Image>, ImageError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (magic, rest) = bytes.split_at_checked(MAGIC.len()).ok_or(ImageError::Damaged)?;
    if magic != MAGIC {
        return Err(if magic.starts_with(b"SLUICE ") {
            ImageError::Version
        } else {
            ImageError::Damaged
        });
    }
    let (sum, body) = rest.split_first_chunk::<4>().ok_or(ImageError::Damaged)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(ImageError::Damaged);
    }
    postcard::from_bytes(body)
        .map(Some)
        .map_err(|_| ImageError::Damaged)
}

/// Checks the texts of a site and writes its image; an image that is there stays if they are in error.
pub fn build(layout: &Layout) -> Result<Result<Configuration, LoadError>, ImageError> {
    let texts = texts(layout);
    let includes = std::cell::RefCell::new(BTreeMap::new());
    let reader = |name: &str| {
        let text = include(layout, name)?;
        includes.borrow_mut().insert(name.to_string(), text.clone());
        Ok(text)
    };
    let configuration = match super::load(&texts, &reader as &dyn Reader) {
        Ok(configuration) => configuration,
        Err(error) => return Ok(Err(error)),
    };
    let built = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    let image = Image {
        texts,
        includes: includes.into_inner(),
        built,
    };
    let body = postcard::to_stdvec(&image).map_err(|_| ImageError::Damaged)?;
    let path = layout.image();
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(MAGIC)?;
    file.write_all(&crc32fast::hash(&body).to_le_bytes())?;
    file.write_all(&body)?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    Ok(Ok(configuration))
}
