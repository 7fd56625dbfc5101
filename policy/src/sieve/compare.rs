//! Comparators and match types: how a value meets a key (RFC 5228 2.7, RFC 5231, RFC 4790, RFC 5051).
//!
//! Guarantees: `:matches` takes time linear in the value for patterns whose literals are searched for, and
//! never backtracks; every step is counted, so that a pattern of many `?` runs out of fuel and not of time.

use std::borrow::Cow;
use std::cmp::Ordering;

use memchr::memmem;
use unicode_normalization::UnicodeNormalization;

/// A comparator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Comparator {
    Octet,
    AsciiCasemap,
    AsciiNumeric,
    UnicodeCasemap,
}

impl Comparator {
    pub const NAMES: &[&str] = &[
        "i;octet",
        "i;ascii-casemap",
        "i;ascii-numeric",
        "i;unicode-casemap",
    ];

    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "i;octet" => Comparator::Octet,
            "i;ascii-casemap" => Comparator::AsciiCasemap,
            "i;ascii-numeric" => Comparator::AsciiNumeric,
            "i;unicode-casemap" => Comparator::UnicodeCasemap,
            _ => return None,
        })
    }

    /// Its name, for messages.
    #[cfg(test)]
    pub fn name(self) -> &'static str {
        match self {
            Comparator::Octet => "i;octet",
            Comparator::AsciiCasemap => "i;ascii-casemap",
            Comparator::AsciiNumeric => "i;ascii-numeric",
            Comparator::UnicodeCasemap => "i;unicode-casemap",
        }
    }

    /// The form in which equal strings are equal octets.
    pub fn fold<'a>(self, text: &'a str) -> Cow<'a, str> {
        match self {
            Comparator::Octet => text.into(),
            Comparator::AsciiCasemap => {
                if text.bytes().any(|b| b.is_ascii_lowercase()) {
                    text.to_ascii_uppercase().into()
                } else {
                    text.into()
                }
            }
            Comparator::AsciiNumeric => number(text).unwrap_or("infinity").to_owned().into(),
            Comparator::UnicodeCasemap => text.chars().flat_map(upper).nfd().collect::<String>().into(),
        }
    }

    /// Ordering, as `:value` asks for it.
    pub fn order(self, a: &str, b: &str) -> Ordering {
        match self {
            Comparator::AsciiNumeric => match (number(a), number(b)) {
                (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
            },
            _ => self.fold(a).as_bytes().cmp(self.fold(b).as_bytes()),
        }
    }
}

/// Upper case where it is one character, which is how the simple mapping tables have it.
fn upper(c: char) -> impl Iterator<Item = char> {
    let mut mapped = c.to_uppercase();
    let single = match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    };
    std::iter::once(single)
}

/// Leading digits without leading zeros.
fn number(text: &str) -> Option<&str> {
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let digits = text.get(..end).filter(|d| !d.is_empty())?;
    let trimmed = digits.trim_start_matches('0');
    Some(if trimmed.is_empty() { "0" } else { trimmed })
}

/// A relation of `:value` and `:count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Gt,
    Ge,
    Lt,
    Le,
    Eq,
    Ne,
}

impl Relation {
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "gt" => Relation::Gt,
            "ge" => Relation::Ge,
            "lt" => Relation::Lt,
            "le" => Relation::Le,
            "eq" => Relation::Eq,
            "ne" => Relation::Ne,
            _ => return None,
        })
    }

    pub fn holds(self, ordering: Ordering) -> bool {
        match self {
            Relation::Gt => ordering.is_gt(),
            Relation::Ge => ordering.is_ge(),
            Relation::Lt => ordering.is_lt(),
            Relation::Le => ordering.is_le(),
            Relation::Eq => ordering.is_eq(),
            Relation::Ne => ordering.is_ne(),
        }
    }
}

/// How values and keys are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    Is,
    Contains,
    Matches,
    Regex,
    Value(Relation),
    Count(Relation),
    List,
}

