//! `TLS_ACCESS`: is the TLS that was just negotiated good enough, and which channel does it lead to?
//!
//! Choices: the text of a refusal that brings no code of its own is sent with 421 4.7.0; where `$S` stands
//! beside `$N` or `$F`, the text ends at the next `|`, as the order of arguments says.
//!
//! Source: access specification 9.4.

use policy::mapping::{FlagSet, MappingResult};
use policy::options::Options;

use super::arguments::Arguments;
use super::decision::{Decision, Effects};
use super::facts::SessionFacts;
use super::probe::Probe;
use super::{Point, PolicyPoint, port};

/// TLS has been negotiated.
///
/// Probe: `transport|app-info|channel|cert-subject|cert-issuer|cert-user`. Input flags: A, T.
#[derive(Debug, Clone, Copy)]
pub struct TlsAccess<'a> {
    /// The session; its channel is the source channel (server) or the one being dequeued (client).
    pub session: &'a SessionFacts,
    /// Subject of the other side's certificate; empty where it sent none.
    pub subject: &'a str,
    /// Its issuer.
    pub issuer: &'a str,
    /// The user it stands for; empty in the client.
    pub user: &'a str,
}

impl PolicyPoint for TlsAccess<'_> {
    const POINT: Point = Point::TlsAccess;

    fn flags(&self) -> FlagSet {
        self.session.flags()
    }

    fn probe(&self, options: &Options, out: &mut String) {
        Probe::with(out, options)
            .transport(self.session)
            .application(self.session)
            .own(&self.session.channel)
            .data(self.subject)
            .data(self.issuer)
            .data(self.user);
    }
}

/// What is said where a refusal has no text.
const DEFAULT: &str = "TLS session not accepted";

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
        effects.fallback_allowed = Some(!flags.has('F'));
        let text = match flags.has('S') {
            true => arguments.text(),
            false => arguments.rest(),
        };
        let text = text.unwrap_or_else(|| DEFAULT.to_string());
        return match port::code(&text) {
            Some(_) => port::refuse(Some(text), effects),
            None => Decision::refuse("421", "4.7.0", text, "", effects),
        };
    }
    if flags.has('S') {
        effects.switch_channel = arguments.channel();
    }
    effects.no_tls_switch = flags.has('B');
    Decision::accept(effects)
}
