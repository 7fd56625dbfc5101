//! `AUTH_REWRITE`: which originator addresses may a user use, and what is put in their place?
//!
//! Choice: a refusal is `550 5.7.1`, as that of an address; an address that is none has no effect.
//!
//! Source: access specification 11.

use policy::mapping::MappingResult;
use policy::options::Options;

use super::arguments::{Arguments, address, someone};
use super::decision::{Decision, Effects};
use super::facts::ReplyFacts;
use super::probe::Probe;
use super::{Point, PolicyPoint};

/// Text of a refusal without one.
pub const INVALID_ORIGINATOR: &str = "invalid originator address used";

/// Header processing on a channel with `authrewrite` 3 or 4.
///
/// Probe: `[src-channel|]mail-from|sender|from|auth-sender[|extra...]`. No input flags.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuthRewrite<'a> {
    /// The source channel, where `authrewrite` has 32 added.
    pub channel: Option<&'a str>,
    /// Envelope From without angle brackets.
    pub mail_from: &'a str,
    /// Address of Sender, or of Resent-Sender.
    pub sender: &'a str,
    /// Address of From, or of Resent-From.
    pub from: &'a str,
    /// Address of the user who authenticated; empty where nobody did.
    pub auth_sender: &'a str,
    /// Values of the headers that `AUTHREWRITE_EXTRA_HEADERS` names, in its order; empty where absent.
    pub extra: &'a [String],
}

impl PolicyPoint for AuthRewrite<'_> {
    const POINT: Point = Point::AuthRewrite;

    fn probe(&self, options: &Options, out: &mut String) {
        let mut probe = Probe::with(out, options);
        if let Some(channel) = self.channel {
            probe.own(channel);
        }
        probe
            .data(self.mail_from)
            .data(self.sender)
            .data(self.from)
            .data(self.auth_sender);
        for value in self.extra {
            probe.data(value);
        }
    }
}

pub(super) fn read(result: &MappingResult, facts: &ReplyFacts<'_>, refused: bool) -> Decision {
    let flags = result.flags;
    let mut arguments = Arguments::new(result.arguments());
    let mut effects = Effects::default();
    if flags.has('J') || flags.has('K') {
        effects.envelope_from = address(arguments.next());
    }
    if flags.has('Y') || flags.has('T') {
        effects.sender = someone(arguments.next());
    }
    if flags.has('Z') {
        effects.from = someone(arguments.next());
    }
    if refused {
        let text = arguments.rest().unwrap_or_else(|| INVALID_ORIGINATOR.to_string());
        return Decision::refuse("550", "5.7.1", text, facts.address, Effects::default());
    }
    Decision::accept(effects)
}
