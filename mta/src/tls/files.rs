//! Certificate chains and keys in PEM files.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{TlsError, validity};

/// The largest PEM file that is read, in octets.
pub const MAX_PEM: u64 = 4 << 20;
/// A certificate with less time left is warned of.
const SOON_DAYS: i64 = 14;

/// A certificate chain and its key. `Debug` shows the paths only.
pub struct KeyPair {
    /// The server's certificate, then intermediate ones.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
    /// Where the chain came from, for messages.
    pub certificate_path: PathBuf,
    /// Where the key came from, for messages.
    pub key_path: PathBuf,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "KeyPair({}, {})",
            self.certificate_path.display(),
            self.key_path.display()
        )
    }
}

/// What works but should be mended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsWarning {
    /// Other users of the machine can read or write the key.
    #[error("other users of this machine have access to the key file {} (mode {mode:04o}); run `chmod 600` on it", path.display())]
    KeyOpenToOthers {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The certificate has expired.
    #[error("the certificate {} expired {days} day(s) ago; clients that verify will refuse it", path.display())]
    Expired {
        /// The certificate file.
        path: PathBuf,
        /// Full days since then.
        days: i64,
    },
    /// The certificate expires soon.
    #[error("the certificate {} expires in {days} day(s); renew it", path.display())]
    ExpiresSoon {
        /// The certificate file.
        path: PathBuf,
        /// Full days left.
        days: i64,
    },
    /// `msg.conf` names a certificate, and there are no files of it.
    #[error("msg.conf names the certificate {nicknames}, but {} has no file of that name with .pem; the self-signed certificate is shown. `pk12util` and `openssl pkcs12 -nodes` export a certificate of the product", folder.display())]
    NoFiles {
        /// The nicknames.
        nicknames: String,
        /// Where the files should be.
        folder: PathBuf,
    },
    /// The certificate is not valid yet.
    #[error("the certificate {} is not valid yet; check the clock of this machine", path.display())]
    NotYetValid {
        /// The certificate file.
        path: PathBuf,
    },
}

/// Reads a certificate chain and its key. `now` is in seconds since 1970, for warnings about dates.
///
/// The key may be in PKCS #8, PKCS #1 or SEC 1 form, and may stand in the same file as the certificates.
/// Whether the two belong together is checked by [`server_config`](super::server_config).
pub fn load(certificate: &Path, key: &Path, now: i64) -> Result<(KeyPair, Vec<TlsWarning>), TlsError> {
    let text = read("certificate", certificate)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem {
            what: "certificate",
            path: certificate.to_path_buf(),
            error: error.to_string(),
        })?;
    let Some(first) = chain.first() else {
        return Err(TlsError::Missing {
            what: "certificate",
            path: certificate.to_path_buf(),
            missing: "BEGIN CERTIFICATE",
        });
    };
    let mut warnings = date_warnings(certificate, first, now);
    let text = read("key", key)?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(|error| key_error(key, &text, &error))?;
    let mode = std::fs::metadata(key)
        .map_err(|error| unreadable("key", key, error))?
        .mode()
        & 0o7777;
    if mode & 0o007 != 0 {
        warnings.push(TlsWarning::KeyOpenToOthers {
            path: key.to_path_buf(),
            mode,
        });
    }
    let pair = KeyPair {
        chain,
        key: private,
        certificate_path: certificate.to_path_buf(),
        key_path: key.to_path_buf(),
    };
    Ok((pair, warnings))
}

fn key_error(path: &Path, text: &[u8], error: &pem::Error) -> TlsError {
    let path = path.to_path_buf();
    match error {
        pem::Error::NoItemsFound if memchr::memmem::find(text, b"BEGIN ENCRYPTED PRIVATE KEY").is_some() => {
            TlsError::EncryptedKey { path }
        }
        pem::Error::NoItemsFound => TlsError::Missing {
            what: "private key",
            path,
            missing: "BEGIN PRIVATE KEY",
        },
        error => TlsError::Pem {
            what: "key",
            path,
            error: error.to_string(),
        },
    }
}

fn date_warnings(path: &Path, certificate: &CertificateDer<'_>, now: i64) -> Vec<TlsWarning> {
    let path = path.to_path_buf();
    // rustls judges the rest of the certificate; an unreadable date only means that nothing is said of it.
    let Some(validity) = validity(certificate) else {
        return Vec::new();
    };
    let days = validity.days_left(now);
    if validity.not_after < now {
        vec![TlsWarning::Expired { path, days: -days }]
    } else if validity.not_before > now {
        vec![TlsWarning::NotYetValid { path }]
    } else if days < SOON_DAYS {
        vec![TlsWarning::ExpiresSoon { path, days }]
    } else {
        Vec::new()
    }
}

/// The octets of a file of bounded size.
fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let file = File::open(path).map_err(|error| unreadable(what, path, error))?;
    let mut octets = Vec::new();
    file.take(MAX_PEM + 1)
        .read_to_end(&mut octets)
        .map_err(|error| unreadable(what, path, error))?;
    if octets.len() as u64 > MAX_PEM {
        return Err(TlsError::TooLarge {
            what,
            path: path.to_path_buf(),
        });
    }
    Ok(octets)
}

fn unreadable(what: &'static str, path: &Path, error: std::io::Error) -> TlsError {
    TlsError::Read {
        what,
        path: path.to_path_buf(),
        error,
    }
}
