//! `:regex`: POSIX extended regular expressions, run by a linear-time engine.
//!
//! Alternatives are tried from the left and not for the longest match; captures can differ from POSIX in
//! that one point. Back references, which POSIX does not have in extended expressions, are refused.

use regex::{Regex, RegexBuilder};

use super::compare::Comparator;

/// Bytes of a pattern at most.
pub(super) const MAX_PATTERN: usize = 1024;

/// What a backslash must quote outside brackets.
pub(super) const SPECIALS: &str = ".[]()*+?{}|^$\\";

/// Bytes of a compiled pattern at most; bounds repetitions such as `(a{1000}){1000}`.
const MAX_COMPILED: usize = 1 << 17;

/// What a pattern is charged with: the first of these that it fits into, compiled, and so does what it
/// remembers while it runs.
const SIZES: &[usize] = &[1 << 14, MAX_COMPILED];

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub regex: Regex,
    /// About how many states it has: the work for one byte at worst.
    pub weight: u64,
    /// Bytes that it is charged with.
    pub size: usize,
}

/// Bytes that the constant patterns of one program are charged with at most: they take time to compile and room
/// to keep. That is 200 patterns of the largest size, or 1,600 of the usual one.
pub const MAX_PATTERN_BYTES: usize = 200 * MAX_COMPILED;

/// Compiles a pattern; a letter-case comparator makes it blind to case.
pub(super) fn compile(pattern: &str, comparator: Comparator) -> Result<Pattern, String> {
    let mut failed = String::new();
    for &size in SIZES {
        match build(pattern, comparator, size) {
            Ok(regex) => {
                return Ok(Pattern {
                    regex,
                    weight: weight(pattern),
                    size,
                });
            }
            Err(why) => failed = why,
        }
    }
    Err(failed)
}

/// The longest text that a value must hold to match, as the comparator folds values; empty where there is none to
/// be seen. Only letters that stand for themselves outside groups are looked at.
pub(super) fn needed_text(pattern: &str, comparator: Comparator) -> String {
    if !matches!(comparator, Comparator::Octet | Comparator::AsciiCasemap) {
        return String::new();
    }
    // K and S have a third form, which no folding of ASCII letters reaches
    let plain =
        |c: &char| c.is_ascii() && (comparator == Comparator::Octet || !matches!(c, 'k' | 'K' | 's' | 'S'));
    let (mut longest, mut run) = (String::new(), String::new());
    let mut groups = 0_usize;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let literal = match c {
            '|' if groups == 0 => return String::new(),
            '(' => {
                groups += 1;
                None
            }
            ')' => {
                groups = groups.saturating_sub(1);
                None
            }
            '[' => {
                skip_bracket(&mut chars);
                None
            }
            '{' => {
                chars.by_ref().find(|c| *c == '}');
                None
            }
            '\\' => chars.next().filter(|c| !c.is_ascii_alphanumeric()),
            '.' | '^' | '$' | '*' | '+' | '?' | '}' => None,
            c => Some(c),
        };
        let next = chars.peek();
        let optional = matches!(next, Some('*' | '?' | '{'));
        let literal = literal.filter(|c| groups == 0 && plain(c) && !optional);
        run.extend(literal);
        // behind a `+` the letter may stand again
        if literal.is_none() || next.is_none() || next == Some(&'+') {
            if run.len() > longest.len() {
                longest.clone_from(&run);
            }
            run.clear();
        }
    }
    comparator.fold(&longest).into_owned()
}

/// Goes behind the end of a bracket expression.
fn skip_bracket(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    chars.next_if_eq(&'^');
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            ']' if !first => return,
            '[' if chars.next_if_eq(&':').is_some() => {
                chars.by_ref().find(|c| *c == ']');
            }
            _ => {}
        }
        first = false;
    }
}

/// An upper estimate of the states: atoms, multiplied by the repetitions around them.
fn weight(pattern: &str) -> u64 {
    let mut groups = vec![0_u64];
    let mut last = 0_u64;
    let mut in_bracket = false;
    let mut chars = pattern.char_indices();
    while let Some((at, c)) = chars.next() {
        if in_bracket {
            in_bracket = c != ']';
            continue;
        }
        match c {
            '(' => groups.push(0),
            ')' => {
                last = groups.pop().unwrap_or(0);
                match groups.last_mut() {
                    Some(outer) => *outer = outer.saturating_add(last),
                    None => groups.push(last),
                }
            }
            '{' => {
                let counts = pattern
                    .get(at + 1..)
                    .and_then(|t| t.split('}').next())
                    .unwrap_or("");
                let most = counts
                    .split(',')
                    .filter_map(|n| n.trim().parse::<u64>().ok())
                    .max()
                    .unwrap_or(1);
                if let Some(sum) = groups.last_mut() {
                    *sum = sum.saturating_add(last.saturating_mul(most.max(1)));
                }
                let skip = counts.chars().count() + 1;
                chars.nth(skip - 1);
            }
            c => {
                in_bracket = c == '[';
                if c == '\\' {
                    chars.next();
                }
                last = 1;
                if let Some(sum) = groups.last_mut() {
                    *sum = sum.saturating_add(1);
                }
            }
        }
    }
    groups.iter().fold(1, |a, b| a.saturating_add(*b))
}

