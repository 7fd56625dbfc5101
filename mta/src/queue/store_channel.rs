//! Delivery to the message store: for now a Maildir a user.

use std::sync::Arc;

use bytes::Bytes;
use policy::site::Site;
use store::disk::RealDisk;
use store::maildir::{Maildir, MaildirError};
use store::spool::Entry;

use super::outcome::Verdict;
use crate::directory::user::check_uid;
use crate::dsn::Kind;
use crate::server::Server;

/// Delivers to each pending recipient.
pub async fn deliver(
    server: &Arc<Server>,
    site: &Site,
    entry: &Arc<Entry>,
    content: &Bytes,
    pending: &[usize],
) -> Vec<Verdict> {
    let mut verdicts = Vec::with_capacity(pending.len());
    for &n in pending {
        let Some(recipient) = entry.recipients.get(n) else {
            continue;
        };
        let uid = super::mailbox(site, &entry.channel, &recipient.address).unwrap_or_default();
        if check_uid(&uid).is_err() {
            verdicts.push(Verdict::failed(
                "5.1.1",
                format!("no such mailbox: {}", recipient.address),
            ));
            continue;
        }
        let path = server.layout.store().join(&uid).join("Maildir");
        let return_path = format!("Return-Path: <{}>\r\n", entry.envelope.from);
        let content = content.clone();
        let key = format!("{}.{n}", entry.id.0);
        let (folder, flags) = (recipient.folder.clone(), recipient.flags.clone());
        // files and their syncs are not for the runtime's threads
        let done = tokio::task::spawn_blocking(move || {
            let parts = [return_path.as_bytes(), &*content];
            Maildir::open(Arc::new(RealDisk), &path)?.deliver(&key, &parts, folder.as_deref(), &flags)
        })
        .await;
        verdicts.push(match done {
            Ok(Ok(_)) => Verdict::delivered(Some(Kind::Delivered)),
            Ok(Err(MaildirError::Full(_))) => {
                Verdict::deferred("4.3.1", "the message store's disk is full".into())
            }
            Ok(Err(error)) if is_refusal(&error) => Verdict::failed("5.2.0", error.to_string()),
            Ok(Err(error)) => Verdict::deferred("4.2.0", error.to_string()),
            Err(error) => Verdict::deferred("4.3.0", error.to_string()),
        });
    }
    verdicts
}

/// Whether a later attempt can do no better.
fn is_refusal(error: &MaildirError) -> bool {
    matches!(error, MaildirError::Folder { .. })
}
