//! The Sieve scripts of those whom mail is addressed anew to: they run as for mail of a session.
//!
//! Guarantees: no loop. A copy that a script redirects bears the name of its owner ([`MARK`]); who is named there
//! already redirects no further copy of that message: it stays with the owner. So a message runs through a script
//! at most twice, however scripts point at each other.

use std::sync::Arc;

use bytes::Bytes;
use policy::message::{HeaderView, Message};
use policy::site::Site;

use super::{PROCESS, mailbox};
use crate::configuration::Configuration;
use crate::filter::{self, Filtered};
use crate::server::Server;
use crate::transaction::{Accepted, Decider, Transaction};

/// The header field that names whose script redirected a message.
const MARK: &str = "X-Sieve-Redirected-From";

/// Runs the scripts of the recipients of a transaction; its recipients are afterwards what they decided.
pub(super) async fn run(
    server: &Server,
    configuration: &Configuration,
    decider: &mut Decider,
    transaction: &mut Transaction,
    content: &Bytes,
) -> Vec<Filtered> {
    let (site, scripts) = (&configuration.site, &configuration.scripts);
    if !filter::applies(site, scripts, &server.user_scripts, transaction) {
        return Vec::new();
    }
    if content.len() as u64 > filter::MESSAGE_LIMIT {
        decider.not_filtered(content.len() as u64, &transaction.envelope.from);
        return Vec::new();
    }
    let raw: Arc<[u8]> = Arc::from(&content[..]);
    let marked = redirectors(&raw);
    let mut decided = Vec::new();
    let mut done = Vec::new();
    for accepted in std::mem::take(&mut transaction.recipients) {
        transaction.recipients.push(accepted.clone());
        let filtered = decider
            .filter(scripts, &server.user_scripts, transaction, Arc::clone(&raw))
            .await;
        let copies = std::mem::take(&mut transaction.recipients);
        if filtered.too_much {
            crate::notice::send(&format!(
                "Sieve for {}: the scripts make too much of the message, it is kept",
                accepted.recipient.address
            ));
            decided.push(accepted);
            continue;
        }
        let refused = !filtered.refused.is_empty();
        decided.extend(without_loops(site, accepted, copies, refused, &marked));
        done.push(filtered);
    }
    transaction.recipients = decided;
    done
}

/// Whose scripts have redirected a message before.
fn redirectors(raw: &Arc<[u8]>) -> Vec<String> {
    HeaderView::message(&Arc::new(Message::new(Arc::clone(raw))), None)
        .values(MARK)
        .iter()
        .map(|value| value.unfolded().trim().to_ascii_lowercase())
        .collect()
}

/// Marks the copies that a recipient's scripts redirect; takes them back where they have redirected it before.
fn without_loops(
    site: &Site,
    accepted: Accepted,
    mut copies: Vec<Accepted>,
    refused: bool,
    marked: &[String],
) -> Vec<Accepted> {
    let owner = match mailbox(site, &accepted.channel, &accepted.recipient.address) {
        Some(uid) => format!("{uid}@{}", site.host()),
        None => accepted.recipient.address.clone(),
    }
    .to_ascii_lowercase();
    let again = marked.contains(&owner);
    copies.retain(|copy| !again || copy.channel != PROCESS);
    if copies.is_empty() && !refused {
        // it is delivered where it would have gone without a script
        return vec![accepted];
    }
    for copy in copies.iter_mut().filter(|copy| copy.channel == PROCESS) {
        copy.headers.push(format!("{MARK}: {owner}"));
    }
    copies
}
