//! TLS by rustls and ring: certificates and keys from files, self-signed ones made and renewed, and the
//! configurations of servers and clients.
//!
//! Guarantees: TLS 1.2 and 1.3 only, no ALPN, no process-wide default is set or needed; a key file that this
//! module writes has mode 0600 from its first octet.
//! Refuses: a key that does not belong to its certificate, encrypted keys.
//! Limits: PEM files up to [`files::MAX_PEM`].
//!
//! [`server_config`] serves one certificate. [`opportunistic_client`] accepts any certificate: for `maytls`
//! delivery, where the alternative is no encryption; it keeps out listeners, not impostors.

mod any_certificate;
mod files;
mod names;
pub mod own;
mod self_signed;
mod validity;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, ClientConfig, CommonState, ServerConfig};

pub use files::{KeyPair, MAX_PEM, TlsWarning, load};
pub use names::names;
pub use self_signed::{CERTIFICATE_FILE, KEY_FILE, SelfSigned, ensure_self_signed, self_signed};
pub use validity::{Validity, validity};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} file {}: {error}; the user the server runs as must be able to read it", path.display())]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A file is longer than any PEM file of its kind.
    #[error("the {what} file {} is larger than {MAX_PEM} octets; it is not what was meant", path.display())]
    TooLarge {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file has PEM sections that are damaged.
    #[error("the {what} file {} is damaged: {error}", path.display())]
    Pem {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// A file has no section of the kind that is needed.
    #[error("the file {} has no {missing} section; put the {what} there in PEM form", path.display())]
    Missing {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The PEM section.
        missing: &'static str,
    },
    /// The key is protected by a passphrase.
    #[error("the key in {} is protected by a passphrase; store it without one, with mode 0600", path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// rustls does not accept the certificate and key.
    #[error("certificate {} and key {} cannot be used together: {error}", certificate.display(), key.display())]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// rustls' reason.
        error: rustls::Error,
    },
    /// A certificate that is to take the place of one that works has expired.
    #[error("the certificate {} expired {days} day(s) ago; renew it", path.display())]
    Expired {
        /// The certificate file.
        path: PathBuf,
        /// Full days since then.
        days: i64,
    },
    /// rustls does not accept the settings or the roots.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// A self-signed certificate cannot be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
}

/// The cryptography that every configuration uses.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server's configuration: TLS 1.2 and 1.3, session tickets with keys that rotate, no client certificates.
pub fn server_config(pair: KeyPair) -> Result<Arc<ServerConfig>, TlsError> {
    let KeyPair {
        chain,
        key,
        certificate_path,
        key_path,
    } = pair;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| TlsError::Unusable {
            certificate: certificate_path,
            key: key_path,
            error,
        })?;
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// A client's configuration that accepts any certificate, for opportunistic TLS (RFC 7435).
///
/// The server must still prove that it has the key of the certificate it shows.
pub fn opportunistic_client() -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let verifier = Arc::new(any_certificate::AnyCertificate::new(&provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What the application information of probes says of a session: `TLS-` key bits `-` standard suite name
/// (`TLS-256-TLS_AES_256_GCM_SHA384`); `None` before the handshake has chosen (access specification 3.2).
///
/// Takes a server's or a client's connection: both dereference to [`CommonState`].
pub fn describe(connection: &CommonState) -> Option<String> {
    connection
        .negotiated_cipher_suite()
        .map(|suite| describe_suite(suite.suite()))
}

fn describe_suite(suite: CipherSuite) -> String {
    let name = suite.as_str().unwrap_or("TLS_UNKNOWN");
    // rustls writes TLS13_ where the registry has TLS_.
    let name = name
        .strip_prefix("TLS13_")
        .map_or_else(|| name.to_string(), |rest| format!("TLS_{rest}"));
    let bits = if name.contains("AES_128") { 128 } else { 256 };
    format!("TLS-{bits}-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_its_standard_name() {
        let names: Vec<String> = provider()
            .cipher_suites
            .iter()
            .map(|suite| describe_suite(suite.suite()))
            .collect();
        assert_eq!(
            names,
            [
                "TLS-256-TLS_AES_256_GCM_SHA384",
                "TLS-128-TLS_AES_128_GCM_SHA256",
                "TLS-256-TLS_CHACHA20_POLY1305_SHA256",
                "TLS-256-TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                "TLS-128-TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                "TLS-256-TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                "TLS-256-TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                "TLS-128-TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "TLS-256-TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            ]
        );
    }
}
