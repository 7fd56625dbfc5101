//! Hashes of keys. The matcher verifies what is found, so keys that share a hash cost time only.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use grammar::mapping::IpNet;

use super::index::Bucket;

/// The entries of each key, by its hash.
pub(super) type Keys = HashMap<u64, Bucket, BuildHasherDefault<AsItIs>>;

/// For sets of keys as they are.
pub(super) type Fast = BuildHasherDefault<Hash>;

/// The key is a hash already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AsItIs(u64);

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
pub(super) struct Hash(u64);

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

pub(super) fn roll(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

pub(super) const ROLL_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Spreads a hash over all bits, as tables that use it as it is need.
pub(super) fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 32)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 29)
}

pub(super) fn literal_hash(text: &[u8]) -> u64 {
    let mut hash = Hash::default();
    hash.write_usize(text.len());
    hash.write(text);
    hash.finish()
}

pub(super) fn network_hash(net: IpNet) -> u64 {
    let mut hash = Hash::default();
    hash.write_u16(u16::from(net.prefix) << 1 | u16::from(net.v6));
    hash.write_u128(net.bits);
    hash.finish()
}
