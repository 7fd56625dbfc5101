//! What can be set for a MeterMaid table: kinds, keys, quotas, times, with their defaults and limits.
//!
//! Options come as names and texts, under the names of either configuration (`type` or `table_type`,
//! `options` or `table_options`); names and keywords are compared without regard to case. Guarantees: every
//! value is checked here, so that no operation on a table meets a bad one; an option that is well formed but
//! means nothing for the table's kind is kept in [`TableOptions::ignored`], so that it can be reported.
//! Refuses: unknown options, numbers out of range, durations in years or months (they have no fixed length).
//!
//! Source: access specification 21.4.

use super::Millis;
use super::bounded::MAX_CAPACITY;
use jiff::fmt::temporal::SpanParser;

/// The largest `quota * quota_time` in hits times milliseconds, which keeps the exact arithmetic in 64 bits
/// with room for sixteen times the quota where refused hits count too.
pub const MAX_QUOTA_MILLIS: u64 = 1 << 60;

/// The longest duration: a hundred years of 365 days, in milliseconds.
pub const MAX_DURATION: Millis = 100 * 365 * DAY;

const DAY: Millis = 86_400_000;

/// Why an option of a table cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No such option.
    #[error("table option `{0}` is not known; known are {list}", list = KNOWN.join(", "))]
    Unknown(String),
    /// A value that is none of the words allowed.
    #[error("table option `{option}` cannot be `{value}`; write one of {allowed}")]
    NotOneOf {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What can be given.
        allowed: &'static str,
    },
    /// A value that is no whole number in the option's range.
    #[error("table option `{option}` cannot be `{value}`; write a whole number from {least} to {most}")]
    Number {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
        /// The smallest number allowed.
        least: u64,
        /// The largest number allowed.
        most: u64,
    },
    /// `quota` and `quota_time` are each fine but too large together.
    #[error(
        "quota {quota} in quota_time {quota_time} s is too large to be counted exactly; \
         make either smaller, their ratio is what limits the rate"
    )]
    QuotaTooLarge {
        /// Hits.
        quota: u64,
        /// Seconds.
        quota_time: u64,
    },
    /// A text that is no ISO 8601 duration.
    #[error(
        "table option `{option}` cannot be `{value}`; write an ISO 8601 duration such as pt5m, pt4h or p7d"
    )]
    Duration {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
    },
    /// A duration in years or months.
    #[error(
        "table option `{option}` cannot be `{value}`: years and months differ in length; write it in days"
    )]
    CalendarDuration {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
    },
    /// A duration that is negative, over [`MAX_DURATION`], or zero where that would let nothing pass.
    #[error("table option `{option}` cannot be `{value}`; write a duration {allowed}")]
    DurationRange {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
        /// The range in words.
        allowed: &'static str,
    },
    /// An option set twice, perhaps under both of its names.
    #[error("table option `{0}` is set twice; keep one")]
    Twice(&'static str),
}

/// The kind of a table (21.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TableKind {
    /// Hits per key against a quota.
    #[default]
    Throttle,
    /// A value per key.
    Simple,
    /// Who came back, and when.
    Greylisting,
}

impl TableKind {
    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            TableKind::Throttle => "throttle",
            TableKind::Simple => "simple",
            TableKind::Greylisting => "greylisting",
        }
    }
}

/// What the keys of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyType {
    /// Any text of at most 255 octets.
    #[default]
    Text,
    /// IPv4 addresses in dotted decimal.
    Ipv4,
}

/// What the values of a simple table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValueType {
    /// Any text of at most [`MAX_VALUE_OCTETS`](super::table::MAX_VALUE_OCTETS).
    #[default]
    Text,
    /// A signed 64-bit number.
    Integer,
}

