//! `PORT_ACCESS`: who may connect, and with which SASL rules.
//!
//! A refusal's text is sent as it is; `~` separates the lines of a reply of several lines. Where the first
//! line begins with a code, the code stands before every line, with `-` on all but the last, so that
//! clients can tell where the reply ends (choice).
//!
//! Source: access specification 8.

use policy::mapping::{FlagSet, MappingResult};
use policy::options::Options;

use super::arguments::Arguments;
use super::decision::{Decision, Effects};
use super::facts::SessionFacts;
use super::probe::Probe;
use super::{Point, PolicyPoint, known};
use crate::smtp::protocol::REPLY_LINES;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortProbe {
    /// The dispatcher, once a connection: input flag A.
    Dispatcher,
    /// The SMTP server, to choose the SASL rule set: input flag S.
    Server,
}

/// A connection comes in.
///
/// Probe: `TCP|server-address|server-port|client-address|client-port`. Input flags: A or S.
#[derive(Debug, Clone, Copy)]
pub struct PortAccess<'a> {
    /// The session; only its addresses count.
    pub session: &'a SessionFacts,
    /// Who asks.
    pub by: PortProbe,
}

impl PolicyPoint for PortAccess<'_> {
    const POINT: Point = Point::PortAccess;

    fn flags(&self) -> FlagSet {
        FlagSet::of(match self.by {
            PortProbe::Dispatcher => "A",
            PortProbe::Server => "S",
        })
    }

    fn probe(&self, _: &Options, out: &mut String) {
        Probe::new(out, None).transport(self.session);
    }
}

pub(super) fn read(result: &MappingResult, refused: bool) -> Decision {
    let flags = result.flags;
    let mut arguments = Arguments::new(result.arguments());
    let mut effects = Effects::default();
    if flags.has('<') {
        effects.syslog = arguments.text();
    }
    if flags.has('>') {
        let notice = arguments.text();
        effects.syslog_rejected = notice.filter(|_| refused);
    }
    if refused {
        effects.log_rejection = flags.has('T');
        return refuse(arguments.rest(), effects);
    }
    if !result.failed && known::means_something(Point::PortAccess, flags) {
        let text = arguments.rest().unwrap_or_default();
        let mut fields = text.splitn(3, '|').map(str::to_string);
        effects.ruleset = fields.next();
        effects.realm = fields.next();
        effects.log_text = fields.next();
    }
    Decision::accept(effects)
}

/// A refusal whose text brings its own code.
pub(super) fn refuse(text: Option<String>, effects: Effects) -> Decision {
    Decision {
        accepted: false,
        smtp_code: text.as_deref().and_then(code).map(str::to_string),
        enhanced: None,
        reply: text.as_deref().map(raw_reply),
        text,
        effects,
    }
}

/// The reply code that a text begins with.
pub(super) fn code(text: &str) -> Option<&str> {
    let (code, rest) = text.split_at_checked(3)?;
    let good = code.bytes().all(|b| b.is_ascii_digit()) && matches!(code.as_bytes(), [b'2'..=b'5', ..]);
    (good && (rest.is_empty() || rest.starts_with([' ', '-']))).then_some(code)
}

fn raw_reply(text: &str) -> String {
    let lines: Vec<&str> = text.split('~').take(REPLY_LINES).collect();
    let (Some(code), Some(last)) = (code(text), lines.len().checked_sub(1).filter(|last| *last > 0)) else {
        return lines.join("\r\n");
    };
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate() {
        let own = line
            .strip_prefix(code)
            .and_then(|rest| rest.strip_prefix([' ', '-']));
        if n > 0 {
            out.push_str("\r\n");
        }
        out.push_str(code);
        out.push(if n == last { ' ' } else { '-' });
        out.push_str(own.unwrap_or(line));
    }
    out
}
