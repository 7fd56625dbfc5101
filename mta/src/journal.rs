//! The server's log: every entry probed by LOG_ACTION, written as the LOG_* options ask.
//!
//! Entries of one queue file keep their order. An entry never delays mail: it is written, or handed to the
//! LOG_ACTION workers, without waiting, and is counted as dropped where there is no room.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use policy::Facts;
use policy::mapping::FlagSet;
use store::envelope::{Envelope, Recipient};
use store::spool::{Change, Entry, EntryId, Spool};
use tokio::sync::mpsc;

use crate::callout::Callouts;
use crate::configuration::Configuration;
use crate::evaluate::Evaluator;
use crate::explain::Ring;
use crate::log::file::{Accepted, LogWriter, WriterSettings};
use crate::log::probe::{self, LogAction};
use crate::log::record::{
    Action, Code, ConnectionRecord, Direction, LocalClock, MessageRecord, Modifiers, Operations,
};
use crate::log::rotate::LogName;
use crate::log::write;

/// Workers that run LOG_ACTION; entries of one queue file go to one of them.
const WORKERS: usize = 4;

/// Entries that wait for a worker.
const WAITING: usize = 4096;

/// Tags remembered between the E and D entries of a queue file, per worker.
const TAGS: usize = 10_000;

/// Entries that could not be written or probed.
#[derive(Debug, Default)]
pub struct Dropped {
    /// Lines that had no room.
    pub lines: AtomicU64,
    /// Entries whose LOG_ACTION was not run.
    pub actions: AtomicU64,
}

/// The log of a server.
pub struct Journal {
    writer: Arc<LogWriter>,
    clock: LocalClock,
    operations: Operations,
    configuration: Arc<ArcSwap<Configuration>>,
    workers: Vec<mpsc::Sender<Job>>,
    dropped: Arc<Dropped>,
    queue_folder: String,
}

/// When the log is rotated: the time of the return job (logging specification 1).
const ROTATION: jiff::civil::Time = jiff::civil::time(0, 30, 0, 0);

/// How long until the next rotation; `None` at the end of time.
fn until_rotation(now: &jiff::Zoned) -> Option<Duration> {
    let at = |date: jiff::civil::Date| date.to_datetime(ROTATION).to_zoned(now.time_zone().clone()).ok();
    let today = at(now.date()).filter(|time| time > now);
    let next = today.or_else(|| at(now.date().tomorrow().ok()?))?;
    Duration::try_from(now.duration_until(&next)).ok()
}

#[derive(Debug)]
struct Job {
    configuration: Arc<Configuration>,
    probe: String,
    line: String,
    log: LogName,
    code: Code,
    entry: Option<EntryId>,
    written: bool,
}

/// What a message entry says beyond the envelope.
#[derive(Debug, Clone, Default)]
pub struct Said<'a> {
    /// Source channel, or the channel that dequeues.
    pub source_channel: &'a str,
    /// Destination channel of an enqueue.
    pub destination_channel: &'a str,
    /// Queue file name.
    pub file_name: &'a str,
    /// Diagnostic.
    pub diagnostic: &'a str,
    /// Reason of R and K entries.
    pub reason: &'a str,
    /// Host delivered to.
    pub remote: &'a str,
    /// Seconds in the queue.
    pub queue_time: Option<u64>,
    /// Size in bytes.
    pub size: u64,
    /// Modifier letters.
    pub modifiers: &'a str,
    /// What the filters did.
    pub filter: &'a str,
    /// Text of the Sieve action `transactionlog`.
    pub transaction_log: &'a str,
}

