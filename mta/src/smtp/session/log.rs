//! What a session tells the log: refusals, bad commands, logins, its beginning and its end.

use std::sync::atomic::Ordering;

use store::envelope::{Envelope, Recipient};

use super::Session;
use crate::journal::{Connection as Said, Said as MessageSaid};
use crate::log::record::{Action, Direction};
use crate::smtp::command::Rcpt;
use crate::smtp::protocol::{Notice, Reply};
use crate::transaction::Transaction;

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
                    self.log_entry(
                        Action::BadCommand,
                        &self.envelope(""),
                        &recipient,
                        (&reply.summary(), ""),
                    );
                }
            }
            Notice::SenderRefused { mail, reply } => {
                self.decider
                    .say(|| format!("C: MAIL FROM:<{}>  S: {}", mail.from, reply.summary()));
                self.log_sender_refused(&mail.from, &reply);
            }
            Notice::RecipientRefused { rcpt, reply } => {
                self.decider
                    .say(|| format!("C: RCPT TO:<{}>  S: {}", rcpt.to, reply.summary()));
                self.log_recipient_refused(&rcpt, &reply);
            }
            Notice::MessageRefused { reply, counts } => {
                self.decider
                    .say(|| format!("C: (message of {} octets)  S: {}", counts.octets, reply.summary()));
                self.collector = None;
                if let Some(transaction) = self.decider.transaction.take() {
                    self.log_message_refused(&transaction, &reply);
                }
            }
            Notice::AuthCancelled => self.exchange = None,
        }
    }

    /// MAIL was refused.
    pub(super) fn log_sender_refused(&mut self, from: &str, reply: &Reply) {
        self.log_rejection(&self.envelope(from), &Recipient::default(), reply, "");
    }

    /// RCPT was refused.
    pub(super) fn log_recipient_refused(&mut self, rcpt: &Rcpt, reply: &Reply) {
        self.server.counters.refused.fetch_add(1, Ordering::Relaxed);
        let original = rcpt
            .orcpt
            .clone()
            .unwrap_or_else(|| format!("rfc822;{}", rcpt.to));
        let recipient = Recipient {
            address: rcpt.to.clone(),
            original,
            ..Recipient::default()
        };
        let from = self
            .decider
            .transaction
            .as_ref()
            .map(|t| t.envelope.from.as_str());
        let envelope = self.envelope(from.unwrap_or_default());
        self.log_rejection(&envelope, &recipient, reply, "");
    }

    /// The message was refused, for every recipient that had been accepted.
    pub(super) fn log_message_refused(&mut self, transaction: &Transaction, reply: &Reply) {
        for accepted in &transaction.recipients {
            let filter = &accepted.noted.filter;
            self.log_rejection(&transaction.envelope, &accepted.recipient, reply, filter);
        }
    }

    /// A recipient was refused; `filter` is what scripts did.
    pub(super) fn log_rejection(
        &mut self,
        envelope: &Envelope,
        recipient: &Recipient,
        reply: &Reply,
        filter: &str,
    ) {
        if self.j_entries >= MAX_J_ENTRIES {
            return;
        }
        self.j_entries += 1;
        let mut diagnostic = reply.summary();
        if self.j_entries == MAX_J_ENTRIES {
            diagnostic.push_str(" (further rejections of this session are not logged)");
        }
        self.log_entry(
            Action::RejectedRecipient,
            envelope,
            recipient,
            (&diagnostic, filter),
        );
    }

    fn log_entry(
        &self,
        action: Action,
        envelope: &Envelope,
        recipient: &Recipient,
        (diagnostic, filter): (&str, &str),
    ) {
        let said = MessageSaid {
            source_channel: &envelope.source_channel,
            diagnostic,
            filter,
            modifiers: &envelope.modifiers,
            ..MessageSaid::default()
        };
        self.server
            .journal
            .message(action, envelope, recipient, &said, None);
    }

    /// V entries: the transaction ended while its message arrived.
    pub(super) fn log_aborted(&mut self, reason: &str) {
        let Some(transaction) = self.decider.transaction.take() else {
            return;
        };
        for accepted in &transaction.recipients {
            self.log_entry(
                Action::Aborted,
                &transaction.envelope,
                &accepted.recipient,
                (reason, ""),
            );
        }
    }

    /// What is known of a transaction that has not begun.
    fn envelope(&self, from: &str) -> Envelope {
        let f = &self.decider.facts;
        Envelope {
            from: from.to_string(),
            source_channel: f.channel.clone(),
            transport: f.transport(),
            application: f.application(),
            helo: f.helo.clone(),
            auth_user: f.auth_user.clone(),
            modifiers: self.decider.modifiers(),
            ..Default::default()
        }
    }

    /// The connection came to nothing before the banner: refused by policy, or no TLS.
    pub(super) fn log_no_session(&self, action: Action, diagnostic: &str) {
        let said = Said {
            transport: &self.decider.facts.transport(),
            application: "SMTP",
            diagnostic,
            ..Said::default()
        };
        self.server
            .journal
            .connection(action, &self.peer.channel, Direction::Inbound, &said);
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
