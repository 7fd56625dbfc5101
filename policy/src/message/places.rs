//! Where the addresses of a header field stand, so that one can be replaced and the rest stays as it is.
//!
//! [`super::address`] says which addresses there are and loses their places; this one finds places and judges
//! nothing. What cannot be replaced octet for octet, such as an address with a comment inside, has no place.
//! Guarantees: one pass, no recursion, no input panics.

use std::ops::Range;

/// An address in the body of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where it stands, without angle brackets.
    pub range: Range<usize>,
    /// Its text, without white space around it; a source route and quotes are part of it.
    pub address: String,
    /// It stands in angle brackets.
    pub angle: bool,
}

/// An address that is being read.
#[derive(Default)]
struct Reading {
    range: Option<Range<usize>>,
    address: String,
    /// White space or a comment came after its last octet.
    gap: bool,
    /// It went on after a gap: these are words, or an address in pieces.
    pieces: bool,
}

impl Reading {
    fn take(&mut self, at: Range<usize>, text: &str) {
        self.pieces |= self.gap && self.range.is_some();
        self.gap = false;
        let start = self.range.as_ref().map_or(at.start, |r| r.start);
        self.range = Some(start..at.end);
        self.address.push_str(text);
    }

    /// The address, if it is in one piece.
    fn end(&mut self, angle: bool) -> Option<Place> {
        let done = std::mem::take(self);
        let range = done.range.filter(|_| !done.pieces)?;
        Some(Place {
            range,
            address: done.address,
            angle,
        })
    }
}

/// The addresses of a field body, folded or not, those in groups included. None where quotes, comments or brackets
/// are left open: the field is then not what it seems.
pub fn places(body: &str) -> Vec<Place> {
    let mut found = Vec::new();
    let mut reading = Reading::default();
    let (mut angle, mut had_angle) = (false, false);
    let mut at = 0;
    while let Some(c) = body[at..].chars().next() {
        let Some(len) = token_len(&body[at..], c) else {
            return Vec::new();
        };
        let token = at..at + len;
        match c {
            c if c.is_whitespace() => reading.gap = true,
            '(' => reading.gap = true,
            '<' if !angle => {
                // what stood before is a name
                reading = Reading::default();
                (angle, had_angle) = (true, true);
            }
            '>' if angle => {
                angle = false;
                found.extend(reading.end(true));
            }
            '<' | '>' => return Vec::new(),
            ',' | ';' if !angle => {
                let place = reading.end(false);
                found.extend(place.filter(|_| !had_angle));
                had_angle = false;
            }
            ':' if !angle => reading = Reading::default(),
            _ => reading.take(token.clone(), &body[token]),
        }
        at += len;
    }
    if angle {
        return Vec::new();
    }
    found.extend(reading.end(false).filter(|_| !had_angle));
    found
}

/// Length of the token at the start of `text`: a comment, a quoted string or a literal as a whole, else one
/// character. `None`: it does not end.
fn token_len(text: &str, first: char) -> Option<usize> {
    let close = match first {
        '(' => ')',
        '"' => '"',
        '[' => ']',
        _ => return Some(first.len_utf8()),
    };
    let mut depth = 1;
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next()?;
            }
            '(' if first == '(' => depth += 1,
            c if c == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_addresses() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("bare", " a@x.example\r\n", &["a@x.example"]),
            ("no domain", "a, b ", &["a", "b"]),
            (
                "named",
                "\"C, W.\" <c@d.example> (home), e@f",
                &["<c@d.example", "e@f"],
            ),
            ("comment after", "a@x (who)", &["a@x"]),
            ("folded", "A\r\n <a@x>,\r\n\tb@y", &["<a@x", "b@y"]),
            ("group", "G: a@x, B <b@x>;, c@z", &["a@x", "<b@x", "c@z"]),
            ("empty group", "undisclosed-recipients:;", &[]),
            ("route", "<@r,@s:u@d>", &["<@r,@s:u@d"]),
            ("quoted local part", "\"a b\"@x", &["\"a b\"@x"]),
            ("literal", "u@[IPv6:::1]", &["u@[IPv6:::1]"]),
            ("space in brackets", "< a@x >", &["<a@x"]),
            ("words", "not an address, a@x", &["a@x"]),
            ("in pieces", "a @ x, <b(c)d@x>", &[]),
            ("null", "<>", &[]),
            ("name behind", "<a@x> b@y, c@z", &["<a@x", "c@z"]),
            (
                "wide letters",
                "Jürgen <jürgen@größe.example>",
                &["<jürgen@größe.example"],
            ),
            ("open quote", "\"a <b@c>, d@e", &[]),
            ("open comment", "a@b (c, d@e", &[]),
            ("open bracket", "A <b@c, d@e", &[]),
            ("bracket in brackets", "<a@<b>", &[]),
            ("ends in a backslash", "\"\\", &[]),
        ];
        for (name, body, want) in cases {
            let got: Vec<String> = places(body)
                .into_iter()
                .map(|p| {
                    assert_eq!(body[p.range.clone()], p.address, "{name}");
                    format!("{}{}", if p.angle { "<" } else { "" }, p.address)
                })
                .collect();
            assert_eq!(&got, want, "{name}");
        }
    }
}
