//! One RCPT TO: rewriting, access, alias expansion, FORWARD.

use std::collections::HashSet;
use std::sync::Arc;

use policy::address::Address;
use policy::alias::ALIAS_DOMAINS;
use policy::forward::Forwarded;
use policy::mapping::FlagSet;
use policy::rewrite::Rewritten;
use policy::{Answer, Ask, Read};
use store::envelope::Recipient;

use super::refusal::{enhanced, no_verdict, refusal};
use super::{Accepted, Decider, split_tags};
use crate::access::{
    Effects, MailAccess, OrigMailAccess, OrigSendAccess, PolicyPoint, RecipientFacts, SendAccess, in_group,
};
use crate::queue::REPROCESS;
use crate::smtp::command::Rcpt;
use crate::smtp::protocol::{Enhanced, Reply};

/// Most addresses that the recipients of one message may expand to.
const EXPANSION_LIMIT: usize = 10_000;

/// A mailbox that takes no mail for now.
const INACTIVE: Enhanced = (4, 2, 1);

/// An address that is still to be expanded.
struct Pending {
    rewritten: Rewritten,
    level: i64,
    /// FORWARD said that it is not to be asked again.
    last: bool,
    /// FORWARD holds it.
    hold: bool,
    intermediate: String,
}

/// What one recipient stands for.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The recipients, in order.
    pub accepted: Vec<Accepted>,
    /// Addresses that were refused, and how.
    pub refused: Vec<(String, Reply)>,
    /// Times that an alias or FORWARD put other addresses in the place of one.
    pub expansions: usize,
}

/// What the tables said of one recipient.
#[derive(Debug, Default, Clone)]
struct Marks {
    hold: bool,
    bitbucket: bool,
    headers: Vec<String>,
    subject_tag: Option<String>,
    tags: Vec<String>,
}

impl Marks {
    fn add(&mut self, effects: &Effects) {
        self.hold |= effects.hold;
        self.bitbucket |= effects.bitbucket;
        self.headers.extend(effects.add_header.clone());
        if effects.tag.is_some() {
            self.subject_tag = effects.tag.clone();
        }
        self.tags
            .extend(effects.conversion_tags.iter().flat_map(|t| split_tags(t)));
    }
}

