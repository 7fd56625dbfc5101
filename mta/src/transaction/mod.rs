//! A mail transaction: policy decides on a connection, a sender, each recipient; the message is queued.
//!
//! [`Decider`] asks every policy point in the order of access specification 1. It knows no socket, so the
//! SMTP session, mail that the server itself creates, and `sluice explain` use the same code.
//!
//! The way of a recipient: rewrite the address; ORIG_SEND_ACCESS, ORIG_MAIL_ACCESS; alias expansion, each
//! result rewritten again; FORWARD; SEND_ACCESS, MAIL_ACCESS for each. Where all results of one RCPT are refused, or
//! one for the time being, the RCPT is refused; else the others are accepted, and a notification tells the sender
//! of those that are not.

mod addresses;
mod connection;
mod header;
mod message;
mod readdress;
mod recipient;
mod refusal;
mod sender;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use policy::channel::{Channel, Need};
use policy::rewrite::{Request, Rewritten};
use policy::site::Site;
use store::envelope::{Envelope, Notify, Recipient};

use crate::access::{Decision, PolicyPoint, ReplyFacts, SessionFacts};
use crate::evaluate::{Evaluation, Evaluator, NoVerdict};
use crate::filter::{Filtered, SiteScripts, UserScripts};
use crate::smtp::protocol::Reply;

pub use addresses::missing_recipients;
pub use connection::Admission;
pub use header::{HeaderFacts, date, received};
pub use message::{Collected, Collector, Enqueue, HeaderTooLarge, OwnMessage, Queued, enqueue, unique_id};
pub use sender::{RECIPIENT_LIMIT, smallest_limit, source_limit};

/// What happened in a session, for `sluice explain`.
#[derive(Debug, Clone)]
pub enum Record {
    /// Something said: a command, a reply.
    Said(String),
    /// A policy evaluation.
    Evaluated(Box<Evaluation>),
    /// What was made of it.
    Decided(String),
}

/// A message on its way in.
#[derive(Debug, Default)]
pub struct Transaction {
    /// What is known of it.
    pub envelope: Envelope,
    /// Accepted recipients; [`Transaction::take`] adds one.
    pub recipients: Vec<Accepted>,
    /// Members of lists that were refused for good while others were accepted: the sender is told by mail.
    pub refused: Vec<(Recipient, Reply)>,
    /// Channel and address of each recipient taken.
    taken: HashSet<(String, String)>,
    /// Header lines that FROM_ACCESS adds.
    pub headers: Vec<String>,
    /// Tag that FROM_ACCESS puts in front of the subject.
    pub subject_tag: Option<String>,
    /// All copies are discarded (`$V`, `$Z`).
    pub discard: bool,
    /// All copies are held (FROM_ACCESS `$H`).
    pub hold: bool,
    /// Recipients presented.
    pub presented: u32,
    /// RCPT commands that were accepted before the current one.
    pub valid: u32,
    /// Size limit in bytes that policy set, 0: none.
    pub size_limit: u64,
    /// Recipient limit that policy or the channel set.
    pub recipient_limit: Option<u32>,
    /// Presented recipients over which the whole message is refused.
    pub recipient_cutoff: Option<u32>,
}

impl Transaction {
    /// Adds a recipient, unless the message goes to it already.
    pub fn take(&mut self, accepted: Accepted) {
        let address = accepted.recipient.address.to_ascii_lowercase();
        if self.taken.insert((accepted.channel.clone(), address)) {
            self.recipients.push(accepted);
        }
    }
}

/// An accepted recipient.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// What the queue remembers.
    pub recipient: Recipient,
    /// Destination channel.
    pub channel: String,
    /// Host queue within it.
    pub host: String,
    /// This copy is held.
    pub hold: bool,
    /// Header lines added to this copy.
    pub headers: Vec<String>,
    /// Tag in front of the subject of this copy.
    pub subject_tag: Option<String>,
    /// Header of this copy, where it is another than the message's: a filter edited it, or its addresses are others
    /// on its channel.
    pub header: Option<Bytes>,
    /// What else of the message is another for this copy.
    pub changed: Changed,
    /// What the log says of it when it is queued.
    pub noted: Noted,
}

/// What scripts leave for the log entry of a recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// What the filters did (LOG_FILTER).
    pub filter: String,
    /// Text of `transactionlog` (LOG_TRANSACTIONLOG).
    pub transaction_log: String,
}

