//! `conn_throttle.so`: connections a minute from one address, counted in the process that is asked.
//!
//! Two routines: `throttle` counts anew each minute, `throttle_p` takes the allowed number off the count each
//! minute and counts refused attempts too, so that whoever keeps hammering stays out. An address's minutes
//! run from its first connection. Both succeed, with no text, where the address is over its rate.
//!
//! Guarantees: constant time a call, a fixed number of addresses (the one not seen for longest is forgotten).
//! Refuses: what is no IP address, rates that are no number. IPv6 addresses are taken as well as IPv4.
//!
//! Source: access specification 20.

use super::bounded::BoundedMap;
use super::table::excerpt;
use super::{Millis, Outcome};
use std::net::IpAddr;

/// How many addresses each routine remembers unless told otherwise.
pub const DEFAULT_ADDRESSES: usize = 100_000;

const MINUTE: Millis = 60_000;

/// Why a call cannot be answered; to a mapping it is "fail".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnThrottleError {
    /// No such routine.
    #[error("routine `{0}` is not known; write throttle,address,rate or throttle_p,address,rate")]
    UnknownRoutine(String),
    /// Not three arguments.
    #[error("too few or too many arguments; write {0},address,rate")]
    Arguments(&'static str),
    /// The second argument is no IP address.
    #[error("`{0}` is no IP address; hand the source address over, as $1 of a PORT_ACCESS probe")]
    BadAddress(String),
    /// The third argument is no rate.
    #[error("`{0}` is no rate; write the connections allowed a minute, a whole number up to 4294967295")]
    BadRate(String),
}

#[derive(Debug, Clone, Copy)]
struct Attempts {
    count: u64,
    since: Millis,
}

/// The counts of one process; see the module's page.
///
/// ```
/// use mta::metermaid::{Outcome, conn_throttle::ConnThrottle};
/// let mut counts = ConnThrottle::default();
/// assert_eq!(counts.run("throttle,192.0.2.1,1", 0), Outcome::Fail);
/// assert_eq!(counts.run("throttle,192.0.2.1,1", 0), Outcome::Success(None));
/// ```
#[derive(Debug)]
pub struct ConnThrottle {
    restarting: BoundedMap<IpAddr, Attempts>,
    penalizing: BoundedMap<IpAddr, Attempts>,
}

impl Default for ConnThrottle {
    fn default() -> Self {
        ConnThrottle::new(DEFAULT_ADDRESSES)
    }
}

impl ConnThrottle {
    /// Counts for at most `addresses` addresses a routine.
    pub fn new(addresses: usize) -> Self {
        ConnThrottle {
            restarting: BoundedMap::new(addresses),
            penalizing: BoundedMap::new(addresses),
        }
    }

    /// `throttle`: counts a connection of `address`; true where it is over `rate` a minute.
    pub fn throttle(&mut self, address: IpAddr, rate: u32, now: Millis) -> bool {
        let attempts = self
            .restarting
            .touch_or_insert_with(address, || Attempts { count: 0, since: now });
        if now.saturating_sub(attempts.since) >= MINUTE {
            *attempts = Attempts { count: 0, since: now };
        }
        attempts.count = attempts.count.saturating_add(1);
        attempts.count > u64::from(rate)
    }

    /// `throttle_p`: as [`ConnThrottle::throttle`], but each full minute only takes `rate` off the count.
    pub fn throttle_p(&mut self, address: IpAddr, rate: u32, now: Millis) -> bool {
        let attempts = self
            .penalizing
            .touch_or_insert_with(address, || Attempts { count: 0, since: now });
        let minutes = now.saturating_sub(attempts.since) / MINUTE;
        attempts.since = attempts.since.saturating_add(minutes.saturating_mul(MINUTE));
        attempts.count = attempts
            .count
            .saturating_sub(minutes.saturating_mul(rate.into()))
            .saturating_add(1);
        attempts.count > u64::from(rate)
    }

