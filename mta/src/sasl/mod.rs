//! SASL, the server's side: PLAIN (RFC 4616), LOGIN and SCRAM-SHA-256 (RFC 5802, RFC 7677).
//!
//! An [`Exchange`] is a state machine on decoded octets; it does no I/O and keeps no clock. The session decodes
//! lines with [`encoding`], feeds [`Exchange::respond`], and acts on the [`Step`]:
//!
//! ```text
//! AUTH mech [initial] -> Exchange::start -> Challenge  -> 334, read a line, respond
//!                                           Verify     -> run() where blocking is allowed, act on its Step
//!                                           Success    -> 235
//!                                           Failure    -> SaslError::reply
//! ```
//!
//! Only [`Step::Verify`] costs CPU (a PBKDF2 computation, milliseconds): an async caller runs it in
//! `spawn_blocking`. All other steps, every one of SCRAM among them, are cheap.
//!
//! Guarantees: a wrong password, an unknown user, a user without password and one who may not log in give the
//! same answer for the same work; any octets give an answer, never a panic; secrets never show in `Debug`.
//! Refuses: to act for another user (a non-empty authorization identity must be the user's own), control
//! characters in names and passwords, channel binding (SCRAM-SHA-256-PLUS is not offered).
//! Limits: [`encoding::MAX_LINE`] a line, [`MAX_LOGIN`] octets a name,
//! [`MAX_PASSWORD`](crate::directory::verifier::MAX_PASSWORD) a password.
//!
//! The mechanisms are written here rather than taken from a library because verification must be separable
//! from parsing (so that it can leave the async threads), and because an unknown user must look like a known
//! one up to the last message.

pub mod encoding;
mod failures;
mod scram;

use std::fmt;
use std::sync::Arc;

use crate::directory::{Directory, User, verifier};
use crate::log::describe::BAD_PASSWORD;
use crate::smtp::protocol::{Enhanced, Reply};

pub use failures::{AuthFailures, MAX_DELAY};

/// The longest login name or authorization identity, in octets.
pub const MAX_LOGIN: usize = 255;

/// What a session allows, given its channel and whether TLS is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether PLAIN and LOGIN, which send the password itself, are allowed: normally only under TLS.
    pub plaintext: bool,
    /// Whether SCRAM-SHA-256 is allowed.
    pub scram: bool,
}

impl Policy {
    /// The usual policy: SCRAM always, the password itself only where nobody can listen.
    pub fn for_layer(secure: bool) -> Policy {
        Policy {
            plaintext: secure,
            scram: true,
        }
    }

    /// The mechanisms to announce, the strongest first.
    pub fn mechanisms(&self) -> impl Iterator<Item = &'static str> + use<> {
        let policy = *self;
        Mechanism::ALL
            .into_iter()
            .filter(move |m| m.allowed(&policy))
            .map(Mechanism::name)
    }
}

/// A mechanism that is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    ScramSha256,
    /// PLAIN.
    Plain,
    /// LOGIN, an old convention without a standard, still common.
    Login,
}

impl Mechanism {
    const ALL: [Mechanism; 3] = [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
        }
    }

    /// The mechanism of a name, in any case.
    pub fn parse(name: &str) -> Option<Mechanism> {
        Self::ALL
            .into_iter()
            .find(|m| m.name().eq_ignore_ascii_case(name))
    }

    fn allowed(self, policy: &Policy) -> bool {
        match self {
            Mechanism::ScramSha256 => policy.scram,
            Mechanism::Plain | Mechanism::Login => policy.plaintext,
        }
    }
}

/// Why an exchange ended without success. [`SaslError::reply`] is what SMTP says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The mechanism is not known here, or switched off.
    #[error("this authentication mechanism is not offered; use one of those that EHLO lists")]
    UnknownMechanism,
    /// The mechanism sends the password and the layer does not protect it.
    #[error("this mechanism sends the password itself and needs an encrypted connection; use STARTTLS first")]
    EncryptionNeeded,
    /// The line is not base64.
    #[error("the line is not valid base64")]
    BadBase64,
    /// The line is longer than [`encoding::MAX_LINE`].
    #[error("the line is longer than {} octets", encoding::MAX_LINE)]
    TooLong,
    /// The message is not what the mechanism asks for.
    #[error("the message does not follow the mechanism: {0}")]
    Malformed(&'static str),
    /// The client gave up (`*`).
    #[error("the client cancelled the exchange")]
    Cancelled,
    /// Unknown user, wrong password, or a user who may not log in: which one is not said.
    #[error("wrong user name or password")]
    BadCredentials,
    /// The password is right, but the client wants to act for somebody else.
    #[error("the user may not act for another identity")]
    NotAuthorized,
    /// Something on this side failed.
    #[error("the system's random number source failed")]
    Temporary,
    /// A message came after the end of the exchange, or while a password was being checked.
    #[error("the exchange is over or expects no message now")]
    OutOfStep,
}

