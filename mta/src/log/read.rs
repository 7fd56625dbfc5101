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

use std::borrow::Cow;

use jiff::civil::DateTime;
use thiserror::Error;

use super::field::{CHANNEL_WIDTH, FIELDS, Field, Shape};
use super::options::{Format, LogOptions};
use super::record::{Code, ConnectionRecord, Direction, HeaderRecord, MessageRecord, ProcessId};
use super::write::MONTHS;

/// Greatest number of words that the command of a `B` entry is tried with in formats 1 and 2.
const COMMAND_WORDS: usize = 64;

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
        Format::Text | Format::AngleText | Format::Counted => text(line, format, options),
        Format::Xml => xml(line),
        Format::Json | Format::FlatJson => json(line, format),
    }
}

/// What every entry begins with.
struct Head<'a> {
    time: DateTime,
    node: Cow<'a, str>,
    process: Option<ProcessId>,
}

/// The rest of a text line. `None` after the last field: what follows is empty.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: Option<&'a str>,
    format: Format,
}

impl<'a> Cursor<'a> {
    /// Takes `length` octets, and the blank behind them.
    fn take(&mut self, length: usize) -> &'a str {
        let Some(rest) = self.rest else { return "" };
        let (word, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        self.rest = after.get(1..);
        word
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        self.take(memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len()))
    }

    fn needed(&mut self, field: &'static str) -> Result<&'a str, ReadError> {
        match self.rest {
            Some(_) => Ok(self.word()),
            None => Err(ReadError::Ends(field)),
        }
    }

    /// A channel's name and the blanks that fill it up.
    fn channel(&mut self, field: &'static str) -> Result<&'a str, ReadError> {
        let name = self.needed(field)?;
        if let Some(rest) = self.rest {
            let most = CHANNEL_WIDTH.saturating_sub(name.chars().count());
            let blanks = rest.bytes().take(most).take_while(|b| *b == b' ').count();
            self.rest = rest.get(blanks..);
        }
        Ok(name)
    }

    /// Format 3: `length:text`.
    fn counted(&mut self, field: &'static str) -> Result<&'a str, ReadError> {
        let Some(rest) = self.rest else { return Ok("") };
        let error = ReadError::Count(field);
        let (digits, text) = rest.split_once(':').ok_or(error.clone())?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error);
        }
        let length: usize = digits.parse().map_err(|_| error.clone())?;
        let (value, after) = text.split_at_checked(length).ok_or(error.clone())?;
        match after.as_bytes().first() {
            None => self.rest = None,
            Some(b' ') => self.rest = after.get(1..),
            Some(_) => return Err(error),
        }
        Ok(value)
    }

    /// A word, or a quoted local part and the word it belongs to.
    fn address(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        let typed = rest
            .find([' ', ';', '"', '@'])
            .filter(|at| rest.get(*at..).is_some_and(|s| s.starts_with(';')));
        let start = typed.map_or(0, |at| at + 1);
        let mut end = 0;
        if rest.get(start..).is_some_and(|text| text.starts_with('"')) {
            let mut escaped = false;
            for (at, byte) in rest.bytes().enumerate().skip(start + 1) {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => {
                        end = at + 1;
                        break;
                    }
                    _ => {}
                }
            }
        }
        let tail = rest.get(end..).unwrap_or("");
        let address = self.take(end + tail.find(' ').unwrap_or(tail.len()));
        if self.format == Format::AngleText && address == "<>" {
            ""
        } else {
            address
        }
    }

    /// A word, and what stands in brackets after it.
    fn system(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        let word = rest.find(' ').unwrap_or(rest.len());
        let close = match rest.get(word..) {
            Some(after) if word > 0 && after.starts_with(" (") => after.find(')'),
            _ => None,
        };
        let end = match close {
            Some(at)
                if rest
                    .get(word + at + 1..)
                    .is_some_and(|s| s.is_empty() || s.starts_with(' ')) =>
            {
                word + at + 1
            }
            _ => word,
        };
        self.take(end)
    }

    /// Text between `'` and a `'` that ends the field.
    fn quoted(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        let Some(inner) = rest.strip_prefix('\'') else {
            return self.word();
        };
        let end = inner
            .find("' ")
            .or_else(|| inner.ends_with('\'').then(|| inner.len() - 1));
        match end {
            Some(end) => {
                self.take(end + 2);
                inner.get(..end).unwrap_or("")
            }
            None => self.word(),
        }
    }

    /// Text up to where a diagnostic seems to begin.
    fn reason(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        if rest.is_empty() || rest.starts_with(' ') {
            return self.take(0);
        }
        if begins_diagnostic(rest) {
            return "";
        }
        let diagnostic = rest
            .match_indices(' ')
            .find(|(at, _)| rest.get(at + 1..).is_some_and(begins_diagnostic))
            .map_or(rest.len(), |(at, _)| at);
        self.take(diagnostic)
    }
}

