//! A mail transaction: policy decides on a connection, a sender, each recipient; the message is queued.
//!
//! [`Decider`] asks every policy point in the order of access specification 1. It knows no socket, so the
//! SMTP session, mail that the server itself creates, and `sluice explain` use the same code.
//!
//! The way of a recipient: rewrite the address; ORIG_SEND_ACCESS, ORIG_MAIL_ACCESS; alias expansion, each
//! result rewritten again; FORWARD; SEND_ACCESS, MAIL_ACCESS for each. Where some results of one RCPT are refused
//! and others are not, those that are not are accepted; where all are, the RCPT is refused.

mod header;
mod message;
mod readdress;
mod recipient;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use policy::address::Address;
use policy::channel::{Channel, Need, Settings};
use policy::rewrite::{Request, Rewritten};
use policy::site::Site;
use store::envelope::{Envelope, Recipient};

use crate::access::{
    Decision, FromAccess, InternalIp, Point, PolicyPoint, PortAccess, PortProbe, ReplyFacts, SessionFacts,
    TlsAccess,
};
use crate::evaluate::{Evaluation, Evaluator, NoVerdict};
use crate::filter::{Filtered, SiteScripts, UserScripts};
use crate::smtp::command::{Mail, Ret};
use crate::smtp::protocol::Reply;

pub use header::{HeaderFacts, date};
pub use message::{Collected, Collector, Enqueue, HeaderTooLarge, Queued, enqueue, unique_id};

/// Accepted RCPT commands of a transaction, where neither policy nor the channel says how many
/// (ALLOW_RECIPIENTS_PER_TRANSACTION).
pub const RECIPIENT_LIMIT: u32 = 128;

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
    /// Accepted recipients.
    pub recipients: Vec<Accepted>,
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
    /// Header of this copy, where a filter edited it.
    pub header: Option<Vec<u8>>,
}

