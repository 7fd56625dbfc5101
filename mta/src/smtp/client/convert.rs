//! 8-bit messages for a next hop that takes only 7 bits (RFC 6152, 3; RFC 2045, 6).
//!
//! Each body part that holds octets above 127 is encoded where it stands: text as quoted-printable, the
//! rest as base64. Boundaries, part order and all other octets stay as they were. Header fields are left
//! alone but for Content-Transfer-Encoding, and for what MIME needs to be there at all; octets above 127
//! in a header stay. Outside of all parts (preamble, epilogue) such an octet becomes `?`.
//!
//! Limits: at most [`MAX_PARTS`] parts, which also bounds how deep messages can be nested in messages.

use std::ops::Range;

use mail_parser::{Encoding, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType};

/// Body parts of a message that is converted.
pub const MAX_PARTS: usize = 1000;

/// Why a message stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotConverted {
    /// The channel says `eightstrict`.
    #[error(
        "the message has 8-bit data, the remote host takes only 7 bits, and eightstrict forbids to convert"
    )]
    Forbidden,
    /// More than [`MAX_PARTS`].
    #[error(
        "the message has 8-bit data, the remote host takes only 7 bits, and there are more than \
         {MAX_PARTS} parts to convert"
    )]
    TooManyParts,
    /// No header, or a multipart without its boundaries.
    #[error(
        "the message has 8-bit data, the remote host takes only 7 bits, and its MIME structure is broken"
    )]
    Broken,
}

/// Converts a message whose lines end in CRLF. Bodies of the result hold no octet above 127.
///
/// # Errors
/// [`NotConverted::TooManyParts`] and [`NotConverted::Broken`].
pub fn to_seven_bits(content: &[u8]) -> Result<Vec<u8>, NotConverted> {
    // Before parsing: every part, and every message in a message, needs such a field to come about.
    if count_content_types(content) > MAX_PARTS {
        return Err(NotConverted::TooManyParts);
    }
    let message = MessageParser::default()
        .parse(content)
        .ok_or(NotConverted::Broken)?;
    let mut regions = Vec::new();
    let mut messages: Vec<&Message<'_>> = vec![&message];
    while let Some(message) = messages.pop() {
        for part in &message.parts {
            match &part.body {
                PartType::Message(inner) if part.encoding == Encoding::None => {
                    regions.push(Region { part, body: None });
                    messages.push(inner);
                }
                PartType::Multipart(_) => regions.push(Region { part, body: None }),
                _ => {
                    let body = part.offset_body as usize..part.offset_end as usize;
                    regions.push(Region {
                        part,
                        body: Some(body),
                    });
                }
            }
        }
    }
    regions.sort_by_key(|region| (region.part.offset_header, region.part.offset_body));

    let mut out = Vec::with_capacity(content.len() + content.len() / 4);
    let mut copied = 0;
    for (index, region) in regions.iter().enumerate() {
        let start = region.part.offset_header as usize;
        let gap = content.get(copied..start).ok_or(NotConverted::Broken)?;
        copy_as_ascii(gap, &mut out);
        copied = region.write(content, index == 0, &mut out)?;
    }
    copy_as_ascii(content.get(copied..).ok_or(NotConverted::Broken)?, &mut out);
    Ok(out)
}

/// How often the field's name occurs anywhere, so that no way to write a header hides one.
fn count_content_types(content: &[u8]) -> usize {
    let is_name = |hyphen: usize| {
        let start = hyphen.checked_sub(b"content".len())?;
        content.get(start..hyphen + b"-type".len())
    };
    memchr::memchr_iter(b'-', content)
        .filter(|&hyphen| is_name(hyphen).is_some_and(|name| name.eq_ignore_ascii_case(b"content-type")))
        .count()
}

fn copy_as_ascii(text: &[u8], out: &mut Vec<u8>) {
    out.extend(text.iter().map(|&byte| if byte.is_ascii() { byte } else { b'?' }));
}

/// A part: its header, and its body unless that consists of other parts.
struct Region<'m> {
    part: &'m MessagePart<'m>,
    body: Option<Range<usize>>,
}

