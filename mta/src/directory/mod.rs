//! The embedded directory: who has mail here, under which addresses, with which password.
//!
//! One text file, `users` in the site folder, one item a line; blank lines and lines that begin with `#` are
//! kept as they are when a program changes the file:
//!
//! ```text
//! # Sluice users.
//! secret: 5xv2...=
//! domain: example.com
//! domain: example.org
//! user: alice mail=alice@example.com aliases=a.smith@example.com,as@example.org password=SCRAM-SHA-256$...
//! user: bob mail=bob@example.com status=hold host=store2.example.com
//! ```
//!
//! | line | meaning |
//! | --- | --- |
//! | `domain:` | a domain whose mail is local; the first is the default domain |
//! | `user:` | the user name, then attributes in any order; `mail=` is required |
//! | `secret:` | 32 octets in base64 from which salts for unknown users are derived; made when missing |
//!
//! | attribute | meaning |
//! | --- | --- |
//! | `mail=` | the primary address |
//! | `aliases=` | other addresses, separated by commas |
//! | `status=` | `active` (default), `inactive`, `overquota`, `hold`, `disabled`, `deleted`, `removed` |
//! | `host=` | the host whose store has the mailbox, where it is not this one |
//! | `password=` | a verifier, see [`verifier`]; without one the user cannot log in |
//!
//! Look-ups are hash look-ups and ignore case. [`Directory`] is plain data: share it in an `Arc`, change a clone
//! and swap. [`edit`] changes the file: under a lock, all or nothing, mode 0600.
//!
//! Guarantees: a file with any error does not load and every error is reported; writing and reading again
//! gives the same directory; no `Debug` output and no diagnostic shows a verifier or the secret.
//! Refuses: user names that could leave their folder ([`user::check_uid`]), one address for two users.
//! Limits: files up to 1 GiB, [`user::MAX_ALIASES`] aliases a user.

mod file;
mod save;
pub mod user;
pub mod verifier;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;

pub use file::redacted;
pub use save::{LoadError, Loaded, SaveError, edit, load};
pub use user::{NameError, Status, User, delivery_address};
pub use verifier::{Verifier, VerifierError};