/// A value prepared for `:matches`: folded, with the way back to what was matched.
pub(crate) struct Subject<'a> {
    original: Cow<'a, str>,
    folded: Cow<'a, str>,
    /// Where each character of `original` begins in `folded` and in `original`; only where they differ.
    map: Option<Vec<(usize, usize)>>,
    octets: bool,
}

impl<'a> Subject<'a> {
    /// `folded` is the text as the comparator folds it.
    pub fn new(comparator: Comparator, text: &'a str, folded: &'a str) -> Self {
        if comparator != Comparator::UnicodeCasemap {
            let octets = comparator == Comparator::Octet;
            return Subject {
                original: text.into(),
                folded: folded.into(),
                map: None,
                octets,
            };
        }
        let original: String = text.nfc().collect();
        let mut folded = String::new();
        let mut map = Vec::new();
        for (at, c) in original.char_indices() {
            map.push((folded.len(), at));
            folded.extend(upper(c).nfd());
        }
        map.push((folded.len(), original.len()));
        Subject {
            original: original.into(),
            folded: folded.into(),
            map: Some(map),
            octets: false,
        }
    }

    /// Behind the character at `at`.
    fn next(&self, at: usize) -> Option<usize> {
        match &self.map {
            None if self.octets => (at < self.folded.len()).then_some(at + 1),
            None => self.folded.get(at..)?.chars().next().map(|c| at + c.len_utf8()),
            Some(map) => map.get(map.partition_point(|(f, _)| *f <= at)).map(|(f, _)| *f),
        }
    }

    /// Before the character that ends at `at`.
    fn before(&self, at: usize) -> Option<usize> {
        match &self.map {
            None if self.octets => at.checked_sub(1),
            None => self
                .folded
                .get(..at)?
                .chars()
                .next_back()
                .map(|c| at - c.len_utf8()),
            Some(map) => map
                .get(map.partition_point(|(f, _)| *f < at).checked_sub(1)?)
                .map(|(f, _)| *f),
        }
    }

    fn capture(&self, start: usize, end: usize) -> String {
        let back = |at: usize| match &self.map {
            None => at,
            Some(map) => map
                .get(map.partition_point(|(f, _)| *f < at))
                .map_or(self.original.len(), |(_, o)| *o),
        };
        let bytes = self
            .original
            .as_bytes()
            .get(back(start)..back(end))
            .unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Literal(String),
    One,
}

/// A `:matches` pattern: runs of literals and `?` with a `*` between two.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    segments: Vec<Vec<Item>>,
}

/// The pattern took more steps than there is fuel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl Glob {
    pub fn new(comparator: Comparator, pattern: &str) -> Self {
        let mut segments = vec![Vec::new()];
        let mut literal = String::new();
        let mut chars = pattern.chars();
        let flush = |literal: &mut String, segments: &mut Vec<Vec<Item>>| {
            if let Some(last) = segments.last_mut()
                && !literal.is_empty()
            {
                let text: String = match comparator {
                    Comparator::UnicodeCasemap => literal.nfc().collect(),
                    _ => literal.clone(),
                };
                last.push(Item::Literal(comparator.fold(&text).into_owned()));
                literal.clear();
            }
        };
        while let Some(c) = chars.next() {
            match c {
                '*' => {
                    flush(&mut literal, &mut segments);
                    segments.push(Vec::new());
                }
                '?' => {
                    flush(&mut literal, &mut segments);
                    if let Some(last) = segments.last_mut() {
                        last.push(Item::One);
                    }
                }
                '\\' => literal.push(chars.next().unwrap_or('\\')),
                c => literal.push(c),
            }
        }
        flush(&mut literal, &mut segments);
        Glob { segments }
    }

    /// The longest text, folded, that a value must hold to match; may be empty.
    pub fn longest_text(&self) -> &str {
        let texts = self.segments.iter().flatten().filter_map(|item| match item {
            Item::Literal(text) => Some(text.as_str()),
            Item::One => None,
        });
        texts.max_by_key(|text| text.len()).unwrap_or("")
    }

    /// What each wildcard took, shortest first from the left; `None` where the value does not match.
    pub fn captures(&self, value: &Subject<'_>, fuel: &mut u64) -> Result<Option<Vec<String>>, Exhausted> {
        let mut taken = Vec::new();
        let text = value.folded.as_bytes();
        let Some((first, rest)) = self.segments.split_first() else {
            return Ok(None);
        };
        let Some(mut at) = forward(first, value, 0, &mut taken, fuel)? else {
            return Ok(None);
        };
        let Some((last, middle)) = rest.split_last() else {
            return Ok((at == text.len()).then(|| texts(value, &taken)));
        };
        for segment in middle {
            let star = taken.len();
            taken.push((at, at));
            let Some((start, end)) = find(segment, value, at, &mut taken, fuel)? else {
                return Ok(None);
            };
            taken[star] = (at, start);
            at = end;
        }
        let mut tail = Vec::new();
        match backward(last, value, &mut tail, fuel)? {
            Some(start) if start >= at => {
                taken.push((at, start));
                taken.extend(tail.into_iter().rev());
                Ok(Some(texts(value, &taken)))
            }
            _ => Ok(None),
        }
    }
}

