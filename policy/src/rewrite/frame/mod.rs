//! One rewriting of one address.
//!
//! [`Frame`] scans the rules for the forms of a host (`probes`), executes the template of each that applies
//! (`fill`, with its look-ups and its checks) and finishes with what the template built.

mod checks;
mod fill;
mod finish;
mod look_up;
mod probes;

use grammar::Span;
use grammar::imta::Match;

use self::checks::Checks;
use self::fill::Template;
use self::probes::{Form, Probes};
use super::{Request, Rule};
use crate::address::{Address, Location, Specification};
use crate::machine::{Context, Resume, Transfer};
use crate::style::Style;
use crate::trace::Kind;

/// The state of a rewriting.
#[derive(Debug)]
pub(crate) struct Frame {
    request: Request,
    address: Address,
    specification: Option<Specification>,
    /// The host that is being looked for, and the local part that goes with it: those of the
    /// specification, until an `A%B` template puts others in their place.
    host: String,
    user: String,
    location: Location,
    restarts: u32,
    /// The tag of the rules that are asked, in lower case.
    tag: String,
    error: Option<(u32, String)>,
    rule_span: Option<Span>,
    probes: Probes,
    next_rule: usize,
    template: Option<Template>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The rules for the probes of the host.
    Rules,
    /// The `$%` or `$!` rule, after all else failed.
    LastResort,
}

/// What executing a template came to.
enum Ran {
    /// It needs something.
    Transfer(Transfer),
    /// The rule failed.
    Failed(String),
    /// The rule succeeded.
    Done,
    /// Rewriting stops here: the template was an error text only.
    Stop,
}

impl Frame {
    pub fn new(request: Request) -> Self {
        Frame {
            request,
            address: Address::default(),
            specification: None,
            host: String::new(),
            user: String::new(),
            location: Location::At,
            restarts: 0,
            tag: String::new(),
            error: None,
            rule_span: None,
            probes: Probes::default(),
            next_rule: 0,
            template: None,
            phase: Phase::Rules,
        }
    }

    /// Runs until the address is rewritten, or needs a mapping or the outside.
    pub fn run(&mut self, cx: &mut Context<'_>, resume: Resume) -> Transfer {
        let mut ran = None;
        match resume {
            Resume::Start => {
                let r = &self.request;
                cx.trace.add(Kind::Probe, None, || {
                    let kind = if r.envelope { "envelope" } else { "header" };
                    let way = if r.forward { "forward" } else { "backward" };
                    format!(
                        "rewriting {kind} {way}-pointing address {}, source channel {}",
                        r.address, r.source_channel
                    )
                });
                match Address::parse(&r.address) {
                    Ok(address) => self.address = address,
                    Err(why) => return self.refuse(cx, "5.1.3", &why.to_string()),
                }
                self.extract(cx);
            }
            Resume::Returned(value) => ran = self.returned(cx, value),
            Resume::Answered(answers) => ran = self.answered(cx, answers),
        }
        loop {
            let result = match ran.take() {
                Some(ran) => Ok(ran),
                None if self.template.is_some() => self.execute(cx),
                None => {
                    if let Some(done) = self.next(cx) {
                        return done;
                    }
                    continue;
                }
            };
            match result {
                Err(error) => return Transfer::Error(error),
                Ok(Ran::Transfer(transfer)) => return transfer,
                Ok(Ran::Failed(why)) => {
                    let span = self.rule_span;
                    cx.trace
                        .add(Kind::Fail, span, || format!("    rule fails: {why}"));
                    self.template = None;
                }
                Ok(Ran::Done) => {
                    if let Some(transfer) = self.apply(cx) {
                        return transfer;
                    }
                }
                Ok(Ran::Stop) => {
                    self.template = None;
                    let host = self.host.clone();
                    return self.route(cx, &host);
                }
            }
        }
    }

