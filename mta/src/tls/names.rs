//! Who a certificate is for and who signed it, as text (RFC 4514).
//!
//! Reads as much DER as that needs; gives `None` for what does not have the form of RFC 5280 section 4.1. It
//! judges nothing: rustls verifies certificates.

use super::validity::{INTEGER, SEQUENCE, element, expect, to_be_signed};

const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BMP_STRING: u8 = 0x1E;

/// The attribute types that RFC 4514 section 3 has short names for, and the address.
const TYPES: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 1], "UID"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1], "EMAIL"),
];

/// Subject and issuer of a certificate in DER. Parts of other types than the usual ones are left out.
pub fn names(certificate: &[u8]) -> Option<(String, String)> {
    let tbs = to_be_signed(certificate)?;
    let (_, tbs) = expect(tbs, INTEGER)?; // serial number
    let (_, tbs) = expect(tbs, SEQUENCE)?; // signature algorithm
    let (issuer, tbs) = expect(tbs, SEQUENCE)?;
    let (_, tbs) = expect(tbs, SEQUENCE)?; // dates
    let (subject, _) = expect(tbs, SEQUENCE)?;
    Some((name(subject)?, name(issuer)?))
}

/// A distinguished name, the last part first.
fn name(mut rest: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (set, after) = expect(rest, SET)?;
        rest = after;
        let mut together = Vec::new();
        let mut set = set;
        while !set.is_empty() {
            let (attribute, after) = expect(set, SEQUENCE)?;
            set = after;
            let (kind, value) = expect(attribute, OBJECT_IDENTIFIER)?;
            let (tag, value, _) = element(value)?;
            if let Some((_, short)) = TYPES.iter().find(|(oid, _)| *oid == kind) {
                together.push(format!("{short}={}", escaped(&text(tag, value))));
            }
        }
        if !together.is_empty() {
            parts.push(together.join("+"));
        }
    }
    parts.reverse();
    Some(parts.join(","))
}

fn text(tag: u8, value: &[u8]) -> String {
    if tag != BMP_STRING {
        return String::from_utf8_lossy(value).into_owned();
    }
    let units = value
        .chunks_exact(2)
        .map(|two| u16::from(two[0]) << 8 | u16::from(two[1]));
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// What would end a part, escaped: a name cannot pass for another.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (n, c) in value.chars().enumerate() {
        let at_an_end = (c == ' ' && (n == 0 || n == last)) || (c == '#' && n == 0);
        if at_an_end || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn names_are_written_the_last_part_first_and_cannot_be_forged() {
        for (parts, expected) in [
            (
                &[
                    (DnType::CountryName, "GB"),
                    (DnType::OrganizationName, "Example"),
                    (DnType::CommonName, "mail.example.com"),
                ][..],
                "CN=mail.example.com,O=Example,C=GB",
            ),
            (&[(DnType::CommonName, "x,O=Bank")], "CN=x\\,O=Bank"),
            (&[(DnType::CommonName, "#1 ")], "CN=\\#1\\ "),
            (&[], ""),
        ] {
            let mut params = CertificateParams::new(vec!["mail.example.com".to_string()]).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, value) in parts {
                params.distinguished_name.push(kind.clone(), *value);
            }
            let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let (subject, issuer) = names(der.der()).unwrap();
            assert_eq!((subject.as_str(), issuer.as_str()), (expected, expected));
            for end in 0..der.der().len() {
                // damage is no name, and never a panic
                let _ = names(&der.der()[..end]);
            }
        }
    }
}
