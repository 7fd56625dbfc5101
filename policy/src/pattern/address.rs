//! Addresses within a subject, and the networks that hold them.

use std::net::IpAddr;

use grammar::mapping::{IpNet, address_bits, mask};

/// Longest text of an address: an IPv6 address with an embedded IPv4 one.
const ADDRESS_LIMIT: usize = 45;

/// The whole text as an address.
pub(crate) fn parse_address(text: &[u8]) -> Option<IpAddr> {
    if text.len() > ADDRESS_LIMIT || !text.first().is_some_and(|b| b.is_ascii_hexdigit() || *b == b':') {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Length of the longest text at the start of `rest` that reads as an address in the network.
pub(super) fn longest_address(rest: &[u8], net: IpNet) -> Option<usize> {
    address_lengths(rest, net.v6).find(|&len| parse_address(&rest[..len]).is_some_and(|a| net.contains(a)))
}

/// Lengths of text at the start of `rest` that might read as an address, longest first.
pub(crate) fn address_lengths(rest: &[u8], v6: bool) -> impl Iterator<Item = usize> {
    let part = |b: &u8| {
        if v6 {
            b.is_ascii_hexdigit() || *b == b':' || *b == b'.'
        } else {
            b.is_ascii_digit() || *b == b'.'
        }
    };
    let longest = rest
        .iter()
        .take(if v6 { ADDRESS_LIMIT } else { 15 })
        .take_while(|b| part(b))
        .count();
    let shortest = if v6 { 2 } else { 7 };
    (shortest..=longest).rev()
}

/// Family and leading bits of an address, as a network of that length would have them.
pub(crate) fn network_of(address: IpAddr, prefix: u8) -> IpNet {
    let (v6, bits) = address_bits(address);
    IpNet {
        v6,
        bits: mask(bits, v6, prefix),
        prefix,
    }
}
