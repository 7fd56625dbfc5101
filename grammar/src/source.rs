//! Source texts and places in them.
//!
//! Includes, continued lines and macros make one logical line of several physical pieces. Every tree
//! node keeps a [`Span`] of the *physical* file, so an error always points at what was typed.

use std::sync::Arc;

/// Index of a file in [`Sources`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
pub struct FileId(pub u32);

/// A byte range of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span of `file` from `start` up to `end`.
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        Span {
            file,
            start: start as u32,
            end: end as u32,
        }
    }

    /// The smallest span that covers both, where they lie in one file; else `self`.
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// What a text refers to: included files, and the site's own names.
pub trait Reader {
    /// The text of `name`, or a sentence that says why it cannot be read.
    fn read(&self, name: &str) -> Result<String, String>;

    /// What the macro `&/NAME/` stands for; `None`: it is not known.
    fn value(&self, _name: &str) -> Option<String> {
        None
    }
}

impl<F: Fn(&str) -> Result<String, String>> Reader for F {
    fn read(&self, name: &str) -> Result<String, String> {
        self(name)
    }
}

/// One text that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The name shown in messages, as the user would type it.
    pub name: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
    line_starts: Arc<[u32]>,
}

impl SourceFile {
    /// The whole lines that a byte range touches, without the last line end, and the number of the first.
    pub(crate) fn lines(&self, range: std::ops::Range<usize>) -> (usize, std::ops::Range<usize>) {
        let first = self
            .line_starts
            .partition_point(|&s| s as usize <= range.start)
            .max(1);
        let after = self
            .line_starts
            .partition_point(|&s| (s as usize) < range.end)
            .max(first);
        let start = self.line_starts.get(first - 1).map_or(0, |&s| s as usize);
        let end = self
            .line_starts
            .get(after)
            .map_or(self.text.len(), |&s| s as usize - 1);
        (first, start..end)
    }
}

/// All texts of one configuration, in the order they were read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// No texts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text and returns its index.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        let text: Arc<str> = text.into();
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(i, _)| i as u32 + 1))
            .collect();
        self.files.push(SourceFile {
            name: name.into(),
            text,
            line_starts,
        });
        FileId(self.files.len() as u32 - 1)
    }

    /// The file of an index that [`Sources::add`] returned.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// All files, in order.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The text of a span; empty where the span does not fit.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file)
            .and_then(|f| f.text.get(span.start as usize..span.end as usize))
            .unwrap_or("")
    }

    /// File name, line and column (both from 1, columns in characters) of the start of a span.
    pub fn place(&self, span: Span) -> Place<'_> {
        let Some(file) = self.file(span.file) else {
            return Place {
                file: "",
                line: 0,
                column: 0,
            };
        };
        let line = file.line_starts.partition_point(|&s| s <= span.start);
        let line_start = file.line_starts[line - 1] as usize;
        let column = file
            .text
            .get(line_start..span.start as usize)
            .map_or(0, |t| t.chars().count())
            + 1;
        Place {
            file: &file.name,
            line,
            column,
        }
    }
}

/// Where something stands, for messages: prints as `file:line:column`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// File name.
    pub file: &'a str,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}
