//! From when to when a certificate is valid: as much of X.509 as that needs.
//!
//! Reads DER by RFC 5280 section 4.1; gives `None` for anything that does not have that form. It judges
//! nothing: rustls verifies certificates.

use jiff::civil;

/// The dates of a certificate, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: i64,
    /// The last second.
    pub not_after: i64,
}

impl Validity {
    /// Full days left at `now`; negative when it has expired.
    pub fn days_left(&self, now: i64) -> i64 {
        self.not_after.saturating_sub(now) / 86_400
    }
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The dates of a certificate in DER.
pub fn validity(certificate: &[u8]) -> Option<Validity> {
    let tbs = to_be_signed(certificate)?;
    let (_, tbs) = expect(tbs, INTEGER)?; // serial number
    let (_, tbs) = expect(tbs, SEQUENCE)?; // signature algorithm
    let (_, tbs) = expect(tbs, SEQUENCE)?; // issuer
    let (dates, _) = expect(tbs, SEQUENCE)?;
    let (not_before, dates) = time(dates)?;
    let (not_after, _) = time(dates)?;
    Some(Validity {
        not_before,
        not_after,
    })
}

/// What of a certificate is signed, after its version.
pub(super) fn to_be_signed(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (tbs, _) = expect(certificate, SEQUENCE)?;
    match tbs.first() == Some(&VERSION) {
        true => expect(tbs, VERSION).map(|(_, rest)| rest),
        false => Some(tbs),
    }
}

/// The content of the first element, which must have this tag, and what follows it.
pub(super) fn expect(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(input)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content and what follows.
pub(super) fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, input) = input.split_first()?;
    let (&first, input) = input.split_first()?;
    let (len, input) = if first < 0x80 {
        (usize::from(first), input)
    } else {
        // Up to four octets of length: 4 GiB.
        let count = usize::from(first & 0x7F);
        if !(1..=4).contains(&count) {
            return None;
        }
        let (octets, input) = input.split_at_checked(count)?;
        (
            octets.iter().fold(0usize, |len, b| len << 8 | usize::from(*b)),
            input,
        )
    };
    let (content, rest) = input.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// A time in either of its forms, always in UTC (RFC 5280 section 4.1.2.5).
fn time(input: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, content, rest) = element(input)?;
    let digits = content.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year, fields) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, fields) = digits.split_at_checked(2)?;
            let year = number(year);
            (if year >= 50 { 1900 + year } else { 2000 + year }, fields)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, fields) = digits.split_at_checked(4)?;
            (number(year), fields)
        }
        _ => return None,
    };
    let mut fields = fields.chunks_exact(2).map(|two| number(two) as i8);
    let mut next = || fields.next();
    let date = civil::DateTime::new(year, next()?, next()?, next()?, next()?, next()?, 0).ok()?;
    Some((
        date.to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second(),
        rest,
    ))
}

/// The number of two or four digits.
fn number(digits: &[u8]) -> i16 {
    digits.iter().fold(0, |n, digit| n * 10 + i16::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(not_before: &[u8], not_after: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let dates = wrap(SEQUENCE, &[not_before, not_after].concat());
        let tbs = [
            wrap(VERSION, &wrap(INTEGER, &[2])),
            wrap(INTEGER, &[1]),
            wrap(SEQUENCE, &[]),
            wrap(SEQUENCE, &[]),
            dates,
        ];
        wrap(SEQUENCE, &wrap(SEQUENCE, &tbs.concat()))
    }

    #[test]
    fn both_forms_of_time_are_read_and_damage_is_not() {
        let utc = b"\x17\x0d700101000000Z";
        let general = b"\x18\x0f20380119031407Z";
        let der = certificate(utc, general);
        assert_eq!(
            validity(&der),
            Some(Validity {
                not_before: 0,
                not_after: i64::from(i32::MAX)
            })
        );
        for end in 0..der.len() {
            assert_eq!(validity(&der[..end]), None, "cut at {end}");
        }
        for (name, bad) in [
            ("month 13", &b"\x17\x0d701301000000Z"[..]),
            ("local time", &b"\x17\x0d70010100000+1"[..]),
            ("short", &b"\x17\x0b7001010000Z"[..]),
        ] {
            assert_eq!(validity(&certificate(bad, general)), None, "{name}");
        }
    }
}
