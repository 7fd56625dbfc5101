//! Addressing an entry anew: the program of `process` and `reprocess`, and of entries whose channel is gone.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Zoned;
use policy::site::Site;
use store::envelope::{Failure, Recipient, Time};
use store::spool::{Entry, SpoolError};

use super::notify::refuse;
use super::outcome::{Verdict, pending, settle};
use super::scheduler::HostQueue;
use super::{PROCESS, Program, program, scripts};
use crate::afterwards::follow_up;
use crate::configuration::Configuration;
use crate::journal::Said;
use crate::log::record::Action;
use crate::server::Server;
use crate::smtp::protocol::Reply;
use crate::transaction::{Decider, HeaderFacts, OwnMessage, Transaction, received, unique_id};

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
    if let Err(error) = queue(server, configuration, entry, (decider, transaction), &content).await {
        let later = Verdict::deferred("4.3.1", error.to_string());
        verdicts = vec![later; pending.len()];
    }
    settle(server, configuration, entry, &content, &pending, verdicts).await
}

/// Lets the scripts decide on what was decided on, and queues it under the envelope that it came with.
async fn queue(
    server: &Arc<Server>,
    configuration: &Arc<Configuration>,
    entry: &Entry,
    (mut decider, mut transaction): (Decider, Transaction),
    content: &Bytes,
) -> Result<(), SpoolError> {
    let site = &configuration.site;
    transaction.envelope = (*entry.envelope).clone();
    transaction.envelope.source_channel = source_channel(site, entry).to_string();
    let header_len = entry.header_len().min(content.len());
    let others = std::mem::take(&mut transaction.refused).into_iter();
    let mut refused: Vec<(Recipient, Reply, String)> =
        others.map(|(r, reply)| (r, reply, String::new())).collect();
    let trace = trace(site, &transaction);
    let traced: Bytes = [trace.as_bytes(), content].concat().into();
    let mut filtered = scripts::run(server, configuration, &mut decider, &mut transaction, &traced).await;
    for (accepted, reason) in filtered.iter_mut().flat_map(|f| f.refused.drain(..)) {
        let noted = accepted.noted.filter;
        refused.push((accepted.recipient, Reply::refused_by_script(&reason), noted));
    }
    if !refused.is_empty() {
        let told = refused
            .iter()
            .map(|(r, reply, _)| (r.clone(), Failure::from(reply)))
            .collect();
        let message = (content.clone(), header_len as u32);
        refuse(server, site, &transaction, message, told).await?;
        log_refused(server, entry, &transaction, &refused);
    }
    if !transaction.recipients.is_empty() {
        let header_len = trace.len() + header_len;
        decider
            .rewrite_headers(&mut transaction, &traced[..header_len], None)
            .await;
        let message = OwnMessage {
            content: traced,
            header_len,
            message_id: entry.envelope.message_id.clone(),
            eight_bit: entry.envelope.eight_bit,
        };
        server.submit(site, transaction, message, &entry.channel).await?;
    }
    for one in filtered {
        follow_up(server, site, one).await;
    }
    Ok(())
}

/// The `Received:` line of a message that is addressed anew: who counts them sees how often that was.
fn trace(site: &Site, transaction: &Transaction) -> String {
    let recipient = match transaction.recipients.as_slice() {
        [one] => one.recipient.original.strip_prefix("rfc822;").map(str::to_string),
        _ => None,
    };
    let facts = HeaderFacts {
        host: site.host().to_string(),
        id: unique_id(),
        recipient,
        ..HeaderFacts::default()
    };
    received(&facts, &Zoned::now())
}

fn log_refused(
    server: &Server,
    entry: &Entry,
    transaction: &Transaction,
    refused: &[(Recipient, Reply, String)],
) {
    for (recipient, reply, filter) in refused {
        let said = Said {
            source_channel: &entry.channel,
            diagnostic: &reply.summary(),
            size: entry.size,
            filter,
            ..Said::default()
        };
        let action = Action::RejectedRecipient;
        server
            .journal
            .message(action, &transaction.envelope, recipient, &said, None);
    }
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