impl Journal {
    /// Opens the log in a folder and starts its workers.
    pub fn start(
        folder: &Path,
        queue_folder: &Path,
        configuration: Arc<ArcSwap<Configuration>>,
        callouts: Callouts,
        spool: Arc<dyn Spool>,
        ring: Arc<Ring>,
    ) -> std::io::Result<Journal> {
        let writer = Arc::new(LogWriter::start(folder, WriterSettings::default())?);
        let dropped = Arc::new(Dropped::default());
        let workers = (0..WORKERS)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(WAITING / WORKERS);
                let worker = Worker {
                    writer: Arc::clone(&writer),
                    dropped: Arc::clone(&dropped),
                    callouts: callouts.clone(),
                    spool: Arc::clone(&spool),
                    ring: Arc::clone(&ring),
                    tags: HashMap::new(),
                };
                tokio::spawn(worker.run(receiver));
                sender
            })
            .collect();
        Ok(Journal {
            writer,
            clock: LocalClock::system(),
            operations: Operations::new(),
            configuration,
            workers,
            dropped,
            queue_folder: queue_folder.display().to_string(),
        })
    }

    /// What was dropped so far.
    pub fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// Rotates the log every night at [`ROTATION`], until it is dropped.
    pub async fn rotate_nightly(&self) {
        loop {
            let Some(wait) = until_rotation(&jiff::Zoned::now()) else {
                return;
            };
            tokio::time::sleep(wait).await;
            if let Err(error) = self.writer.rotate().await {
                crate::complain!("the log was not rotated: {error}");
            }
        }
    }

    /// Waits until what was handed over is in the file.
    pub async fn flush(&self) {
        for worker in &self.workers {
            // a worker is idle when all of its places can be had
            let all = worker.max_capacity();
            if let Ok(permits) = worker.reserve_many(all).await {
                drop(permits);
            }
        }
        self.writer.flush().await;
    }

    /// One message entry for one recipient.
    pub fn message(
        &self,
        action: Action,
        envelope: &Envelope,
        recipient: &Recipient,
        said: &Said<'_>,
        entry: Option<&Entry>,
    ) {
        let configuration = self.configuration.load_full();
        let logs = |name| {
            configuration
                .site
                .channel(name)
                .is_some_and(|c| c.settings.logging)
        };
        let written = logs(said.channel()) || logs(said.source_channel);
        if !written && configuration.site.program.table(probe::TABLE).is_none() {
            return;
        }
        let options = &configuration.log;
        let blocks = configuration.site.options.number("BLOCK_SIZE", 1024).max(1) as u64;
        let file = if said.file_name.is_empty() {
            String::new()
        } else {
            format!("{}/{}/{}", self.queue_folder, said.channel(), said.file_name)
        };
        let username = envelope
            .auth_user
            .as_deref()
            .map(|u| format!("*{u}"))
            .unwrap_or_default();
        let source_system = if said.destination_channel.is_empty() && !said.remote.is_empty() {
            said.remote.to_string()
        } else {
            source_system(envelope)
        };
        let record = MessageRecord {
            time: self.clock.now(),
            process: Some(self.operations.next(0)),
            source_channel: said.source_channel.into(),
            destination_channel: said.destination_channel.into(),
            code: Code::new(action, modifiers(said.modifiers)),
            size: said.size.div_ceil(blocks),
            sender: envelope.from.as_str().into(),
            original_recipient: recipient.original.as_str().into(),
            recipient: recipient.address.as_str().into(),
            notary_flags: Some(notary_flags(recipient)),
            file_name: file.into(),
            envelope_id: envelope.envelope_id.as_deref().unwrap_or("").into(),
            message_id: envelope.message_id.as_str().into(),
            username: username.into(),
            source_system: source_system.into(),
            priority: envelope.priority.to_string().into(),
            intermediate: recipient.intermediate.as_str().into(),
            initial: recipient.original.strip_prefix("rfc822;").unwrap_or("").into(),
            reason: said.reason.into(),
            diagnostic: said.diagnostic.into(),
            remote_mta: said.remote.into(),
            transport: envelope.transport.as_str().into(),
            application: envelope.application.as_str().into(),
            queue_time: said.queue_time,
            auth_sender: envelope.auth_sender.as_deref().unwrap_or("").into(),
            conversion_tag: envelope.tags.join(",").into(),
            filter: said.filter.into(),
            transaction_log: said.transaction_log.into(),
            ..MessageRecord::default()
        };
        let mut line = String::with_capacity(200);
        write::message(&mut line, &record, options);
        let job = |probe| Job {
            configuration: Arc::clone(&configuration),
            probe,
            line: std::mem::take(&mut line),
            log: LogName::Mail,
            code: record.code,
            entry: entry.map(|e| e.id),
            written,
        };
        self.hand_over(&configuration, job, |out, paranoia| {
            let tag = entry.map(|e| e.log_tag.as_str()).filter(|t| !t.is_empty());
            probe::message(out, &record, options, paranoia, tag);
        });
    }

    /// One connection entry.
    pub fn connection(&self, action: Action, channel: &str, direction: Direction, said: &Connection<'_>) {
        let configuration = self.configuration.load_full();
        let options = &configuration.log;
        let written = options.connection.wants(action.letter());
        if !written && configuration.site.program.table(probe::TABLE).is_none() {
            return;
        }
        let record = ConnectionRecord {
            time: self.clock.now(),
            process: Some(self.operations.next(0)),
            channel: channel.into(),
            direction,
            code: Code::new(action, Modifiers::default()),
            transport: said.transport.into(),
            application: said.application.into(),
            tag: said.tag.into(),
            username: said.username.into(),
            diagnostic: said.diagnostic.into(),
            open_seconds: said.open_seconds,
            ..ConnectionRecord::default()
        };
        let mut line = String::with_capacity(120);
        write::connection(&mut line, &record, options);
        let job = |probe| Job {
            configuration: Arc::clone(&configuration),
            probe,
            line: std::mem::take(&mut line),
            log: match options.separate_connection_log {
                true => LogName::Connection,
                false => LogName::Mail,
            },
            code: record.code,
            entry: None,
            written,
        };
        self.hand_over(&configuration, job, |out, paranoia| {
            probe::connection(out, &record, options, paranoia, None);
        });
    }

    fn hand_over(
        &self,
        configuration: &Arc<Configuration>,
        job: impl FnOnce(String) -> Job,
        probe: impl FnOnce(&mut String, Option<char>),
    ) {
        let site = &configuration.site;
        if site.program.table(probe::TABLE).is_none() {
            let job = job(String::new());
            if job.written {
                deliver(&self.writer, &self.dropped, &job);
            }
            return;
        }
        let mut text = String::new();
        probe(&mut text, site.options.paranoia());
        let job = job(text);
        let n = job.entry.map_or(0, |e| e.0 as usize) % self.workers.len().max(1);
        let Some(worker) = self.workers.get(n) else { return };
        if let Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) =
            worker.try_send(job)
        {
            self.dropped.actions.fetch_add(1, Ordering::Relaxed);
            if job.written {
                deliver(&self.writer, &self.dropped, &job);
            }
        }
    }
}

