//! The look-ups of a template: what it asks, and what it does with the answers.

use grammar::Span;
use grammar::imta::PartKind;

use super::checks::{AfterChecks, Checks};
use super::{Frame, Ran};
use crate::ask::{Answer, Ask, Effect, Read, Routine};
use crate::machine::{Context, Outcome, Transfer};
use crate::style::Argument;
use crate::trace::Kind;

/// Results expanded again within results expanded again.
const RESCAN_LIMIT: usize = 10;

#[derive(Debug, Clone)]
pub(super) enum Waiting {
    General,
    Mapping,
    Url,
    Routine,
    Domain {
        domain: String,
        checks_then: AfterChecks,
    },
}

impl Frame {
    /// Begins a look-up with its argument.
    pub(super) fn look_up(&mut self, cx: &mut Context<'_>, kind: &PartKind, argument: Argument) -> Ran {
        let (waiting, ask) = match kind {
            PartKind::Mapping { table, .. } => {
                let Some(table) = cx.program.table(table) else {
                    return Ran::Failed(format!("there is no mapping table {table}"));
                };
                if let Some(t) = &mut self.template {
                    t.waiting = Some(Waiting::Mapping);
                }
                let input = argument.plain;
                return Ran::Transfer(Transfer::Call { table, input });
            }
            PartKind::Routine { image, routine, .. } => {
                let routine = Routine {
                    image: image.rsplit(['/', ':']).next().unwrap_or(image).to_string(),
                    routine: routine.clone(),
                    argument: argument.plain,
                    quoted: argument.quoted,
                };
                let ask = if routine.is_read() {
                    Ask::Read(Read::Routine(routine))
                } else {
                    Ask::Effect(Effect::Routine(routine))
                };
                (Waiting::Routine, ask)
            }
            PartKind::Url(_) => (Waiting::Url, Ask::Read(Read::Url { url: argument.plain })),
            _ => (Waiting::General, Ask::Read(Read::General { key: argument.plain })),
        };
        if let Some(t) = &mut self.template {
            t.waiting = Some(waiting);
        }
        Ran::Transfer(Transfer::Ask(vec![ask]))
    }

    pub(super) fn returned(&mut self, cx: &mut Context<'_>, value: Option<Outcome>) -> Option<Ran> {
        let t = self.template.as_mut()?;
        t.waiting = None;
        match value {
            Some(Outcome::Mapping(result)) if result.accepted() => self.expand_again(cx, &result.output),
            Some(_) => Some(Ran::Failed("the mapping did not set $Y".into())),
            None => Some(Ran::Failed("look-ups are nested too deeply".into())),
        }
    }

    pub(super) fn answered(&mut self, cx: &mut Context<'_>, answers: Vec<Answer>) -> Option<Ran> {
        let t = self.template.as_mut()?;
        let waiting = t.waiting.take()?;
        let answer = answers.into_iter().next()?;
        match (waiting, answer) {
            (Waiting::Domain { domain, checks_then }, answer) => {
                let local = match answer {
                    Answer::Found(_) => true,
                    Answer::NotFound | Answer::NotConfigured(_) => false,
                    Answer::Temporary(why) => {
                        cx.trace.add(Kind::Note, None, || {
                            format!("    {why}: DOMAIN_FAILURE takes over")
                        });
                        t.checks = Checks::default();
                        let failure = cx.program.rules.domain_failure.clone();
                        t.segments = vec![(failure, 0)];
                        if let AfterChecks::Field(separator) = checks_then {
                            t.fields.push((separator, String::new()));
                        }
                        return None;
                    }
                };
                t.known_domains.push((domain, local));
                self.checkpoint(cx, checks_then)
                    .unwrap_or_else(|e| Some(Ran::Transfer(Transfer::Error(e))))
            }
            (Waiting::General, Answer::Found(text)) => self.expand_again(cx, &text),
            (_, Answer::Found(text)) => match t.put(cx, &text, true, None) {
                Ok(()) => None,
                Err(error) => Some(Ran::Transfer(Transfer::Error(error))),
            },
            (Waiting::Url, Answer::Temporary(_) | Answer::NotConfigured(_)) if t.temporary.is_some() => {
                let text = t.temporary.clone().unwrap_or_default();
                t.fields = vec![(' ', String::new())];
                t.segments.clear();
                self.expand_again(cx, &text)
            }
            (_, Answer::NotFound) => Some(Ran::Failed("the look-up found nothing".into())),
            (_, Answer::Temporary(why) | Answer::NotConfigured(why)) => Some(Ran::Failed(why)),
        }
    }

    /// Executes a result as part of the template.
    fn expand_again(&mut self, cx: &mut Context<'_>, text: &str) -> Option<Ran> {
        let t = self.template.as_mut()?;
        if t.segments.len() > RESCAN_LIMIT {
            return Some(Ran::Failed("results are expanded again too deeply".into()));
        }
        cx.trace
            .add(Kind::Substitute, None, || format!("    puts in \"{text}\""));
        let at = |_: std::ops::Range<usize>| Span::default();
        let mut problems = Vec::new();
        let parts = grammar::imta::parse_template(text, &at, &mut problems);
        for problem in problems {
            cx.trace.add(Kind::Note, None, || {
                format!("    in the result: {}", problem.message)
            });
        }
        t.segments.push((parts.into(), 0));
        None
    }
}
