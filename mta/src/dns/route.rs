//! Which hosts to try for a destination, and in what order.
//!
//! [`route`] asks for MX records where the rules want them; [`decide`] is the decision alone. Neither looks
//! up the addresses of the hosts it names: that waits until a host's turn comes, so that a null MX costs one
//! query and a long list costs no more than is used.
//!
//! Source: queue specification 9.1; RFC 5321, 5.1; RFC 7505.

use std::net::IpAddr;

use super::{DnsError, Lookup, Mx, MxAnswer};

/// How MX records are used (channel keywords of the `mx` family).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MxUse {
    /// `randommx`: equal preferences are shuffled, by this seed.
    Random(u64),
    /// `mx`, `nonrandommx`: equal preferences stay as received.
    Received,
    /// `nomx`, or any port but 25 under `defaultmx`: address records only.
    None,
}

impl MxUse {
    /// `defaultmx`: shuffled MX records on port 25, address records on all others.
    pub fn default_for(port: u16, seed: u64) -> MxUse {
        if port == 25 {
            MxUse::Random(seed)
        } else {
            MxUse::None
        }
    }
}

/// What routing has to know about this host and the channel.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// How MX records are used.
    pub mx: MxUse,
    /// Names of this host, compared without regard to case.
    pub own_names: &'a [String],
}

/// A place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// From an address literal: no DNS.
    Address(IpAddr),
    /// Its addresses are still to be looked up.
    Host(String),
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hop::Address(IpAddr::V4(address)) => write!(f, "[{address}]"),
            Hop::Address(IpAddr::V6(address)) => write!(f, "[IPv6:{address}]"),
            Hop::Host(host) => f.write_str(host),
        }
    }
}

/// Why there is nowhere to go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// The domain has a null MX.
    #[error("{0} does not accept mail (its MX record is null)")]
    NullMx(String),
    /// Every exchanger is this host or comes after it.
    #[error("mail for {0} loops back to this host; if it is meant to be local, add a rewrite rule for it")]
    Loop(String),
    /// Something in brackets that is no address.
    #[error("{0} is not a valid address literal; write [192.0.2.1] or [IPv6:2001:db8::1]")]
    BadLiteral(String),
    /// The DNS has no answer, now or ever.
    #[error(transparent)]
    Dns(#[from] DnsError),
}

impl NoRoute {
    /// Enhanced status code.
    pub fn status(&self) -> &'static str {
        match self {
            NoRoute::NullMx(_) => "5.1.10",
            NoRoute::Loop(_) => "5.4.6",
            NoRoute::BadLiteral(_) | NoRoute::Dns(DnsError::NotFound { .. }) => "5.1.2",
            NoRoute::Dns(DnsError::NoData { .. }) => "5.4.4",
            NoRoute::Dns(DnsError::Temporary { .. }) => "4.4.3",
        }
    }

    /// No later attempt will do better.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, NoRoute::Dns(DnsError::Temporary { .. }))
    }
}

/// Reads `[192.0.2.1]` or `[IPv6:2001:db8::1]`; `None` if the text is not in brackets at all.
pub fn literal(text: &str) -> Option<Result<IpAddr, NoRoute>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let six = inner
        .get(..5)
        .filter(|tag| tag.eq_ignore_ascii_case("ipv6:"))
        .and_then(|_| inner.get(5..));
    let parsed = match six {
        Some(address) => address.parse().map(IpAddr::V6).ok(),
        None => inner.parse().map(IpAddr::V4).ok(),
    };
    Some(parsed.ok_or_else(|| NoRoute::BadLiteral(text.to_string())))
}

/// The hosts to try for a destination, in order; at least one.
///
/// # Errors
/// [`NoRoute`]; a failing name server is the only temporary one.
pub async fn route(destination: &str, rules: &Rules<'_>, dns: &impl Lookup) -> Result<Vec<Hop>, NoRoute> {
    if let Some(address) = literal(destination) {
        return Ok(vec![Hop::Address(address?)]);
    }
    if rules.mx == MxUse::None {
        return Ok(vec![Hop::Host(destination.to_string())]);
    }
    let answer = dns.mx(destination).await?;
    decide(destination, answer, rules).map(|hosts| hosts.into_iter().map(Hop::Host).collect())
}

/// The decision of [`route`] when the MX records are known.
///
/// # Errors
/// [`NoRoute::NullMx`] and [`NoRoute::Loop`].
pub fn decide(destination: &str, answer: MxAnswer, rules: &Rules<'_>) -> Result<Vec<String>, NoRoute> {
    let is_own = |host: &str| rules.own_names.iter().any(|own| own.eq_ignore_ascii_case(host));
    let mut records = match answer {
        MxAnswer::Null => return Err(NoRoute::NullMx(destination.to_string())),
        MxAnswer::NoRecords if is_own(destination) => return Err(NoRoute::Loop(destination.to_string())),
        MxAnswer::NoRecords => return Ok(vec![destination.to_string()]),
        MxAnswer::Records(records) => records,
    };
    if let Some(own) = records
        .iter()
        .filter(|mx| is_own(&mx.host))
        .map(|mx| mx.preference)
        .min()
    {
        records.retain(|mx| mx.preference < own);
    }
    if records.is_empty() {
        return Err(NoRoute::Loop(destination.to_string()));
    }
    records.sort_by_key(|mx| mx.preference);
    if let MxUse::Random(seed) = rules.mx {
        shuffle_equals(&mut records, seed);
    }
    let mut hosts: Vec<String> = Vec::with_capacity(records.len());
    for mx in records {
        if !hosts.iter().any(|host| host.eq_ignore_ascii_case(&mx.host)) {
            hosts.push(mx.host);
        }
    }
    Ok(hosts)
}

