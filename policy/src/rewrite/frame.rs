//! One rewriting of one address.

use std::borrow::Cow;
use std::sync::Arc;

use grammar::Span;
use grammar::imta::{Match, Part, PartKind};

use super::{RESTART_LIMIT, Request, RewriteError, Rewritten, Rule, UNKNOWN_HOST};
use crate::address::{Address, Location, Specification, split_subaddress};
use crate::ask::{Answer, Ask, Effect, Read, Routine};
use crate::machine::{Context, Outcome, Resume, RunError, Transfer};
use crate::style::{Argument, Style};
use crate::trace::Kind;

/// Results expanded again within results expanded again.
const RESCAN_LIMIT: usize = 10;

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
    probes: Vec<Probe>,
    next_probe: usize,
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

/// One form of the host that is looked up, and what of the host it leaves.
#[derive(Debug, Clone)]
struct Probe {
    pattern: String,
    /// `$D`.
    domain: String,
    /// `$H`.
    host: String,
    /// `$L`.
    literal: String,
    /// Only if the host is not in the channel table (`.`).
    only_unknown: bool,
}

/// A template being executed.
#[derive(Debug)]
struct Template {
    segments: Vec<(Arc<[Part]>, usize)>,
    rule: usize,
    probe: Probe,
    /// The fields so far, each after the separator that began it.
    fields: Vec<(char, String)>,
    checks: Checks,
    style: Style,
    /// The argument of a look-up that is being built.
    argument: Option<Argument>,
    temporary: Option<String>,
    /// A `$,` was seen: text up to the next `@` is only shown.
    aside: bool,
    waiting: Option<Waiting>,
    known_domains: Vec<(String, bool)>,
}

#[derive(Debug, Clone)]
enum Waiting {
    General,
    Mapping,
    Url,
    Routine,
    Domain {
        domain: String,
        checks_then: AfterChecks,
    },
}

/// What goes on when pending checks were satisfied.
#[derive(Debug, Clone, Copy, PartialEq)]
enum AfterChecks {
    /// A new field begins.
    Field(char),
    /// `$1~`.
    Now,
    /// The template is at its end.
    End,
}