/// Everything set for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// `type`: the kind; throttle by default.
    pub kind: TableKind,
    /// `data_type`: the keys; text by default.
    pub key_type: KeyType,
    /// `value_type`: the values of a simple table; text by default.
    pub value_type: ValueType,
    /// `max_entries`: when there are so many, the one not used for longest is reused; 1000 by default.
    pub max_entries: usize,
    /// `options=nocase`: ASCII letters in text keys are compared without regard to case; off by default.
    pub nocase: bool,
    /// `options=penalize`: refused hits count too; off by default.
    pub penalize: bool,
    /// `quota`: hits allowed in `quota_time`; 100 by default. 0 refuses every hit.
    pub quota: u64,
    /// `quota_time`: seconds; 60 by default.
    pub quota_time: u64,
    /// `block_time`: milliseconds in which a new key is refused; five minutes by default.
    pub block_time: Millis,
    /// `resubmit_time`: milliseconds after those in which a retry is taken; four hours by default.
    pub resubmit_time: Millis,
    /// `inactivity_time`: milliseconds without use after which an accepted key is forgotten; seven days by
    /// default.
    pub inactivity_time: Millis,
    /// Options that were set and have no effect on a table of this kind, by name, in the order given.
    /// `storage` is always among them: it chose between look-up structures, and here there is one.
    pub ignored: Vec<&'static str>,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions {
            kind: TableKind::Throttle,
            key_type: KeyType::Text,
            value_type: ValueType::Text,
            max_entries: 1000,
            nocase: false,
            penalize: false,
            quota: 100,
            quota_time: 60,
            block_time: 5 * 60_000,
            resubmit_time: 4 * 3_600_000,
            inactivity_time: 7 * DAY,
            ignored: Vec::new(),
        }
    }
}

const KNOWN: [&str; 11] = [
    "type",
    "data_type",
    "value_type",
    "max_entries",
    "options",
    "quota",
    "quota_time",
    "storage",
    "block_time",
    "resubmit_time",
    "inactivity_time",
];

impl TableOptions {
    /// Reads a table's options from names and texts, in any order.
    ///
    /// # Errors
    ///
    /// The first [`OptionError`] met; nothing is taken by halves.
    ///
    /// ```
    /// use mta::metermaid::options::{OptionError, TableOptions};
    /// let options = TableOptions::parse([("type", "greylisting"), ("block_time", "PT10M")])?;
    /// assert_eq!(options.block_time, 600_000);
    /// # Ok::<(), OptionError>(())
    /// ```
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, OptionError> {
        let mut options = TableOptions::default();
        let mut given: Vec<&'static str> = Vec::new();
        for (name, value) in pairs {
            let option = known(name)?;
            if given.contains(&option) {
                return Err(OptionError::Twice(option));
            }
            given.push(option);
            options.set(option, value.trim())?;
        }
        if options
            .quota
            .saturating_mul(options.quota_time.saturating_mul(1000))
            > MAX_QUOTA_MILLIS
        {
            return Err(OptionError::QuotaTooLarge {
                quota: options.quota,
                quota_time: options.quota_time,
            });
        }
        options.ignored = given
            .into_iter()
            .filter(|option| !options.has_effect(option))
            .collect();
        if options.nocase && options.key_type == KeyType::Ipv4 {
            options.ignored.push("nocase");
        }
        if options.penalize && options.kind != TableKind::Throttle {
            options.ignored.push("penalize");
        }
        Ok(options)
    }