impl SaslError {
    /// The SMTP reply: code, enhanced code, text (RFC 4954 section 6).
    pub fn reply(self) -> (u16, Enhanced, &'static str) {
        match self {
            SaslError::UnknownMechanism => (504, (5, 5, 4), "Unrecognized authentication type."),
            SaslError::EncryptionNeeded => (
                538,
                (5, 7, 11),
                "Encryption required for requested authentication mechanism.",
            ),
            SaslError::BadBase64 => (501, (5, 5, 2), "Cannot decode the response: bad base64."),
            SaslError::TooLong => (500, (5, 5, 6), "Authentication exchange line is too long."),
            SaslError::Malformed(_) => (501, (5, 5, 2), "Malformed authentication message."),
            SaslError::Cancelled => (501, (5, 7, 0), "Authentication exchange cancelled."),
            SaslError::BadCredentials | SaslError::NotAuthorized => (
                535,
                (5, 7, 8),
                "Bad username or password (Authentication failed).",
            ),
            SaslError::Temporary => (454, (4, 7, 0), "Temporary authentication failure."),
            SaslError::OutOfStep => (503, (5, 5, 1), "No authentication exchange in progress."),
        }
    }

    /// Tag of the `U` entry: log watchers count [`BAD_PASSWORD`], and may block who guesses. A mechanism that is
    /// not there or a line that is not base64 is no guess.
    pub fn log_tag(self) -> &'static str {
        match self.is_bad_guess() {
            true => BAD_PASSWORD,
            false => "Authentication failed",
        }
    }

    /// Whether it counts as a failed guess, for [`AuthFailures`] and `disconnectbadauthlimit`.
    pub fn is_bad_guess(self) -> bool {
        matches!(self, SaslError::BadCredentials | SaslError::NotAuthorized)
    }
}

impl From<SaslError> for Reply {
    fn from(error: SaslError) -> Reply {
        let (code, status, text) = error.reply();
        Reply::new(code, status, text)
    }
}

/// What the session does next.
#[derive(Debug)]
pub enum Step {
    /// Send these octets (base64, after `334 `) and give the decoded answer to [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// Check a password: see [`Verification::run`]. The exchange takes no message meanwhile, nor after.
    Verify(Verification),
    /// The client is this user.
    Success {
        /// The user name.
        uid: String,
        /// The user's primary address, for access probes and `authrewrite`.
        sender_address: String,
    },
    /// The exchange has failed and is over.
    Failure(SaslError),
}

impl Step {
    fn malformed(what: &'static str) -> Step {
        Step::Failure(SaslError::Malformed(what))
    }

    fn success(user: &User) -> Step {
        Step::Success {
            uid: user.uid.clone(),
            sender_address: user.mail.clone(),
        }
    }
}

/// A password to be checked: owns all it needs, so it can move to a thread where blocking is allowed.
pub struct Verification {
    directory: Arc<Directory>,
    login: String,
    authzid: String,
    password: String,
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verification(login {:?}, password secret)", self.login)
    }
}

impl Verification {
    /// Checks the password: [`Step::Success`] or [`Step::Failure`]. Costs milliseconds of CPU.
    pub fn run(self) -> Step {
        let (verifier, user) = self.directory.verifier_for(&self.login);
        let right = verifier.verify(&self.password);
        match user {
            Some(user) if right => conclude(&self.directory, user, &self.authzid),
            _ => Step::Failure(SaslError::BadCredentials),
        }
    }
}

/// The end of every mechanism, once the password is proved.
fn conclude(directory: &Directory, user: &User, authzid: &str) -> Step {
    if !user.status.may_log_in() {
        return Step::Failure(SaslError::BadCredentials);
    }
    let own = authzid.is_empty()
        || directory
            .by_login(authzid)
            .is_some_and(|other| other.uid == user.uid);
    if own {
        Step::success(user)
    } else {
        Step::Failure(SaslError::NotAuthorized)
    }
}

