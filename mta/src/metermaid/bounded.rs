//! A map of fixed capacity that reuses the entry not used for longest.
//!
//! Entries lie in one vector; the chains of the hash buckets and the order of use are threaded through them
//! as 32-bit indexes, so an entry costs its key and value plus 16 octets, and its bucket 4 to 8 more.
//!
//! Guarantees: look-up, insertion, removal and reuse each take constant time (expected; the hash is keyed at
//! random, so no outsider can aim at one bucket). The map never holds more than its capacity. Memory grows
//! with use up to the capacity and is kept then.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};

/// The largest capacity: the buckets of such a map take 256 MiB, and indexes stay well inside 32 bits.
pub const MAX_CAPACITY: usize = 1 << 26;

const NONE: u32 = u32::MAX;
const FIRST_BUCKETS: usize = 16;

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    hash: u32,
    /// The next entry of the same bucket.
    chain: u32,
    /// The neighbour used just after this one.
    newer: u32,
    /// The neighbour used just before this one.
    older: u32,
}

/// The map; see the module's page.
#[derive(Debug)]
pub struct BoundedMap<K, V> {
    entries: Vec<Entry<K, V>>,
    /// The first entry of each bucket; the length is a power of two.
    buckets: Vec<u32>,
    hasher: RandomState,
    capacity: usize,
    newest: u32,
    oldest: u32,
}

impl<K: Hash + Eq, V> BoundedMap<K, V> {
    /// An empty map for at most `capacity` entries, which is brought between 1 and [`MAX_CAPACITY`].
    pub fn new(capacity: usize) -> Self {
        BoundedMap {
            entries: Vec::new(),
            buckets: vec![NONE; FIRST_BUCKETS],
            hasher: RandomState::new(),
            capacity: capacity.clamp(1, MAX_CAPACITY),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// How many entries there are now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The most entries that there will ever be.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The value of `key`, which thereby becomes the one used last.
    pub fn touch<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let at = self.find(key)?;
        self.touch_at(at);
        Some(&mut self.entries[at as usize].value)
    }

    /// The value of `key`, made by `make` where it was not there; it becomes the one used last.
    pub fn touch_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.find(&key) {
            Some(at) => {
                self.touch_at(at);
                at
            }
            None => {
                self.insert_new(key, make());
                self.newest
            }
        };
        &mut self.entries[at as usize].value
    }

