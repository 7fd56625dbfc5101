//! The pattern language of mapping entries (mapping specification 3).

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use pest::Parser as _;
use pest::iterators::Pair;

use super::{Grammar, Rule};
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Most elements of one pattern, far more than a person writes: a match takes time and memory for each.
pub const ELEMENT_LIMIT: usize = 1024;

/// One element of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// Text, compared without regard to ASCII case.
    Literal(String),
    /// `%`, `*` and their classed forms.
    Wild {
        /// Characters it takes.
        class: Class,
        /// `*`: zero or more; `%`: exactly one.
        many: bool,
        /// `$_`: the shortest text instead of the longest.
        lazy: bool,
        /// Gets a field number; `$@` takes it away.
        save: bool,
    },
    /// `$n*`: the text that an earlier field matched.
    Back {
        /// Field number, 0 to 9.
        field: u8,
        /// Gets a field number itself.
        save: bool,
    },
    /// An address within a network.
    Ip(IpNet),
}

/// The characters that a wildcard takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Class {
    /// Every character.
    Any,
    /// Some, without regard to ASCII case.
    Set {
        /// Bit n: the ASCII character n belongs to it.
        ascii: u128,
        /// Ranges of other characters, ends included, in order and apart from one another: a set may have as
        /// many as its text has room for.
        other: Vec<(char, char)>,
    },
}

impl Class {
    /// Whether a character belongs to it.
    pub fn contains(&self, c: char) -> bool {
        match self {
            Class::Any => true,
            Class::Set { ascii, .. } if c.is_ascii() => ascii >> (c as u32) & 1 == 1,
            Class::Set { other, .. } => {
                let after = other.partition_point(|&(first, _)| first <= c);
                let range = after.checked_sub(1).and_then(|n| other.get(n));
                range.is_some_and(|&(_, last)| c <= last)
            }
        }
    }

    fn from_ranges(ranges: &[(char, char)]) -> Self {
        let mut ascii = 0u128;
        let mut other = Vec::new();
        for &(first, last) in ranges {
            for c in first as u32..=(last as u32).min(127) {
                if let Some(c) = char::from_u32(c) {
                    ascii |= 1 << c.to_ascii_lowercase() as u32 | 1 << c.to_ascii_uppercase() as u32;
                }
            }
            if !last.is_ascii() {
                other.push((first.max('\u{80}'), last));
            }
        }
        other.sort_unstable();
        other.dedup_by(|next, kept| {
            let joins = next.0 <= kept.1;
            if joins {
                kept.1 = kept.1.max(next.1);
            }
            joins
        });
        Class::Set { ascii, other }
    }
}

/// A network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpNet {
    /// IPv6 (128 bits) or IPv4 (32 bits).
    pub v6: bool,
    /// The leading bits; the others are zero.
    pub bits: u128,
    /// How many bits count.
    pub prefix: u8,
}

impl IpNet {
    /// Whether an address lies in it; an address of the other family does not.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (v6, bits) = address_bits(address);
        v6 == self.v6 && mask(bits, self.v6, self.prefix) == self.bits
    }
}

/// Family and bits of an address.
pub fn address_bits(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(a) => (false, u128::from(a.to_bits())),
        IpAddr::V6(a) => (true, a.to_bits()),
    }
}

/// The leading `prefix` bits of an address.
pub fn mask(bits: u128, v6: bool, prefix: u8) -> u128 {
    let width = if v6 { 128 } else { 32u32 };
    let low = width.saturating_sub(u32::from(prefix));
    if low >= 128 { 0 } else { bits >> low << low }
}

