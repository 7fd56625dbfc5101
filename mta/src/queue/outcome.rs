//! What follows an attempt: the entry is changed or removed, log entries are written, the sender is told.

use std::sync::Arc;

use bytes::Bytes;
use policy::site::Site;
use store::envelope::{Failure, Recipient, RecipientState, Time};
use store::spool::{Attempt, Change, Entry};

use super::scheduler::HostQueue;
use super::{BITBUCKET, PROCESS, Program, host_of, program};
use crate::configuration::Configuration;
use crate::dsn::template::{Ages, Templates, Words};
use crate::dsn::{CONTENT_LIMIT, Kind, Notification, Reported, who_is_told};
use crate::journal::Said;
use crate::log::record::Action;
use crate::server::{Server, now};
use crate::transaction::{Accepted, Collected, Enqueue, Transaction, enqueue, unique_id};

/// Seconds before a retry where no keyword says otherwise, by priority class (queue specification 5.2).
const BACKOFF: [&[u64]; 3] = [
    &[1800, 3600, 3600, 7200, 7200, 7200, 14_400],
    &[3600, 7200, 7200, 14_400, 14_400, 14_400, 28_800],
    &[7200, 14_400, 14_400, 28_800, 28_800, 28_800, 57_600],
];

/// Ages where no keyword says otherwise (queue specification 5.4).
const NOTICES: &[u32] = &[3, 6, 9, 12];

/// What became of a recipient.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Delivered, or handed on.
    Delivered {
        /// For the log.
        diagnostic: String,
        /// Host delivered to.
        remote: String,
        /// The next hop does not speak DSN: a success asked for is reported here as `relayed`.
        relayed: bool,
        /// By ESMTP.
        esmtp: bool,
    },
    /// Failed for good.
    Failed(Failure),
    /// To be tried again.
    Deferred(Failure),
    /// The host could not be reached at all.
    Unreachable(Failure),
}