/// What a filter changed of a message for some of its recipients, beyond the header: they share a message of their
/// own in the queue, and the others keep the one that came.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changed {
    /// Envelope From.
    pub from: Option<String>,
    /// RET: headers only.
    pub return_headers: Option<bool>,
    /// MT-PRIORITY.
    pub priority: Option<i8>,
    /// Conversion tags.
    pub tags: Option<Vec<String>>,
    /// The whole message, header and body.
    pub message: Option<Bytes>,
}

impl Changed {
    fn apply(&self, envelope: &mut Envelope) {
        if let Some(from) = &self.from {
            envelope.from.clone_from(from);
        }
        if let Some(tags) = &self.tags {
            envelope.tags.clone_from(tags);
        }
        envelope.return_headers = self.return_headers.unwrap_or(envelope.return_headers);
        envelope.priority = self.priority.unwrap_or(envelope.priority);
    }
}

impl Accepted {
    /// Gives this copy a message of its own.
    pub fn set_message(&mut self, message: Bytes) {
        self.header = Some(message.slice(..header_len(&message)));
        self.changed.message = Some(message);
    }

    /// A recipient of mail that this server makes: `process`, or `reprocess`, finds out where it goes. A
    /// notification or reply is never itself reported on.
    pub fn by_process(site: &Site, address: &str) -> Self {
        Accepted {
            recipient: Recipient {
                address: address.to_string(),
                original: format!("rfc822;{address}"),
                intermediate: address.to_string(),
                notify: Notify {
                    given: true,
                    ..Notify::default()
                },
                ..Recipient::default()
            },
            channel: crate::queue::own_mail_channel(site).to_string(),
            ..Accepted::default()
        }
    }
}

/// Decides on a session's connection, senders and recipients.
#[derive(Debug)]
pub struct Decider {
    evaluator: Evaluator,
    /// What is known of the session.
    pub facts: SessionFacts,
    /// Source channel of the service; sessions begin with it, and fall back to it.
    pub start_channel: String,
    /// The transaction that is open.
    pub transaction: Option<Transaction>,
    /// Transactions begun.
    pub transactions: u32,
    /// Delay of every later reply (`$D` positive).
    delay: Duration,
    /// Delay of this reply only (`$D` negative).
    delay_once: Duration,
    /// What happened, where somebody wants to know.
    pub records: Option<Vec<Record>>,
    /// For tools: recipients of channels that nothing delivers for here are taken as they are.
    pub lenient: bool,
    /// For tools: no users are known, so local recipients that are no alias are taken as they are.
    pub users_unknown: bool,
}

impl Decider {
    /// A decider for a session that comes by a channel.
    pub fn new(mut evaluator: Evaluator, facts: SessionFacts, record: bool) -> Self {
        evaluator.record = record.then(Vec::new);
        Decider {
            evaluator,
            start_channel: facts.channel.clone(),
            facts,
            transaction: None,
            transactions: 0,
            delay: Duration::ZERO,
            delay_once: Duration::ZERO,
            records: record.then(Vec::new),
            lenient: false,
            users_unknown: false,
        }
    }

    /// The site in use.
    pub fn site(&self) -> &Arc<Site> {
        self.evaluator.site()
    }

    /// The evaluator, for other questions of the session.
    pub fn evaluator(&mut self) -> &mut Evaluator {
        &mut self.evaluator
    }

    /// The current source channel.
    pub fn channel(&self) -> Option<&Channel> {
        self.evaluator.site().channel(&self.facts.channel)
    }

    /// Records something said.
    pub fn say(&mut self, text: impl FnOnce() -> String) {
        if let Some(records) = &mut self.records {
            records.push(Record::Said(text()));
        }
    }

    /// Records what was made of an evaluation.
    fn note(&mut self, text: impl FnOnce() -> String) {
        self.drain();
        if let Some(records) = &mut self.records {
            records.push(Record::Decided(text()));
        }
    }

    /// Moves evaluations from the evaluator to the records.
    fn drain(&mut self) {
        if let (Some(records), Some(evaluations)) = (&mut self.records, &mut self.evaluator.record) {
            records.extend(evaluations.drain(..).map(|e| Record::Evaluated(Box::new(e))));
        }
    }

    /// How long the next reply waits.
    pub fn take_delay(&mut self) -> Duration {
        self.delay + std::mem::take(&mut self.delay_once)
    }

    /// Goes over to the site in force, between transactions. A channel that is gone gives way to that of
    /// the service.
    pub fn refresh(&mut self, site: &Arc<Site>) {
        self.evaluator.set_site(site);
        if site.channel(&self.facts.channel).is_none() {
            self.facts.channel = self.start_channel.clone();
        }
    }

