//! What no vector shows of the reader: guesses, malformed lines, and any data there and back.

use std::borrow::Cow;

use super::field::FIELDS;
use super::options::{Format, LogOptions};
use super::read::{Parsed, ReadError, parse_line};
use super::record::{Action, MessageRecord, ProcessId};
use super::write_tests::{all, code, hundredths, options, sample, text, value_of};

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
