//! MAIL FROM: rewriting, FROM_ACCESS, the limits of the transaction.

use std::sync::Arc;
use std::time::Duration;

use policy::address::Address;
use policy::channel::{Need, Settings};
use policy::rewrite::Rewritten;
use policy::site::Site;
use store::envelope::Envelope;

use super::refusal::{enhanced, no_verdict, refusal};
use super::{Decider, Transaction, split_tags};
use crate::access::{FromAccess, in_group};
use crate::smtp::command::{Mail, Ret};
use crate::smtp::protocol::Reply;

impl Decider {
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
}

/// Accepted RCPT commands of a transaction, where neither policy nor the channel says how many
/// (ALLOW_RECIPIENTS_PER_TRANSACTION).
pub const RECIPIENT_LIMIT: u32 = 128;

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

fn too_large(size: u64, limit: u64) -> Reply {
    let text = format!(
        "a message size of {} kilobytes exceeds the size limit of {} kilobytes computed for this transaction",
        size.div_ceil(1024),
        limit / 1024
    );
    Reply::new(552, (5, 3, 4), text)
}
