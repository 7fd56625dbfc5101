//! One MeterMaid table and the operations on it.
//!
//! A throttle table is a leaking count: it limits an average rate, so a key that has used all of its quota
//! has half of it back after half of `quota_time`. The count is kept as a whole number of parts, one hit being
//! `quota_time` in milliseconds of them and one millisecond leaking `quota`, so no rounding ever decides.
//!
//! Guarantees: constant time an operation; never more than `max_entries`; a refused operation changes nothing.
//! Refuses, with a [`TableError`]: keys over [`MAX_KEY_OCTETS`] or that are no IPv4 address where the table
//! wants one, values over [`MAX_VALUE_OCTETS`], numbers that do not fit 64 bits, operations of another kind.
//! Limits: `nocase` folds ASCII letters only. A table is not shared by itself; see
//! [`Tables`](super::call::Tables).
//!
//! Source: access specification 21.5, 21.6, 22.

use super::Millis;
use super::bounded::BoundedMap;
use super::options::{KeyType, TableKind, TableOptions, ValueType};
use std::borrow::Cow;
use std::net::Ipv4Addr;

/// The longest key, in octets (21.4).
pub const MAX_KEY_OCTETS: usize = 255;

/// The longest value of a simple table, in octets. A request with the longest key and the longest value, every
/// octet escaped, still fits the 8192 octets of a protocol line (21.7).
pub const MAX_VALUE_OCTETS: usize = 2048;

/// Why an operation cannot be done; to a mapping all of these are "fail".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The operation belongs to another kind of table.
    #[error(
        "{operation} needs a table of type {wanted}, and this one is {found}; ask another table or change its type"
    )]
    WrongKind {
        /// What was asked.
        operation: &'static str,
        /// The kind, or kind and value type, that it needs.
        wanted: &'static str,
        /// What the table is.
        found: &'static str,
    },
    /// The key is too long.
    #[error("a key of {0} octets is too long; at most {MAX_KEY_OCTETS} are kept, shorten it in the mapping")]
    KeyTooLong(usize),
    /// The key is no IPv4 address.
    #[error(
        "`{0}` is no IPv4 address, and the table's data_type is ipv4; use data_type string for other keys"
    )]
    NotIpv4(String),
    /// The value is too long.
    #[error("a value of {0} octets is too long; at most {MAX_VALUE_OCTETS} are kept")]
    ValueTooLong(usize),
    /// The value for an integer table is no number.
    #[error("`{0}` is no whole number of 64 bits, and the table's value_type is integer")]
    NotInteger(String),
    /// The sum leaves the range; the value stays as it was.
    #[error("adjusting {value} by {by} leaves the range of 64 bits; the value stays")]
    Overflow {
        /// What the key has.
        value: i64,
        /// What was to be added.
        by: i64,
    },
}

/// A comparison of `test` and `adjust_and_test`, such as `>=5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    /// The operator.
    pub relation: Relation,
    /// What the value is compared with.
    pub operand: i64,
}

/// The operator of a [`Test`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Test {
    /// Reads an operator and a whole number, sign allowed, nothing between; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        // The longer operators first: `>=` also begins with `>`.
        let operators = [
            (">=", Relation::GreaterOrEqual),
            ("<=", Relation::LessOrEqual),
            (">", Relation::Greater),
            ("<", Relation::Less),
            ("=", Relation::Equal),
        ];
        let (operand, relation) = operators
            .into_iter()
            .find_map(|(operator, relation)| Some((text.strip_prefix(operator)?, relation)))?;
        Some(Test {
            relation,
            operand: operand.parse().ok()?,
        })
    }

    /// Whether the comparison is true of `value`.
    pub fn holds(self, value: i64) -> bool {
        match self.relation {
            Relation::Equal => value == self.operand,
            Relation::Greater => value > self.operand,
            Relation::GreaterOrEqual => value >= self.operand,
            Relation::Less => value < self.operand,
            Relation::LessOrEqual => value <= self.operand,
        }
    }
}

impl std::fmt::Display for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operator = match self.relation {
            Relation::Equal => "=",
            Relation::Greater => ">",
            Relation::GreaterOrEqual => ">=",
            Relation::Less => "<",
            Relation::LessOrEqual => "<=",
        };
        write!(f, "{operator}{}", self.operand)
    }
}

/// A leaking count, in parts (see the module's page), as it was at `last`.
#[derive(Debug, Clone, Copy)]
struct Hits {
    parts: u64,
    last: Millis,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Parts that leak in a millisecond: the quota.
    leak: u64,
    /// Parts of one hit: `quota_time` in milliseconds.
    hit: u64,
    penalize: bool,
}

impl Rate {
    /// The parts left at `now`.
    fn leaked(&self, hits: Hits, now: Millis) -> u64 {
        hits.parts
            .saturating_sub(self.leak.saturating_mul(now.saturating_sub(hits.last)))
    }

