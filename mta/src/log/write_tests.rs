//! What no vector shows of the writer: corners of the formats, optional fields.

use super::field::FIELDS;
use super::options::{Format, LogOptions, NAMES};
use super::read::{Parsed, parse_line};
use super::record::{Action, Code, ConnectionRecord, HeaderRecord, MessageRecord, Modifiers, ProcessId};
use super::write;

pub(super) fn options(pairs: &[(&str, &str)]) -> LogOptions {
    LogOptions::from_pairs(pairs.iter().copied()).unwrap()
}

/// Every field on.
pub(super) fn all(format: &str) -> LogOptions {
    let mut pairs: Vec<(&str, &str)> = NAMES[12..].iter().map(|name| (*name, "1")).collect();
    pairs.extend([
        ("LOG_FORMAT", format),
        ("LOG_NODE", "1"),
        ("LOG_PROCESS", "1"),
        ("LOG_CONNECTION", "255"),
    ]);
    options(&pairs)
}

pub(super) fn text(record: &MessageRecord<'_>, options: &LogOptions) -> String {
    let mut line = String::new();
    write::message(&mut line, record, options);
    line
}

pub(super) fn code(action: Action) -> Code {
    Code::new(action, Modifiers::default())
}

pub(super) fn sample() -> MessageRecord<'static> {
    MessageRecord {
        time: jiff::civil::date(2015, 3, 2).at(8, 0, 1, 79_999_999),
        source_channel: "tcp_local".into(),
        code: code(Action::Dequeue),
        size: 4,
        original_recipient: "rfc822;b@x.net".into(),
        recipient: "b@x.net".into(),
        ..MessageRecord::default()
    }
}

#[test]
fn corners_of_the_formats() {
    let reason = MessageRecord {
        reason: "r".into(),
        code: code(Action::Enqueue),
        ..sample()
    };
    let timed = MessageRecord {
        queue_time: Some(7),
        ..sample()
    };
    let filter = MessageRecord {
        filter: "keep".into(),
        diagnostic: "d".into(),
        ..sample()
    };
    let local = MessageRecord {
        recipient: "b".into(),
        sender: "a".into(),
        ..sample()
    };
    let blank = MessageRecord {
        message_id: "<x> forged".into(),
        file_name: "/q".into(),
        ..sample()
    };
    let command = MessageRecord {
        recipient: "MAIL TO".into(),
        code: code(Action::BadCommand),
        ..sample()
    };
    let b = "rfc822;b@x.net b@x.net";
    for (name, record, pairs, want) in [
        (
            "format 2",
            sample(),
            &[("LOG_FORMAT", "2")][..],
            format!("D 4 <> {b}"),
        ),
        (
            "format 2, intermediate",
            sample(),
            &[("LOG_FORMAT", "2"), ("LOG_INTERMEDIATE", "1")],
            format!("D 4 <> {b} <> <>"),
        ),
        (
            "no reason but in R and K",
            reason,
            &[("LOG_REASON", "1")],
            format!("E 4  {b}"),
        ),
        (
            "queue time behind an empty diagnostic",
            timed.clone(),
            &[("LOG_QUEUE_TIME", "1")],
            format!("D 4  {b}  7"),
        ),
        (
            "queue time without diagnostic",
            timed,
            &[("LOG_QUEUE_TIME", "1"), ("LOG_DIAGNOSTICS", "0")],
            format!("D 4  {b} 7"),
        ),
        (
            "filter",
            filter.clone(),
            &[("LOG_FILTER", "1")],
            format!("D 4  {b} 'keep' d"),
        ),
        (
            "filter counted",
            filter,
            &[("LOG_FILTER", "1"), ("LOG_FORMAT", "3")],
            "D 4 0: 14:rfc822;b@x.net 7:b@x.net 4:keep 1:d".into(),
        ),
        (
            "empty filter",
            sample(),
            &[("LOG_FILTER", "1")],
            format!("D 4  {b} ''"),
        ),
        (
            "counted, untagged at the end",
            sample(),
            &[("LOG_FORMAT", "3"), ("LOG_QUEUE_TIME", "1")],
            "D 4 0: 14:rfc822;b@x.net 7:b@x.net 0:".into(),
        ),
        (
            "no local host given",
            local.clone(),
            &[("LOG_LOCAL", "1")],
            "D 4 a rfc822;b@x.net b".into(),
        ),
        (
            "a word keeps to its field",
            blank,
            &[("LOG_FILENAME", "1"), ("LOG_MESSAGE_ID", "1")],
            format!("D 4  {b} /q <x>_forged"),
        ),
        (
            "a command is no address",
            command,
            &[("LOG_LOCAL", "1")],
            "B 4  rfc822;b@x.net MAIL TO".into(),
        ),
    ] {
        let line = text(&record, &options(pairs));
        assert_eq!(&line[..23], "02-Mar-2015 08:00:01.07", "{name}");
        assert_eq!(line[24..], format!("tcp_local                 {want}"), "{name}");
    }
    let with_host = LogOptions {
        local_host: "h.net".into(),
        ..options(&[("LOG_LOCAL", "1")])
    };
    assert!(text(&local, &with_host).ends_with("D 4 a@h.net rfc822;b@x.net b@h.net"));
    let counted = LogOptions {
        format: Format::Counted,
        ..with_host.clone()
    };
    assert!(text(&local, &counted).ends_with("D 4 7:a@h.net 14:rfc822;b@x.net 7:b@h.net 0:"));
    let xml = LogOptions {
        format: Format::Xml,
        ..with_host
    };
    assert!(text(&local, &xml).contains(" so=\"a@h.net\" od=\"rfc822;b@x.net\" de=\"b@h.net\""));
}

