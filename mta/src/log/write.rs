//! An entry as one line.
//!
//! Each function appends the line, without an end of line, to a buffer that the caller can use again.
//!
//! Guarantees: the line holds no CR, LF or NUL (they become blanks), so no data can begin an entry of its
//! own. Formats 4 to 6 also make blanks of all other control characters. In formats 1 and 2 the fields that
//! are one word by nature (file name, identifiers, user name, transport ...) show a blank as `_`, so that
//! they cannot pretend to be the fields after them; addresses, source system, filter, reason and
//! diagnostic keep theirs.
//!
//! Empty fields at the end of a text line leave no blanks behind.
//!
//! Source: logging specification 3 and 4.

use std::fmt::Write;

use jiff::civil::DateTime;

use super::field::{CHANNEL_WIDTH, FIELDS, Presence, Shape, Value, lacks_domain};
use super::options::{Format, LogOptions};
use super::record::{ConnectionRecord, HeaderRecord, MessageRecord, ProcessId};

pub(super) const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Appends a message entry in the format of the options.
pub fn message(out: &mut String, record: &MessageRecord<'_>, options: &LogOptions) {
    match options.format {
        Format::Text | Format::AngleText | Format::Counted => message_text(out, record, options),
        Format::Xml | Format::Json | Format::FlatJson => message_named(out, record, options),
    }
}

/// Appends a connection entry in the format of the options.
///
/// Whether an entry with this code is wanted at all is for the caller to ask
/// [`ConnectionBits::wants`](super::options::ConnectionBits::wants).
pub fn connection(out: &mut String, record: &ConnectionRecord<'_>, options: &LogOptions) {
    let open_seconds = record
        .open_seconds
        .filter(|_| record.code.action() == 'C' && options.queue_time.log());
    if options.format.names_fields() {
        let mut line = NamedLine::begin(out, options.format, "co");
        line.start(record.time, &record.node, record.process, options);
        line.text("sc", &record.channel);
        line.text("dr", record.direction.as_str());
        line.text("ac", record.code.as_str());
        for (name, value) in [
            ("tr", &record.transport),
            ("ap", &record.application),
            ("mi", &record.tag),
            ("us", &record.username),
            ("di", &record.diagnostic),
        ] {
            if !value.is_empty() {
                line.text(name, value);
            }
        }
        if let Some(seconds) = open_seconds {
            line.number("ct", seconds);
        }
        line.end();
        return;
    }
    let mut line = TextLine::begin(out, options.format, record.time);
    line.start(&record.node, record.process, options);
    line.channel(&record.channel);
    line.channel(record.direction.as_str());
    line.bare(record.code.as_str());
    line.word(&record.transport);
    line.word(&record.application);
    if options.format == Format::Counted || !record.tag.is_empty() {
        line.free(&record.tag);
    }
    if options.format == Format::Counted || !record.username.is_empty() {
        line.word(&record.username);
    }
    if options.format == Format::Counted || !record.diagnostic.is_empty() {
        line.free(&record.diagnostic);
    }
    if let Some(seconds) = open_seconds {
        line.number(Some(seconds));
    }
}

/// Appends a header entry in the format of the options; the line is cut as `LOG_HEADERS_MAXCHARS` says.
pub fn header(out: &mut String, record: &HeaderRecord<'_>, options: &LogOptions) {
    let text = record.line.as_ref();
    let end = match options.headers_max_chars {
        Some(most) => text.char_indices().nth(most).map_or(text.len(), |(at, _)| at),
        None => text.len(),
    };
    let text = text.get(..end).unwrap_or(text);
    if options.format.names_fields() {
        let mut line = NamedLine::begin(out, options.format, "he");
        line.start(record.time, &record.node, record.process, options);
        line.text("va", text);
        line.end();
    } else {
        let mut line = TextLine::begin(out, options.format, record.time);
        line.start(&record.node, record.process, options);
        line.field(!text.is_empty());
        push_clean(line.out, text);
    }
}