    /// Answers the argument text of a callout: `throttle,address,rate` or `throttle_p,address,rate`.
    ///
    /// # Errors
    ///
    /// [`ConnThrottleError`]; nothing is counted then.
    pub fn call(&mut self, arguments: &str, now: Millis) -> Result<bool, ConnThrottleError> {
        let (name, rest) = arguments.split_once(',').unwrap_or((arguments, ""));
        let routine = ["throttle", "throttle_p"]
            .into_iter()
            .find(|routine| routine.eq_ignore_ascii_case(name))
            .ok_or_else(|| ConnThrottleError::UnknownRoutine(excerpt(name)))?;
        let (address, rate) = rest
            .split_once(',')
            .filter(|(_, rate)| !rate.contains(','))
            .ok_or(ConnThrottleError::Arguments(routine))?;
        let address = address
            .parse()
            .map_err(|_| ConnThrottleError::BadAddress(excerpt(address)))?;
        let rate = rate
            .parse()
            .map_err(|_| ConnThrottleError::BadRate(excerpt(rate)))?;
        Ok(match routine {
            "throttle" => self.throttle(address, rate, now),
            _ => self.throttle_p(address, rate, now),
        })
    }

    /// As [`ConnThrottle::call`], as the calling mapping entry sees it.
    pub fn run(&mut self, arguments: &str, now: Millis) -> Outcome {
        match self.call(arguments, now) {
            Ok(over) => Outcome::from_bool(over),
            Err(error) => Outcome::Error(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// How many of `attempts` connections at `now` pass.
    fn passed(attempts: usize, mut over: impl FnMut() -> bool) -> usize {
        (0..attempts).filter(|_| !over()).count()
    }

    #[test]
    fn throttle_starts_anew_each_minute() {
        let mut counts = ConnThrottle::default();
        let cases = [
            (0, 5, 3),
            (59_999, 2, 0),
            (60_000, 5, 3),
            (130_000, 1, 1),
            (189_999, 4, 2),
            (190_000, 4, 3),
        ];
        for (now, attempts, expected) in cases {
            let got = passed(attempts, || counts.throttle(ADDRESS, 3, now));
            assert_eq!(got, expected, "at {now} ms");
        }
    }

    #[test]
    fn throttle_p_carries_the_excess_over() {
        // The documented figures: 250 attempts at rate 100, blocked through the second minute (150 left).
        let mut counts = ConnThrottle::default();
        let cases = [
            (0, 250, 100),
            (60_000, 1, 0),
            (119_999, 1, 0),
            (120_000, 60, 48),
            (3_600_000, 101, 100),
        ];
        for (now, attempts, expected) in cases {
            let got = passed(attempts, || counts.throttle_p(ADDRESS, 100, now));
            assert_eq!(got, expected, "at {now} ms");
        }
    }

    #[test]
    fn addresses_and_routines_are_counted_apart_and_bounded() {
        let mut counts = ConnThrottle::new(1);
        assert_eq!(counts.call("throttle,192.0.2.1,1", 0), Ok(false));
        assert_eq!(counts.call("throttle_p,192.0.2.1,1", 0), Ok(false));
        assert_eq!(counts.call("THROTTLE,192.0.2.1,1", 0), Ok(true));
        assert_eq!(counts.call("throttle,2001:db8::1,1", 0), Ok(false)); // takes the only place
        assert_eq!(counts.call("throttle,192.0.2.1,1", 0), Ok(false));
        assert_eq!(counts.call("throttle_p,192.0.2.1,1", 0), Ok(true));
    }

    #[test]
    fn a_clock_that_goes_back_and_extremes_do_no_harm() {
        let mut counts = ConnThrottle::default();
        for routine in ["throttle,::1,1", "throttle_p,::1,1"] {
            assert_eq!(counts.call(routine, 100_000), Ok(false), "{routine}");
            assert_eq!(counts.call(routine, 0), Ok(true), "{routine}");
            assert_eq!(counts.call(routine, Millis::MAX), Ok(false), "{routine}");
            assert_eq!(counts.call(routine, Millis::MAX), Ok(true), "{routine}");
        }
    }

    #[test]
    fn bad_calls_say_what_to_write() {
        let cases = [
            ("", "routine `` is not known"),
            ("throttles,::1,1", "routine `throttles` is not known"),
            ("throttle", "write throttle,address,rate"),
            ("throttle_p,::1", "write throttle_p,address,rate"),
            ("throttle,::1,1,1", "write throttle,address,rate"),
            ("throttle,mx.example,1", "`mx.example` is no IP address"),
            ("throttle,::1,-1", "`-1` is no rate"),
            ("throttle,::1,4294967296", "is no rate"),
        ];
        let mut counts = ConnThrottle::default();
        for (call, expected) in cases {
            match counts.run(call, 0) {
                Outcome::Error(reason) => assert!(reason.contains(expected), "{call:?}: {reason}"),
                other => panic!("{call:?}: {other:?}"),
            }
        }
    }
}