    /// Whether one more hit exceeds the quota.
    fn exceeds(&self, parts: u64) -> bool {
        parts.saturating_add(self.hit) > self.leak.saturating_mul(self.hit)
    }
}

#[derive(Debug, Clone, Copy)]
struct Greylist {
    block: Millis,
    resubmit: Millis,
    inactivity: Millis,
}

/// A key of a greylisting table (22); unknown keys have no entry.
#[derive(Debug, Clone, Copy)]
enum Sender {
    Pending { since: Millis },
    Known { last: Millis },
}

type Key = Box<[u8]>;

#[derive(Debug)]
enum Kind {
    Throttle(Rate, BoundedMap<Key, Hits>),
    Texts(BoundedMap<Key, Box<str>>),
    Integers(BoundedMap<Key, i64>),
    Greylisting(Greylist, BoundedMap<Key, Sender>),
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Throttle(..) => "throttle",
            Kind::Texts(_) => "simple with value_type string",
            Kind::Integers(_) => "simple with value_type integer",
            Kind::Greylisting(..) => "greylisting",
        }
    }
}

/// One table; see the module's page.
#[derive(Debug)]
pub struct Table {
    key_type: KeyType,
    nocase: bool,
    kind: Kind,
}

impl Table {
    /// An empty table.
    pub fn new(options: &TableOptions) -> Self {
        let entries = options.max_entries;
        let kind = match (options.kind, options.value_type) {
            (TableKind::Throttle, _) => {
                let hit = options.quota_time.saturating_mul(1000);
                let rate = Rate {
                    leak: options.quota,
                    hit,
                    penalize: options.penalize,
                };
                Kind::Throttle(rate, BoundedMap::new(entries))
            }
            (TableKind::Simple, ValueType::Text) => Kind::Texts(BoundedMap::new(entries)),
            (TableKind::Simple, ValueType::Integer) => Kind::Integers(BoundedMap::new(entries)),
            (TableKind::Greylisting, _) => {
                let times = Greylist {
                    block: options.block_time,
                    resubmit: options.resubmit_time,
                    inactivity: options.inactivity_time,
                };
                Kind::Greylisting(times, BoundedMap::new(entries))
            }
        };
        Table {
            key_type: options.key_type,
            nocase: options.nocase,
            kind,
        }
    }

