//! What follows an attempt: the entry is changed or removed, log entries are written, the sender is told.

use std::sync::Arc;

use bytes::Bytes;
use store::envelope::{Failure, Recipient, RecipientState, Time};
use store::spool::{Attempt, Change, Entry, SpoolError};

use super::notify::{Report, notify};
use super::schedule::Schedule;
use super::scheduler::HostQueue;
use crate::configuration::Configuration;
use crate::dsn::{Kind, who_is_told};
use crate::journal::Said;
use crate::log::record::Action;
use crate::server::{Server, now};

/// What became of a recipient.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Delivered, or handed on.
    Delivered {
        /// For the log.
        diagnostic: String,
        /// Host delivered to.
        remote: String,
        /// What a sender who asked for success is told now; `None`: who has it now will tell.
        report: Option<Kind>,
        /// By ESMTP.
        esmtp: bool,
    },
    /// Failed for good.
    Failed(Failure),
    /// Failed for good by policy.
    Refused {
        /// What the sender is told.
        failure: Failure,
        /// What the log says beside it.
        reason: String,
    },
    /// To be tried again.
    Deferred(Failure),
    /// The host could not be reached at all.
    Unreachable(Failure),
    /// Policy did not let it be tried: to be tried after `wait` seconds, and not counted as tried.
    PutOff {
        /// Why.
        failure: Failure,
        /// Seconds.
        wait: i64,
    },
}

impl Verdict {
    /// Delivered here; `report` is what a sender who asked for success is told.
    pub fn delivered(report: Option<Kind>) -> Self {
        Verdict::Delivered {
            diagnostic: String::new(),
            remote: String::new(),
            report,
            esmtp: false,
        }
    }

    /// Failed for good, here.
    pub fn failed(status: &str, diagnostic: String) -> Self {
        Verdict::Failed(Failure {
            status: status.into(),
            diagnostic,
            ..Failure::default()
        })
    }

    /// To be tried again, for a reason that lies here.
    pub fn deferred(status: &str, diagnostic: String) -> Self {
        Verdict::Deferred(Failure {
            status: status.into(),
            diagnostic,
            ..Failure::default()
        })
    }
}

/// Indexes of the recipients still to be delivered.
pub fn pending(entry: &Entry) -> Vec<usize> {
    let is = |r: &Recipient| r.state == RecipientState::Pending;
    entry
        .recipients
        .iter()
        .enumerate()
        .filter(|(_, r)| is(r))
        .map(|(n, _)| n)
        .collect()
}

/// A log entry to be written once the queue knows what it says.
struct Line {
    recipient: usize,
    action: Action,
    modifiers: &'static str,
    diagnostic: String,
    reason: String,
    remote: String,
}

/// What an attempt comes to.
struct Settlement<'a> {
    entry: &'a Entry,
    change: Change,
    reports: Vec<Report>,
    lines: Vec<Line>,
}

impl Settlement<'_> {
    fn line(&mut self, recipient: usize, action: Action, failure: &Failure, reason: &str) {
        self.lines.push(Line {
            recipient,
            action,
            modifiers: "",
            diagnostic: failure.diagnostic.clone(),
            reason: reason.to_string(),
            remote: failure.remote.clone(),
        });
    }

    fn failed(&mut self, n: usize, failure: Failure, kind: Kind, reason: &str) {
        let report = self
            .entry
            .recipients
            .get(n)
            .map(|r| who_is_told(&self.entry.envelope, r, kind));
        let action = match report.is_some_and(|r| r.logged_as_killed) {
            true => Action::ReturnedSilently,
            false => Action::Returned,
        };
        self.line(n, action, &failure, reason);
        let state = RecipientState::Failed(failure.clone());
        self.change.states.push((n as u32, state));
        self.reports.push((n, kind, Some(failure)));
    }

    /// Warns the senders of recipients that are still pending that they have to wait.
    fn warn(&mut self, pending: &[usize], due: u8, last: &Failure) {
        self.change.warnings = Some(due);
        for &n in pending {
            let Some(recipient) = self.entry.recipients.get(n) else {
                continue;
            };
            if self.change.states.iter().any(|s| s.0 == n as u32) {
                continue;
            }
            if who_is_told(&self.entry.envelope, recipient, Kind::Delayed).sender {
                let failure = Failure {
                    remote: String::new(),
                    ..last.clone()
                };
                self.line(n, Action::DelayWarning, &failure, "");
            }
            self.reports.push((n, Kind::Delayed, Some(last.clone())));
        }
    }

    /// Takes back what the sender could not be told: those recipients stay, and are tried and told of again.
    fn untold(&mut self) {
        self.change
            .states
            .retain(|(_, s)| *s == RecipientState::Delivered);
        self.change.warnings = None;
        self.lines.retain(|line| {
            !matches!(
                line.action,
                Action::Returned | Action::ReturnedSilently | Action::DelayWarning
            )
        });
    }
}

