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

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use grammar::mapping::IpNet;

use crate::pattern::{OutOfFuel, Pattern, Scratch, address_lengths, network_of, parse_address};

/// Sets up to this size are scanned without an index.
pub const SCAN_LIMIT: usize = 12;

/// Text within a pattern must be this long to be worth a place in the automaton.
const INNER_LIMIT: usize = 3;

/// Keys with at most this many entries are copied into the cursor; of longer ones it keeps the place.
const COPY_LIMIT: usize = 16;

/// Long keys of one subject. Each costs a binary search a candidate, so with more the short ones among
/// them are copied, too.
const BUCKET_LIMIT: usize = 8;

/// Candidates copied into a cursor before it gives up and walks the whole set instead.
const CANDIDATE_LIMIT: usize = 4096;

/// Finds of the automaton in one subject before the cursor gives up.
const FIND_LIMIT: usize = 16 * CANDIDATE_LIMIT;

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
    /// Literals, and their lengths in use as bits; the last bit stands for all lengths beyond.
    literals: Keys,
    literal_lengths: u64,
    prefixes: Keyed,
    suffixes: Keyed,
    networks: Keys,
    /// Prefix lengths in use, longest first: (IPv6, bits).
    network_lengths: Vec<(bool, u8)>,
    /// Some networks stand within a pattern, after this last byte of text (or at its beginning).
    network_before: [bool; 256],
    network_first: bool,
    network_within: bool,
    inner: Option<AhoCorasick>,
    inner_buckets: Vec<Bucket>,
    rest: Bucket,
}

/// The entries of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bucket {
    /// The only one, which most keys have: no further memory is touched.
    One(u32),
    /// A range of the postings.
    Many(u32, u32),
}

const NO_ENTRIES: Bucket = Bucket::Many(0, 0);

/// Hashes of keys. The matcher verifies what is found, so keys that share a hash cost time only.
type Keys = HashMap<u64, Bucket, BuildHasherDefault<AsItIs>>;
type Fast = BuildHasherDefault<Hash>;

/// Keys of several lengths, found by hashing each length in use.
#[derive(Debug, Default)]
struct Keyed {
    keys: Keys,
    /// Lengths in use, ascending.
    lengths: Vec<u16>,
}

/// The key is a hash already.
#[derive(Debug, Default, Clone, Copy)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = roll(self.0, byte);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// A multiplicative hash.
#[derive(Debug, Default, Clone, Copy)]
struct Hash(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Hash {
    fn finish(&self) -> u64 {
        mixed(self.0)
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

/// Spreads a hash over all bits, as tables that use it as it is need.
fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 29)
}

fn literal_hash(text: &[u8]) -> u64 {
    let mut hash = Hash::default();
    hash.write_usize(text.len());
    hash.write(text);
    hash.finish()
}

fn network_hash(net: IpNet) -> u64 {
    let mut hash = Hash::default();
    hash.write_u16(u16::from(net.prefix) << 1 | u16::from(net.v6));
    hash.write_u128(net.bits);
    hash.finish()
}

fn length_bit(len: usize) -> u64 {
    1 << len.min(63)
}

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
    /// Candidates in order.
    copied: Vec<u32>,
    /// Ranges of the postings with further ones.
    ranges: Vec<(u32, u32)>,
    /// All entries are candidates.
    all: bool,
}

impl Cursor {
    fn take(&mut self, postings: &[u32], bucket: Bucket) {
        match bucket {
            Bucket::One(entry) => self.copied.push(entry),
            Bucket::Many(start, end) => match postings.get(start as usize..end as usize) {
                Some(entries) if entries.len() <= COPY_LIMIT => self.copied.extend_from_slice(entries),
                _ => self.ranges.push((start, end)),
            },
        }
        if self.copied.len() + self.ranges.len() > CANDIDATE_LIMIT {
            self.settle();
            // what is left now were no repetitions
            self.all |= self.copied.len() + self.ranges.len() > CANDIDATE_LIMIT / 2;
        }
    }

    /// Puts what was gathered in order, each once.
    fn settle(&mut self) {
        if self.copied.len() > 1 {
            self.copied.sort_unstable();
            self.copied.dedup();
        }
        if self.ranges.len() > 1 {
            self.ranges.sort_unstable();
            self.ranges.dedup();
        }
    }