fn texts(value: &Subject<'_>, taken: &[(usize, usize)]) -> Vec<String> {
    taken
        .iter()
        .map(|(start, end)| value.capture(*start, *end))
        .collect()
}

fn step(fuel: &mut u64, work: usize) -> Result<(), Exhausted> {
    *fuel = fuel.checked_sub(1 + work as u64 / 16).ok_or(Exhausted)?;
    Ok(())
}

/// Where `items` end if they stand at `at`.
fn forward(
    items: &[Item],
    value: &Subject<'_>,
    mut at: usize,
    taken: &mut Vec<(usize, usize)>,
    fuel: &mut u64,
) -> Result<Option<usize>, Exhausted> {
    for item in items {
        match item {
            Item::Literal(literal) => {
                step(fuel, literal.len())?;
                if !value
                    .folded
                    .as_bytes()
                    .get(at..)
                    .is_some_and(|t| t.starts_with(literal.as_bytes()))
                {
                    return Ok(None);
                }
                at += literal.len();
            }
            Item::One => {
                step(fuel, 0)?;
                let Some(next) = value.next(at) else {
                    return Ok(None);
                };
                taken.push((at, next));
                at = next;
            }
        }
    }
    Ok(Some(at))
}

/// Where `items` begin if they stand at the end; captures come last first.
fn backward(
    items: &[Item],
    value: &Subject<'_>,
    taken: &mut Vec<(usize, usize)>,
    fuel: &mut u64,
) -> Result<Option<usize>, Exhausted> {
    let mut at = value.folded.len();
    for item in items.iter().rev() {
        match item {
            Item::Literal(literal) => {
                step(fuel, literal.len())?;
                if !value
                    .folded
                    .as_bytes()
                    .get(..at)
                    .is_some_and(|t| t.ends_with(literal.as_bytes()))
                {
                    return Ok(None);
                }
                at -= literal.len();
            }
            Item::One => {
                step(fuel, 0)?;
                let Some(before) = value.before(at) else {
                    return Ok(None);
                };
                taken.push((before, at));
                at = before;
            }
        }
    }
    Ok(Some(at))
}

