//! Addressing an entry anew: the program of `process` and `reprocess`, and of entries whose channel is gone.

use std::sync::Arc;

use bytes::Bytes;
use policy::site::Site;
use store::envelope::{Failure, Time};
use store::spool::{Entry, SpoolError};

use super::notify::refuse;
use super::outcome::{Verdict, pending, settle};
use super::scheduler::HostQueue;
use super::{PROCESS, Program, program};
use crate::configuration::Configuration;
use crate::server::Server;
use crate::transaction::{Decider, OwnMessage, Transaction};

/// Addresses the recipients of an entry as mail that this server sends, and queues it to where the rules lead now.
pub(super) async fn readdress(
    server: &Arc<Server>,
    configuration: &Arc<Configuration>,
    entry: &Arc<Entry>,
    content: Bytes,
) -> Option<(HostQueue, Time)> {
    let site = &configuration.site;
    let pending = pending(entry);
    let source = source_channel(site, entry);
    let mut decider = server.decider_for(configuration, source, &entry.envelope);
    let mut verdicts = Vec::new();
    for &n in &pending {
        let Some(recipient) = entry.recipients.get(n) else {
            continue;
        };
        let before = decider.transaction.as_ref().map_or(0, |t| t.recipients.len());
        // on hold it has the address of its mailbox there
        let address = match program(site, &entry.channel) {
            Some(Program::Hold) => &recipient.intermediate,
            _ => &recipient.address,
        };
        verdicts.push(match decider.recipient_again(recipient, address).await {
            Ok(()) if comes_back(&mut decider, before, site) => Verdict::failed(
                "5.4.6",
                format!(
                    "routing loop: the rules lead {address} back to channel {}",
                    entry.channel
                ),
            ),
            Ok(()) => Verdict::delivered(None),
            Err(reply) if reply.code < 500 => Verdict::Deferred(Failure::from(&reply)),
            Err(reply) => Verdict::Failed(Failure::from(&reply)),
        });
    }
    let transaction = decider.transaction.take().unwrap_or_default();
    if let Err(error) = queue(server, site, entry, transaction, &content).await {
        let later = Verdict::deferred("4.3.1", error.to_string());
        verdicts = vec![later; pending.len()];
    }
    settle(server, configuration, entry, &content, &pending, verdicts).await
}

/// Queues what was decided on, under the envelope that it came with.
async fn queue(
    server: &Arc<Server>,
    site: &Arc<Site>,
    entry: &Entry,
    mut transaction: Transaction,
    content: &Bytes,
) -> Result<(), SpoolError> {
    transaction.envelope = (*entry.envelope).clone();
    transaction.envelope.source_channel = source_channel(site, entry).to_string();
    let header_len = entry.header_len().min(content.len());
    let refused = std::mem::take(&mut transaction.refused);
    if !refused.is_empty() {
        let refused = refused
            .into_iter()
            .map(|(r, reply)| (r, Failure::from(&reply)))
            .collect();
        let message = (content.clone(), header_len as u32);
        refuse(server, site, &transaction, message, refused).await?;
    }
    if transaction.recipients.is_empty() {
        return Ok(());
    }
    let message = OwnMessage {
        content: content.clone(),
        header_len,
        message_id: entry.envelope.message_id.clone(),
        eight_bit: entry.envelope.eight_bit,
    };
    server.submit(site, transaction, message, &entry.channel).await
}

/// The source channel of what is addressed anew: `process` is its own, and so is what a channel had that is gone;
/// any other presents that of the entry (queue specification 12.1).
fn source_channel<'a>(site: &'a Site, entry: &'a Entry) -> &'a str {
    let presented = &entry.envelope.source_channel;
    match site.channel(&entry.channel) {
        None => PROCESS,
        Some(own) if own.name.starts_with(PROCESS) || site.channel(presented).is_none() => &own.name,
        Some(_) => presented,
    }
}

/// Takes recipients from `first` on away where they lead to a channel that addresses anew: the same rules would
/// lead them there for ever. Says whether there were any.
fn comes_back(decider: &mut Decider, first: usize, site: &Site) -> bool {
    let Some(transaction) = &mut decider.transaction else {
        return false;
    };
    let mut added = transaction
        .recipients
        .split_off(first.min(transaction.recipients.len()));
    let all = added.len();
    added.retain(|accepted| program(site, &accepted.channel) != Some(Program::Process));
    let looped = added.len() < all;
    transaction.recipients.append(&mut added);
    looped
}
