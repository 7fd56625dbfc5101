//! Which certificate the server shows: a site's own, or the self-signed one.
//!
//! The product names certificates of an NSS database by nicknames; here a nickname names PEM files of the site's
//! `tls` folder, `NICKNAME.pem` (the certificate, then intermediate ones) and `NICKNAME.key`. Certificates that
//! are kept elsewhere are named by their paths.
//!
//! Choices: of several nicknames the first that has files counts; a nickname in `msg.conf` that has none is warned
//! of, and the self-signed certificate is shown, since a site that comes from the product has its certificates in
//! a form that is to be exported first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{KeyPair, TlsError, TlsWarning, ensure_self_signed, load};

/// Path of the certificate, in `msg.conf`; a relative one is in the site folder.
pub const CERTIFICATE: &str = "sluice.tls.certificate";
/// Path of its key; without it, the key is in the file of the certificate.
pub const KEY: &str = "sluice.tls.key";
/// The product's keys for nicknames, the one that counts first.
const NICKNAMES: [&str; 2] = ["local.imta.sslnicknames", "encryption.rsa.nssslpersonalityssl"];
/// The nickname where none is set.
const DEFAULT: &str = "Server-Cert";

/// What `msg.conf` says of the server's certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    /// As written; empty: none.
    nicknames: Vec<String>,
}

impl Wanted {
    /// Reads the keys of `msg.conf`.
    pub fn parse(keys: &BTreeMap<String, String>) -> Wanted {
        let value = |name: &str| {
            let found = keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim()).filter(|v| !v.is_empty())
        };
        let nicknames = NICKNAMES.iter().find_map(|name| value(name)).unwrap_or_default();
        Wanted {
            certificate: value(CERTIFICATE).map(PathBuf::from),
            key: value(KEY).map(PathBuf::from),
            nicknames: nicknames
                .split(',')
                .map(|nickname| nickname.trim().to_string())
                .filter(|nickname| !nickname.is_empty())
                .collect(),
        }
    }

    /// Files of the certificate and its key; `None`: the site has none of its own.
    fn files(&self, root: &Path, folder: &Path) -> Option<(PathBuf, PathBuf)> {
        if let Some(certificate) = &self.certificate {
            let key = self.key.as_ref().unwrap_or(certificate);
            return Some((root.join(certificate), root.join(key)));
        }
        let default = [DEFAULT.to_string()];
        let nicknames = match self.nicknames.is_empty() {
            true => &default[..],
            false => &self.nicknames[..],
        };
        nicknames
            .iter()
            // a nickname is no way out of the folder
            .filter(|nickname| !nickname.contains('/') && !nickname.starts_with('.'))
            .map(|nickname| {
                let (certificate, key) = (format!("{nickname}.pem"), format!("{nickname}.key"));
                (folder.join(certificate), folder.join(key))
            })
            .find(|(certificate, _)| certificate.exists())
            .map(|(certificate, key)| match key.exists() {
                true => (certificate, key),
                false => (certificate.clone(), certificate),
            })
    }

    /// Reads the certificate that the server of a site shows, with its key. Without one of its own it is the
    /// self-signed one for `names`, made or renewed in `folder` where needed. `now` is in seconds since 1970.
    pub fn load(
        &self,
        root: &Path,
        folder: &Path,
        names: &[String],
        now: i64,
    ) -> Result<(KeyPair, Vec<TlsWarning>), TlsError> {
        if let Some((certificate, key)) = self.files(root, folder) {
            return load(&certificate, &key, now);
        }
        let (files, _) = ensure_self_signed(names, folder, now)?;
        let (pair, mut warnings) = load(&files.certificate, &files.key, now)?;
        if !self.nicknames.is_empty() {
            warnings.push(TlsWarning::NoFiles {
                nicknames: self.nicknames.join(", "),
                folder: folder.to_path_buf(),
            });
        }
        Ok((pair, warnings))
    }
}
