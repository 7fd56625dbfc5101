//! The worked sequences of the logging specification 11: what each step of a message's life logs.

use jiff::civil::{DateTime, date};

use super::options::LogOptions;
use super::record::{Action, Code, ConnectionRecord, Direction, MessageRecord, Modifiers, ProcessId};
use super::{read, write};

const FAILED_CONNECT: &str = "TCP active open: Failed connect() 192.1.1.1:25  Error: no route to host";
const ESMTP: Modifiers = Modifiers {
    esmtp: true,
    lmtp: false,
    chunking: false,
    tls: false,
    proxy: false,
    auth: false,
};
const LOCAL: Modifiers = Modifiers {
    esmtp: false,
    ..ESMTP
};

fn at(second: i8) -> DateTime {
    date(2007, 2, 16).at(14, 54, second, 720_000_000)
}

fn options(pairs: &[(&str, &str)]) -> LogOptions {
    LogOptions::from_pairs(pairs.iter().copied()).unwrap()
}

fn entry<'a>(
    second: i8,
    (source, destination): (&'a str, &'a str),
    (action, modifiers): (Action, Modifiers),
    (original, recipient): (&'a str, &'a str),
    file: &'a str,
    diagnostic: &'a str,
) -> MessageRecord<'a> {
    MessageRecord {
        time: at(second),
        source_channel: source.into(),
        destination_channel: destination.into(),
        code: Code::new(action, modifiers),
        size: 1,
        sender: "adam@sesta.com".into(),
        original_recipient: original.into(),
        recipient: recipient.into(),
        file_name: file.into(),
        message_id: "<m1@sesta.com>".into(),
        diagnostic: diagnostic.into(),
        ..MessageRecord::default()
    }
}

