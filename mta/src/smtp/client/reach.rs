//! A destination's hosts, one after the other, until one takes the session.
//!
//! Source: queue specification 9.1.

use std::net::SocketAddr;
use std::sync::Arc;

use store::envelope::Failure;

use super::guard::{Candidate, Guard, Way};
use super::{ClientError, ClientOptions, Connection, Target};
use crate::dns::Lookup;
use crate::dns::route::{Hop, NoRoute, Rules, route};

/// Addresses tried for one destination in one round, over all its hosts.
pub const MAX_ATTEMPTS: usize = 32;

/// No host of a destination could be reached.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", failure.diagnostic)]
pub struct Unreached {
    /// The last host's reason, or that of the routing.
    pub failure: Failure,
    /// No later round will do better.
    pub permanent: bool,
    /// Policy refused: its reason, for the log alone.
    pub refused: Option<String>,
    /// The reasons of the addresses tried, in order; for logs.
    pub attempts: Vec<String>,
}

/// Where to look for a destination.
#[derive(Debug, Clone)]
pub struct Destination<'a> {
    /// Domain, host or `[literal]`: the host part of the address, or the channel's `daemon`.
    pub name: &'a str,
    /// Port.
    pub port: u16,
    /// Tried when everything else failed (`lastresort`).
    pub last_resort: Option<&'a str>,
}

/// Opens a session with the first host of the destination that takes one. The guard is asked about each address.
///
/// # Errors
/// [`Unreached`]. It is permanent if routing says so, if the guard refuses, if a host turns out to be this
/// server, or if every address answered and the last one answered 5yz; otherwise it is temporary.
pub async fn reach(
    destination: &Destination<'_>,
    rules: &Rules<'_>,
    dns: &impl Lookup,
    options: &Arc<ClientOptions>,
    guard: &mut impl Guard,
) -> Result<Connection, Unreached> {
    let mut round = Round {
        guard,
        attempts: Vec::new(),
        last: None,
        all_answered: true,
        looped: false,
        refused: None,
    };
    match route(destination.name, rules, dns).await {
        Ok(hops) => {
            if let Some(connection) = round.walk(&hops, destination.port, dns, options).await {
                return Ok(connection);
            }
        }
        // Where mail must not go, the last resort must not send it either.
        Err(error @ (NoRoute::NullMx(_) | NoRoute::Loop(_) | NoRoute::BadLiteral(_))) => {
            round.no_route(&error);
            return Err(round.unreached());
        }
        Err(error) => round.no_route(&error),
    }
    if let Some(host) = destination.last_resort.filter(|_| !round.is_over()) {
        let hop = match crate::dns::route::literal(host) {
            Some(Ok(address)) => Hop::Address(address),
            _ => Hop::Host(host.to_string()),
        };
        if let Some(connection) = round.walk(&[hop], destination.port, dns, options).await {
            return Ok(connection);
        }
    }
    Err(round.unreached())
}

struct Round<'a, G> {
    guard: &'a mut G,
    attempts: Vec<String>,
    last: Option<(Failure, bool)>,
    all_answered: bool,
    looped: bool,
    refused: Option<String>,
}

impl<G: Guard> Round<'_, G> {
    async fn walk(
        &mut self,
        hops: &[Hop],
        port: u16,
        dns: &impl Lookup,
        options: &Arc<ClientOptions>,
    ) -> Option<Connection> {
        for hop in hops {
            let addresses = match hop {
                Hop::Address(address) => vec![*address],
                Hop::Host(host) => match dns.addresses(host).await {
                    Ok(addresses) => addresses,
                    Err(error) => {
                        self.no_route(&NoRoute::Dns(error));
                        continue;
                    }
                },
            };
            let host = hop.to_string();
            let count = addresses.len();
            for (n, address) in addresses.into_iter().enumerate() {
                if self.is_over() || self.attempts.len() >= MAX_ATTEMPTS {
                    return None;
                }
                let candidate = Candidate {
                    current: n + 1,
                    count,
                    address,
                    host: &host,
                };
                let (address, note) = match self.guard.before_connect(&candidate).await {
                    Way::Go => (address, None),
                    Way::Instead(other) => (other, Some(format!("{other} in place of {address}"))),
                    Way::Skip(reason) => {
                        self.skipped(&host, reason);
                        continue;
                    }
                    Way::Refuse(reason) => {
                        self.refuse(&host, reason);
                        return None;
                    }
                };
                let target = Target {
                    host: host.clone(),
                    address: SocketAddr::new(address, port),
                };
                match Connection::open(&target, options, self.guard).await {
                    Ok(mut connection) => {
                        note.into_iter().for_each(|note| connection.note(note));
                        return Some(connection);
                    }
                    Err(error) => self.failed(&error),
                }
            }
        }
        None
    }

    fn no_route(&mut self, error: &NoRoute) {
        let failure = Failure {
            status: error.status().into(),
            diagnostic: error.to_string(),
            remote: String::new(),
            transport: String::new(),
        };
        self.attempts.push(error.to_string());
        self.all_answered &= error.is_permanent();
        self.last = Some((failure, error.is_permanent()));
    }

    /// No further address may be tried.
    fn is_over(&self) -> bool {
        self.looped || self.refused.is_some()
    }

    /// An address that may not be connected to; what another one said tells more.
    fn skipped(&mut self, host: &str, reason: String) {
        self.attempts.push(reason.clone());
        self.all_answered = false;
        self.last.get_or_insert_with(|| {
            let failure = Failure {
                status: "4.4.1".into(),
                diagnostic: reason,
                remote: host.to_string(),
                transport: String::new(),
            };
            (failure, false)
        });
    }

    fn refuse(&mut self, host: &str, reason: String) {
        self.attempts.push(reason.clone());
        let failure = Failure {
            status: "5.1.2".into(),
            diagnostic: format!("invalid host or domain: {host}"),
            remote: host.to_string(),
            transport: String::new(),
        };
        self.last = Some((failure, true));
        self.refused = Some(reason);
    }

    fn failed(&mut self, error: &ClientError) {
        self.attempts.push(error.to_string());
        self.last = Some((error.failure(), error.is_permanent()));
        self.looped = matches!(error.cause, super::Cause::Loop(_));
        self.all_answered &= matches!(error.cause, super::Cause::Refused { .. });
    }

    fn unreached(self) -> Unreached {
        let over = self.is_over();
        let (mut failure, permanent) = self.last.unwrap_or_default();
        let permanent = over || (permanent && self.all_answered);
        if !permanent && failure.status.starts_with('5') {
            failure.status.replace_range(..1, "4");
        }
        Unreached {
            failure,
            permanent,
            refused: self.refused,
            attempts: self.attempts,
        }
    }
}
