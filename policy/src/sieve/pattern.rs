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
const MAX_COMPILED: usize = 1 << 20;

/// Compiles a pattern; a letter-case comparator makes it blind to case.
pub(super) fn compile(pattern: &str, comparator: Comparator) -> Result<Regex, String> {
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
        .size_limit(MAX_COMPILED)
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
            let got = regex.captures(value).and_then(|c| c.get(1)).map(|m| m.as_str());
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
