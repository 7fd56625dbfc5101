//! Delivery status notifications: who is told what, and the message that tells it.
//!
//! [`who_is_told`] and [`postmaster_is_told`] are the rules of NOTIFY and of the `sendpost` keywords;
//! [`Notification::build`] writes the message: a `multipart/report` of a text for people
//! ([`template`]), a `message/delivery-status` for programs, and the original or its header.
//!
//! Guarantees: lines end in CRLF and stay under 998 octets; nothing of the original, of an address or of a
//! server's reply can begin a header field or a body part of the notification; the size of the result is
//! bounded by [`Notification::content_limit`] and [`MAX_RECIPIENTS`]. Addresses and headers in UTF-8 are
//! reported in the forms of RFC 6533.
//!
//! Not here: the notification's own envelope (its From is empty, or as RETURN_ENVELOPE says) and channel.
//!
//! Source: queue specification 7; RFC 3461, 3464, 6522, 6533, 3834.

mod fields;
pub mod template;

use jiff::tz::TimeZone;
use store::envelope::{Envelope, Failure, Recipient, Time};
use store::spool::Attempt;

use crate::smtp::client::convert::quoted_printable;
use fields::{clean, date, fold, is_unfit, original_fields};
use template::{Ages, Templates, Words};

/// Recipients described in one notification; the rest are counted in the text.
pub const MAX_RECIPIENTS: usize = 1000;

/// Octets of the original that are returned by default; beyond it, its header only.
pub const CONTENT_LIMIT: usize = 64 * 1024;

/// Octets of a returned header; the rest of a longer one is left out.
pub const HEADER_LIMIT: usize = 64 * 1024;

/// What happened to a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Permanent failure.
    Failed,
    /// Returned by the postmaster.
    Returned,
    /// The last of the `notices` ages was reached.
    TimedOut,
    /// A warning age was reached.
    Delayed,
    /// Delivered.
    Delivered,
    /// Passed on to a system without DSN.
    Relayed,
}

impl Kind {
    /// Value of the Action field.
    pub fn action(self) -> &'static str {
        match self {
            Kind::Failed | Kind::Returned | Kind::TimedOut => "failed",
            Kind::Delayed => "delayed",
            Kind::Delivered => "delivered",
            Kind::Relayed => "relayed",
        }
    }

    /// It will not be delivered.
    pub fn is_failure(self) -> bool {
        self.action() == "failed"
    }
}

/// What is due for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// A notification goes to the sender.
    pub sender: bool,
    /// The failure is logged as `K`, for it is reported to nobody.
    pub logged_as_killed: bool,
}

/// Whether a recipient's fate is reported to the sender (NOTIFY of RFC 3461). A null sender is never told.
pub fn who_is_told(envelope: &Envelope, recipient: &Recipient, kind: Kind) -> Report {
    let notify = recipient.notify;
    let asked = match kind {
        Kind::Failed | Kind::Returned | Kind::TimedOut => notify.on_failure(),
        Kind::Delayed => notify.on_delay(),
        Kind::Delivered | Kind::Relayed => notify.success,
    };
    Report {
        sender: asked && !envelope.from.is_empty(),
        logged_as_killed: kind.is_failure() && notify.never(),
    }
}

/// Channel keywords of postmaster copies; the `warnpost` family has the same meanings for warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PostmasterCopy {
    /// No keyword.
    #[default]
    Unset,
    /// `sendpost`, `warnpost`.
    Send,
    /// `copysendpost`, `copywarnpost`.
    Copy,
    /// `errsendpost`, `errwarnpost`.
    OnError,
    /// `nosendpost`, `nowarnpost`.
    Never,
}

/// What decides about a postmaster copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyFacts<'a> {
    /// A notice went to the sender.
    pub notice_sent: bool,
    /// The original has an empty envelope From.
    pub null_sender: bool,
    /// The original is itself a notification.
    pub is_notification: bool,
    /// Value of its Errors-to field, if it has one.
    pub errors_to: Option<&'a str>,
}