/// Shuffles each run of equal preference; the seed alone decides, so a run can be replayed.
fn shuffle_equals(records: &mut [Mx], seed: u64) {
    let mut state = seed;
    // SplitMix64: spreads load, protects nothing.
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    for run in records.chunk_by_mut(|a, b| a.preference == b.preference) {
        for i in (1..run.len()).rev() {
            let j = (next() % (i as u64 + 1)) as usize;
            run.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Canned;

    fn zone() -> Canned {
        Canned::default()
            .with_mx("two.example", 20, "b.two.example.")
            .with_mx("two.example", 10, "a.two.example.")
            .with_mx("null.example", 0, ".")
            .with_address("null.example", [192, 0, 2, 5].into())
            .with_address("plain.example", [192, 0, 2, 6].into())
            .with_mx("backup.example", 10, "first.example")
            .with_mx("backup.example", 20, "ME.example")
            .with_mx("backup.example", 20, "peer.example")
            .with_mx("backup.example", 30, "last.example")
            .with_mx("ours.example", 10, "me.example")
            .with_mx("ours.example", 20, "other.example")
            .with_mx("dotty.example", 10, ".")
            .with_mx("dotty.example", 20, "real.example")
            .with_address("me.example", [192, 0, 2, 9].into())
            .failing("broken.example")
    }

    #[tokio::test]
    async fn routes() {
        let host = |names: &[&str]| Ok(names.iter().map(|n| Hop::Host(n.to_string())).collect::<Vec<_>>());
        type Case = (&'static str, &'static str, MxUse, Result<Vec<Hop>, &'static str>);
        let cases: Vec<Case> = vec![
            (
                "by preference",
                "two.example",
                MxUse::Received,
                host(&["a.two.example", "b.two.example"]),
            ),
            ("null MX", "null.example", MxUse::Received, Err("5.1.10")),
            (
                "no MX, an address",
                "plain.example",
                MxUse::Received,
                host(&["plain.example"]),
            ),
            ("nobody", "nowhere.example", MxUse::Received, Err("5.1.2")),
            ("server failure", "broken.example", MxUse::Received, Err("4.4.3")),
            (
                "own host and all after it go",
                "backup.example",
                MxUse::Received,
                host(&["first.example"]),
            ),
            ("own host first", "ours.example", MxUse::Received, Err("5.4.6")),
            (
                "own host by address record",
                "me.example",
                MxUse::Received,
                Err("5.4.6"),
            ),
            (
                "a root exchanger among others",
                "dotty.example",
                MxUse::Received,
                host(&["real.example"]),
            ),
            ("nomx", "two.example", MxUse::None, host(&["two.example"])),
            (
                "IPv4 literal",
                "[192.0.2.1]",
                MxUse::Received,
                Ok(vec![Hop::Address([192, 0, 2, 1].into())]),
            ),
            (
                "IPv6 literal",
                "[ipv6:2001:db8::1]",
                MxUse::None,
                Ok(vec![Hop::Address("2001:db8::1".parse().unwrap())]),
            ),
            ("bad literal", "[192.0.2]", MxUse::Received, Err("5.1.2")),
            (
                "bare IPv6 literal",
                "[2001:db8::1]",
                MxUse::Received,
                Err("5.1.2"),
            ),
        ];
        let own = ["me.example".to_string()];
        for (name, destination, mx, expected) in cases {
            let got = route(destination, &Rules { mx, own_names: &own }, &zone()).await;
            assert_eq!(got.map_err(|e| e.status()), expected, "{name}");
        }
    }

    #[test]
    fn shuffling_keeps_preferences_and_reaches_every_order() {
        let records: Vec<Mx> = [(10, "a"), (10, "b"), (10, "c"), (20, "d")]
            .map(|(p, h)| Mx {
                preference: p,
                host: h.into(),
            })
            .into();
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let rules = Rules {
                mx: MxUse::Random(seed),
                own_names: &[],
            };
            let hosts = decide("x", MxAnswer::from_records(records.clone()), &rules).unwrap();
            assert_eq!(hosts.len(), 4);
            assert_eq!(hosts[3], "d", "seed {seed}");
            assert_eq!(
                decide("x", MxAnswer::from_records(records.clone()), &rules).unwrap(),
                hosts
            );
            firsts.insert(hosts[..3].concat());
        }
        assert_eq!(firsts.len(), 6);
    }

    #[test]
    fn long_lists_are_cut() {
        let records = (0..100u16)
            .map(|p| Mx {
                preference: 100 - p,
                host: format!("h{p}"),
            })
            .collect();
        let MxAnswer::Records(kept) = MxAnswer::from_records(records) else {
            panic!("no records")
        };
        assert_eq!((kept.len(), kept[0].preference), (crate::dns::MAX_MX, 1));
    }
}