impl Verdict {
    /// Delivered here.
    pub fn delivered(diagnostic: &str) -> Self {
        Verdict::Delivered {
            diagnostic: diagnostic.into(),
            remote: String::new(),
            relayed: false,
            esmtp: false,
        }
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
    let expired = at - entry.envelope.arrived >= schedule.return_after;
    let mut change = Change::default();
    let mut reports: Vec<(usize, Kind, Option<Failure>)> = Vec::new();
    let mut last_failure = None;
    let mut left = 0;
    let some_done = verdicts
        .iter()
        .any(|v| matches!(v, Verdict::Delivered { .. } | Verdict::Failed(_)));
    // The queue is told before the log and the sender: what is logged as delivered is not delivered again.
    let mut lines: Vec<(usize, Action, String, String, String, String)> = Vec::new();
    for (&n, verdict) in pending.iter().zip(verdicts) {
        let Some(recipient) = entry.recipients.get(n) else {
            continue;
        };
        match verdict {
            Verdict::Delivered {
                diagnostic,
                remote,
                relayed,
                esmtp,
            } => {
                change.states.push((n as u32, RecipientState::Delivered));
                let letters = if esmtp { "E" } else { "" };
                lines.push((
                    n,
                    Action::Dequeue,
                    letters.into(),
                    diagnostic,
                    String::new(),
                    remote,
                ));
                if recipient.notify.success && entry.channel != BITBUCKET {
                    if !esmtp {
                        reports.push((n, Kind::Delivered, None));
                    } else if relayed {
                        reports.push((n, Kind::Relayed, None));
                    }
                }
            }
            Verdict::Failed(failure) => {
                let report = who_is_told(&entry.envelope, recipient, Kind::Failed);
                let action = if report.logged_as_killed {
                    Action::ReturnedSilently
                } else {
                    Action::Returned
                };
                let (diagnostic, remote) = (failure.diagnostic.clone(), failure.remote.clone());
                lines.push((n, action, String::new(), diagnostic.clone(), diagnostic, remote));
                change
                    .states
                    .push((n as u32, RecipientState::Failed(failure.clone())));
                reports.push((n, Kind::Failed, Some(failure)));
            }
            Verdict::Deferred(failure) | Verdict::Unreachable(failure) if expired => {
                let report = who_is_told(&entry.envelope, recipient, Kind::TimedOut);
                let action = if report.logged_as_killed {
                    Action::ReturnedSilently
                } else {
                    Action::Returned
                };
                let (diagnostic, remote) = (failure.diagnostic.clone(), failure.remote.clone());
                lines.push((
                    n,
                    action,
                    String::new(),
                    diagnostic,
                    "message expired".into(),
                    remote,
                ));
                change
                    .states
                    .push((n as u32, RecipientState::Failed(failure.clone())));
                reports.push((n, Kind::TimedOut, Some(failure)));
            }
            Verdict::Deferred(failure) | Verdict::Unreachable(failure) => {
                left += 1;
                let action = if some_done {
                    Action::PartlyDone
                } else {
                    Action::TemporaryFailure
                };
                let (diagnostic, remote) = (failure.diagnostic.clone(), failure.remote.clone());
                lines.push((n, action, String::new(), diagnostic, String::new(), remote));
                last_failure = Some(failure);
            }
        }
    }
    if left > 0 {
        let wait = schedule.wait(entry.attempts);
        change.next_attempt = Some(at + wait);
        change.attempt = last_failure.map(|failure| Attempt { at, failure });
        let due = schedule.warnings_due(at - entry.envelope.arrived);
        if due > entry.warnings {
            change.warnings = Some(due);
            reports.extend(
                pending
                    .iter()
                    .filter(|n| !change.states.iter().any(|s| s.0 == **n as u32))
                    .map(|&n| {
                        (
                            n,
                            Kind::Delayed,
                            change.attempt.as_ref().map(|a| a.failure.clone()),
                        )
                    }),
            );
        }
    }
    for (n, kind, _) in &reports {
        let told = entry
            .recipients
            .get(*n)
            .is_some_and(|r| who_is_told(&entry.envelope, r, *kind).sender);
        if *kind == Kind::Delayed && told {
            let last = change
                .attempt
                .as_ref()
                .map(|a| a.failure.diagnostic.clone())
                .unwrap_or_default();
            lines.push((
                *n,
                Action::DelayWarning,
                String::new(),
                last,
                String::new(),
                String::new(),
            ));
        }
    }
    // A notification is durable before the recipient that it is about is forgotten.
    notify(server, site, entry, content, &reports, &schedule, at).await;
    let next = change.next_attempt;
    let recorded = match left {
        0 => server.spool.remove(entry.id).await,
        _ => server.spool.update(entry.id, change).await,
    };
    if let Err(error) = recorded {
        crate::complain!("queue entry {}: {error}", entry.file_name());
    }
    for (n, action, letters, diagnostic, reason, remote) in lines {
        let Some(recipient) = entry.recipients.get(n) else {
            continue;
        };
        let said = Said {
            source_channel: &entry.channel,
            file_name: &entry.file_name(),
            diagnostic: &diagnostic,
            reason: &reason,
            remote: &remote,
            queue_time: Some((at - entry.envelope.arrived).max(0) as u64),
            size: entry.size,
            modifiers: &letters,
            ..Said::default()
        };
        server
            .journal
            .message(action, &entry.envelope, recipient, &said, Some(entry));
    }
    next.map(|at| {
        (
            HostQueue {
                channel: entry.channel.clone(),
                host: entry.host.clone(),
            },
            at,
        )
    })
}

/// When an entry is tried again, warned about, and returned.
struct Schedule {
    backoff: Vec<u64>,
    ages: Vec<u32>,
    unit: i64,
    return_after: Time,
    hours: bool,
}

impl Schedule {
    fn of(site: &Site, entry: &Entry) -> Self {
        let class = match entry.envelope.priority {
            1.. => 0,
            0 => 1,
            _ => 2,
        };
        let settings = site.channel(&entry.channel).map(|c| &c.settings);
        let backoff = settings
            .map(|s| s.backoff[class].clone())
            .filter(|b| !b.is_empty());
        let of = |s: &policy::channel::Settings| s.notices[class].clone();
        let ages = settings.map(of).filter(|a| !a.is_empty());
        let local = site
            .channels
            .first()
            .map(|c| of(&c.settings))
            .filter(|a| !a.is_empty());
        let ages = ages.or(local).unwrap_or_else(|| NOTICES.to_vec());
        let hours = site.options.number("RETURN_UNITS", 0) == 1;
        let unit = if hours { 3600 } else { 86_400 };
        let return_after = ages.last().map_or(Time::MAX, |last| i64::from(*last) * unit);
        Schedule {
            backoff: backoff.unwrap_or_else(|| BACKOFF[class].to_vec()),
            ages,
            unit,
            return_after,
            hours,
        }
    }

    fn wait(&self, attempts: u32) -> Time {
        let n = (attempts as usize).min(self.backoff.len().saturating_sub(1));
        self.backoff
            .get(n)
            .map_or(3600, |w| i64::try_from(*w).unwrap_or(i64::MAX / 4))
    }