fn build(pattern: &str, comparator: Comparator, size: usize) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!(
            "it has {} bytes, more than the limit of {MAX_PATTERN}",
            pattern.len()
        ));
    }
    let translated = translate(pattern)?;
    RegexBuilder::new(&translated)
        .case_insensitive(comparator != Comparator::Octet)
        .unicode(true)
        .dot_matches_new_line(true)
        .size_limit(size)
        .dfa_size_limit(size)
        .nest_limit(50)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => "it would grow too large".to_owned(),
            other => {
                let text = other.to_string();
                text.lines()
                    .last()
                    .unwrap_or("it is malformed")
                    .trim_start_matches("error: ")
                    .to_owned()
            }
        })
}

/// Escapes what POSIX takes literally and the engine does not.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c) if c.is_ascii_digit() => return Err("back references are not supported".to_owned()),
                Some(c) if c.is_ascii_punctuation() => out.extend(['\\', c]),
                Some(c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W' | 'b' | 'B')) => out.extend(['\\', c]),
                Some(c) => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
                None => return Err("it ends with a backslash".to_owned()),
            },
            '(' => {
                out.push('(');
                if chars.peek() == Some(&'?') {
                    return Err("a group begins with `?`".to_owned());
                }
            }
            '[' => bracket(&mut chars, &mut out)?,
            c => out.push(c),
        }
    }
    Ok(out)
}

/// A bracket expression: nothing but `]`, `-`, `^` and classes is special in it.
fn bracket(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        match chars.next() {
            None => return Err("a `[` is not closed".to_owned()),
            Some(']') if !first => break,
            Some('[') if chars.peek() == Some(&':') => {
                out.push('[');
                loop {
                    match chars.next() {
                        None => return Err("a `[:` is not closed".to_owned()),
                        Some(']') => break out.push(']'),
                        Some(c) => out.push(c),
                    }
                }
            }
            Some('-') if first || chars.peek() == Some(&']') => out.push_str("\\-"),
            Some('-') => out.push('-'),
            Some(c) if c.is_ascii_punctuation() => out.extend(['\\', c]),
            Some(c) => out.push(c),
        }
        first = false;
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighs_repetitions() {
        for (pattern, want) in [
            ("abc", 4),
            ("(a?){50}a{50}b", 150),
            ("((a{10}){10}){10}", 1000),
            ("[abc]{3}", 4),
        ] {
            let got = weight(pattern);
            assert!(got >= want && got < want * 3, "{pattern}: {got}");
        }
    }

    #[test]
    fn texts_that_are_needed() {
        for (pattern, want) in [
            ("", ""),
            ("abc", "ABC"),
            ("a.bc", "BC"),
            ("ab?cd*e", "A"),
            ("abc+d", "ABC"),
            ("ab{2}c", "A"),
            ("ab{2}cd", "CD"),
            ("ab|cd", ""),
            ("x(ab|cd)yz", "YZ"),
            ("(a(b)c)?q", "Q"),
            ("[]abc]x[[:digit:]y]z", "X"),
            ("[^]abc]xy", "XY"),
            ("\\[list\\]", "[LI"),
            ("a\\dbc", "BC"),
            ("\\d+", ""),
            ("ask me", " ME"),
            ("caf\u{e9}", "CAF"),
        ] {
            assert_eq!(needed_text(pattern, Comparator::AsciiCasemap), want, "{pattern}");
        }
        assert_eq!(needed_text("ask", Comparator::Octet), "ask");
        assert_eq!(needed_text("ask", Comparator::UnicodeCasemap), "");
    }

    #[test]
    fn posix_patterns() {
        for (pattern, value, want) in [
            ("^\\[list-([a-z]+)\\]", "[LIST-abc] x", Some("abc")),
            ("([]a]+)-", "a]-", Some("a]")),
            ("([^]]*)]", "ab]", Some("ab")),
            ("([\\a]+)", "\\a", Some("\\a")),
            ("([[:digit:]]{2,3})", "x1234", Some("123")),
            ("([a&&b]+)", "&b", Some("&b")),
            ("(-|[+-]+)$", "+-", Some("+-")),
            ("x(.*)y", "a", None),
        ] {
            let regex =
                compile(pattern, Comparator::AsciiCasemap).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            let got = regex
                .regex
                .captures(value)
                .and_then(|c| c.get(1))
                .map(|m| m.as_str());
            assert_eq!(got, want, "{pattern}");
        }
        for bad in [
            "(",
            "[a",
            "a\\1",
            "*a{",
            "(?i)a",
            "a\\",
            &"x".repeat(2000),
            "((a{100}){100}){100}",
        ] {
            assert!(compile(bad, Comparator::Octet).is_err(), "{bad}");
        }
    }
}
