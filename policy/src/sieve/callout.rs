//! Running the operators `memcache` and `metermaid`: they are the routines that mapping tables call, asked
//! in the same way, so that one driver serves both languages.

use grammar::Span;

use super::evaluate::ask_once;
use super::frame::{Frame, Halt};
use super::lower::callout::malformed;
use super::program::Callout;
use crate::ask::{Answer, Ask, Effect, Read, Routine};
use crate::machine::Context;
use crate::trace::Kind;

/// The flag of `check_memcache.so` that makes a throttle penalize.
const PENALIZE: u32 = 32;

impl Frame {
    /// Whether the operation succeeded; a failure of any kind is a no.
    pub(super) fn callout(
        &mut self,
        cx: &mut Context<'_>,
        callout: &Callout,
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<bool, Halt> {
        let name = if callout.memcache { "memcache" } else { "metermaid" };
        let prefix = self
            .render_option(cx, callout.prefix.as_ref(), span)?
            .unwrap_or_default();
        let key = self.render(cx, &callout.key, span)?;
        let hosts = self.render_all(cx, &callout.server.hosts, span)?;
        let rest = self.render_all(cx, &callout.rest, span)?;
        let secret = self.render_option(cx, callout.server.secret.as_ref(), span)?;
        for (text, kind) in rest.iter().zip(kinds(callout.operation)) {
            if let Some(help) = malformed(kind, text) {
                return Err(Halt::fault(format!("\"{text}\" is no {kind}: {help}"), span));
            }
        }
        let last_may_hold_commas = !callout.memcache && callout.operation == "store";
        let splits = key.contains(',')
            || prefix.contains(',')
            || hosts.iter().any(|h| h.contains([',', ';']))
            || (!last_may_hold_commas && rest.iter().any(|r| r.contains(',')));
        if splits {
            cx.trace.add(Kind::Test, Some(span), || {
                format!("{name}: a comma in the arguments: false")
            });
            return Ok(false);
        }
        let argument = if callout.memcache {
            let flags = if callout.penalize {
                PENALIZE.to_string()
            } else {
                String::new()
            };
            let mut all = vec![flags, hosts.join(";"), format!("{prefix}{key}")];
            all.extend(rest);
            all.extend(callout.timeout.map(|t| t.to_string()));
            all.join(",")
        } else {
            let mut all = vec![prefix, key];
            all.extend(rest);
            all.join(",")
        };
        let image = if callout.memcache {
            "check_memcache.so"
        } else {
            "check_metermaid.so"
        };
        let routine = Routine {
            image: image.to_owned(),
            routine: callout.operation.to_owned(),
            quoted: argument.replace('$', "$$"),
            argument,
        };
        let elsewhere =
            !callout.memcache && (!hosts.is_empty() || callout.server.port.is_some() || secret.is_some());
        let ask = || {
            vec![if elsewhere {
                let host = hosts.first().cloned();
                Ask::Effect(Effect::MeterMaidAt {
                    routine,
                    host,
                    port: callout.server.port,
                    secret,
                })
            } else if routine.is_read() {
                Ask::Read(Read::Routine(routine))
            } else {
                Ask::Effect(Effect::Routine(routine))
            }]
        };
        let answer = ask_once(answers, ask)?.pop();
        let found = matches!(answer, Some(Answer::Found(_)));
        cx.trace.add(Kind::Test, Some(span), || {
            format!("{name} :{}: {found}", callout.operation)
        });
        if let (true, Some(Answer::Found(value))) = (callout.captures, answer) {
            cx.build(value.len(), Some(span))?;
            self.matched = vec![value];
        }
        Ok(found)
    }
}

/// What the arguments behind the key are.
fn kinds(operation: &str) -> &'static [&'static str] {
    match operation {
        "adjust" => &["delta"],
        "test" => &["expression"],
        "adjust_and_test" => &["delta", "expression"],
        "throttle" => &["quota", "quota time"],
        "greylisting" => &["lockout", "timeout"],
        _ => &[],
    }
}
