//! Slowing down those who guess passwords.
//!
//! Counts failed attempts for each client address and says how long the answer to the next failure waits.
//! An IPv6 client is counted by its /64, since it can take any address in it. Limits: a bounded number of
//! addresses; where there are more, those whose last failure is the longest ago are forgotten.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// The most addresses that are remembered.
pub const MAX_CLIENTS: usize = 10_000;
/// The longest delay.
pub const MAX_DELAY: Duration = Duration::from_secs(10);
/// After this time without a failure an address begins anew.
pub const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Clone, Copy)]
struct Client {
    failures: u32,
    last: Instant,
}

/// Failed attempts by client address. Time comes from the caller.
#[derive(Debug, Clone)]
pub struct AuthFailures {
    clients: HashMap<IpAddr, Client>,
    capacity: usize,
}

impl Default for AuthFailures {
    fn default() -> Self {
        Self::new(MAX_CLIENTS)
    }
}

impl AuthFailures {
    /// Remembers at most `capacity` addresses (at least one).
    pub fn new(capacity: usize) -> Self {
        AuthFailures {
            clients: HashMap::new(),
            capacity: capacity.max(1),
        }
    }

    /// Counts a failure and returns how long its answer should wait: 1, 2, 4, 8 and then 10 seconds.
    pub fn failed(&mut self, client: IpAddr, now: Instant) -> Duration {
        let key = network(client);
        if self.clients.len() >= self.capacity && !self.clients.contains_key(&key) {
            self.make_room();
        }
        let entry = self.clients.entry(key).or_insert(Client {
            failures: 0,
            last: now,
        });
        if now.saturating_duration_since(entry.last) >= FORGET_AFTER {
            entry.failures = 0;
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
        delay(entry.failures)
    }

    /// Forgets the failures of a client that has proved who it is.
    pub fn succeeded(&mut self, client: IpAddr) {
        self.clients.remove(&network(client));
    }

    /// How long a client should wait now, without counting anything: 0 with no failures.
    pub fn delay(&self, client: IpAddr, now: Instant) -> Duration {
        match self.clients.get(&network(client)) {
            Some(entry) if now.saturating_duration_since(entry.last) < FORGET_AFTER => delay(entry.failures),
            _ => Duration::ZERO,
        }
    }

    /// The number of addresses remembered.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether no failure is remembered.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Drops the eighth whose last failure is the longest ago: a flood pays for one pass in many failures.
    fn make_room(&mut self) {
        let mut times: Vec<Instant> = self.clients.values().map(|c| c.last).collect();
        let drop = (self.capacity / 8).max(1).min(times.len());
        let (_, &mut newest_dropped, _) = times.select_nth_unstable(drop - 1);
        let mut left = drop;
        self.clients.retain(|_, c| {
            let goes = left > 0 && c.last <= newest_dropped;
            left -= usize::from(goes);
            !goes
        });
    }
}

fn delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => Duration::from_secs(1 << (n - 1).min(4)).min(MAX_DELAY),
    }
}

/// The address that is counted.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn delays_double_up_to_ten_seconds_and_are_forgotten() {
        let mut failures = AuthFailures::default();
        let (client, start) = (ip("192.0.2.1"), Instant::now());
        assert_eq!(failures.delay(client, start), Duration::ZERO);
        let seconds: Vec<u64> = (0..7).map(|_| failures.failed(client, start).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10]);
        assert_eq!(
            failures.delay(ip("192.0.2.2"), start),
            Duration::ZERO,
            "another client"
        );
        assert_eq!(failures.delay(client, start + FORGET_AFTER), Duration::ZERO);
        assert_eq!(
            failures.failed(client, start + FORGET_AFTER).as_secs(),
            1,
            "begins anew"
        );
        failures.succeeded(client);
        assert!(failures.is_empty());
    }

    #[test]
    fn one_network_is_one_client() {
        let (mut failures, now) = (AuthFailures::default(), Instant::now());
        failures.failed(ip("2001:db8::1"), now);
        assert_eq!(failures.failed(ip("2001:db8::ffff:1"), now).as_secs(), 2);
        failures.failed(ip("::ffff:192.0.2.1"), now);
        assert_eq!(
            failures.failed(ip("192.0.2.1"), now).as_secs(),
            2,
            "mapped addresses are IPv4"
        );
        assert_eq!(failures.len(), 2);
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let (mut failures, start) = (AuthFailures::new(16), Instant::now());
        for n in 0..1000u32 {
            let now = start + Duration::from_millis(u64::from(n));
            failures.failed(IpAddr::from(n.to_be_bytes()), now);
            assert!(failures.len() <= 16);
        }
        assert!(failures.delay(IpAddr::from(999u32.to_be_bytes()), start) > Duration::ZERO);
        assert_eq!(
            failures.delay(IpAddr::from(980u32.to_be_bytes()), start),
            Duration::ZERO
        );
        let mut same_time = AuthFailures::new(4);
        for n in 0..100u32 {
            same_time.failed(IpAddr::from(n.to_be_bytes()), start);
            assert!((1..=4).contains(&same_time.len()));
        }
    }
}
