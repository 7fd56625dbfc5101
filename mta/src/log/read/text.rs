//! Formats 1 to 3: fields by their place.

use std::borrow::Cow;

use jiff::civil::DateTime;

use super::super::field::{FIELDS, Field, Shape};
use super::super::options::{Format, LogOptions};
use super::super::record::{Code, ConnectionRecord, Direction, HeaderRecord, MessageRecord, ProcessId};
use super::super::write::MONTHS;
use super::cursor::{Cursor, is_reply_code, looks_like};
use super::{Parsed, ReadError, code, number, process};

/// Greatest number of words that the command of a `B` entry is tried with in formats 1 and 2.
const COMMAND_WORDS: usize = 64;

/// What every entry begins with.
struct Head<'a> {
    time: DateTime,
    node: Cow<'a, str>,
    process: Option<ProcessId>,
}

pub(super) fn text<'a>(line: &'a str, format: Format, options: &LogOptions) -> Result<Parsed<'a>, ReadError> {
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
