//! The jobs: one entry after another of a host queue, through the program of its channel.

use std::sync::Arc;

use policy::Facts;
use store::envelope::Failure;
use store::spool::{Change, Entry, SpoolError};

use super::outcome::{self, Verdict};
use super::scheduler::{HostQueue, MAX_JOBS};
use super::{Program, program, smtp, store_channel};
use crate::access::{DequeueAccess, Point, PolicyPoint, ReplyFacts};
use crate::configuration::Configuration;
use crate::evaluate::Evaluator;
use crate::server::{Server, now};

/// Seconds until the next attempt where DEQUEUE_ACCESS puts one off without saying how long.
const PUT_OFF: i64 = 300;

/// Starts jobs until the scheduler is closed, then waits for those that run.
pub async fn run(server: Arc<Server>) {
    let mut jobs = tokio::task::JoinSet::new();
    loop {
        let configuration = Arc::clone(&server.configuration);
        let limit = move |channel: &str| {
            let loaded = configuration.load();
            loaded
                .site
                .channel(channel)
                .and_then(|c| c.settings.max_jobs)
                .unwrap_or(MAX_JOBS)
                .max(1)
        };
        let Some(queue) = server.scheduler.next_job(limit, now).await else {
            break;
        };
        jobs.spawn(job(Arc::clone(&server), queue));
        while jobs.try_join_next().is_some() {}
    }
    while jobs.join_next().await.is_some() {}
}

/// One job.
async fn job(server: Arc<Server>, queue: HostQueue) {
    let mut sender = smtp::Sender::default();
    while let Some(id) = server.scheduler.take(&queue) {
        let Some(entry) = server.spool.entry(id) else {
            server.scheduler.done(id, None, now());
            continue;
        };
        let again = attempt(&server, &entry, &mut sender).await;
        server.scheduler.done(id, again, now());
    }
    sender.close().await;
}

/// One attempt; says when and where the entry comes back, if it does.
async fn attempt(
    server: &Arc<Server>,
    entry: &Arc<Entry>,
    sender: &mut smtp::Sender,
) -> Option<(HostQueue, i64)> {
    let configuration = server.configuration.load_full();
    let site = &configuration.site;
    if let Some(later) = postponed(server, &configuration, entry).await {
        return Some(later);
    }
    let content = match server.spool.content(entry.id) {
        Ok(content) => content,
        Err(SpoolError::NoEntry(_)) => return None,
        Err(error) => {
            crate::complain!("queue entry {}: {error}; it is held", entry.file_name());
            outcome::hold(server, entry).await;
            return None;
        }
    };
    let pending: Vec<usize> = outcome::pending(entry);
    let verdicts = match program(site, &entry.channel) {
        Some(Program::Smtp) => sender.deliver(server, site, entry, &content, &pending).await,
        Some(Program::Store) => store_channel::deliver(server, entry, &content, &pending).await,
        Some(Program::Bitbucket) => pending.iter().map(|_| Verdict::delivered("")).collect(),
        Some(Program::Process) => return outcome::readdress(server, entry, content).await,
        Some(Program::Hold) => {
            outcome::hold(server, entry).await;
            return None;
        }
        // the channel is gone since a reload: the rules say where its recipients go now
        None => match outcome::reroute(server, entry).await {
            Some(queue) => return Some((queue, 0)),
            None => pending
                .iter()
                .map(|_| {
                    Verdict::Failed(Failure {
                        status: "5.4.4".into(),
                        diagnostic: format!("channel {} does not exist any more", entry.channel),
                        ..Failure::default()
                    })
                })
                .collect(),
        },
    };
    outcome::settle(server, &configuration, entry, &content, &pending, verdicts).await
}

/// DEQUEUE_ACCESS: whether this attempt is put off, without counting as one; says until when.
async fn postponed(
    server: &Arc<Server>,
    configuration: &Configuration,
    entry: &Arc<Entry>,
) -> Option<(HostQueue, i64)> {
    let site = &configuration.site;
    site.program.table(Point::DequeueAccess.table())?;
    let file = entry.file_name();
    let point = DequeueAccess {
        channel: &entry.channel,
        file: &file,
        queue_time: Some((now() - entry.envelope.arrived).max(0)),
        from: &entry.envelope.from,
        auth_parameter: "",
        auth_sender: entry.envelope.auth_sender.as_deref().unwrap_or(""),
        priority: entry.envelope.priority,
        domain: &entry.host,
        tags: &entry.envelope.tags,
        retries: entry.attempts,
        read_only: false,
    };
    let mut probe = String::new();
    point.probe(&site.options, &mut probe);
    let facts = Facts {
        now: now(),
        seed: entry.id.0,
    };
    let mut evaluator = Evaluator::new(Arc::clone(site), server.callouts(), facts);
    let result = evaluator
        .map(Point::DequeueAccess.table(), &probe, point.flags())
        .await;
    let wait = match result {
        Ok(result) => {
            let decision = point.decide(result.as_ref(), &ReplyFacts::default());
            if decision.accepted {
                return None;
            }
            decision.effects.backoff
        }
        // no verdict: the mail waits a little, it is neither sent nor lost
        Err(_) => None,
    };
    let wait = wait.and_then(|w| i64::try_from(w).ok()).unwrap_or(PUT_OFF);
    let at = now().saturating_add(wait.max(1));
    let change = Change {
        next_attempt: Some(at),
        ..Change::default()
    };
    if let Err(error) = server.spool.update(entry.id, change).await {
        crate::complain!("queue entry {file}: {error}");
    }
    Some((
        HostQueue {
            channel: entry.channel.clone(),
            host: entry.host.clone(),
        },
        at,
    ))
}