enum State {
    /// PLAIN waits for its only message.
    Plain,
    /// LOGIN waits for the name.
    LoginName,
    /// LOGIN waits for the password.
    LoginPassword,
    /// SCRAM waits for client-first.
    ScramFirst,
    /// SCRAM waits for client-final.
    ScramFinal(Box<scram::Pending>),
    /// SCRAM waits for the empty message after the server's signature.
    ScramEnd { uid: String, sender_address: String },
    /// Nothing more is expected.
    Over,
}

/// One authentication exchange.
pub struct Exchange {
    directory: Arc<Directory>,
    state: State,
    mechanism: Option<Mechanism>,
    login: Option<String>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("mechanism", &self.mechanism)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl Exchange {
    /// Begins an exchange: the mechanism's name in any case, and the decoded initial response where the client
    /// sent one (an empty one is `Some(b"")`).
    pub fn start(
        mechanism: &str,
        initial: Option<&[u8]>,
        directory: Arc<Directory>,
        policy: &Policy,
    ) -> (Exchange, Step) {
        let mechanism = Mechanism::parse(mechanism);
        let mut exchange = Exchange {
            directory,
            state: State::Over,
            mechanism,
            login: None,
        };
        let (state, prompt): (State, &[u8]) = match mechanism {
            None => return (exchange, Step::Failure(SaslError::UnknownMechanism)),
            Some(Mechanism::ScramSha256) if !policy.scram => {
                return (exchange, Step::Failure(SaslError::UnknownMechanism));
            }
            Some(Mechanism::Plain | Mechanism::Login) if !policy.plaintext => {
                return (exchange, Step::Failure(SaslError::EncryptionNeeded));
            }
            Some(Mechanism::ScramSha256) => (State::ScramFirst, b""),
            Some(Mechanism::Plain) => (State::Plain, b""),
            Some(Mechanism::Login) => (State::LoginName, b"Username:"),
        };
        exchange.state = state;
        let step = match initial {
            Some(initial) => exchange.respond(initial),
            None => Step::Challenge(prompt.to_vec()),
        };
        (exchange, step)
    }

    /// Takes the client's decoded answer to a challenge.
    pub fn respond(&mut self, message: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => self.plain(message),
            State::LoginName => {
                match login_name(message) {
                    Ok(login) => self.login = Some(login),
                    Err(step) => return step,
                }
                self.state = State::LoginPassword;
                Step::Challenge(b"Password:".to_vec())
            }
            State::LoginPassword => match (password(message), self.login.clone()) {
                (Ok(password), Some(login)) => self.verify(login, String::new(), password),
                (Err(step), _) => step,
                (Ok(_), None) => Step::Failure(SaslError::OutOfStep),
            },
            State::ScramFirst => {
                let mut random = [0; 18];
                if getrandom::fill(&mut random).is_err() {
                    return Step::Failure(SaslError::Temporary);
                }
                self.scram_first(message, &encoding::encode(&random))
            }
            State::ScramFinal(pending) => self.scram_final(message, &pending),
            State::ScramEnd { uid, sender_address } if message.is_empty() => {
                Step::Success { uid, sender_address }
            }
            State::ScramEnd { .. } => Step::malformed("the last message of SCRAM is empty"),
            State::Over => Step::Failure(SaslError::OutOfStep),
        }
    }

    /// The mechanism, where it was one that is spoken here.
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    /// The name the client gave, for logs; it proves nothing and may not exist. No control characters.
    pub fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// PLAIN: `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2).
    fn plain(&mut self, message: &[u8]) -> Step {
        let mut parts = message.split(|b| *b == 0);
        let (Some(authzid), Some(authcid), Some(passwd), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Step::malformed("PLAIN is identity, NUL, user name, NUL, password");
        };
        let authzid = match authzid {
            b"" => String::new(),
            name => match login_name(name) {
                Ok(name) => name,
                Err(step) => return step,
            },
        };
        let login = match login_name(authcid) {
            Ok(login) => login,
            Err(step) => return step,
        };
        self.login = Some(login.clone());
        match password(passwd) {
            Ok(password) => self.verify(login, authzid, password),
            Err(step) => step,
        }
    }

