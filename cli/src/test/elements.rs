//! The elements of a compiled pattern, printed one a line (mapping specification 9).
//!
//! ```text
//! [  1S] cglob [1ax]
//! [  2] "@"
//! [  3S] glob, req 109, reps 2
//! ```
//!
//! A number, `S` where the element saves a field, and the element. The manual shows `"c"`, `cglob` and
//! `glob`; the other names are ours: `char` and `cchar` take one character, `, lazy` the shortest text,
//! `back N` what field N took, `ip NETWORK` an address. The dump informs; nothing should parse it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use grammar::mapping::{Class, Element, IpNet};

/// Prints elements, a line each.
pub fn dump(elements: &[Element]) -> String {
    let required = required(elements);
    let mut out = String::new();
    let mut number = 0;
    let mut line = |saves: bool, text: &str| {
        number += 1;
        let s = if saves { "S" } else { "" };
        let _ = writeln!(out, "[{number:3}{s}] {text}");
    };
    for (element, required) in elements.iter().zip(required) {
        let saves = element.saves();
        match element {
            Element::Literal(text) => text.chars().for_each(|c| {
                let mut shown = String::from("\"");
                push_visible(&mut shown, c);
                shown.push('"');
                line(false, &shown);
            }),
            Element::Wild {
                class, many, lazy, ..
            } => {
                let mut shown = match (class, many) {
                    (Class::Any, true) => "glob".to_string(),
                    (Class::Any, false) => "char".to_string(),
                    (class, true) => format!("cglob [{}]", members(class)),
                    (class, false) => format!("cchar [{}]", members(class)),
                };
                if *lazy {
                    shown.push_str(", lazy");
                }
                if let (Class::Any, true, Some((c, times))) = (class, many, required) {
                    let _ = write!(shown, ", req {}, reps {times}", c as u32);
                }
                line(saves, &shown);
            }
            Element::Back { field, .. } => line(saves, &format!("back {field}")),
            Element::Ip(net) => line(saves, &format!("ip {}", network(*net))),
        }
    }
    out
}

/// For each element, the character that occurs most often in the literals after it, and how often; of
/// several, the one whose last occurrence is rightmost.
fn required(elements: &[Element]) -> Vec<Option<(char, usize)>> {
    // count, and the order in which the character was first met from the right
    let mut counts: HashMap<char, (usize, usize)> = HashMap::new();
    let mut best: Option<(char, usize, usize)> = None;
    let mut result = Vec::with_capacity(elements.len());
    for element in elements.iter().rev() {
        result.push(best.map(|(c, times, _)| (c, times)));
        if let Element::Literal(text) = element {
            for c in text.chars().rev().map(|c| c.to_ascii_lowercase()) {
                let met = counts.len();
                let (times, order) = counts.entry(c).or_insert((0, met));
                *times += 1;
                if best.is_none_or(|(_, most, o)| *times > most || (*times == most && *order < o)) {
                    best = Some((c, *times, *order));
                }
            }
        }
    }
    result.reverse();
    result
}

/// The members of a set in ascending order, letters in lower case only.
fn members(class: &Class) -> String {
    let mut out = String::new();
    if let Class::Set { ascii, other } = class {
        for c in (0..128u8).filter(|c| ascii >> c & 1 == 1 && !c.is_ascii_uppercase()) {
            push_visible(&mut out, char::from(c));
        }
        for &(first, last) in other {
            push_visible(&mut out, first);
            if first != last {
                out.push('-');
                push_visible(&mut out, last);
            }
        }
    }
    out
}

fn push_visible(out: &mut String, c: char) {
    if c.is_control() {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

fn network(net: IpNet) -> String {
    if net.v6 {
        format!("{}/{}", Ipv6Addr::from_bits(net.bits), net.prefix)
    } else {
        format!("{}/{}", Ipv4Addr::from_bits(net.bits as u32), net.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_print() {
        let cases: &[(&str, &str)] = &[
            (
                "$[ax1]*@*.a.m",
                "[  1S] cglob [1ax]\n[  2] \"@\"\n[  3S] glob, req 46, reps 2\n[  4] \".\"\n[  5] \"a\"\n[  6] \".\"\n[  7] \"m\"\n",
            ),
            ("%$@*", "[  1S] char\n[  2] glob\n"),
            (
                "$_*x$_D*$A%",
                "[  1S] glob, lazy, req 120, reps 1\n[  2] \"x\"\n[  3S] cglob [0123456789], lazy\n[  4S] cchar [abcdefghijklmnopqrstuvwxyz]\n",
            ),
            (
                "*-$0*$@0*",
                "[  1S] glob, req 45, reps 1\n[  2] \"-\"\n[  3S] back 0\n[  4] back 0\n",
            ),
            (
                "$(10.0.0.0/8)${2001:db8::/32}$<10.1.1.4/2>",
                "[  1S] ip 10.0.0.0/8\n[  2S] ip 2001:db8::/32\n[  3S] ip 10.1.1.4/30\n",
            ),
            ("$T%", "[  1S] cchar [\\t\\u{b} ]\n"),
            (
                "*ab*ba",
                "[  1S] glob, req 97, reps 2\n[  2] \"a\"\n[  3] \"b\"\n[  4S] glob, req 97, reps 1\n[  5] \"b\"\n[  6] \"a\"\n",
            ),
            ("", ""),
        ];
        for (pattern, expected) in cases {
            let at = |_: std::ops::Range<usize>| grammar::Span::default();
            let elements = grammar::mapping::parse_pattern(pattern, &at, &mut Vec::new());
            assert_eq!(dump(&elements), *expected, "{pattern}");
        }
    }

    #[test]
    fn the_published_dump() {
        let at = |_: std::ops::Range<usize>| grammar::Span::default();
        let elements = grammar::mapping::parse_pattern("$[ax1]*@*.example.com", &at, &mut Vec::new());
        let lines = dump(&elements);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines[0], "[  1S] cglob [1ax]");
        assert_eq!(lines[14], "[ 15] \"m\"");
        assert_eq!(lines.len(), 15);
    }
}