#[derive(Debug, Default)]
struct Checks {
    source_is: Vec<String>,
    source_is_not: Vec<String>,
    internal: Option<bool>,
    destination_is: Vec<String>,
    destination_is_not: Vec<String>,
    domains: Vec<(bool, String)>,
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
            probes: Vec::new(),
            next_probe: 0,
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
        self.probes = probes(&self.host, &self.tag, match_any);
        self.next_probe = 0;
        self.next_rule = 0;
        self.phase = Phase::Rules;
    }

    /// Goes to the next rule that could apply; where there is none, takes the host as it is.
    fn next(&mut self, cx: &mut Context<'_>) -> Option<Transfer> {
        let program = cx.program;
        let rules = &program.rules;
        while let Some(probe) = self.probes.get(self.next_probe) {
            if let Err(error) = cx.burn(2, None) {
                return Some(Transfer::Error(error));
            }
            let known = || rules.hosts.contains_key(self.host.to_ascii_lowercase().as_str());
            let hits = rules.by_pattern.get(probe.pattern.as_str());
            let hit = hits
                .and_then(|h| h.get(self.next_rule))
                .filter(|_| !(probe.only_unknown && known()));
            let Some(&n) = hit else {
                if cx.trace.all && hits.is_none() {
                    let pattern = &probe.pattern;
                    cx.trace
                        .add(Kind::Skip, None, || format!("  no rule for {pattern}"));
                }
                self.next_probe += 1;
                self.next_rule = 0;
                continue;
            };
            self.next_rule += 1;
            let rule = &rules.rules[n as usize];
            let probe = probe.clone();
            cx.trace.add(Kind::Match, Some(rule.span), || {
                format!(
                    "  rule \"{}\" for {}, template \"{}\"",
                    rule.pattern, probe.pattern, rule.template_text
                )
            });
            self.rule_span = Some(rule.span);
            if let Some(why) = self.wrong_location(rule) {
                cx.trace
                    .add(Kind::Fail, Some(rule.span), || format!("    rule fails: {why}"));
                continue;
            }
            self.template = Some(Template {
                segments: vec![(rule.template.as_slice().into(), 0)],
                rule: n as usize,
                probe,
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
        if self.phase == Phase::Rules && !rules.hosts.contains_key(self.host.to_ascii_lowercase().as_str()) {
            let pattern = match self.location {
                Location::Percent => Some("$%"),
                Location::Bang => Some("$!"),
                _ => None,
            };
            if let Some(pattern) = pattern {
                self.phase = Phase::LastResort;
                self.probes = vec![Probe {
                    pattern: format!("{}{pattern}", self.tag),
                    domain: String::new(),
                    host: self.host.clone(),
                    literal: String::new(),
                    only_unknown: false,
                }];
                self.next_probe = 0;
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

    /// Executes the template up to a look-up or its end.
    fn execute(&mut self, cx: &mut Context<'_>) -> Result<Ran, RunError> {
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

    /// Begins a look-up with its argument.
    fn look_up(&mut self, cx: &mut Context<'_>, kind: &PartKind, argument: Argument) -> Ran {
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
        let owned = |text: &str| Cow::Owned(text.to_string());
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
            PartKind::Domain(n) => Some(owned(skip_components(&t.probe.domain, *n))),
            PartKind::Host(n) => Some(owned(skip_components(&t.probe.host, *n))),
            PartKind::Literal => Some(owned(&t.probe.literal)),
            PartKind::HostFromLeft(n) => component(&t.probe.host, *n, false).map(owned),
            PartKind::HostFromRight(n) => component(&t.probe.host, *n, true).map(owned),
            PartKind::DomainFromLeft(n) => component(&t.probe.domain, *n, false).map(owned),
            PartKind::DomainFromRight(n) => component(&t.probe.domain, *n, true).map(owned),
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

    /// Evaluates pending checks, asking for domains that are not known yet. `None`: the template goes on; at
    /// its end the rule has succeeded.
    fn checkpoint(&mut self, cx: &mut Context<'_>, then: AfterChecks) -> Result<Option<Ran>, RunError> {
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
        if !no_rules(&request.source_channel) {
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
        if !(request.envelope && request.forward)
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

    fn returned(&mut self, cx: &mut Context<'_>, value: Option<Outcome>) -> Option<Ran> {
        let t = self.template.as_mut()?;
        t.waiting = None;
        match value {
            Some(Outcome::Mapping(result)) if result.accepted() => self.expand_again(cx, &result.output),
            Some(_) => Some(Ran::Failed("the mapping did not set $Y".into())),
            None => Some(Ran::Failed("look-ups are nested too deeply".into())),
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, answers: Vec<Answer>) -> Option<Ran> {
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
                        let failure: Arc<[Part]> = cx.program.rules.domain_failure.as_slice().into();
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

    /// Applies the fields of a rule that succeeded.
    fn apply(&mut self, cx: &mut Context<'_>) -> Option<Transfer> {
        let t = self.template.take()?;
        let span = cx.program.rules.rules.get(t.rule).map(|r| r.span);
        let separators: String = t.fields[1..].iter().map(|f| f.0).collect();
        let field = |n: usize| t.fields.get(n).map_or("", |f| f.1.as_str());
        let (local, host, via, tag) = match separators.as_str() {
            "%" => {
                self.restarts += 1;
                if self.restarts > RESTART_LIMIT {
                    cx.trace.add(Kind::Fail, span, || {
                        format!("    a host was rewritten more than {RESTART_LIMIT} times")
                    });
                    return Some(self.refuse(cx, "5.1.2", "illegal host/domain specified"));
                }
                self.user = field(0).to_string();
                self.host = field(1).to_string();
                let (user, host) = (&self.user, &self.host);
                cx.trace.add(Kind::Note, span, || {
                    format!("    becomes {user}@{host}, rewritten again")
                });
                self.look_for_host(false);
                return None;
            }
            "@" => (field(0), field(1), None, field(1)),
            "%@" => (field(0), field(1), None, field(2)),
            "@@" => (field(0), field(1), Some(field(2)), field(2)),
            "@@@" => (field(0), field(1), Some(field(2)), field(3)),
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
        let (local, host, tag) = (local.to_string(), host.to_string(), tag.to_string());
        let via = via.map(str::to_string);
        self.finish_specification(cx, &local, &host, via.as_deref(), &tag)
    }

    /// The finishing rule: a route through the local host is removed and the next host looked at;
    /// otherwise the rewriting is done.
    fn finish_specification(
        &mut self,
        cx: &mut Context<'_>,
        local: &str,
        host: &str,
        via: Option<&str>,
        tag: &str,
    ) -> Option<Transfer> {
        let specification = self.specification.clone()?;
        let rules = &cx.program.rules;
        let entry = rules.hosts.get(tag.to_ascii_lowercase().as_str());
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
    fn route(&mut self, cx: &mut Context<'_>, tag: &str) -> Transfer {
        let rules = &cx.program.rules;
        let Some(entry) = rules.hosts.get(tag.to_ascii_lowercase().as_str()) else {
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

    fn refuse(&mut self, cx: &mut Context<'_>, status: &str, text: &str) -> Transfer {
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

impl Template {
    fn put(
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

/// `5001002` is 5.1.2.
fn status_text(status: u32) -> String {
    match status {
        0 => "5.1.2".to_string(),
        n => format!("{}.{}.{}", n / 1_000_000, n / 1000 % 1000, n % 1000),
    }
}

/// The forms of a host in the order in which the rules are asked for them (rewrite specification 4.2,
/// 4.3, 4.8).
fn probes(host: &str, tag: &str, match_any: bool) -> Vec<Probe> {
    let host = host.to_string();
    let mut list: Vec<Probe> = Vec::new();
    let mut add = |pattern: &str, domain: String, left: String, literal: String, only_unknown: bool| {
        list.push(Probe {
            pattern: format!("{tag}{}", pattern.to_ascii_lowercase()),
            domain,
            host: left,
            literal,
            only_unknown,
        });
    };
    let none = String::new;
    if match_any {
        add("$*", none(), host.clone(), none(), false);
    }
    add(&host, host.clone(), none(), none(), false);
    if let Some(inner) = host.strip_prefix('[') {
        let (inner, after) = inner.split_once(']').unwrap_or((inner, ""));
        let parts: Vec<&str> = inner.split('.').collect();
        let dotted = parts.len() > 1 && !inner.contains(':');
        if dotted {
            for n in (1..parts.len()).rev() {
                let head = format!("[{}.]", parts[..n].join("."));
                add(&head, head.clone(), none(), parts[n..].join("."), false);
            }
        }
        add("[]", "[]".into(), none(), inner.to_string(), false);
        let stars = if dotted {
            vec!["*"; parts.len()].join(".")
        } else {
            "*".into()
        };
        let pattern = format!("[{stars}]");
        add(
            &pattern,
            pattern.clone(),
            inner.to_string(),
            inner.to_string(),
            false,
        );
        if !after.is_empty() {
            suffixes(after, &format!("[{inner}]"), &mut add);
        }
    } else {
        let labels: Vec<&str> = host.split('.').collect();
        for n in 1..=labels.len() {
            // n components wildcarded
            let rest = labels[n..].join(".");
            let stars = vec!["*"; n].join(".");
            let left = labels[..n].join(".");
            let domain = if rest.is_empty() {
                none()
            } else {
                format!(".{rest}")
            };
            add(
                &format!("{stars}{domain}"),
                domain.clone(),
                left.clone(),
                none(),
                false,
            );
            if !rest.is_empty() {
                add(&domain, domain.clone(), left, none(), false);
            }
        }
    }
    add(".", ".".into(), host.clone(), none(), true);
    list
}

fn suffixes(after: &str, literal: &str, add: &mut impl FnMut(&str, String, String, String, bool)) {
    let mut rest = after;
    let mut left = literal.to_string();
    while let Some(bare) = rest.strip_prefix('.') {
        add(rest, rest.to_string(), left.clone(), String::new(), false);
        match bare.find('.') {
            Some(i) => {
                left = format!("{left}.{}", &bare[..i]);
                rest = &bare[i..];
            }
            None => break,
        }
    }
}
