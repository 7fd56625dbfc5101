use super::super::record::{Action, Direction, Modifiers};
use super::*;

fn options(pairs: &[(&str, &str)]) -> LogOptions {
    LogOptions::from_pairs(pairs.iter().copied()).unwrap()
}

fn record() -> MessageRecord<'static> {
    MessageRecord {
        node: "n1".into(),
        process: ProcessId::parse("a.b.3"),
        source_channel: "tcp_local".into(),
        destination_channel: "ims-ms".into(),
        code: Code::new(
            Action::Enqueue,
            Modifiers {
                esmtp: true,
                ..Modifiers::default()
            },
        ),
        size: 3,
        sender: "a|b@x".into(),
        original_recipient: "rfc822;c@x".into(),
        recipient: "c@\tx".into(),
        source_system: "h|i ([1.2.3.4])".into(),
        intermediate: "in@x".into(),
        initial: "ia@x".into(),
        uid: "c".into(),
        mailbox_uid: "4:5".into(),
        diagnostic: "d|e".into(),
        transport: "TCP|1|2|3|4".into(),
        application: "SMTP".into(),
        filter: "keep".into(),
        remote_mta: "mx".into(),
        ..MessageRecord::default()
    }
}

#[test]
fn message_probes() {
    let start = "tcp_local|ims-ms|EE|3|a|b@x|rfc822;c@x|c@ x";
    for (name, pairs, paranoia, tag, want) in [
        ("the least", &[][..], None, None, start.to_string()),
        (
            "bit 0 is for the log only",
            &[("LOG_FILENAME", "1"), ("LOG_UID", "1")],
            None,
            None,
            start.to_string(),
        ),
        (
            "whatever the format",
            &[("LOG_FORMAT", "2")],
            None,
            None,
            start.to_string(),
        ),
        (
            "node, process, tag",
            &[("LOG_NODE", "1"), ("LOG_PROCESS", "1")],
            None,
            Some("t"),
            format!("t|n1|a.b.3|{start}"),
        ),
        ("an empty tag is a tag", &[], None, Some(""), format!("|{start}")),
        (
            "uid behind the initial address, mailbox uid behind it",
            &[
                ("LOG_INTERMEDIATE", "2"),
                ("LOG_UID", "2"),
                ("LOG_MAILBOX_UID", "3"),
                ("LOG_DIAGNOSTICS", "2"),
            ],
            None,
            None,
            format!("{start}|in@x|ia@x|c|4:5|d|e"),
        ),
        (
            "empty where unknown",
            &[
                ("LOG_REASON", "2"),
                ("LOG_REMOTE_MTA", "2"),
                ("LOG_QUEUE_TIME", "2"),
                ("LOG_FILTER", "2"),
            ],
            None,
            None,
            format!("{start}|keep||mx|"),
        ),
        (
            "paranoia",
            &[("LOG_CONNECTION", "1792"), ("LOG_DIAGNOSTICS", "3")],
            Some('_'),
            None,
            "tcp_local|ims-ms|EE|3|a_b@x|rfc822;c@x|c@ x|h_i ([1.2.3.4])|d|e|TCP|1|2|3|4|SMTP".to_string(),
        ),
    ] {
        let mut probe = String::new();
        message(&mut probe, &record(), &options(pairs), paranoia, tag);
        assert_eq!(probe, want, "{name}");
    }
}

#[test]
fn connection_probes() {
    let record = ConnectionRecord {
        channel: "tcp_submit".into(),
        direction: Direction::Inbound,
        code: Code::new(Action::Authentication, Modifiers::default()),
        transport: "TCP|192.0.2.12|587|198.51.100.78|4299".into(),
        application: "SMTP".into(),
        tag: "Bad password".into(),
        username: "nic|535@example.com".into(),
        diagnostic: "535 5.7.8 Bad username or password (Authentication failed).".into(),
        ..ConnectionRecord::default()
    };
    let tail = "Bad password|nic_535@example.com|535 5.7.8 Bad username or password (Authentication failed).";
    for (bits, want) in [
        // The published table `tcp_*|+|U|TCP|*|*|*|*|*|*|535*` matches the second.
        ("131", format!("tcp_submit|+|U|{tail}")),
        (
            "643",
            format!("tcp_submit|+|U|TCP|192.0.2.12|587|198.51.100.78|4299|{tail}"),
        ),
        ("1024", format!("tcp_submit|+|U|SMTP|{tail}")),
    ] {
        let mut probe = String::new();
        connection(
            &mut probe,
            &record,
            &options(&[("LOG_CONNECTION", bits)]),
            Some('_'),
            None,
        );
        assert_eq!(probe, want, "{bits}");
    }
}

#[test]
fn answers() {
    let given = |text: &str| Some(text.to_string());
    for (name, text, flags, want) in [
        ("nothing", "text", "", LogAction::default()),
        ("yes", "text", "Y", LogAction::default()),
        (
            "no",
            "",
            "N",
            LogAction {
                suppress: true,
                ..Default::default()
            },
        ),
        (
            "fail",
            "",
            "F",
            LogAction {
                suppress: true,
                ..Default::default()
            },
        ),
        (
            "tag up to the bar",
            "t|u",
            "T",
            LogAction {
                tag: given("t"),
                ..Default::default()
            },
        ),
        (
            "syslog",
            "see",
            "<Y",
            LogAction {
                syslog: given("see"),
                ..Default::default()
            },
        ),
        (
            "all in order, whatever the order of the flags",
            "a|b|c|d",
            "NT><",
            LogAction {
                suppress: true,
                syslog: given("a"),
                syslog_rejected: given("b"),
                tag: given("c"),
            },
        ),
        (
            "too few",
            "a",
            "<>T",
            LogAction {
                syslog: given("a"),
                ..Default::default()
            },
        ),
        (
            "an empty one",
            "|b",
            "<T",
            LogAction {
                tag: given("b"),
                ..Default::default()
            },
        ),
    ] {
        assert_eq!(LogAction::read(text, |flag| flags.contains(flag)), want, "{name}");
    }
}

#[test]
fn notices_depend_on_rejection() {
    let action = LogAction::read("a|b", |flag| "<>".contains(flag));
    for (letters, want) in [
        ("E", 1),
        ("D", 1),
        ("Q", 1),
        ("U", 1),
        ("JE", 2),
        ("R", 2),
        ("K", 2),
        ("VA", 2),
        ("X", 2),
        ("T", 2),
    ] {
        let code = Code::parse(letters).unwrap();
        assert_eq!(action.notices(code).count(), want, "{letters}");
    }
}
