//! One RCPT TO: rewriting, access, alias expansion.

use std::sync::Arc;

use policy::address::Address;
use policy::alias::ALIAS_DOMAINS;
use policy::rewrite::Rewritten;
use policy::{Answer, Ask, Read};
use store::envelope::Recipient;

use super::{Accepted, Decider, enhanced, in_group, no_verdict, refusal, split_tags};
use crate::access::{Effects, MailAccess, OrigMailAccess, OrigSendAccess, RecipientFacts, SendAccess};
use crate::smtp::command::Rcpt;
use crate::smtp::protocol::Reply;

/// Most addresses that one RCPT may expand to.
const EXPANSION_LIMIT: usize = 10_000;

/// An address that is still to be expanded.
struct Pending {
    address: String,
    level: i64,
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
            return Reply::new(501, (5, 1, 3), format!("{why}: {submitted}"));
        }
        match self.recipient(rcpt).await {
            Ok(accepted) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.valid += 1;
                    for one in accepted {
                        let same = |a: &Accepted| {
                            a.channel == one.channel
                                && a.recipient.address.eq_ignore_ascii_case(&one.recipient.address)
                        };
                        if !transaction.recipients.iter().any(same) {
                            transaction.recipients.push(one);
                        }
                    }
                }
                Reply::recipient_ok(&submitted)
            }
            Err(reply) => reply,
        }
    }

    async fn recipient(&mut self, rcpt: &Rcpt) -> Result<Vec<Accepted>, Reply> {
        let submitted = rcpt.to.as_str();
        let first = self.route(submitted, submitted).await?;
        let channel = first.channel.clone().unwrap_or_default();
        let mut marks = Marks::default();
        self.access(rcpt, &channel, &first.address, true, &mut marks)
            .await?;
        if !self.needs_alias(&channel) {
            self.access(rcpt, &channel, &first.address, false, &mut marks)
                .await?;
            return self.accept(rcpt, &first, submitted, marks).map(|a| vec![a]);
        }
        let mut accepted = Vec::new();
        let mut refused = None;
        let mut seen: Vec<String> = Vec::new();
        let mut pending = vec![(
            Pending {
                address: first.address.clone(),
                level: 0,
            },
            first,
        )];
        while let Some((item, rewritten)) = pending.pop() {
            match self.expand(rcpt, &item, &rewritten, &mut seen).await {
                Ok(Expansion::More(members)) => {
                    for member in members.into_iter().rev() {
                        match self.route(&member, submitted).await {
                            Ok(rewritten) => pending.push((
                                Pending {
                                    address: rewritten.address.clone(),
                                    level: item.level + 1,
                                },
                                rewritten,
                            )),
                            Err(reply) => refused = Some(reply),
                        }
                    }
                    if pending.len() + accepted.len() > EXPANSION_LIMIT {
                        return Err(Reply::new(
                            452,
                            (4, 2, 4),
                            format!("list expands to too many addresses: {submitted}"),
                        ));
                    }
                }
                Ok(Expansion::Final) => {
                    let mut marks = marks.clone();
                    let channel = rewritten.channel.clone().unwrap_or_default();
                    let verdict = self
                        .access(rcpt, &channel, &rewritten.address, false, &mut marks)
                        .await;
                    match verdict.and_then(|()| self.accept(rcpt, &rewritten, submitted, marks)) {
                        Ok(one) => accepted.push(one),
                        Err(reply) => refused = Some(reply),
                    }
                }
                Err(reply) => refused = Some(reply),
            }
        }
        match (accepted.is_empty(), refused) {
            (true, Some(reply)) => Err(reply),
            (true, None) => Err(unknown_alias(submitted)),
            (false, _) => Ok(accepted),
        }
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
        item: &Pending,
        rewritten: &Rewritten,
        seen: &mut Vec<String>,
    ) -> Result<Expansion, Reply> {
        let channel = rewritten.channel.as_deref().unwrap_or("");
        if !self.needs_alias(channel) {
            return Ok(Expansion::Final);
        }
        let site = Arc::clone(self.site());
        let key = item.address.to_lowercase();
        if seen.contains(&key) {
            let address = &item.address;
            self.note(|| format!("alias {address} stands for itself: not expanded again"));
            return Ok(Expansion::More(Vec::new()));
        }
        seen.push(key);
        if item.level > site.options.number("MAX_ALIAS_LEVELS", 10) {
            return Err(Reply::new(
                550,
                (5, 4, 6),
                format!("aliases are nested too deeply: {}", rcpt.to),
            ));
        }
        let ask = Ask::Read(Read::Alias {
            address: item.address.clone(),
        });
        match self.evaluator.callouts().perform(&[ask], &site).await.pop() {
            Some(Answer::Found(members)) => {
                let members: Vec<String> = members.lines().map(str::to_string).collect();
                let address = &item.address;
                self.note(|| format!("directory: {address} is {}", members.join(", ")));
                return Ok(Expansion::More(members));
            }
            Some(Answer::Temporary(why)) => {
                self.note(|| format!("directory: {why}"));
                return Err(Reply::new(
                    452,
                    (4, 3, 0),
                    format!("the directory cannot be asked now: {}", rcpt.to),
                ));
            }
            _ => {}
        }
        let Ok(address) = Address::parse(&item.address) else {
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
        let name = &item.address;
        self.note(|| format!("no alias and no user {name}"));
        Err(unknown_alias(&rcpt.to))
    }

    /// The recipient as the queue will have it.
    fn accept(
        &mut self,
        rcpt: &Rcpt,
        to: &Rewritten,
        submitted: &str,
        marks: Marks,
    ) -> Result<Accepted, Reply> {
        let site = Arc::clone(self.site());
        let mut channel = to.channel.clone().unwrap_or_default();
        let address = to.address.clone();
        if channel == crate::queue::STORE
            && let Some(directory) = self.evaluator.callouts().directory()
        {
            let uid = address.split('@').next().unwrap_or("");
            let uid = uid.split('+').next().unwrap_or(uid);
            if directory.by_uid(uid).is_none() {
                return Err(unknown_alias(submitted));
            }
        }
        if !crate::queue::can_deliver(&site, &channel) {
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
        let original = rcpt
            .orcpt
            .clone()
            .unwrap_or_else(|| format!("rfc822;{submitted}"));
        let recipient = Recipient {
            intermediate: submitted.to_string(),
            address,
            original,
            notify: rcpt.notify,
            ..Recipient::default()
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
            header: None,
        })
    }
}

enum Expansion {
    /// The address is one that mail is delivered to.
    Final,
    /// It stands for these.
    More(Vec<String>),
}

fn unknown_alias(submitted: &str) -> Reply {
    Reply::new(550, (5, 1, 1), format!("unknown or illegal alias: {submitted}"))
}

/// Mail that this server sends anew: notifications, and what `process` and `reprocess` readdress.
impl Decider {
    /// Decides on a recipient of a message that is queued already. The result is added to the transaction.
    pub async fn recipient_again(&mut self, recipient: &Recipient) -> Result<(), Reply> {
        if self.transaction.is_none() {
            self.transaction = Some(super::Transaction::default());
        }
        let rcpt = Rcpt {
            to: recipient.address.clone(),
            notify: recipient.notify,
            orcpt: Some(recipient.original.clone()),
            other: Vec::new(),
        };
        let reply = self.rcpt(&rcpt).await;
        if reply.is_positive() { Ok(()) } else { Err(reply) }
    }

    /// Where the rules lead an address; `None` where nowhere.
    pub async fn where_to(&mut self, address: &str) -> Option<Rewritten> {
        self.route(address, address).await.ok()
    }
}
