//! The conditions of a rule that wait for the end of a field: channels and domains (`$M $N $Q $C $V $Z`).

use super::look_up::Waiting;
use super::{Frame, Ran};
use crate::ask::{Ask, Read};
use crate::machine::{Context, RunError, Transfer};
use crate::trace::Kind;

/// What goes on when pending checks were satisfied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum AfterChecks {
    /// A new field begins.
    Field(char),
    /// `$1~`.
    Now,
    /// The template is at its end.
    End,
}

#[derive(Debug, Default)]
pub(super) struct Checks {
    pub source_is: Vec<String>,
    pub source_is_not: Vec<String>,
    pub internal: Option<bool>,
    pub destination_is: Vec<String>,
    pub destination_is_not: Vec<String>,
    pub domains: Vec<(bool, String)>,
}

impl Checks {
    fn is_empty(&self) -> bool {
        let names = [
            &self.source_is,
            &self.source_is_not,
            &self.destination_is,
            &self.destination_is_not,
        ];
        self.internal.is_none() && self.domains.is_empty() && names.iter().all(|list| list.is_empty())
    }
}

impl Frame {
    /// Evaluates pending checks, asking for domains that are not known yet. `None`: the template goes on; at
    /// its end the rule has succeeded.
    pub(super) fn checkpoint(
        &mut self,
        cx: &mut Context<'_>,
        then: AfterChecks,
    ) -> Result<Option<Ran>, RunError> {
        let request = &self.request;
        let Some(t) = &mut self.template else {
            return Ok(Some(Ran::Failed("no template".into())));
        };
        let no_rules = |name: &str| {
            cx.program
                .rules
                .channels
                .iter()
                .any(|c| c.no_rules && c.name.eq_ignore_ascii_case(name))
        };
        let mut failed = None;
        // most templates have none, and the channels need not be searched
        let any = !t.checks.is_empty();
        if any && !no_rules(&request.source_channel) {
            let source = &request.source_channel;
            let any = |list: &[String]| list.iter().any(|c| channel_matches(c, source));
            if !t.checks.source_is.is_empty() && !any(&t.checks.source_is) {
                // `$Mchan` and `$1M` are one OR
                if t.checks.internal != Some(true) || !is_internal(source) {
                    failed = Some(format!("$M: the source channel is {source}"));
                }
            } else if any(&t.checks.source_is_not) {
                failed = Some(format!("$N: the source channel is {source}"));
            }
            if t.checks.source_is.is_empty() && t.checks.internal.is_some_and(|is| is != is_internal(source))
            {
                failed = Some(format!("$1M/$1N: the source channel is {source}"));
            }
        }
        // the destination of an envelope To address is what is being found out
        if any
            && !(request.envelope && request.forward)
            && let Some(destination) = &request.destination_channel
            && !no_rules(destination)
        {
            let any = |list: &[String]| list.iter().any(|c| channel_matches(c, destination));
            if !t.checks.destination_is.is_empty() && !any(&t.checks.destination_is) {
                failed = Some(format!("$Q: the destination channel is {destination}"));
            } else if any(&t.checks.destination_is_not) {
                failed = Some(format!("$C: the destination channel is {destination}"));
            }
        }
        if failed.is_none() {
            for (is, domain) in &t.checks.domains {
                match t.known_domains.iter().find(|(d, _)| d == domain) {
                    Some((_, local)) if local == is => {}
                    Some((_, local)) => {
                        let word = if *local { "is" } else { "is not" };
                        failed = Some(format!("domain {domain} {word} served here"));
                        break;
                    }
                    None => {
                        let domain = domain.clone();
                        t.waiting = Some(Waiting::Domain {
                            domain: domain.clone(),
                            checks_then: then,
                        });
                        let ask = Ask::Read(Read::DomainIsLocal { domain });
                        return Ok(Some(Ran::Transfer(Transfer::Ask(vec![ask]))));
                    }
                }
            }
        }
        t.checks = Checks::default();
        match (failed, then) {
            (Some(why), AfterChecks::Now) => {
                cx.trace.add(Kind::Test, None, || {
                    format!("    $1~: {why}: the template ends here")
                });
                t.segments.clear();
                Ok(Some(Ran::Done))
            }
            (Some(why), _) => Ok(Some(Ran::Failed(why))),
            (None, AfterChecks::Field(separator)) => {
                t.fields.push((separator, String::new()));
                t.aside = false;
                Ok(None)
            }
            (None, AfterChecks::Now | AfterChecks::End) => Ok(None),
        }
    }
}

/// Channel operands may hold `*`.
fn channel_matches(operand: &str, channel: &str) -> bool {
    let channel = channel.to_ascii_lowercase();
    match operand.split_once('*') {
        Some((head, tail)) => {
            channel.len() >= head.len() + tail.len() && channel.starts_with(head) && channel.ends_with(tail)
        }
        None => operand == channel,
    }
}

/// Channels that put mail back into the queue themselves.
fn is_internal(channel: &str) -> bool {
    let base = channel.split('_').next().unwrap_or(channel);
    base.eq_ignore_ascii_case("process") || base.eq_ignore_ascii_case("reprocess")
}