/// Writes the entries, sees that each reads back as itself, and compares what stands behind the time.
fn check_messages(options: &LogOptions, records: &[MessageRecord<'_>], want: &[&str]) {
    let mut lines = Vec::new();
    for record in records {
        let mut line = String::new();
        write::message(&mut line, record, options);
        let read = read::parse_line(&line, options.format, options).unwrap();
        let mut again = String::new();
        match read {
            read::Parsed::Message(read) => write::message(&mut again, &read, options),
            other => panic!("{line}: read as {other:?}"),
        }
        assert_eq!(again, line);
        lines.push(line[24..].to_string());
    }
    assert_eq!(lines, want);
}

#[test]
fn direct_delivery_to_the_store() {
    let who = ("rfc822;marlowe@siroe.com", "marlowe@ims-ms-daemon");
    check_messages(
        &options(&[]),
        &[
            entry(13, ("tcp_local", "ims-ms"), (Action::Enqueue, ESMTP), who, "", ""),
            entry(14, ("ims-ms", ""), (Action::Dequeue, LOCAL), who, "", ""),
        ],
        &[
            "tcp_local    ims-ms       EE 1 adam@sesta.com rfc822;marlowe@siroe.com marlowe@ims-ms-daemon",
            "ims-ms                    D 1 adam@sesta.com rfc822;marlowe@siroe.com marlowe@ims-ms-daemon",
        ],
    );
}

#[test]
fn retries_until_it_is_delivered() {
    let who = ("rfc822;user@some.org", "user@some.org");
    let to = ("tcp_local", "");
    let wait = (Action::TemporaryFailure, LOCAL);
    let done = "dns;some.org smtp;250 2.1.5 ok";
    check_messages(
        &options(&[("LOG_FILENAME", "1"), ("LOG_MESSAGE_ID", "1")]),
        &[
            entry(
                1,
                ("tcp_intranet", "tcp_local"),
                (Action::Enqueue, ESMTP),
                who,
                "/q/ZZf0s690kN_y0.00",
                "",
            ),
            entry(2, to, wait, who, "/q/ZZf0s690kN_y0.00", FAILED_CONNECT),
            entry(3, to, wait, who, "/q/ZYf0s690kN_y0.01", FAILED_CONNECT),
            entry(4, to, wait, who, "/q/ZXf0s690kN_y0.02", FAILED_CONNECT),
            entry(5, to, (Action::Dequeue, ESMTP), who, "/q/ZWf0s690kN_y0.03", done),
        ],
        &[
            "tcp_intranet tcp_local    EE 1 adam@sesta.com rfc822;user@some.org user@some.org \
             /q/ZZf0s690kN_y0.00 <m1@sesta.com>",
            "tcp_local                 Q 1 adam@sesta.com rfc822;user@some.org user@some.org \
             /q/ZZf0s690kN_y0.00 <m1@sesta.com> TCP active open: Failed connect() 192.1.1.1:25  \
             Error: no route to host",
            "tcp_local                 Q 1 adam@sesta.com rfc822;user@some.org user@some.org \
             /q/ZYf0s690kN_y0.01 <m1@sesta.com> TCP active open: Failed connect() 192.1.1.1:25  \
             Error: no route to host",
            "tcp_local                 Q 1 adam@sesta.com rfc822;user@some.org user@some.org \
             /q/ZXf0s690kN_y0.02 <m1@sesta.com> TCP active open: Failed connect() 192.1.1.1:25  \
             Error: no route to host",
            "tcp_local                 DE 1 adam@sesta.com rfc822;user@some.org user@some.org \
             /q/ZWf0s690kN_y0.03 <m1@sesta.com> dns;some.org smtp;250 2.1.5 ok",
        ],
    );
}

#[test]
fn a_list_is_expanded() {
    let list = "rfc822;list@siroe.com";
    let enqueue = (Action::Enqueue, ESMTP);
    let done = "smtp;250 ok";
    check_messages(
        &options(&[("LOG_FILENAME", "1"), ("LOG_MESSAGE_ID", "1")]),
        &[
            entry(
                1,
                ("tcp_local", "ims-ms"),
                enqueue,
                (list, "amy@ims-ms-daemon"),
                "/q/ZZ1.00",
                "",
            ),
            entry(
                1,
                ("tcp_local", "tcp_local"),
                enqueue,
                (list, "bob@varrius.com"),
                "/q/ZZ2.00",
                "",
            ),
            entry(
                1,
                ("tcp_local", "tcp_local"),
                enqueue,
                (list, "cam@varrius.com"),
                "/q/ZZ2.00",
                "",
            ),
            entry(
                2,
                ("ims-ms", ""),
                (Action::Dequeue, LOCAL),
                (list, "amy@ims-ms-daemon"),
                "/q/ZZ1.00",
                "",
            ),
            entry(
                3,
                ("tcp_local", ""),
                (Action::Dequeue, ESMTP),
                (list, "bob@varrius.com"),
                "/q/ZZ2.00",
                done,
            ),
            entry(
                3,
                ("tcp_local", ""),
                (Action::Dequeue, ESMTP),
                (list, "cam@varrius.com"),
                "/q/ZZ2.00",
                done,
            ),
        ],
        &[
            "tcp_local    ims-ms       EE 1 adam@sesta.com rfc822;list@siroe.com amy@ims-ms-daemon /q/ZZ1.00 \
             <m1@sesta.com>",
            "tcp_local    tcp_local    EE 1 adam@sesta.com rfc822;list@siroe.com bob@varrius.com /q/ZZ2.00 \
             <m1@sesta.com>",
            "tcp_local    tcp_local    EE 1 adam@sesta.com rfc822;list@siroe.com cam@varrius.com /q/ZZ2.00 \
             <m1@sesta.com>",
            "ims-ms                    D 1 adam@sesta.com rfc822;list@siroe.com amy@ims-ms-daemon /q/ZZ1.00 \
             <m1@sesta.com>",
            "tcp_local                 DE 1 adam@sesta.com rfc822;list@siroe.com bob@varrius.com /q/ZZ2.00 \
             <m1@sesta.com> smtp;250 ok",
            "tcp_local                 DE 1 adam@sesta.com rfc822;list@siroe.com cam@varrius.com /q/ZZ2.00 \
             <m1@sesta.com> smtp;250 ok",
        ],
    );
}

#[test]
fn by_way_of_the_conversion_channel() {
    let who = ("rfc822;bert@sesta.com", "bert@ims-ms-daemon");
    check_messages(
        &options(&[("LOG_FILENAME", "1"), ("LOG_MESSAGE_ID", "1")]),
        &[
            entry(
                1,
                ("tcp_local", "conversion"),
                (Action::Enqueue, ESMTP),
                who,
                "/q/ZZ1.00",
                "",
            ),
            entry(
                2,
                ("conversion", "ims-ms"),
                (Action::Enqueue, LOCAL),
                who,
                "/q/ZZ2.00",
                "",
            ),
            entry(
                2,
                ("conversion", ""),
                (Action::Dequeue, LOCAL),
                who,
                "/q/ZZ1.00",
                "",
            ),
            entry(3, ("ims-ms", ""), (Action::Dequeue, LOCAL), who, "/q/ZZ2.00", ""),
        ],
        &[
            "tcp_local    conversion   EE 1 adam@sesta.com rfc822;bert@sesta.com bert@ims-ms-daemon /q/ZZ1.00 \
             <m1@sesta.com>",
            "conversion   ims-ms       E 1 adam@sesta.com rfc822;bert@sesta.com bert@ims-ms-daemon /q/ZZ2.00 \
             <m1@sesta.com>",
            "conversion                D 1 adam@sesta.com rfc822;bert@sesta.com bert@ims-ms-daemon /q/ZZ1.00 \
             <m1@sesta.com>",
            "ims-ms                    D 1 adam@sesta.com rfc822;bert@sesta.com bert@ims-ms-daemon /q/ZZ2.00 \
             <m1@sesta.com>",
        ],
    );
}

#[test]
fn an_outbound_connection() {
    let options = options(&[("LOG_CONNECTION", "3"), ("LOG_PROCESS", "1")]);
    let process = |operation| {
        Some(ProcessId {
            process: 0x409f,
            thread: Some(4),
            operation,
        })
    };
    let connection = |second, action, operation| ConnectionRecord {
        time: at(second),
        process: process(operation),
        channel: "tcp_local".into(),
        direction: Direction::Outbound,
        code: Code::new(action, Modifiers::default()),
        transport: "TCP|206.184.139.12|5900|192.0.2.25|25".into(),
        application: "SMTP/sesta.com/thor.sesta.com".into(),
        ..ConnectionRecord::default()
    };
    let delivered = |recipient, operation| MessageRecord {
        process: process(operation),
        source_system: "thor.sesta.com".into(),
        ..entry(
            2,
            ("tcp_local", ""),
            (Action::Dequeue, ESMTP),
            (recipient, recipient),
            "",
            "dns;thor.sesta.com (TCP|206.184.139.12|5900|192.0.2.25|25) (ESMTP) smtp;250 ok",
        )
    };
    let mut lines = vec![String::new(); 4];
    write::connection(&mut lines[0], &connection(1, Action::Opened, 2), &options);
    write::message(&mut lines[1], &delivered("a@sesta.com", 3), &options);
    write::message(&mut lines[2], &delivered("b@sesta.com", 3), &options);
    write::connection(&mut lines[3], &connection(3, Action::Closed, 4), &options);
    let lines: Vec<&str> = lines.iter().map(|line| &line[24..]).collect();
    let diagnostic = "dns;thor.sesta.com (TCP|206.184.139.12|5900|192.0.2.25|25) (ESMTP) smtp;250 ok";
    let transport = "TCP|206.184.139.12|5900|192.0.2.25|25 SMTP/sesta.com/thor.sesta.com";
    let want = [
        format!("409f.4.2 tcp_local    -            O {transport}"),
        format!(
            "409f.4.3 tcp_local                 DE 1 adam@sesta.com a@sesta.com a@sesta.com thor.sesta.com \
             {diagnostic}"
        ),
        format!(
            "409f.4.3 tcp_local                 DE 1 adam@sesta.com b@sesta.com b@sesta.com thor.sesta.com \
             {diagnostic}"
        ),
        format!("409f.4.4 tcp_local    -            C {transport}"),
    ];
    assert_eq!(lines, want);
}

#[test]
fn one_recipient_of_two_has_to_wait() {
    let (one, two) = (
        ("rfc822;one@x.net", "one@x.net"),
        ("rfc822;two@x.net", "two@x.net"),
    );
    let to = ("tcp_local", "");
    check_messages(
        &options(&[("LOG_FILENAME", "1")]),
        &[
            entry(1, to, (Action::Dequeue, ESMTP), one, "/q/ZZ1.00", "smtp;250 ok"),
            entry(
                1,
                to,
                (Action::PartlyDone, LOCAL),
                two,
                "/q/ZZ1.00",
                "smtp;450 4.2.1 busy",
            ),
            entry(
                1,
                ("tcp_local", "tcp_local"),
                (Action::Enqueue, LOCAL),
                two,
                "/q/ZZ2.00",
                "",
            ),
            entry(9, to, (Action::Dequeue, ESMTP), two, "/q/ZZ2.00", "smtp;250 ok"),
        ],
        &[
            "tcp_local                 DE 1 adam@sesta.com rfc822;one@x.net one@x.net /q/ZZ1.00 smtp;250 ok",
            "tcp_local                 Z 1 adam@sesta.com rfc822;two@x.net two@x.net /q/ZZ1.00 smtp;450 4.2.1 busy",
            "tcp_local    tcp_local    E 1 adam@sesta.com rfc822;two@x.net two@x.net /q/ZZ2.00",
            "tcp_local                 DE 1 adam@sesta.com rfc822;two@x.net two@x.net /q/ZZ2.00 smtp;250 ok",
        ],
    );
}

#[test]
fn it_is_given_up_and_the_sender_is_told() {
    let who = ("rfc822;user@some.org", "user@some.org");
    let sender = ("rfc822;adam@sesta.com", "adam@ims-ms-daemon");
    let dsn = |mut record: MessageRecord<'static>| {
        record.sender = "".into();
        record
    };
    let returned = MessageRecord {
        reason: "delivery time expired".into(),
        ..entry(
            1,
            ("tcp_local", ""),
            (Action::Returned, LOCAL),
            who,
            "/q/ZW1.03",
            FAILED_CONNECT,
        )
    };
    check_messages(
        &options(&[("LOG_FILENAME", "1"), ("LOG_REASON", "1")]),
        &[
            returned,
            dsn(entry(
                1,
                ("process", "ims-ms"),
                (Action::Enqueue, LOCAL),
                sender,
                "/q/ZZ9.00",
                "",
            )),
            dsn(entry(
                1,
                ("process", ""),
                (Action::Dequeue, LOCAL),
                sender,
                "/q/ZZ8.00",
                "",
            )),
        ],
        &[
            "tcp_local                 R 1 adam@sesta.com rfc822;user@some.org user@some.org /q/ZW1.03 \
             delivery time expired TCP active open: Failed connect() 192.1.1.1:25  Error: no route to host",
            "process      ims-ms       E 1  rfc822;adam@sesta.com adam@ims-ms-daemon /q/ZZ9.00",
            "process                   D 1  rfc822;adam@sesta.com adam@ims-ms-daemon /q/ZZ8.00",
        ],
    );
}
