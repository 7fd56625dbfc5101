//! Text before and behind the content of a message's first `text/plain` part: `addprefix` and `addsuffix`.
//!
//! Text that fits the part's charset and transfer encoding is put in as it is, and everything else stays octet for
//! octet. Where it does not fit, the part becomes UTF-8 in 8bit; its other fields stay.

use policy::message::Message;
use policy::message::mime::{self, Encoding, Part};

/// The message with texts around its first plain part; `None` where it has no such part.
pub(super) fn with_texts(message: &Message, prefix: &str, suffix: &str) -> Option<Vec<u8>> {
    let raw = message.raw();
    let tree = message.tree();
    let part = tree
        .parts
        .iter()
        .find(|p| p.kind() == ("text", "plain") && p.body.is_some())?;
    let body = part.body.clone()?;
    let (prefix, suffix) = (crlf(prefix), crlf(suffix));
    let mut out = raw.get(..part.whole.start)?.to_vec();
    if fits(part, raw, &[&prefix, &suffix]) {
        out.extend_from_slice(raw.get(part.whole.start..body.start)?);
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(raw.get(body.clone())?);
    } else {
        for field in &part.header.fields {
            let name = raw.get(field.name.clone())?;
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            if !is("Content-Type") && !is("Content-Transfer-Encoding") {
                out.extend_from_slice(raw.get(field.name.start..field.value.end)?);
            }
        }
        out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
        out.extend_from_slice(b"Content-Transfer-Encoding: 8bit\r\n\r\n");
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(crlf(&mime::text(raw, part)).as_bytes());
    }
    // behind the last line, not at its end
    if !suffix.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(suffix.as_bytes());
    if body.end == raw.len() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(raw.get(body.end..)?);
    Some(out)
}

/// Whether texts can stand beside the content of a part as it is written.
fn fits(part: &Part, raw: &[u8], texts: &[&str]) -> bool {
    let charset = part.content_type.as_ref().and_then(|c| c.parameter("charset"));
    let charset = charset.unwrap_or("us-ascii").to_ascii_lowercase();
    let ascii = texts.iter().all(|t| t.is_ascii());
    let eight_bit = part
        .header
        .places(raw, "Content-Transfer-Encoding")
        .first()
        .and_then(|n| part.header.fields.get(*n))
        .and_then(|f| raw.get(f.value.clone()))
        .is_some_and(|v| v.trim_ascii().eq_ignore_ascii_case(b"8bit"));
    // of the other charsets those that are ASCII with something beside it
    let like_ascii = charset == "us-ascii"
        || charset == "utf-8"
        || charset.starts_with("iso-8859-")
        || charset.starts_with("windows-125");
    part.encoding == Encoding::Identity && ((ascii && like_ascii) || (charset == "utf-8" && eight_bit))
}

fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n")
        .replace('\r', " ")
        .replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(raw: &str, prefix: &str, suffix: &str) -> Option<String> {
        let message = Message::new(raw.as_bytes());
        let out = with_texts(&message, prefix, suffix)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn texts_go_around_the_first_plain_part_and_nothing_else_changes() {
        let plain = "Subject: s\r\nX-A: b\r\n\r\nline\r\n";
        assert_eq!(
            changed(plain, "one\ntwo\n", "end").unwrap(),
            "Subject: s\r\nX-A: b\r\n\r\none\r\ntwo\r\nline\r\nend\r\n"
        );
        let multi = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n\
                     --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\
                     Content-Disposition: inline\r\n\r\nYcOk\r\n--b--\r\n";
        let out = changed(multi, "ö: ", "end").unwrap();
        assert!(
            out.contains(
                "--b\r\nContent-Disposition: inline\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Transfer-Encoding: 8bit\r\n\r\nö: aä\r\nend\r\n--b--\r\n"
            ),
            "{out}"
        );
        assert!(out.contains("\r\n\r\n<p>\r\n--b\r\n"), "{out}");
        assert_eq!(changed("Content-Type: text/html\r\n\r\n<p>", "a", "b"), None);
        assert_eq!(changed("Subject: no body\r\n", "a", "b"), None);
    }
}