    fn set(&mut self, option: &'static str, value: &str) -> Result<(), OptionError> {
        match option {
            "type" => {
                let kinds = [TableKind::Throttle, TableKind::Simple, TableKind::Greylisting];
                self.kind = kinds
                    .into_iter()
                    .find(|kind| kind.name().eq_ignore_ascii_case(value))
                    .ok_or_else(|| not_one_of(option, value, "throttle, simple, greylisting"))?;
            }
            "data_type" => {
                self.key_type = match word(option, value, &["string", "ipv4"], "string, ipv4")? {
                    0 => KeyType::Text,
                    _ => KeyType::Ipv4,
                }
            }
            "value_type" => {
                self.value_type = match word(option, value, &["string", "integer"], "string, integer")? {
                    0 => ValueType::Text,
                    _ => ValueType::Integer,
                }
            }
            "max_entries" => self.max_entries = number(option, value, 1, MAX_CAPACITY as u64)? as usize,
            "options" => {
                for flag in value.split(',').map(str::trim).filter(|flag| !flag.is_empty()) {
                    match word(
                        option,
                        flag,
                        &["nocase", "penalize"],
                        "nocase, penalize, with commas between",
                    )? {
                        0 => self.nocase = true,
                        _ => self.penalize = true,
                    }
                }
            }
            "quota" => self.quota = number(option, value, 0, u32::MAX.into())?,
            "quota_time" => self.quota_time = number(option, value, 1, u32::MAX.into())?,
            "storage" => {
                word(option, value, &["hash", "splay"], "hash, splay")?;
            }
            "block_time" => self.block_time = duration(option, value, 0)?,
            "resubmit_time" => self.resubmit_time = duration(option, value, 1)?,
            "inactivity_time" => self.inactivity_time = duration(option, value, 1)?,
            _ => return Err(OptionError::Unknown(option.to_owned())),
        }
        Ok(())
    }

    fn has_effect(&self, option: &str) -> bool {
        match option {
            "quota" | "quota_time" => self.kind == TableKind::Throttle,
            "value_type" => self.kind == TableKind::Simple,
            "block_time" | "resubmit_time" | "inactivity_time" => self.kind == TableKind::Greylisting,
            "storage" => false,
            _ => true,
        }
    }
}

fn known(name: &str) -> Result<&'static str, OptionError> {
    let plain = match name.to_ascii_lowercase().as_str() {
        "table_type" => "type".to_owned(),
        "table_options" => "options".to_owned(),
        other => other.to_owned(),
    };
    KNOWN
        .into_iter()
        .find(|option| *option == plain)
        .ok_or_else(|| OptionError::Unknown(name.to_owned()))
}

fn not_one_of(option: &'static str, value: &str, allowed: &'static str) -> OptionError {
    OptionError::NotOneOf {
        option,
        value: value.to_owned(),
        allowed,
    }
}

/// The place of `value` among `words`.
fn word(
    option: &'static str,
    value: &str,
    words: &[&str],
    allowed: &'static str,
) -> Result<usize, OptionError> {
    words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(value))
        .ok_or_else(|| not_one_of(option, value, allowed))
}

fn number(option: &'static str, value: &str, least: u64, most: u64) -> Result<u64, OptionError> {
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| OptionError::Number {
            option,
            value: value.to_owned(),
            least,
            most,
        })
}

