//! What a policy may ask of the outside world, and what it may be told.
//!
//! The two kinds differ in what a driver may do with them. A [`Read`] may be cached, shared between
//! callers, batched and fetched ahead. An [`Effect`] changes something: it is performed exactly once for
//! each time it is asked, and never tried again on another server.

use std::fmt;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Ask {
    /// Changes nothing.
    Read(Read),
    /// Changes something.
    Effect(Effect),
}

/// A question that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Read {
    /// Look up a key in the general database (`${key}`, `$(key)`).
    General {
        /// The key.
        key: String,
    },
    /// Fetch the value of a URL (`$]url[`): `ldap:`, `file:`, `data:`.
    Url {
        /// The URL.
        url: String,
    },
    /// First value of an attribute of a domain's entry (`$}domain,attribute{`).
    DomainAttribute {
        /// The domain.
        domain: String,
        /// The attribute, or one of `_base_dn_`, `_domain_dn_`, `_domain_name_`, `_canonical_name_`.
        attribute: String,
    },
    /// Whether a domain is served here (`$V`, `$Z`): found or not found.
    DomainIsLocal {
        /// The domain.
        domain: String,
    },
    /// The members of an alias in the directory, one address a line.
    Alias {
        /// The address.
        address: String,
    },
    /// A routine of a bundled image that only looks things up.
    Routine(Routine),
    /// Whether a mailbox exists (Sieve `mailboxexists`).
    Mailbox {
        /// Its name.
        name: String,
    },
    /// The name of the mailbox that has a special use (Sieve `:specialuse`, `specialuse_exists`).
    SpecialUse {
        /// Only this mailbox is asked about, where one is given.
        mailbox: Option<String>,
        /// The flag, such as `\Archive`.
        flag: String,
    },
    /// The name of the mailbox that has an identifier (Sieve `:mailboxid`, `mailboxidexists`).
    MailboxId {
        /// The identifier.
        id: String,
    },
    /// The value of an annotation (Sieve `metadata`, `servermetadata`).
    Metadata {
        /// The mailbox; `None` for the server's.
        mailbox: Option<String>,
        /// The annotation's name.
        annotation: String,
    },
    /// Whether a value is in an external list (Sieve `:list`); found with the properties of the entry, a
    /// vertical bar between two.
    ListMember {
        /// The list's name.
        list: String,
        /// The value.
        value: String,
    },
    /// Whether an external list exists (Sieve `valid_ext_list`).
    ListExists {
        /// The list's name.
        list: String,
    },
    /// The members of an external list (Sieve `redirect :list`), one address a line.
    ListMembers {
        /// The list's name.
        list: String,
    },
    /// Whether an identifier is in the owner's duplicate memory (Sieve `duplicate`). Remembering it is part
    /// of the outcome, since it must not happen for a message that is not queued.
    Duplicate {
        /// Whose memory it is: the owner's address.
        owner: String,
        /// The handle.
        handle: String,
        /// The identifier.
        id: String,
    },
}

/// A question that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Effect {
    /// A site or bundled routine (`$[image,routine,argument]`).
    Routine(Routine),
    /// A MeterMaid routine at a server that is not the site's (Sieve `metermaid :host`).
    MeterMaidAt {
        /// The routine of `check_metermaid.so`.
        routine: Routine,
        /// The host, with a port behind a colon or not; `None` for the site's.
        host: Option<String>,
        /// The port; `None` for the usual one.
        port: Option<u64>,
        /// The secret; `None` for the site's.
        secret: Option<String>,
    },
    /// The next number of a sequence file (`$#file|radix|width|mod#`), not yet formatted.
    Sequence {
        /// The file.
        file: String,
    },
}

/// A call of a routine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Routine {
    /// Image without directory, logical prefix: `check_metermaid.so`.
    pub image: String,
    /// Routine name.
    pub routine: String,
    /// The argument.
    pub argument: String,
    /// The argument with every `$` that came from matched text doubled. A routine that builds a template
    /// out of its argument must use this one, or a sender could set flags.
    pub quoted: String,
}

impl Routine {
    /// Whether the routine only looks things up, so that its answer may be cached and shared.
    pub fn is_read(&self) -> bool {
        match self.image.as_str() {
            "dns_verify.so" => true,
            "check_metermaid.so" => matches!(self.routine.as_str(), "query" | "fetch" | "test"),
            "check_memcache.so" => matches!(self.routine.as_str(), "fetch" | "test"),
            _ => false,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ask::Read(Read::General { key }) => write!(f, "general database, key \"{key}\""),
            Ask::Read(Read::Url { url }) => write!(f, "URL {url}"),
            Ask::Read(Read::DomainAttribute { domain, attribute }) => {
                write!(f, "attribute {attribute} of domain {domain}")
            }
            Ask::Read(Read::DomainIsLocal { domain }) => write!(f, "is domain {domain} local?"),
            Ask::Read(Read::Alias { address }) => write!(f, "directory alias {address}"),
            Ask::Read(Read::Mailbox { name }) => write!(f, "does mailbox {name} exist?"),
            Ask::Read(Read::Routine(r)) | Ask::Effect(Effect::Routine(r)) => {
                write!(f, "{},{},{}", r.image, r.routine, r.argument)
            }
            Ask::Effect(Effect::MeterMaidAt { routine: r, host, .. }) => {
                write!(
                    f,
                    "{},{},{} at {}",
                    r.image,
                    r.routine,
                    r.argument,
                    host.as_deref().unwrap_or("the site's server")
                )
            }
            Ask::Effect(Effect::Sequence { file }) => write!(f, "next number of {file}"),
            Ask::Read(Read::SpecialUse { mailbox: None, flag }) => write!(f, "which mailbox is {flag}?"),
            Ask::Read(Read::SpecialUse {
                mailbox: Some(mailbox),
                flag,
            }) => {
                write!(f, "is mailbox {mailbox} {flag}?")
            }
            Ask::Read(Read::MailboxId { id }) => write!(f, "which mailbox has the identifier {id}?"),
            Ask::Read(Read::Metadata { mailbox, annotation }) => {
                write!(
                    f,
                    "annotation {annotation} of {}",
                    mailbox.as_deref().unwrap_or("the server")
                )
            }
            Ask::Read(Read::ListMember { list, value }) => write!(f, "is \"{value}\" in the list {list}?"),
            Ask::Read(Read::ListExists { list }) => write!(f, "is there a list {list}?"),
            Ask::Read(Read::ListMembers { list }) => write!(f, "members of the list {list}"),
            Ask::Read(Read::Duplicate { handle, id, .. }) => {
                write!(f, "was \"{id}\" seen before (handle \"{handle}\")?")
            }
        }
    }
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Answer {
    /// Success, with a value (empty where there is none).
    Found(String),
    /// A definite no: no such key, the routine failed.
    NotFound,
    /// It could not be found out now; the reason.
    Temporary(String),
    /// This site has nothing set up that could answer; the reason. Fails like [`Answer::NotFound`].
    NotConfigured(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Found(v) => write!(f, "\"{v}\""),
            Answer::NotFound => f.write_str("no"),
            Answer::Temporary(why) => write!(f, "temporary failure: {why}"),
            Answer::NotConfigured(why) => write!(f, "not configured: {why}"),
        }
    }
}
