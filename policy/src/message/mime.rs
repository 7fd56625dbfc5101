//! The MIME structure of a message, as a flat list of parts in the order of the message.
//!
//! A part's descendants follow it directly, up to [`Part::end`]: walking the list is walking the tree
//! depth first. A message with more than [`MAX_PARTS`] parts or more than [`MAX_DEPTH`] nested ones is cut
//! off there and says so in [`Tree::truncated`].

use std::sync::{Arc, OnceLock};

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;

use super::field::Media;
use super::{Header, Slice, read_header};

/// Parts of one message at most.
pub const MAX_PARTS: usize = 1000;

/// Nested parts at most.
pub const MAX_DEPTH: usize = 50;

/// How the body is encoded for transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// Base64.
    Base64,
    /// Quoted-printable.
    QuotedPrintable,
}

/// What a part holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Data.
    Leaf,
    /// Other parts, with text before the first and behind the last.
    Multipart {
        /// Before the first boundary line.
        prologue: Slice,
        /// Behind the last.
        epilogue: Slice,
    },
    /// A message; its own part comes next.
    Message,
}

/// One part.
#[derive(Debug, Clone)]
pub struct Part {
    /// Nesting, from 0 for the message itself.
    pub depth: usize,
    /// Index behind its last descendant.
    pub end: usize,
    /// Header fields.
    pub header: Header,
    /// Header and body.
    pub whole: Slice,
    /// The body; `None` where no empty line ends the header.
    pub body: Option<Slice>,
    /// The parsed `Content-Type`, if it has one.
    pub content_type: Option<Media>,
    /// What it holds.
    pub content: Content,
    /// Its transfer encoding.
    pub encoding: Encoding,
    /// Whether it lies directly in a `multipart/digest`.
    in_digest: bool,
    /// Its text, decoded at the first use: many tests of many scripts look at the same body.
    text: OnceLock<Arc<str>>,
    /// Its text without markup.
    readable: OnceLock<Arc<str>>,
}

impl Part {
    /// Type and subtype in lower case, with the default where it has none.
    pub fn kind(&self) -> (&str, &str) {
        match &self.content_type {
            Some(c) => (&c.kind, &c.subtype),
            None if self.in_digest => ("message", "rfc822"),
            None => ("text", "plain"),
        }
    }
}

/// All parts of a message; the first is the message itself.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The parts.
    pub parts: Vec<Part>,
    /// Whether parts are missing because of the limits.
    pub truncated: bool,
}

struct Pending {
    whole: Slice,
    depth: usize,
    in_digest: bool,
}

impl Tree {
    /// Reads the structure of a message.
    pub(super) fn read(raw: &[u8]) -> Tree {
        let mut tree = Tree::default();
        let mut pending = vec![Pending {
            whole: 0..raw.len(),
            depth: 0,
            in_digest: false,
        }];
        while let Some(next) = pending.pop() {
            if tree.parts.len() >= MAX_PARTS {
                tree.truncated = true;
                break;
            }
            let part = read_part(raw, &next);
            let depth = next.depth + 1;
            let body = part.body.clone().unwrap_or(0..0);
            let boundary = part
                .content_type
                .as_ref()
                .and_then(|c| c.parameter("boundary"))
                .map(str::to_owned);
            let (kind, subtype) = part.kind();
            let multipart = kind == "multipart";
            let message = kind == "message" && (subtype == "rfc822" || subtype == "global");
            let in_digest = subtype == "digest";
            let nested = depth <= MAX_DEPTH;
            let index = tree.parts.len();
            tree.parts.push(part);
            if multipart && let Some(boundary) = boundary {
                let split = split(raw, &body, boundary.as_bytes());
                tree.parts[index].content = Content::Multipart {
                    prologue: split.prologue,
                    epilogue: split.epilogue,
                };
                if !nested {
                    tree.truncated |= !split.parts.is_empty();
                    continue;
                }
                let children = split.parts.into_iter().rev();
                // More than fit are not even queued.
                tree.truncated |= children.len() > MAX_PARTS;
                let skip = children.len().saturating_sub(MAX_PARTS);
                pending.extend(children.skip(skip).map(|whole| Pending {
                    whole,
                    depth,
                    in_digest,
                }));
            } else if message
                && tree.parts[index].encoding == Encoding::Identity
                && tree.parts[index].body.is_some()
            {
                tree.parts[index].content = Content::Message;
                if nested {
                    pending.push(Pending {
                        whole: body,
                        depth,
                        in_digest: false,
                    });
                } else {
                    tree.truncated = true;
                }
            }
        }
        tree.set_ends();
        tree
    }

    fn set_ends(&mut self) {
        let mut open: Vec<usize> = Vec::new();
        for i in 0..self.parts.len() {
            while let Some(&last) = open.last()
                && self.parts[last].depth >= self.parts[i].depth
            {
                self.parts[last].end = i;
                open.pop();
            }
            open.push(i);
        }
        let end = self.parts.len();
        for i in open {
            self.parts[i].end = end;
        }
    }
}

fn read_part(raw: &[u8], pending: &Pending) -> Part {
    let whole = pending.whole.clone();
    let header = read_header(raw, whole.clone());
    let value = |name: &str| {
        let found = header
            .fields
            .iter()
            .find(|f| raw[f.name.clone()].eq_ignore_ascii_case(name.as_bytes()));
        found.map(|f| &raw[f.value.clone()])
    };
    let encoding = match value("content-transfer-encoding").map(|v| v.trim_ascii().to_ascii_lowercase()) {
        Some(v) if v == b"base64" => Encoding::Base64,
        Some(v) if v == b"quoted-printable" => Encoding::QuotedPrintable,
        _ => Encoding::Identity,
    };
    let content_type = value("content-type").and_then(Media::read);
    Part {
        depth: pending.depth,
        end: 0,
        body: header.body.map(|at| at..whole.end),
        header,
        whole,
        content_type,
        content: Content::Leaf,
        encoding,
        in_digest: pending.in_digest,
        text: OnceLock::new(),
        readable: OnceLock::new(),
    }
}

