//! Bodies that were just written, since most are delivered at once.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Inline bodies by message number; the oldest go first when the limit is reached.
pub(super) struct Cache {
    bodies: BTreeMap<u64, Bytes>,
    used: usize,
    limit: usize,
}

impl Cache {
    /// `limit` is in bytes of bodies.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bodies: BTreeMap::new(),
            used: 0,
            limit,
        }
    }

    pub(super) fn put(&mut self, message: u64, body: Bytes) {
        if body.len() > self.limit {
            return;
        }
        self.used += body.len();
        if let Some(old) = self.bodies.insert(message, body) {
            self.used -= old.len();
        }
        while self.used > self.limit
            && let Some((_, oldest)) = self.bodies.pop_first()
        {
            self.used -= oldest.len();
        }
    }

    pub(super) fn get(&self, message: u64) -> Option<Bytes> {
        self.bodies.get(&message).cloned()
    }

    pub(super) fn remove(&mut self, message: u64) {
        if let Some(body) = self.bodies.remove(&message) {
            self.used -= body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_than_its_limit() {
        let mut cache = Cache::new(10);
        cache.put(1, Bytes::from_static(b"aaaa"));
        cache.put(2, Bytes::from_static(b"bbbb"));
        cache.put(3, Bytes::from_static(b"cccc"));
        assert_eq!(cache.get(1), None, "the oldest goes");
        assert!(cache.get(2).is_some() && cache.get(3).is_some());
        cache.put(4, Bytes::from_static(b"larger than all"));
        assert_eq!(cache.get(4), None, "larger than the limit");
        cache.remove(2);
        cache.put(5, Bytes::from_static(b"dddddd"));
        assert!(
            cache.get(3).is_some() && cache.get(5).is_some(),
            "a removal makes room"
        );
        assert_eq!(cache.used, 10);
    }
}
