//! The control socket: the owner of a running server asks it for things. One JSON object a line each way.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use store::spool::{Change, Entry, EntryId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::explain;
use crate::queue::operator;
use crate::server::{ReloadError, Reloaded, Server, now};

/// Longest request, in octets: some thousands of ids.
const REQUEST_LIMIT: usize = 64 * 1024;

/// What can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Load the configuration again.
    Reload,
    /// Load the users again, and nothing else.
    ReloadUsers,
    /// The last sessions, explained.
    Explain {
        /// How many.
        last: usize,
        /// Entries that did not match, too.
        all: bool,
    },
    /// The entries of the queue.
    Queue,
    /// Counts of the host queues.
    Counts,
    /// Releases held entries, or hurries others.
    Release {
        /// Entries.
        ids: Vec<u64>,
    },
    /// Holds entries.
    Hold {
        /// Entries.
        ids: Vec<u64>,
    },
    /// Removes entries without notice.
    Delete {
        /// Entries.
        ids: Vec<u64>,
    },
    /// Returns entries to their senders.
    Return {
        /// Entries.
        ids: Vec<u64>,
    },
    /// Stops the processing of a channel.
    StopChannel {
        /// The channel.
        channel: String,
    },
    /// Starts it again.
    StartChannel {
        /// The channel.
        channel: String,
    },
    /// Counters.
    Status,
}

/// What is answered.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
pub struct Response {
    /// It was done.
    pub ok: bool,
    /// Text for people.
    #[serde(default)]
    pub text: String,
    /// The answer as data.
    #[serde(default)]
    pub data: serde_json::Value,
}

/// An entry, as `qm` shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueEntry {
    /// Its id.
    pub id: u64,
    /// Channel.
    pub channel: String,
    /// Host queue.
    pub host: String,
    /// File name.
    pub file: String,
    /// Size in octets.
    pub size: u64,
    /// When it arrived.
    pub arrived: i64,
    /// When it is tried next.
    pub next_attempt: i64,
    /// Attempts.
    pub attempts: u32,
    /// Held.
    pub held: bool,
    /// Envelope From.
    pub from: String,
    /// Recipients still to be delivered.
    pub to: Vec<String>,
    /// The last failure.
    pub last: String,
}

impl From<&Entry> for QueueEntry {
    fn from(e: &Entry) -> Self {
        QueueEntry {
            id: e.id.0,
            channel: e.channel.clone(),
            host: e.host.clone(),
            file: e.file_name(),
            size: e.size,
            arrived: e.envelope.arrived,
            next_attempt: e.next_attempt,
            attempts: e.attempts,
            held: e.held,
            from: e.envelope.from.clone(),
            to: e.pending().map(|r| r.address.clone()).collect(),
            last: e
                .history
                .last()
                .map(|a| a.failure.diagnostic.clone())
                .unwrap_or_default(),
        }
    }
}

/// Opens the control socket, readable by its owner only.
pub fn listen(server: &Arc<Server>) -> std::io::Result<JoinHandle<()>> {
    let path = server.layout.control();
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let server = Arc::clone(server);
    Ok(tokio::spawn(async move {
        let mut stopping = server.stopping.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|s| *s) => return,
            };
            if let Ok((stream, _)) = accepted {
                tokio::spawn(answer(Arc::clone(&server), stream));
            }
        }
    }))
}

async fn answer(server: Arc<Server>, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        // the limit is that of each request, not of all that a client asks
        let mut limited = AsyncReadExt::take(&mut read, REQUEST_LIMIT as u64 + 1);
        match limited.read_until(b'\n', &mut line).await {
            Ok(read) if read > 0 => {}
            _ => return,
        }
        let too_long = line.len() > REQUEST_LIMIT;
        let response = if too_long {
            Response {
                text: format!("the request is longer than {REQUEST_LIMIT} octets; ask for less at once"),
                ..Response::default()
            }
        } else {
            match serde_json::from_slice(&line) {
                Ok(request) => perform(&server, request).await,
                Err(error) => Response {
                    text: format!("not a request: {error}"),
                    ..Response::default()
                },
            }
        };
        let Ok(mut text) = serde_json::to_string(&response) else {
            return;
        };
        text.push('\n');
        // what follows in a request that is too long is no request
        if write.write_all(text.as_bytes()).await.is_err() || too_long {
            return;
        }
    }
}