/// The first place at or after `from` where `items` stand.
fn find(
    items: &[Item],
    value: &Subject<'_>,
    from: usize,
    taken: &mut Vec<(usize, usize)>,
    fuel: &mut u64,
) -> Result<Option<(usize, usize)>, Exhausted> {
    let text = value.folded.as_bytes();
    let kept = taken.len();
    let finder = match items.first() {
        None => return Ok(Some((from, from))),
        Some(Item::Literal(literal)) => Some(memmem::Finder::new(literal.as_bytes())),
        Some(Item::One) => None,
    };
    let mut start = from;
    loop {
        if let Some(finder) = &finder {
            let Some(hit) = text.get(start..).and_then(|t| finder.find(t)) else {
                step(fuel, text.len() - start.min(text.len()))?;
                return Ok(None);
            };
            step(fuel, hit)?;
            start += hit;
        }
        taken.truncate(kept);
        if let Some(end) = forward(items, value, start, taken, fuel)? {
            return Ok(Some((start, end)));
        }
        match value.next(start) {
            Some(next) => start = next,
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(comparator: Comparator, pattern: &str, value: &str) -> Option<Vec<String>> {
        let mut fuel = 1_000_000;
        Glob::new(comparator, pattern)
            .captures(
                &Subject::new(comparator, value, &comparator.fold(value)),
                &mut fuel,
            )
            .unwrap()
    }

    #[test]
    fn matches_and_captures() {
        let cases: &[(&str, &str, &str, Option<&[&str]>)] = &[
            (
                "shortest first",
                "*<*@*",
                "\"C\" <coyote@desert.example.org>",
                Some(&["\"C\" ", "coyote", "desert.example.org>"]),
            ),
            ("empty", "", "", Some(&[])),
            ("star takes nothing", "*", "", Some(&[""])),
            ("one", "a?b", "aéb", Some(&["é"])),
            ("quoted star", "a\\*b", "a*b", Some(&[])),
            ("quoted star is literal", "a\\*b", "axb", None),
            ("case", "ABC*", "abcdef", Some(&["def"])),
            ("suffix", "*.example", "a.example.example", Some(&["a.example"])),
            ("overlap", "ab*ba", "aba", None),
            ("stars and ones", "*?x?*", "1x2x3", Some(&["", "1", "2", "x3"])),
            ("last with one", "*-?", "a-b-c", Some(&["a-b", "c"])),
            ("two stars", "**", "ab", Some(&["", "ab"])),
        ];
        for (name, pattern, value, want) in cases {
            let want = want.map(|w| w.iter().map(|s| s.to_string()).collect::<Vec<_>>());
            assert_eq!(glob(Comparator::AsciiCasemap, pattern, value), want, "{name}");
        }
        assert_eq!(
            glob(Comparator::UnicodeCasemap, "*CAFE\u{301}?x", "le café x").unwrap(),
            ["le ", " "]
        );
        assert_eq!(glob(Comparator::Octet, "ABC", "abc"), None);
    }

    #[test]
    fn hostile_patterns_stay_linear() {
        let mut fuel = 2_000_000;
        let value = "a".repeat(100_000);
        let glob = Glob::new(Comparator::Octet, &format!("{}b", "*a".repeat(1000)));
        let got = glob.captures(&Subject::new(Comparator::Octet, &value, &value), &mut fuel);
        assert_eq!(got, Ok(None));
        let glob = Glob::new(Comparator::Octet, &format!("*{}b*", "?".repeat(1000)));
        let got = glob.captures(&Subject::new(Comparator::Octet, &value, &value), &mut fuel);
        assert_eq!(got, Err(Exhausted));
    }

    #[test]
    fn comparators() {
        use Ordering::*;
        for (c, a, b, want) in [
            (Comparator::AsciiNumeric, "7", "10", Less),
            (Comparator::AsciiNumeric, "007x", "7", Equal),
            (Comparator::AsciiNumeric, "x", "9", Greater),
            (Comparator::AsciiNumeric, "x", "y", Equal),
            (Comparator::AsciiCasemap, "7", "10", Greater),
            (Comparator::AsciiCasemap, "abc", "ABC", Equal),
            (Comparator::AsciiCasemap, "é", "É", Greater),
            (Comparator::UnicodeCasemap, "é", "É", Equal),
            (Comparator::Octet, "a", "A", Greater),
        ] {
            assert_eq!(c.order(a, b), want, "{} {a} {b}", c.name());
        }
        assert_eq!(Comparator::AsciiNumeric.fold("0012a"), "12");
    }
}