struct Split {
    prologue: Slice,
    parts: Vec<Slice>,
    epilogue: Slice,
}

/// Cuts a multipart body at its boundary lines. The line end before a boundary line belongs to it.
fn split(raw: &[u8], body: &Slice, boundary: &[u8]) -> Split {
    let mut parts = Vec::new();
    let mut prologue = None;
    let mut start = body.start;
    let mut at = body.start;
    while at < body.end {
        let eol = memchr::memchr(b'\n', &raw[at..body.end]).map_or(body.end, |i| at + i + 1);
        if let Some(rest) = raw[at..eol]
            .strip_prefix(b"--")
            .and_then(|l| l.strip_prefix(boundary))
        {
            let rest = rest.trim_ascii_end();
            let last = rest == b"--";
            if last || rest.is_empty() {
                let mut end = at;
                for line_end in [b'\n', b'\r'] {
                    if end > start && raw[end - 1] == line_end {
                        end -= 1;
                    }
                }
                match prologue {
                    None => prologue = Some(start..end),
                    Some(_) => parts.push(start..end),
                }
                start = eol;
                if last {
                    let prologue = prologue.unwrap_or(body.start..body.start);
                    return Split {
                        prologue,
                        parts,
                        epilogue: eol..body.end,
                    };
                }
            }
        }
        at = eol;
    }
    match prologue {
        None => Split {
            prologue: body.clone(),
            parts,
            epilogue: body.end..body.end,
        },
        Some(prologue) => {
            parts.push(start..body.end);
            Split {
                prologue,
                parts,
                epilogue: body.end..body.end,
            }
        }
    }
}

/// The data of a part with its transfer encoding undone; the raw data where that fails.
pub fn data(raw: &[u8], part: &Part) -> Vec<u8> {
    let body = part.body.clone().and_then(|b| raw.get(b)).unwrap_or_default();
    let decoded = match part.encoding {
        Encoding::Identity => None,
        Encoding::Base64 => base64_decode(body),
        Encoding::QuotedPrintable => quoted_printable_decode(body),
    };
    decoded.unwrap_or_else(|| body.to_vec())
}

/// The data of a part as UTF-8, by its charset; binary data is read as UTF-8 as far as it goes.
pub fn text(raw: &[u8], part: &Part) -> Arc<str> {
    Arc::clone(part.text.get_or_init(|| {
        let data = data(raw, part);
        let charset = part.content_type.as_ref().and_then(|c| c.parameter("charset"));
        let decoder = charset
            .filter(|_| part.kind().0 == "text")
            .and_then(|c| charset_decoder(c.as_bytes()));
        match decoder {
            Some(decode) => decode(&data).into(),
            None => String::from_utf8_lossy(&data).into(),
        }
    }))
}

/// The text of a part as a reader sees it: the markup of `text/html` removed.
pub fn readable(raw: &[u8], part: &Part) -> Arc<str> {
    if part.kind().1 != "html" {
        return text(raw, part);
    }
    Arc::clone(
        part.readable
            .get_or_init(|| html_to_text(&text(raw, part)).into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(raw: &str) -> Vec<String> {
        let tree = Tree::read(raw.as_bytes());
        tree.parts
            .iter()
            .map(|p| format!("{}{}/{} ..{}", " ".repeat(p.depth), p.kind().0, p.kind().1, p.end))
            .collect()
    }

    #[test]
    fn lists_parts_in_order() {
        let raw = "Content-Type: multipart/mixed; boundary=o\r\n\r\npre\r\n--o\r\nContent-Type: multipart/alternative; boundary=\"i\"\r\n\r\n\
                   --i\r\n\r\nplain\r\n--i\r\nContent-Type: text/html\r\n\r\n<b>x</b>\r\n--i--\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n\
                   Subject: n\r\n\r\nbody\r\n--o--\r\nepi\r\n";
        let want = [
            "multipart/mixed ..6",
            " multipart/alternative ..4",
            "  text/plain ..3",
            "  text/html ..4",
            " message/rfc822 ..6",
            "  text/plain ..6",
        ];
        assert_eq!(shape(raw), want);
        let tree = Tree::read(raw.as_bytes());
        assert_eq!(&*text(raw.as_bytes(), &tree.parts[2]), "plain");
        assert_eq!(&*text(raw.as_bytes(), &tree.parts[5]), "body");
        let Content::Multipart { prologue, epilogue } = &tree.parts[0].content else {
            panic!()
        };
        assert_eq!(
            (&raw[prologue.clone()], &raw[epilogue.clone()]),
            ("pre", "epi\r\n")
        );
    }

    #[test]
    fn nested_without_end_is_cut_off() {
        let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
        let tree = Tree::read(deep.as_bytes());
        assert!(tree.truncated && tree.parts.len() <= MAX_DEPTH + 1);
        let mut wide = String::from("Content-Type: multipart/mixed; boundary=b\r\n\r\n");
        wide.push_str(&"--b\r\n\r\nx\r\n".repeat(20_000));
        let tree = Tree::read(wide.as_bytes());
        assert!(tree.truncated && tree.parts.len() == MAX_PARTS);
    }
}