fn is_reply_code(word: &str) -> bool {
    word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit())
}

fn begins_diagnostic(text: &str) -> bool {
    ["dns;", "smtp;", "lmtp;", "x-local;", "TCP active open:"]
        .iter()
        .any(|start| text.starts_with(start))
        || is_reply_code(text.split(' ').next().unwrap_or(""))
}

/// Does a word at the end of a line look like this field? Empty always does.
fn looks_like(field: &Field, word: &str, code: Code) -> bool {
    if word.is_empty() {
        return true;
    }
    match field.attribute {
        "qt" => code.is_dequeue() && word.bytes().all(|b| b.is_ascii_digit()),
        "tr" => word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.matches('|').count() == 4,
        "ap" => {
            let protocol = word.split('/').next().unwrap_or("");
            protocol.ends_with("MTP")
                || (word.contains('/') && protocol.bytes().all(|b| b.is_ascii_uppercase()))
        }
        "rm" => !word.contains(['(', ')', '<', '>', ';', '|', ':']) && !word.ends_with('.'),
        "au" => word.contains('@'),
        "tm" => word.contains('='),
        _ => true,
    }
}

fn text<'a>(line: &'a str, format: Format, options: &LogOptions) -> Result<Parsed<'a>, ReadError> {
    let mut cursor = Cursor {
        rest: Some(line),
        format,
    };
    let (day, clock) = (cursor.word(), cursor.word());
    let time = text_time(day, clock).ok_or_else(|| ReadError::Time(format!("{day} {clock}")))?;
    let node = if options.node {
        cursor.needed("node")?.into()
    } else {
        Cow::Borrowed("")
    };
    let process = match options.process {
        true => process(cursor.needed("process id")?)?,
        false => None,
    };
    let head = Head { time, node, process };

    let rest = cursor.rest.ok_or(ReadError::Ends("channel"))?;
    let is_header = rest
        .find([' ', ':'])
        .is_some_and(|at| at > 0 && rest.as_bytes().get(at) == Some(&b':'));
    if is_header {
        let Head { time, node, process } = head;
        return Ok(Parsed::Header(HeaderRecord {
            time,
            node,
            process,
            line: rest.into(),
        }));
    }
    let source = cursor.channel("channel")?;
    let destination = cursor.channel("destination channel")?;
    let code = code(cursor.needed("code")?)?;
    match Direction::parse(destination) {
        Some(direction) => text_connection(cursor, head, source, direction, code, options),
        None => text_message(cursor, head, source, destination, code, options),
    }
}

fn text_connection<'a>(
    mut cursor: Cursor<'a>,
    head: Head<'a>,
    channel: &'a str,
    direction: Direction,
    code: Code,
    options: &LogOptions,
) -> Result<Parsed<'a>, ReadError> {
    let mut record = ConnectionRecord {
        time: head.time,
        node: head.node,
        process: head.process,
        channel: channel.into(),
        direction,
        code,
        ..ConnectionRecord::default()
    };
    let timed = code.action() == 'C' && options.queue_time.log();
    if cursor.format == Format::Counted {
        record.transport = cursor.counted("transport")?.into();
        record.application = cursor.counted("application")?.into();
        record.tag = cursor.counted("tag")?.into();
        record.username = cursor.counted("user name")?.into();
        record.diagnostic = cursor.counted("diagnostic")?.into();
        if timed {
            record.open_seconds = number("connection time", cursor.word())?;
        }
        return Ok(Parsed::Connection(Box::new(record)));
    }
    record.transport = cursor.word().into();
    record.application = cursor.word().into();
    let mut rest = cursor.rest.unwrap_or("");
    if timed {
        let (before, last) = rest.rsplit_once(' ').unwrap_or(("", rest));
        if let Ok(seconds) = last.parse() {
            record.open_seconds = Some(seconds);
            rest = before;
        }
    }
    match word_start(rest, is_reply_code) {
        Some(at) => {
            record.diagnostic = rest.get(at..).unwrap_or("").into();
            let before = rest.get(..at).unwrap_or("").trim_end_matches(' ');
            let (tag, username) = before.rsplit_once(' ').unwrap_or(("", before));
            record.tag = tag.into();
            record.username = username.into();
        }
        None => record.diagnostic = rest.into(),
    }
    Ok(Parsed::Connection(Box::new(record)))
}

