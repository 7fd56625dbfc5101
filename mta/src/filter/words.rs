//! What scripts did, in words: for the log (LOG_FILTER) and for `sluice explain`.
//!
//! The actions stand as `imsimta test -expression` shows them (Sieve specification C3), the implicit keep not at all;
//! behind them the place of each in its script.

use grammar::Span;
use policy::sieve::{Action, Fault, Level, Performed};

use super::Run;

/// The places of the commands in the scripts of one recipient.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<(Level, Span, String)>,
}

impl Places {
    /// The places of what was done, and of what went wrong.
    pub fn of(runs: &[Run]) -> Self {
        let mut places = Vec::new();
        for run in runs {
            let outcome = &run.result.outcome;
            let spans = outcome.actions.iter().filter_map(|p| p.span);
            let fault = outcome.error.as_ref().and_then(|e| e.span);
            for span in spans.chain(fault) {
                places.push((run.result.level, span, run.script.sources.place(span).to_string()));
            }
        }
        Places { places }
    }

    fn get(&self, level: Level, span: Option<Span>) -> Option<&str> {
        let span = span?;
        let mut same = self.places.iter().filter(|(l, s, _)| *l == level && *s == span);
        same.next().map(|(_, _, place)| place.as_str())
    }

    /// A fault with its place.
    pub fn fault(&self, level: Level, fault: &Fault) -> String {
        match self.get(level, fault.span) {
            Some(place) => format!("{place}: {fault}"),
            None => fault.to_string(),
        }
    }

    /// `[ fileinto "Lists" ] sieve/alice.sieve:3:5`.
    pub fn log(&self, actions: &[Performed]) -> String {
        let (mut done, mut places) = (Vec::new(), Vec::new());
        for performed in actions {
            let implicit = matches!(performed.action, Action::Keep { implicit: true, .. });
            if implicit {
                continue;
            }
            done.push(performed.action.to_string());
            places.extend(self.get(performed.level.unwrap_or_default(), performed.span));
        }
        if done.is_empty() {
            return "[]".into();
        }
        let text = format!("[ {} ] {}", done.join(" "), places.join(" "));
        text.trim_end().to_string()
    }

    /// `fileinto "Lists" at sieve/alice.sieve:3:5, redirect ...`.
    pub fn tell(&self, actions: &[Performed]) -> String {
        let one = |p: &Performed| match self.get(p.level.unwrap_or_default(), p.span) {
            Some(place) => format!("{} at {place}", p.action),
            None => format!("{} (implicit)", p.action),
        };
        actions.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