/// An ISO 8601 duration of fixed length, in milliseconds; what is finer is cut off.
fn duration(option: &'static str, value: &str, least: Millis) -> Result<Millis, OptionError> {
    let bad = || OptionError::Duration {
        option,
        value: value.to_owned(),
    };
    let span = SpanParser::new().parse_span(value).map_err(|_| bad())?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(OptionError::CalendarDuration {
            option,
            value: value.to_owned(),
        });
    }
    // Each unit is far below 2^63 nanoseconds in jiff's own limits, so none of this can overflow 128 bits.
    let millis = [
        (i128::from(span.get_weeks()), i128::from(7 * DAY)),
        (i128::from(span.get_days()), i128::from(DAY)),
        (i128::from(span.get_hours()), 3_600_000),
        (i128::from(span.get_minutes()), 60_000),
        (i128::from(span.get_seconds()), 1000),
        (i128::from(span.get_milliseconds()), 1),
    ]
    .into_iter()
    .map(|(count, unit)| count * unit)
    .sum::<i128>();
    Millis::try_from(millis)
        .ok()
        .filter(|millis| (least..=MAX_DURATION).contains(millis))
        .ok_or_else(|| OptionError::DurationRange {
            option,
            value: value.to_owned(),
            allowed: if least == 0 {
                "from zero to 36500 days"
            } else {
                "above zero and at most 36500 days"
            },
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_specification() {
        let options = TableOptions::parse([]).unwrap();
        assert_eq!(options, TableOptions::default());
        assert_eq!(
            (options.kind, options.key_type, options.value_type),
            Default::default()
        );
        assert_eq!(
            (options.max_entries, options.quota, options.quota_time),
            (1000, 100, 60)
        );
        assert_eq!(
            (options.block_time, options.resubmit_time, options.inactivity_time),
            (300_000, 14_400_000, 604_800_000)
        );
    }

    #[test]
    fn durations() {
        let cases: &[(&str, Option<Millis>)] = &[
            ("pt5m", Some(300_000)),
            ("PT5M", Some(300_000)),
            ("p7d", Some(7 * DAY)),
            ("P1W", Some(7 * DAY)),
            ("p1dt2h3m4s", Some(DAY + 7_384_000)),
            ("PT1.5S", Some(1500)),
            ("pt0s", Some(0)),
            ("p36500d", Some(MAX_DURATION)),
            ("p36501d", None),
            ("-pt5m", None),
            ("p1y", None),
            ("p2m", None),
            ("300", None),
            ("5 minutes", None),
            ("", None),
            ("p", None),
            ("pt", None),
            ("pt99999999999999999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(duration("block_time", text, 0).ok(), *expected, "{text:?}");
        }
        assert!(matches!(
            duration("block_time", "p1y", 0),
            Err(OptionError::CalendarDuration { .. })
        ));
        assert!(matches!(
            duration("resubmit_time", "pt0s", 1),
            Err(OptionError::DurationRange { .. })
        ));
    }

    #[test]
    fn both_configurations_names_are_taken() {
        let legacy = [
            ("TYPE", "Simple"),
            ("value_type", "integer"),
            ("options", "nocase, "),
        ];
        let unified = [
            ("table_type", "simple"),
            ("value_type", "INTEGER"),
            ("table_options", "NOCASE"),
        ];
        assert_eq!(
            TableOptions::parse(legacy).unwrap(),
            TableOptions::parse(unified).unwrap()
        );
    }

    #[test]
    fn options_without_effect_are_named() {
        type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);
        let cases: &[Case] = &[
            (
                &[("type", "simple"), ("quota", "5"), ("value_type", "string")],
                &["quota"],
            ),
            (
                &[("block_time", "pt1m"), ("quota", "5"), ("storage", "splay")],
                &["block_time", "storage"],
            ),
            (
                &[
                    ("type", "greylisting"),
                    ("data_type", "ipv4"),
                    ("options", "nocase,penalize"),
                ],
                &["nocase", "penalize"],
            ),
        ];
        for (pairs, ignored) in cases {
            assert_eq!(
                TableOptions::parse(pairs.iter().copied()).unwrap().ignored,
                *ignored,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn bad_options_say_what_to_write() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (
                &[("quotas", "5")],
                "`quotas` is not known; known are type, data_type",
            ),
            (
                &[("type", "bucket")],
                "write one of throttle, simple, greylisting",
            ),
            (&[("data_type", "ipv6")], "write one of string, ipv4"),
            (&[("value_type", "real")], "write one of string, integer"),
            (&[("max_entries", "0")], "a whole number from 1 to 67108864"),
            (&[("max_entries", "-1")], "a whole number from 1"),
            (&[("quota", "many")], "a whole number from 0"),
            (&[("quota_time", "0")], "a whole number from 1"),
            (&[("options", "nocase,penalise")], "write one of nocase, penalize"),
            (&[("storage", "tree")], "write one of hash, splay"),
            (&[("block_time", "5m")], "such as pt5m"),
            (&[("inactivity_time", "p0d")], "above zero"),
            (
                &[("quota", "4294967295"), ("quota_time", "4294967295")],
                "too large",
            ),
            (
                &[("type", "simple"), ("table_type", "simple")],
                "`type` is set twice",
            ),
        ];
        for (pairs, text) in cases {
            let error = TableOptions::parse(pairs.iter().copied())
                .unwrap_err()
                .to_string();
            assert!(error.contains(text), "{pairs:?}: {error}");
        }
    }
}
