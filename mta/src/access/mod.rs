//! The policy points of the transfer agent: what each asks its table, and what it reads from the answer.
//!
//! [`Point`] lists them all; there is no other way to consult policy. A point's struct ([`OrigSendAccess`],
//! [`FromAccess`], [`PortAccess`] ...) holds the facts at hand. As a [`PolicyPoint`] it writes the probe,
//! says which input flags are set, and turns the table's result into a [`Decision`]. Looking the probe up
//! is the caller's work.
//!
//! Guarantees: a table that does not exist, that matched nothing, or that set none of its flags, allows and
//! has no effect. Nothing in a result can end a reply, header or log line: control characters become
//! blanks. Where `MAPPING_PARANOIA` is set, no address, domain, HELO name or authentication data adds a
//! field to a probe.
//!
//! Limits: [`DELAY_LIMIT`], [`TEXT_LIMIT`], [`HEADER_LIMIT`], [`BACKOFF_LIMIT`].
//!
//! `LOG_ACTION` is with the log, in [`crate::log::probe`].
//!
//! Source: access specification 1 to 14.

mod address;
mod arguments;
mod auth_rewrite;
mod client;
mod decision;
mod etrn;
mod facts;
mod from;
mod group;
mod internal;
mod known;
mod port;
mod probe;
mod recipient;
mod tls;

use policy::mapping::{FlagSet, MappingResult};
use policy::options::Options;

pub use address::{ACCESS_TEXT, DELAY_LIMIT, UNKNOWN_TEXT};
pub use arguments::{HEADER_LIMIT, TEXT_LIMIT};
pub use auth_rewrite::{AuthRewrite, INVALID_ORIGINATOR};
pub use client::{AuthAccess, BACKOFF_LIMIT, DequeueAccess, IpAccess};
pub use decision::{Decision, Effects, TransactionLimits};
pub use etrn::EtrnAccess;
pub use facts::{RecipientFacts, ReplyFacts, SessionFacts};
pub use from::FromAccess;
pub use group::in_group;
pub use internal::InternalIp;
pub use known::unknown_flags;
pub use port::{PortAccess, PortProbe};
pub use recipient::{MailAccess, OrigMailAccess, OrigSendAccess, SendAccess};
pub use tls::TlsAccess;

/// Where the transfer agent asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// A connection comes in, and again when its session chooses its SASL rule set.
    PortAccess,
    /// MAIL FROM.
    FromAccess,
    /// RCPT TO, before alias expansion.
    OrigSendAccess,
    /// Each address that alias expansion gives.
    SendAccess,
    /// As [`Point::OrigSendAccess`], with connection data.
    OrigMailAccess,
    /// As [`Point::SendAccess`], with connection data.
    MailAccess,
    /// The client is about to connect to an address.
    IpAccess,
    /// A channel is about to process an entry of the queue.
    DequeueAccess,
    /// TLS has been negotiated, as server or as client.
    TlsAccess,
    /// ETRN.
    EtrnAccess,
    /// Header processing on channels with `authrewrite`.
    AuthRewrite,
    /// Is an address of this network? For `$|INTERNAL_IP;...|`, rewrite rules and tools.
    InternalIp,
    /// The client is about to look for the hosts of a destination.
    AuthAccess,
}

impl Point {
    /// All points.
    pub const ALL: [Point; 13] = [
        Point::PortAccess,
        Point::FromAccess,
        Point::OrigSendAccess,
        Point::SendAccess,
        Point::OrigMailAccess,
        Point::MailAccess,
        Point::IpAccess,
        Point::DequeueAccess,
        Point::TlsAccess,
        Point::EtrnAccess,
        Point::AuthRewrite,
        Point::InternalIp,
        Point::AuthAccess,
    ];

