//! The flags that `FROM_ACCESS` and the four recipient tables share, and the reply of a refused address.
//!
//! A refusal has no effects but its delay, its notices to syslog and the debug level. An argument that is
//! not what its flag needs (an address with control characters, a line that is no header line, a score
//! that is no number) has no effect, and the rest is read as if it were good.
//!
//! Choices: an empty `$K`, `$T`, `$G`, `$<` or `$>` is none; a `$X` that is no `4.x.x` or `5.x.x` counts as
//! empty; `$J`, `$K`, `$S`, `$(`, `$)` and `$!` mean nothing in the recipient tables and take no argument
//! there; where both `$(` and `$)` are set each takes one.
//!
//! Source: access specification 6 and 7.

use policy::mapping::MappingResult;

use super::arguments::{Arguments, address, adjustment, clean, enhanced, header, integer, someone};
use super::decision::{Decision, Effects, TransactionLimits};
use super::facts::ReplyFacts;
use super::{Point, arguments};

/// Longest delay of a reply that `$D` sets, in 1/100 s: five minutes, as long as a client waits for a reply
/// to MAIL or RCPT (RFC 5321 4.5.3.2).
pub const DELAY_LIMIT: i64 = 30_000;

/// Text of a refusal without one, where option `ACCESS_ERRORS` is 1.
pub const ACCESS_TEXT: &str = "you are not allowed to send to this address";

/// Text of a refusal without one, where option `ACCESS_ERRORS` is 0: that of an unknown address.
pub const UNKNOWN_TEXT: &str = "unknown host or domain";

const DEBUG_LIMIT: i64 = 255;

/// Reads a result of one of the five tables.
pub(super) fn read(point: Point, result: &MappingResult, facts: &ReplyFacts<'_>, refused: bool) -> Decision {
    let flags = result.flags;
    let from = |flag| point == Point::FromAccess && flags.has(flag);
    let mut arguments = Arguments::new(result.arguments());
    let mut effects = Effects::default();
    if flags.has('U') {
        effects.debug = Some(integer(arguments.next()).clamp(0, DEBUG_LIMIT));
    }
    if from('J') {
        effects.envelope_from = address(arguments.next());
    }
    if from('K') {
        effects.sender = someone(arguments.next());
    }
    if flags.has('I') {
        effects.group_check = Some((clean(arguments.next()), clean(arguments.next())));
    }
    if flags.has('<') {
        effects.syslog = arguments.text();
    }
    if flags.has('>') {
        effects.syslog_rejected = arguments.text();
    }
    if flags.has('D') {
        effects.delay_cs = Some(integer(arguments.next()).clamp(-DELAY_LIMIT, DELAY_LIMIT));
    }
    if flags.has('T') {
        effects.tag = arguments.text();
    }
    if flags.has('A') {
        effects.add_header = header(arguments.next());
    }
    if flags.has('G') {
        effects.conversion_tags = arguments.text();
    }
    if from('S') {
        effects.limits = TransactionLimits::parse(arguments.next());
    }
    let code = flags.has('X').then(|| arguments.next()).and_then(enhanced);
    if flags.has(',') {
        effects.spamadjust = adjustment(arguments.next());
    }
    if from('(') {
        effects.postmaster = someone(arguments.next());
    }
    if from(')') {
        effects.postmaster_default = someone(arguments.next());
    }
    if refused {
        let effects = Effects {
            debug: effects.debug,
            syslog: effects.syslog,
            syslog_rejected: effects.syslog_rejected,
            delay_cs: effects.delay_cs,
            ..Effects::default()
        };
        return refuse(code, arguments.rest(), facts, effects);
    }
    Decision::accept(Effects {
        syslog_rejected: None,
        bitbucket: flags.has('B'),
        hold: flags.has('H'),
        discard_all: flags.has('V'),
        jettison_all: flags.has('Z'),
        novacation: from('!'),
        ..effects
    })
}

/// The reply of a refusal: 550, 452 for a `4.x.x` code, or 530 where AUTH could still help.
fn refuse(code: Option<String>, text: Option<String>, facts: &ReplyFacts<'_>, effects: Effects) -> Decision {
    let smtp = match &code {
        Some(code) if code.starts_with('4') => "452",
        None if facts.sasl_offered && !facts.authenticated => "530",
        _ => "550",
    };
    let default = match facts.default_text {
        Some(text) => text,
        None if facts.access_errors => ACCESS_TEXT,
        None => UNKNOWN_TEXT,
    };
    let text = text.unwrap_or_else(|| arguments::clean(default));
    let code = code.as_deref().unwrap_or("5.7.1");
    Decision::refuse(smtp, code, text, facts.address, effects)
}
