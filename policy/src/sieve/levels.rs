//! Scripts of several levels on one message: who wins (specification B2).
//!
//! Scripts are run in the order of evaluation, each as a run of its own; [`merge`] puts their outcomes
//! together. The most specific one with an explicit action decides; side effects of all are performed.

use std::sync::Arc;

use super::outcome::{Action, Performed, SieveOutcome, Verdict};
use super::request::Level;
use crate::message::{Message, Overlay};

/// What one script came to, the most specific last: verdict, system, source channel, destination channel,
/// domain, head of household, user.
#[derive(Debug, Clone)]
pub struct LevelResult {
    /// On whose behalf it ran.
    pub level: Level,
    /// What it came to. After an error it counts as having no result.
    pub outcome: SieveOutcome,
}

/// What is to be done.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Merged {
    /// Actions of the winner and side effects of all, in order; the implicit keep last.
    pub actions: Vec<Performed>,
    /// The header at the end; `None` where it is unchanged.
    #[serde(skip)]
    pub headers: Option<Arc<Overlay>>,
    /// The message at the end; `None` where there was no script.
    #[serde(skip)]
    pub message: Option<Arc<Message>>,
}

/// Puts outcomes together; none means an implicit keep, which the caller adds.
pub fn merge(results: Vec<LevelResult>) -> Merged {
    let headers = results.last().and_then(|r| r.outcome.headers.clone());
    let message = results.last().map(|r| Arc::clone(&r.outcome.message));
    let several = results.len() > 1;
    let verdicts = |r: &LevelResult| -> Vec<Verdict> {
        r.outcome
            .actions
            .iter()
            .filter_map(|p| Verdict::of(&p.action))
            .collect()
    };
    let jettisoned = results
        .iter()
        .position(|r| verdicts(r).contains(&Verdict::Jettison));
    let refused = results
        .iter()
        .position(|r| r.level == Level::System && verdicts(r).contains(&Verdict::Refuse));
    let specific = results.iter().rposition(|r| !verdicts(r).is_empty());
    let winner = jettisoned.or(refused).or(specific);
    let final_word = if jettisoned.is_some() {
        Some(Verdict::Jettison)
    } else {
        refused.map(|_| Verdict::Refuse)
    };
    let novacation = results.iter().any(|r| {
        r.level == Level::System && r.outcome.actions.iter().any(|p| p.action == Action::NoVacation)
    });
    let silenced = novacation
        || final_word.is_some()
        || winner.and_then(|w| results.get(w)).is_some_and(|r| {
            let v = verdicts(r);
            let rejects = v
                .iter()
                .any(|v| matches!(v, Verdict::Reject | Verdict::EReject | Verdict::Refuse));
            rejects || (r.level == Level::System && v.contains(&Verdict::Discard))
        });
    let mut merged = Merged {
        actions: Vec::new(),
        headers,
        message,
    };
    let mut implicit = None;
    for (n, result) in results.into_iter().enumerate() {
        let (last_headers, last_message) = (
            result.outcome.headers.clone(),
            Arc::clone(&result.outcome.message),
        );
        for mut performed in result.outcome.actions {
            if several {
                performed.level = Some(result.level);
            }
            // What was delivered as the level left it gets the edits of the levels behind it, too.
            if performed.headers == last_headers && Arc::ptr_eq(&performed.message, &last_message) {
                performed.headers.clone_from(&merged.headers);
                if let Some(message) = &merged.message {
                    performed.message = Arc::clone(message);
                }
            }
            let verdict = Verdict::of(&performed.action);
            match (&performed.action, verdict) {
                (Action::Keep { implicit: true, .. }, _) => implicit = Some(performed),
                (Action::Vacation { .. }, _) if silenced => {}
                (_, None) => merged.actions.push(performed),
                (_, Some(v)) if Some(n) == winner && final_word.is_none_or(|f| f == v) => {
                    merged.actions.push(performed)
                }
                _ => {}
            }
        }
    }
    if winner.is_none()
        && let Some(keep) = implicit
    {
        merged.actions.push(keep);
    }
    merged
}
