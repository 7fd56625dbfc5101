//! Address rewriting: from any address to a channel and the address to use there.
//!
//! Rules are found by the first host specification of the address, from the most specific pattern to
//! `.`; the template of a rule that applies builds a new local part, a new host and the name of a
//! channel. Rules are kept in a hash table keyed by pattern, so a site with 50,000 domains pays one
//! look-up for each form of the host that the scan probes.
//!
//! Guarantees: rewriting ends ([`RESTART_LIMIT`], and each turn of the outer loop removes a host from the
//! address); the order of probes is that of the manual; nothing here does I/O.
//!
//! Source: rewrite specification 3 to 7.1.

mod compile;
mod frame;
mod lint;

use std::collections::HashMap;
use std::sync::Arc;

use grammar::Span;
use grammar::imta::{Match, Part};

use crate::address::Binding;

pub use compile::compile;
pub(crate) use frame::Frame;

/// Times that one host may be rewritten again by `A%B` templates.
pub const RESTART_LIMIT: u32 = 64;

/// The separators of the templates that build an address: `A%B`, `A@B`, `A%B@C`, `A@B@C`, `A@B@C@D`.
const FORMS: [&str; 5] = ["%", "@", "%@", "@@", "@@@"];

/// What is said when no channel takes an address and no rule gave another text.
pub const UNKNOWN_HOST: &str = "unknown host or domain";

/// Compiled rewrite rules and the channel table that they lead to.
#[derive(Debug, Default)]
pub struct Rules {
    pub(crate) rules: Vec<Rule>,
    /// Pattern, in lower case, to the rules that have it, in the order of the file.
    pub(crate) by_pattern: HashMap<Box<str>, Vec<u32>>,
    /// All host names of the channel table, in lower case.
    pub(crate) hosts: HashMap<Box<str>, HostEntry>,
    /// Per channel, what rewriting needs to know.
    pub(crate) channels: Vec<ChannelFacts>,
    /// The official name of the local host: that of the first channel.
    pub local_host: String,
    /// DOMAIN_FAILURE, as a template.
    pub(crate) domain_failure: Arc<[Part]>,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub pattern: Box<str>,
    pub template_text: Box<str>,
    pub template: Arc<[Part]>,
    /// Its `$A $P $S $X`, which are an OR.
    pub locations: Vec<Match>,
    pub span: Span,
}

/// A host name of the channel table.
#[derive(Debug, Clone)]
pub(crate) struct HostEntry {
    pub channel: u32,
    /// What an extra host is called in envelope To addresses.
    pub proper_name: Option<Box<str>>,
}

/// What rewriting knows of a channel.
#[derive(Debug, Clone, Default)]
pub struct ChannelFacts {
    /// Its name.
    pub name: String,
    /// `routelocal`: source routes through it are short-circuited.
    pub route_local: bool,
    /// `norules`: channel-specific checks count as satisfied.
    pub no_rules: bool,
}

impl Rules {
    /// Whether a rule asks a mapping table, by its name in any case.
    pub fn calls(&self, table: &str) -> bool {
        let mut parts = self.rules.iter().flat_map(|r| &*r.template);
        parts.any(|p| matches!(&p.kind, grammar::imta::PartKind::Mapping { table: t, .. } if t.eq_ignore_ascii_case(table)))
    }

    /// A host name of the channel table, in any case.
    pub(crate) fn host(&self, name: &str) -> Option<&HostEntry> {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.hosts.get(name.to_ascii_lowercase().as_str());
        }
        self.hosts.get(name)
    }

    /// The name of the channel that serves a host name or channel tag.
    pub fn channel_of(&self, host: &str) -> Option<&str> {
        let entry = self.host(host)?;
        self.channels.get(entry.channel as usize).map(|c| c.name.as_str())
    }
}

/// An address to be rewritten, and as what.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The address, without angle brackets.
    pub address: String,
    /// An envelope address; else one of a header.
    pub envelope: bool,
    /// Forward-pointing (To), else backward-pointing (From).
    pub forward: bool,
    /// The channel that the message comes from.
    pub source_channel: String,
    /// The channel that it goes to, where that is known.
    pub destination_channel: Option<String>,
    /// How `!` and `%` bind on the channel that rewrites.
    pub binding: Binding,
    /// The domain that completes an address without one; empty: the local host.
    pub default_host: String,
}

/// What became of an address.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rewritten {
    /// The address.
    pub address: String,
    /// The host that routes it: the channel tag that the rules ended with.
    pub host: String,
    /// The channel that takes it; `None`: it is refused with [`Rewritten::error`].
    pub channel: Option<String>,
    /// Why no channel takes it.
    pub error: Option<RewriteError>,
    /// The rule that decided, if one did.
    pub rule: Option<Span>,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct RewriteError {
    /// Enhanced status code.
    pub status: String,
    /// The text of the rule (`$?`), or a default.
    pub text: String,
}