/// What a connection gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// Go on; the log text of PORT_ACCESS.
    Accepted {
        /// Text for C entries.
        log_text: String,
    },
    /// Send this line, if not empty, and close.
    Refused {
        /// The raw text.
        text: String,
        /// PORT_ACCESS `$T`: write a T record.
        record: bool,
    },
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
    /// Debug level that `$U` asked for.
    pub debug: i64,
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
            debug: 0,
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
        let table = P::POINT.table();
        let site = Arc::clone(self.evaluator.site());
        if site.program.table(table).is_none() {
            return Ok(P::POINT.decide(None, reply));
        }
        let mut probe = String::with_capacity(160);
        point.probe(&site.options, &mut probe);
        let result = self.evaluator.map(table, &probe, point.flags()).await?;
        let decision = P::POINT.decide(result.as_ref(), reply);
        self.note(|| decided(table, &decision));
        if let Some(notice) = &decision.effects.syslog {
            crate::notice::send(notice);
        }
        if let Some(notice) = &decision.effects.syslog_rejected {
            crate::notice::send(notice);
        }
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
        if let Some(level) = effects.debug {
            self.debug = level;
        }
    }

    /// Whether an address is internal, as INTERNAL_IP has it; it is not where there is no such table, nor where that
    /// comes to no verdict.
    pub async fn is_internal(&mut self, address: IpAddr) -> bool {
        let decision = self.consult(&InternalIp(address), &ReplyFacts::default()).await;
        decision.is_ok_and(|d| d.accepted)
    }

    /// A connection came in: PORT_ACCESS, then channel switching by the client's address.
    pub async fn connect(&mut self) -> Admission {
        let facts = self.facts.clone();
        let point = PortAccess {
            session: &facts,
            by: PortProbe::Dispatcher,
        };
        let decision = match self.consult(&point, &ReplyFacts::default()).await {
            Ok(decision) => decision,
            Err(_) => {
                return Admission::Refused {
                    text: "421 4.3.0 Policy cannot be evaluated now".into(),
                    record: false,
                };
            }
        };
        if !decision.accepted {
            let text = decision.text.clone().unwrap_or_default();
            return Admission::Refused {
                text,
                record: decision.effects.log_rejection,
            };
        }
        self.switch_by_address().await;
        let offers_sasl = self.channel().is_some_and(|c| c.settings.sasl_server != Need::No);
        if offers_sasl {
            let facts = self.facts.clone();
            let point = PortAccess {
                session: &facts,
                by: PortProbe::Server,
            };
            // only the rule set is of interest; the connection has been accepted
            let _ = self.consult(&point, &ReplyFacts::default()).await;
        }
        Admission::Accepted {
            log_text: decision.effects.log_text.unwrap_or_default(),
        }
    }

    async fn switch_by_address(&mut self) {
        if !self.channel().is_some_and(|c| c.settings.switch_channel) {
            return;
        }
        let Some((client, _)) = self.facts.client else {
            return;
        };
        let request = Request {
            address: format!("x@[{client}]"),
            envelope: true,
            forward: false,
            source_channel: self.facts.channel.clone(),
            ..Request::default()
        };
        let Ok(rewritten) = self.evaluator.rewrite(request).await else {
            return;
        };
        let Some(channel) = rewritten.channel else { return };
        let allowed = self
            .site()
            .channel(&channel)
            .is_some_and(|c| c.settings.allow_switch);
        let from = self.facts.channel.clone();
        if channel != from {
            self.note(|| match allowed {
                true => format!("source channel: switched from {from} to {channel}"),
                false => format!("source channel: {from}; {channel} has no allowswitchchannel"),
            });
        }
        if allowed {
            self.facts.channel = channel;
        }
    }

    /// TLS is up: TLS_ACCESS, then tlsswitchchannel. A text is why TLS counts as failed.
    pub async fn tls_started(&mut self, description: String) -> Result<(), String> {
        self.facts.tls = Some(description);
        let facts = self.facts.clone();
        let point = TlsAccess {
            session: &facts,
            subject: "",
            issuer: "",
            user: "",
        };
        let decision = match self.consult(&point, &ReplyFacts::default()).await {
            Ok(decision) => decision,
            Err(_) => Point::TlsAccess.unavailable(),
        };
        if !decision.accepted {
            return Err(decision.text.unwrap_or_else(|| "TLS is refused by policy".into()));
        }
        if let Some(channel) = decision
            .effects
            .switch_channel
            .filter(|c| self.site().channel(c).is_some())
        {
            self.switch_to(channel, "TLS_ACCESS");
        }
        if decision.effects.no_tls_switch {
            return Ok(());
        }
        if let Some(target) = self.channel().and_then(|c| c.settings.tls_switch.clone()) {
            self.switch_to(target, "tlsswitchchannel");
        }
        Ok(())
    }

    /// The client has authenticated: saslswitchchannel.
    pub fn authenticated(&mut self, user: String, address: String) {
        self.facts.auth_user = Some(user);
        self.facts.auth_address = address;
        if let Some(target) = self.channel().and_then(|c| c.settings.sasl_switch.clone()) {
            self.switch_to(target, "saslswitchchannel");
        }
    }

    fn switch_to(&mut self, target: String, keyword: &str) {
        let from = std::mem::replace(&mut self.facts.channel, target);
        let to = self.facts.channel.clone();
        self.note(|| format!("source channel: switched from {from} to {to} by {keyword}"));
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

    /// MAIL FROM. On success a transaction is open.
    pub async fn mail(&mut self, mail: &Mail, now: i64) -> Reply {
        self.transaction = None;
        self.transactions += 1;
        self.delay = Duration::ZERO;
        let site = Arc::clone(self.site());
        let Some(channel) = self.channel() else {
            return Reply::local_trouble();
        };
        let settings = channel.settings.clone();
        if settings.tls_server == Need::Must && self.facts.tls.is_none() {
            return Reply::tls_required();
        }
        if settings.sasl_server == Need::Must && self.facts.auth_user.is_none() {
            return Reply::auth_required();
        }
        if settings
            .transaction_limit
            .is_some_and(|limit| self.transactions > limit)
        {
            return Reply::new(450, (4, 5, 3), "number of transactions exceeds allowed maximum");
        }
        let from = match self.sender(&mail.from).await {
            Ok(from) => from,
            Err(reply) => return reply,
        };
        let facts = self.facts.clone();
        let reply_facts = self.reply_facts(&from, &site);
        let decision = match self
            .consult(
                &FromAccess {
                    session: &facts,
                    from: &from,
                },
                &reply_facts,
            )
            .await
        {
            Ok(decision) => decision,
            Err(_) => return no_verdict(),
        };
        self.apply_common(&decision);
        if !decision.accepted {
            return refusal(&decision);
        }
        if let Some(check) = &decision.effects.group_check
            && !in_group(check)
        {
            return Reply::new(
                550,
                (5, 7, 1),
                format!("you are not allowed to use this sender: {from}"),
            );
        }
        let effects = decision.effects;
        let limits = effects.limits.unwrap_or_default();
        let size_limit = source_limit(&site, &settings, limits.blocks).unwrap_or(0);
        if size_limit > 0 && mail.size.is_some_and(|size| size > size_limit) {
            return too_large(mail.size.unwrap_or(0), size_limit);
        }
        let small = |n: Option<u64>| n.filter(|n| *n > 0).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let transport = facts.transport();
        let envelope = Envelope {
            from: effects.envelope_from.unwrap_or(from),
            envelope_id: mail.envid.clone(),
            return_headers: mail.ret == Some(Ret::Headers),
            arrived: now,
            source_channel: facts.channel.clone(),
            transport,
            application: facts.application(),
            helo: facts.helo.clone(),
            modifiers: self.modifiers(),
            auth_user: facts.auth_user.clone(),
            auth_sender: (!facts.auth_address.is_empty()).then(|| facts.auth_address.clone()),
            utf8: mail.smtputf8,
            tags: effects
                .conversion_tags
                .map(|t| split_tags(&t))
                .unwrap_or_default(),
            no_vacation: effects.novacation,
            ..Envelope::default()
        };
        self.transaction = Some(Transaction {
            envelope,
            headers: effects.add_header.into_iter().collect(),
            subject_tag: effects.tag,
            discard: effects.discard_all || effects.jettison_all || effects.bitbucket,
            hold: effects.hold,
            size_limit,
            recipient_limit: small(limits.recipients)
                .or(settings.recipient_limit)
                .or(Some(RECIPIENT_LIMIT)),
            recipient_cutoff: small(limits.cutoff).or(settings.recipient_cutoff),
            ..Transaction::default()
        });
        Reply::address_ok()
    }

    /// The sender's address as it goes into the envelope and the probes.
    async fn sender(&mut self, address: &str) -> Result<String, Reply> {
        if address.is_empty() {
            return Ok(String::new());
        }
        if let Err(why) = Address::parse(address) {
            return Err(Reply::new(501, (5, 1, 7), format!("{why}: {address}")));
        }
        let request = self.request(address, false);
        match self.evaluator.rewrite(request).await {
            Ok(Rewritten {
                error: Some(error), ..
            }) => {
                self.note(|| format!("sender refused: {error}"));
                let code = if error.status.starts_with('4') { 450 } else { 550 };
                let status = if error.status == "5.1.2" {
                    "5.1.8"
                } else {
                    &error.status
                };
                Err(Reply::new(
                    code,
                    enhanced(status),
                    format!("{}: {address}", error.text),
                ))
            }
            Ok(rewritten) => self.reverse(&rewritten.address, true, false, "").await,
            Err(_) => Err(no_verdict()),
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

    /// Modifier letters of the session for log codes.
    pub fn modifiers(&self) -> String {
        let f = &self.facts;
        let letters = [
            (f.esmtp, 'E'),
            (f.lmtp, 'L'),
            (f.tls.is_some(), 'S'),
            (f.auth_user.is_some(), 'A'),
        ];
        letters.into_iter().filter(|l| l.0).map(|l| l.1).collect()
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

    /// Gives the transaction up.
    pub fn reset(&mut self) {
        self.transaction = None;
        self.delay = Duration::ZERO;
    }
}

/// The smallest of some limits that are counted in blocks, in octets; 0 stands for none.
pub fn smallest_limit(site: &Site, blocks: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    let block = site.options.number("BLOCK_SIZE", 1024).max(1) as u64;
    let smallest = blocks.into_iter().flatten().filter(|n| *n > 0).min();
    smallest.map(|n| n.saturating_mul(block))
}

/// The largest message that a channel takes in, in octets, with a limit of policy where it set one.
pub fn source_limit(site: &Site, channel: &Settings, policy: Option<u64>) -> Option<u64> {
    let all = positive(site.options.number("BLOCK_LIMIT", 0));
    smallest_limit(site, [policy, channel.source_block_limit, all])
}

fn positive(n: i64) -> Option<u64> {
    u64::try_from(n).ok().filter(|n| *n > 0)
}

fn split_tags(tags: &str) -> Vec<String> {
    tags.split(',')
        .map(|t| t.trim().to_string())
        .filter(|t| !t.is_empty())
        .collect()
}

/// `5.1.2` as numbers; 5.0.0 where it is none.
fn enhanced(status: &str) -> (u8, u16, u16) {
    let mut parts = status.split('.').map(|p| p.parse::<u16>().ok());
    match (
        parts.next().flatten(),
        parts.next().flatten(),
        parts.next().flatten(),
    ) {
        (Some(class @ (2 | 4 | 5)), Some(subject), Some(detail)) => (class as u8, subject, detail),
        _ => (5, 0, 0),
    }
}

/// The reply of a refusal by policy.
fn refusal(decision: &Decision) -> Reply {
    let reply = decision
        .reply
        .clone()
        .unwrap_or_else(|| "550 5.7.1 refused".into());
    let mut words = reply.splitn(3, ' ');
    let code = words.next().and_then(|c| c.parse().ok()).unwrap_or(550);
    let status = enhanced(words.next().unwrap_or("5.7.1"));
    Reply::new(code, status, words.next().unwrap_or("").to_string())
}

/// Policy came to no verdict: refused for the time being, never accepted.
fn no_verdict() -> Reply {
    Reply::new(451, (4, 3, 0), "policy cannot be evaluated now, try again later")
}

fn too_large(size: u64, limit: u64) -> Reply {
    let text = format!(
        "a message size of {} kilobytes exceeds the size limit of {} kilobytes computed for this transaction",
        size.div_ceil(1024),
        limit / 1024
    );
    Reply::new(552, (5, 3, 4), text)
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

/// Whether a system user is in a group, by /etc/passwd and /etc/group.
fn in_group((user, group): &(String, String)) -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let groups = read("/etc/group");
    let Some(line) = groups.lines().find(|l| l.split(':').next() == Some(group)) else {
        return false;
    };
    let mut fields = line.split(':');
    let id = fields.nth(2).unwrap_or("");
    if fields
        .next()
        .unwrap_or("")
        .split(',')
        .any(|member| member == user)
    {
        return true;
    }
    let passwd = read("/etc/passwd");
    passwd.lines().any(|l| {
        let mut fields = l.split(':');
        fields.next() == Some(user) && fields.nth(2) == Some(id)
    })
}

/// The date and time now, as a Date field has it.
pub fn date_now() -> String {
    date(&jiff::Zoned::now())
}
