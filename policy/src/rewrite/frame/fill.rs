//! The execution of a template: its substitutions fill the fields of an address, or the argument of a look-up.

use std::borrow::Cow;
use std::sync::Arc;

use grammar::Span;
use grammar::imta::{Match, Part, PartKind};

use super::checks::{AfterChecks, Checks};
use super::look_up::Waiting;
use super::probes::Form;
use super::{Frame, Ran};
use crate::address::split_subaddress;
use crate::machine::{Context, RunError};
use crate::style::{Argument, Style};

/// A template being executed.
#[derive(Debug)]
pub(super) struct Template {
    pub segments: Vec<(Arc<[Part]>, usize)>,
    pub rule: usize,
    /// The form of the host that the rule was found by.
    pub form: Form,
    /// The fields so far, each after the separator that began it.
    pub fields: Vec<(char, String)>,
    pub checks: Checks,
    pub style: Style,
    /// The argument of a look-up that is being built.
    pub argument: Option<Argument>,
    pub temporary: Option<String>,
    /// A `$,` was seen: text up to the next `@` is only shown.
    pub aside: bool,
    pub waiting: Option<Waiting>,
    pub known_domains: Vec<(String, bool)>,
}

/// What became of a part that may be a substitution.
enum Put {
    /// It was put in.
    Done,
    /// The address has no such thing: the rule fails.
    Missing(&'static str),
    /// It is no substitution.
    Other,
}

impl Frame {
    /// Executes the template up to a look-up or its end.
    pub(super) fn execute(&mut self, cx: &mut Context<'_>) -> Result<Ran, RunError> {
        loop {
            let Some(t) = &mut self.template else {
                return Ok(Ran::Failed("no template".into()));
            };
            let Some((parts, next)) = t.segments.last_mut() else {
                let ran = self.checkpoint(cx, AfterChecks::End)?;
                return Ok(ran.unwrap_or(Ran::Done));
            };
            let parts = parts.clone();
            let Some(part) = parts.get(*next) else {
                t.segments.pop();
                continue;
            };
            *next += 1;
            let place = (part.span != Span::default()).then_some(part.span);
            cx.burn(1, place)?;
            if let Some(ran) = self.part(cx, part, place)? {
                return Ok(ran);
            }
        }
    }

    fn part(
        &mut self,
        cx: &mut Context<'_>,
        part: &Part,
        place: Option<Span>,
    ) -> Result<Option<Ran>, RunError> {
        match self.substitute(cx, part, place)? {
            Put::Done => return Ok(None),
            Put::Missing(what) => return Ok(Some(Ran::Failed(format!("the address has no {what}")))),
            Put::Other => {}
        }
        let request = &self.request;
        let Some(t) = &mut self.template else {
            return Ok(None);
        };
        match &part.kind {
            PartKind::At => return self.checkpoint(cx, AfterChecks::Field('@')),
            PartKind::Percent => return self.checkpoint(cx, AfterChecks::Field('%')),
            PartKind::Temporary(text) => t.temporary = Some(text.clone()),
            PartKind::DestinationHost => t.aside = true,
            PartKind::When(Match::Envelope) if !request.envelope => {
                return Ok(Some(Ran::Failed("$E: not an envelope address".into())));
            }
            PartKind::When(Match::Header) if request.envelope => {
                return Ok(Some(Ran::Failed("$B: not a header address".into())));
            }
            PartKind::When(Match::Forward) if !request.forward => {
                return Ok(Some(Ran::Failed("$F: not forward-pointing".into())));
            }
            PartKind::When(Match::Backward) if request.forward => {
                return Ok(Some(Ran::Failed("$R: not backward-pointing".into())));
            }
            PartKind::When(_) => {}
            PartKind::Source { is: true, channel } => t.checks.source_is.push(channel.clone()),
            PartKind::Source { channel, .. } => t.checks.source_is_not.push(channel.clone()),
            PartKind::Internal { is } => t.checks.internal = Some(*is),
            PartKind::Destination { is: true, channel } => t.checks.destination_is.push(channel.clone()),
            PartKind::Destination { channel, .. } => t.checks.destination_is_not.push(channel.clone()),
            PartKind::DomainCheck { is, domain } => {
                let domain = match self.argument(cx, domain)? {
                    Ok(argument) => argument.plain,
                    Err(failed) => return Ok(Some(failed)),
                };
                if let Some(t) = &mut self.template {
                    t.checks.domains.push((*is, domain));
                }
            }
            PartKind::CheckNow => return self.checkpoint(cx, AfterChecks::Now),
            PartKind::Tag(tag) => self.tag = tag.to_ascii_lowercase(),
            PartKind::ErrorText { status, text } => {
                self.error = Some((*status, text.clone()));
                let only = t.segments.len() == 1 && t.segments[0].0.len() == 1;
                if only {
                    return Ok(Some(Ran::Stop));
                }
            }
            PartKind::General(argument)
            | PartKind::Url(argument)
            | PartKind::Routine { argument, .. }
            | PartKind::Mapping { argument, .. } => {
                let argument = match self.argument(cx, argument)? {
                    Ok(argument) => argument,
                    Err(failed) => return Ok(Some(failed)),
                };
                return Ok(Some(self.look_up(cx, &part.kind, argument)));
            }
            // put in above
            _ => {}
        }
        Ok(None)
    }