impl Decider {
    /// RCPT TO. On success the recipients that it stands for are added to the transaction.
    pub async fn rcpt(&mut self, rcpt: &Rcpt) -> Reply {
        let Some(transaction) = &mut self.transaction else {
            return Reply::local_trouble();
        };
        transaction.presented += 1;
        if transaction
            .recipient_limit
            .is_some_and(|limit| transaction.valid >= limit)
        {
            return Reply::new(452, (4, 2, 3), "too many recipients specified");
        }
        let submitted = rcpt.to.clone();
        if let Err(why) = Address::parse(&submitted) {
            // what stands before the last `@` is a local part that nobody can have
            let opaque = submitted
                .rsplit_once('@')
                .is_some_and(|(local, _)| local.contains('@'));
            let (code, status) = if opaque {
                (550, (5, 1, 1))
            } else {
                (501, (5, 1, 3))
            };
            return Reply::new(code, status, format!("{why}: {submitted}"));
        }
        match self.recipient(rcpt).await {
            Ok(accepted) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.valid += 1;
                    for one in accepted {
                        transaction.take(one);
                    }
                }
                Reply::recipient_ok(&submitted)
            }
            Err(reply) => reply,
        }
    }

    async fn recipient(&mut self, rcpt: &Rcpt) -> Result<Vec<Accepted>, Reply> {
        let mut resolved = self.resolve(rcpt).await;
        // a member that is inactive, perhaps for weeks, does not keep a list from its other members: it waits in
        // the queue. Any other refusal that is not for good is one of the whole recipient.
        let waits = |reply: &Reply| reply.enhanced == Some(INACTIVE);
        if !resolved.accepted.is_empty() && self.site().channel(REPROCESS).is_some() {
            for (address, _) in resolved.refused.extract_if(.., |(_, reply)| waits(reply)) {
                self.note(|| format!("{address} is to be addressed again by {REPROCESS}"));
                resolved.accepted.push(Accepted {
                    recipient: Recipient {
                        intermediate: address.clone(),
                        ..self.recipient_of(rcpt, address)
                    },
                    channel: REPROCESS.to_string(),
                    ..Accepted::default()
                });
            }
        }
        let later = resolved.refused.iter().position(|(_, reply)| reply.code < 500);
        if let Some((_, reply)) = later.map(|n| resolved.refused.swap_remove(n)) {
            return Err(reply);
        }
        if resolved.accepted.is_empty() {
            let refusal = resolved.refused.pop().map(|(_, reply)| reply);
            return Err(refusal.unwrap_or_else(|| unknown_alias(&rcpt.to)));
        }
        // the sender is told of members that are refused for good, as of any failed delivery
        for (address, reply) in resolved.refused {
            self.note(|| {
                format!(
                    "not delivered to {address}, its sender will be told: {}",
                    reply.summary()
                )
            });
            let recipient = Recipient {
                intermediate: rcpt.to.clone(),
                ..self.recipient_of(rcpt, address)
            };
            if let Some(transaction) = &mut self.transaction {
                transaction.refused.push((recipient, reply));
            }
        }
        Ok(resolved.accepted)
    }

    fn recipient_of(&self, rcpt: &Rcpt, address: String) -> Recipient {
        let original = rcpt.orcpt.clone();
        Recipient {
            address,
            original: original.unwrap_or_else(|| format!("rfc822;{}", rcpt.to)),
            notify: rcpt.notify,
            ..Recipient::default()
        }
    }

    /// What a recipient stands for: rewriting, the ORIG tables, then for each address that aliases and
    /// FORWARD lead to, the other tables. Nothing is added to the transaction, except marks of the tables.
    pub async fn resolve(&mut self, rcpt: &Rcpt) -> Resolved {
        let submitted = rcpt.to.as_str();
        let mut done = Resolved::default();
        let mut marks = Marks::default();
        let first = match self.first(rcpt, &mut marks).await {
            Ok(first) => first,
            Err(reply) => {
                done.refused.push((submitted.to_string(), reply));
                return done;
            }
        };
        let mut seen = HashSet::new();
        let taken = self.transaction.as_ref().map_or(0, |t| t.recipients.len());
        let mut pending = vec![Pending {
            rewritten: first,
            level: 0,
            last: false,
            hold: false,
            intermediate: submitted.to_string(),
        }];
        while let Some(item) = pending.pop() {
            let address = item.rewritten.address.clone();
            if taken + pending.len() + done.accepted.len() > EXPANSION_LIMIT {
                let text = format!("list expands to too many addresses: {submitted}");
                done.accepted.clear();
                done.refused.push((address, Reply::new(452, (4, 2, 4), text)));
                return done;
            }
            match self.next(rcpt, &item, &mut seen).await {
                Ok(Next::More { forwarded, refusal }) => {
                    done.expansions += 1;
                    let mut more = Vec::new();
                    for member in &forwarded.addresses {
                        let routed = match forwarded.again {
                            true => self.route(member, submitted).await,
                            false => self.by_table(member, submitted),
                        };
                        match routed {
                            Ok(rewritten) => more.push(Pending {
                                rewritten,
                                level: item.level + 1,
                                last: item.last || forwarded.last || !forwarded.again,
                                hold: item.hold || forwarded.hold,
                                intermediate: match forwarded.keep_intermediate {
                                    true => item.intermediate.clone(),
                                    false => member.clone(),
                                },
                            }),
                            Err(reply) => done.refused.push((member.clone(), reply)),
                        }
                    }
                    pending.extend(more.into_iter().rev());
                    if forwarded.keep {
                        match refusal {
                            Some(_) => {
                                self.note(|| format!("{address} itself is nobody: nothing is kept for it"))
                            }
                            None => self.settle(rcpt, item, marks.clone(), &mut done).await,
                        }
                    }
                }
                Ok(Next::Final { hold }) => {
                    let item = Pending {
                        hold: item.hold || hold,
                        ..item
                    };
                    self.settle(rcpt, item, marks.clone(), &mut done).await;
                }
                Err(reply) => done.refused.push((address, reply)),
            }
        }
        done
    }

    /// The address of RCPT TO, rewritten and let through by the ORIG tables.
    async fn first(&mut self, rcpt: &Rcpt, marks: &mut Marks) -> Result<Rewritten, Reply> {
        let first = self.route(&rcpt.to, &rcpt.to).await?;
        let channel = first.channel.clone().unwrap_or_default();
        self.access(rcpt, &channel, &first.address, true, marks).await?;
        Ok(first)
    }

    /// What comes next for an address: alias expansion, else FORWARD, else it is final.
    async fn next(&mut self, rcpt: &Rcpt, item: &Pending, seen: &mut HashSet<String>) -> Result<Next, Reply> {
        if item.level > self.site().options.number("MAX_ALIAS_LEVELS", 10) {
            let text = format!("aliases are nested too deeply: {}", rcpt.to);
            return Err(Reply::new(550, (5, 4, 6), text));
        }
        let refusal = match self.expand(rcpt, &item.rewritten, seen).await? {
            Expansion::More(addresses) => {
                let forwarded = Forwarded {
                    addresses,
                    again: true,
                    keep_intermediate: true,
                    ..Forwarded::default()
                };
                return Ok(Next::More {
                    forwarded,
                    refusal: None,
                });
            }
            Expansion::Final => None,
            Expansion::Unknown => Some(unknown_alias(&rcpt.to)),
        };
        let forwarded = match item.last {
            true => Forwarded::default(),
            false => {
                self.forward(&item.rewritten.address, self.forward_flags(rcpt))
                    .await?
            }
        };
        match (forwarded.addresses.is_empty(), refusal) {
            (false, refusal) => Ok(Next::More { forwarded, refusal }),
            (true, None) => Ok(Next::Final { hold: forwarded.hold }),
            (true, Some(refusal)) => {
                let name = &item.rewritten.address;
                self.note(|| format!("no alias and no user {name}"));
                Err(refusal)
            }
        }
    }

    /// Asks the SEND and MAIL tables about a final address, and takes it.
    async fn settle(&mut self, rcpt: &Rcpt, item: Pending, mut marks: Marks, done: &mut Resolved) {
        let to = &item.rewritten;
        let channel = to.channel.clone().unwrap_or_default();
        let verdict = self.access(rcpt, &channel, &to.address, false, &mut marks).await;
        marks.hold |= item.hold;
        match verdict.and_then(|()| self.accept(rcpt, to, &item.intermediate, marks)) {
            Ok(one) => done.accepted.push(one),
            Err(reply) => done.refused.push((to.address.clone(), reply)),
        }
    }

    /// Input flags of FORWARD: those of SEND_ACCESS.
    fn forward_flags(&self, rcpt: &Rcpt) -> FlagSet {
        let recipient = RecipientFacts {
            notify: rcpt.notify,
            ..RecipientFacts::default()
        };
        SendAccess {
            session: &self.facts,
            recipient: &recipient,
        }
        .flags()
    }

    /// An address that FORWARD gave without `$D`: its host must be in the channel table.
    fn by_table(&mut self, address: &str, submitted: &str) -> Result<Rewritten, Reply> {
        let parsed = Address::parse(address).unwrap_or_default();
        let host = parsed
            .route
            .first()
            .or(parsed.domain.as_ref())
            .cloned()
            .unwrap_or_default();
        let channel = self.site().program.rules.channel_of(&host).map(str::to_string);
        if channel.is_none() {
            self.note(|| format!("forward: no channel has the host {host}; `$D` would rewrite {address}"));
            let text = format!("unknown host or domain: {submitted}");
            return Err(Reply::new(550, (5, 1, 2), text));
        }
        Ok(Rewritten {
            address: address.to_string(),
            host,
            channel,
            ..Rewritten::default()
        })
    }

    /// Rewrites a forward address to a channel.
    async fn route(&mut self, address: &str, submitted: &str) -> Result<Rewritten, Reply> {
        let request = self.request(address, true);
        let rewritten = self.evaluator.rewrite(request).await.map_err(|_| no_verdict())?;
        self.drain();
        match &rewritten.error {
            None => Ok(rewritten),
            Some(error) => {
                let code = match error.status.as_bytes().first() {
                    Some(b'4') => 450,
                    _ => 550,
                };
                self.note(|| format!("address refused: {error}"));
                Err(Reply::new(
                    code,
                    enhanced(&error.status),
                    format!("{}: {submitted}", error.text),
                ))
            }
        }
    }

    /// The SEND and MAIL tables, before alias expansion (`original`) or after it.
    async fn access(
        &mut self,
        rcpt: &Rcpt,
        channel: &str,
        to: &str,
        original: bool,
        marks: &mut Marks,
    ) -> Result<(), Reply> {
        let site = Arc::clone(self.site());
        let session = self.facts.clone();
        let Some(transaction) = &self.transaction else {
            return Err(Reply::local_trouble());
        };
        let from = transaction.envelope.from.clone();
        let mut tags = transaction.envelope.tags.clone();
        let (presented, valid) = (transaction.presented, transaction.valid);
        let reply = self.reply_facts(&rcpt.to, &site);
        for mail in [false, true] {
            tags.extend(marks.tags.iter().cloned());
            let recipient = RecipientFacts {
                from: &from,
                channel,
                to,
                orcpt: rcpt.orcpt.as_deref(),
                submitted: &rcpt.to,
                notify: rcpt.notify,
                rcpt_count: presented,
                total_recipients: valid,
                tags: &tags,
            };
            let (session, recipient) = (&session, &recipient);
            let decision = match (original, mail) {
                (true, false) => self.consult(&OrigSendAccess { session, recipient }, &reply).await,
                (true, true) => self.consult(&OrigMailAccess { session, recipient }, &reply).await,
                (false, false) => self.consult(&SendAccess { session, recipient }, &reply).await,
                (false, true) => self.consult(&MailAccess { session, recipient }, &reply).await,
            };
            let decision = decision.map_err(|_| no_verdict())?;
            self.apply_common(&decision);
            if !decision.accepted {
                return Err(refusal(&decision));
            }
            if let Some(check) = &decision.effects.group_check
                && !in_group(check)
            {
                return Err(Reply::new(
                    550,
                    (5, 7, 1),
                    format!("you are not allowed to send to this address: {}", rcpt.to),
                ));
            }
            marks.add(&decision.effects);
            if let Some(transaction) = &mut self.transaction {
                transaction.discard |= decision.effects.discard_all || decision.effects.jettison_all;
            }
        }
        Ok(())
    }

    fn needs_alias(&self, channel: &str) -> bool {
        let site = self.site();
        site.channels.first().is_some_and(|c| c.name == channel)
            || site.channel(channel).is_some_and(|c| c.settings.alias_local)
    }

    /// What a local address stands for: the directory, then the alias file.
    async fn expand(
        &mut self,
        rcpt: &Rcpt,
        rewritten: &Rewritten,
        seen: &mut HashSet<String>,
    ) -> Result<Expansion, Reply> {
        let channel = rewritten.channel.as_deref().unwrap_or("");
        if !self.needs_alias(channel) {
            return Ok(Expansion::Final);
        }
        let site = Arc::clone(self.site());
        let key = rewritten.address.to_lowercase();
        if !seen.insert(key) {
            let address = &rewritten.address;
            self.note(|| format!("alias {address} stands for itself: not expanded again"));
            return Ok(Expansion::More(Vec::new()));
        }
        let ask = Ask::Read(Read::Alias {
            address: rewritten.address.clone(),
        });
        match self.evaluator.callouts().perform(&[ask], &site).await.pop() {
            Some(Answer::Found(members)) => {
                let members: Vec<String> = members.lines().map(str::to_string).collect();
                let address = &rewritten.address;
                self.note(|| format!("directory: {address} is {}", members.join(", ")));
                return Ok(Expansion::More(members));
            }
            Some(Answer::Temporary(why)) => {
                self.note(|| format!("directory: {why}"));
                let text = format!("the mailbox takes no mail for now: {}", rcpt.to);
                return Err(Reply::new(452, INACTIVE, text));
            }
            _ => {}
        }
        let Ok(address) = Address::parse(&rewritten.address) else {
            return Err(unknown_alias(&rcpt.to));
        };
        let domains = site.options.number("ALIAS_DOMAINS", ALIAS_DOMAINS);
        let local = site.channels.first().is_some_and(|c| c.name == channel);
        let subaddress = site
            .channel(channel)
            .map(|c| c.settings.subaddress)
            .unwrap_or_default();
        if let Some(found) = site.aliases.find(&address, domains, local, subaddress) {
            let place = site.sources.place(found.span).to_string();
            self.note(|| format!("alias {} is {} [{place}]", found.form, found.members.join(", ")));
            return Ok(Expansion::More(found.members));
        }
        // a tool without users cannot tell who is unknown
        if self.users_unknown {
            let name = &rewritten.address;
            self.note(|| format!("no alias {name}; users are not known here, so it is taken as it is"));
            return Ok(Expansion::Final);
        }
        Ok(Expansion::Unknown)
    }

    /// The recipient as the queue will have it.
    fn accept(
        &mut self,
        rcpt: &Rcpt,
        to: &Rewritten,
        intermediate: &str,
        marks: Marks,
    ) -> Result<Accepted, Reply> {
        let submitted = rcpt.to.as_str();
        let site = Arc::clone(self.site());
        let mut channel = to.channel.clone().unwrap_or_default();
        let address = to.address.clone();
        if let Some(uid) = crate::queue::mailbox(&site, &channel, &address)
            && !self.users_unknown
            && let Some(directory) = self.evaluator.callouts().directory()
            && directory.by_uid(&uid).is_none()
        {
            return Err(unknown_alias(submitted));
        }
        if !self.lenient && !crate::queue::can_deliver(&site, &channel) {
            return Err(Reply::new(
                550,
                (5, 3, 5),
                format!("channel {channel} delivers nothing here: {submitted}"),
            ));
        }
        if marks.bitbucket {
            channel = crate::queue::BITBUCKET.to_string();
        }
        let host = crate::queue::host_of(&site, &channel, &address, &to.host);
        let recipient = Recipient {
            intermediate: intermediate.to_string(),
            ..self.recipient_of(rcpt, address)
        };
        if let Some(transaction) = &mut self.transaction {
            for tag in &marks.tags {
                if !transaction.envelope.tags.contains(tag) {
                    transaction.envelope.tags.push(tag.clone());
                }
            }
        }
        self.note(|| format!("accepted: {} by channel {channel}", recipient.address));
        Ok(Accepted {
            recipient,
            channel,
            host,
            hold: marks.hold,
            headers: marks.headers,
            subject_tag: marks.subject_tag,
            ..Accepted::default()
        })
    }
}