    /// The name of its table.
    pub fn table(self) -> &'static str {
        match self {
            Point::PortAccess => "PORT_ACCESS",
            Point::FromAccess => "FROM_ACCESS",
            Point::OrigSendAccess => "ORIG_SEND_ACCESS",
            Point::SendAccess => "SEND_ACCESS",
            Point::OrigMailAccess => "ORIG_MAIL_ACCESS",
            Point::MailAccess => "MAIL_ACCESS",
            Point::IpAccess => "IP_ACCESS",
            Point::DequeueAccess => "DEQUEUE_ACCESS",
            Point::TlsAccess => "TLS_ACCESS",
            Point::EtrnAccess => "ETRN_ACCESS",
            Point::AuthRewrite => "AUTH_REWRITE",
            Point::InternalIp => "INTERNAL_IP",
            Point::AuthAccess => "AUTH_ACCESS",
        }
    }

    /// The point that asks the table of this name, in any case.
    pub fn by_table(name: &str) -> Option<Point> {
        Point::ALL
            .into_iter()
            .find(|point| point.table().eq_ignore_ascii_case(name))
    }

    /// Reads a result. `None` is a table that does not exist.
    pub fn decide(self, result: Option<&MappingResult>, facts: &ReplyFacts<'_>) -> Decision {
        match result.filter(|result| result.matched > 0) {
            Some(result) => self.read(result, facts, refuses(result.flags)),
            None => Decision {
                accepted: self != Point::InternalIp,
                ..Decision::default()
            },
        }
    }

    /// Reads a result as if `$N` had been set: for an entry whose `$I` names a group that the user is not in.
    pub fn refuse(self, result: &MappingResult, facts: &ReplyFacts<'_>) -> Decision {
        self.read(result, facts, true)
    }

    /// The answer where the table could not be run to its end (too many steps, or its time is over): never
    /// a yes, never a permanent no.
    pub fn unavailable(self) -> Decision {
        decision::unavailable(self)
    }

    /// The address that the reply to a probe ends with, for tools that have only the probe: the recipient or
    /// sender as the probe has it; empty for points whose replies name nobody. A `|` in a field before it
    /// misleads this.
    pub fn address_in(self, probe: &str) -> &str {
        // connection data: one empty field, or five, then the application and the submit type
        let connection = if probe.starts_with("TCP|") { 7 } else { 3 };
        let field = match self {
            Point::OrigSendAccess | Point::SendAccess => 3,
            Point::OrigMailAccess | Point::MailAccess => connection + 3,
            Point::FromAccess => connection + 1,
            _ => return "",
        };
        probe.split('|').nth(field).unwrap_or("")
    }

    fn read(self, result: &MappingResult, facts: &ReplyFacts<'_>, refused: bool) -> Decision {
        match self {
            Point::FromAccess
            | Point::OrigSendAccess
            | Point::SendAccess
            | Point::OrigMailAccess
            | Point::MailAccess => address::read(self, result, facts, refused),
            Point::PortAccess => port::read(result, refused),
            Point::IpAccess => client::read_ip(result, refused),
            Point::DequeueAccess => client::read_dequeue(result, refused),
            Point::AuthAccess => client::read_auth(result, refused),
            Point::TlsAccess => tls::read(result, refused),
            Point::EtrnAccess => etrn::read(result, refused),
            Point::AuthRewrite => auth_rewrite::read(result, facts, refused),
            Point::InternalIp => internal::read(result),
        }
    }
}

/// `$N` or `$F`; they win over `$Y`.
fn refuses(flags: FlagSet) -> bool {
    flags.has('N') || flags.has('F')
}

/// A point with the facts at hand.
pub trait PolicyPoint {
    /// Which one it is.
    const POINT: Point;

    /// Input flags, for `$:x` and `$;x`.
    fn flags(&self) -> FlagSet {
        FlagSet::default()
    }

    /// Appends the probe.
    fn probe(&self, options: &Options, out: &mut String);

    /// Reads a result; see [`Point::decide`].
    fn decide(&self, result: Option<&MappingResult>, facts: &ReplyFacts<'_>) -> Decision {
        Self::POINT.decide(result, facts)
    }
}

#[cfg(test)]
mod decision_tests;
#[cfg(test)]
mod probe_tests;