    /// Asks a policy point.
    async fn consult<P: PolicyPoint>(
        &mut self,
        point: &P,
        reply: &ReplyFacts<'_>,
    ) -> Result<Decision, NoVerdict> {
        let Some(decision) = self.evaluator.consult(point, reply).await? else {
            return Ok(P::POINT.decide(None, reply));
        };
        self.note(|| decided(P::POINT.table(), &decision));
        Ok(decision)
    }

    /// Effects that tables of senders and recipients share.
    fn apply_common(&mut self, decision: &Decision) {
        let effects = &decision.effects;
        if let Some(hundredths) = effects.delay_cs {
            let delay = Duration::from_millis(hundredths.unsigned_abs().saturating_mul(10));
            if hundredths > 0 {
                self.delay = self.delay.max(delay);
            } else {
                self.delay_once = delay;
            }
        }
    }

    /// Rewrites an address, for tools.
    pub async fn rewrite(&mut self, request: Request) -> Result<Rewritten, NoVerdict> {
        let rewritten = self.evaluator.rewrite(request).await;
        self.drain();
        rewritten
    }

    /// An envelope address to be rewritten, with what that needs to know of the source channel.
    pub fn request(&self, address: &str, forward: bool) -> Request {
        let settings = self.channel().map(|c| &c.settings);
        let default = settings.and_then(|s| s.default_host.as_ref());
        let default_host = match default {
            Some((_, Some(recipients))) if forward => recipients.clone(),
            Some((all, _)) => all.clone(),
            None if settings.is_some_and(|s| s.remote_host) && !forward => self.facts.helo.clone(),
            None => String::new(),
        };
        Request {
            address: address.to_string(),
            envelope: true,
            forward,
            source_channel: self.facts.channel.clone(),
            destination_channel: None,
            binding: settings.map(|s| s.binding).unwrap_or_default(),
            default_host,
        }
    }

    fn reply_facts<'a>(&self, address: &'a str, site: &Site) -> ReplyFacts<'a> {
        ReplyFacts {
            sasl_offered: self.channel().is_some_and(|c| c.settings.sasl_server != Need::No),
            authenticated: self.facts.auth_user.is_some(),
            address,
            access_errors: site.options.number("ACCESS_ERRORS", 0) != 0,
            default_text: None,
        }
    }

    /// Runs the Sieve scripts on the recipients of a transaction.
    pub async fn filter(
        &mut self,
        scripts: &SiteScripts,
        users: &UserScripts,
        transaction: &mut Transaction,
        raw: Arc<[u8]>,
    ) -> Filtered {
        let mut said = Vec::new();
        let filtered = crate::filter::run(
            &mut self.evaluator,
            scripts,
            users,
            transaction,
            raw,
            |evaluator, text| {
                let before = evaluator.record.as_mut().map(std::mem::take).unwrap_or_default();
                said.push((before, text));
            },
        )
        .await;
        if let Some(records) = &mut self.records {
            for (evaluations, text) in said {
                records.extend(evaluations.into_iter().map(|e| Record::Evaluated(Box::new(e))));
                records.push(Record::Decided(text));
            }
        }
        filtered
    }

    /// Tells the operator that a message is too large for scripts.
    pub fn not_filtered(&mut self, size: u64, from: &str) {
        let limit = crate::filter::MESSAGE_LIMIT;
        let text = format!(
            "a message of {size} octets from <{from}> was not filtered: scripts see messages up to {limit} octets"
        );
        self.say(|| format!("* {text}"));
        crate::notice::send(&text);
    }

    /// Gives the transaction up.
    pub fn reset(&mut self) {
        self.transaction = None;
        self.delay = Duration::ZERO;
    }
}

/// Length of the header of a message, its blank line included.
fn header_len(message: &[u8]) -> usize {
    memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |i| i + 4)
}

fn split_tags(tags: &str) -> Vec<String> {
    tags.split(',')
        .map(|t| t.trim().to_string())
        .filter(|t| !t.is_empty())
        .collect()
}

/// What `explain` says of a decision.
fn decided(table: &str, decision: &Decision) -> String {
    let mut text = match (decision.accepted, &decision.reply) {
        (true, _) => format!("{table}: allowed"),
        (false, Some(reply)) => format!("{table}: refused, {reply}"),
        (false, None) => format!("{table}: refused, {}", decision.text.as_deref().unwrap_or("")),
    };
    if let Ok(serde_json::Value::Object(effects)) = serde_json::to_value(&decision.effects) {
        for (name, value) in effects {
            text.push_str(&format!(", {name} {value}"));
        }
    }
    text
}
