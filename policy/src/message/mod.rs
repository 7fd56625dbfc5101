//! Messages as policy sees them: bytes in, header fields on first use, the MIME tree only when asked for.
//!
//! [`Message`] owns the bytes and is shared by all scripts that look at one message. mail-parser reads
//! fields, content types, encoded words, transfer encodings and charsets; [`mime`] arranges parts in a flat
//! list, because a tree of nested values would be dropped recursively and a hostile message nests as deep as
//! it likes. Edits never touch a message: they are an [`Overlay`] on its header.
//!
//! Guarantees: no input panics or recurses; the work is linear in the bytes, times the nesting for the
//! MIME tree. Limits: [`mime::MAX_PARTS`], [`mime::MAX_DEPTH`].

pub mod address;
pub mod date;
pub mod edit;
pub mod field;
pub mod mime;
mod overlay;
pub mod places;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use mail_parser::parsers::MessageStream;
use mail_parser::{HeaderName, MessageParser};

pub use overlay::{HeaderView, Overlay, OverlayField, RawValue};

/// A byte range of a message.
pub type Slice = Range<usize>;

/// One header field, as ranges of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name without the colon.
    pub name: Slice,
    /// Everything behind the colon, line ends included.
    pub value: Slice,
}

/// The header of a message or part.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Fields from the top.
    pub fields: Vec<Field>,
    /// Where the body begins; `None` where no empty line ends the header.
    pub body: Option<usize>,
    /// Places by name in lower case; only for large headers.
    index: OnceLock<HashMap<Vec<u8>, Vec<usize>>>,
}

/// Fields from which on an index by name pays.
const LARGE_HEADER: usize = 100;

impl Header {
    /// Places of the fields of this name, from the top, in a header of `raw`.
    pub fn places(&self, raw: &[u8], name: &str) -> Vec<usize> {
        let name_of = |f: &Field| raw.get(f.name.clone()).unwrap_or_default();
        if self.fields.len() < LARGE_HEADER {
            let same = |f: &Field| name_of(f).eq_ignore_ascii_case(name.as_bytes());
            return self
                .fields
                .iter()
                .enumerate()
                .filter(|(_, f)| same(f))
                .map(|(i, _)| i)
                .collect();
        }
        let index = self.index.get_or_init(|| {
            let mut index: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
            for (i, field) in self.fields.iter().enumerate() {
                index
                    .entry(name_of(field).to_ascii_lowercase())
                    .or_default()
                    .push(i);
            }
            index
        });
        index
            .get(name.to_ascii_lowercase().as_bytes())
            .cloned()
            .unwrap_or_default()
    }
}

/// A message in internet message format.
#[derive(Debug)]
pub struct Message {
    raw: Arc<[u8]>,
    header: OnceLock<Header>,
    tree: OnceLock<mime::Tree>,
    size: OnceLock<u64>,
    body_text: OnceLock<Arc<str>>,
}

impl Message {
    /// Takes the bytes; nothing is parsed yet.
    pub fn new(raw: impl Into<Arc<[u8]>>) -> Self {
        Message {
            raw: raw.into(),
            header: OnceLock::new(),
            tree: OnceLock::new(),
            size: OnceLock::new(),
            body_text: OnceLock::new(),
        }
    }

    /// All bytes.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The bytes of a range; empty where it does not fit.
    pub fn slice(&self, range: &Slice) -> &[u8] {
        self.raw.get(range.clone()).unwrap_or_default()
    }

    /// The header of the whole message.
    pub fn header(&self) -> &Header {
        self.header
            .get_or_init(|| read_header(&self.raw, 0..self.raw.len()))
    }

    /// The MIME structure; parsed at the first call.
    pub fn tree(&self) -> &mime::Tree {
        self.tree.get_or_init(|| mime::Tree::read(&self.raw))
    }

    /// The body, undecoded; `None` where the message has none.
    pub fn body(&self) -> Option<&[u8]> {
        self.header().body.and_then(|at| self.raw.get(at..))
    }

    /// The body, undecoded, as text; `None` where the message has none.
    pub fn body_text(&self) -> Option<Arc<str>> {
        let body = self.body()?;
        Some(Arc::clone(
            self.body_text
                .get_or_init(|| String::from_utf8_lossy(body).into()),
        ))
    }

    /// Octets with every line end counted as CRLF, header included.
    pub fn size(&self) -> u64 {
        *self.size.get_or_init(|| {
            let bare = memchr::memchr_iter(b'\n', &self.raw)
                .filter(|&i| i == 0 || self.raw[i - 1] != b'\r')
                .count();
            (self.raw.len() + bare) as u64
        })
    }
}

/// Reads the fields of `range` up to its empty line.
pub(crate) fn read_header(raw: &[u8], range: Slice) -> Header {
    static FIELDS: OnceLock<MessageParser> = OnceLock::new();
    let parser = FIELDS.get_or_init(|| {
        MessageParser::new()
            .ignore_header(HeaderName::Subject)
            .default_header_ignore()
    });
    let base = range.start;
    let Some(bytes) = raw.get(range) else {
        return Header::default();
    };
    let mut stream = MessageStream::new(bytes);
    let mut found = Vec::new();
    let complete = stream.parse_headers(parser, &mut found);
    let body = complete.then(|| base + stream.offset());
    let fields = found.iter().filter_map(|h| {
        let start = h.offset_field as usize;
        let value = h.offset_start as usize;
        let line = bytes.get(start..value)?;
        let name_len = memchr::memchr(b':', line)?;
        let name = line.get(..name_len)?.trim_ascii_end();
        Some(Field {
            name: base + start..base + start + name.len(),
            value: base + value..base + h.offset_end as usize,
        })
    });
    Header {
        fields: fields.collect(),
        body,
        index: OnceLock::new(),
    }
}
