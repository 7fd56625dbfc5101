//! What is kept of a password: a SCRAM-SHA-256 verifier.
//!
//! One verifier serves every mechanism. SCRAM needs exactly these values; PLAIN and LOGIN derive them anew
//! from the password that was sent. A second, memory-hard hash beside it would not help: whoever steals the
//! file attacks the weaker of the two, and an account with only the second could not use SCRAM at all.
//!
//! The text form is that of RFC 5803, as PostgreSQL also writes it, so verifiers can be carried over:
//! `SCRAM-SHA-256$iterations:salt$stored-key:server-key`, the last three in base64.
//!
//! Guarantees: comparisons take constant time; no `Debug` output holds a secret. Limits: see the constants.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;

/// Iterations of a new verifier. A PLAIN login costs the server this much work, a SCRAM login costs it
/// nothing and the client this much: a compromise between the two and the value of a stolen file.
pub const DEFAULT_ITERATIONS: u32 = 100_000;
/// The fewest iterations that are accepted (RFC 7677 section 4).
pub const MIN_ITERATIONS: u32 = 4096;
/// The most iterations that are accepted: beyond it a login would take seconds.
pub const MAX_ITERATIONS: u32 = 5_000_000;
/// Octets of a new salt.
pub const SALT_LEN: usize = 16;
/// The longest password, in octets.
pub const MAX_PASSWORD: usize = 1024;

const SCHEME: &str = "SCRAM-SHA-256$";
const KEY_LEN: usize = digest::SHA256_OUTPUT_LEN;

/// Why a password cannot be used, or a verifier cannot be read or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// The password has no characters.
    #[error("the password is empty")]
    Empty,
    /// The password is longer than [`MAX_PASSWORD`].
    #[error("the password is longer than {MAX_PASSWORD} octets")]
    TooLong,
    /// The password holds a control character.
    #[error("the password contains a control character")]
    ControlCharacter,
    /// The system gave no random octets for the salt.
    #[error("the system's random number source failed; no salt could be made")]
    NoRandomness,
    /// The text is of another scheme.
    #[error("a password verifier begins with `{SCHEME}`")]
    Scheme,
    /// The text has not the parts that the scheme asks for.
    #[error("a password verifier is written `SCRAM-SHA-256$iterations:salt$stored-key:server-key`")]
    Form,
    /// The number of iterations is out of range.
    #[error("the iterations of a verifier are a number from {MIN_ITERATIONS} to {MAX_ITERATIONS}")]
    Iterations,
    /// The salt or a key is no base64, or not of the right length.
    #[error("the salt (8 to 64 octets) and both keys (32 octets) of a verifier are base64")]
    Base64,
}

/// The values that prove a password without containing it (RFC 5802 section 3).
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: NonZeroU32,
    salt: Box<[u8]>,
    stored_key: [u8; KEY_LEN],
    server_key: [u8; KEY_LEN],
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} iterations, secret)", self.iterations)
    }
}

impl Verifier {
    /// A verifier of `password` with a new random salt and [`DEFAULT_ITERATIONS`]. Costs milliseconds of CPU.
    pub fn new(password: &str) -> Result<Verifier, VerifierError> {
        let mut salt = [0; SALT_LEN];
        getrandom::fill(&mut salt).map_err(|_| VerifierError::NoRandomness)?;
        Self::derive(password, &salt, DEFAULT_ITERATIONS)
    }

    /// A verifier of `password` with a given salt (8 to 64 octets) and number of iterations.
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Result<Verifier, VerifierError> {
        let password = prepare(password)?;
        let iterations = checked_iterations(iterations)?;
        if !(8..=64).contains(&salt.len()) {
            return Err(VerifierError::Base64);
        }
        let (stored_key, server_key) = derive_keys(password.as_bytes(), salt, iterations);
        Ok(Verifier {
            iterations,
            salt: salt.into(),
            stored_key,
            server_key,
        })
    }

