//! What follows a rule that succeeded, or none that did: the new address, the next host, the channel.

use super::Frame;
use crate::machine::{Context, Outcome, Transfer};
use crate::rewrite::{RESTART_LIMIT, RewriteError, Rewritten, UNKNOWN_HOST};
use crate::trace::Kind;

impl Frame {
    /// Applies the fields of a rule that succeeded.
    pub(super) fn apply(&mut self, cx: &mut Context<'_>) -> Option<Transfer> {
        let t = self.template.take()?;
        let span = cx.program.rules.rules.get(t.rule).map(|r| r.span);
        let mut fields = t.fields;
        let (local, host, via, tag) = match fields.as_mut_slice() {
            [(_, user), ('%', host)] => {
                self.restarts += 1;
                if self.restarts > RESTART_LIMIT {
                    cx.trace.add(Kind::Fail, span, || {
                        format!("    a host was rewritten more than {RESTART_LIMIT} times")
                    });
                    return Some(self.refuse(cx, "5.1.2", "illegal host/domain specified"));
                }
                self.user = std::mem::take(user);
                self.host = std::mem::take(host);
                let (user, host) = (&self.user, &self.host);
                cx.trace.add(Kind::Note, span, || {
                    format!("    becomes {user}@{host}, rewritten again")
                });
                self.look_for_host(false);
                return None;
            }
            [(_, local), ('@', host)] => (&*local, &*host, None, &*host),
            [(_, local), ('%', host), ('@', tag)] => (&*local, &*host, None, &*tag),
            [(_, local), ('@', host), ('@', via)] => (&*local, &*host, Some(via.as_str()), &*via),
            [(_, local), ('@', host), ('@', via), ('@', tag)] => (&*local, &*host, Some(via.as_str()), &*tag),
            _ => {
                cx.trace
                    .add(Kind::Fail, span, || "    the template builds no address".into());
                return None;
            }
        };
        if local.is_empty() || host.is_empty() {
            cx.trace.add(Kind::Fail, span, || {
                "    the template leaves the local part or the host empty".into()
            });
            return None;
        }
        cx.trace.add(Kind::Note, span, || match via {
            Some(via) => format!("    becomes @{via}:{local}@{host}, routed to {tag}"),
            None => format!("    becomes {local}@{host}, routed to {tag}"),
        });
        self.finish_specification(cx, local, host, via, tag)
    }

    /// The finishing rule: a route through the local host is removed and the next host looked at;
    /// otherwise the rewriting is done.
    pub(super) fn finish_specification(
        &mut self,
        cx: &mut Context<'_>,
        local: &str,
        host: &str,
        via: Option<&str>,
        tag: &str,
    ) -> Option<Transfer> {
        let specification = self.specification.take()?;
        let rules = &cx.program.rules;
        let entry = rules.host(tag);
        let ours = entry.is_some_and(|e| {
            e.channel == 0
                || rules
                    .channels
                    .get(e.channel as usize)
                    .is_some_and(|c| c.route_local)
        });
        if ours {
            let rest = self.address.without(&specification);
            if rest.first_host(self.request.binding).is_some() {
                cx.trace.add(Kind::Note, None, || {
                    format!(
                        "  {} is this host: the route ends, {rest} is left",
                        specification.host
                    )
                });
                self.address = rest;
                self.extract(cx);
                return None;
            }
        }
        self.address = self.address.replaced(&specification, local, host, via);
        Some(self.route(cx, tag))
    }

    /// Looks the channel up and ends.
    pub(super) fn route(&mut self, cx: &mut Context<'_>, tag: &str) -> Transfer {
        let rules = &cx.program.rules;
        let Some(entry) = rules.host(tag) else {
            let (status, text) = match &self.error {
                Some((status, text)) => (status_text(*status), text.clone()),
                None => ("5.1.2".to_string(), UNKNOWN_HOST.to_string()),
            };
            cx.trace.add(Kind::Result, None, || {
                format!("  no channel has the host name {tag}: {status} {text}")
            });
            return self.refuse_with(status, text, tag);
        };
        if let Some(proper) = &entry.proper_name
            && self.request.envelope
            && self.request.forward
            && let Some(domain) = &mut self.address.domain
            && domain.eq_ignore_ascii_case(tag)
        {
            *domain = proper.to_string();
        }
        let channel = rules.channels.get(entry.channel as usize).map(|c| c.name.clone());
        let address = self.address.to_string();
        cx.trace.add(Kind::Result, self.rule_span, || {
            format!(
                "  result {address}, channel {}",
                channel.as_deref().unwrap_or("?")
            )
        });
        let result = Rewritten {
            address,
            host: tag.to_string(),
            channel,
            error: None,
            rule: self.rule_span,
        };
        Transfer::Done(Outcome::Address(result))
    }

    pub(super) fn refuse(&mut self, cx: &mut Context<'_>, status: &str, text: &str) -> Transfer {
        cx.trace
            .add(Kind::Result, None, || format!("  refused: {status} {text}"));
        self.refuse_with(status.to_string(), text.to_string(), "")
    }

    fn refuse_with(&mut self, status: String, text: String, host: &str) -> Transfer {
        let address = match self.address.local.is_empty() {
            true => self.request.address.clone(),
            false => self.address.to_string(),
        };
        Transfer::Done(Outcome::Address(Rewritten {
            address,
            host: host.to_string(),
            channel: None,
            error: Some(RewriteError { status, text }),
            rule: self.rule_span,
        }))
    }
}

/// `5001002` is 5.1.2.
fn status_text(status: u32) -> String {
    match status {
        0 => "5.1.2".to_string(),
        n => format!("{}.{}.{}", n / 1_000_000, n / 1000 % 1000, n % 1000),
    }
}
