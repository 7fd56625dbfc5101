//! Arguments of flags: taken from the text of a result, left to right, in the order of the table's flags.
//!
//! What leaves here holds no control characters and is bounded; arguments that are no address, header
//! line or number where one is needed count as not given.

use policy::address::Address;

/// Longest text taken for a reply or for syslog, in octets; the rest is cut off.
pub const TEXT_LIMIT: usize = 1000;

/// Longest header line that `$A` may add, in octets (RFC 5322 2.1.1); a longer one is not added.
pub const HEADER_LIMIT: usize = 998;

/// The rest of a result's text.
pub(super) struct Arguments<'a> {
    rest: &'a str,
}

impl<'a> Arguments<'a> {
    pub fn new(text: &'a str) -> Self {
        Arguments { rest: text }
    }

    /// The text up to the next `|`, or all of it.
    pub fn next(&mut self) -> &'a str {
        match self.rest.split_once('|') {
            Some((argument, rest)) => {
                self.rest = rest;
                argument
            }
            None => std::mem::take(&mut self.rest),
        }
    }

    /// As [`Arguments::next`], cleaned; `None` where there is nothing in it.
    pub fn text(&mut self) -> Option<String> {
        given(self.next())
    }

    /// The name of a channel: as [`Arguments::text`], in lower case.
    pub fn channel(&mut self) -> Option<String> {
        self.text().map(|name| name.trim_ascii().to_ascii_lowercase())
    }

    /// All that is left, cleaned; `None` where there is nothing in it.
    pub fn rest(&mut self) -> Option<String> {
        given(std::mem::take(&mut self.rest))
    }
}

/// A text without control characters, of at most [`TEXT_LIMIT`] octets.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_LIMIT));
    for c in text.chars() {
        if out.len() + c.len_utf8() > TEXT_LIMIT {
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

fn given(text: &str) -> Option<String> {
    let text = clean(text);
    (!text.trim_ascii().is_empty()).then_some(text)
}

/// An integer; what is too large for one is as large as one can be, and what is none is 0.
pub(super) fn integer(text: &str) -> i64 {
    number(text).unwrap_or(0)
}

/// An integer, or nothing.
pub(super) fn number(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse().unwrap_or(i64::MAX);
    Some(if negative { -value } else { value })
}

/// An address, with or without angle brackets; empty is the null address.
pub(super) fn address(text: &str) -> Option<String> {
    let text = text.trim_matches(' ');
    let text = text
        .strip_prefix('<')
        .and_then(|t| t.strip_suffix('>'))
        .unwrap_or(text);
    let good = !text.chars().any(char::is_control) && (text.is_empty() || Address::parse(text).is_ok());
    good.then(|| text.to_string())
}

/// An address that is not the null address.
pub(super) fn someone(text: &str) -> Option<String> {
    address(text).filter(|address| !address.is_empty())
}

/// A header line, `Name: value`, of one line.
pub(super) fn header(text: &str) -> Option<String> {
    if text.len() > HEADER_LIMIT {
        return None;
    }
    let (name, _) = text.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    is_name.then(|| clean(text).trim_ascii_end().to_string())
}

/// An adjustment of the spam score: `5`, `+5`, `-2.5`.
pub(super) fn adjustment(text: &str) -> Option<String> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let good = [whole, part]
        .iter()
        .all(|d| (1..=9).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_digit()));
    good.then(|| text.to_string())
}

/// An enhanced status code of a refusal: `4.x.x` or `5.x.x` (RFC 3463 2).
pub(super) fn enhanced(text: &str) -> Option<String> {
    let text = text.trim_ascii();
    let mut parts = text.split('.');
    let class = parts.next()?;
    let part = |p: Option<&str>| {
        p.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let good = matches!(class, "4" | "5") && part(parts.next()) && part(parts.next());
    (good && parts.next().is_none()).then(|| text.to_string())
}