    fn verify(&self, login: String, authzid: String, password: String) -> Step {
        Step::Verify(Verification {
            directory: Arc::clone(&self.directory),
            login,
            authzid,
            password,
        })
    }

    fn scram_first(&mut self, message: &[u8], nonce: &str) -> Step {
        let first = match scram::ClientFirst::parse(message) {
            Ok(first) => first,
            Err(what) => return Step::malformed(what),
        };
        let login = match login_name(first.username.as_bytes()) {
            Ok(login) => login,
            Err(step) => return step,
        };
        let authzid = match first.authzid.as_str() {
            "" => String::new(),
            name => match login_name(name.as_bytes()) {
                Ok(name) => name,
                Err(step) => return step,
            },
        };
        let (verifier, user) = self.directory.verifier_for(&login);
        let uid = user.map(|user| user.uid.clone());
        self.login = Some(login);
        let (pending, challenge) = scram::Pending::new(&first, nonce, verifier, uid, authzid);
        self.state = State::ScramFinal(Box::new(pending));
        Step::Challenge(challenge.into_bytes())
    }

    fn scram_final(&mut self, message: &[u8], pending: &scram::Pending) -> Step {
        let signature = match pending.check(message) {
            Ok(signature) => signature,
            Err(what) => return Step::malformed(what),
        };
        let user = pending.uid().and_then(|uid| self.directory.by_uid(uid));
        let (Some(signature), Some(user)) = (signature, user) else {
            return Step::Failure(SaslError::BadCredentials);
        };
        // The signature proves to the client that this server knows the password: only after that of the
        // client is complete in every respect.
        match conclude(&self.directory, user, pending.authzid()) {
            Step::Success { uid, sender_address } => {
                self.state = State::ScramEnd { uid, sender_address };
                Step::Challenge(format!("v={}", encoding::encode(&signature)).into_bytes())
            }
            step => step,
        }
    }
}

/// A login name as it is looked up: UTF-8, 1 to [`MAX_LOGIN`] octets, no control characters, prepared.
fn login_name(name: &[u8]) -> Result<String, Step> {
    if name.is_empty() || name.len() > MAX_LOGIN {
        return Err(Step::malformed("a user name has 1 to 255 octets"));
    }
    let name = std::str::from_utf8(name).map_err(|_| Step::malformed("a user name is UTF-8"))?;
    match verifier::prepare(name) {
        Ok(name) => Ok(name.into_owned()),
        Err(_) => Err(Step::malformed("a user name holds no control character")),
    }
}

fn password(password: &[u8]) -> Result<String, Step> {
    if password.is_empty() || password.len() > verifier::MAX_PASSWORD {
        return Err(Step::malformed("a password has 1 to 1024 octets"));
    }
    let password = std::str::from_utf8(password).map_err(|_| Step::malformed("a password is UTF-8"))?;
    if password.chars().any(char::is_control) {
        return Err(Step::malformed("a password holds no control character"));
    }
    Ok(password.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Verifier;

    /// The example of RFC 7677 section 3, with its nonces and salt.
    #[test]
    fn scram_gives_the_values_of_the_standard() {
        let salt = encoding::decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut user = User::new("user", "user@example.com");
        user.verifier = Some(Verifier::derive("pencil", &salt, 4096).unwrap());
        let mut directory = Directory::new().unwrap();
        directory.insert_user(user).unwrap();
        let (mut exchange, step) = Exchange::start(
            "SCRAM-SHA-256",
            None,
            Arc::new(directory),
            &Policy::for_layer(false),
        );
        assert!(matches!(step, Step::Challenge(c) if c.is_empty()));
        let step = exchange.scram_first(
            b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        );
        let Step::Challenge(challenge) = step else {
            panic!("{step:?}")
        };
        assert_eq!(
            String::from_utf8(challenge).unwrap(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let step = exchange.respond(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
              p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        );
        let Step::Challenge(challenge) = step else {
            panic!("{step:?}")
        };
        assert_eq!(
            String::from_utf8(challenge).unwrap(),
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        let step = exchange.respond(b"");
        assert!(
            matches!(&step, Step::Success { uid, .. } if uid == "user"),
            "{step:?}"
        );
        assert!(matches!(
            exchange.respond(b""),
            Step::Failure(SaslError::OutOfStep)
        ));
    }
}
