//! Explains: the last sessions in memory, replayed on demand, and sessions that are only played.
//!
//! A session keeps what was said and what policy was asked, with the answers of the outside: enough to run
//! every evaluation again with a tracing machine. A replay that comes to another result than the live run
//! would be a bug of the machine, not of the policy.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use policy::site::Site;
use policy::trace::{Event, JsonEvent, Kind, to_json};

use store::spool::EntryId;

use crate::evaluate::Evaluation;
use crate::transaction::Record;

/// Sessions kept.
const SESSIONS: usize = 100;

/// Records kept of one session; the rest is counted.
pub const RECORDS: usize = 500;

/// One session.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// When it began, as text.
    pub began: String,
    /// Who it was with.
    pub client: String,
    /// What happened.
    pub records: Vec<Record>,
    /// Queue entries that the session made.
    pub entries: Vec<EntryId>,
}

/// LOG_ACTION evaluations kept; they come after the session that they belong to.
const LATE: usize = 1000;

/// The last sessions.
#[derive(Debug, Default)]
pub struct Ring {
    sessions: Mutex<VecDeque<Arc<Recorded>>>,
    late: Mutex<VecDeque<(EntryId, Evaluation)>>,
}

impl Ring {
    /// Keeps a session; the oldest gives way.
    pub fn push(&self, session: Recorded) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back(Arc::new(session));
    }

    /// Keeps what LOG_ACTION was asked about a queue entry.
    pub fn push_late(&self, entry: EntryId, evaluation: Evaluation) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.len() >= LATE {
            late.pop_front();
        }
        late.push_back((entry, evaluation));
    }

    /// What LOG_ACTION was asked about the entries of a session, in order.
    pub fn late(&self, session: &Recorded) -> Vec<Record> {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let of = late.iter().filter(|(entry, _)| session.entries.contains(entry));
        of.map(|(_, evaluation)| Record::Evaluated(Box::new(evaluation.clone())))
            .collect()
    }

    /// The last `n` sessions, oldest first.
    pub fn last(&self, n: usize) -> Vec<Arc<Recorded>> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions
            .iter()
            .skip(sessions.len().saturating_sub(n))
            .cloned()
            .collect()
    }
}

/// A step of a session with its place in words, ready to print.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Line {
    /// The step.
    #[serde(flatten)]
    pub event: JsonEvent,
    /// The step as a person reads it.
    #[serde(skip)]
    pub text: String,
}

/// Turns records into lines: what was said as it is, evaluations replayed with their trace.
pub fn lines(records: &[Record], site: &Site, all: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for record in records {
        let (events, sources): (Vec<Event>, _) = match record {
            Record::Said(text) => (vec![event(0, Kind::Note, text)], &site.sources),
            Record::Decided(text) => (vec![event(1, Kind::Decision, text)], &site.sources),
            Record::Evaluated(evaluation) => {
                let mut events = evaluation.replay(all);
                for event in &mut events {
                    event.depth += 1;
                }
                (events, evaluation.sources())
            }
        };
        for event in events {
            let text = policy::trace::render(std::slice::from_ref(&event), sources);
            let json = to_json(std::slice::from_ref(&event), sources);
            lines.extend(json.into_iter().map(|event| Line {
                event,
                text: text.trim_end().to_string(),
            }));
        }
    }
    lines
}

fn event(depth: u16, kind: Kind, text: &str) -> Event {
    Event {
        depth,
        kind,
        text: text.to_string(),
        span: None,
    }
}