/// Offset of the first word that is like this.
fn word_start(text: &str, like: impl Fn(&str) -> bool) -> Option<usize> {
    let mut at = 0;
    for word in text.split(' ') {
        if like(word) {
            return Some(at);
        }
        at += word.len() + 1;
    }
    None
}

fn text_message<'a>(
    mut cursor: Cursor<'a>,
    head: Head<'a>,
    source: &'a str,
    destination: &'a str,
    code: Code,
    options: &LogOptions,
) -> Result<Parsed<'a>, ReadError> {
    let size = cursor.needed("size")?;
    let record = MessageRecord {
        time: head.time,
        node: head.node,
        process: head.process,
        source_channel: source.into(),
        destination_channel: destination.into(),
        code,
        size: number("size", size)?.ok_or(ReadError::Ends("size"))?,
        ..MessageRecord::default()
    };
    if cursor.format == Format::Counted {
        let mut record = record;
        for field in FIELDS.iter().filter(|field| (field.option)(options).log()) {
            let value = match field.shape {
                Shape::Bare | Shape::BareTail => cursor.word(),
                _ => cursor.counted(field.attribute)?,
            };
            set(&mut record, field, value)?;
        }
        return Ok(Parsed::Message(Box::new(record)));
    }
    if code.action() == 'B' && options.diagnostics.log() {
        for words in 1..COMMAND_WORDS {
            let Ok(record) = uncounted(cursor, record.clone(), options, words) else {
                continue;
            };
            if is_reply_code(record.diagnostic.split(' ').next().unwrap_or("")) {
                return Ok(Parsed::Message(Box::new(record)));
            }
        }
    }
    uncounted(cursor, record, options, 0).map(|record| Parsed::Message(Box::new(record)))
}

/// The fields of formats 1 and 2 after the size. `command_words` other than 0: the recipient is a command
/// of so many words.
fn uncounted<'a>(
    mut cursor: Cursor<'a>,
    mut record: MessageRecord<'a>,
    options: &LogOptions,
    command_words: usize,
) -> Result<MessageRecord<'a>, ReadError> {
    let mut fields = FIELDS.iter().filter(|field| (field.option)(options).log());
    while let Some(field) = fields.next() {
        let value = match field.shape {
            Shape::Address if field.attribute == "de" && command_words > 0 => {
                let rest = cursor.rest.unwrap_or("");
                let end = rest
                    .match_indices(' ')
                    .nth(command_words - 1)
                    .map_or(rest.len(), |(at, _)| at);
                cursor.take(end)
            }
            Shape::Address => cursor.address(),
            Shape::System => cursor.system(),
            Shape::Quoted => cursor.quoted(),
            Shape::Reason if matches!(record.code.action(), 'R' | 'K') => cursor.reason(),
            Shape::Reason | Shape::Word | Shape::Bare | Shape::Tail | Shape::BareTail => cursor.word(),
            Shape::Diagnostic => {
                diagnostic_and_tail(&mut record, cursor.rest.take().unwrap_or(""), field, fields)?;
                break;
            }
        };
        set(&mut record, field, value)?;
    }
    if cursor.rest.is_some_and(|rest| !rest.trim().is_empty()) {
        let text = cursor.rest.unwrap_or("").to_string();
        return Err(ReadError::Field {
            field: "end of the entry",
            text,
        });
    }
    Ok(record)
}

