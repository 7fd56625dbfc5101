//! Mail that the server writes because a script says so: built whole, queued through the channel `process`.
//!
//! [`Text`] builds a header and a plain text; nothing in a value can begin another field. [`send`] queues a
//! [`Letter`]; whether it was due is for the caller to know. No letter is ever reported on (`NOTIFY=NEVER`).

use std::sync::Arc;

use policy::message::edit::write_field;
use policy::site::Site;

use crate::capture::CAPTURED;
use crate::queue::own_mail_channel;
use crate::server::{Server, now};
use crate::transaction::{Accepted, OwnMessage, Transaction};

/// A message that is ready to go.
#[derive(Debug, Clone, Default)]
pub struct Letter {
    /// Envelope From; empty for the null sender.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// All of it, lines ending in CRLF.
    pub content: Vec<u8>,
    /// Its Message-ID, with angle brackets.
    pub message_id: String,
    /// A mailbox here that keeps a copy (`:fcc`).
    pub filed: Option<Box<Accepted>>,
    /// It is a copy for somebody who watches, which is not captured again.
    pub captured: bool,
}

/// A message while it is written.
#[derive(Debug, Default)]
pub struct Text {
    out: Vec<u8>,
}

impl Text {
    /// Adds a field, on one line as far as its value goes.
    pub fn field(&mut self, name: &str, value: &str) {
        write_field(&mut self.out, name, &one_line(value));
    }

    /// Ends the header with a text in plain, and gives the message.
    pub fn plain(mut self, text: &str) -> Vec<u8> {
        let (charset, encoding) = match text.is_ascii() {
            true => ("us-ascii", "7bit"),
            false => ("utf-8", "8bit"),
        };
        self.field("MIME-Version", "1.0");
        self.raw(&format!("Content-Type: text/plain; charset={charset}\r\n"));
        self.raw(&format!("Content-Transfer-Encoding: {encoding}\r\n\r\n"));
        self.lines(text);
        self.finish()
    }

    /// Adds a line of a part that is made of fields, neither folded nor encoded.
    pub fn line(&mut self, name: &str, value: &str) {
        self.raw(&format!("{name}: {}\r\n", one_line(value)));
    }

    /// Adds octets as they are.
    pub fn octets(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    /// Adds text as it is.
    pub fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Adds text with its line ends made CRLF.
    pub fn lines(&mut self, text: &str) {
        let text = text
            .replace("\r\n", "\n")
            .replace('\r', " ")
            .replace('\n', "\r\n");
        self.raw(&text);
    }

    /// The message, with an end to its last line.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.out.ends_with(b"\r\n") {
            self.raw("\r\n");
        }
        self.out
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The address within `Name <address>`.
pub fn bare(text: &str) -> &str {
    let inner = text.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(text.trim(), |(address, _)| address)
}

/// Queues a letter; a failure is complained of.
pub async fn send(server: &Arc<Server>, site: &Arc<Site>, letter: Letter) {
    let header_len =
        memchr::memmem::find(&letter.content, b"\r\n\r\n").map_or(letter.content.len(), |i| i + 4);
    let mut transaction = Transaction::default();
    transaction.envelope.from = letter.from;
    transaction.envelope.arrived = now();
    let channel = own_mail_channel(site);
    transaction.envelope.source_channel = channel.to_string();
    transaction.envelope.no_vacation = true;
    for to in &letter.to {
        transaction.take(Accepted::by_process(site, to));
    }
    if letter.captured {
        transaction.envelope.application = CAPTURED.to_string();
    }
    transaction.recipients.extend(letter.filed.map(|filed| *filed));
    let message = OwnMessage {
        eight_bit: !letter.content.is_ascii(),
        content: letter.content.into(),
        header_len,
        message_id: letter.message_id,
    };
    if let Err(error) = server.submit(site, transaction, message, channel).await {
        crate::complain!("mail that a script asks for could not be queued: {error}");
    }
}
