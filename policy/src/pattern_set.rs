//! Many patterns, in order, asked for the first that matches at or after a place.
//!
//! A mapping table means a scan from the top, whatever its size. [`PatternSet`] gives the same answers from
//! an index: it gathers, for one subject, the entries that could match, in order, and the real matcher
//! verifies each. Every pattern is filed under the one key that fewest others share:
//!
//! - the whole text, where it has no wildcard;
//! - the text it begins with, or ends with;
//! - a network (all networks that cover an address in the subject are found, not the longest only);
//! - the longest text within it (an Aho-Corasick automaton finds those that occur);
//! - nothing: such patterns are candidates always.
//!
//! Sets of at most [`SCAN_LIMIT`] patterns are scanned: an index would cost more than it saves.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use grammar::mapping::IpNet;

use crate::pattern::{OutOfFuel, Pattern, Scratch, address_lengths, network_of, parse_address};

/// Sets up to this size are scanned without an index.
pub const SCAN_LIMIT: usize = 12;

/// Text within a pattern must be this long to be worth a place in the automaton.
const INNER_LIMIT: usize = 3;

/// Candidates named by keys before a cursor gives up and walks the whole set instead.
const BUCKET_LIMIT: usize = 256;

/// Patterns in order, with an index over them.
#[derive(Debug, Default)]
pub struct PatternSet {
    patterns: Vec<Pattern>,
    index: Option<Box<Index>>,
}

#[derive(Debug)]
struct Index {
    /// Entry numbers, sorted within each bucket.
    postings: Vec<u32>,
    literals: Keys,
    prefixes: Keyed,
    suffixes: Keyed,
    networks: HashMap<IpNet, Bucket, Fast>,
    /// Prefix lengths in use, longest first: (IPv6, bits).
    network_lengths: Vec<(bool, u8)>,
    /// Some networks stand within a pattern, after this last byte of text (or at its beginning).
    network_before: [bool; 256],
    network_first: bool,
    inner: Option<AhoCorasick>,
    inner_buckets: Vec<Bucket>,
    rest: Bucket,
}

type Bucket = Range<u32>;
type Keys = HashMap<Box<[u8]>, Bucket, Fast>;
type Fast = BuildHasherDefault<Hash>;

/// Keys of several lengths, found by hashing each length in use.
#[derive(Debug, Default)]
struct Keyed {
    keys: HashMap<(u64, u16), Bucket, Fast>,
    /// Lengths in use, ascending.
    lengths: Vec<u16>,
}

