//! A line of the log as an entry again.
//!
//! [`parse_line`] takes the format and the options that were in force when the line was written: the text
//! formats do not name their fields. Formats 4 to 6 do; there only the format counts, and names that are
//! not known are passed over.
//!
//! Guarantees: a malformed line is an error that says where, never a panic; the work is linear in the
//! line's length. What [`write`](super::write) wrote in formats 3 to 6 reads back the same.
//!
//! Limits, formats 1 and 2, which quote nothing (logging specification 3.1):
//! - an address is one word, unless its local part is in `"`;
//! - the source system is one word and what stands in brackets after it;
//! - the filter ends at the first `'` before a blank;
//! - the reason (`R`, `K`) ends where a diagnostic seems to begin: a type such as `smtp;`, a reply code, or
//!   `TCP active open:`;
//! - the diagnostic goes on to the fields behind it, and as many of these are taken from the end of the
//!   line as look right: empty ones leave no trace there;
//! - the command of a `B` entry goes up to the first place from which the rest makes sense with a reply
//!   code at the head of its diagnostic.

mod cursor;
mod named;
mod text;

use thiserror::Error;

use super::options::{Format, LogOptions};
use super::record::{Code, ConnectionRecord, HeaderRecord, MessageRecord, ProcessId};

/// A line that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A message entry.
    Message(Box<MessageRecord<'a>>),
    /// A connection entry.
    Connection(Box<ConnectionRecord<'a>>),
    /// A header entry.
    Header(HeaderRecord<'a>),
}

/// Why a line is no entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Nothing, or only blanks.
    #[error("the line is empty")]
    Empty,
    /// The time is missing or malformed.
    #[error("\"{0}\" is no time of an entry; is LOG_FORMAT another than the one given?")]
    Time(String),
    /// The line ends before a field that every entry has.
    #[error("the line ends before its {0}; do the LOG_ options given match those it was written with?")]
    Ends(&'static str),
    /// A field is not what it has to be.
    #[error("\"{text}\" is no {field}; do the LOG_ options given match those it was written with?")]
    Field {
        /// What was expected.
        field: &'static str,
        /// What is there.
        text: String,
    },
    /// Format 3: no `N:` where a counted field begins, or it counts beyond the line.
    #[error("the counted field {0} is not `length:text` with that many octets; is LOG_FORMAT 3?")]
    Count(&'static str),
    /// Format 4: not one of the elements, or malformed.
    #[error("not an en, co or he element of attributes only: {0}")]
    Xml(&'static str),
    /// Formats 5 and 6: no JSON object of an entry.
    #[error("not a JSON entry: {0}")]
    Json(String),
}

/// Reads one line; an end of line is cut off.
///
/// # Errors
///
/// See [`ReadError`].
pub fn parse_line<'a>(line: &'a str, format: Format, options: &LogOptions) -> Result<Parsed<'a>, ReadError> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.trim().is_empty() {
        return Err(ReadError::Empty);
    }
    match format {
        Format::Text | Format::AngleText | Format::Counted => text::text(line, format, options),
        Format::Xml => named::xml(line),
        Format::Json | Format::FlatJson => named::json(line, format),
    }
}

fn number(field: &'static str, text: &str) -> Result<Option<u64>, ReadError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| ReadError::Field {
        field,
        text: text.to_string(),
    })
}

fn code(text: &str) -> Result<Code, ReadError> {
    Code::parse(text).ok_or_else(|| ReadError::Field {
        field: "entry code",
        text: text.to_string(),
    })
}

fn process(text: &str) -> Result<Option<ProcessId>, ReadError> {
    if text.is_empty() {
        return Ok(None);
    }
    let error = || ReadError::Field {
        field: "process id (hex.hex.decimal)",
        text: text.to_string(),
    };
    ProcessId::parse(text).map(Some).ok_or_else(error)
}
