//! What a session tells the log: refusals, bad commands, logins, its beginning and its end.

use store::envelope::Recipient;

use super::Session;
use crate::journal::{Connection as Said, Said as MessageSaid};
use crate::log::record::{Action, Direction};
use crate::smtp::protocol::{Notice, Reply};

/// J entries of one session.
const MAX_J_ENTRIES: u32 = 10;

/// B entries of one session.
const MAX_B_ENTRIES: u32 = 10;

impl Session {
    pub(super) fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::BadCommand { line, reply } => {
                self.decider.say(|| format!("C: {line}"));
                self.decider.say(|| format!("S: {}", reply.summary()));
                if self.b_entries < MAX_B_ENTRIES {
                    self.b_entries += 1;
                    let recipient = Recipient {
                        address: line.clone(),
                        original: line,
                        ..Recipient::default()
                    };
                    self.log_entry(Action::BadCommand, "", &recipient, &reply);
                }
            }
            Notice::SenderRefused { mail, reply } => {
                self.decider
                    .say(|| format!("C: MAIL FROM:<{}>  S: {}", mail.from, reply.summary()));
                self.log_rejection(&mail.from, &Recipient::default(), &reply);
            }
            Notice::RecipientRefused { rcpt, reply } => {
                self.decider
                    .say(|| format!("C: RCPT TO:<{}>  S: {}", rcpt.to, reply.summary()));
                let from = self
                    .decider
                    .transaction
                    .as_ref()
                    .map(|t| t.envelope.from.clone())
                    .unwrap_or_default();
                let original = format!("rfc822;{}", rcpt.to);
                let recipient = Recipient {
                    address: rcpt.to,
                    original,
                    ..Recipient::default()
                };
                self.log_rejection(&from, &recipient, &reply);
            }
            Notice::MessageRefused { reply, counts } => {
                self.decider
                    .say(|| format!("C: (message of {} octets)  S: {}", counts.octets, reply.summary()));
                self.collector = None;
                if let Some(transaction) = self.decider.transaction.take() {
                    for accepted in &transaction.recipients {
                        let from = transaction.envelope.from.clone();
                        self.log_rejection(&from, &accepted.recipient, &reply);
                    }
                }
            }
            Notice::AuthCancelled => self.exchange = None,
        }
    }

    pub(super) fn log_rejection(&mut self, from: &str, recipient: &Recipient, reply: &Reply) {
        if self.j_entries >= MAX_J_ENTRIES {
            return;
        }
        self.j_entries += 1;
        let mut reply = reply.clone();
        if self.j_entries == MAX_J_ENTRIES {
            reply
                .text
                .push("(further rejections of this session are not logged)".into());
        }
        self.log_entry(Action::RejectedRecipient, from, recipient, &reply);
    }

    fn log_entry(&self, action: Action, from: &str, recipient: &Recipient, reply: &Reply) {
        let envelope = self.envelope(from);
        let diagnostic = reply.summary();
        let said = MessageSaid {
            source_channel: &envelope.source_channel,
            diagnostic: &diagnostic,
            modifiers: &envelope.modifiers,
            ..MessageSaid::default()
        };
        self.server
            .journal
            .message(action, &envelope, recipient, &said, None);
    }

    /// V entries: the transaction ended while its message arrived.
    pub(super) fn log_aborted(&mut self, reason: &str) {
        let Some(transaction) = self.decider.transaction.take() else {
            return;
        };
        let said = MessageSaid {
            source_channel: &transaction.envelope.source_channel,
            diagnostic: reason,
            modifiers: &transaction.envelope.modifiers,
            ..MessageSaid::default()
        };
        for accepted in &transaction.recipients {
            self.server.journal.message(
                Action::Aborted,
                &transaction.envelope,
                &accepted.recipient,
                &said,
                None,
            );
        }
    }

    fn envelope(&self, from: &str) -> store::envelope::Envelope {
        let f = &self.decider.facts;
        let letters = [
            (f.esmtp, 'E'),
            (f.tls.is_some(), 'S'),
            (f.auth_user.is_some(), 'A'),
        ];
        store::envelope::Envelope {
            from: from.to_string(),
            source_channel: f.channel.clone(),
            transport: f.transport(),
            application: f.application(),
            helo: f.helo.clone(),
            auth_user: f.auth_user.clone(),
            modifiers: letters.into_iter().filter(|l| l.0).map(|l| l.1).collect(),
            ..Default::default()
        }
    }

    pub(super) fn log_connection(&self, action: Action, diagnostic: &str) {
        let facts = &self.decider.facts;
        let closed = action == Action::Closed;
        let (transport, application) = (facts.transport(), facts.application());
        let said = Said {
            transport: &transport,
            application: if closed { &application } else { "SMTP" },
            tag: if closed { &self.log_text } else { "" },
            diagnostic,
            open_seconds: closed.then(|| self.began.elapsed().as_secs()),
            ..Said::default()
        };
        self.server
            .journal
            .connection(action, &facts.channel, Direction::Inbound, &said);
    }

    pub(super) fn log_authentication(&self, tag: &str, username: &str, diagnostic: &str) {
        let facts = &self.decider.facts;
        let (transport, application) = (facts.transport(), facts.application());
        let said = Said {
            transport: &transport,
            application: &application,
            tag,
            username,
            diagnostic,
            ..Said::default()
        };
        self.server
            .journal
            .connection(Action::Authentication, &facts.channel, Direction::Inbound, &said);
    }
}
