//! The jobs: one entry after another of a host queue, through the program of its channel.

use std::sync::Arc;

use store::envelope::Failure;
use store::spool::{Entry, SpoolError};

use super::outcome::{self, Verdict};
use super::scheduler::{HostQueue, MAX_JOBS};
use super::{Program, program, smtp, store_channel};
use crate::server::{Server, now};

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
    let content = match server.spool.content(entry.id) {
        Ok(content) => content,
        Err(SpoolError::NoEntry(_)) => return None,
        Err(error) => {
            eprintln!("queue entry {}: {error}; it is held", entry.file_name());
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