/// Whether the postmaster gets a copy (queue specification 7.4).
pub fn postmaster_is_told(keyword: PostmasterCopy, facts: CopyFacts<'_>) -> bool {
    match keyword {
        PostmasterCopy::Never => false,
        PostmasterCopy::Send => facts.notice_sent,
        PostmasterCopy::Copy => facts.notice_sent || (facts.null_sender && !facts.is_notification),
        PostmasterCopy::OnError => !facts.notice_sent && !facts.is_notification && facts.errors_to.is_none(),
        PostmasterCopy::Unset => {
            facts.notice_sent && !facts.null_sender && facts.errors_to.is_none_or(|to| !to.trim().is_empty())
        }
    }
}

/// One recipient of a notification.
#[derive(Debug, Clone)]
pub struct Reported<'a> {
    /// The recipient.
    pub recipient: &'a Recipient,
    /// What happened.
    pub kind: Kind,
    /// Why; for success, what the next hop said.
    pub failure: Option<&'a Failure>,
    /// Banner of the host that said it; empty if there was none.
    pub banner: &'a str,
}

/// Everything that a notification says.
#[derive(Debug, Clone)]
pub struct Notification<'a> {
    /// The original's envelope.
    pub envelope: &'a Envelope,
    /// Address in To: the original's envelope From, or the postmaster for a copy.
    pub to: &'a str,
    /// Its recipients, with their fates.
    pub recipients: Vec<Reported<'a>>,
    /// Failed attempts so far, oldest first (RETURN_DELIVERY_HISTORY); empty to say nothing of them. At
    /// most the last [`HISTORY_LIMIT`](store::spool::HISTORY_LIMIT) are shown.
    pub history: &'a [Attempt],
    /// The original: header and body.
    pub original: &'a [u8],
    /// Length of its header, the blank line included.
    pub header_len: usize,
    /// Local host name.
    pub reporting_host: &'a str,
    /// Official host name of the channel.
    pub reporting_channel: &'a str,
    /// Address the notification comes from (RETURN_ADDRESS, `returnaddress`).
    pub return_address: &'a str,
    /// Now.
    pub now: Time,
    /// Time zone of the dates.
    pub zone: TimeZone,
    /// When the original will be given up (delays).
    pub retry_until: Option<Time>,
    /// Ages for the texts.
    pub ages: Ages,
    /// Letters and digits that no other notification has: for Message-id and boundary.
    pub unique: &'a str,
    /// Texts.
    pub templates: &'a Templates,
    /// Words.
    pub words: &'a Words,
    /// Hide the final address where an original one is known (`suppressfinal`).
    pub suppress_final: bool,
    /// Largest original that is returned whole, in octets; 0, never.
    pub content_limit: usize,
}

/// A notification, ready to be enqueued.
#[derive(Debug, Clone)]
pub struct Built {
    /// Header and body, lines ending in CRLF.
    pub content: Vec<u8>,
    /// Length of the header, the blank line included.
    pub header_len: usize,
    /// Its Message-id, with angle brackets.
    pub message_id: String,
    /// It holds octets above 127.
    pub eight_bit: bool,
    /// Its header needs SMTPUTF8.
    pub utf8: bool,
}

/// A body part: header fields (lines ending in CRLF) and body (likewise).
struct Part {
    fields: String,
    body: Vec<u8>,
}