fn message_text(out: &mut String, record: &MessageRecord<'_>, options: &LogOptions) {
    let mut line = TextLine::begin(out, options.format, record.time);
    line.start(&record.node, record.process, options);
    line.channel(&record.source_channel);
    line.channel(&record.destination_channel);
    line.bare(record.code.as_str());
    line.number(Some(record.size));
    for field in &FIELDS {
        if !(field.option)(options).log() {
            continue;
        }
        let text = match (field.get)(record) {
            Value::Number(number) => {
                line.number(number);
                continue;
            }
            Value::Text(text) => text,
        };
        match field.shape {
            Shape::Address => line.address(text, local_host(record, options, field.attribute, text)),
            Shape::Word | Shape::Tail => line.word(text),
            Shape::Bare | Shape::BareTail => line.bare(text),
            Shape::Quoted => line.quoted(text),
            Shape::System | Shape::Reason | Shape::Diagnostic => line.free(text),
        }
    }
}

fn message_named(out: &mut String, record: &MessageRecord<'_>, options: &LogOptions) {
    let mut line = NamedLine::begin(out, options.format, "en");
    line.start(record.time, &record.node, record.process, options);
    line.text("sc", &record.source_channel);
    line.text("dc", &record.destination_channel);
    line.text("ac", record.code.as_str());
    line.number("sz", record.size);
    for field in &FIELDS {
        let option = (field.option)(options);
        if !option.log() {
            continue;
        }
        match (field.get)(record) {
            Value::Number(Some(number)) => line.number(field.attribute, number),
            Value::Number(None) if option.even_if_empty() => line.text(field.attribute, ""),
            Value::Number(None) => {}
            Value::Text("") if field.presence == Presence::Known && !option.even_if_empty() => {}
            Value::Text(text) => match local_host(record, options, field.attribute, text) {
                Some(host) if field.shape == Shape::Address => {
                    line.text(field.attribute, &format!("{text}@{host}"));
                }
                _ => line.text(field.attribute, text),
            },
        }
    }
    line.end();
}

/// The host that `LOG_LOCAL` puts behind an address, if it does.
///
/// The original recipient may have its type in front, which does not matter here. The recipient of a `B`
/// entry is a command and stays as it is.
pub(super) fn local_host<'o>(
    record: &MessageRecord<'_>,
    options: &'o LogOptions,
    attribute: &str,
    address: &str,
) -> Option<&'o str> {
    let wanted = options.local
        && !options.local_host.is_empty()
        && lacks_domain(address)
        && !(attribute == "de" && record.code.action() == 'B');
    wanted.then_some(options.local_host.as_str())
}

/// A line of formats 1 to 3: the blanks between fields are held back until there is a field behind them.
struct TextLine<'o> {
    out: &'o mut String,
    format: Format,
    blanks: usize,
}

impl<'o> TextLine<'o> {
    fn begin(out: &'o mut String, format: Format, time: DateTime) -> TextLine<'o> {
        two(out, time.day());
        out.push('-');
        out.push_str(
            MONTHS
                .get(usize::from(time.month().unsigned_abs()).wrapping_sub(1))
                .unwrap_or(&"???"),
        );
        let _ = write!(out, "-{:04} ", time.year());
        push_clock(out, time);
        TextLine {
            out,
            format,
            blanks: 0,
        }
    }

    fn start(&mut self, node: &str, process: Option<ProcessId>, options: &LogOptions) {
        if options.node {
            self.bare(node);
        }
        if options.process {
            self.field(process.is_some());
            if let Some(process) = process {
                let _ = write!(self.out, "{process}");
            }
        }
    }

    /// Begins a field: one more blank, and if the field is not empty, all blanks held back.
    fn field(&mut self, not_empty: bool) {
        self.blanks += 1;
        if not_empty {
            self.out.extend(std::iter::repeat_n(' ', self.blanks));
            self.blanks = 0;
        }
    }

    fn channel(&mut self, name: &str) {
        self.bare(name);
        self.blanks += CHANNEL_WIDTH.saturating_sub(name.chars().count());
    }

    fn bare(&mut self, text: &str) {
        self.field(!text.is_empty());
        push_word(self.out, text);
    }

    fn number(&mut self, number: Option<u64>) {
        self.field(number.is_some());
        if let Some(number) = number {
            let _ = write!(self.out, "{number}");
        }
    }

    fn word(&mut self, text: &str) {
        if self.format == Format::Counted {
            self.counted(text, None);
        } else {
            self.bare(text);
        }
    }

    fn free(&mut self, text: &str) {
        if self.format == Format::Counted {
            self.counted(text, None);
        } else {
            self.field(!text.is_empty());
            push_clean(self.out, text);
        }
    }

    fn quoted(&mut self, text: &str) {
        if self.format == Format::Counted {
            self.counted(text, None);
        } else {
            self.field(true);
            self.out.push('\'');
            push_clean(self.out, text);
            self.out.push('\'');
        }
    }

    fn address(&mut self, address: &str, local_host: Option<&str>) {
        if self.format == Format::Counted {
            self.counted(address, local_host);
            return;
        }
        let text = if address.is_empty() && self.format == Format::AngleText {
            "<>"
        } else {
            address
        };
        self.field(!text.is_empty());
        push_clean(self.out, text);
        if let Some(host) = local_host {
            self.out.push('@');
            push_word(self.out, host);
        }
    }

    fn counted(&mut self, text: &str, local_host: Option<&str>) {
        self.field(true);
        let _ = write!(
            self.out,
            "{}:",
            text.len() + local_host.map_or(0, |host| host.len() + 1)
        );
        push_clean(self.out, text);
        if let Some(host) = local_host {
            self.out.push('@');
            push_word(self.out, host);
        }
    }
}

/// A line of formats 4 to 6: names and values.
struct NamedLine<'o> {
    out: &'o mut String,
    format: Format,
    /// No name has been written yet in this JSON object.
    first: bool,
}

