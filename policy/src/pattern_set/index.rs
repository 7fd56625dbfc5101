//! The index over the patterns of a set: what each is filed under, and what a subject finds.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use grammar::mapping::IpNet;

use super::cursor::{CANDIDATE_LIMIT, Cursor};
use super::hash::{Fast, Keys, ROLL_START, literal_hash, mixed, network_hash, roll};
use crate::pattern::{Pattern, address_lengths, network_of, parse_address};

/// Text within a pattern must be this long to be worth a place in the automaton.
const INNER_LIMIT: usize = 3;

/// Finds of the automaton in one subject before the cursor gives up.
const FIND_LIMIT: usize = 16 * CANDIDATE_LIMIT;

#[derive(Debug)]
pub(super) struct Index {
    /// Entry numbers, sorted within each bucket.
    pub(super) postings: Vec<u32>,
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
pub(super) enum Bucket {
    /// The only one, which most keys have: no further memory is touched.
    One(u32),
    /// A range of the postings.
    Many(u32, u32),
}

const NO_ENTRIES: Bucket = Bucket::Many(0, 0);

/// Keys of several lengths, found by hashing each length in use.
#[derive(Debug, Default)]
struct Keyed {
    keys: Keys,
    /// Lengths in use, ascending.
    lengths: Vec<u16>,
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

impl Index {
    pub(super) fn new(patterns: &[Pattern]) -> Self {
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

    pub(super) fn gather(&self, folded: &[u8], cursor: &mut Cursor) {
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

fn length_bit(len: usize) -> u64 {
    1 << len.min(63)
}
