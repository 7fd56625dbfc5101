//! The fields of a message entry after its size, once, for the writer, the reader and the probe.
//!
//! The order is that of the logging specification 3.1; what later releases added follows after the time in
//! the queue.

use std::borrow::Cow;

use super::options::{Dual, LogOptions};
use super::record::MessageRecord;

/// Greatest number of characters of the filter field.
pub(super) const FILTER_MAX: usize = 1024;

/// Width to which channel names are filled up in the text formats.
pub(super) const CHANNEL_WIDTH: usize = 12;

/// How a field's text looks in the text formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// An address: one word unless its local part is quoted; counted in format 3.
    Address,
    /// One word, counted in format 3.
    Word,
    /// One word that format 3 does not count (numbers, sensitivity, priority).
    Bare,
    /// Source system: a word, and what stands in brackets after it.
    System,
    /// Enclosed in `'` in formats 1 and 2.
    Quoted,
    /// Free text before the diagnostic.
    Reason,
    /// Free text up to the fields that follow.
    Diagnostic,
    /// One word after the diagnostic, found from the end of the line.
    Tail,
    /// As `Tail`, and format 3 does not count it.
    BareTail,
}

/// When formats 4 to 6 write a field whose option is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Always; an unknown number is left out.
    Always,
    /// When it is not empty, or its option has bit 2.
    Known,
}

/// The value of a field.
pub(super) enum Value<'r> {
    Text(&'r str),
    Number(Option<u64>),
}

/// One field.
pub(super) struct Field {
    /// Attribute name in formats 4 to 6.
    pub attribute: &'static str,
    pub shape: Shape,
    pub presence: Presence,
    /// The setting that switches it.
    pub option: fn(&LogOptions) -> Dual,
    pub get: for<'r, 'a> fn(&'r MessageRecord<'a>) -> Value<'r>,
    /// Sets it from text; false where a number was expected.
    pub set: for<'a> fn(&mut MessageRecord<'a>, Cow<'a, str>) -> bool,
}

macro_rules! text {
    ($attribute:literal, $field:ident, $shape:ident, $presence:ident, $option:expr) => {
        Field {
            attribute: $attribute,
            shape: Shape::$shape,
            presence: Presence::$presence,
            option: $option,
            get: |record| Value::Text(&record.$field),
            set: |record, value| {
                record.$field = value;
                true
            },
        }
    };
}

/// All of them, in the order of the line.
pub(super) static FIELDS: [Field; 30] = [
    text!("so", sender, Address, Always, |_| Dual::BOTH),
    text!("od", original_recipient, Address, Always, |_| Dual::BOTH),
    text!("de", recipient, Address, Always, |_| Dual::BOTH),
    Field {
        attribute: "rf",
        shape: Shape::Bare,
        presence: Presence::Always,
        option: |o| o.notary,
        get: |record| Value::Number(record.notary_flags.map(u64::from)),
        set: |record, value| {
            record.notary_flags = value.parse().ok();
            value.is_empty() || record.notary_flags.is_some()
        },
    },
    text!("fi", file_name, Word, Always, |o| o.filename),
    text!("ei", envelope_id, Word, Always, |o| o.envelope_id),
    text!("mi", message_id, Word, Always, |o| o.message_id),
    text!("us", username, Word, Always, |o| o.username),
    text!("ss", source_system, System, Known, |o| o
        .connection
        .source_system()),
    text!("se", sensitivity, Bare, Always, |o| o.sensitivity),
    text!("pr", priority, Bare, Always, |o| o.priority),
    text!("in", intermediate, Address, Always, |o| o.intermediate),
    text!("ia", initial, Address, Known, |o| o.intermediate),
    text!("ui", uid, Word, Known, |o| o.uid),
    text!("mu", mailbox_uid, Word, Known, |o| o.mailbox_uid),
    Field {
        get: |record| {
            let text = &record.filter;
            let end = text
                .char_indices()
                .nth(FILTER_MAX)
                .map_or(text.len(), |(at, _)| at);
            Value::Text(text.get(..end).unwrap_or(text))
        },
        ..text!("fl", filter, Quoted, Known, |o| o.filter)
    },
    Field {
        get: |record| {
            Value::Text(if matches!(record.code.action(), 'R' | 'K') {
                &record.reason
            } else {
                ""
            })
        },
        ..text!("re", reason, Reason, Known, |o| o.reason)
    },
    text!("di", diagnostic, Diagnostic, Known, |o| o.diagnostics),
    text!("rm", remote_mta, Tail, Known, |o| o.remote_mta),
    text!("tr", transport, Tail, Known, |o| o.connection.transport()),
    text!("ap", application, Tail, Known, |o| o.connection.application()),
    Field {
        attribute: "qt",
        shape: Shape::BareTail,
        presence: Presence::Always,
        option: |o| o.queue_time,
        get: |record| Value::Number(record.queue_time.filter(|_| record.code.is_dequeue())),
        set: |record, value| {
            record.queue_time = value.parse().ok();
            value.is_empty() || record.queue_time.is_some()
        },
    },
    text!("au", auth_sender, Tail, Known, |o| o.auth),
    text!("if", imap_flags, Tail, Known, |o| o.imap_flags),
    text!("df", delivery_flags, Tail, Known, |o| o.delivery_flags),
    text!("cv", conversion_tag, Tail, Known, |o| o.conversion_tag),
    text!("hd", hash, Tail, Known, |o| o.hash),
    text!("tk", tracking, Tail, Known, |o| o.tracking),
    text!("tm", timers, Tail, Known, |o| o.timers),
    text!("tl", transaction_log, Tail, Known, |o| o.transaction_log),
];

/// Does this address, as it stands in an entry, lack a domain? (`LOG_LOCAL`.)
pub(super) fn lacks_domain(address: &str) -> bool {
    !address.is_empty() && !address.contains('@')
}