    /// Builds the argument of a look-up or a domain check, in the style that is in force; a component that
    /// the address lacks fails the rule there as anywhere.
    fn argument(&mut self, cx: &mut Context<'_>, parts: &[Part]) -> Result<Result<Argument, Ran>, RunError> {
        if let Some(t) = &mut self.template {
            t.argument = Some(Argument::default());
        }
        let mut failed = None;
        for part in parts {
            let place = (part.span != Span::default()).then_some(part.span);
            cx.burn(1, place)?;
            match self.substitute(cx, part, place)? {
                Put::Done => {}
                Put::Missing(what) => failed = Some(format!("the address has no {what}")),
                // the scanner lets nothing else into an argument
                Put::Other => failed = Some("an argument holds more than substitutions".into()),
            }
            if failed.is_some() {
                break;
            }
        }
        let argument = self.template.as_mut().and_then(|t| t.argument.take());
        Ok(match failed {
            Some(why) => Err(Ran::Failed(why)),
            None => Ok(argument.unwrap_or_default()),
        })
    }

    /// Puts in what a substitution stands for: into the argument that is being built, else into the field.
    fn substitute(
        &mut self,
        cx: &mut Context<'_>,
        part: &Part,
        place: Option<Span>,
    ) -> Result<Put, RunError> {
        let Some(t) = &mut self.template else {
            return Ok(Put::Other);
        };
        let (form, host) = (t.form, self.host.as_str());
        let text: Option<Cow<'_, str>> = match &part.kind {
            PartKind::Text(text) => {
                t.put(cx, text, false, place)?;
                return Ok(Put::Done);
            }
            PartKind::Unique => {
                let text = unique(cx.random_bits());
                t.put(cx, &text, false, place)?;
                return Ok(Put::Done);
            }
            PartKind::Case(case) => {
                t.style.set_case(*case);
                return Ok(Put::Done);
            }
            PartKind::QuoteLdap => {
                t.style.quote_ldap();
                return Ok(Put::Done);
            }
            PartKind::Local(which) => {
                let (name, sub) = split_subaddress(&self.user, '+');
                Some(Cow::Borrowed(match which {
                    Some(0) => name,
                    Some(_) => sub,
                    None => self.user.as_str(),
                }))
            }
            PartKind::Subaddress => {
                let (_, sub) = split_subaddress(&self.user, '+');
                Some(Cow::Borrowed(sub.strip_prefix('+').unwrap_or(sub)))
            }
            PartKind::Address => Some(Cow::Owned(self.address.to_string())),
            PartKind::Domain(n) => of(form.domain(host), |d| Some(skip_components(d, *n))),
            PartKind::Host(n) => Some(skip_components(form.host(host), *n).into()),
            PartKind::Literal => Some(form.literal(host).into()),
            PartKind::HostFromLeft(n) => component(form.host(host), *n, false).map(Cow::Borrowed),
            PartKind::HostFromRight(n) => component(form.host(host), *n, true).map(Cow::Borrowed),
            PartKind::DomainFromLeft(n) => of(form.domain(host), |d| component(d, *n, false)),
            PartKind::DomainFromRight(n) => of(form.domain(host), |d| component(d, *n, true)),
            PartKind::AddressCharacter(n) => {
                let character = self.address.to_string().chars().nth(*n as usize);
                character.map(|c| Cow::Owned(c.to_string()))
            }
            PartKind::MailHost(n) => component(&cx.program.rules.local_host, *n, false).map(Cow::Borrowed),
            _ => return Ok(Put::Other),
        };
        match text {
            Some(text) => t.put(cx, &text, true, place).map(|()| Put::Done),
            None => Ok(Put::Missing(match &part.kind {
                PartKind::HostFromLeft(_) | PartKind::HostFromRight(_) => "such component of the host part",
                PartKind::DomainFromLeft(_) | PartKind::DomainFromRight(_) => {
                    "such component of the domain part"
                }
                PartKind::AddressCharacter(_) => "such character",
                _ => "such component of the mail host",
            })),
        }
    }
}

impl Template {
    pub(super) fn put(
        &mut self,
        cx: &mut Context<'_>,
        text: &str,
        substituted: bool,
        place: Option<Span>,
    ) -> Result<(), RunError> {
        cx.build(text.len(), place)?;
        match (&mut self.argument, self.fields.last_mut()) {
            (Some(argument), _) => self.style.write_argument(argument, text, substituted),
            (None, Some((_, out))) if !self.aside => self.style.write(out, text, substituted),
            _ => {}
        }
        Ok(())
    }
}

/// `$W`: twelve letters and digits.
fn unique(mut bits: u64) -> String {
    let mut text = String::new();
    for _ in 0..12 {
        let digit = char::from_digit((bits % 36) as u32, 36).unwrap_or('0');
        text.push(digit.to_ascii_uppercase());
        bits /= 36;
    }
    text
}

/// A part of a text.
fn of<'a>(text: Cow<'a, str>, part: impl Fn(&str) -> Option<&str>) -> Option<Cow<'a, str>> {
    match text {
        Cow::Borrowed(text) => part(text).map(Cow::Borrowed),
        Cow::Owned(text) => part(&text).map(|p| Cow::Owned(p.to_string())),
    }
}

/// A host without its leftmost `n` components; a leading dot stays.
fn skip_components(host: &str, n: u8) -> &str {
    if n == 0 {
        return host;
    }
    let bare = host.strip_prefix('.').unwrap_or(host);
    let mut rest = bare;
    for _ in 0..n {
        match rest.split_once('.') {
            Some((_, r)) => rest = r,
            None => return "",
        }
    }
    rest
}

fn component(host: &str, n: u8, from_right: bool) -> Option<&str> {
    let mut parts = host.split('.').filter(|p| !p.is_empty());
    if from_right {
        parts.nth_back(n as usize)
    } else {
        parts.nth(n as usize)
    }
}
