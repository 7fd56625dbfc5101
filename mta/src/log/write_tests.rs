//! What no vector shows: injection, the formats' corners, optional fields, and that any record whatever
//! writes as one line and reads back.

use std::borrow::Cow;

use super::field::FIELDS;
use super::options::{Format, LogOptions, NAMES};
use super::read::{Parsed, ReadError, parse_line};
use super::record::{Action, Code, ConnectionRecord, HeaderRecord, MessageRecord, Modifiers, ProcessId};
use super::write;

fn options(pairs: &[(&str, &str)]) -> LogOptions {
    LogOptions::from_pairs(pairs.iter().copied()).unwrap()
}

/// Every field on.
fn all(format: &str) -> LogOptions {
    let mut pairs: Vec<(&str, &str)> = NAMES[12..].iter().map(|name| (*name, "1")).collect();
    pairs.extend([
        ("LOG_FORMAT", format),
        ("LOG_NODE", "1"),
        ("LOG_PROCESS", "1"),
        ("LOG_CONNECTION", "255"),
    ]);
    options(&pairs)
}

fn text(record: &MessageRecord<'_>, options: &LogOptions) -> String {
    let mut line = String::new();
    write::message(&mut line, record, options);
    line
}

fn code(action: Action) -> Code {
    Code::new(action, Modifiers::default())
}

fn sample() -> MessageRecord<'static> {
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

fn hundredths(time: jiff::civil::DateTime) -> jiff::civil::DateTime {
    let nanos = time.subsec_nanosecond() / 10_000_000 * 10_000_000;
    time.with().subsec_nanosecond(nanos).build().unwrap()
}

/// What the text formats 1 and 2 leave to guessing.
#[test]
fn formats_without_counts_are_taken_apart_as_documented() {
    let head = "02-Mar-2015 08:00:01.07 tcp_local                 ";
    let many = &[
        ("LOG_CONNECTION", "96"),
        ("LOG_QUEUE_TIME", "1"),
        ("LOG_REASON", "1"),
    ][..];
    let reply = "smtp;550 5.1.1 no such user";
    for (name, pairs, rest, want) in [
        (
            "all fields behind the diagnostic",
            many,
            format!("D 4 a b c  {reply} TCP|1|2|3|4 SMTP/x/y 12"),
            [
                ("di", reply),
                ("tr", "TCP|1|2|3|4"),
                ("ap", "SMTP/x/y"),
                ("qt", "12"),
            ],
        ),
        (
            "none of them",
            many,
            format!("D 4 a b c  {reply}"),
            [("di", reply), ("tr", ""), ("ap", ""), ("qt", "")],
        ),
        (
            "the last only",
            many,
            format!("D 4 a b c  {reply}   12"),
            [("di", reply), ("tr", ""), ("ap", ""), ("qt", "12")],
        ),
        (
            "a reason",
            many,
            format!("R 4 a b c not a user {reply} TCP|1|2|3|4 SMTP 12"),
            [("re", "not a user"), ("di", reply), ("ap", "SMTP"), ("qt", "12")],
        ),
        (
            "a reason alone",
            &[("LOG_REASON", "1")],
            "K 4 a b c not a user".to_string(),
            [("re", "not a user"), ("di", ""), ("ap", ""), ("qt", "")],
        ),
        (
            "quoted local parts",
            &[],
            "D 4 \"a b\"@x rfc822;\"c \\\" d\"@x \"e f\"@x ok".to_string(),
            [
                ("so", "\"a b\"@x"),
                ("od", "rfc822;\"c \\\" d\"@x"),
                ("de", "\"e f\"@x"),
                ("di", "ok"),
            ],
        ),
        (
            "a bad command",
            &[("LOG_FILENAME", "1"), ("LOG_MESSAGE_ID", "1")],
            "B 0   MAIL TO:<x> now   500 5.5.2 what".to_string(),
            [
                ("so", ""),
                ("od", ""),
                ("de", "MAIL TO:<x> now"),
                ("di", "500 5.5.2 what"),
            ],
        ),
        (
            "a filter with blanks and a quote",
            &[("LOG_FILTER", "1")],
            "D 4 a b c 'fileinto \"Bob's\", keep' d e".to_string(),
            [
                ("fl", "fileinto \"Bob's\", keep"),
                ("di", "d e"),
                ("ap", ""),
                ("qt", ""),
            ],
        ),
    ] {
        let options = options(pairs);
        let line = format!("{head}{rest}");
        let Ok(Parsed::Message(record)) = parse_line(&line, Format::Text, &options) else {
            panic!("{name}: {:?}", parse_line(&line, Format::Text, &options));
        };
        for (attribute, value) in want {
            assert_eq!(value_of(&record, attribute), value, "{name}: {attribute}");
        }
        assert_eq!(text(&record, &options), line, "{name}");
    }
}