/// What becomes of a part's encoding.
enum Plan {
    Keep,
    /// A container: its declared encoding must no longer promise 8 bits.
    Declare,
    QuotedPrintable,
    Base64,
    /// Already encoded, but with octets above 127 in it.
    Repair,
}

impl Region<'_> {
    fn plan(&self, raw: &[u8]) -> Result<Plan, NotConverted> {
        if self.body.is_none() {
            let declared = self.part.content_transfer_encoding().unwrap_or_default();
            let wide = ["8bit", "binary"]
                .iter()
                .any(|word| declared.trim().eq_ignore_ascii_case(word));
            return Ok(if wide { Plan::Declare } else { Plan::Keep });
        }
        if raw.is_ascii() {
            return Ok(Plan::Keep);
        }
        let kind = self
            .part
            .content_type()
            .map(|kind| kind.c_type.to_ascii_lowercase());
        Ok(match (self.part.encoding, kind.as_deref()) {
            (_, Some("multipart")) => return Err(NotConverted::Broken),
            (Encoding::QuotedPrintable | Encoding::Base64, _) => Plan::Repair,
            (_, None | Some("text" | "message")) => Plan::QuotedPrintable,
            _ => Plan::Base64,
        })
    }

    /// Writes header and body; the offset behind what was taken from the content.
    fn write(&self, content: &[u8], root: bool, out: &mut Vec<u8>) -> Result<usize, NotConverted> {
        let broken = NotConverted::Broken;
        let header = self.part.offset_header as usize..self.part.offset_body as usize;
        let end = self
            .body
            .as_ref()
            .map_or(header.end, |body| body.end.max(header.end));
        let raw = content.get(header.end..end).ok_or(broken.clone())?;
        let plan = self.plan(raw)?;
        let declared = match plan {
            Plan::Keep | Plan::Repair => None,
            Plan::Declare => Some("7bit"),
            Plan::QuotedPrintable => Some("quoted-printable"),
            Plan::Base64 => Some("base64"),
        };
        match declared {
            None => out.extend_from_slice(content.get(header).ok_or(broken)?),
            Some(encoding) => self.write_header(content, header, encoding, root, out)?,
        }
        match plan {
            Plan::Keep | Plan::Declare => out.extend_from_slice(raw),
            Plan::QuotedPrintable => quoted_printable(raw, out),
            Plan::Base64 => base64_lines(raw, end == content.len(), out),
            Plan::Repair if self.part.encoding == Encoding::Base64 => {
                out.extend(raw.iter().filter(|byte| byte.is_ascii()));
            }
            Plan::Repair => quoted_printable_again(raw, out),
        }
        Ok(end)
    }

    /// The header with its encoding declared anew, and with the fields that make it MIME.
    fn write_header(
        &self,
        content: &[u8],
        header: Range<usize>,
        encoding: &str,
        root: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), NotConverted> {
        let mut fields = String::new();
        let has = |name: HeaderName<'_>| self.part.headers.iter().any(|field| field.name == name);
        if root && !has(HeaderName::MimeVersion) {
            fields.push_str("MIME-Version: 1.0\r\n");
        }
        if self.body.is_some() && !has(HeaderName::ContentType) {
            fields.push_str("Content-Type: text/plain; charset=unknown-8bit\r\n");
        }
        fields.push_str(&format!("Content-Transfer-Encoding: {encoding}\r\n"));

        let blank = match content.get(header.clone()).unwrap_or_default() {
            [.., b'\r', b'\n'] => header.end - 2,
            [.., b'\n'] => header.end - 1,
            _ => return Err(NotConverted::Broken),
        };
        let mut at = header.start;
        for field in self
            .part
            .headers
            .iter()
            .filter(|f| f.name == HeaderName::ContentTransferEncoding)
        {
            let (start, end) = (field.offset_field as usize, field.offset_end as usize);
            out.extend_from_slice(content.get(at..start).ok_or(NotConverted::Broken)?);
            at = end;
        }
        out.extend_from_slice(content.get(at..blank).ok_or(NotConverted::Broken)?);
        if !(blank == header.start || out.ends_with(b"\n")) {
            return Err(NotConverted::Broken);
        }
        out.extend_from_slice(fields.as_bytes());
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// Longest encoded line, without its line end (RFC 2045, 6.7).
const LINE: usize = 76;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn escape(byte: u8) -> [u8; 3] {
    let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or(b'0');
    [b'=', digit(byte >> 4), digit(byte & 15)]
}

/// Encodes text; CRLF and bare LF are line ends, a bare CR is data.
pub(crate) fn quoted_printable(text: &[u8], out: &mut Vec<u8>) {
    let mut lines = text.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let ended = lines.peek().is_some();
        let line = if ended {
            line.strip_suffix(b"\r").unwrap_or(line)
        } else {
            line
        };
        let mut column = 0;
        for (at, &byte) in line.iter().enumerate() {
            let last = at + 1 == line.len();
            let plain = match byte {
                b' ' | b'\t' => !last,
                // A soft break must not bring a boundary to the start of a line.
                b'-' => column > 0 || at == 0,
                b'=' => false,
                _ => byte.is_ascii_graphic(),
            };
            let escaped = escape(byte);
            let unit: &[u8] = if plain {
                std::slice::from_ref(&byte)
            } else {
                &escaped
            };
            if column + unit.len() > LINE - usize::from(!last) {
                out.extend_from_slice(b"=\r\n");
                column = 0;
                if byte == b'-' {
                    out.extend_from_slice(&escaped);
                    column = escaped.len();
                    continue;
                }
            }
            out.extend_from_slice(unit);
            column += unit.len();
        }
        if ended {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Escapes what quoted-printable text should not have held.
fn quoted_printable_again(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii() {
            out.push(byte);
        } else {
            out.extend_from_slice(&escape(byte));
        }
    }
}

fn base64_lines(data: &[u8], end_line: bool, out: &mut Vec<u8>) {
    use base64::Engine as _;
    let mut lines = data.chunks(LINE / 4 * 3).peekable();
    let mut text = String::with_capacity(LINE);
    while let Some(line) = lines.next() {
        text.clear();
        base64::engine::general_purpose::STANDARD.encode_string(line, &mut text);
        out.extend_from_slice(text.as_bytes());
        if end_line || lines.peek().is_some() {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(text: &[u8]) -> String {
        String::from_utf8(to_seven_bits(text).unwrap()).unwrap()
    }

    fn qp(text: &[u8]) -> String {
        let mut out = Vec::new();
        quoted_printable(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quoted_printable_lines() {
        let long = "x".repeat(76);
        let cases: &[(&str, Vec<u8>, String)] = &[
            (
                "escapes",
                b"a=b\xfc\tc \r\n".to_vec(),
                "a=3Db=FC\tc=20\r\n".into(),
            ),
            ("bare ends", b"a\nb\rc".to_vec(), "a\r\nb=0Dc".into()),
            ("just fits", long.clone().into_bytes(), long.clone()),
            (
                "one too long",
                format!("{long}y\r\n").into_bytes(),
                format!("{}=\r\nxy\r\n", &long[1..]),
            ),
            (
                "no boundary by accident",
                format!("{}--b\r\n", &long[1..]).into_bytes(),
                format!("{}=\r\n=2D-b\r\n", &long[1..]),
            ),
            ("hyphen at the true start", b"--b\xfc".to_vec(), "--b=FC".into()),
        ];
        for (name, text, expected) in cases {
            assert_eq!(qp(text), *expected, "{name}");
        }
    }

    #[test]
    fn single_parts() {
        let cases: &[(&str, &[u8], &str)] = &[
            (
                "declared 8bit",
                b"Subject: x\r\nContent-Transfer-Encoding:\r\n 8bit\r\nContent-Type: text/plain\r\n\
                  MIME-Version: 1.0\r\n\r\n\xfc\r\n",
                "Subject: x\r\nContent-Type: text/plain\r\nMIME-Version: 1.0\r\n\
                 Content-Transfer-Encoding: quoted-printable\r\n\r\n=FC\r\n",
            ),
            (
                "nothing declared",
                b"Subject: x\r\n\r\n\xfc\r\n",
                "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
                 Content-Transfer-Encoding: quoted-printable\r\n\r\n=FC\r\n",
            ),
            (
                "not text",
                b"MIME-Version: 1.0\r\nContent-Type: application/x\r\n\r\n\xff\xfe\x00\r\n",
                "MIME-Version: 1.0\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\
                 \r\n//4ADQo=\r\n",
            ),
            (
                "quoted-printable with a stray octet",
                b"Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain\r\n\r\na=3D\xfc\r\n",
                "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain\r\n\r\na=3D=FC\r\n",
            ),
        ];
        for (name, text, expected) in cases {
            assert_eq!(convert(text), *expected, "{name}");
        }
    }

    const NESTED: &[u8] = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\
        Content-Type: multipart/mixed; boundary=outer\r\n\r\npre\xfcamble\r\n\
        --outer\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nf\xfcr\r\nzwei\r\n\
        --outer\r\n\r\nno header \xe4\r\n\
        --outer\r\nContent-Type: text/html\r\n\r\n<p>ascii = stays</p>\r\n\
        --outer\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\xff\r\n\
        --outer\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
        Subject: inner\r\nContent-Type: multipart/alternative; boundary=\"in ner\"\r\n\r\n\
        --in ner\r\nContent-Type: text/plain\r\n\r\ninner \xf6\r\n--in ner--\r\n\
        --outer--\r\nepi\xfclogue\r\n";

    #[test]
    fn multiparts_keep_their_shape() {
        let got = convert(NESTED);
        let expected = "Subject: x\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=outer\r\nContent-Transfer-Encoding: 7bit\r\n\r\npre?amble\r\n\
        --outer\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nf=FCr\r\nzwei\r\n\
        --outer\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nno header =E4\r\n\
        --outer\r\nContent-Type: text/html\r\n\r\n<p>ascii = stays</p>\r\n\
        --outer\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\niVBOR/8=\r\n\
        --outer\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
        Subject: inner\r\nContent-Type: multipart/alternative; boundary=\"in ner\"\r\n\r\n\
        --in ner\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        inner =F6\r\n--in ner--\r\n\
        --outer--\r\nepi?logue\r\n";
        assert_eq!(got, expected);
    }

    #[test]
    fn decoded_parts_are_what_they_were() {
        let before = MessageParser::default().parse(NESTED).unwrap();
        let converted = to_seven_bits(NESTED).unwrap();
        let after = MessageParser::default().parse(&converted).unwrap();
        assert_eq!(before.parts.len(), after.parts.len());
        for (old, new) in before.parts.iter().zip(&after.parts) {
            match (&old.body, &new.body) {
                (PartType::Message(old), PartType::Message(new)) => {
                    assert_eq!(old.body_text(0), new.body_text(0));
                }
                (old, new) => assert_eq!(old, new),
            }
        }
    }

    #[test]
    fn what_cannot_be_converted() {
        let many = [
            b"Content-Type: message/rfc822\r\n\r\n".repeat(MAX_PARTS + 1),
            b"\xfc".to_vec(),
        ]
        .concat();
        let odd = [
            b"\r cONTENT-tYPE :message/rfc822\n\n".repeat(MAX_PARTS + 1),
            b"\xfc".to_vec(),
        ]
        .concat();
        let cases: &[(&str, &[u8], NotConverted)] = &[
            ("messages in messages", &many, NotConverted::TooManyParts),
            ("the same, written oddly", &odd, NotConverted::TooManyParts),
            (
                "a multipart without boundaries",
                b"Content-Type: multipart/mixed; boundary=x\r\n\r\n\xfc\r\n",
                NotConverted::Broken,
            ),
        ];
        for (name, text, expected) in cases {
            assert_eq!(to_seven_bits(text), Err(expected.clone()), "{name}");
        }
    }

    /// Whatever is cut off or out of place, there is an answer.
    #[test]
    fn damaged_messages() {
        for end in 0..NESTED.len() {
            let _ = to_seven_bits(&NESTED[..end]);
            let _ = to_seven_bits(&NESTED[end..]);
        }
        let mut state = 1u64;
        for _ in 0..2000 {
            let mut text = NESTED.to_vec();
            for _ in 0..6 {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let at = (state >> 33) as usize % text.len();
                text[at] = b"\r\n-:\xff o\""[(state >> 20) as usize % 8];
            }
            let _ = to_seven_bits(&text);
        }
    }
}
