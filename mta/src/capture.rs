//! Copies for somebody who watches: what the Sieve action `capture` sends (Sieve specification B5).
//!
//! One copy an address, form and text of a message, for all the recipients that it was captured for. The copies
//! have an envelope of their own and are never reported on.

use bytes::Bytes;
use jiff::Zoned;
use policy::message::{HeaderView, Message};
use store::envelope::{Envelope, Recipient};

use crate::letter::{Letter, Text};
use crate::transaction::{date, unique_id};

/// Application information of the copies, which no session has: scripts that run when a copy is addressed do not
/// capture it again.
pub const CAPTURED: &str = "SIEVE/capture";

/// What the copy looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In a report that names the envelope (`:dsn`).
    Dsn,
    /// As it is (`:message`).
    Message,
    /// In a journal report, as Exchange has it (`:journal`).
    Journal,
}

/// One copy to be.
#[derive(Debug, Clone)]
pub struct Capture {
    /// Who gets it.
    pub address: String,
    /// How.
    pub form: Form,
    /// On whose behalf.
    pub owner: String,
    /// The message.
    pub content: Bytes,
    /// The recipients it was captured for.
    pub recipients: Vec<Recipient>,
}

/// Adds a capture to others of the same message.
pub fn add(all: &mut Vec<Capture>, new: Capture) {
    let same = all.iter_mut().find(|c| {
        c.form == new.form
            && c.owner == new.owner
            && c.address.eq_ignore_ascii_case(&new.address)
            && c.content == new.content
    });
    match same {
        Some(old) => {
            let known = |r: &Recipient| old.recipients.iter().any(|o| o.address == r.address);
            let more: Vec<Recipient> = new.recipients.into_iter().filter(|r| !known(r)).collect();
            old.recipients.extend(more);
        }
        None => all.push(new),
    }
}

/// The copy as a letter.
pub fn letter(capture: &Capture, envelope: &Envelope, host: &str, at: &Zoned) -> Letter {
    let message = Message::new(&capture.content[..]);
    let header = HeaderView::message(&message, None);
    let first = |name: &str| {
        header
            .values(name)
            .first()
            .map(|v| v.decoded())
            .unwrap_or_default()
    };
    let to = vec![capture.address.clone()];
    if capture.form == Form::Message {
        return Letter {
            from: capture.owner.clone(),
            to,
            content: capture.content.to_vec(),
            message_id: first("Message-ID").trim().to_string(),
            captured: true,
            ..Letter::default()
        };
    }
    let id = format!("<{}@{host}>", unique_id());
    let boundary = loop {
        let boundary = format!("capture-{}", unique_id());
        if memchr::memmem::find(&capture.content, boundary.as_bytes()).is_none() {
            break boundary;
        }
    };
    let mut text = Text::default();
    text.field("From", &format!("<{}>", capture.owner));
    text.field("To", &format!("<{}>", capture.address));
    text.field("Subject", &format!("Captured: {}", first("Subject")));
    text.field("Date", &date(at));
    text.field("Message-ID", &id);
    text.field("Auto-Submitted", "auto-generated");
    text.field("MIME-Version", "1.0");
    let eight_bit = !capture.content.is_ascii();
    if eight_bit {
        text.field("Content-Transfer-Encoding", "8bit");
    }
    match capture.form {
        Form::Journal => {
            text.field("X-MS-Journal-Report", "");
            text.field(
                "Content-Type",
                &format!("multipart/mixed; boundary=\"{boundary}\""),
            );
            text.raw(&format!("\r\n--{boundary}\r\n"));
            text.raw("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
            text.line("Sender", &envelope.from);
            text.line("Subject", &first("Subject"));
            text.line("Message-Id", first("Message-ID").trim());
            for recipient in &capture.recipients {
                text.line("Recipient", original(recipient));
            }
        }
        _ => {
            text.field(
                "Content-Type",
                &format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\""),
            );
            text.raw(&format!("\r\n--{boundary}\r\nContent-Type: text/plain\r\n\r\n"));
            text.raw("A filter has captured this copy of a message.\r\n");
            text.raw(&format!(
                "\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\n"
            ));
            text.line("Reporting-MTA", &format!("dns; {host}"));
            text.line("X-Envelope-From", &format!("<{}>", envelope.from));
            if let Some(envid) = &envelope.envelope_id {
                text.line("Original-Envelope-Id", envid);
            }
            text.line("Arrival-Date", &date(at));
            for recipient in &capture.recipients {
                text.raw("\r\n");
                text.line("Original-Recipient", &recipient.original);
                text.line("Final-Recipient", &format!("rfc822;{}", recipient.address));
                text.line("Action", "relayed");
                text.line("Status", "2.0.0");
            }
        }
    }
    text.raw(&format!("\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n"));
    if eight_bit {
        text.raw("Content-Transfer-Encoding: 8bit\r\n");
    }
    text.raw("\r\n");
    text.octets(&capture.content);
    text.raw(&format!("\r\n--{boundary}--\r\n"));
    Letter {
        to,
        content: text.finish(),
        message_id: id,
        captured: true,
        ..Letter::default()
    }
}

/// The recipient's address as the sender gave it.
fn original(recipient: &Recipient) -> &str {
    let original = recipient.original.split_once(';').map(|(_, address)| address);
    original.unwrap_or(&recipient.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_copy_names_all_recipients_and_holds_the_message() {
        let content = Bytes::from_static(b"Subject: s\r\nMessage-ID: <1@x>\r\n\r\nit\r\n");
        let mut all = Vec::new();
        for (form, to) in [
            (Form::Dsn, "a@x.example"),
            (Form::Dsn, "b@x.example"),
            (Form::Dsn, "b@x.example"),
            (Form::Journal, "a@x.example"),
            (Form::Message, "a@x.example"),
        ] {
            let capture = Capture {
                address: "watch@x.example".into(),
                form,
                owner: "postmaster@x.example".into(),
                content: content.clone(),
                recipients: vec![Recipient {
                    address: to.into(),
                    original: format!("rfc822;{to}"),
                    ..Recipient::default()
                }],
            };
            add(&mut all, capture);
        }
        assert_eq!(all.len(), 3);
        let envelope = Envelope {
            from: "s@y.example\r\nX: y".into(),
            ..Envelope::default()
        };
        let letters: Vec<Letter> = all
            .iter()
            .map(|c| letter(c, &envelope, "mail.x.example", &Zoned::now()))
            .collect();
        let text = |n: usize| String::from_utf8(letters[n].content.clone()).unwrap();
        assert_eq!(
            text(0).matches("Final-Recipient: rfc822;").count(),
            2,
            "{}",
            text(0)
        );
        assert!(
            text(0).contains("X-Envelope-From: <s@y.example  X: y>\r\n"),
            "{}",
            text(0)
        );
        let message = Message::new(letters[0].content.as_slice());
        let kinds: Vec<_> = message
            .tree()
            .parts
            .iter()
            .map(|p| p.kind().1.to_string())
            .collect();
        assert_eq!(kinds, ["report", "plain", "delivery-status", "rfc822", "plain"]);
        assert!(text(1).contains("\r\nSender: s@y.example  X: y\r\nSubject: s\r\nMessage-Id: <1@x>\r\nRecipient: a@x.example\r\n"), "{}", text(1));
        assert_eq!(
            (letters[2].from.as_str(), &letters[2].content[..]),
            ("postmaster@x.example", &content[..])
        );
        assert_eq!(letters[0].from, "");
    }
}
