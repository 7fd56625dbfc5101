//! The log vectors, both ways: each line reads as its fields, and its fields write as the line.

use std::collections::BTreeMap;

use mta::log::options::{Format, LogOptions};
use mta::log::read::{Parsed, parse_line};
use mta::log::record::{ConnectionRecord, MessageRecord};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Vectors believed wrong, with the reason and its source. None so far.
const DISPUTED: &[(&str, &str)] = &[];

#[derive(Deserialize)]
struct Vector {
    id: String,
    source: String,
    format: i64,
    options: BTreeMap<String, Value>,
    line: String,
    parsed: Map<String, Value>,
}

fn vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/logging.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn options(vector: &Vector, more: &[(&str, String)]) -> LogOptions {
    let mut map: BTreeMap<String, String> = vector
        .options
        .iter()
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect();
    map.insert("LOG_FORMAT".into(), vector.format.to_string());
    for (name, value) in more {
        map.insert(name.to_string(), value.clone());
    }
    LogOptions::from_options(|name| map.get(name).map(String::as_str)).unwrap()
}

/// The options that an XML line of a vector shows: it was written by another hand than its options say, so
/// each field that is there is on and each that is not is off.
fn shown(vector: &Vector) -> Vec<(&'static str, String)> {
    let has = |name: &str| vector.parsed.contains_key(name);
    let mut more: Vec<_> = [
        ("pi", "LOG_PROCESS"),
        ("no", "LOG_NODE"),
        ("rf", "LOG_NOTARY"),
        ("fi", "LOG_FILENAME"),
        ("ei", "LOG_ENVELOPE_ID"),
        ("mi", "LOG_MESSAGE_ID"),
        ("us", "LOG_USERNAME"),
        ("se", "LOG_SENSITIVITY"),
        ("pr", "LOG_PRIORITY"),
        ("in", "LOG_INTERMEDIATE"),
        ("ui", "LOG_UID"),
        ("mu", "LOG_MAILBOX_UID"),
        ("fl", "LOG_FILTER"),
        ("re", "LOG_REASON"),
        ("di", "LOG_DIAGNOSTICS"),
    ]
    .into_iter()
    .map(|(attribute, name)| (name, i32::from(has(attribute)).to_string()))
    .collect();
    more.push(("LOG_QUEUE_TIME", i32::from(has("qt") || has("ct")).to_string()));
    more.push(("LOG_CONNECTION", i32::from(has("ss")).to_string()));
    more
}

fn message_fields(record: &MessageRecord<'_>) -> Value {
    json!({
        "kind": "en", "ts": stamp(record.time), "no": record.node,
        "pi": record.process.map(|id| id.to_string()), "sc": record.source_channel,
        "dc": record.destination_channel, "ac": record.code.as_str(), "sz": record.size,
        "so": record.sender, "od": record.original_recipient, "de": record.recipient,
        "rf": record.notary_flags, "fi": record.file_name, "ei": record.envelope_id,
        "mi": record.message_id, "us": record.username, "ss": record.source_system,
        "se": record.sensitivity, "pr": record.priority, "in": record.intermediate,
        "ia": record.initial, "ui": record.uid, "mu": record.mailbox_uid, "fl": record.filter,
        "re": record.reason, "di": record.diagnostic, "rm": record.remote_mta, "tr": record.transport,
        "ap": record.application, "qt": record.queue_time,
        "action": record.code.action().to_string(), "modifiers": record.code.modifiers(),
    })
}

fn connection_fields(record: &ConnectionRecord<'_>) -> Value {
    json!({
        "kind": "co", "ts": stamp(record.time), "no": record.node,
        "pi": record.process.map(|id| id.to_string()), "sc": record.channel,
        "dr": record.direction.as_str(), "ac": record.code.as_str(), "tr": record.transport,
        "ap": record.application, "mi": record.tag, "us": record.username, "di": record.diagnostic,
        "ct": record.open_seconds,
        "action": record.code.action().to_string(), "modifiers": record.code.modifiers(),
    })
}

fn stamp(time: jiff::civil::DateTime) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%2f").to_string()
}