/// A multiplicative hash; the matcher verifies what it finds, so collisions cost time only.
#[derive(Debug, Default, Clone, Copy)]
struct Hash(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Hash {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(MULTIPLIER);
    }
    fn write_u128(&mut self, n: u128) {
        self.write_u64(n as u64);
        self.write_u64((n >> 64) as u64);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

fn roll(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

const ROLL_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Where a pattern may be filed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Literal(Box<[u8]>),
    Network(bool, u128, u8),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Inner(Box<[u8]>),
    Rest,
}

/// Reads a set for one subject, entry by entry. Start it with [`PatternSet::cursor`].
#[derive(Debug, Default, Clone)]
pub struct Cursor {
    buckets: Vec<Bucket>,
    all: bool,
}

impl PatternSet {
    /// A set of patterns in their order.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        let index = (patterns.len() > SCAN_LIMIT).then(|| Box::new(Index::new(&patterns)));
        PatternSet { patterns, index }
    }

    /// How many patterns it has.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// One pattern.
    pub fn get(&self, n: usize) -> Option<&Pattern> {
        self.patterns.get(n)
    }

    /// Prepares a cursor for a subject; `folded` is the subject in ASCII lower case.
    pub fn cursor(&self, folded: &[u8], cursor: &mut Cursor) {
        cursor.buckets.clear();
        cursor.all = true;
        if let Some(index) = &self.index {
            cursor.all = false;
            index.gather(folded, cursor);
        }
    }

    /// The smallest entry at or after `from` that matches the cursor's subject; `scratch.captures` then
    /// holds its fields.
    pub fn next(
        &self,
        subject: &str,
        folded: &[u8],
        cursor: &Cursor,
        mut from: usize,
        scratch: &mut Scratch,
        fuel: &mut u64,
    ) -> Result<Option<usize>, OutOfFuel> {
        loop {
            let candidate = if cursor.all {
                from
            } else {
                self.candidate(cursor, from)
            };
            let Some(pattern) = self.patterns.get(candidate) else {
                return Ok(None);
            };
            if pattern.matches(subject, folded, scratch, fuel)? {
                return Ok(Some(candidate));
            }
            if *fuel == 0 {
                return Err(OutOfFuel);
            }
            from = candidate + 1;
        }
    }

    fn candidate(&self, cursor: &Cursor, from: usize) -> usize {
        let Some(index) = &self.index else {
            return usize::MAX;
        };
        let mut best = usize::MAX;
        for bucket in &cursor.buckets {
            let entries = &index.postings[bucket.start as usize..bucket.end as usize];
            let n = entries.partition_point(|&e| (e as usize) < from);
            if let Some(&entry) = entries.get(n) {
                best = best.min(entry as usize);
            }
        }
        best
    }

    /// The same as [`PatternSet::next`] from the first entry, by a plain scan: the meaning that the index
    /// must keep, for tests and benchmarks.
    pub fn scan(&self, subject: &str, from: usize, scratch: &mut Scratch) -> Option<usize> {
        let folded = subject.to_ascii_lowercase();
        let mut fuel = u64::MAX;
        (from..self.patterns.len())
            .find(|&n| self.patterns[n].matches(subject, folded.as_bytes(), scratch, &mut fuel) == Ok(true))
    }
}

impl Index {
    fn new(patterns: &[Pattern]) -> Self {
        let options: Vec<Vec<Key>> = patterns.iter().map(keys_of).collect();
        let mut population: HashMap<&Key, u32> = HashMap::new();
        for key in options.iter().flatten() {
            *population.entry(key).or_default() += 1;
        }
        let mut filed: HashMap<&Key, Vec<u32>> = HashMap::new();
        for (n, keys) in options.iter().enumerate() {
            // fewest others first; among equals the cheaper kind, which is the earlier variant
            let best = keys
                .iter()
                .min_by_key(|k| (population.get(k).copied().unwrap_or(0), *k));
            if let Some(key) = best {
                filed.entry(key).or_default().push(n as u32);
            }
        }
        let mut filed: Vec<(&Key, Vec<u32>)> = filed.into_iter().collect();
        filed.sort_by(|a, b| a.0.cmp(b.0));

        let mut index = Index {
            postings: Vec::with_capacity(patterns.len()),
            literals: Keys::default(),
            prefixes: Keyed::default(),
            suffixes: Keyed::default(),
            networks: HashMap::default(),
            network_lengths: Vec::new(),
            network_before: [false; 256],
            network_first: false,
            inner: None,
            inner_buckets: Vec::new(),
            rest: 0..0,
        };
        let mut inner: Vec<&[u8]> = Vec::new();
        for (key, entries) in &filed {
            let start = index.postings.len() as u32;
            index.postings.extend_from_slice(entries);
            let bucket = start..index.postings.len() as u32;
            match key {
                Key::Literal(text) => {
                    index.literals.insert(text.clone(), bucket);
                }
                Key::Network(v6, bits, prefix) => {
                    index.networks.insert(
                        IpNet {
                            v6: *v6,
                            bits: *bits,
                            prefix: *prefix,
                        },
                        bucket,
                    );
                    index.network_lengths.push((*v6, *prefix));
                }
                Key::Prefix(text) => index.prefixes.insert(text.iter(), bucket, &mut index.postings),
                Key::Suffix(text) => index
                    .suffixes
                    .insert(text.iter().rev(), bucket, &mut index.postings),
                Key::Inner(text) => {
                    inner.push(text);
                    index.inner_buckets.push(bucket);
                }
                Key::Rest => index.rest = bucket,
            }
            if matches!(key, Key::Network(..)) {
                for pattern in entries.iter().filter_map(|&n| patterns.get(n as usize)) {
                    match pattern.inner_network() {
                        _ if pattern.network().is_some() => {}
                        Some((before, _)) if !before.is_empty() => {
                            index.network_before[before[before.len() - 1] as usize] = true;
                        }
                        _ => index.network_first = true,
                    }
                }
            }
        }
        index.network_lengths.sort_unstable_by(|a, b| b.cmp(a));
        index.network_lengths.dedup();
        index.prefixes.finish();
        index.suffixes.finish();
        if !inner.is_empty() {
            index.inner = AhoCorasickBuilder::new().build(&inner).ok();
            if index.inner.is_none() {
                // too much for the automaton: they stay candidates always
                let mut rest: Vec<u32> = index.bucket(&index.rest).to_vec();
                for bucket in &index.inner_buckets {
                    rest.extend_from_slice(index.bucket(bucket));
                }
                rest.sort_unstable();
                let start = index.postings.len() as u32;
                index.postings.extend_from_slice(&rest);
                index.rest = start..index.postings.len() as u32;
            }
        }
        index
    }

    fn bucket(&self, bucket: &Bucket) -> &[u32] {
        &self.postings[bucket.start as usize..bucket.end as usize]
    }

    fn gather(&self, folded: &[u8], cursor: &mut Cursor) {
        let buckets = &mut cursor.buckets;
        if !self.rest.is_empty() {
            buckets.push(self.rest.clone());
        }
        if let Some(bucket) = self.literals.get(folded) {
            buckets.push(bucket.clone());
        }
        self.prefixes.gather(folded.iter(), buckets);
        self.suffixes.gather(folded.iter().rev(), buckets);
        self.gather_networks(folded, buckets);
        if let Some(inner) = &self.inner {
            let before = buckets.len();
            for hit in inner.find_overlapping_iter(folded) {
                let bucket = &self.inner_buckets[hit.pattern().as_usize()];
                if !buckets[before..].contains(bucket) {
                    buckets.push(bucket.clone());
                }
                if buckets.len() > BUCKET_LIMIT {
                    break;
                }
            }
        }
        if buckets.len() > BUCKET_LIMIT {
            cursor.all = true;
        }
    }

    fn gather_networks(&self, folded: &[u8], buckets: &mut Vec<Bucket>) {
        if self.network_lengths.is_empty() {
            return;
        }
        if let Some(address) = parse_address(folded) {
            self.covering(address, buckets);
        }
        let before = buckets.len();
        for pos in 0..folded.len() {
            let begins = match pos.checked_sub(1) {
                None => self.network_first,
                Some(p) => self.network_before[folded[p] as usize],
            };
            let byte = folded[pos];
            if !begins || !(byte.is_ascii_hexdigit() || byte == b':') {
                continue;
            }
            for v6 in [false, true] {
                if !self.network_lengths.iter().any(|l| l.0 == v6) {
                    continue;
                }
                for len in address_lengths(&folded[pos..], v6) {
                    if let Some(address) = parse_address(&folded[pos..pos + len])
                        && address.is_ipv6() == v6
                    {
                        self.covering(address, buckets);
                    }
                }
            }
            if buckets.len() > BUCKET_LIMIT {
                return;
            }
        }
        let gathered = buckets.split_off(before);
        for bucket in gathered {
            if !buckets.contains(&bucket) {
                buckets.push(bucket);
            }
        }
    }

    /// All networks that an address lies in.
    fn covering(&self, address: std::net::IpAddr, buckets: &mut Vec<Bucket>) {
        for &(v6, prefix) in &self.network_lengths {
            if v6 == address.is_ipv6()
                && let Some(bucket) = self.networks.get(&network_of(address, prefix))
            {
                buckets.push(bucket.clone());
            }
        }
    }
}

impl Keyed {
    fn insert<'a>(
        &mut self,
        text: impl ExactSizeIterator<Item = &'a u8>,
        bucket: Bucket,
        postings: &mut Vec<u32>,
    ) {
        let len = text.len() as u16;
        let hash = text.fold(ROLL_START, |h, &b| roll(h, b));
        match self.keys.get_mut(&(hash, len)) {
            // two keys with one hash share a bucket; the matcher tells them apart
            Some(old) => {
                let start = postings.len() as u32;
                postings.extend_from_within(old.start as usize..old.end as usize);
                postings.extend_from_within(bucket.start as usize..bucket.end as usize);
                postings[start as usize..].sort_unstable();
                *old = start..postings.len() as u32;
            }
            None => {
                self.keys.insert((hash, len), bucket);
            }
        }
        self.lengths.push(len);
    }

    fn finish(&mut self) {
        self.lengths.sort_unstable();
        self.lengths.dedup();
    }

    fn gather<'a>(&self, text: impl Iterator<Item = &'a u8>, buckets: &mut Vec<Bucket>) {
        let mut lengths = self.lengths.iter();
        let Some(mut wanted) = lengths.next() else { return };
        let mut hash = ROLL_START;
        for (n, &byte) in text.enumerate() {
            hash = roll(hash, byte);
            if n + 1 == *wanted as usize {
                if let Some(bucket) = self.keys.get(&(hash, *wanted)) {
                    buckets.push(bucket.clone());
                }
                match lengths.next() {
                    Some(next) => wanted = next,
                    None => return,
                }
            }
        }
    }
}

/// The keys under which a pattern may be filed; never none.
fn keys_of(pattern: &Pattern) -> Vec<Key> {
    if let Some(text) = pattern.literal() {
        return vec![Key::Literal(text.into())];
    }
    let mut keys = Vec::new();
    if let Some((_, net)) = pattern.inner_network() {
        keys.push(Key::Network(net.v6, net.bits, net.prefix));
    }
    let short = |text: &[u8]| text.len() <= u16::MAX as usize && !text.is_empty();
    if short(pattern.prefix()) {
        keys.push(Key::Prefix(pattern.prefix().into()));
    }
    if short(pattern.suffix()) {
        keys.push(Key::Suffix(pattern.suffix().into()));
    }
    if pattern.inner().len() >= INNER_LIMIT {
        keys.push(Key::Inner(pattern.inner().into()));
    }
    if keys.is_empty() {
        keys.push(Key::Rest);
    }
    keys
}
