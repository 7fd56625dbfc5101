//! Self-signed certificates: what a new site runs with until it has a better one.
//!
//! The files have fixed names, so a renewal never touches files that an administrator put there.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use super::{TlsError, validity};

/// The certificate's file name.
pub const CERTIFICATE_FILE: &str = "self-signed-cert.pem";
/// The key's file name.
pub const KEY_FILE: &str = "self-signed-key.pem";
/// How long a new certificate is valid: the longest that common clients accept.
pub const VALID_DAYS: i64 = 825;
/// With less time left [`ensure_self_signed`] makes a new one.
pub const RENEW_DAYS: i64 = 30;

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfSigned {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key, mode 0600.
    pub key: PathBuf,
}

impl SelfSigned {
    fn in_folder(folder: &Path) -> SelfSigned {
        SelfSigned {
            certificate: folder.join(CERTIFICATE_FILE),
            key: folder.join(KEY_FILE),
        }
    }
}

/// Makes a key (ECDSA P-256) and a certificate for `names` (host names or addresses; the first is the subject)
/// valid from a day before `now` (seconds since 1970), and writes both into `folder`.
///
/// Each file appears whole or not at all; what was there under these names is replaced.
pub fn self_signed(names: &[String], folder: &Path, now: i64) -> Result<SelfSigned, TlsError> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(first) = names.first() {
        params.distinguished_name.push(DnType::CommonName, first.as_str());
    }
    let (year, month, day) = date(now.saturating_sub(86_400));
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date(now.saturating_add(VALID_DAYS * 86_400));
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let files = SelfSigned::in_folder(folder);
    write(&files.key, 0o600, key.serialize_pem().as_bytes())?;
    write(&files.certificate, 0o644, certificate.pem().as_bytes())?;
    Ok(files)
}

/// The self-signed certificate in `folder`: made where there is none, made anew where it has fewer than
/// [`RENEW_DAYS`] days left, lacks one of `names`, or cannot be used with its key. The flag says whether a new
/// one was made.
pub fn ensure_self_signed(names: &[String], folder: &Path, now: i64) -> Result<(SelfSigned, bool), TlsError> {
    let files = SelfSigned::in_folder(folder);
    let usable = super::load(&files.certificate, &files.key, now).is_ok_and(|(pair, _)| {
        let fits = pair.chain.first().is_some_and(|certificate| {
            validity(certificate).is_some_and(|v| v.days_left(now) >= RENEW_DAYS)
                && names.iter().all(|name| covers(certificate, name))
        });
        fits && super::server_config(pair).is_ok()
    });
    if usable {
        Ok((files, false))
    } else {
        Ok((self_signed(names, folder, now)?, true))
    }
}

/// Whether a certificate that was made here is for `name`: looks for the encoded alternative name, which is
/// enough for our own certificates and no check of anybody else's.
fn covers(certificate: &[u8], name: &str) -> bool {
    let (tag, value) = match name.parse() {
        Ok(IpAddr::V4(ip)) => (0x87, ip.octets().to_vec()),
        Ok(IpAddr::V6(ip)) => (0x87, ip.octets().to_vec()),
        Err(_) => (0x82, name.as_bytes().to_vec()),
    };
    let encoded = match u8::try_from(value.len()) {
        Ok(len @ 0..=127) => [&[tag, len], &*value].concat(),
        Ok(len) => [&[tag, 0x81, len], &*value].concat(),
        Err(_) => return false,
    };
    memchr::memmem::find(certificate, &encoded).is_some()
}

/// Year, month and day of a time, in UTC.
fn date(seconds: i64) -> (i32, u8, u8) {
    let date = Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(TimeZone::UTC)
        .date();
    (
        i32::from(date.year()),
        date.month().unsigned_abs(),
        date.day().unsigned_abs(),
    )
}

fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), TlsError> {
    crate::files::replace(path, mode, content).map_err(|error| TlsError::Write {
        path: path.to_path_buf(),
        error,
    })
}
