//! What a script came to: actions in the order of execution, as the tools print them.

use std::sync::Arc;

use grammar::Span;

use super::filter_result::HeaderEdit;
use super::request::Level;
use super::spam::Spam;
use crate::message::{Message, Overlay};

/// A string or a list, as the script wrote it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Written {
    /// One string.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// Where a copy of what is generated goes (RFC 8580). Serializes to the mailbox alone. A failure to file it
/// must not make the action fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fcc {
    /// The mailbox.
    pub mailbox: String,
    /// Whether to create it.
    pub create: bool,
    /// Flags of the copy.
    pub flags: Vec<String>,
    /// The mailbox with this special use is preferred.
    pub specialuse: Option<String>,
    /// The mailbox with this identifier is preferred.
    pub mailboxid: Option<String>,
}

impl serde::Serialize for Fcc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.mailbox)
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// One action. Serializes to the objects that `sluice sieve run --json` prints.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Action {
    /// Delivery to the owner's inbox.
    Keep {
        implicit: bool,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        flags: Vec<String>,
    },
    /// Delivery to a mailbox.
    FileInto {
        mailbox: String,
        #[serde(skip_serializing_if = "is_false")]
        copy: bool,
        #[serde(skip_serializing_if = "is_false")]
        create: bool,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        flags: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        specialuse: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mailboxid: Option<String>,
    },
    /// Sending on.
    Redirect {
        address: String,
        #[serde(skip_serializing_if = "is_false")]
        copy: bool,
        /// The list that the address is a member of.
        #[serde(skip_serializing_if = "Option::is_none")]
        list: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        notify: Option<Written>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ret: Option<String>,
        /// Whether Resent fields are added.
        resent: bool,
        /// `owner` or `original`.
        mailfrom: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytimerelative: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytimeabsolute: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bymode: Option<String>,
        #[serde(skip_serializing_if = "is_false")]
        bytrace: bool,
    },
    /// Nothing, on purpose.
    Discard,
    /// Refusal with a message disposition notification where the protocol cannot carry it.
    Reject { reason: String },
    /// Refusal in the protocol where possible.
    EReject { reason: String },
    /// A reply. Only here when the rules ask for one; whether one was sent lately is for the caller to see,
    /// by `key` and sender.
    Vacation {
        reason: String,
        subject: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        days: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hours: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
        #[serde(skip_serializing_if = "is_false")]
        mime: bool,
        to: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        fcc: Option<Fcc>,
        #[serde(skip_serializing_if = "is_false")]
        reply: bool,
        #[serde(skip_serializing_if = "is_false")]
        echo: bool,
        /// What the reply is remembered by, together with the sender.
        #[serde(skip)]
        key: String,
        /// Seconds until the next reply to this sender.
        #[serde(skip)]
        interval: u64,
    },
    /// A notification.
    Notify {
        method: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        importance: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        options: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        fcc: Option<Fcc>,
    },
    /// The message, or one part, has been replaced.
    Replace {
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
    },
    /// The message has been enclosed in another.
    Enclose {
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
    },
    /// Forced discard.
    Jettison,
    /// A tag in front of the subject.
    AddTag { tag: String },
    /// Text before the first text part.
    AddPrefix { text: String },
    /// Text behind the first text part.
    AddSuffix { text: String },
    /// A change of the spam score.
    SpamAdjust { text: String },
    /// A change of the virus value.
    VirusSet { value: u8 },
    /// A copy to somebody: `dsn`, `message` or `journal`.
    Capture { address: String, format: &'static str },
    /// Waiting for an operator.
    Hold,
    /// Conversion tags added.
    AddConversionTag { tags: Vec<String> },
    /// Conversion tags set.
    SetConversionTag { tags: Vec<String> },
    /// Conversion tags removed.
    RemoveConversionTag { tags: Vec<String> },
    /// No vacation replies.
    NoVacation,
    /// Another envelope sender.
    SetEnvelopeFrom { address: String },
    /// DSN conditions of this recipient.
    SetNotify { value: String },
    /// What a DSN returns.
    SetRet { value: String },
    /// MT-PRIORITY.
    SetMtPriority { value: i8 },
    /// Text for the transaction log entry.
    TransactionLog { text: String },
    /// A site counter.
    AdjustCounter { counter: u64, change: i64 },
    /// Refusal at the protocol level.
    Refuse { reason: String },
}

/// An explicit handling action, as `vnd.oracle.last-verdict` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Verdict {
    Refuse,
    Reject,
    EReject,
    Jettison,
    FileInto,
    Redirect,
    Keep,
    Discard,
}

impl Verdict {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Refuse => "refuse",
            Verdict::Reject => "reject",
            Verdict::EReject => "ereject",
            Verdict::Jettison => "jettison",
            Verdict::FileInto => "fileinto",
            Verdict::Redirect => "redirect",
            Verdict::Keep => "keep",
            Verdict::Discard => "discard",
        }
    }

    /// The verdict that an action is; none for side effects, which `:copy` makes of deliveries.
    pub fn of(action: &Action) -> Option<Verdict> {
        Some(match action {
            Action::Keep { implicit: false, .. } => Verdict::Keep,
            Action::FileInto { copy: false, .. } => Verdict::FileInto,
            Action::Redirect { copy: false, .. } => Verdict::Redirect,
            Action::Discard => Verdict::Discard,
            Action::Reject { .. } => Verdict::Reject,
            Action::EReject { .. } => Verdict::EReject,
            Action::Jettison => Verdict::Jettison,
            Action::Refuse { .. } => Verdict::Refuse,
            _ => return None,
        })
    }
}

/// An action with what it acts on.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Performed {
    /// The action.
    #[serde(flatten)]
    pub action: Action,
    /// The level it comes from, where scripts of several levels were merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The header at that time; `None` where it was unchanged.
    #[serde(skip)]
    pub headers: Option<Arc<Overlay>>,
    /// The message at that time.
    #[serde(skip)]
    pub message: Arc<Message>,
    /// The command; `None` for the implicit keep.
    #[serde(skip)]
    pub span: Option<Span>,
}

/// An identifier for the duplicate memory, to be remembered once the message is safely queued.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Remember {
    /// The handle.
    pub handle: String,
    /// The identifier.
    pub id: String,
    /// Seconds to remember it.
    pub seconds: u64,
}

/// Why a script stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{message}")]
pub struct Fault {
    /// What went wrong, one sentence without a full stop.
    pub message: String,
    /// Whether another try later may succeed (a directory that did not answer).
    pub temporary: bool,
    /// Where.
    #[serde(skip)]
    pub span: Option<Span>,
}

/// What a run came to.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SieveOutcome {
    /// What to do, in order; never empty.
    pub actions: Vec<Performed>,
    /// Why it stopped, if it did; then the implicit keep is the only action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// The header at the end; `None` where it is unchanged.
    #[serde(skip)]
    pub headers: Option<Arc<Overlay>>,
    /// The message at the end, replaced or not.
    #[serde(skip)]
    pub message: Arc<Message>,
    /// Changes of the header, in order.
    #[serde(skip)]
    pub edits: Vec<HeaderEdit>,
    /// The value of the last command, if that set a variable; else empty.
    #[serde(skip)]
    pub value: String,
    /// Identifiers for the duplicate memory.
    #[serde(skip)]
    pub remember: Vec<Remember>,
    /// The spam score at the end.
    #[serde(skip)]
    pub spam: Spam,
    /// The virus value at the end.
    #[serde(skip)]
    pub virus: Option<u8>,
    /// The last explicit action, of this script or of those before it.
    #[serde(skip)]
    pub last_verdict: Option<Verdict>,
}
