//! The message of a transaction: taken in, filtered, queued.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use jiff::Zoned;
use store::envelope::{Failure, Recipient};
use store::spool::SpoolError;

use super::Session;
use crate::afterwards::follow_up;
use crate::explain::RECORDS;
use crate::filter::{self, Filtered};
use crate::queue::notify::refuse;
use crate::server::now;
use crate::smtp::protocol::Reply;
use crate::smtp::wire::BodyCounts;
use crate::transaction::{
    Collector, Enqueue, HeaderFacts, Transaction, enqueue, missing_recipients, smallest_limit,
};

impl Session {
    pub(super) fn data(&mut self, chunking: bool) -> Reply {
        let host = self.decider.site().host().to_string();
        let site = Arc::clone(self.decider.site());
        let Some(transaction) = &mut self.decider.transaction else {
            return Reply::local_trouble();
        };
        if transaction
            .recipient_cutoff
            .is_some_and(|cutoff| transaction.presented > cutoff)
        {
            return Reply::new(
                451,
                (4, 4, 5),
                "Error ending envelope - too many recipients presented",
            );
        }
        if chunking {
            transaction.envelope.modifiers.push('C');
        }
        let one = match transaction.recipients.as_slice() {
            [one] => one.recipient.original.strip_prefix("rfc822;").map(str::to_string),
            _ => None,
        };
        let facts = &self.decider.facts;
        let protocol = match (facts.esmtp, facts.tls.is_some(), facts.auth_user.is_some()) {
            (false, ..) => "SMTP",
            (_, false, false) => "ESMTP",
            (_, true, false) => "ESMTPS",
            (_, false, true) => "ESMTPA",
            (_, true, true) => "ESMTPSA",
        };
        let header = HeaderFacts {
            id_domain: site.options.text("ID_DOMAIN", &host).to_string(),
            host,
            helo: facts.helo.clone(),
            client: facts.client.map(|(ip, _)| ip.to_string()).unwrap_or_default(),
            protocol: protocol.into(),
            tls: facts.tls.clone().unwrap_or_default(),
            id: self.transaction_id.clone(),
            recipient: one,
        };
        self.collector = Some(Collector::new(
            Arc::clone(&self.server.spool),
            header,
            Zoned::now(),
        ));
        Reply::start_mail()
    }

    pub(super) async fn message(&mut self, counts: BodyCounts) -> Reply {
        self.decider
            .say(|| format!("C: (message of {} octets)", counts.octets));
        let (Some(collector), Some(mut transaction)) =
            (self.collector.take(), self.decider.transaction.take())
        else {
            return Reply::local_trouble();
        };
        let reply = self.take_message(collector, &mut transaction, counts).await;
        if !reply.is_positive() {
            self.log_message_refused(&transaction, &reply);
        }
        reply
    }

    async fn take_message(
        &mut self,
        collector: Collector,
        transaction: &mut Transaction,
        counts: BodyCounts,
    ) -> Reply {
        let collected = match collector.finish().await {
            Ok(Ok(collected)) => collected,
            Ok(Err(too_large)) => return Reply::new(552, (5, 3, 4), too_large.to_string()),
            Err(error) => return self.not_queued(error),
        };
        if let Some(limit) = self
            .destination_limit(transaction)
            .filter(|limit| collected.size() > *limit)
        {
            return Reply::new(
                552,
                (5, 3, 4),
                format!("a destination takes no message over {} kilobytes", limit / 1024),
            );
        }
        let field = match missing_recipients(self.decider.site(), transaction, collected.header()) {
            Ok(field) => field,
            Err(reply) => return reply,
        };
        let whole = collected.whole(&self.server.spool);
        let filtered = match self.filter(transaction, collected.size(), whole).await {
            Ok(filtered) => filtered,
            Err(reply) => return reply,
        };
        self.decider
            .rewrite_headers(transaction, collected.header(), field.as_deref())
            .await;
        if let Err(error) = self
            .tell_of_refused(transaction, &filtered, collected.returnable())
            .await
        {
            return self.not_queued(error);
        }
        let site = Arc::clone(self.decider.site());
        let to = Enqueue {
            spool: &*self.server.spool,
            site: &site,
            now: now(),
        };
        let queued = match enqueue(to, transaction, collected, counts.eight_bit).await {
            Ok(queued) => queued,
            Err(error) => return self.not_queued(error),
        };
        self.server.counters.accepted.fetch_add(1, Ordering::Relaxed);
        self.server.queued(&queued, &transaction.envelope.source_channel);
        let room = RECORDS.saturating_sub(self.entries.len());
        self.entries.extend(queued.entries.iter().take(room));
        follow_up(&self.server, &site, filtered).await;
        Reply::message_ok(&self.transaction_id, self.decider.site().host())
    }

