//! The compiled configuration (`imsimta cnbuild`): a checked, checksummed bundle of the texts.
//!
//! It holds the texts as they were when they were found to be without error, includes among them, so that
//! what a server loads is what was tested. Loading builds the indexes anew.

use std::collections::BTreeMap;
use std::path::Path;
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

/// Says that a text is not what the compiled configuration has.
pub fn stale_note(file: &str) -> String {
    format!("{file} is newer than the compiled configuration, which is used: run `imsimta cnbuild`")
}

impl Image {
    /// Texts that are not any more as they were when the image was built. Contents are compared, not times:
    /// an editor and `cnbuild` may work within one second, and a copied folder has new times.
    pub fn stale(&self, layout: &Layout) -> Vec<String> {
        let now = match texts(layout) {
            Ok(now) => now,
            Err(error) => return error.sources.files().iter().map(|f| f.name.to_string()).collect(),
        };
        let of = |texts: &Texts| {
            [
                ("imta.cnf", texts.imta.clone()),
                ("mappings", texts.mappings.clone()),
                ("option.dat", texts.options.clone()),
                ("aliases", texts.aliases.clone()),
                ("dispatcher.cnf", texts.dispatcher.clone()),
                ("general.txt", texts.general.clone()),
                ("reverse.txt", texts.reverse.clone()),
                ("forward.txt", texts.forward.clone()),
                ("imta.filter", texts.filter.clone()),
            ]
            .map(|(file, text)| (file, text.map(|(_, text)| text)))
        };
        let changed = of(&now)
            .into_iter()
            .zip(of(&self.texts))
            .filter(|(now, then)| now != then);
        let mut stale: Vec<&str> = changed.map(|((file, _), _)| file).collect();
        if (&now.host, &now.default_domain) != (&self.texts.host, &self.texts.default_domain) {
            stale.push("msg.conf");
        }
        let of_site = stale
            .into_iter()
            .map(|file| layout.config().join(file).display().to_string());
        let includes = self.includes.iter();
        let included = includes.filter(|(name, text)| include(layout, name).as_ref() != Ok(text));
        of_site.chain(included.map(|(name, _)| name.clone())).collect()
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
    let texts = match texts(layout) {
        Ok(texts) => texts,
        Err(error) => return Ok(Err(error)),
    };
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
    let sum = crc32fast::hash(&body).to_le_bytes();
    // it may hold passwords, as option.dat does
    crate::files::replace(&path, 0o600, &[MAGIC, &sum[..], &body].concat())?;
    Ok(Ok(configuration))
}