/// The diagnostic, and from the end of the line as many of the fields behind it as look right.
fn diagnostic_and_tail<'a>(
    record: &mut MessageRecord<'a>,
    rest: &'a str,
    diagnostic: &Field,
    tail: impl Iterator<Item = &'static Field>,
) -> Result<(), ReadError> {
    let tail: Vec<&Field> = tail.collect();
    for present in (0..=tail.len()).rev() {
        let Some(fields) = tail.get(..present) else {
            continue;
        };
        let mut parts = rest.rsplitn(present + 1, ' ');
        let words: Vec<&str> = parts.by_ref().take(present).collect();
        let Some(before) = parts.next() else { continue };
        let fits = || {
            fields
                .iter()
                .rev()
                .zip(&words)
                .all(|(field, word)| looks_like(field, word, record.code))
        };
        if words.len() != present || !fits() {
            continue;
        }
        for (field, word) in fields.iter().rev().zip(&words) {
            set(record, field, word)?;
        }
        return set(record, diagnostic, before);
    }
    set(record, diagnostic, rest)
}

fn set<'a>(record: &mut MessageRecord<'a>, field: &Field, value: &'a str) -> Result<(), ReadError> {
    match (field.set)(record, value.into()) {
        true => Ok(()),
        false => Err(ReadError::Field {
            field: field.attribute,
            text: value.to_string(),
        }),
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

/// `dd-Mmm-yyyy` and `hh:mm:ss.cc`.
fn text_time(day: &str, clock: &str) -> Option<DateTime> {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = day.split('-');
    let (d, month, y) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || d.len() != 2 || y.len() != 4 || !digits(d) || !digits(y) {
        return None;
    }
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? as i8 + 1;
    let mut parts = clock.split([':', '.']);
    let mut next = || {
        parts
            .next()
            .filter(|s| s.len() == 2 && digits(s))?
            .parse::<i8>()
            .ok()
    };
    let (hour, minute, second, hundredths) = (next()?, next()?, next()?, next()?);
    if clock.len() != 11 || clock.as_bytes().get(8) != Some(&b'.') {
        return None;
    }
    let nanos = i32::from(hundredths) * 10_000_000;
    DateTime::new(
        y.parse().ok()?,
        month,
        d.parse().ok()?,
        hour,
        minute,
        second,
        nanos,
    )
    .ok()
}

/// An entry that is filled by attribute name.
struct Named<'a> {
    parsed: Parsed<'a>,
    timed: bool,
}

impl<'a> Named<'a> {
    fn new(element: &str) -> Option<Named<'a>> {
        let parsed = match element {
            "en" => Parsed::Message(Box::default()),
            "co" => Parsed::Connection(Box::default()),
            "he" => Parsed::Header(HeaderRecord::default()),
            _ => return None,
        };
        Some(Named { parsed, timed: false })
    }

    fn set(&mut self, name: &str, value: Cow<'a, str>) -> Result<(), ReadError> {
        if name == "ts" {
            let time = value.parse().map_err(|_| ReadError::Time(value.to_string()))?;
            match &mut self.parsed {
                Parsed::Message(record) => record.time = time,
                Parsed::Connection(record) => record.time = time,
                Parsed::Header(record) => record.time = time,
            }
            self.timed = true;
            return Ok(());
        }
        match &mut self.parsed {
            Parsed::Message(record) => match name {
                "no" => record.node = value,
                "pi" => record.process = process(&value)?,
                "sc" => record.source_channel = value,
                "dc" => record.destination_channel = value,
                "ac" => record.code = code(&value)?,
                "sz" => record.size = number("size", &value)?.unwrap_or(0),
                _ => {
                    let Some(field) = FIELDS.iter().find(|field| field.attribute == name) else {
                        return Ok(());
                    };
                    let text = value.clone();
                    if !(field.set)(record, value) {
                        return Err(ReadError::Field {
                            field: field.attribute,
                            text: text.into_owned(),
                        });
                    }
                }
            },
            Parsed::Connection(record) => match name {
                "no" => record.node = value,
                "pi" => record.process = process(&value)?,
                "sc" => record.channel = value,
                "dr" => {
                    record.direction = Direction::parse(&value).ok_or(ReadError::Field {
                        field: "direction",
                        text: value.into_owned(),
                    })?;
                }
                "ac" => record.code = code(&value)?,
                "tr" => record.transport = value,
                "ap" => record.application = value,
                "mi" => record.tag = value,
                "us" => record.username = value,
                "di" => record.diagnostic = value,
                "ct" => record.open_seconds = number("connection time", &value)?,
                _ => {}
            },
            Parsed::Header(record) => match name {
                "no" => record.node = value,
                "pi" => record.process = process(&value)?,
                "va" => record.line = value,
                _ => {}
            },
        }
        Ok(())
    }

    fn end(self) -> Result<Parsed<'a>, ReadError> {
        if !self.timed {
            return Err(ReadError::Ends("time"));
        }
        let code = match &self.parsed {
            Parsed::Message(record) => Some(record.code),
            Parsed::Connection(record) => Some(record.code),
            Parsed::Header(_) => None,
        };
        match code {
            Some(code) if code.as_str().is_empty() => Err(ReadError::Ends("code")),
            _ => Ok(self.parsed),
        }
    }
}