fn value_of(record: &MessageRecord<'_>, attribute: &str) -> String {
    let field = FIELDS.iter().find(|field| field.attribute == attribute).unwrap();
    match (field.get)(record) {
        super::field::Value::Text(text) => text.to_string(),
        super::field::Value::Number(number) => number.map(|n| n.to_string()).unwrap_or_default(),
    }
}

#[test]
fn malformed_lines_are_errors() {
    let head = "02-Mar-2015 08:00:01.07";
    for (format, line, part) in [
        (Format::Text, "".to_string(), "empty"),
        (Format::Text, "\n".to_string(), "empty"),
        (Format::Text, "yesterday at noon".to_string(), "no time"),
        (Format::Text, "30-Feb-2015 08:00:01.07 x".to_string(), "no time"),
        (Format::Text, "02-Mar-2015 08:00:01:07 x".to_string(), "no time"),
        (Format::Text, head.to_string(), "before its channel"),
        (
            Format::Text,
            format!("{head} l"),
            "before its destination channel",
        ),
        (
            Format::Text,
            format!("{head} l            l            E"),
            "before its size",
        ),
        (
            Format::Text,
            format!("{head} l            l            E x"),
            "\"x\" is no size",
        ),
        (
            Format::Text,
            format!("{head} l            l            E1 1"),
            "\"E1\" is no entry code",
        ),
        (
            Format::Counted,
            format!("{head} l            l            E 1 2:abc"),
            "counted field so",
        ),
        (
            Format::Counted,
            format!("{head} l            l            E 1 99:abc"),
            "counted field so",
        ),
        (
            Format::Counted,
            format!("{head} l            l            E 1 -1:a"),
            "counted field so",
        ),
        (
            Format::Counted,
            format!("{head} l            l            E 1 1:é"),
            "counted field so",
        ),
        (
            Format::Counted,
            format!("{head} l            l            E 1 99999999999999999999999:a"),
            "counted field so",
        ),
        (
            Format::Xml,
            "<en ts=\"2015-03-02T08:00:01.07\" ac=\"E\">".to_string(),
            "no `/>`",
        ),
        (Format::Xml, "<xx/>".to_string(), "another element"),
        (Format::Xml, "<en/>".to_string(), "before its time"),
        (
            Format::Xml,
            "<en ts=\"2015-03-02T08:00:01.07\"/>".to_string(),
            "before its code",
        ),
        (Format::Xml, "<en ts=2015 />".to_string(), "without quotes"),
        (Format::Xml, "<en ts=\"2015/>".to_string(), "does not end"),
        (Format::Xml, "<en ts=\"yesterday\"/>".to_string(), "no time"),
        (Format::Xml, "<en so=\"&nbsp;\"/>".to_string(), "unknown entity"),
        (Format::Xml, "<en so=\"&#xd800;\"/>".to_string(), "no character"),
        (Format::Xml, "<en so=\"a\"od=\"b\"/>".to_string(), "no blank"),
        (Format::Xml, "<en rf=\"x\"/>".to_string(), "is no rf"),
        (Format::Json, "[]".to_string(), "no object"),
        (Format::Json, "{}".to_string(), "empty object"),
        (Format::FlatJson, "{}".to_string(), "no \"type\""),
    ] {
        let error = parse_line(&line, format, &LogOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
    let error = parse_line(
        &format!("{head} zz l"),
        Format::Text,
        &options(&[("LOG_PROCESS", "1")]),
    )
    .unwrap_err();
    assert!(matches!(error, ReadError::Field { field, .. } if field.starts_with("process id")));
}

#[test]
fn unknown_attributes_are_passed_over() {
    let line = "<co zz='new' ts='2015-03-02T08:00:01.07' ac = \"O\" ap=\"&#83;MTP&apos;\"  />";
    let Ok(Parsed::Connection(record)) = parse_line(line, Format::Xml, &LogOptions::default()) else {
        panic!("{line}");
    };
    assert_eq!(record.application, "SMTP'");
}

/// Numbers of a fixed sequence, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }

    /// Text that is out to break lines, fields, quotes and counts.
    fn text(&mut self) -> String {
        const PARTS: [&str; 20] = [
            "a",
            " ",
            "\n",
            "\r\n",
            "\0",
            "|",
            "\"",
            "'",
            "' ",
            "<",
            ">",
            "&",
            "&amp;",
            "é",
            "\u{85}",
            "3:abc",
            "/>\n<en ts=\"",
            "\\",
            "\t",
            "\u{ffff}",
        ];
        let count = self.below(5);
        (0..count).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }

    fn record(&mut self) -> MessageRecord<'static> {
        let mut record = MessageRecord {
            time: hundredths(sample().time),
            code: code(Action::Returned),
            ..sample()
        };
        if self.below(2) == 0 {
            record.process = Some(ProcessId {
                process: 1,
                thread: Some(2),
                operation: 3,
            });
        }
        for field in &FIELDS {
            let value = match field.attribute {
                "rf" | "qt" => self.below(100).to_string(),
                _ => self.text(),
            };
            assert!((field.set)(&mut record, Cow::Owned(value)));
        }
        record
    }
}