    /// The smallest `blocklimit` of the channels that the message goes to, in octets.
    fn destination_limit(&self, transaction: &Transaction) -> Option<u64> {
        let site = self.decider.site();
        let limits = transaction
            .recipients
            .iter()
            .map(|a| site.channel(&a.channel)?.settings.block_limit);
        smallest_limit(site, limits)
    }

    fn not_queued(&self, error: SpoolError) -> Reply {
        self.server.counters.queue_errors.fetch_add(1, Ordering::Relaxed);
        crate::complain!("a message could not be queued: {error}");
        match error {
            SpoolError::Full => Reply::new(452, (4, 3, 1), "the queue is full, try again later"),
            _ => Reply::new(
                452,
                (4, 3, 0),
                "the message cannot be queued now, try again later",
            ),
        }
    }

    /// Sieve: changes the recipients; refuses the message where all scripts refuse it.
    async fn filter(
        &mut self,
        transaction: &mut Transaction,
        size: u64,
        whole: impl Future<Output = Result<Arc<[u8]>, SpoolError>>,
    ) -> Result<Filtered, Reply> {
        let scripts = &self.configuration.scripts;
        let site = self.decider.site();
        if !filter::applies(site, scripts, &self.server.user_scripts, transaction) {
            return Ok(Filtered::default());
        }
        if size > filter::MESSAGE_LIMIT {
            self.decider.not_filtered(size, &transaction.envelope.from);
            return Ok(Filtered::default());
        }
        let raw = whole.await.map_err(|error| self.not_queued(error))?;
        let before = transaction.recipients.clone();
        let filtered = self
            .decider
            .filter(
                &self.configuration.scripts,
                &self.server.user_scripts,
                transaction,
                raw,
            )
            .await;
        if filtered.too_much {
            transaction.recipients = before;
            let text = "too many recipients whose scripts change the text, send to fewer at once";
            return Err(Reply::new(452, (4, 5, 3), text));
        }
        match filtered.refused.first() {
            Some((_, reason)) if transaction.recipients.is_empty() => {
                let reply = Reply::refused_by_script(reason);
                // they are refused as they stand
                transaction.recipients = filtered
                    .refused
                    .into_iter()
                    .map(|(accepted, _)| accepted)
                    .collect();
                Err(reply)
            }
            _ => Ok(filtered),
        }
    }

    /// Sends mail about recipients that are refused while others get the message. Before the 250: the sender
    /// takes that as the end of its worries.
    async fn tell_of_refused(
        &mut self,
        transaction: &Transaction,
        filtered: &Filtered,
        returned: (Bytes, u32),
    ) -> Result<(), SpoolError> {
        let by_script = filtered.refused.iter().map(|(accepted, reason)| {
            let noted = accepted.noted.filter.clone();
            (
                accepted.recipient.clone(),
                Reply::refused_by_script(reason),
                noted,
            )
        });
        let others = transaction.refused.iter().cloned();
        let refused: Vec<(Recipient, Reply, String)> = others
            .map(|(recipient, reply)| (recipient, reply, String::new()))
            .chain(by_script)
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        let site = Arc::clone(self.decider.site());
        let told = refused
            .iter()
            .map(|(r, reply, _)| (r.clone(), Failure::from(reply)))
            .collect();
        refuse(&self.server, &site, transaction, returned, told).await?;
        for (recipient, reply, filter) in &refused {
            self.log_rejection(&transaction.envelope, recipient, reply, filter);
        }
        Ok(())
    }
}