#[test]
fn named_formats() {
    let record = MessageRecord {
        sender: "\"a\\\"@x".into(),
        process: Some(ProcessId {
            process: 255,
            thread: None,
            operation: 3,
        }),
        ..sample()
    };
    let start = "\"ts\":\"2015-03-02T08:00:01.07\",\"pi\":\"ff.3\",\"sc\":\"tcp_local\",\"dc\":\"\",\"ac\":\"D\",\"sz\":4,\
         \"so\":\"\\\"a\\\\\\\"@x\",\"od\":\"rfc822;b@x.net\",\"de\":\"b@x.net\"";
    let short = [
        ("LOG_FILENAME", "0"),
        ("LOG_MESSAGE_ID", "0"),
        ("LOG_USERNAME", "0"),
        ("LOG_PRIORITY", "0"),
    ];
    for (format, want) in [
        ("5", format!("{{\"en\":{{{start}}}}}")),
        ("6", format!("{{\"type\":\"en\",{start}}}")),
    ] {
        let pairs: Vec<_> = short.iter().copied().chain([("LOG_FORMAT", format)]).collect();
        assert_eq!(text(&record, &options(&pairs)), want);
    }
    let xml = options(&[
        ("LOG_FORMAT", "4"),
        ("LOG_REASON", "5"),
        ("LOG_QUEUE_TIME", "5"),
        ("LOG_UID", "4"),
    ]);
    let line = text(&record, &xml);
    assert!(
        line.contains(" re=\"\" qt=\"\"/>") && !line.contains(" ui="),
        "{line}"
    );
}

#[test]
fn the_filter_has_a_limit() {
    let record = MessageRecord {
        filter: "é".repeat(2000).into(),
        ..sample()
    };
    let line = text(&record, &options(&[("LOG_FILTER", "1")]));
    assert_eq!(line.matches('é').count(), 1024);
}

#[test]
fn header_entries() {
    let record = HeaderRecord {
        time: sample().time,
        node: "n".into(),
        process: ProcessId::parse("1.2.3"),
        line: "Subject: a\r\n\tb".into(),
    };
    for (format, want) in [
        ("1", "02-Mar-2015 08:00:01.07 n 1.2.3 Subject: a  \tb"),
        ("3", "02-Mar-2015 08:00:01.07 n 1.2.3 Subject: a  \tb"),
        (
            "4",
            "<he ts=\"2015-03-02T08:00:01.07\" no=\"n\" pi=\"1.2.3\" va=\"Subject: a   b\"/>",
        ),
    ] {
        let options = options(&[("LOG_FORMAT", format), ("LOG_NODE", "1"), ("LOG_PROCESS", "1")]);
        let mut line = String::new();
        write::header(&mut line, &record, &options);
        assert_eq!(line, want, "format {format}");
        assert!(
            matches!(parse_line(&line, options.format, &options), Ok(Parsed::Header(_))),
            "format {format}"
        );
    }
    let mut line = String::new();
    write::header(&mut line, &record, &options(&[("LOG_HEADERS_MAXCHARS", "9")]));
    assert_eq!(line, "02-Mar-2015 08:00:01.07 Subject: ");
}

#[test]
fn connection_entries_in_counted_text() {
    let record = ConnectionRecord {
        time: sample().time,
        channel: "tcp_local".into(),
        code: code(Action::Closed),
        transport: "TCP|1|2|3|4".into(),
        application: "SMTP".into(),
        open_seconds: Some(9),
        ..ConnectionRecord::default()
    };
    for (format, want) in [
        ("1", "C TCP|1|2|3|4 SMTP 9"),
        ("3", "C 11:TCP|1|2|3|4 4:SMTP 0: 0: 0: 9"),
    ] {
        let options = options(&[("LOG_FORMAT", format), ("LOG_QUEUE_TIME", "1")]);
        let mut line = String::new();
        write::connection(&mut line, &record, &options);
        assert_eq!(line[24..], format!("tcp_local    +            {want}"));
        let read = parse_line(&line, options.format, &options).unwrap();
        let want = ConnectionRecord {
            time: hundredths(record.time),
            ..record.clone()
        };
        assert_eq!(read, Parsed::Connection(Box::new(want)));
    }
}

pub(super) fn hundredths(time: jiff::civil::DateTime) -> jiff::civil::DateTime {
    let nanos = time.subsec_nanosecond() / 10_000_000 * 10_000_000;
    time.with().subsec_nanosecond(nanos).build().unwrap()
}

pub(super) fn value_of(record: &MessageRecord<'_>, attribute: &str) -> String {
    let field = FIELDS.iter().find(|field| field.attribute == attribute).unwrap();
    match (field.get)(record) {
        super::field::Value::Text(text) => text.to_string(),
        super::field::Value::Number(number) => number.map(|n| n.to_string()).unwrap_or_default(),
    }
}