async fn perform(server: &Arc<Server>, request: Request) -> Response {
    let done = |text: String| Response {
        ok: true,
        text,
        ..Response::default()
    };
    match request {
        Request::Reload => reload(server),
        Request::ReloadUsers => match server.reload_users() {
            Ok(()) => done("the users were loaded".into()),
            Err(error) => Response {
                text: error.to_string(),
                ..Response::default()
            },
        },
        Request::Explain { last, all } => {
            let site = server.configuration.load().site.clone();
            let mut text = String::new();
            let mut sessions = Vec::new();
            for session in server.ring.last(last.clamp(1, 100)) {
                let mut lines = explain::lines(&session.records, &site, all);
                lines.extend(explain::lines(&server.ring.late(&session), &site, all));
                text.push_str(&format!("Session of {} with {}\n", session.began, session.client));
                for line in &lines {
                    text.push_str(&line.text);
                    text.push('\n');
                }
                let steps = serde_json::to_value(&lines).unwrap_or_default();
                sessions.push(
                    serde_json::json!({"began": session.began, "client": session.client, "steps": steps}),
                );
            }
            if sessions.is_empty() {
                text = "No session yet.\n".into();
            }
            Response {
                ok: true,
                text,
                data: sessions.into(),
            }
        }
        Request::Queue => {
            let entries: Vec<QueueEntry> = server
                .spool
                .entries()
                .iter()
                .map(|e| QueueEntry::from(&**e))
                .collect();
            Response {
                ok: true,
                data: serde_json::to_value(entries).unwrap_or_default(),
                ..Response::default()
            }
        }
        Request::Counts => {
            let counts = server.scheduler.counts();
            let rows: Vec<_> = counts
                .iter()
                .map(|(q, c)| {
                    serde_json::json!({"channel": q.channel, "host": q.host, "active": c.active, "delayed": c.delayed})
                })
                .collect();
            Response {
                ok: true,
                data: rows.into(),
                ..Response::default()
            }
        }
        Request::Release { ids } => each(server, ids, What::Release).await,
        Request::Hold { ids } => each(server, ids, What::Hold).await,
        Request::Delete { ids } => each(server, ids, What::Delete).await,
        Request::Return { ids } => each(server, ids, What::Return).await,
        Request::StopChannel { channel } => {
            server.scheduler.set_stopped(&channel, true);
            done(format!(
                "channel {channel} is stopped until it is started again or the server restarts"
            ))
        }
        Request::StartChannel { channel } => {
            server.scheduler.set_stopped(&channel, false);
            done(format!("channel {channel} is started"))
        }
        Request::Status => {
            use std::sync::atomic::Ordering::Relaxed;
            let c = &server.counters;
            let data = serde_json::json!({
                "sessions": c.sessions.load(Relaxed), "full": c.full.load(Relaxed), "accepted": c.accepted.load(Relaxed),
                "refused": c.refused.load(Relaxed), "queue_errors": c.queue_errors.load(Relaxed),
                "site_counters": c.site.iter().map(|n| n.load(Relaxed)).collect::<Vec<_>>(),
                "queued": server.spool.entries().len(), "jobs": server.scheduler.running(),
                "log_lines_dropped": server.journal.dropped().lines.load(Relaxed),
                "callouts": server.drivers.counters(),
                "metermaid": server.metermaid.as_ref().map(|(engine, _)| &engine.counters),
                "log_actions_dropped": server.journal.dropped().actions.load(Relaxed),
            });
            Response {
                ok: true,
                text: data.to_string(),
                data,
            }
        }
    }
}