fn deliver(writer: &LogWriter, dropped: &Dropped, job: &Job) {
    if writer.write(job.log, &job.line) == Accepted::Dropped {
        dropped.lines.fetch_add(1, Ordering::Relaxed);
    }
}

impl Said<'_> {
    /// The channel whose queue the file is in.
    fn channel(&self) -> &str {
        if self.destination_channel.is_empty() {
            self.source_channel
        } else {
            self.destination_channel
        }
    }
}

/// What a connection entry says.
#[derive(Debug, Clone, Default)]
pub struct Connection<'a> {
    /// `TCP|local|port|remote|port`.
    pub transport: &'a str,
    /// `SMTP/...`.
    pub application: &'a str,
    /// Tag.
    pub tag: &'a str,
    /// User name.
    pub username: &'a str,
    /// Diagnostic.
    pub diagnostic: &'a str,
    /// Seconds that it was open.
    pub open_seconds: Option<u64>,
}

struct Worker {
    writer: Arc<LogWriter>,
    dropped: Arc<Dropped>,
    callouts: Callouts,
    spool: Arc<dyn Spool>,
    ring: Arc<Ring>,
    tags: HashMap<EntryId, String>,
}

impl Worker {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            self.job(job).await;
        }
    }

    async fn job(&mut self, job: Job) {
        let facts = Facts {
            now: jiff::Timestamp::now().as_second(),
            seed: job.entry.map_or(0, |e| e.0),
        };
        let mut evaluator = Evaluator::new(Arc::clone(&job.configuration.site), self.callouts.clone(), facts);
        evaluator.record = job.entry.map(|_| Vec::new());
        let known = job.entry.and_then(|e| self.tags.get(&e));
        let probe = match known {
            Some(tag) if !job.probe.starts_with(&format!("{tag}|")) => format!("{tag}|{}", job.probe),
            _ => job.probe.clone(),
        };
        // a failure or a callout that takes too long never affects mail, nor the entry
        let result = evaluator.map(probe::TABLE, &probe, FlagSet::default()).await;
        if let (Some(entry), Some(evaluations)) = (job.entry, evaluator.record.take()) {
            evaluations
                .into_iter()
                .for_each(|e| self.ring.push_late(entry, e));
        }
        let action = match &result {
            Ok(Some(result)) if result.matched > 0 => {
                LogAction::read(result.arguments(), |flag| result.flags.has(flag))
            }
            Ok(_) => LogAction::default(),
            Err(_) => {
                self.dropped.actions.fetch_add(1, Ordering::Relaxed);
                LogAction::default()
            }
        };
        for notice in action.notices(job.code) {
            crate::notice::send(notice);
        }
        if let (Some(entry), Some(tag)) = (job.entry, &action.tag)
            && known != Some(tag)
        {
            if self.tags.len() >= TAGS {
                self.tags.clear();
            }
            self.tags.insert(entry, tag.clone());
            let change = Change {
                log_tag: Some(tag.clone()),
                ..Change::default()
            };
            // the entry may be gone by now; its tag is then needed no more
            let _ = self.spool.update(entry, change).await;
        }
        if job.written && !action.suppress {
            deliver(&self.writer, &self.dropped, &job);
        }
    }
}