    /// Takes the first host of the address and begins to look for it.
    fn extract(&mut self, cx: &mut Context<'_>) {
        let specification = self.address.first_host(self.request.binding).unwrap_or_else(|| {
            let default = &self.request.default_host;
            let host = if default.is_empty() {
                &cx.program.rules.local_host
            } else {
                default
            };
            Specification {
                host: host.clone(),
                location: Location::At,
                user: self.address.local.clone(),
            }
        });
        self.host = specification.host.clone();
        self.user = specification.user.clone();
        self.location = specification.location;
        self.specification = Some(specification);
        self.restarts = 0;
        let host = &self.host;
        cx.trace
            .add(Kind::Note, None, || format!("  first host specification {host}"));
        self.look_for_host(true);
    }

    fn look_for_host(&mut self, match_any: bool) {
        self.probes.start(&self.host, &self.tag, match_any);
        self.next_rule = 0;
        self.phase = Phase::Rules;
    }

    /// Goes to the next rule that could apply; where there is none, takes the host as it is.
    fn next(&mut self, cx: &mut Context<'_>) -> Option<Transfer> {
        let program = cx.program;
        let rules = &program.rules;
        while let Some(form) = self.probes.form() {
            if let Err(error) = cx.burn(2, None) {
                return Some(Transfer::Error(error));
            }
            let probes = &self.probes;
            // `.` is for hosts that the channel table does not have
            let known = || form == Form::Rest && rules.hosts.contains_key(probes.folded.as_str());
            let hits = rules.by_pattern.get(probes.pattern.as_str());
            let hit = hits.and_then(|h| h.get(self.next_rule)).filter(|_| !known());
            let Some(&n) = hit else {
                if cx.trace.all && hits.is_none() {
                    let pattern = &probes.pattern;
                    cx.trace
                        .add(Kind::Skip, None, || format!("  no rule for {pattern}"));
                }
                self.probes.advance();
                self.next_rule = 0;
                continue;
            };
            self.next_rule += 1;
            let rule = &rules.rules[n as usize];
            cx.trace.add(Kind::Match, Some(rule.span), || {
                format!(
                    "  rule \"{}\" for {}, template \"{}\"",
                    rule.pattern, probes.pattern, rule.template_text
                )
            });
            self.rule_span = Some(rule.span);
            if let Some(why) = self.wrong_location(rule) {
                cx.trace
                    .add(Kind::Fail, Some(rule.span), || format!("    rule fails: {why}"));
                continue;
            }
            self.template = Some(Template {
                segments: vec![(rule.template.clone(), 0)],
                rule: n as usize,
                form,
                fields: vec![(' ', String::new())],
                checks: Checks::default(),
                style: Style::default(),
                argument: None,
                temporary: None,
                aside: false,
                waiting: None,
                known_domains: Vec::new(),
            });
            return None;
        }
        if self.phase == Phase::Rules && !rules.hosts.contains_key(self.probes.folded.as_str()) {
            let pattern = match self.location {
                Location::Percent => Some("$%"),
                Location::Bang => Some("$!"),
                _ => None,
            };
            if let Some(pattern) = pattern {
                self.phase = Phase::LastResort;
                self.probes.start_last_resort(pattern, &self.tag);
                self.next_rule = 0;
                return None;
            }
        }
        if self.phase == Phase::LastResort {
            // `A%B` that nothing takes is a local part
            let local = self.address.local.clone();
            let host = rules.local_host.clone();
            cx.trace.add(Kind::Note, None, || {
                format!("  no rule: {local} is taken as a local part")
            });
            self.address = Address {
                route: Vec::new(),
                local,
                domain: Some(host.clone()),
            };
            return Some(self.route(cx, &host));
        }
        let host = self.host.clone();
        cx.trace.add(Kind::Note, None, || {
            format!("  no rule applies: {host} is used as it is")
        });
        self.rule_span = None;
        let user = self.user.clone();
        self.finish_specification(cx, &user, &host, None, &host)
    }

    fn wrong_location(&self, rule: &Rule) -> Option<&'static str> {
        let here = match self.location {
            Location::At => Match::At,
            Location::Percent => Match::Percent,
            Location::Route => Match::Route,
            Location::Bang => Match::Bang,
        };
        (!rule.locations.is_empty() && !rule.locations.contains(&here))
            .then_some("the host did not stand where $A $P $S $X ask for")
    }
}