/// Settles an attempt; says when and where the entry comes back, if it does.
pub async fn settle(
    server: &Arc<Server>,
    configuration: &Arc<Configuration>,
    entry: &Arc<Entry>,
    content: &Bytes,
    pending: &[usize],
    verdicts: Vec<Verdict>,
) -> Option<(HostQueue, Time)> {
    let site = &configuration.site;
    let at = now();
    let schedule = Schedule::of(site, entry);
    let age = at - entry.envelope.arrived;
    let expired = age >= schedule.return_after;
    let some_done = verdicts.iter().any(|v| {
        matches!(
            v,
            Verdict::Delivered { .. } | Verdict::Failed(_) | Verdict::Refused { .. }
        )
    });
    let mut settlement = Settlement {
        entry,
        change: Change::default(),
        reports: Vec::new(),
        lines: Vec::new(),
    };
    let mut last_failure = None;
    let mut put_off = None;
    let mut verdicts = verdicts.into_iter();
    for &n in pending {
        // no verdict is no delivery
        let verdict = verdicts
            .next()
            .unwrap_or_else(|| Verdict::deferred("4.3.0", "the channel gave no result".into()));
        match verdict {
            Verdict::Delivered {
                diagnostic,
                remote,
                report,
                esmtp,
            } => {
                let state = RecipientState::Delivered;
                settlement.change.states.push((n as u32, state));
                settlement.lines.push(Line {
                    recipient: n,
                    action: Action::Dequeue,
                    modifiers: if esmtp { "E" } else { "" },
                    diagnostic,
                    reason: String::new(),
                    remote,
                });
                settlement.reports.extend(report.map(|kind| (n, kind, None)));
            }
            Verdict::Failed(failure) => settlement.failed(n, failure, Kind::Failed, ""),
            Verdict::Refused { failure, reason } => {
                settlement.failed(n, failure, Kind::Failed, &reason);
                // the log says why, whether or not it has a field for reasons; the sender is not told
                if let Some(line) = settlement.lines.last_mut() {
                    line.diagnostic = reason;
                }
            }
            Verdict::Deferred(failure) | Verdict::Unreachable(failure) | Verdict::PutOff { failure, .. }
                if expired =>
            {
                settlement.failed(n, failure, Kind::TimedOut, "message expired");
            }
            Verdict::Deferred(failure) | Verdict::Unreachable(failure) => {
                let action = match some_done {
                    true => Action::PartlyDone,
                    false => Action::TemporaryFailure,
                };
                settlement.line(n, action, &failure, "");
                last_failure = Some(failure);
            }
            Verdict::PutOff { failure, wait } => {
                settlement.line(n, Action::TemporaryFailure, &failure, "");
                put_off = Some((failure, wait));
            }
        }
    }
    if let Some(failure) = last_failure.as_ref().or(put_off.as_ref().map(|(f, _)| f)) {
        let due = schedule.warnings_due(age);
        if due > entry.warnings {
            settlement.warn(pending, due, failure);
        }
    }
    let wait = match (&last_failure, put_off) {
        (None, Some((_, wait))) => wait,
        _ => schedule.wait(entry.attempts),
    };
    settlement.change.attempt = last_failure.map(|failure| Attempt { at, failure });
    // A notification is durable before the recipient that it is about is forgotten.
    if let Err(error) = notify(server, site, entry, content, &settlement.reports, &schedule, at).await {
        let name = entry.file_name();
        crate::complain!("queue entry {name}: its sender cannot be told now: {error}; it is tried again");
        settlement.untold();
    }
    let Settlement {
        mut change, lines, ..
    } = settlement;
    let finished = change.states.len() == pending.len();
    change.next_attempt = (!finished).then(|| at.saturating_add(wait));
    // The queue is told before the log: what is logged as delivered is not delivered again.
    let again = record(server, entry, change, finished).await;
    for line in lines {
        let Some(recipient) = entry.recipients.get(line.recipient) else {
            continue;
        };
        let said = Said {
            source_channel: &entry.channel,
            file_name: &entry.file_name(),
            diagnostic: &line.diagnostic,
            reason: &line.reason,
            remote: &line.remote,
            queue_time: Some(age.max(0) as u64),
            size: entry.size,
            modifiers: line.modifiers,
            ..Said::default()
        };
        server
            .journal
            .message(line.action, &entry.envelope, recipient, &said, Some(entry));
    }
    again.map(|at| (HostQueue::from(&**entry), at))
}

/// Puts on stable storage what became of an entry; says when it comes back.
async fn record(server: &Server, entry: &Entry, change: Change, finished: bool) -> Option<Time> {
    let next = change.next_attempt;
    let delivered = !change.states.is_empty();
    let store = || async {
        match finished {
            true => server.spool.remove(entry.id).await,
            false => server.spool.update(entry.id, change.clone()).await,
        }
    };
    let mut done = store().await;
    if matches!(done, Err(SpoolError::Io(_))) {
        // the queue goes on in another file after a failed write
        done = store().await;
    }
    let Err(error) = done else { return next };
    let name = entry.file_name();
    if !delivered {
        crate::complain!("queue entry {name}: {error}");
        return next;
    }
    // tried again it would be delivered twice
    crate::complain!("queue entry {name}: {error}; it was delivered and is left alone until a restart");
    None
}
