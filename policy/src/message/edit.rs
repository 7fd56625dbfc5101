//! New messages made of old ones: replaced, enclosed (RFC 5703, 5 and 6).
//!
//! What is written here is simple on purpose: UTF-8 text in 8bit, long or non-ASCII field bodies as
//! encoded words.

use std::sync::Arc;

use super::date::Date;
use super::{HeaderView, Message, Overlay, RawValue};

/// What takes the place of a message or part.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// The text is a whole MIME part, header included.
    pub mime: bool,
    /// Another subject.
    pub subject: Option<String>,
    /// Another author.
    pub from: Option<String>,
    /// The text.
    pub text: String,
}

/// What a message is enclosed in.
#[derive(Debug, Clone, Default)]
pub struct Outer {
    /// Another subject.
    pub subject: Option<String>,
    /// Names of fields to take over from the enclosed message; empty: Date and From are made anew.
    pub headers: Vec<String>,
    /// The text before the message.
    pub text: String,
    /// The author.
    pub owner: String,
    /// The time, seconds since 1970.
    pub now: i64,
    /// A string that does not occur in the message.
    pub boundary: String,
}

/// Longest line of a header that is written.
const LINE: usize = 76;

/// One field, folded, its body encoded where it has to be.
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let plain = value.is_ascii() && !value.contains("=?");
    let mut column = name.len() + 1;
    if plain {
        for word in value.split(' ') {
            if column + 1 + word.len() > LINE && column > name.len() + 1 && !word.is_empty() {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            out.push(b' ');
            out.extend_from_slice(word.as_bytes());
            column += 1 + word.len();
        }
    } else {
        let mut open = false;
        for c in value.chars() {
            let mut buffer = [0; 4];
            let encoded: String = match c {
                ' ' => "_".to_owned(),
                c if c.is_ascii_alphanumeric() => c.to_string(),
                c => c
                    .encode_utf8(&mut buffer)
                    .bytes()
                    .map(|b| format!("={b:02X}"))
                    .collect(),
            };
            if open && column + encoded.len() + 2 > LINE {
                out.extend_from_slice(b"?=\r\n");
                open = false;
                column = 0;
            }
            if !open {
                out.extend_from_slice(b" =?utf-8?q?");
                open = true;
                column += 11;
            }
            out.extend_from_slice(encoded.as_bytes());
            column += encoded.len();
        }
        if open {
            out.extend_from_slice(b"?=");
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The header as edited, without its empty line, those fields left out that `skip` names.
fn header(message: &Message, headers: Option<&Arc<Overlay>>, skip: &dyn Fn(&str) -> bool) -> Vec<u8> {
    let view = HeaderView::message(message, headers);
    let mut out = Vec::new();
    for at in 0..view.len() {
        let Some((name, value)) = view.get(at) else {
            continue;
        };
        if skip(&name) {
            continue;
        }
        match value {
            RawValue::Text(text) => write_field(&mut out, &name, text),
            RawValue::Wire(raw) => {
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
                out.extend_from_slice(raw);
                if !raw.ends_with(b"\n") {
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }
    out
}

/// The message with its header as edited.
pub fn render(message: &Message, headers: Option<&Arc<Overlay>>) -> Vec<u8> {
    if headers.is_none() {
        return message.raw().to_vec();
    }
    let mut out = header(message, headers, &|_| false);
    if let Some(body) = message.body() {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
    }
    out
}

fn is_mime(name: &str) -> bool {
    name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case("content-"))
        || name.eq_ignore_ascii_case("mime-version")
}

/// Text with CRLF line ends and one at its end.
fn lines(text: &str) -> Vec<u8> {
    let mut out = text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
    if !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn text_part(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
    );
    out.extend_from_slice(&lines(text));
}

/// The message with another body; a displaced subject or author stays as Original-Subject or -From.
pub fn replace_message(message: &Message, headers: Option<&Arc<Overlay>>, new: &New) -> Vec<u8> {
    let displaced = |name: &str| {
        (new.subject.is_some() && name.eq_ignore_ascii_case("subject"))
            || (new.from.is_some() && name.eq_ignore_ascii_case("from"))
    };
    let mut out = header(message, headers, &|name| is_mime(name) || displaced(name));
    let view = HeaderView::message(message, headers);
    for (name, value) in [("Subject", &new.subject), ("From", &new.from)] {
        let Some(value) = value else { continue };
        if let Some(old) = view.values(name).first() {
            write_field(&mut out, &format!("Original-{name}"), &old.decoded());
        }
        write_field(&mut out, name, value);
    }
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    if new.mime {
        out.extend_from_slice(&lines(&new.text));
    } else {
        text_part(&mut out, &new.text);
    }
    out
}

/// The message with another part in the place of one; `None` where there is no such part.
pub fn replace_part(message: &Message, at: usize, new: &New) -> Option<Vec<u8>> {
    let whole = message.tree().parts.get(at)?.whole.clone();
    let raw = message.raw();
    let mut out = raw.get(..whole.start)?.to_vec();
    if new.mime {
        out.extend_from_slice(&lines(&new.text));
    } else {
        text_part(&mut out, &new.text);
    }
    out.extend_from_slice(raw.get(whole.end..)?);
    Some(out)
}

/// A message that holds a text and, as an attachment, the old one.
pub fn enclose(message: &Message, headers: Option<&Arc<Overlay>>, outer: &Outer) -> Vec<u8> {
    let view = HeaderView::message(message, headers);
    let mut out = Vec::new();
    if outer.headers.is_empty() {
        let date = Date {
            seconds: outer.now,
            zone: 0,
        }
        .part("std11")
        .unwrap_or_default();
        write_field(&mut out, "Date", &date);
        write_field(&mut out, "From", &outer.owner);
    }
    for name in &outer.headers {
        for value in view.values(name) {
            write_field(&mut out, name, &value.decoded());
        }
    }
    if let Some(subject) = &outer.subject {
        write_field(&mut out, "Subject", subject);
    }
    let boundary = &outer.boundary;
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    out.extend_from_slice(
        format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n").as_bytes(),
    );
    text_part(&mut out, &outer.text);
    out.extend_from_slice(format!("\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n").as_bytes());
    out.extend_from_slice(&render(message, headers));
    out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    out
}

/// The header block of a message as edited, with the empty line that ends it.
pub fn edited_header(message: &Message, headers: &Arc<Overlay>) -> Vec<u8> {
    let mut out = header(message, Some(headers), &|_| false);
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_survive_writing() {
        for value in [
            "plain",
            "Café order for you",
            "word ".repeat(40).trim_end(),
            &"ä".repeat(100),
            "a =?b",
        ] {
            let mut raw = Vec::new();
            write_field(&mut raw, "Subject", value);
            assert!(
                raw.split(|b| *b == b'\n').all(|l| l.len() <= LINE + 12),
                "{value}"
            );
            raw.extend_from_slice(b"\r\nx");
            let message = Message::new(raw);
            let view = HeaderView::message(&message, None);
            assert_eq!(view.values("subject")[0].decoded(), *value);
        }
    }

    #[test]
    fn replaces_and_encloses() {
        let message =
            Message::new(&b"From: a@x\r\nSubject: old\r\nContent-Type: text/html\r\n\r\n<p>\r\n"[..]);
        let new = New {
            subject: Some("New".into()),
            text: "text".into(),
            ..New::default()
        };
        let replaced = Message::new(replace_message(&message, None, &new));
        let view = HeaderView::message(&replaced, None);
        assert_eq!(view.values("subject")[0].decoded(), "New");
        assert_eq!(view.values("original-subject")[0].decoded(), "old");
        assert_eq!(replaced.body().unwrap(), b"text\r\n");
        let outer = Outer {
            boundary: "b0".into(),
            owner: "o@x".into(),
            text: "see".into(),
            ..Outer::default()
        };
        let enclosed = Message::new(enclose(&message, None, &outer));
        let kinds: Vec<_> = enclosed
            .tree()
            .parts
            .iter()
            .map(|p| p.kind().1.to_owned())
            .collect();
        assert_eq!(kinds, ["mixed", "plain", "rfc822", "html"]);
    }
}
