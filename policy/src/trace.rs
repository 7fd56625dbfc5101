//! The one trace: what was tried, matched, substituted, asked, set and decided, in order.
//!
//! Every language writes its steps here in the same form, so `imsimta test ... -debug`, `sluice explain`
//! and the log print the same thing. Recording costs nothing when it is off: the text of an event is made
//! only when somebody listens.

use grammar::{Sources, Span};

/// What kind of step it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A table, rule set or script is consulted.
    Probe,
    /// An entry, rule or test that did not apply.
    Skip,
    /// An entry or rule whose pattern matched.
    Match,
    /// What a wildcard took.
    Field,
    /// Text was put in.
    Substitute,
    /// A condition was tested.
    Test,
    /// The outside was asked.
    Ask,
    /// The outside answered.
    Answer,
    /// A flag was set.
    Flag,
    /// Where to go on.
    Control,
    /// The entry or rule failed.
    Fail,
    /// An action was taken.
    Action,
    /// What came of the whole look-up.
    Result,
    /// What the caller made of it.
    Decision,
    /// A choice that the specification leaves open.
    Choice,
    /// Anything else worth knowing.
    Note,
}

/// One step.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Event {
    /// Nesting, from 0.
    pub depth: u16,
    /// Its kind.
    pub kind: Kind,
    /// What happened.
    pub text: String,
    /// Where the policy says so.
    #[serde(skip)]
    pub span: Option<Span>,
}

/// Steps kept at most; later ones are counted only.
pub const EVENT_LIMIT: usize = 20_000;

/// A recording, on or off.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    events: Option<Vec<Event>>,
    /// Record entries that did not match one by one, too (`-debug=all`).
    pub all: bool,
    /// Nesting of the next event.
    pub depth: u16,
    /// Events left out because of [`EVENT_LIMIT`].
    pub omitted: usize,
}

impl Trace {
    /// A trace that records nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// A trace that records.
    pub fn on(all: bool) -> Self {
        Trace {
            events: Some(Vec::new()),
            all,
            depth: 0,
            omitted: 0,
        }
    }

    /// Whether it records.
    pub fn is_on(&self) -> bool {
        self.events.is_some()
    }

    /// Records a step; `text` is only called when recording.
    pub fn add(&mut self, kind: Kind, span: Option<Span>, text: impl FnOnce() -> String) {
        let depth = self.depth;
        if let Some(events) = &mut self.events {
            if events.len() < EVENT_LIMIT {
                events.push(Event {
                    depth,
                    kind,
                    text: text(),
                    span,
                });
            } else {
                self.omitted += 1;
            }
        }
    }

    /// The steps so far.
    pub fn events(&self) -> &[Event] {
        self.events.as_deref().unwrap_or(&[])
    }

    /// Takes the steps, leaving an empty recording.
    pub fn take(&mut self) -> Vec<Event> {
        self.events.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// Prints steps for people: one a line, indented by nesting, the place at the end.
pub fn render(events: &[Event], sources: &Sources) -> String {
    let mut out = String::new();
    for event in events {
        for _ in 0..event.depth {
            out.push_str("  ");
        }
        out.push_str(&event.text.replace(['\n', '\r'], " "));
        if let Some(span) = event.span {
            out.push_str(&format!("  [{}]", sources.place(span)));
        }
        out.push('\n');
    }
    out
}

/// The steps as JSON values with their places.
pub fn to_json(events: &[Event], sources: &Sources) -> Vec<JsonEvent> {
    let one = |e: &Event| JsonEvent {
        depth: e.depth,
        kind: e.kind,
        text: e.text.clone(),
        at: e.span.map(|s| sources.place(s).to_string()),
    };
    events.iter().map(one).collect()
}

/// A step as `--json` prints it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct JsonEvent {
    depth: u16,
    kind: Kind,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}
