//! What a header field says: unfolded, trimmed, its encoded words decoded.

use mail_parser::HeaderValue;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;

/// A field body as one line of text: folding removed, white space kept inside and trimmed outside.
pub fn unfolded(raw: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(raw.len());
    for (i, &b) in raw.iter().enumerate() {
        let line_end = b == b'\n' || (b == b'\r' && raw.get(i + 1) == Some(&b'\n'));
        if !line_end {
            bytes.push(b);
        }
    }
    String::from_utf8_lossy(bytes.trim_ascii()).into_owned()
}

/// A field body unfolded and with encoded words decoded (RFC 2047); words in an unknown charset stay.
pub fn decoded(raw: &[u8]) -> String {
    let text = unfolded(raw);
    if !text.contains("=?") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    let mut after_word = false;
    while let Some(at) = rest.find("=?") {
        let (plain, word) = rest.split_at(at);
        let Some((decoded, len)) = encoded_word(word) else {
            out.push_str(plain);
            out.push_str("=?");
            rest = &word[2..];
            after_word = false;
            continue;
        };
        if !(after_word && plain.bytes().all(|b| b.is_ascii_whitespace())) {
            out.push_str(plain);
        }
        out.push_str(&decoded);
        rest = word.get(len..).unwrap_or("");
        after_word = true;
    }
    out.push_str(rest);
    out
}

/// Bytes of an encoded word at most. The standard says 75; real ones are longer, and without any bound a
/// field full of half words would take quadratic time.
const MAX_WORD: usize = 1000;

/// The encoded word at the start of `text` and its length in bytes.
fn encoded_word(text: &str) -> Option<(String, usize)> {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..MAX_WORD).unwrap_or(bytes);
    let charset = bytes.get(2..)?.split(|b| *b == b'?').next()?;
    let charset = charset.split(|b| *b == b'*').next()?;
    if !is_utf8(charset) {
        charset_decoder(charset)?;
    }
    let mut stream = MessageStream::new(bytes.get(1..)?);
    let decoded = stream.decode_rfc2047()?;
    let len = 1 + stream.offset();
    text.is_char_boundary(len).then_some((decoded, len))
}

/// Whether this names UTF-8, for which mail-parser needs no decoder.
pub(crate) fn is_utf8(charset: &[u8]) -> bool {
    charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"utf8")
}

/// What a `Content-Type` or `Content-Disposition` field says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Media {
    /// Type or disposition, in lower case.
    pub kind: String,
    /// Subtype, in lower case; empty where there is none.
    pub subtype: String,
    /// Parameters, names in lower case, RFC 2231 continuations and encodings undone.
    pub parameters: Vec<(String, String)>,
}

impl Media {
    /// Reads a field body; `None` where it is none of these.
    pub fn read(raw: &[u8]) -> Option<Media> {
        let mut line = raw.to_vec();
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let HeaderValue::ContentType(c) = MessageStream::new(&line).parse_content_type() else {
            return None;
        };
        let parameters = c.attributes().unwrap_or_default();
        Some(Media {
            kind: c.ctype().to_ascii_lowercase(),
            subtype: c.subtype().unwrap_or("").to_ascii_lowercase(),
            parameters: parameters
                .iter()
                .map(|a| (a.name.to_ascii_lowercase(), a.value.to_string()))
                .collect(),
        })
    }

    /// The first parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

/// Whether this may be the name of a field (RFC 5322, 2.2): printable ASCII without colon.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        for (name, raw, want) in [
            ("plain", " hello \r\n", "hello"),
            ("folded", "   spaced\r\n  out   \r\n", "spaced  out"),
            (
                "word",
                " =?utf-8?q?Caf=C3=A9_order?= for you\r\n",
                "Café order for you",
            ),
            ("two words", " =?utf-8?q?a?= \r\n =?utf-8?b?Yg==?= c", "ab c"),
            (
                "words with text between",
                "=?utf-8?q?a?= x =?utf-8?q?b?=",
                "a x b",
            ),
            ("latin", "=?iso-8859-1*en?Q?Keld_J=F8rn?=", "Keld Jørn"),
            ("unknown charset", "=?x-none?q?a?= b", "=?x-none?q?a?= b"),
            ("unfinished", "=?utf-8?q?a b", "=?utf-8?q?a b"),
            ("not a word", "a =? b", "a =? b"),
        ] {
            assert_eq!(decoded(raw.as_bytes()), want, "{name}");
        }
    }
}