fn reload(server: &Server) -> Response {
    match server.reload() {
        Ok(Reloaded {
            configuration,
            warnings,
        }) => {
            let site = &configuration.site;
            let stale = configuration.stale_notes().map(|note| format!("note: {note}"));
            let said = site.diagnostics.iter().map(|d| d.render(&site.sources, false));
            let certificate = warnings.iter().map(|w| format!("warning: {w}"));
            let mut text = said
                .chain(stale)
                .chain(certificate)
                .collect::<Vec<String>>()
                .join("\n");
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str("the configuration was loaded; it is in force for every new transaction");
            Response {
                ok: true,
                text,
                ..Response::default()
            }
        }
        Err(ReloadError::Configuration(error)) => {
            let all: Vec<String> = error
                .diagnostics
                .iter()
                .filter(|d| d.severity >= grammar::Severity::Warning)
                .map(|d| d.render(&error.sources, false))
                .collect();
            let text = format!(
                "{}\nthe configuration does not load; the running one stays in force",
                all.join("\n")
            );
            Response {
                text,
                ..Response::default()
            }
        }
        Err(error) => Response {
            text: error.to_string(),
            ..Response::default()
        },
    }
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Release,
    Hold,
    Delete,
    Return,
}

/// What came of one entry.
#[derive(Serialize)]
struct Done {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    ok: bool,
    code: String,
    text: String,
}

async fn each(server: &Arc<Server>, ids: Vec<u64>, what: What) -> Response {
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        let entry = server.spool.entry(EntryId(id));
        let file = entry.as_ref().map(|e| e.file_name());
        let result = match entry {
            Some(entry) => one(server, &entry, what).await,
            None => Err(("NOFILE", format!("no message {id} in the queue"))),
        };
        let (ok, code, text) = match result {
            Ok((word, text)) => (true, format!("%QM-I-{word}"), text),
            Err((word, text)) => (false, format!("%QM-E-{word}"), text),
        };
        all.push(Done {
            id,
            file,
            ok,
            code,
            text,
        });
    }
    let lines = all.iter().map(|done| format!("{}, {}\n", done.code, done.text));
    Response {
        ok: all.iter().all(|done| done.ok),
        text: lines.collect(),
        data: serde_json::to_value(&all).unwrap_or_default(),
    }
}

/// Does it to one entry; a word and a sentence say what was done, or why it was not.
async fn one(
    server: &Arc<Server>,
    entry: &Arc<Entry>,
    what: What,
) -> Result<(&'static str, String), (&'static str, String)> {
    let name = entry.file_name();
    if what != What::Release && !server.scheduler.forget(entry) {
        return Err(("ACTIVE", format!("{name} is being delivered now, try again")));
    }
    let result = match what {
        What::Release => {
            let change = Change {
                held: Some(false),
                next_attempt: Some(0),
                ..Change::default()
            };
            let done = server.spool.update(entry.id, change).await;
            if let Some(entry) = server.spool.entry(entry.id) {
                server.scheduler.hurry(&entry);
            }
            done
        }
        What::Hold => operator::hold(server, entry).await,
        What::Delete => operator::delete(server, entry).await,
        What::Return => operator::give_back(server, entry).await,
    };
    let (word, did) = match what {
        What::Release => ("RELEASED", "released"),
        What::Hold => ("HELD", "held"),
        What::Delete => ("DELETED", "deleted"),
        What::Return => ("RETURNED", "returned"),
    };
    match result {
        Ok(()) => Ok((word, format!("{did} the message file {name}"))),
        Err(error) => {
            // it is in the queue as it was, so it keeps its turn
            if what != What::Release {
                server.scheduler.add(entry, now());
            }
            Err(("FAILED", format!("{name}: {error}")))
        }
    }
}
