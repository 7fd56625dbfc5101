//! Replies: a code, an enhanced status code and lines of text, and how they look on the wire.
//!
//! Guarantees: nothing that a text holds can end a line or start another reply: control characters become
//! blanks, octets above 127 become `?` unless the peer asked for SMTPUTF8, and a line is cut at
//! [`REPLY_LINE`] octets. A reply has at most [`REPLY_LINES`] lines. A code that is none becomes 451.
//!
//! The texts are those of queue specification 8.2.

use bytes::{BufMut, BytesMut};
use store::envelope::Failure;

/// Octets of a reply line, CRLF included (RFC 5321 4.5.3.1.5).
pub const REPLY_LINE: usize = 512;

/// Lines of a reply.
pub const REPLY_LINES: usize = 100;

/// Enhanced status code of RFC 3463: class, subject, detail.
pub type Enhanced = (u8, u16, u16);

/// A reply to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits, 200 to 599.
    pub code: u16,
    /// Enhanced status code; `None` where none belongs: banner, EHLO, 334, 354.
    pub enhanced: Option<Enhanced>,
    /// Lines of text; none counts as one empty line.
    pub text: Vec<String>,
    /// Close the connection after it. 421 always does.
    pub close: bool,
}

/// What a recipient that was refused failed with.
impl From<&Reply> for Failure {
    fn from(reply: &Reply) -> Failure {
        let (class, subject, detail) = reply
            .enhanced
            .unwrap_or((if reply.code < 500 { 4 } else { 5 }, 0, 0));
        Failure {
            status: format!("{class}.{subject}.{detail}"),
            diagnostic: reply.summary(),
            ..Failure::default()
        }
    }
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, enhanced: impl Into<Option<Enhanced>>, text: impl Into<String>) -> Reply {
        Reply {
            code,
            enhanced: enhanced.into(),
            text: vec![text.into()],
            close: false,
        }
    }

    /// A reply of several lines.
    pub fn lines(code: u16, enhanced: impl Into<Option<Enhanced>>, text: Vec<String>) -> Reply {
        Reply {
            code,
            enhanced: enhanced.into(),
            text,
            close: false,
        }
    }

    /// The same, closing the connection after it.
    pub fn closing(mut self) -> Reply {
        self.close = true;
        self
    }

    /// The connection is closed after it.
    pub fn closes(&self) -> bool {
        self.close || self.code == 421
    }

    /// 2yz or 3yz.
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }

    /// `250 2.5.0 Ok.`
    pub fn ok() -> Reply {
        Reply::new(250, (2, 5, 0), "Ok.")
    }

    /// MAIL accepted.
    pub fn address_ok() -> Reply {
        Reply::new(250, (2, 5, 0), "Address Ok.")
    }

    /// RCPT accepted.
    pub fn recipient_ok(address: &str) -> Reply {
        Reply::new(250, (2, 1, 5), format!("{address} and options OK."))
    }

    /// DATA accepted.
    pub fn start_mail() -> Reply {
        Reply::new(354, None, "Enter mail, end with a single \".\".")
    }

    /// Message accepted under the envelope id given.
    pub fn message_ok(envelope_id: &str, host: &str) -> Reply {
        Reply::new(250, (2, 5, 0), format!("Ok, envelope id {envelope_id}@{host}"))
    }

    /// A script refuses the message.
    pub fn refused_by_script(reason: &str) -> Reply {
        Reply::new(550, (5, 7, 1), reason.replace(['\r', '\n'], " "))
    }

    /// AUTH succeeded.
    pub fn auth_ok(mechanism: &str) -> Reply {
        Reply::new(235, (2, 7, 0), format!("{mechanism} authentication successful."))
    }

    /// AUTH goes on with a challenge, in base64.
    pub fn challenge(base64: impl Into<String>) -> Reply {
        Reply::new(334, None, base64)
    }

    /// MAIL refused until AUTH was given (`mustsaslserver`).
    pub fn auth_required() -> Reply {
        Reply::new(530, (5, 7, 1), "No AUTH command has been given.")
    }

    /// Refused until TLS is up (`musttlsserver`).
    pub fn tls_required() -> Reply {
        Reply::new(530, (5, 7, 0), "Must issue a STARTTLS command first")
    }

    /// VRFY that tells nothing.
    pub fn cannot_verify() -> Reply {
        Reply::new(
            252,
            (2, 5, 0),
            "Cannot verify this address; send mail to it to find out.",
        )
    }

    /// Something here failed for now.
    pub fn local_trouble() -> Reply {
        Reply::new(451, (4, 3, 0), "Temporary trouble here, please try again later.")
    }

    /// Code, enhanced code and first line of text as one string, as logs have it.
    pub fn summary(&self) -> String {
        let text = self.text.first().map_or("", String::as_str);
        match self.enhanced {
            Some((class, subject, detail)) => format!("{} {class}.{subject}.{detail} {text}", self.code),
            None => format!("{} {text}", self.code),
        }
    }

    /// Appends the reply as it goes over the wire; `utf8` leaves octets above 127 alone.
    pub fn write(&self, out: &mut BytesMut, codes: bool, utf8: bool) {
        let code = if (200..600).contains(&self.code) {
            self.code
        } else {
            451
        };
        let empty = [String::new()];
        let lines = if self.text.is_empty() {
            &empty[..]
        } else {
            &self.text[..]
        };
        let last = lines.len().min(REPLY_LINES).saturating_sub(1);
        for (index, text) in lines.iter().take(REPLY_LINES).enumerate() {
            let mut line = format!("{code}{}", if index == last { ' ' } else { '-' });
            if let Some((class, subject, detail)) = self.enhanced.filter(|_| codes) {
                line.push_str(&format!("{class}.{subject}.{detail} "));
            }
            push_clean(&mut line, text, REPLY_LINE - 2, utf8);
            out.put_slice(line.as_bytes());
            out.put_slice(b"\r\n");
        }
    }
}

/// Appends `text` to `line` without control characters, up to `limit` octets in all.
pub(super) fn push_clean(line: &mut String, text: &str, limit: usize, utf8: bool) {
    for c in text.chars() {
        let c = match c {
            c if c.is_control() => ' ',
            c if !utf8 && !c.is_ascii() => '?',
            c => c,
        };
        if line.len() + c.len_utf8() > limit {
            break;
        }
        line.push(c);
    }
}