/// Without what is empty: an absent field and an empty one mean the same.
fn without_empty(fields: &Map<String, Value>) -> BTreeMap<String, Value> {
    let empty = |value: &Value| value.is_null() || value == "";
    fields
        .iter()
        .filter(|(_, value)| !empty(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[test]
fn lines_read_as_their_fields_and_write_back() {
    let (mut read, mut written, mut printed, mut kinds) = (0, 0, 0, BTreeMap::new());
    let mut failures = Vec::new();
    for vector in vectors() {
        if DISPUTED.iter().any(|(id, _)| *id == vector.id) {
            continue;
        }
        let format = Format::from_number(vector.format).unwrap();
        let parsed = match parse_line(&vector.line, format, &options(&vector, &[])) {
            Ok(parsed) => parsed,
            Err(error) => {
                failures.push(format!("{}: {error}", vector.id));
                continue;
            }
        };
        let fields = match &parsed {
            Parsed::Message(record) => message_fields(record),
            Parsed::Connection(record) => connection_fields(record),
            Parsed::Header(record) => json!({
                "kind": "he", "ts": stamp(record.time), "pi": record.process.map(|id| id.to_string()),
                "no": record.node, "va": record.line,
            }),
        };
        let (want, have) = (
            without_empty(&vector.parsed),
            without_empty(fields.as_object().unwrap()),
        );
        if want != have {
            failures.push(format!(
                "{} ({})\n  want {want:?}\n  have {have:?}",
                vector.id, vector.source
            ));
            continue;
        }
        read += 1;
        *kinds
            .entry(format!("{}{}", vector.format, vector.parsed["kind"]))
            .or_insert(0) += 1;

        let more = if format == Format::Xml {
            shown(&vector)
        } else {
            Vec::new()
        };
        let options = options(&vector, &more);
        let mut line = String::new();
        match &parsed {
            Parsed::Message(record) => mta::log::write::message(&mut line, record, &options),
            Parsed::Connection(record) => mta::log::write::connection(&mut line, record, &options),
            Parsed::Header(record) => mta::log::write::header(&mut line, record, &options),
        }
        if line != vector.line {
            failures.push(format!(
                "{} written\n  want {}\n  have {line}",
                vector.id, vector.line
            ));
            continue;
        }
        written += 1;
        printed += usize::from(!vector.source.starts_with("derived"));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(
        (read, written, printed),
        (35 - DISPUTED.len(), 35 - DISPUTED.len(), 12)
    );
    let kinds: Vec<_> = kinds
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    assert_eq!(
        kinds.join(", "),
        "1\"co\" 6, 1\"en\" 19, 3\"en\" 3, 4\"co\" 3, 4\"en\" 3, 4\"he\" 1"
    );
}

/// Every entry of the vectors survives the formats that are exact.
#[test]
fn exact_formats_read_back_what_they_wrote() {
    let mut count = 0;
    for vector in vectors() {
        let format = Format::from_number(vector.format).unwrap();
        let parsed = parse_line(&vector.line, format, &options(&vector, &[])).unwrap();
        for (number, format) in [
            (3, Format::Counted),
            (4, Format::Xml),
            (5, Format::Json),
            (6, Format::FlatJson),
        ] {
            let mut more: Vec<(&str, String)> = mta::log::options::NAMES[12..]
                .iter()
                .map(|name| (*name, "1".to_string()))
                .collect();
            more.push(("LOG_FORMAT", number.to_string()));
            more.push(("LOG_PROCESS", "1".into()));
            more.push(("LOG_NODE", "1".into()));
            more.push(("LOG_CONNECTION", "255".into()));
            let options = options(&vector, &more);
            let mut line = String::new();
            match &parsed {
                Parsed::Message(record) => mta::log::write::message(&mut line, record, &options),
                Parsed::Connection(record) => mta::log::write::connection(&mut line, record, &options),
                Parsed::Header(record) => mta::log::write::header(&mut line, record, &options),
            }
            let again =
                parse_line(&line, format, &options).unwrap_or_else(|e| panic!("{}: {line}: {e}", vector.id));
            assert_eq!(again, parsed, "{}: {line}", vector.id);
            count += 1;
        }
    }
    assert_eq!(count, 140);
}
