//! What an operator does to an entry: hold, delete, return. Releasing is the scheduler's.

use std::sync::Arc;

use store::envelope::{Failure, Recipient};
use store::spool::{Change, Entry, SpoolError};

use super::notify::{Report, notify};
use super::outcome::pending;
use super::schedule::Schedule;
use crate::dsn::{Kind, who_is_told};
use crate::journal::Said;
use crate::log::record::Action;
use crate::server::{Server, now};

/// Puts an entry on hold, until it is released.
pub async fn hold(server: &Server, entry: &Entry) -> Result<(), SpoolError> {
    let change = Change {
        held: Some(true),
        ..Change::default()
    };
    server.spool.update(entry.id, change).await
}

/// Removes an entry without notice: `qm delete`. Logs K for each recipient.
pub async fn delete(server: &Server, entry: &Entry) -> Result<(), SpoolError> {
    server.spool.remove(entry.id).await?;
    log_return(
        server,
        entry,
        |_| Action::ReturnedSilently,
        "deleted by the operator",
    );
    Ok(())
}

/// Returns an entry to its sender: `qm return`. Logs R, or K where nobody is told.
pub async fn give_back(server: &Arc<Server>, entry: &Entry) -> Result<(), SpoolError> {
    let configuration = server.configuration.load_full();
    let content = server.spool.content(entry.id)?;
    let failure = Failure {
        status: "5.0.0".into(),
        diagnostic: "returned by the operator".into(),
        ..Failure::default()
    };
    let reports: Vec<Report> = pending(entry)
        .into_iter()
        .map(|n| (n, Kind::Returned, Some(failure.clone())))
        .collect();
    let schedule = Schedule::of(&configuration.site, entry);
    notify(
        server,
        &configuration.site,
        entry,
        &content,
        &reports,
        &schedule,
        now(),
    )
    .await?;
    server.spool.remove(entry.id).await?;
    let action = |r: &Recipient| match who_is_told(&entry.envelope, r, Kind::Returned).logged_as_killed {
        true => Action::ReturnedSilently,
        false => Action::Returned,
    };
    log_return(server, entry, action, "returned by the operator");
    Ok(())
}

fn log_return(server: &Server, entry: &Entry, action: impl Fn(&Recipient) -> Action, reason: &str) {
    for recipient in entry.pending() {
        let said = Said {
            source_channel: &entry.channel,
            file_name: &entry.file_name(),
            reason,
            diagnostic: reason,
            queue_time: Some((now() - entry.envelope.arrived).max(0) as u64),
            size: entry.size,
            ..Said::default()
        };
        server
            .journal
            .message(action(recipient), &entry.envelope, recipient, &said, Some(entry));
    }
}
