//! The queue runner: which entry is tried when, by which channel program, and what follows.
//!
//! Time is owned by the [`Scheduler`]; a channel program ([`delivery`]) gets an entry and gives a result a
//! recipient; [`outcome`] turns results into changes of the entry, log entries and notifications ([`notify`]).
//! What an operator does to an entry is in [`operator`].
//!
//! Source: queue specification 3 to 5, 7, 9.

pub mod delivery;
mod guard;
pub mod notify;
pub mod operator;
pub mod outcome;
mod readdress;
mod schedule;
pub mod scheduler;
mod scripts;
mod smtp;
mod store_channel;

use policy::address::Address;
use policy::channel::Grouping;
use policy::site::Site;

pub use scheduler::Scheduler;

/// The channel that delivers to the message store.
pub const STORE: &str = "ims-ms";

/// The channel that deletes what is queued to it.
pub const BITBUCKET: &str = "bitbucket";

/// The channel that notifications are queued to.
pub const PROCESS: &str = "process";

/// The channel that addresses anew what other channels could not, under the name of the original source channel.
pub const REPROCESS: &str = "reprocess";

/// What a channel does with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Sends it by SMTP.
    Smtp,
    /// Delivers it to a mailbox.
    Store,
    /// Deletes it.
    Bitbucket,
    /// Addresses it anew.
    Process,
    /// Keeps it until an operator releases it, then addresses it anew.
    Hold,
}

/// The program of a channel; `None` where nothing in this version delivers for it.
pub fn program(site: &Site, channel: &str) -> Option<Program> {
    let channel = site.channel(channel)?;
    let base = channel.name.split('_').next().unwrap_or("");
    if channel.settings.smtp || base == "tcp" {
        return Some(Program::Smtp);
    }
    match base {
        STORE => Some(Program::Store),
        BITBUCKET => Some(Program::Bitbucket),
        PROCESS | REPROCESS => Some(Program::Process),
        "hold" => Some(Program::Hold),
        _ => None,
    }
}

/// The channel that finds out where mail of the server's own goes: `process`, or `reprocess` where the site has no
/// such channel (queue specification 7.3). Where it has neither, an entry of `process` is addressed anew all the
/// same, as every entry is whose channel is gone.
pub fn own_mail_channel(site: &Site) -> &'static str {
    match (site.channel(PROCESS), site.channel(REPROCESS)) {
        (None, Some(_)) => REPROCESS,
        _ => PROCESS,
    }
}

/// Whether something delivers for a channel.
pub fn can_deliver(site: &Site, channel: &str) -> bool {
    program(site, channel).is_some()
}

/// The user whose mailbox an address of a channel is, a subaddress left out, in lower case; `None` where the
/// channel does not deliver to the message store.
pub fn mailbox(site: &Site, channel: &str, address: &str) -> Option<String> {
    if program(site, channel) != Some(Program::Store) {
        return None;
    }
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    let uid = local.split_once('+').map_or(local, |(uid, _)| uid);
    Some(uid.to_ascii_lowercase())
}

/// Whether each recipient gets a queue entry of its own.
pub fn is_single(site: &Site, channel: &str) -> bool {
    site.channel(channel)
        .is_some_and(|c| c.settings.grouping == Grouping::Single)
}

/// The host queue of a recipient: where its channel will connect to; empty where the channel has but one
/// queue. `routing` is the channel tag that the rules ended with.
pub fn host_of(site: &Site, channel: &str, address: &str, routing: &str) -> String {
    let Some(channel) = site.channel(channel) else {
        return String::new();
    };
    if program(site, &channel.name) != Some(Program::Smtp) {
        return String::new();
    }
    if let Some(daemon) = channel
        .settings
        .daemon
        .as_deref()
        .filter(|d| !d.eq_ignore_ascii_case("router"))
    {
        return daemon.to_ascii_lowercase();
    }
    let is_tag = routing.eq_ignore_ascii_case(&channel.official_host)
        || channel
            .extra_hosts
            .iter()
            .any(|(h, _)| h.eq_ignore_ascii_case(routing));
    if !is_tag {
        return routing.to_ascii_lowercase();
    }
    let parsed = Address::parse(address).unwrap_or_default();
    parsed
        .route
        .first()
        .or(parsed.domain.as_ref())
        .map(|h| h.to_ascii_lowercase())
        .unwrap_or_default()
}