fn modifiers(letters: &str) -> Modifiers {
    let has = |c| letters.contains(c);
    Modifiers {
        esmtp: has('E'),
        lmtp: has('L'),
        chunking: has('C'),
        tls: has('S'),
        proxy: has('P'),
        auth: has('A'),
    }
}

/// NOTARY flags: 1 success, 2 failure, 4 delay, 8 never.
fn notary_flags(recipient: &Recipient) -> u32 {
    let n = recipient.notify;
    u32::from(n.success) | u32::from(n.failure) << 1 | u32::from(n.delay) << 2 | u32::from(n.never()) << 3
}

/// `helo ([ip])` of the client.
fn source_system(envelope: &Envelope) -> String {
    let Some(ip) = envelope
        .transport
        .split('|')
        .nth(3)
        .and_then(|ip| ip.parse().ok())
    else {
        return String::new();
    };
    let helo = (!envelope.helo.is_empty()).then_some(envelope.helo.as_str());
    crate::log::describe::source_system(helo, None, ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_is_at_half_past_midnight_local_time() {
        for (now, hours) in [
            ("2026-03-10T00:29:00[Europe/Berlin]", 1.0 / 60.0),
            ("2026-03-10T00:30:00[Europe/Berlin]", 24.0),
            ("2026-03-10T23:30:00[Europe/Berlin]", 1.0),
            // the night in which the clock is put forward, and back
            ("2026-03-29T00:30:00[Europe/Berlin]", 23.0),
            ("2026-10-25T00:30:00[Europe/Berlin]", 25.0),
        ] {
            let wait = until_rotation(&now.parse().unwrap()).unwrap();
            assert_eq!(wait.as_secs_f64() / 3600.0, hours, "{now}");
        }
    }
}