    /// How many of the ages, the last one left out, have passed.
    fn warnings_due(&self, age: Time) -> u8 {
        let warnings = self.ages.split_last().map_or(&[][..], |(_, rest)| rest);
        warnings
            .iter()
            .filter(|a| age >= i64::from(**a) * self.unit)
            .count()
            .min(255) as u8
    }
}

/// Tells the sender what became of recipients, in one notification.
async fn notify(
    server: &Arc<Server>,
    site: &Arc<Site>,
    entry: &Arc<Entry>,
    content: &Bytes,
    reports: &[(usize, Kind, Option<Failure>)],
    schedule: &Schedule,
    at: Time,
) {
    let told: Vec<Reported<'_>> = reports
        .iter()
        .filter_map(|(n, kind, failure)| {
            let recipient = entry.recipients.get(*n)?;
            let report = who_is_told(&entry.envelope, recipient, *kind);
            report.sender.then_some(Reported {
                recipient,
                kind: *kind,
                failure: failure.as_ref(),
                banner: "",
            })
        })
        .collect();
    if told.is_empty() || entry.envelope.from.is_empty() {
        return;
    }
    let host = site.host();
    let default_address = format!("postmaster@{host}");
    let personal = site
        .options
        .text("RETURN_PERSONAL", "Internet Mail Delivery")
        .to_string();
    let words = Words {
        personal,
        ..Words::default()
    };
    let templates = Templates::default();
    let official = site
        .channel(&entry.channel)
        .map_or("", |c| c.official_host.as_str());
    let unique = unique_id();
    let built = Notification {
        envelope: &entry.envelope,
        to: &entry.envelope.from,
        recipients: told,
        history: &entry.history,
        original: content,
        header_len: (entry.header_len as usize).min(content.len()),
        reporting_host: host,
        reporting_channel: official,
        return_address: site.options.text("RETURN_ADDRESS", &default_address),
        now: at,
        zone: jiff::tz::TimeZone::system(),
        retry_until: Some(entry.envelope.arrived.saturating_add(schedule.return_after)),
        ages: Ages {
            hours: schedule.hours,
            queued: u32::try_from((at - entry.envelope.arrived) / schedule.unit).unwrap_or(0),
            allowed: schedule.ages.last().copied().unwrap_or(0),
        },
        unique: &unique,
        templates: &templates,
        words: &words,
        suppress_final: false,
        content_limit: CONTENT_LIMIT,
    }
    .build();
    let mut transaction = Transaction::default();
    transaction.envelope.arrived = at;
    transaction.envelope.source_channel = PROCESS.to_string();
    transaction.envelope.utf8 = built.utf8;
    transaction.recipients.push(Accepted {
        recipient: Recipient {
            address: entry.envelope.from.clone(),
            original: format!("rfc822;{}", entry.envelope.from),
            intermediate: entry.envelope.from.clone(),
            // a notification is never itself reported on
            notify: store::envelope::Notify {
                given: true,
                ..Default::default()
            },
            ..Recipient::default()
        },
        channel: PROCESS.to_string(),
        ..Accepted::default()
    });
    let collected =
        Collected::from_bytes(&*server.spool, built.content, built.header_len, built.message_id).await;
    let queued = match collected {
        Ok(collected) => {
            let to = Enqueue {
                spool: &*server.spool,
                site,
                now: at,
            };
            enqueue(to, &mut transaction, collected, built.eight_bit).await
        }
        Err(error) => Err(error),
    };
    match queued {
        Ok(queued) => server.queued(&queued.entries, &entry.channel),
        Err(error) => crate::complain!(
            "a notification for {} could not be queued: {error}",
            entry.file_name()
        ),
    }
}

/// Addresses an entry anew, as mail that this server sends: the program of `process` and `reprocess`.
pub async fn readdress(
    server: &Arc<Server>,
    entry: &Arc<Entry>,
    content: Bytes,
) -> Option<(HostQueue, Time)> {
    let configuration = server.configuration.load_full();
    let pending = pending(entry);
    let mut decider = server.decider_for(&configuration, &entry.channel, &entry.envelope);
    let mut verdicts = Vec::new();
    for &n in &pending {
        let Some(recipient) = entry.recipients.get(n) else {
            continue;
        };
        let before = decider.transaction.as_ref().map_or(0, |t| t.recipients.len());
        let reply = decider.recipient_again(recipient).await;
        verdicts.push(match reply {
            Ok(()) if comes_back(&mut decider, before, &configuration.site) => Verdict::failed(
                "5.4.6",
                format!(
                    "routing loop: the rules lead {} back to channel {}",
                    recipient.address, entry.channel
                ),
            ),
            Ok(()) => Verdict::delivered(""),
            Err(reply) => {
                let status = reply
                    .enhanced
                    .map_or("5.0.0".to_string(), |(a, b, c)| format!("{a}.{b}.{c}"));
                let failure = Failure {
                    status,
                    diagnostic: reply.summary(),
                    ..Failure::default()
                };
                if reply.code < 500 {
                    Verdict::Deferred(failure)
                } else {
                    Verdict::Failed(failure)
                }
            }
        });
    }
    let mut transaction = decider.transaction.take().unwrap_or_default();
    if !transaction.recipients.is_empty() {
        transaction.envelope = (*entry.envelope).clone();
        transaction.envelope.source_channel = entry.channel.clone();
        let header_len = (entry.header_len as usize).min(content.len());
        let message_id = entry.envelope.message_id.clone();
        let collected = Collected::from_bytes(&*server.spool, content.to_vec(), header_len, message_id).await;
        let queued = match collected {
            Ok(collected) => {
                let to = Enqueue {
                    spool: &*server.spool,
                    site: &configuration.site,
                    now: now(),
                };
                enqueue(to, &mut transaction, collected, entry.envelope.eight_bit).await
            }
            Err(error) => Err(error),
        };
        match queued {
            Ok(queued) => server.queued(&queued.entries, &entry.channel),
            Err(error) => {
                let failure = Failure {
                    status: "4.3.1".into(),
                    diagnostic: error.to_string(),
                    ..Failure::default()
                };
                verdicts = pending
                    .iter()
                    .map(|_| Verdict::Deferred(failure.clone()))
                    .collect();
            }
        }
    }
    settle(server, &configuration, entry, &content, &pending, verdicts).await
}

/// Takes recipients from `first` on away where they lead to a channel that addresses anew: the same rules would
/// lead them there for ever. Says whether there were any.
fn comes_back(decider: &mut crate::transaction::Decider, first: usize, site: &Site) -> bool {
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

/// Finds a channel for an entry whose own is gone; `None` where the rules know none.
pub async fn reroute(server: &Arc<Server>, entry: &Arc<Entry>) -> Option<HostQueue> {
    let configuration = server.configuration.load_full();
    let site = &configuration.site;
    let address = entry.pending().next()?.address.clone();
    let mut decider = server.decider_for(&configuration, PROCESS, &entry.envelope);
    let rewritten = decider.where_to(&address).await?;
    let channel = rewritten.channel?;
    let host = host_of(site, &channel, &rewritten.address, &rewritten.host);
    let change = Change {
        channel: Some((channel.clone(), host.clone())),
        ..Change::default()
    };
    server.spool.update(entry.id, change).await.ok()?;
    crate::complain!(
        "queue entry {}: channel {} is gone, queued to {channel}",
        entry.file_name(),
        entry.channel
    );
    Some(HostQueue { channel, host })
}

/// Puts an entry on hold: an operator has to look at it.
pub async fn hold(server: &Arc<Server>, entry: &Arc<Entry>) {
    let change = Change {
        held: Some(true),
        ..Change::default()
    };
    if let Err(error) = server.spool.update(entry.id, change).await {
        crate::complain!("queue entry {}: {error}", entry.file_name());
    }
}

/// Removes an entry without notice: `qm delete`. Logs K for each recipient.
pub async fn delete(server: &Arc<Server>, entry: &Arc<Entry>) -> Result<(), store::spool::SpoolError> {
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
pub async fn give_back(server: &Arc<Server>, entry: &Arc<Entry>) -> Result<(), store::spool::SpoolError> {
    let configuration = server.configuration.load_full();
    let content = server.spool.content(entry.id)?;
    let failure = Failure {
        status: "5.0.0".into(),
        diagnostic: "returned by the operator".into(),
        ..Failure::default()
    };
    let reports: Vec<_> = pending(entry)
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
    .await;
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

/// Tells the sender of recipients whose Sieve scripts refused a message that others keep.
pub async fn refuse(
    server: &Arc<Server>,
    site: &Arc<Site>,
    transaction: &Transaction,
    (message, header_len): (&[u8], u32),
    refused: Vec<(Accepted, String)>,
) {
    let (recipients, reasons): (Vec<Recipient>, Vec<String>) =
        refused.into_iter().map(|(a, r)| (a.recipient, r)).unzip();
    let content = Bytes::copy_from_slice(message);
    let entry = Arc::new(Entry {
        id: store::spool::EntryId(0),
        channel: transaction.envelope.source_channel.clone(),
        host: String::new(),
        envelope: Arc::new(transaction.envelope.clone()),
        recipients,
        size: content.len() as u64,
        header_len,
        overlay: None,
        attempts: 0,
        next_attempt: 0,
        held: false,
        warnings: 0,
        history: Vec::new(),
        log_tag: String::new(),
    });
    let reports: Vec<_> = reasons
        .into_iter()
        .enumerate()
        .map(|(n, diagnostic)| {
            (
                n,
                Kind::Failed,
                Some(Failure {
                    status: "5.7.1".into(),
                    diagnostic,
                    ..Failure::default()
                }),
            )
        })
        .collect();
    let schedule = Schedule::of(site, &entry);
    notify(server, site, &entry, &content, &reports, &schedule, now()).await;
}
