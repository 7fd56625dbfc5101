//! The jobs: one entry after another of a host queue, through the program of its channel.

use std::sync::Arc;

use policy::Facts;
use policy::site::Site;
use store::envelope::Failure;
use store::spool::{Entry, EntryId, SpoolError};

use super::outcome::{self, Verdict};
use super::readdress::readdress;
use super::scheduler::{HostQueue, MAX_JOBS};
use super::{Program, operator, program, smtp, store_channel};
use crate::access::{DequeueAccess, Point, ReplyFacts};
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
    let content = match server.spool.content(entry.id) {
        Ok(content) => content,
        Err(SpoolError::NoEntry(_)) => return None,
        Err(error) => {
            crate::complain!("queue entry {}: {error}; it is held", entry.file_name());
            return held(server, entry).await;
        }
    };
    let pending: Vec<usize> = outcome::pending(entry);
    if let Some(verdict) = put_off(server, site, entry).await {
        let verdicts = vec![verdict; pending.len()];
        return outcome::settle(server, &configuration, entry, &content, &pending, verdicts).await;
    }
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

/// DEQUEUE_ACCESS: what becomes of every recipient where this attempt is not made.
///
/// What the table puts off does not count as tried, but grows older: it is warned of and returned as `notices`
/// say. Where the table comes to no verdict the attempt counts, so that the time until the next one grows.
async fn put_off(server: &Server, site: &Arc<Site>, entry: &Entry) -> Option<Verdict> {
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
    let facts = Facts {
        now: now(),
        seed: entry.id.0,
    };
    let mut evaluator = Evaluator::new(Arc::clone(site), server.callouts(), facts);
    match evaluator.consult(&point, &ReplyFacts::default()).await {
        Ok(None) => None,
        Ok(Some(decision)) if decision.accepted => None,
        Ok(Some(decision)) => {
            let wait = decision.effects.backoff.and_then(|w| i64::try_from(w).ok());
            let text = decision.text.map(|text| format!(": {text}")).unwrap_or_default();
            Some(Verdict::PutOff {
                failure: Failure {
                    status: "4.7.1".into(),
                    diagnostic: format!("DEQUEUE_ACCESS puts this attempt off{text}"),
                    ..Failure::default()
                },
                wait: wait.unwrap_or(PUT_OFF).max(1),
            })
        }
        Err(error) => Some(Verdict::deferred(
            "4.3.0",
            format!("DEQUEUE_ACCESS came to no verdict: {error}"),
        )),
    }
}