enum Expansion {
    /// The address is one that mail is delivered to.
    Final,
    /// It stands for these.
    More(Vec<String>),
    /// It is local, and nobody.
    Unknown,
}

/// What comes next for an address.
enum Next {
    /// Others take its place.
    More {
        /// The others, and what FORWARD said of them.
        forwarded: Forwarded,
        /// Why the address itself is not taken, where FORWARD keeps it.
        refusal: Option<Reply>,
    },
    /// It is one that mail is delivered to.
    Final {
        /// FORWARD holds it.
        hold: bool,
    },
}

fn unknown_alias(submitted: &str) -> Reply {
    Reply::new(550, (5, 1, 1), format!("unknown or illegal alias: {submitted}"))
}

/// Mail that this server sends anew: notifications, and what `process` and `reprocess` readdress.
impl Decider {
    /// Decides on `address` as that of a recipient of a message that is queued already. The result is added to
    /// the transaction.
    pub async fn recipient_again(&mut self, recipient: &Recipient, address: &str) -> Result<(), Reply> {
        if self.transaction.is_none() {
            self.transaction = Some(super::Transaction::default());
        }
        let rcpt = Rcpt {
            to: address.to_string(),
            notify: recipient.notify,
            orcpt: Some(recipient.original.clone()),
            other: Vec::new(),
        };
        let reply = self.rcpt(&rcpt).await;
        if reply.is_positive() { Ok(()) } else { Err(reply) }
    }
}
