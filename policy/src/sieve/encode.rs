//! The codings of `encode` and `decode` (specification B3).

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;

/// A coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Base64,
    Hex,
    QuotedPrintable,
    Url,
}

impl Coding {
    pub const NAMES: &[&str] = &[":base64", ":hex", ":quotedprintable", ":url"];

    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "base64" => Coding::Base64,
            "hex" => Coding::Hex,
            "quotedprintable" => Coding::QuotedPrintable,
            "url" => Coding::Url,
            _ => return None,
        })
    }
}

pub(super) fn encode(coding: Coding, bytes: &[u8]) -> String {
    let hex = |b: u8| format!("{b:02X}");
    match coding {
        Coding::Hex => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        Coding::Url => bytes
            .iter()
            .map(|b| match b {
                b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => char::from(*b).to_string(),
                b => format!("%{}", hex(*b)),
            })
            .collect(),
        Coding::QuotedPrintable => bytes
            .iter()
            .map(|b| match b {
                b' '..=b'~' if *b != b'=' => char::from(*b).to_string(),
                b => format!("={}", hex(*b)),
            })
            .collect(),
        Coding::Base64 => base64(bytes),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS
                .get((bits >> (18 - 6 * at) & 63) as usize)
                .copied()
                .unwrap_or(b'=');
            out.push(if at > group.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

/// The text again; `None` where it is malformed.
pub(super) fn decode(coding: Coding, text: &str) -> Option<String> {
    let bytes = match coding {
        Coding::Base64 => base64_decode(text.as_bytes())?,
        Coding::QuotedPrintable => quoted_printable_decode(text.as_bytes())?,
        Coding::Hex => {
            let pairs = text.as_bytes().chunks(2);
            pairs
                .map(|p| {
                    u8::from_str_radix(std::str::from_utf8(p).ok()?, 16)
                        .ok()
                        .filter(|_| p.len() == 2)
                })
                .collect::<Option<_>>()?
        }
        Coding::Url => super::uri::decode(text).into_bytes(),
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (coding, text, want) in [
            (Coding::Base64, "any carnal pleas", "YW55IGNhcm5hbCBwbGVhcw=="),
            (Coding::Base64, "sure", "c3VyZQ=="),
            (Coding::Base64, "é", "w6k="),
            (Coding::Hex, "Az", "417a"),
            (Coding::QuotedPrintable, "a=é", "a=3D=C3=A9"),
            (Coding::Url, "a b/é", "a%20b%2F%C3%A9"),
        ] {
            assert_eq!(encode(coding, text.as_bytes()), want);
            assert_eq!(decode(coding, want).as_deref(), Some(text), "{want}");
        }
        assert_eq!(decode(Coding::Hex, "4"), None);
        assert_eq!(decode(Coding::Hex, "zz"), None);
    }
}
