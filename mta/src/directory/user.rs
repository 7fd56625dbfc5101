//! A user, and what names and addresses the directory accepts.
//!
//! A user name becomes a folder name and a local part, so it is held to a small alphabet: no path separator,
//! no control character, no `..`, nothing that an address or a shell reads in its own way.

use std::fmt;

use super::verifier::Verifier;

/// The longest user name, in octets (RFC 5321 section 4.5.3.1.1, local part).
pub const MAX_UID: usize = 64;
/// The longest domain name, in octets.
pub const MAX_DOMAIN: usize = 253;
/// The most alternate addresses of one user.
pub const MAX_ALIASES: usize = 1000;

/// One person (or role) who has mail here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user name in lower case: see [`check_uid`].
    pub uid: String,
    /// The primary address, which is also the authenticated sender address of access probes.
    pub mail: String,
    /// Other addresses that reach this user.
    pub aliases: Vec<String>,
    /// The host whose store holds the mailbox; here where it is absent.
    pub host: Option<String>,
    /// Whether mail and logins are accepted.
    pub status: Status,
    /// The password's verifier; without one the user gets mail but cannot log in.
    pub verifier: Option<Verifier>,
}

impl User {
    /// A user with a primary address and nothing else.
    pub fn new(uid: impl Into<String>, mail: impl Into<String>) -> User {
        User {
            uid: uid.into(),
            mail: mail.into(),
            aliases: Vec::new(),
            host: None,
            status: Status::Active,
            verifier: None,
        }
    }

    /// The address of the mailbox in the message store's channel: `uid@ims-ms-daemon`.
    pub fn delivery_address(&self) -> String {
        delivery_address(&self.uid, None)
    }
}

/// The store channel's address of a mailbox: `uid@ims-ms-daemon`, with a subaddress `uid+folder@ims-ms-daemon`.
pub fn delivery_address(uid: &str, subaddress: Option<&str>) -> String {
    match subaddress {
        Some(sub) => format!("{uid}+{sub}@ims-ms-daemon"),
        None => format!("{uid}@ims-ms-daemon"),
    }
}

/// A user's state, with the meanings of `mailUserStatus` (directory specification 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Status {
    /// Mail is delivered, logins work.
    #[default]
    Active,
    /// Mail is refused for now (4xx), no logins.
    Inactive,
    /// Mail is refused for now (4xx); the user may log in and tidy up.
    Overquota,
    /// Mail is accepted and held, no logins.
    Hold,
    /// Mail is refused (5xx), no logins.
    Disabled,
    /// Mail is refused (5xx), no logins; the mailbox may be purged.
    Deleted,
    /// As deleted, and the mailbox is gone.
    Removed,
}

impl Status {
    const ALL: [(Status, &'static str); 7] = [
        (Status::Active, "active"),
        (Status::Inactive, "inactive"),
        (Status::Overquota, "overquota"),
        (Status::Hold, "hold"),
        (Status::Disabled, "disabled"),
        (Status::Deleted, "deleted"),
        (Status::Removed, "removed"),
    ];

    /// All of them, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Status> {
        Self::ALL.iter().map(|(status, _)| *status)
    }

    /// The status of a word, in any case.
    pub fn parse(word: &str) -> Option<Status> {
        Self::ALL
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(word))
            .map(|(status, _)| *status)
    }

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(status, _)| *status == self)
            .map_or("active", |(_, name)| name)
    }

    /// Whether a right password opens a session.
    pub fn may_log_in(self) -> bool {
        matches!(self, Status::Active | Status::Overquota)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a name, an address or a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// Longer than the limit.
    #[error("the name is too long")]
    TooLong,
    /// A character that the name must not contain.
    #[error("the name must not contain {0:?}")]
    Character(char),
    /// Two dots in a row, or a dot or hyphen at an end.
    #[error("the name has a dot or a hyphen where none may stand, or two dots in a row")]
    Punctuation,
    /// No `@`.
    #[error("an address is written local-part@domain")]
    NoAt,
    /// No name of a domain, but digits.
    #[error("a domain name is not a number or an address literal")]
    NotADomain,
}

/// Checks a user name: 1 to 64 of `a-z 0-9 . _ -` (capitals are read as small), a letter, digit or `_` first,
/// no dot last, no two dots in a row.
pub fn check_uid(uid: &str) -> Result<(), NameError> {
    if uid.is_empty() {
        return Err(NameError::Empty);
    }
    if uid.len() > MAX_UID {
        return Err(NameError::TooLong);
    }
    if let Some(c) = uid
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        return Err(NameError::Character(c));
    }
    if uid.starts_with(['.', '-']) || uid.ends_with('.') || uid.contains("..") {
        return Err(NameError::Punctuation);
    }
    Ok(())
}

/// Checks a domain name: labels of letters, digits and inner hyphens, in the `xn--` form where it is
/// international.
pub fn check_domain(domain: &str) -> Result<(), NameError> {
    if domain.is_empty() {
        return Err(NameError::Empty);
    }
    if domain.len() > MAX_DOMAIN || domain.split('.').any(|label| label.len() > 63) {
        return Err(NameError::TooLong);
    }
    if let Some(c) = domain
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-')))
    {
        return Err(NameError::Character(c));
    }
    if domain
        .split('.')
        .any(|label| label.is_empty() || label.starts_with('-') || label.ends_with('-'))
    {
        return Err(NameError::Punctuation);
    }
    if domain
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(NameError::NotADomain);
    }
    Ok(())
}

/// Checks a mail address: an unquoted local part (RFC 5321 atoms; letters beyond ASCII as in RFC 6531), `@`
/// and a domain. `,` and blanks cannot occur, so a list of addresses needs no quoting.
pub fn check_address(address: &str) -> Result<(), NameError> {
    let (local, domain) = address.rsplit_once('@').ok_or(NameError::NoAt)?;
    if local.is_empty() {
        return Err(NameError::Empty);
    }
    if local.len() > 64 {
        return Err(NameError::TooLong);
    }
    let atom = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~.".contains(c)
            || (!c.is_ascii() && c.is_alphanumeric())
    };
    if let Some(c) = local.chars().find(|c| !atom(*c)) {
        return Err(NameError::Character(c));
    }
    if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Err(NameError::Punctuation);
    }
    check_domain(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_user_names_are_refused() {
        for name in ["alice", "a.smith", "_x", "A-1", "0"] {
            assert_eq!(check_uid(name), Ok(()), "{name:?}");
        }
        for name in [
            "",
            ".",
            "..",
            "../etc",
            "a/b",
            "a\\b",
            "a..b",
            ".hidden",
            "-rf",
            "a.",
            "a\0",
            "a\n",
            "a b",
            "a+b",
            "a@b",
            "a%b",
            "a:b",
            "\u{202e}a",
            "\u{e9}",
            &"x".repeat(65),
        ] {
            assert!(check_uid(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn addresses_and_domains() {
        for good in ["a@example.com", "a.b+c@x.org", "\u{e9}t\u{e9}@example.com"] {
            assert_eq!(check_address(good), Ok(()), "{good:?}");
        }
        for bad in [
            "a",
            "@b.c",
            "a@",
            "a@b..c",
            "a@-b.c",
            "a@[1.2.3.4]",
            "a@1.2.3.4",
            "a b@c.d",
            "\"a\"@b.c",
            ".a@b.c",
        ] {
            assert!(check_address(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            check_domain(&format!("{}.com", "a".repeat(64))),
            Err(NameError::TooLong)
        );
    }
}