    /// Puts everything in order for [`PatternSet::next`].
    fn finish(&mut self, postings: &[u32]) {
        self.settle();
        if self.ranges.len() > BUCKET_LIMIT {
            let mut room = CANDIDATE_LIMIT;
            let copied = &mut self.copied;
            self.ranges
                .retain(|&(start, end)| match postings.get(start as usize..end as usize) {
                    Some(entries) if entries.len() <= room => {
                        room -= entries.len();
                        copied.extend_from_slice(entries);
                        false
                    }
                    _ => true,
                });
            self.settle();
            self.all |= self.ranges.len() > BUCKET_LIMIT;
        }
    }
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
        cursor.copied.clear();
        cursor.ranges.clear();
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
        let first = |entries: &[u32]| {
            let n = match entries {
                [] => 0,
                // the start of a pass, and short lists
                [entry, ..] if *entry as usize >= from => 0,
                _ => entries.partition_point(|&e| (e as usize) < from),
            };
            entries.get(n).map_or(usize::MAX, |&e| e as usize)
        };
        let mut best = first(&cursor.copied);
        for &(start, end) in &cursor.ranges {
            best = best.min(first(
                index.postings.get(start as usize..end as usize).unwrap_or(&[]),
            ));
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
        let mut population: HashMap<&Key, u32, Fast> = HashMap::default();
        for key in options.iter().flatten() {
            *population.entry(key).or_default() += 1;
        }
        let mut filed: HashMap<&Key, Vec<u32>, Fast> = HashMap::default();
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
            literal_lengths: 0,
            prefixes: Keyed::default(),
            suffixes: Keyed::default(),
            networks: Keys::default(),
            network_lengths: Vec::new(),
            network_before: [false; 256],
            network_first: false,
            network_within: false,
            inner: None,
            inner_buckets: Vec::new(),
            rest: NO_ENTRIES,
        };
        let mut inner: Vec<&[u8]> = Vec::new();
        for (key, entries) in &filed {
            let bucket = match entries.as_slice() {
                [entry] => Bucket::One(*entry),
                entries => post(&mut index.postings, entries),
            };
            match key {
                Key::Literal(text) => {
                    insert(
                        &mut index.literals,
                        literal_hash(text),
                        bucket,
                        &mut index.postings,
                    );
                    index.literal_lengths |= length_bit(text.len());
                }
                Key::Network(v6, bits, prefix) => {
                    let net = IpNet {
                        v6: *v6,
                        bits: *bits,
                        prefix: *prefix,
                    };
                    insert(
                        &mut index.networks,
                        network_hash(net),
                        bucket,
                        &mut index.postings,
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
                            index.network_within = true;
                        }
                        _ => {
                            index.network_first = true;
                            index.network_within = true;
                        }
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
                let all: Vec<Bucket> = index.inner_buckets.iter().copied().chain([index.rest]).collect();
                index.rest = joined(&all, &mut index.postings);
            }
        }
        index
    }

    fn gather(&self, folded: &[u8], cursor: &mut Cursor) {
        let postings = &*self.postings;
        if self.rest != NO_ENTRIES {
            cursor.take(postings, self.rest);
        }
        if self.literal_lengths & length_bit(folded.len()) != 0
            && let Some(bucket) = self.literals.get(&literal_hash(folded))
        {
            cursor.take(postings, *bucket);
        }
        self.prefixes.gather(folded.iter(), postings, cursor);
        self.suffixes.gather(folded.iter().rev(), postings, cursor);
        self.gather_networks(folded, cursor);
        if let Some(inner) = &self.inner {
            for (n, hit) in inner.find_overlapping_iter(folded).enumerate() {
                cursor.take(postings, self.inner_buckets[hit.pattern().as_usize()]);
                cursor.all |= n > FIND_LIMIT;
                if cursor.all {
                    return;
                }
            }
        }
        cursor.finish(postings);
    }

    fn gather_networks(&self, folded: &[u8], cursor: &mut Cursor) {
        if self.network_lengths.is_empty() {
            return;
        }
        if let Some(address) = parse_address(folded) {
            self.covering(address, cursor);
        }
        if !self.network_within {
            return;
        }
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
                        self.covering(address, cursor);
                    }
                }
            }
            if cursor.all {
                return;
            }
        }
    }

    /// All networks that an address lies in.
    fn covering(&self, address: std::net::IpAddr, cursor: &mut Cursor) {
        for &(v6, prefix) in &self.network_lengths {
            if v6 == address.is_ipv6()
                && let Some(bucket) = self.networks.get(&network_hash(network_of(address, prefix)))
            {
                cursor.take(&self.postings, *bucket);
            }
        }
    }
}

fn post(postings: &mut Vec<u32>, entries: &[u32]) -> Bucket {
    let start = postings.len() as u32;
    postings.extend_from_slice(entries);
    Bucket::Many(start, postings.len() as u32)
}

/// The entries of several buckets.
fn joined(buckets: &[Bucket], postings: &mut Vec<u32>) -> Bucket {
    let mut entries = Vec::new();
    for bucket in buckets {
        match *bucket {
            Bucket::One(entry) => entries.push(entry),
            Bucket::Many(start, end) => entries.extend_from_slice(&postings[start as usize..end as usize]),
        }
    }
    entries.sort_unstable();
    post(postings, &entries)
}

/// Adds a key; one that has the hash of another shares its bucket.
fn insert(keys: &mut Keys, hash: u64, bucket: Bucket, postings: &mut Vec<u32>) {
    let bucket = match keys.get(&hash) {
        Some(old) => joined(&[*old, bucket], postings),
        None => bucket,
    };
    keys.insert(hash, bucket);
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
        insert(&mut self.keys, mixed(hash ^ u64::from(len)), bucket, postings);
        self.lengths.push(len);
    }

    fn finish(&mut self) {
        self.lengths.sort_unstable();
        self.lengths.dedup();
    }

    fn gather<'a>(&self, text: impl Iterator<Item = &'a u8>, postings: &[u32], cursor: &mut Cursor) {
        let mut lengths = self.lengths.iter();
        let Some(mut wanted) = lengths.next() else { return };
        let mut hash = ROLL_START;
        for (n, &byte) in text.enumerate() {
            hash = roll(hash, byte);
            if n + 1 == *wanted as usize {
                if let Some(bucket) = self.keys.get(&mixed(hash ^ u64::from(*wanted))) {
                    cursor.take(postings, *bucket);
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