impl<'o> NamedLine<'o> {
    fn begin(out: &'o mut String, format: Format, element: &str) -> NamedLine<'o> {
        let _ = match format {
            Format::Json => write!(out, "{{\"{element}\":{{"),
            Format::FlatJson => write!(out, "{{\"type\":\"{element}\""),
            _ => write!(out, "<{element}"),
        };
        NamedLine {
            out,
            format,
            first: format == Format::Json,
        }
    }

    fn start(&mut self, time: DateTime, node: &str, process: Option<ProcessId>, options: &LogOptions) {
        self.name("ts");
        let _ = write!(self.out, "\"{:04}-", time.year());
        two(self.out, time.month());
        self.out.push('-');
        two(self.out, time.day());
        self.out.push('T');
        push_clock(self.out, time);
        self.out.push('"');
        if options.node {
            self.text("no", node);
        }
        if let Some(process) = process.filter(|_| options.process) {
            self.name("pi");
            let _ = write!(self.out, "\"{process}\"");
        }
    }

    fn name(&mut self, name: &str) {
        if self.format == Format::Xml {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push('=');
        } else {
            if !std::mem::replace(&mut self.first, false) {
                self.out.push(',');
            }
            self.out.push('"');
            self.out.push_str(name);
            self.out.push_str("\":");
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push('"');
        if self.format == Format::Xml {
            push_xml(self.out, value);
        } else {
            push_json(self.out, value);
        }
        self.out.push('"');
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = match self.format {
            Format::Xml => write!(self.out, "\"{value}\""),
            _ => write!(self.out, "{value}"),
        };
    }

    fn end(self) {
        self.out.push_str(match self.format {
            Format::Json => "}}",
            Format::FlatJson => "}",
            _ => "/>",
        });
    }
}

fn two(out: &mut String, number: i8) {
    let number = number.unsigned_abs();
    out.push(char::from(b'0' + number / 10 % 10));
    out.push(char::from(b'0' + number % 10));
}

/// `hh:mm:ss.cc`
fn push_clock(out: &mut String, time: DateTime) {
    two(out, time.hour());
    out.push(':');
    two(out, time.minute());
    out.push(':');
    two(out, time.second());
    out.push('.');
    two(out, (time.subsec_nanosecond() / 10_000_000) as i8);
}

fn push_clean(out: &mut String, text: &str) {
    if memchr::memchr3(b'\r', b'\n', 0, text.as_bytes()).is_none() {
        out.push_str(text);
    } else {
        out.extend(
            text.chars()
                .map(|c| if matches!(c, '\r' | '\n' | '\0') { ' ' } else { c }),
        );
    }
}

fn push_word(out: &mut String, text: &str) {
    if text.bytes().all(|b| !matches!(b, b' ' | b'\r' | b'\n' | 0)) {
        out.push_str(text);
    } else {
        out.extend(text.chars().map(|c| {
            if matches!(c, ' ' | '\r' | '\n' | '\0') {
                '_'
            } else {
                c
            }
        }));
    }
}

/// Printable ASCII that needs no care in an XML or JSON value.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\\')
}

fn push_xml(out: &mut String, text: &str) {
    if text.bytes().all(is_plain) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('?'),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
}

fn push_json(out: &mut String, text: &str) {
    if text.bytes().all(is_plain) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
}
