//! What a queue entry remembers of its message: the envelope, where it came from, how far it got.
//!
//! Queue specification 4.3 lists what must survive a restart; each item is a field here.

use serde::{Deserialize, Serialize};

/// Seconds since 1970, UTC.
pub type Time = i64;

/// One message on its way: what SMTP calls the envelope, and what is known of its source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Envelope {
    /// Envelope From without angle brackets; empty for the null sender.
    pub from: String,
    /// ENVID of RFC 3461, decoded.
    pub envelope_id: Option<String>,
    /// RET of RFC 3461: headers only instead of the whole message.
    pub return_headers: bool,
    /// When this host first accepted it.
    pub arrived: Time,
    /// Channel that enqueued it.
    pub source_channel: String,
    /// Transport information of the session, `TCP|server|port|client|port`; empty if not by TCP.
    pub transport: String,
    /// Application information, `SMTP/tls/helo`; empty if not by SMTP.
    pub application: String,
    /// Name given in EHLO; empty if none.
    pub helo: String,
    /// Modifier letters of the log code: `E`, `L`, `C`, `S`, `P`, `A` as they apply.
    pub modifiers: String,
    /// Authenticated user, if any.
    pub auth_user: Option<String>,
    /// Address of the authenticated user, if any.
    pub auth_sender: Option<String>,
    /// MT-PRIORITY, -9 to 9.
    pub priority: i8,
    /// The body holds octets above 127 (BODY=8BITMIME or found so).
    pub eight_bit: bool,
    /// Addresses or headers need SMTPUTF8 (RFC 6531).
    pub utf8: bool,
    /// Value of Message-ID with its angle brackets.
    pub message_id: String,
    /// Conversion tags.
    pub tags: Vec<String>,
    /// Vacation replies are forbidden (FROM_ACCESS `$!`).
    pub no_vacation: bool,
}

/// Which notifications the sender asked for (NOTIFY of RFC 3461).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Notify {
    /// NOTIFY was given at all; if not, failures and delays are reported.
    pub given: bool,
    /// SUCCESS.
    pub success: bool,
    /// FAILURE.
    pub failure: bool,
    /// DELAY.
    pub delay: bool,
}

impl Notify {
    /// NOTIFY=NEVER.
    pub fn never(self) -> bool {
        self.given && !self.success && !self.failure && !self.delay
    }

    /// A failure is to be reported.
    pub fn on_failure(self) -> bool {
        !self.given || self.failure
    }

    /// A delay is to be reported.
    pub fn on_delay(self) -> bool {
        !self.given || self.delay
    }
}

/// One recipient of an entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Recipient {
    /// Current address, where this entry delivers to.
    pub address: String,
    /// Original recipient, `rfc822;user@host` (ORCPT, or the RCPT TO address in that form).
    pub original: String,
    /// The address as it was before alias expansion.
    pub intermediate: String,
    /// Notifications asked for.
    pub notify: Notify,
    /// Folder to file into, where a filter said so.
    pub folder: Option<String>,
    /// IMAP flags to set, where a filter said so.
    pub flags: Vec<String>,
    /// How far it got.
    pub state: RecipientState,
}

/// How far a recipient got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub enum RecipientState {
    /// Still to be delivered.
    #[default]
    Pending,
    /// Delivered, or handed on.
    Delivered,
    /// Failed for good; the diagnostic text, for the notification.
    Failed(Failure),
}

/// Why a recipient failed, or why the last attempt did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Failure {
    /// Enhanced status code, `5.1.1`.
    pub status: String,
    /// What the other side said (`550 5.1.1 ...`) or what went wrong here.
    pub diagnostic: String,
    /// Host that said it; empty if it was here.
    pub remote: String,
    /// Transport, `TCP|local|port|remote|port`; empty if there was no connection.
    pub transport: String,
}