fn xml(line: &str) -> Result<Parsed<'_>, ReadError> {
    let inner = line
        .trim()
        .strip_prefix('<')
        .ok_or(ReadError::Xml("no `<` at the start"))?;
    let mut rest = inner
        .strip_suffix("/>")
        .ok_or(ReadError::Xml("no `/>` at the end"))?;
    let (element, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let mut named = Named::new(element).ok_or(ReadError::Xml("another element"))?;
    rest = after.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .ok_or(ReadError::Xml("an attribute without value"))?;
        let after = after.trim_start();
        let quote = match after.as_bytes().first() {
            Some(b'"') => '"',
            Some(b'\'') => '\'',
            _ => return Err(ReadError::Xml("a value without quotes")),
        };
        let (value, after) = after
            .get(1..)
            .and_then(|value| value.split_once(quote))
            .ok_or(ReadError::Xml("a value that does not end"))?;
        named.set(name.trim_end(), unescape(value)?)?;
        rest = after.trim_start();
        if !rest.is_empty() && rest.len() == after.len() {
            return Err(ReadError::Xml("no blank between attributes"));
        }
    }
    named.end()
}

fn unescape(value: &str) -> Result<Cow<'_, str>, ReadError> {
    if value.contains('<') {
        return Err(ReadError::Xml("`<` in a value"));
    }
    if !value.contains('&') {
        return Ok(value.into());
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, after) = after
            .split_once(';')
            .ok_or(ReadError::Xml("an entity that does not end"))?;
        let number = match name.strip_prefix('#') {
            Some(digits) => match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => digits.parse().ok(),
            },
            None => None,
        };
        out.push(match (name, number) {
            ("amp", _) => '&',
            ("lt", _) => '<',
            ("gt", _) => '>',
            ("quot", _) => '"',
            ("apos", _) => '\'',
            (_, Some(number)) => char::from_u32(number).ok_or(ReadError::Xml("a number of no character"))?,
            _ => return Err(ReadError::Xml("an unknown entity")),
        });
        rest = after;
    }
    out.push_str(rest);
    Ok(out.into())
}

fn json(line: &str, format: Format) -> Result<Parsed<'_>, ReadError> {
    use serde_json::Value;
    let error = |text: &str| ReadError::Json(text.to_string());
    let value: Value = serde_json::from_str(line).map_err(|e| ReadError::Json(e.to_string()))?;
    let Value::Object(mut object) = value else {
        return Err(error("no object"));
    };
    let element = if format == Format::FlatJson {
        match object.remove("type") {
            Some(Value::String(element)) => element,
            _ => return Err(error("no \"type\"")),
        }
    } else {
        let (element, inner) = object.into_iter().next().ok_or(error("an empty object"))?;
        let Value::Object(inner) = inner else {
            return Err(error("no object within the object"));
        };
        object = inner;
        element
    };
    let mut named = Named::new(&element).ok_or(error("neither en, co nor he"))?;
    for (name, value) in object {
        match value {
            Value::String(text) => named.set(&name, text.into())?,
            Value::Number(number) => named.set(&name, number.to_string().into())?,
            _ => {}
        }
    }
    named.end()
}