impl Notification<'_> {
    /// Writes the message. The caller has made sure that somebody is to be told ([`who_is_told`],
    /// [`postmaster_is_told`]).
    pub fn build(&self) -> Built {
        let utf8 = self.needs_utf8();
        let parts = [self.text_part(), self.status_part(utf8), self.original_part(utf8)];
        let boundary = self.boundary(&parts);
        let message_id = format!("<{}@{}>", self.unique_word(), clean(self.reporting_host));
        let header = self.header(&boundary, &message_id);

        let mut content = header.into_bytes();
        let header_len = content.len();
        for part in &parts {
            content.extend_from_slice(format!("--{boundary}\r\n{}\r\n", part.fields).as_bytes());
            content.extend_from_slice(&part.body);
            content.extend_from_slice(b"\r\n");
        }
        content.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        let header_is_ascii = content.get(..header_len).is_none_or(<[u8]>::is_ascii);
        Built {
            header_len,
            message_id,
            eight_bit: !content.is_ascii(),
            utf8: !header_is_ascii,
            content,
        }
    }

    fn needs_utf8(&self) -> bool {
        let wide = |r: &Reported<'_>| !(r.recipient.address.is_ascii() && r.recipient.original.is_ascii());
        self.envelope.utf8 || !self.to.is_ascii() || self.recipients.iter().any(wide)
    }

    fn unique_word(&self) -> String {
        self.unique
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(40)
            .collect()
    }

    /// A boundary that occurs in none of the parts.
    fn boundary(&self, parts: &[Part]) -> String {
        let mut boundary = format!("Boundary_(ID_{})", self.unique_word());
        let mut tries = 0u32;
        // Each longer boundary occurs at most as often as octets are left: this ends.
        while parts
            .iter()
            .any(|part| memchr::memmem::find(&part.body, boundary.as_bytes()).is_some())
        {
            tries += 1;
            boundary = format!("Boundary_(ID_{}_{tries})", self.unique_word());
        }
        boundary
    }

    fn subject(&self) -> String {
        let what = match self.recipients.iter().map(|r| r.kind).min() {
            Some(Kind::Failed | Kind::Returned | Kind::TimedOut) | None => "Delivery has failed",
            Some(Kind::Delayed) => "Delivery has been delayed",
            Some(Kind::Delivered | Kind::Relayed) => "Delivery was successful",
        };
        format!("{}: {what}", self.words.subject)
    }

    fn header(&self, boundary: &str, message_id: &str) -> String {
        let personal: String = clean(&self.words.personal).replace(['"', '\\'], "'");
        let mut header = String::new();
        let mut field = |name: &str, value: String| header.push_str(&fold(name, &value));
        field("Date", date(self.now, &self.zone));
        field("From", format!("\"{personal}\" <{}>", clean(self.return_address)));
        field("Subject", clean(&self.subject()));
        field("To", format!("<{}>", clean(self.to)));
        field("Message-id", message_id.to_string());
        let id = self.envelope.message_id.trim();
        let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'>');
        if let Some(inner) = id.strip_prefix('<').and_then(|id| id.strip_suffix('>'))
            && !inner.is_empty()
            && inner.len() <= 500
            && inner.bytes().all(plain)
        {
            field("In-reply-to", id.to_string());
        }
        field("Auto-Submitted", "auto-replied".to_string());
        field("MIME-version", "1.0".to_string());
        header.push_str(&format!(
            "Content-type: multipart/report; report-type=delivery-status;\r\n boundary=\"{boundary}\"\r\n\r\n"
        ));
        header
    }

    fn text_part(&self) -> Part {
        let (mut fields, text) = template::expand(self);
        if text.is_ascii() {
            return Part {
                fields,
                body: text.into_bytes(),
            };
        }
        // The texts are ASCII or not, addresses and headers decide as well: say what it is in the end.
        fields = fields
            .split_inclusive("\r\n")
            .filter(|line| !line.to_ascii_lowercase().starts_with("content-type"))
            .collect();
        fields.push_str("Content-type: text/plain; charset=utf-8\r\n");
        fields.push_str("Content-transfer-encoding: quoted-printable\r\n");
        let mut body = Vec::with_capacity(text.len() * 2);
        quoted_printable(text.as_bytes(), &mut body);
        Part { fields, body }
    }

    fn status_part(&self, utf8: bool) -> Part {
        let mut body = String::new();
        let mut field = |name: &str, value: &str| {
            let value = if utf8 {
                clean(value)
            } else {
                clean(value).replace(|c: char| !c.is_ascii(), "?")
            };
            body.push_str(&fold(name, &value));
        };
        if let Some(id) = self.envelope.envelope_id.as_deref().filter(|id| !id.is_empty()) {
            field("Original-envelope-id", id);
        }
        let host = self.reporting_host;
        match self.reporting_channel {
            "" => field("Reporting-MTA", &format!("dns;{host}")),
            channel => field(
                "Reporting-MTA",
                &format!("dns;{host} ({})", fields::comment(channel)),
            ),
        }
        field("Arrival-date", &date(self.envelope.arrived, &self.zone));
        for reported in self.recipients.iter().take(MAX_RECIPIENTS) {
            body.push_str("\r\n");
            self.recipient_fields(reported, utf8, &mut body);
        }
        let name = if utf8 {
            "message/global-delivery-status"
        } else {
            "message/delivery-status"
        };
        let mut fields = format!("Content-type: {name}\r\n");
        if !body.is_ascii() {
            fields.push_str("Content-transfer-encoding: 8bit\r\n");
        }
        Part {
            fields,
            body: body.into_bytes(),
        }
    }

    fn recipient_fields(&self, reported: &Reported<'_>, utf8: bool, body: &mut String) {
        let mut field = |name: &str, value: String| {
            let value = if utf8 {
                clean(&value)
            } else {
                clean(&value).replace(|c: char| !c.is_ascii(), "?")
            };
            body.push_str(&fold(name, &value));
        };
        let recipient = reported.recipient;
        let typed = |address: &str| {
            if address.is_ascii() {
                format!("rfc822;{address}")
            } else {
                format!("utf-8;{address}")
            }
        };
        let original = match recipient.original.split_once(';') {
            Some((_, address)) if !address.is_ascii() => Some(typed(address)),
            Some(_) => Some(recipient.original.clone()),
            None => None,
        };
        if let Some(original) = &original {
            field("Original-recipient", original.clone());
        }
        let last = match original {
            Some(original) if self.suppress_final => original,
            _ => typed(&recipient.address),
        };
        field("Final-recipient", last);
        field("Action", reported.kind.action().to_string());
        let status = status(reported);
        match template::reason(reported, self.words, &status) {
            Some(reason) => field("Status", format!("{status} ({})", fields::comment(&reason))),
            None => field("Status", status),
        }
        if let Some(failure) = reported.failure {
            if !failure.remote.is_empty() {
                let mut value = format!("dns;{}", failure.remote);
                for extra in [failure.transport.as_str(), reported.banner] {
                    if !extra.is_empty() {
                        value.push_str(&format!(" ({})", fields::comment(extra)));
                    }
                }
                field("Remote-MTA", value);
            }
            if !failure.diagnostic.is_empty() {
                field("Diagnostic-code", template::diagnostic(failure));
            }
        }
        let last = self.history.last().map_or(self.now, |attempt| attempt.at);
        if reported.kind == Kind::Delayed {
            field("Last-attempt-date", date(last, &self.zone));
            if let Some(until) = self.retry_until {
                field("Will-retry-until", date(until, &self.zone));
            }
        }
    }

    /// The original, or its header where it is too large, not wanted, or cannot be passed on as it is.
    fn original_part(&self, utf8: bool) -> Part {
        let failed = self.recipients.iter().any(|r| r.kind.is_failure());
        let whole = failed
            && !self.envelope.return_headers
            && self.original.len() <= self.content_limit
            && !is_unfit(self.original);
        let header = self.original.get(..self.header_len).unwrap_or(self.original);
        let mut body = if whole {
            self.original.to_vec()
        } else {
            original_fields(header, HEADER_LIMIT)
        };
        if !body.ends_with(b"\r\n") {
            body.extend_from_slice(b"\r\n");
        }
        let wide_header = utf8 && !header.is_ascii();
        let name = match (whole, wide_header) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        };
        let mut fields = format!("Content-type: {name}\r\n");
        if !body.is_ascii() {
            fields.push_str("Content-transfer-encoding: 8bit\r\n");
        }
        Part { fields, body }
    }
}

/// The status reported: what was said, in the class that fits what happened.
fn status(reported: &Reported<'_>) -> String {
    let (class, default) = match reported.kind {
        Kind::Failed => ("5", "5.0.0"),
        Kind::Returned => ("5", "5.7.0"),
        Kind::TimedOut => ("5", "5.4.7"),
        Kind::Delayed => ("4", "4.4.7"),
        Kind::Delivered | Kind::Relayed => ("2", "2.0.0"),
    };
    let said = reported
        .failure
        .map(|failure| failure.status.as_str())
        .unwrap_or_default();
    let parts: Vec<&str> = said.split('.').collect();
    let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        _ if reported.kind == Kind::TimedOut || reported.kind == Kind::Returned => default.to_string(),
        [_, subject, detail] if number(subject) && number(detail) => format!("{class}.{subject}.{detail}"),
        _ => default.to_string(),
    }
}