/// Parses a pattern; `at` turns byte ranges of `text` into places. What is wrong goes to `diagnostics`,
/// and the element that is wrong is left out.
pub fn parse_pattern(
    text: &str,
    at: &dyn Fn(Range<usize>) -> Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Element> {
    let mut elements: Vec<Element> = Vec::new();
    let masked = mask_hopeless(text);
    let parsed = Grammar::parse(Rule::pattern, &masked)
        .ok()
        .and_then(|mut p| p.next());
    let Some(parsed) = parsed else { return elements };
    for pair in parsed.into_inner() {
        let range = pair.as_span().start()..pair.as_span().end();
        let word = &text[range.clone()];
        let element = match pair.as_rule() {
            Rule::literal => Some(Element::Literal(word.to_string())),
            Rule::any_run => Some(wild(Class::Any, true, Modifiers::default())),
            Rule::one => Some(wild(Class::Any, false, Modifiers::default())),
            Rule::ip => ip(word, &at(range), diagnostics),
            Rule::special => special(pair, text, &at(range), diagnostics),
            Rule::escaped => escaped(word, &at(range), diagnostics),
            Rule::dangling => {
                diagnostics.push(
                    Diagnostic::warning(
                        "P004",
                        at(range),
                        "a `$` at the end of a pattern stands for itself",
                    )
                    .help("write `$$`; for a blank at the end write `$ `"),
                );
                Some(Element::Literal("$".to_string()))
            }
            _ => None,
        };
        match (element, elements.last_mut()) {
            (Some(Element::Literal(more)), Some(Element::Literal(last))) => last.push_str(&more),
            (Some(element), _) => elements.push(element),
            (None, _) => {}
        }
    }
    if elements.len() > ELEMENT_LIMIT {
        diagnostics.push(
            Diagnostic::error(
                "P009",
                at(0..text.len()),
                format!(
                    "this pattern has {} elements; {ELEMENT_LIMIT} are allowed",
                    elements.len()
                ),
            )
            .help("an element is a wildcard, a network, or the text between two of them: write less of them"),
        );
        elements.truncate(ELEMENT_LIMIT);
    }
    let mut saved = 0u8;
    for element in &elements {
        if let Element::Back { field, .. } = element
            && *field >= saved
        {
            diagnostics.push(
                Diagnostic::warning(
                    "P006",
                    at(0..text.len()),
                    format!("`${field}*` never matches: field {field} is not matched before it"),
                )
                .help("a back match names a saved wildcard to its left, counted from 0"),
            );
        }
        saved = saved.saturating_add(element.saves().into());
    }
    elements
}

/// The pattern for the grammar, with each bracket that opens nothing replaced: the grammar would look for
/// its end each time, and take time in the square of the length. Byte for byte as long as the pattern.
fn mask_hopeless(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut masked: Option<Vec<u8>> = None;
    // where the last set that was looked at ends, and the last address; what opens before ends there, too
    let (mut set_end, mut set_is_hopeless) = (0, false);
    let mut address_end = 0;
    for at in 1..bytes.len() {
        let inside = at + 1;
        let hopeless = match (bytes[at - 1], bytes[at]) {
            (b'$' | b'_' | b'@' | b'^', b'[') => {
                if inside > set_end {
                    set_end = inside;
                    while set_end < bytes.len() && bytes[set_end] != b']' {
                        set_end += if bytes[set_end] == b'\\' { 2 } else { 1 };
                    }
                    set_is_hopeless = !matches!(bytes.get(set_end + 1), Some(b'*' | b'%'));
                }
                set_is_hopeless
            }
            (b'$', open @ (b'(' | b'<' | b'{')) => {
                if inside > address_end {
                    let end = bytes[inside..]
                        .iter()
                        .position(|b| matches!(b, b')' | b'>' | b'}'));
                    address_end = end.map_or(bytes.len(), |n| inside + n);
                }
                let close = match open {
                    b'(' => b')',
                    b'<' => b'>',
                    _ => b'}',
                };
                bytes.get(address_end) != Some(&close)
            }
            _ => false,
        };
        if hopeless {
            masked.get_or_insert_with(|| bytes.to_vec())[at] = 1;
        }
    }
    match masked.map(String::from_utf8) {
        Some(Ok(masked)) => Cow::Owned(masked),
        _ => Cow::Borrowed(text),
    }
}

impl Element {
    /// Whether it gets a field number.
    pub fn saves(&self) -> bool {
        match self {
            Element::Literal(_) => false,
            Element::Wild { save, .. } | Element::Back { save, .. } => *save,
            Element::Ip(_) => true,
        }
    }
}

#[derive(Default, Clone, Copy)]
struct Modifiers {
    lazy: bool,
    skip: bool,
}

fn wild(class: Class, many: bool, m: Modifiers) -> Element {
    Element::Wild {
        class,
        many,
        lazy: m.lazy,
        save: !m.skip,
    }
}

fn special(
    pair: Pair<'_, Rule>,
    source: &str,
    span: &Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Element> {
    let mut modifiers = Modifiers::default();
    for inner in pair.into_inner() {
        let text = inner.as_str();
        let many = text.ends_with('*');
        match inner.as_rule() {
            Rule::modifier => match text {
                "_" => modifiers.lazy = true,
                "@" => modifiers.skip = true,
                _ => modifiers.skip = false,
            },
            Rule::plain => return Some(wild(Class::Any, many, modifiers)),
            Rule::back => {
                let field = text.bytes().next().map_or(0, |b| b - b'0');
                return Some(Element::Back {
                    field,
                    save: !modifiers.skip,
                });
            }
            Rule::class => return Some(wild(letter(text), many, modifiers)),
            Rule::set => {
                let members = inner
                    .into_inner()
                    .next()
                    .map_or(0..0, |m| m.as_span().start()..m.as_span().end());
                let members = &source[members];
                return Some(wild(set(members, span, diagnostics), many, modifiers));
            }
            _ => {}
        }
    }
    None
}

fn letter(text: &str) -> Class {
    let ranges: &[(char, char)] = match text.chars().next().map(|c| c.to_ascii_uppercase()) {
        Some('A') => &[('a', 'z')],
        Some('B') => &[('0', '1')],
        Some('D') => &[('0', '9')],
        Some('O') => &[('0', '7')],
        Some('S') => &[('0', '9'), ('a', 'z'), ('_', '_'), ('$', '$')],
        Some('T') => &[('\t', '\t'), ('\u{b}', '\u{b}'), (' ', ' ')],
        _ => &[('0', '9'), ('a', 'f')],
    };
    Class::from_ranges(ranges)
}

fn set(members: &str, span: &Span, diagnostics: &mut Vec<Diagnostic>) -> Class {
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut chars = members.chars().peekable();
    while let Some(c) = chars.next() {
        let first = if c == '\\' {
            chars.next().unwrap_or('\\')
        } else {
            c
        };
        let mut rest = chars.clone();
        let is_range = rest.next() == Some('-') && rest.peek().is_some();
        if !is_range {
            ranges.push((first, first));
            continue;
        }
        chars = rest;
        let last = match chars.next() {
            Some('\\') => chars.next().unwrap_or('\\'),
            Some(c) => c,
            None => first,
        };
        if last < first {
            diagnostics.push(
                Diagnostic::error("P005", *span, format!("the range `{first}-{last}` is empty"))
                    .help("write the smaller character first; write `\\-` for a hyphen"),
            );
        }
        ranges.push((first, last));
    }
    if ranges.is_empty() {
        diagnostics.push(
            Diagnostic::warning("P005", *span, "an empty set matches no character")
                .help("name the characters between `$[` and `]`"),
        );
    }
    Class::from_ranges(&ranges)
}

fn ip(word: &str, span: &Span, diagnostics: &mut Vec<Diagnostic>) -> Option<Element> {
    let ignore = word.starts_with("$<");
    let text = &word[2..word.len() - 1];
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = address.trim().parse::<IpAddr>() else {
        diagnostics.push(
            Diagnostic::error("P001", *span, format!("`{address}` is not an IP address"))
                .help("write `$(192.0.2.0/24)`, `$<192.0.2.0/8>` or `${2001:db8::/32}`; for a literal bracket write it without `$`"),
        );
        return None;
    };
    let (v6, value) = address_bits(address);
    let width = if v6 { 128u8 } else { 32 };
    let number = match bits {
        None => Some(if ignore { 0 } else { width }),
        Some(b) => b.trim().parse::<u8>().ok().filter(|&b| b <= width),
    };
    let Some(number) = number else {
        let bits = bits.unwrap_or("");
        diagnostics.push(
            Diagnostic::error("P001", *span, format!("`{bits}` is not a number of bits from 0 to {width}"))
                .help("the number after `/` says how many leading bits count, or after `$<` how many trailing bits do not"),
        );
        return None;
    };
    let prefix = if ignore { width - number } else { number };
    let masked = mask(value, v6, prefix);
    if masked != value {
        diagnostics.push(
            Diagnostic::note(
                "P007",
                *span,
                format!("`{text}` has bits set beyond its prefix; they are ignored"),
            )
            .help("write the first address of the network"),
        );
    }
    Some(Element::Ip(IpNet {
        v6,
        bits: masked,
        prefix,
    }))
}

fn escaped(text: &str, span: &Span, diagnostics: &mut Vec<Diagnostic>) -> Option<Element> {
    let c = text.chars().nth(1)?;
    let report = match c {
        '*' | '%' | ' ' | '\t' | '$' => None,
        '(' | '<' | '{' => Some(
            Diagnostic::error(
                "P002",
                *span,
                format!("`${c}` begins a network, but its end is missing"),
            )
            .help(format!(
                "close it, or write `{c}` without `$` for the character itself"
            )),
        ),
        '[' => Some(
            Diagnostic::error("P003", *span, "`$[` begins a set, but `]*` or `]%` is missing")
                .help("end the set with `]*` or `]%`, or write `[` without `$` for the character itself"),
        ),
        _ => Some(
            Diagnostic::warning(
                "P008",
                *span,
                format!("`${c}` has no meaning in a pattern and stands for `{c}`"),
            )
            .help("remove the `$`, or add the wildcard that is meant"),
        ),
    };
    let fatal = report
        .as_ref()
        .is_some_and(|d| d.severity == crate::Severity::Error);
    diagnostics.extend(report);
    (!fatal).then(|| Element::Literal(c.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_sum_of_its_ranges() {
        let class = set("ü-Ā\\-xü-þé-ëπą-ćÿ-ą", &Span::default(), &mut Vec::new());
        let Class::Set { other, .. } = &class else {
            panic!("{class:?}");
        };
        assert_eq!(other, &[('é', 'ë'), ('ü', 'ć'), ('π', 'π')]);
        for (characters, belong) in [("xX-éêëüýþÿĀąĆćπ", true), ("yèìûĈρ\u{10ffff}", false)]
        {
            for c in characters.chars() {
                assert_eq!(class.contains(c), belong, "{c}");
            }
        }
    }

    #[test]
    fn a_pattern_has_so_many_elements_and_no_more() {
        for (unit, times, elements, codes) in [
            ("*", ELEMENT_LIMIT, ELEMENT_LIMIT, &[][..]),
            ("*", ELEMENT_LIMIT + 1, ELEMENT_LIMIT, &["P009"]),
            ("$_*", 70_000, ELEMENT_LIMIT, &["P009"]),
            // one text
            ("x$*", 5000, 1, &[]),
        ] {
            let text = unit.repeat(times);
            let mut diagnostics = Vec::new();
            let parsed = parse_pattern(&text, &|_| Span::default(), &mut diagnostics);
            let said: Vec<_> = diagnostics.iter().map(|d| d.code).collect();
            assert_eq!(parsed.len(), elements, "{times} times {unit}");
            assert_eq!(said, codes, "{times} times {unit}");
        }
    }
}