/// Why a change to the directory is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The user name cannot be used.
    #[error("user name {name:?}: {error}; use letters, digits, `.`, `_` and `-`")]
    BadUid {
        /// The name.
        name: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// The address cannot be used.
    #[error("address {address:?}: {error}")]
    BadAddress {
        /// The address.
        address: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// The domain cannot be used.
    #[error("domain {domain:?}: {error}")]
    BadDomain {
        /// The domain.
        domain: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// There is such a user.
    #[error("there is a user {uid} already; choose another name or change that user")]
    UserExists {
        /// The user name.
        uid: String,
    },
    /// There is no such user.
    #[error("there is no user {name:?}")]
    NoUser {
        /// The name.
        name: String,
    },
    /// The address belongs to someone.
    #[error("the address {address} belongs to user {uid} already")]
    AddressTaken {
        /// The address.
        address: String,
        /// Whose it is.
        uid: String,
    },
    /// The user has as many aliases as the directory allows.
    #[error("user {uid} has the most aliases allowed ({})", user::MAX_ALIASES)]
    TooManyAliases {
        /// The user name.
        uid: String,
    },
    /// No domain is hosted, so that a user name alone makes no address.
    #[error("no domain is local yet, so user {uid} would have no address; add a `domain:` line first")]
    NoDomain {
        /// The user name.
        uid: String,
    },
    /// The password or verifier cannot be used.
    #[error("the password cannot be used: {0}")]
    Password(#[from] VerifierError),
}

/// One line of the file.
#[derive(Clone)]
enum Line {
    /// A comment or blank line.
    Text(Box<str>),
    /// The place of the secret.
    Secret,
    /// A local domain, in lower case.
    Domain(Box<str>),
    /// A user.
    User(Box<User>),
    /// A line that was taken out; indexes of others stay valid.
    Gone,
}

/// All users and local domains.
#[derive(Clone)]
pub struct Directory {
    lines: Vec<Line>,
    by_uid: HashMap<Box<str>, u32>,
    by_address: HashMap<Box<str>, u32>,
    domains: HashSet<Box<str>>,
    /// How many verifiers have how many iterations.
    iterations: BTreeMap<u32, usize>,
    secret: [u8; 32],
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Directory({} users, {} domains)",
            self.by_uid.len(),
            self.domains.len()
        )
    }
}

impl Directory {
    /// An empty directory with a new secret.
    pub fn new() -> Result<Directory, DirectoryError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| VerifierError::NoRandomness)?;
        let mut directory = Directory::with_secret(secret);
        directory.lines.push(Line::Text(
            "# Sluice users: one domain or user a line. Keep this file private.".into(),
        ));
        directory.lines.push(Line::Secret);
        Ok(directory)
    }

    /// No lines at all.
    fn with_secret(secret: [u8; 32]) -> Directory {
        Directory {
            lines: Vec::new(),
            by_uid: HashMap::new(),
            by_address: HashMap::new(),
            domains: HashSet::new(),
            iterations: BTreeMap::new(),
            secret,
        }
    }

    /// Whether mail for `domain` is delivered here. Ignores case and one dot at the end.
    pub fn is_local_domain(&self, domain: &str) -> bool {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        self.domains.contains(fold(domain).as_str())
    }

    /// The local domains, in the order of the file.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| match line {
            Line::Domain(name) => Some(&**name),
            _ => None,
        })
    }

    /// The first domain of the file: a user name without one means this.
    pub fn default_domain(&self) -> Option<&str> {
        self.domains().next()
    }

    /// The users, in the order of the file.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.lines.iter().filter_map(|line| match line {
            Line::User(user) => Some(&**user),
            _ => None,
        })
    }

    /// The number of users.
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }

    /// The user of a user name.
    pub fn by_uid(&self, uid: &str) -> Option<&User> {
        self.user_at(self.by_uid.get(fold(uid).as_str()))
    }

    /// The user whom `local@domain` reaches: with the whole local part first, then without a subaddress
    /// (`+...`).
    pub fn by_address(&self, address: &str) -> Option<&User> {
        self.find(address).map(|(user, _)| user)
    }

    /// As [`Directory::by_address`], with the subaddress where it had to be taken off.
    pub fn find<'d, 'a>(&'d self, address: &'a str) -> Option<(&'d User, Option<&'a str>)> {
        if let Some(user) = self.by_exact_address(address) {
            return Some((user, None));
        }
        let (local, domain) = address.rsplit_once('@')?;
        let (name, subaddress) = local.split_once('+')?;
        let user = self.by_exact_address(&format!("{name}@{domain}"))?;
        Some((user, Some(subaddress)))
    }

    /// The user of a login name: a user name, or an address without a subaddress.
    pub fn by_login(&self, login: &str) -> Option<&User> {
        if login.contains('@') {
            self.by_exact_address(login)
        } else {
            self.by_uid(login)
        }
    }

    fn by_exact_address(&self, address: &str) -> Option<&User> {
        self.user_at(self.by_address.get(fold(address).as_str()))
    }

    fn user_at(&self, index: Option<&u32>) -> Option<&User> {
        match self.lines.get(*index? as usize) {
            Some(Line::User(user)) => Some(user),
            _ => None,
        }
    }

    /// The verifier to check a login against, and the user where there is one who has a password.
    ///
    /// For any other name this is a verifier that no password matches: its salt depends on the name and on the
    /// secret of this directory, so it stays the same from one attempt and one start to the next, and its
    /// iterations are those of most users. Checking it costs as much as checking a real one. What remains
    /// visible: someone who asks for the salt under several names can see that two of them are one user's.
    pub fn verifier_for(&self, login: &str) -> (Verifier, Option<&User>) {
        // `carol` and `carol@local.domain` are mostly one user where they exist, so they get one salt.
        let name = match login.rsplit_once('@') {
            Some((local, domain)) if self.is_local_domain(domain) => fold(local),
            _ => fold(login),
        };
        let derive = |what: &str| verifier::mac(&self.secret, format!("{what}\0{name}").as_bytes());
        let salt = derive("salt");
        let salt = salt.get(..verifier::SALT_LEN).unwrap_or(&salt);
        let usual = self
            .iterations
            .iter()
            .max_by_key(|(_, users)| **users)
            .map(|(iterations, _)| *iterations);
        let iterations = usual.and_then(NonZeroU32::new).unwrap_or(DEFAULT_ITERATIONS);
        // Made even where it is not needed, so that a known name takes no less time.
        let impossible = Verifier::impossible(iterations, salt, derive("stored key"), derive("server key"));
        let known = self
            .by_login(login)
            .and_then(|user| Some((user.verifier.clone()?, Some(user))));
        known.unwrap_or((impossible, None))
    }

    /// Adds a user with a password, whose address is `uid@` the default domain. Returns the user.
    ///
    /// Costs milliseconds of CPU for the verifier.
    pub fn add_user(&mut self, uid: &str, password: &str) -> Result<&User, DirectoryError> {
        check_uid(uid)?;
        let Some(domain) = self.default_domain() else {
            return Err(DirectoryError::NoDomain { uid: uid.to_string() });
        };
        let mut user = User::new(fold(uid), format!("{}@{domain}", fold(uid)));
        user.verifier = Some(Verifier::new(password)?);
        self.insert_user(user)
    }

    /// Adds a user as given.
    pub fn insert_user(&mut self, mut user: User) -> Result<&User, DirectoryError> {
        check_uid(&user.uid)?;
        user.uid = fold(&user.uid);
        for address in std::iter::once(&user.mail).chain(&user.aliases) {
            check_address(address)?;
        }
        if let Some(host) = &user.host {
            check_domain(host)?;
        }
        if user.aliases.len() > user::MAX_ALIASES {
            return Err(DirectoryError::TooManyAliases { uid: user.uid });
        }
        if self.by_uid.contains_key(user.uid.as_str()) {
            return Err(DirectoryError::UserExists { uid: user.uid });
        }
        let mut own = HashSet::new();
        for address in std::iter::once(&user.mail).chain(&user.aliases) {
            self.check_free(address)?;
            if !own.insert(fold(address)) {
                return Err(DirectoryError::AddressTaken {
                    address: address.clone(),
                    uid: user.uid.clone(),
                });
            }
        }
        let uid = user.uid.clone();
        self.index_user(user);
        self.by_uid(&uid).ok_or(DirectoryError::NoUser { name: uid })
    }

    /// Adds a user whose names are known to be good and free.
    fn index_user(&mut self, user: User) {
        let index = self.lines.len() as u32;
        self.by_uid.insert(user.uid.as_str().into(), index);
        for address in std::iter::once(&user.mail).chain(&user.aliases) {
            self.by_address.insert(fold(address).into(), index);
        }
        self.count_iterations(user.verifier.as_ref(), 1);
        self.lines.push(Line::User(Box::new(user)));
    }

    fn count_iterations(&mut self, verifier: Option<&Verifier>, by: isize) {
        if let Some(verifier) = verifier {
            let count = self.iterations.entry(verifier.iterations()).or_default();
            *count = count.saturating_add_signed(by);
        }
    }

    /// Makes `domain` local; does nothing where it is already.
    pub fn add_domain(&mut self, domain: &str) -> Result<(), DirectoryError> {
        check_domain(domain)?;
        let domain: Box<str> = fold(domain).into();
        if self.domains.insert(domain.clone()) {
            self.lines.push(Line::Domain(domain));
        }
        Ok(())
    }

    /// Gives a user one more address.
    pub fn add_alias(&mut self, uid: &str, address: &str) -> Result<(), DirectoryError> {
        check_address(address)?;
        self.check_free(address)?;
        let index = self.index_of(uid)?;
        let user = self.user_mut(uid)?;
        if user.aliases.len() >= user::MAX_ALIASES {
            return Err(DirectoryError::TooManyAliases {
                uid: user.uid.clone(),
            });
        }
        user.aliases.push(address.to_string());
        self.by_address.insert(fold(address).into(), index);
        Ok(())
    }

    /// Gives a user a new password. Costs milliseconds of CPU.
    pub fn set_password(&mut self, uid: &str, password: &str) -> Result<(), DirectoryError> {
        let new = Verifier::new(password)?;
        let old = self.user_mut(uid)?.verifier.replace(new.clone());
        self.count_iterations(old.as_ref(), -1);
        self.count_iterations(Some(&new), 1);
        Ok(())
    }

    /// Changes a user's status.
    pub fn set_status(&mut self, uid: &str, status: Status) -> Result<(), DirectoryError> {
        self.user_mut(uid)?.status = status;
        Ok(())
    }

    /// Takes a user out and returns it. The mailbox is not touched.
    pub fn remove_user(&mut self, uid: &str) -> Result<User, DirectoryError> {
        let index = self.index_of(uid)?;
        let line = self
            .lines
            .get_mut(index as usize)
            .map(|line| std::mem::replace(line, Line::Gone));
        let Some(Line::User(user)) = line else {
            return Err(DirectoryError::NoUser {
                name: uid.to_string(),
            });
        };
        self.by_uid.remove(user.uid.as_str());
        for address in std::iter::once(&user.mail).chain(&user.aliases) {
            self.by_address.remove(fold(address).as_str());
        }
        self.count_iterations(user.verifier.as_ref(), -1);
        Ok(*user)
    }

    fn index_of(&self, uid: &str) -> Result<u32, DirectoryError> {
        let index = self.by_uid.get(fold(uid).as_str()).copied();
        index.ok_or_else(|| DirectoryError::NoUser {
            name: uid.to_string(),
        })
    }

    fn user_mut(&mut self, uid: &str) -> Result<&mut User, DirectoryError> {
        let index = self.index_of(uid)?;
        match self.lines.get_mut(index as usize) {
            Some(Line::User(user)) => Ok(user),
            _ => Err(DirectoryError::NoUser {
                name: uid.to_string(),
            }),
        }
    }

    fn check_free(&self, address: &str) -> Result<(), DirectoryError> {
        match self.by_exact_address(address) {
            Some(user) => Err(DirectoryError::AddressTaken {
                address: address.to_string(),
                uid: user.uid.clone(),
            }),
            None => Ok(()),
        }
    }
}

const DEFAULT_ITERATIONS: NonZeroU32 = match NonZeroU32::new(verifier::DEFAULT_ITERATIONS) {
    Some(iterations) => iterations,
    None => NonZeroU32::MIN,
};

/// A name as it is compared.
fn fold(name: &str) -> String {
    if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        name.to_lowercase()
    }
}

fn check_uid(uid: &str) -> Result<(), DirectoryError> {
    user::check_uid(uid).map_err(|error| DirectoryError::BadUid {
        name: uid.to_string(),
        error,
    })
}

fn check_address(address: &str) -> Result<(), DirectoryError> {
    user::check_address(address).map_err(|error| DirectoryError::BadAddress {
        address: address.to_string(),
        error,
    })
}

fn check_domain(domain: &str) -> Result<(), DirectoryError> {
    user::check_domain(domain).map_err(|error| DirectoryError::BadDomain {
        domain: domain.to_string(),
        error,
    })
}
