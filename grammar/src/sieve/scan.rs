//! How deep a script nests, found without recursion before the recursive grammar may touch it.

use crate::{FileId, Span};

/// Nested blocks and tests at most, together. RFC 5228 asks for 15 of each.
pub const MAX_NESTING: usize = 64;

/// Where the script nests deeper than [`MAX_NESTING`], if it does.
///
/// Counts what the grammar will recurse into: a block or a list adds one, and so does a test that follows
/// another word directly (`not not not ...`).
pub fn too_deep(text: &str, file: FileId) -> Option<Span> {
    let bytes = text.as_bytes();
    let mut base: Vec<usize> = Vec::new(); // depth outside each open bracket
    let mut enclosing = 0; // depth at the start of the innermost bracket
    let mut depth = 0;
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let start = at;
        at += 1;
        match b {
            b'"' => {
                while let Some(&c) = bytes.get(at) {
                    at += if c == b'\\' { 2 } else { 1 };
                    if c == b'"' {
                        break;
                    }
                }
            }
            b'#' => at = find(bytes, at, b"\n"),
            b'/' if bytes.get(at) == Some(&b'*') => at = find(bytes, at + 1, b"*/"),
            b'{' | b'(' => {
                base.push(enclosing);
                // A block belongs to its command, however deep the tests before it went.
                depth = if b == b'{' { enclosing } else { depth } + 1;
                enclosing = depth;
            }
            b'}' | b')' => {
                if let Some(outer) = base.pop() {
                    depth = enclosing.saturating_sub(1).max(outer);
                    enclosing = outer;
                }
            }
            b';' | b',' => depth = enclosing,
            _ if b.is_ascii_alphabetic() || b == b'_' => {
                while bytes
                    .get(at)
                    .is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_')
                {
                    at += 1;
                }
                if bytes[start..at].eq_ignore_ascii_case(b"text") && bytes.get(at) == Some(&b':') {
                    at = skip_multiline(bytes, at + 1);
                } else if start == 0 || bytes[start - 1] != b':' {
                    depth += 1;
                }
            }
            _ => {}
        }
        if depth > MAX_NESTING {
            return Some(Span::new(file, start, at.min(bytes.len())));
        }
    }
    None
}

/// Just behind the next `needle` at or after `from`, or the end.
fn find(bytes: &[u8], from: usize, needle: &[u8]) -> usize {
    let from = from.min(bytes.len());
    let hit = bytes[from..].windows(needle.len()).position(|w| w == needle);
    hit.map_or(bytes.len(), |i| from + i + needle.len())
}

/// Behind the line that ends a `text:` block, or where it was where none begins here.
fn skip_multiline(bytes: &[u8], colon: usize) -> usize {
    let eol = find(bytes, colon, b"\n");
    let rest = bytes[colon..eol].trim_ascii();
    if !(rest.is_empty() || rest.starts_with(b"#")) {
        return colon;
    }
    let mut at = eol;
    while at < bytes.len() {
        let next = find(bytes, at, b"\n");
        if bytes[at..next].trim_ascii_end() == b"." {
            return next;
        }
        at = next;
    }
    at
}