    /// Puts together what no password matches: see [`Directory::verifier_for`](super::Directory::verifier_for).
    pub(super) fn impossible(
        iterations: NonZeroU32,
        salt: &[u8],
        stored_key: [u8; KEY_LEN],
        server_key: [u8; KEY_LEN],
    ) -> Verifier {
        Verifier {
            iterations,
            salt: salt.into(),
            stored_key,
            server_key,
        }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Verifier, VerifierError> {
        let rest = text.strip_prefix(SCHEME).ok_or(VerifierError::Scheme)?;
        let (cost, keys) = rest.split_once('$').ok_or(VerifierError::Form)?;
        let (iterations, salt) = cost.split_once(':').ok_or(VerifierError::Form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(VerifierError::Form)?;
        if !iterations.bytes().all(|b| b.is_ascii_digit()) {
            return Err(VerifierError::Iterations);
        }
        let iterations = checked_iterations(iterations.parse().map_err(|_| VerifierError::Iterations)?)?;
        let salt = STANDARD.decode(salt).map_err(|_| VerifierError::Base64)?;
        if !(8..=64).contains(&salt.len()) {
            return Err(VerifierError::Base64);
        }
        let key = |text: &str| -> Result<[u8; KEY_LEN], VerifierError> {
            let octets = STANDARD.decode(text).map_err(|_| VerifierError::Base64)?;
            octets.try_into().map_err(|_| VerifierError::Base64)
        };
        Ok(Verifier {
            iterations,
            salt: salt.into(),
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// Writes the text form. It is a secret: it belongs into the `users` file and nowhere else.
    pub fn to_text(&self) -> String {
        format!(
            "{SCHEME}{}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }

    /// How many iterations a check of a password costs.
    pub fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// The salt, which a SCRAM client is told.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether `password` is the one. Costs milliseconds of CPU, the same for a right and a wrong one, and for
    /// one that could never have been set.
    pub fn verify(&self, password: &str) -> bool {
        let (prepared, usable) = match prepare(password) {
            Ok(prepared) => (prepared, true),
            Err(_) => (Cow::Borrowed(""), false),
        };
        let (stored_key, _) = derive_keys(prepared.as_bytes(), &self.salt, self.iterations);
        let same = bool::from(stored_key.ct_eq(&self.stored_key));
        same && usable
    }

    /// Checks a SCRAM client's proof over the messages exchanged; returns the server's signature where it is
    /// right (RFC 5802 section 3). Cheap: two HMACs.
    pub fn check_proof(&self, auth_message: &[u8], proof: &[u8; KEY_LEN]) -> Option<[u8; KEY_LEN]> {
        let signature = mac(&self.stored_key, auth_message);
        let mut client_key = [0; KEY_LEN];
        for ((key, a), b) in client_key.iter_mut().zip(proof).zip(signature) {
            *key = a ^ b;
        }
        let right = bool::from(sha256(&client_key).ct_eq(&self.stored_key));
        right.then(|| mac(&self.server_key, auth_message))
    }
}

fn checked_iterations(iterations: u32) -> Result<NonZeroU32, VerifierError> {
    if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
        return Err(VerifierError::Iterations);
    }
    NonZeroU32::new(iterations).ok_or(VerifierError::Iterations)
}

/// StoredKey and ServerKey of RFC 5802 section 3.
fn derive_keys(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> ([u8; KEY_LEN], [u8; KEY_LEN]) {
    let mut salted = [0; KEY_LEN];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        password,
        &mut salted,
    );
    (sha256(&mac(&salted, b"Client Key")), mac(&salted, b"Server Key"))
}

fn sha256(data: &[u8]) -> [u8; KEY_LEN] {
    fixed(digest::digest(&digest::SHA256, data).as_ref())
}

/// HMAC-SHA-256.
pub(super) fn mac(key: &[u8], data: &[u8]) -> [u8; KEY_LEN] {
    fixed(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref())
}

/// A digest as an array; SHA-256 always has this length.
fn fixed(octets: &[u8]) -> [u8; KEY_LEN] {
    let mut out = [0; KEY_LEN];
    for (to, from) in out.iter_mut().zip(octets) {
        *to = *from;
    }
    out
}

/// A password as it is hashed: SASLprep (RFC 4013) where the text allows it, the text itself where it does
/// not (unassigned or mixed-direction characters), which is what clients in the field do as well.
///
/// Control characters are refused, since a client that prepares properly could never send them.
pub fn prepare(password: &str) -> Result<Cow<'_, str>, VerifierError> {
    if password.is_empty() {
        return Err(VerifierError::Empty);
    }
    if password.len() > MAX_PASSWORD {
        return Err(VerifierError::TooLong);
    }
    if password.chars().any(char::is_control) {
        return Err(VerifierError::ControlCharacter);
    }
    if password.is_ascii() {
        return Ok(Cow::Borrowed(password));
    }
    match stringprep::saslprep(password) {
        Ok(prepared) if prepared.is_empty() => Err(VerifierError::Empty),
        Ok(prepared) => Ok(prepared),
        Err(_) => Ok(Cow::Borrowed(password)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_read_back_and_nothing_else_is() {
        let v = Verifier::derive("pencil", b"12345678", 4096).unwrap();
        let text = v.to_text();
        assert_eq!(Verifier::parse(&text), Ok(v));
        let (head, _) = text.rsplit_once(':').unwrap();
        for (name, bad, want) in [
            (
                "another scheme",
                "SCRAM-SHA-1$4096:AA==$AA==:AA==".to_string(),
                VerifierError::Scheme,
            ),
            ("plain text", "pencil".to_string(), VerifierError::Scheme),
            ("one part missing", head.to_string(), VerifierError::Form),
            (
                "few iterations",
                text.replacen("4096", "4095", 1),
                VerifierError::Iterations,
            ),
            (
                "signed iterations",
                text.replacen("4096", "+4096", 1),
                VerifierError::Iterations,
            ),
            (
                "huge iterations",
                text.replacen("4096", "99999999999", 1),
                VerifierError::Iterations,
            ),
            ("short key", format!("{head}:AAAA"), VerifierError::Base64),
            ("no base64", format!("{head}:!"), VerifierError::Base64),
        ] {
            assert_eq!(Verifier::parse(&bad), Err(want), "{name}");
        }
    }

    #[test]
    fn passwords_are_prepared() {
        assert_eq!(prepare("a\u{AA}").as_deref(), Ok("aa"), "compatibility letter");
        assert_eq!(prepare("e\u{301}").as_deref(), Ok("\u{e9}"), "composed");
        assert_eq!(prepare("\u{AD}"), Err(VerifierError::Empty), "only a soft hyphen");
        assert_eq!(prepare("a\0"), Err(VerifierError::ControlCharacter));
        assert_eq!(
            prepare("\u{1F9A5}").as_deref(),
            Ok("\u{1F9A5}"),
            "unassigned in the old tables"
        );
        assert_eq!(prepare(&"x".repeat(1025)), Err(VerifierError::TooLong));
    }

    #[test]
    fn debug_shows_no_secret() {
        let v = Verifier::derive("pencil", b"12345678", 4096).unwrap();
        assert_eq!(format!("{v:?}"), "Verifier(4096 iterations, secret)");
    }
}
