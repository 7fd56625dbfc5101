//! `LOG_ACTION`: the probe of an entry, and what the mapping's answer means.
//!
//! The probe is the text entry without its time, its fields joined with `|`: mandatory fields always,
//! optional ones as bit 1 of their option says, empty where nothing is known. It does not depend on the
//! format of the log.
//!
//! Guarantees: control characters become blanks. With a replacement for `|` (`MAPPING_PARANOIA`), no
//! address, name or other text from outside can add a field, save for the transport, whose `|` are its own,
//! and the diagnostic, which quotes it.
//!
//! Source: logging specification 6.

use std::fmt::Write;

use super::field::{FIELDS, Shape, Value};
use super::options::LogOptions;
use super::record::{Code, ConnectionRecord, MessageRecord, ProcessId};
use super::write::local_host;

/// Name of the mapping table.
pub const TABLE: &str = "LOG_ACTION";

/// Appends the probe of a message entry: `[tag|][node|][process|]source-channel|destination-channel|code|
/// size|from|original-recipient|recipient[|optional...]`.
///
/// `paranoia` replaces `|` in the data; `tag` is what an earlier `$T` of the group set.
pub fn message(
    out: &mut String,
    record: &MessageRecord<'_>,
    options: &LogOptions,
    paranoia: Option<char>,
    tag: Option<&str>,
) {
    let mut probe = Probe { out, paranoia };
    probe.start(tag, &record.node, record.process, options);
    probe.data(&record.source_channel);
    probe.next();
    probe.data(&record.destination_channel);
    probe.next();
    probe.out.push_str(record.code.as_str());
    let _ = write!(probe.out, "|{}", record.size);
    for field in &FIELDS {
        if !(field.option)(options).probe() {
            continue;
        }
        probe.next();
        match (field.get)(record) {
            Value::Number(Some(number)) => {
                let _ = write!(probe.out, "{number}");
            }
            Value::Number(None) => {}
            Value::Text(text) if matches!(field.attribute, "tr" | "di") => probe.own(text),
            Value::Text(text) => {
                probe.data(text);
                if field.shape == Shape::Address
                    && let Some(host) = local_host(record, options, field.attribute, text)
                {
                    probe.out.push('@');
                    probe.data(host);
                }
            }
        }
    }
}

/// Appends the probe of a connection entry: `[tag|][node|][process|]channel|direction|code[|transport]
/// [|application]|tag|username|diagnostic`; transport and application as `LOG_CONNECTION` bits 9 and 10 say.
pub fn connection(
    out: &mut String,
    record: &ConnectionRecord<'_>,
    options: &LogOptions,
    paranoia: Option<char>,
    tag: Option<&str>,
) {
    let mut probe = Probe { out, paranoia };
    probe.start(tag, &record.node, record.process, options);
    probe.data(&record.channel);
    probe.next();
    probe.out.push_str(record.direction.as_str());
    probe.next();
    probe.out.push_str(record.code.as_str());
    if options.connection.transport().probe() {
        probe.next();
        probe.own(&record.transport);
    }
    if options.connection.application().probe() {
        probe.next();
        probe.data(&record.application);
    }
    probe.next();
    probe.data(&record.tag);
    probe.next();
    probe.data(&record.username);
    probe.next();
    probe.own(&record.diagnostic);
}

struct Probe<'o> {
    out: &'o mut String,
    paranoia: Option<char>,
}

impl Probe<'_> {
    fn start(&mut self, tag: Option<&str>, node: &str, process: Option<ProcessId>, options: &LogOptions) {
        if let Some(tag) = tag {
            self.own(tag);
            self.next();
        }
        if options.node {
            self.data(node);
            self.next();
        }
        if options.process {
            if let Some(process) = process {
                let _ = write!(self.out, "{process}");
            }
            self.next();
        }
    }

    fn next(&mut self) {
        self.out.push('|');
    }

    /// Text whose `|` stay.
    fn own(&mut self, text: &str) {
        self.push(text, None);
    }

    /// Text whose `|` are replaced.
    fn data(&mut self, text: &str) {
        self.push(text, self.paranoia);
    }

    fn push(&mut self, text: &str, bar: Option<char>) {
        if text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'|') {
            self.out.push_str(text);
            return;
        }
        self.out.extend(text.chars().map(|c| match (c, bar) {
            ('|', Some(bar)) => bar,
            (c, _) if c.is_control() => ' ',
            (c, _) => c,
        }));
    }
}

/// What `LOG_ACTION` answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogAction {
    /// `$N` or `$F`: this entry is not written.
    pub suppress: bool,
    /// `$<`: text for syslog.
    pub syslog: Option<String>,
    /// `$>`: text for syslog if the entry is a rejection.
    pub syslog_rejected: Option<String>,
    /// `$T`: tag for the probes of later entries of the group.
    pub tag: Option<String>,
}

impl LogAction {
    /// Reads an answer: the mapping's text, and which flags it set.
    ///
    /// Arguments are taken from the text in the order `$<`, `$>`, `$T`, each up to the next `|`; one that is
    /// missing or empty counts as not given. Flag letters count in either case.
    pub fn read(text: &str, has: impl Fn(char) -> bool) -> LogAction {
        let mut rest = Some(text);
        let mut argument = |flag: char| {
            if !has(flag) && !has(flag.to_ascii_lowercase()) {
                return None;
            }
            let (argument, after) = match rest?.split_once('|') {
                Some((argument, after)) => (argument, Some(after)),
                None => (rest?, None),
            };
            rest = after;
            Some(argument)
                .filter(|argument| !argument.is_empty())
                .map(str::to_string)
        };
        LogAction {
            syslog: argument('<'),
            syslog_rejected: argument('>'),
            tag: argument('T'),
            suppress: ['N', 'F', 'n', 'f'].into_iter().any(has),
        }
    }

    /// The texts to send to syslog for an entry with this code.
    pub fn notices(&self, code: Code) -> impl Iterator<Item = &str> {
        let rejected = self.syslog_rejected.as_deref().filter(|_| code.is_rejection());
        self.syslog.as_deref().into_iter().chain(rejected)
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