#[test]
fn any_data_writes_as_one_line_and_exact_formats_read_it_back() {
    let mut random = Random(1);
    for round in 0..2000 {
        let record = random.record();
        for format in ["1", "2", "3", "4", "5", "6"] {
            let options = all(format);
            let line = text(&record, &options);
            assert!(
                !line.contains(['\n', '\r', '\0']),
                "round {round}, format {format}: {line:?}"
            );
            let read = parse_line(&line, options.format, &options);
            if matches!(options.format, Format::Text | Format::AngleText) {
                continue;
            }
            let Ok(Parsed::Message(read)) = read else {
                panic!("round {round}, format {format}: {read:?}\n{line}");
            };
            for field in &FIELDS {
                let untagged = matches!(field.attribute, "se" | "pr");
                let value = value_of(&record, field.attribute);
                let wanted = value.chars().map(|c| match c {
                    '\u{ffff}' if format == "4" => '?',
                    ' ' | '\n' | '\r' | '\0' if format == "3" && untagged => '_',
                    '\n' | '\r' | '\0' => ' ',
                    c if c.is_control() && format != "3" => ' ',
                    c => c,
                });
                let wanted: String = wanted.collect();
                assert_eq!(
                    value_of(&read, field.attribute),
                    wanted,
                    "round {round}, format {format}: {line}"
                );
            }
        }
    }
}

#[test]
fn no_line_makes_the_reader_panic() {
    let mut random = Random(2);
    for _ in 0..2000 {
        let record = random.record();
        for format in ["1", "2", "3", "4", "5", "6"] {
            let options = all(format);
            let mut line: Vec<char> = text(&record, &options).chars().collect();
            for _ in 0..1 + random.below(3) {
                let at = random.below(line.len());
                match random.below(3) {
                    0 => drop(line.remove(at)),
                    1 => line.truncate(at.max(1)),
                    _ => line.insert(at, [' ', '"', '\'', ':', '9', '(', 'é', 'B'][random.below(8)]),
                }
            }
            let line: String = line.into_iter().collect();
            for format in 1..=6 {
                let _ = parse_line(&line, Format::from_number(format).unwrap(), &options);
            }
        }
    }
}
