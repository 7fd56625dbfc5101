//! The jobs: one entry after another of a host queue, through the program of its channel.

use std::sync::Arc;

use policy::Facts;
use store::spool::{Change, Entry, EntryId, SpoolError};

use super::outcome::{self, Verdict};
use super::readdress::readdress;
use super::scheduler::{HostQueue, MAX_JOBS};
use super::{Program, operator, program, smtp, store_channel};
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
    let job = Job {
        server: &server,
        queue,
    };
    let mut sender = smtp::Sender::default();
    while let Some(id) = server.scheduler.take(&job.queue) {
        let mut hand = Hand {
            job: &job,
            id,
            again: Some((job.queue.clone(), now().saturating_add(PUT_OFF))),
        };
        hand.again = match server.spool.entry(id) {
            Some(entry) => attempt(&server, &entry, &mut sender).await,
            None => None,
        };
    }
    sender.close().await;
}

/// A job that runs. However it ends, the scheduler gets to know, so that another can start.
struct Job<'a> {
    server: &'a Server,
    queue: HostQueue,
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.server.scheduler.end_job(&self.queue);
    }
}

/// An entry in hand, and when it comes back: after a while, if the attempt does not end as it should.
struct Hand<'a> {
    job: &'a Job<'a>,
    id: EntryId,
    again: Option<(HostQueue, i64)>,
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.job.server.scheduler.done(self.id, self.again.take(), now());
    }
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
            return held(server, entry).await;
        }
    };
    let pending: Vec<usize> = outcome::pending(entry);
    let verdicts = match program(site, &entry.channel) {
        Some(Program::Smtp) => sender.deliver(server, site, entry, &content, &pending).await,
        Some(Program::Store) => store_channel::deliver(server, site, entry, &content, &pending).await,
        Some(Program::Bitbucket) => vec![Verdict::delivered(None); pending.len()],
        // what `hold` has was released; a channel without a program is gone since a reload: the rules say where
        // the recipients go now
        Some(Program::Process | Program::Hold) | None => {
            return readdress(server, &configuration, entry, content).await;
        }
    };
    outcome::settle(server, &configuration, entry, &content, &pending, verdicts).await
}

/// Holds an entry; where that cannot be written down, it comes back to be held later.
async fn held(server: &Server, entry: &Entry) -> Option<(HostQueue, i64)> {
    let error = operator::hold(server, entry).await.err()?;
    crate::complain!("queue entry {}: {error}", entry.file_name());
    Some((HostQueue::from(entry), now().saturating_add(PUT_OFF)))
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
    Some((HostQueue::from(&**entry), at))
}