    /// Gives `key` the value `value` and makes it the one used last. Returns what had to go: the key's former
    /// entry, or, where the map was full, the entry not used for longest.
    pub fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        if let Some(old) = self.touch(&key) {
            let old = std::mem::replace(old, value);
            return Some((key, old));
        }
        self.insert_new(key, value)
    }

    fn insert_new(&mut self, key: K, value: V) -> Option<(K, V)> {
        let evicted = if self.entries.len() >= self.capacity {
            self.remove_at(self.oldest)
        } else {
            None
        };
        if self.entries.len() >= self.buckets.len() {
            self.grow_buckets();
        }
        self.reserve_entries();
        let hash = self.hash(&key);
        let at = self.entries.len() as u32;
        let bucket = self.bucket(hash);
        let chain = std::mem::replace(&mut self.buckets[bucket], at);
        self.entries.push(Entry {
            key,
            value,
            hash,
            chain,
            newer: NONE,
            older: NONE,
        });
        self.link_newest(at);
        evicted
    }

    /// Takes the entry of `key` out.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let at = self.find(key)?;
        self.remove_at(at).map(|(_, value)| value)
    }

    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u32 {
        self.hasher.hash_one(key) as u32
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn find<Q>(&self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let mut at = self.buckets[self.bucket(hash)];
        while at != NONE {
            let entry = &self.entries[at as usize];
            if entry.hash == hash && entry.key.borrow() == key {
                return Some(at);
            }
            at = entry.chain;
        }
        None
    }

    /// Doubling by hand, but never beyond the capacity: a full table keeps no spare room.
    fn reserve_entries(&mut self) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            let more = len
                .clamp(4, 1 << 20)
                .min(self.capacity.saturating_sub(len))
                .max(1);
            self.entries.reserve_exact(more);
        }
    }

    fn grow_buckets(&mut self) {
        let size = self.buckets.len() * 2;
        self.buckets = vec![NONE; size];
        for at in 0..self.entries.len() {
            let bucket = self.bucket(self.entries[at].hash);
            self.entries[at].chain = std::mem::replace(&mut self.buckets[bucket], at as u32);
        }
    }

    /// The last entry moves into the gap, so that the vector stays dense without a list of free places.
    fn remove_at(&mut self, at: u32) -> Option<(K, V)> {
        if at == NONE {
            return None;
        }
        self.unlink(at);
        let after = self.entries[at as usize].chain;
        self.repoint_chain(at, after);
        let moved = (self.entries.len() - 1) as u32;
        if moved != at {
            self.repoint_chain(moved, at);
            let (newer, older) = {
                let entry = &self.entries[moved as usize];
                (entry.newer, entry.older)
            };
            self.set_older_of(newer, at);
            self.set_newer_of(older, at);
        }
        let entry = self.entries.swap_remove(at as usize);
        Some((entry.key, entry.value))
    }

    /// Makes whatever leads to entry `at` in its bucket lead to `target` instead.
    fn repoint_chain(&mut self, at: u32, target: u32) {
        let bucket = self.bucket(self.entries[at as usize].hash);
        let mut before = self.buckets[bucket];
        if before == at {
            self.buckets[bucket] = target;
            return;
        }
        while before != NONE {
            let entry = &mut self.entries[before as usize];
            if entry.chain == at {
                entry.chain = target;
                return;
            }
            before = entry.chain;
        }
    }

    fn unlink(&mut self, at: u32) {
        let (newer, older) = {
            let entry = &self.entries[at as usize];
            (entry.newer, entry.older)
        };
        self.set_older_of(newer, older);
        self.set_newer_of(older, newer);
    }

    fn touch_at(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    fn link_newest(&mut self, at: u32) {
        let second = self.newest;
        let entry = &mut self.entries[at as usize];
        entry.newer = NONE;
        entry.older = second;
        self.newest = at;
        self.set_newer_of(second, at);
    }

    fn set_older_of(&mut self, at: u32, older: u32) {
        match self.entries.get_mut(at as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
    }

    fn set_newer_of(&mut self, at: u32, newer: u32) {
        match self.entries.get_mut(at as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same map, done plainly: the most recently used pair comes last.
    struct Naive {
        pairs: Vec<(u16, u32)>,
        capacity: usize,
    }

    impl Naive {
        fn touch(&mut self, key: u16) -> Option<u32> {
            let at = self.pairs.iter().position(|pair| pair.0 == key)?;
            let pair = self.pairs.remove(at);
            self.pairs.push(pair);
            Some(pair.1)
        }

        fn insert(&mut self, key: u16, value: u32) -> Option<(u16, u32)> {
            let gone = if let Some(at) = self.pairs.iter().position(|pair| pair.0 == key) {
                Some(self.pairs.remove(at))
            } else if self.pairs.len() == self.capacity {
                Some(self.pairs.remove(0))
            } else {
                None
            };
            self.pairs.push((key, value));
            gone
        }

        fn remove(&mut self, key: u16) -> Option<u32> {
            let at = self.pairs.iter().position(|pair| pair.0 == key)?;
            Some(self.pairs.remove(at).1)
        }
    }

    fn in_order_of_use<V: Copy>(map: &BoundedMap<u16, V>) -> Vec<(u16, V)> {
        let mut pairs = Vec::new();
        let mut at = map.oldest;
        while let Some(entry) = map.entries.get(at as usize) {
            pairs.push((entry.key, entry.value));
            at = entry.newer;
        }
        pairs
    }

    #[test]
    fn behaves_as_the_plain_list_does() {
        for capacity in [1usize, 2, 3, 7, 40, 300] {
            let mut map = BoundedMap::new(capacity);
            let mut naive = Naive {
                pairs: Vec::new(),
                capacity,
            };
            let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ capacity as u64;
            for step in 0..20_000u32 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let key = (state >> 8) as u16 % (capacity as u16 * 2 + 1);
                match state % 5 {
                    0 | 1 => assert_eq!(map.insert(key, step), naive.insert(key, step), "insert {key}"),
                    2 => assert_eq!(map.touch(&key).copied(), naive.touch(key), "touch {key}"),
                    3 => {
                        let expected = naive.touch(key).unwrap_or_else(|| {
                            naive.insert(key, step);
                            step
                        });
                        assert_eq!(
                            *map.touch_or_insert_with(key, || step),
                            expected,
                            "touch or insert {key}"
                        );
                    }
                    _ => assert_eq!(map.remove(&key), naive.remove(key), "remove {key}"),
                }
                if step % 97 == 0 {
                    assert_eq!(
                        in_order_of_use(&map),
                        naive.pairs,
                        "capacity {capacity}, step {step}"
                    );
                }
            }
            assert_eq!(in_order_of_use(&map), naive.pairs, "capacity {capacity}");
        }
    }

    #[test]
    fn capacity_is_brought_into_its_limits() {
        assert_eq!(BoundedMap::<u8, u8>::new(0).capacity(), 1);
        assert_eq!(BoundedMap::<u8, u8>::new(usize::MAX).capacity(), MAX_CAPACITY);
    }
}
