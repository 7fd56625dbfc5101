//! The tables of the sending side: `DEQUEUE_ACCESS`, `AUTH_ACCESS`, `IP_ACCESS`.
//!
//! Choices: an `$A` of `IP_ACCESS` whose text is no IP address skips the address, since the site did not
//! want it as it is; `AUTH_ACCESS` has no flags but `$N` and `$F`; the optional fields of `DEQUEUE_ACCESS`
//! follow in the order conversion tags, retries; an empty user name of `AUTH_ACCESS` has no `*`.
//!
//! Source: access specification 9.1 to 9.3.

use std::net::IpAddr;

use policy::mapping::{FlagSet, MappingResult};
use policy::options::Options;

use super::arguments::{Arguments, number};
use super::decision::{Decision, Effects};
use super::probe::{Probe, plain};
use super::{Point, PolicyPoint};

/// Longest time until the next attempt that `$S` of `DEQUEUE_ACCESS` sets: 30 days, in seconds.
pub const BACKOFF_LIMIT: u64 = 30 * 86_400;

/// The client is about to connect.
///
/// Probe: `channel|address-current|address-count|ip|host`. No input flags.
#[derive(Debug, Clone, Copy)]
pub struct IpAccess<'a> {
    /// The channel being dequeued.
    pub channel: &'a str,
    /// Which of the addresses it is, from 1.
    pub current: usize,
    /// How many there are.
    pub count: usize,
    /// The address.
    pub ip: IpAddr,
    /// The host it belongs to.
    pub host: &'a str,
}

impl PolicyPoint for IpAccess<'_> {
    const POINT: Point = Point::IpAccess;

    fn probe(&self, options: &Options, out: &mut String) {
        Probe::with(out, options)
            .own(self.channel)
            .number(self.current)
            .number(self.count)
            .number(plain(self.ip))
            .data(self.host);
    }
}

/// A channel is about to process an entry of the queue.
///
/// Probe: `channel|filename|queue-time|from|auth-parameter|auth-sender|priority|domain`, then conversion
/// tags (`INCLUDE_CONVERSIONTAG` 4096) and retries (`INCLUDE_RETRIES` 2). Input flags: R.
#[derive(Debug, Clone, Copy, Default)]
pub struct DequeueAccess<'a> {
    /// The channel.
    pub channel: &'a str,
    /// Name of the queue file.
    pub file: &'a str,
    /// Seconds in the queue; `None`: unknown.
    pub queue_time: Option<i64>,
    /// Envelope From without angle brackets.
    pub from: &'a str,
    /// AUTH parameter of MAIL FROM, decoded; empty where there was none.
    pub auth_parameter: &'a str,
    /// Mail address of the user who submitted it; empty where there is none.
    pub auth_sender: &'a str,
    /// MT-PRIORITY.
    pub priority: i8,
    /// Domain of the next system.
    pub domain: &'a str,
    /// Conversion tags.
    pub tags: &'a [String],
    /// Earlier attempts.
    pub retries: u32,
    /// A tool looks at the entry and delivers nothing.
    pub read_only: bool,
}

impl PolicyPoint for DequeueAccess<'_> {
    const POINT: Point = Point::DequeueAccess;

    fn flags(&self) -> FlagSet {
        FlagSet::of(if self.read_only { "R" } else { "" })
    }

    fn probe(&self, options: &Options, out: &mut String) {
        let mut probe = Probe::with(out, options);
        probe
            .own(self.channel)
            .own(self.file)
            .number(self.queue_time.unwrap_or(-1))
            .data(self.from)
            .data(self.auth_parameter)
            .data(self.auth_sender)
            .number(self.priority)
            .data(self.domain);
        if options.number("INCLUDE_CONVERSIONTAG", 0) & 4096 != 0 {
            probe.tags(self.tags);
        }
        if options.number("INCLUDE_RETRIES", 0) & 2 != 0 {
            probe.number(self.retries);
        }
    }
}

/// The client is about to look for the hosts of a destination.
///
/// Probe: `channel|filename|queue-time|from|auth-parameter|username*|domain`, then conversion tags
/// (`INCLUDE_CONVERSIONTAG` 2048). No input flags.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuthAccess<'a> {
    /// The channel.
    pub channel: &'a str,
    /// Name of the queue file.
    pub file: &'a str,
    /// Seconds in the queue; `None`: unknown.
    pub queue_time: Option<i64>,
    /// Envelope From without angle brackets.
    pub from: &'a str,
    /// AUTH parameter of MAIL FROM, decoded; empty where there was none.
    pub auth_parameter: &'a str,
    /// Who submitted it, `uid@canonical-domain`; empty where nobody authenticated.
    pub username: &'a str,
    /// Domain of the next system.
    pub domain: &'a str,
    /// Conversion tags.
    pub tags: &'a [String],
}

impl PolicyPoint for AuthAccess<'_> {
    const POINT: Point = Point::AuthAccess;

    fn probe(&self, options: &Options, out: &mut String) {
        let mut probe = Probe::with(out, options);
        probe
            .own(self.channel)
            .own(self.file)
            .number(self.queue_time.unwrap_or(-1))
            .data(self.from)
            .data(self.auth_parameter)
            .data_then(self.username, if self.username.is_empty() { "" } else { "*" })
            .data(self.domain);
        if options.number("INCLUDE_CONVERSIONTAG", 0) & 2048 != 0 {
            probe.tags(self.tags);
        }
    }
}

/// A refusal that no peer hears of.
fn refuse(enhanced: Option<&str>, text: Option<String>, effects: Effects) -> Decision {
    Decision {
        accepted: false,
        enhanced: enhanced.map(str::to_string),
        text,
        effects,
        ..Decision::default()
    }
}

/// `$N`: the message fails as for an invalid host or domain (5.1.2); the text is for the log.
pub(super) fn read_ip(result: &MappingResult, refused: bool) -> Decision {
    let mut arguments = Arguments::new(result.arguments());
    if refused {
        return refuse(Some("5.1.2"), arguments.rest(), Effects::default());
    }
    let mut effects = Effects {
        skip: result.flags.has('I'),
        ..Effects::default()
    };
    if result.flags.has('A') {
        let text = arguments.next().trim_ascii();
        let text = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        effects.replace_ip = text.parse().ok();
        effects.skip |= effects.replace_ip.is_none();
    }
    Decision::accept(effects)
}

/// `$N`: this attempt is given up and does not count; with `$S` the text begins with the seconds until the
/// next one.
pub(super) fn read_dequeue(result: &MappingResult, refused: bool) -> Decision {
    let mut arguments = Arguments::new(result.arguments());
    if !refused {
        return Decision::accept(Effects::default());
    }
    let mut effects = Effects {
        retry_counted: Some(false),
        ..Effects::default()
    };
    if result.flags.has('S') {
        let seconds = number(arguments.next()).and_then(|seconds| u64::try_from(seconds).ok());
        effects.backoff = seconds.map(|seconds| seconds.min(BACKOFF_LIMIT));
    }
    refuse(None, arguments.rest(), effects)
}

/// `$N`: the recipients fail for good, with the text.
pub(super) fn read_auth(result: &MappingResult, refused: bool) -> Decision {
    if !refused {
        return Decision::accept(Effects::default());
    }
    let text = Arguments::new(result.arguments()).rest();
    refuse(Some("5.7.1"), text, Effects::default())
}
