//! When an entry is tried again, warned about, and returned: `backoff`, `notices`, RETURN_UNITS.
//!
//! Source: queue specification 5.2, 5.4.

use policy::site::Site;
use store::envelope::Time;
use store::spool::Entry;

/// Seconds before a retry where no keyword says otherwise, by priority class (queue specification 5.2).
const BACKOFF: [&[u64]; 3] = [
    &[1800, 3600, 3600, 7200, 7200, 7200, 14_400],
    &[3600, 7200, 7200, 14_400, 14_400, 14_400, 28_800],
    &[7200, 14_400, 14_400, 28_800, 28_800, 28_800, 57_600],
];

/// Ages where no keyword says otherwise (queue specification 5.4).
const NOTICES: &[u32] = &[3, 6, 9, 12];

/// When an entry is tried again, warned about, and returned.
pub(super) struct Schedule {
    backoff: Vec<u64>,
    /// Ages at which the sender is warned; at the last one the message is returned.
    pub(super) ages: Vec<u32>,
    /// Seconds of an age.
    pub(super) unit: i64,
    /// Seconds after which it is returned.
    pub(super) return_after: Time,
    /// Ages are hours, not days.
    pub(super) hours: bool,
}

impl Schedule {
    pub(super) fn of(site: &Site, entry: &Entry) -> Self {
        let class = match entry.envelope.priority {
            1.. => 0,
            0 => 1,
            _ => 2,
        };
        let settings = site.channel(&entry.channel).map(|c| &c.settings);
        let backoff = settings
            .map(|s| s.backoff[class].clone())
            .filter(|b| !b.is_empty());
        let of = |s: &policy::channel::Settings| s.notices[class].clone();
        let ages = settings.map(of).filter(|a| !a.is_empty());
        let local = site
            .channels
            .first()
            .map(|c| of(&c.settings))
            .filter(|a| !a.is_empty());
        let ages = ages.or(local).unwrap_or_else(|| NOTICES.to_vec());
        let hours = site.options.number("RETURN_UNITS", 0) == 1;
        let unit = if hours { 3600 } else { 86_400 };
        let return_after = ages.last().map_or(Time::MAX, |last| i64::from(*last) * unit);
        Schedule {
            backoff: backoff.unwrap_or_else(|| BACKOFF[class].to_vec()),
            ages,
            unit,
            return_after,
            hours,
        }
    }

    pub(super) fn wait(&self, attempts: u32) -> Time {
        let n = (attempts as usize).min(self.backoff.len().saturating_sub(1));
        self.backoff
            .get(n)
            .map_or(3600, |w| i64::try_from(*w).unwrap_or(i64::MAX / 4))
    }

    /// How many of the ages, the last one left out, have passed.
    pub(super) fn warnings_due(&self, age: Time) -> u8 {
        let warnings = self.ages.split_last().map_or(&[][..], |(_, rest)| rest);
        warnings
            .iter()
            .filter(|a| age >= i64::from(**a) * self.unit)
            .count()
            .min(255) as u8
    }
}