    /// How many keys the table holds now.
    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Throttle(_, map) => map.len(),
            Kind::Texts(map) => map.len(),
            Kind::Integers(map) => map.len(),
            Kind::Greylisting(_, map) => map.len(),
        }
    }

    /// Whether the table holds no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Counts a hit of `key`; true where it exceeds the quota. A hit that does is itself counted only with
    /// `penalize`.
    ///
    /// # Errors
    ///
    /// [`TableError`]: a bad key, or no throttle table.
    pub fn throttle(&mut self, key: &str, now: Millis) -> Result<bool, TableError> {
        self.hit("throttle", key, now, true)
    }

    /// Whether a hit of `key` now would exceed the quota; nothing is counted.
    ///
    /// # Errors
    ///
    /// As [`Table::throttle`].
    pub fn query(&mut self, key: &str, now: Millis) -> Result<bool, TableError> {
        self.hit("query", key, now, false)
    }

    fn hit(
        &mut self,
        operation: &'static str,
        key: &str,
        now: Millis,
        count: bool,
    ) -> Result<bool, TableError> {
        let key = normal_key(self.key_type, self.nocase, key)?;
        let Kind::Throttle(rate, map) = &mut self.kind else {
            return Err(wrong_kind(operation, "throttle", &self.kind));
        };
        let known = map.touch(&*key);
        let parts = known.as_ref().map_or(0, |hits| rate.leaked(**hits, now));
        let exceeds = rate.exceeds(parts);
        if !count {
            return Ok(exceeds);
        }
        let parts = if !exceeds || rate.penalize {
            parts.saturating_add(rate.hit)
        } else {
            parts
        };
        match known {
            // A clock that went back must not leak the same time twice.
            Some(hits) => {
                *hits = Hits {
                    parts,
                    last: now.max(hits.last),
                }
            }
            None => {
                map.insert(key.into(), Hits { parts, last: now });
            }
        }
        Ok(exceeds)
    }

    /// Records an attempt of `key`; true where it is to be refused now.
    ///
    /// # Errors
    ///
    /// [`TableError`]: a bad key, or no greylisting table.
    pub fn greylisting(&mut self, key: &str, now: Millis) -> Result<bool, TableError> {
        let key = normal_key(self.key_type, self.nocase, key)?;
        let Kind::Greylisting(times, map) = &mut self.kind else {
            return Err(wrong_kind("greylisting", "greylisting", &self.kind));
        };
        let Some(sender) = map.touch(&*key) else {
            map.insert(key.into(), Sender::Pending { since: now });
            return Ok(true);
        };
        let refuse = match *sender {
            Sender::Pending { since } => {
                let age = now.saturating_sub(since);
                if age < times.block {
                    return Ok(true);
                }
                age - times.block >= times.resubmit
            }
            Sender::Known { last } => now.saturating_sub(last) > times.inactivity,
        };
        *sender = match *sender {
            _ if refuse => Sender::Pending { since: now },
            Sender::Known { last } => Sender::Known { last: now.max(last) },
            Sender::Pending { .. } => Sender::Known { last: now },
        };
        Ok(refuse)
    }

    /// Gives `key` the value `value`.
    ///
    /// # Errors
    ///
    /// [`TableError`]: a bad key, a value too long or not of the table's value type, or no simple table.
    pub fn store(&mut self, key: &str, value: &str) -> Result<(), TableError> {
        let key = normal_key(self.key_type, self.nocase, key)?;
        match &mut self.kind {
            Kind::Texts(map) => {
                if value.len() > MAX_VALUE_OCTETS {
                    return Err(TableError::ValueTooLong(value.len()));
                }
                map.insert(key.into(), value.into());
            }
            Kind::Integers(map) => {
                let number = value
                    .parse()
                    .map_err(|_| TableError::NotInteger(excerpt(value)))?;
                map.insert(key.into(), number);
            }
            other => return Err(wrong_kind("store", "simple", other)),
        }
        Ok(())
    }

    /// The value of `key`, a number as decimal text; `None` where the key is not there.
    ///
    /// # Errors
    ///
    /// [`TableError`]: a bad key, or no simple table.
    pub fn fetch(&mut self, key: &str) -> Result<Option<String>, TableError> {
        let key = normal_key(self.key_type, self.nocase, key)?;
        match &mut self.kind {
            Kind::Texts(map) => Ok(map.touch(&*key).map(|text| text.to_string())),
            Kind::Integers(map) => Ok(map.touch(&*key).map(|number| number.to_string())),
            other => Err(wrong_kind("fetch", "simple", other)),
        }
    }

    /// Removes `key`; true where it was there.
    ///
    /// # Errors
    ///
    /// [`TableError`]: a bad key, or no simple table.
    pub fn remove(&mut self, key: &str) -> Result<bool, TableError> {
        let key = normal_key(self.key_type, self.nocase, key)?;
        match &mut self.kind {
            Kind::Texts(map) => Ok(map.remove(&*key).is_some()),
            Kind::Integers(map) => Ok(map.remove(&*key).is_some()),
            other => Err(wrong_kind("remove", "simple", other)),
        }
    }

    /// Adds `by` to the number of `key`, a missing one counting as 0, and returns the sum.
    ///
    /// # Errors
    ///
    /// [`TableError`]: a bad key, a sum beyond 64 bits (the number stays), or no simple table of integers.
    pub fn adjust(&mut self, key: &str, by: i64) -> Result<i64, TableError> {
        let key = normal_key(self.key_type, self.nocase, key)?;
        let map = self.integers("adjust")?;
        let Some(number) = map.touch(&*key) else {
            map.insert(key.into(), by);
            return Ok(by);
        };
        *number = number
            .checked_add(by)
            .ok_or(TableError::Overflow { value: *number, by })?;
        Ok(*number)
    }

    /// Whether `test` is true of the number of `key`; `None` where the key is not there.
    ///
    /// # Errors
    ///
    /// [`TableError`]: a bad key, or no simple table of integers.
    pub fn test(&mut self, key: &str, test: Test) -> Result<Option<bool>, TableError> {
        let key = normal_key(self.key_type, self.nocase, key)?;
        Ok(self
            .integers("test")?
            .touch(&*key)
            .map(|number| test.holds(*number)))
    }

    fn integers(&mut self, operation: &'static str) -> Result<&mut BoundedMap<Key, i64>, TableError> {
        match &mut self.kind {
            Kind::Integers(map) => Ok(map),
            other => Err(wrong_kind(operation, "simple with value_type integer", other)),
        }
    }
}

fn wrong_kind(operation: &'static str, wanted: &'static str, found: &Kind) -> TableError {
    TableError::WrongKind {
        operation,
        wanted,
        found: found.name(),
    }
}

/// The octets under which `key` is kept.
fn normal_key(key_type: KeyType, nocase: bool, key: &str) -> Result<Cow<'_, [u8]>, TableError> {
    if key.len() > MAX_KEY_OCTETS {
        return Err(TableError::KeyTooLong(key.len()));
    }
    match key_type {
        KeyType::Ipv4 => {
            let address: Ipv4Addr = key.parse().map_err(|_| TableError::NotIpv4(excerpt(key)))?;
            Ok(Cow::Owned(address.octets().to_vec()))
        }
        KeyType::Text if nocase && key.bytes().any(|octet| octet.is_ascii_uppercase()) => {
            Ok(Cow::Owned(key.to_ascii_lowercase().into_bytes()))
        }
        KeyType::Text => Ok(Cow::Borrowed(key.as_bytes())),
    }
}

/// The beginning of a text from outside, short enough for a log line.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
