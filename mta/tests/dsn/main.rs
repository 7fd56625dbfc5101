//! Notifications, read back with a MIME parser.

mod report;

use mail_parser::{MessageParser, MimeHeaders, PartType};
use mta::dsn::{CONTENT_LIMIT, CopyFacts, Kind, PostmasterCopy, postmaster_is_told, who_is_told};
use store::envelope::{Envelope, Failure, Notify, Recipient};
use store::spool::Attempt;

use report::*;

#[test]
fn a_failure_as_documented() {
    let mut failed = recipient("user@example.com");
    failed.original = "rfc822;alias@example.org".into();
    let mut case = case(vec![(failed, Kind::Failed, Some(rejected()))]);
    case.envelope.envelope_id = Some("QQ314159".into());
    case.history = vec![Attempt {
        at: 1_000_000_600,
        failure: rejected(),
    }];
    let built = case.build();
    let message = MessageParser::default().parse(&built.content).unwrap();
    assert_eq!(
        message.subject(),
        Some("Delivery Notification: Delivery has failed")
    );
    let from = message.from().unwrap().first().unwrap();
    assert_eq!(from.name(), Some("Internet Mail Delivery"));
    assert_eq!(from.address(), Some("postmaster@host.example.com"));
    assert_eq!(
        message.to().unwrap().first().unwrap().address(),
        Some("a@b.example")
    );
    assert_eq!(message.in_reply_to().as_text(), Some("m1@b.example"));
    assert_eq!(
        message.header_raw("Auto-Submitted").map(str::trim),
        Some("auto-replied")
    );
    assert_eq!(built.message_id, "<0ABC123@host.example.com>");
    assert!(!built.utf8 && !built.eight_bit);

    let (text, status, kind, original) = read(&built, "failure");
    assert_eq!(
        status.trim_end(),
        "Original-envelope-id: QQ314159\r\n\
         Reporting-MTA: dns;host.example.com (tcp-daemon)\r\n\
         Arrival-date: Sun, 9 Sep 2001 01:46:40 +0000\r\n\
         \r\n\
         Original-recipient: rfc822;alias@example.org\r\n\
         Final-recipient: rfc822;user@example.com\r\n\
         Action: failed\r\n\
         Status: 5.1.1 (Remote SMTP server has rejected address)\r\n\
         Remote-MTA: dns;mx.example.com (TCP|192.0.2.1|41423|198.51.100.7|25)\r\n \
         (mx.example.com ESMTP fast )\r\n\
         Diagnostic-code: smtp;550 5.1.1 No Such User Here"
    );
    assert_eq!(
        text.trim_end(),
        "This is a report about mail that you sent. Its header begins with:\r\n\
         \r\n  Message-ID: <m1@b.example>\r\n  From: a@b.example\r\n  To: c@d.example\r\n\
         \x20 Subject: Hello there\r\n\r\n\
         It could not be delivered to:\r\n\r\n\
         \x20 Recipient address: user@example.com\r\n\
         \x20 Original address: alias@example.org\r\n\
         \x20 Reason: Remote SMTP server has rejected address\r\n\
         \x20 Diagnostic code: smtp;550 5.1.1 No Such User Here\r\n\
         \x20 Remote system: dns;mx.example.com (TCP|192.0.2.1|41423|198.51.100.7|25)\r\n\
         \x20   (mx.example.com ESMTP (fast))\r\n\r\n\
         \r\nDelivery attempts:\r\n\r\n\
         \x20 Sun, 9 Sep 2001 01:56:40 +0000 550 5.1.1 No Such User Here"
    );
    assert_eq!((kind.as_str(), original.as_slice()), ("message/rfc822", ORIGINAL));
}

#[test]
fn kinds() {
    let late = Failure {
        status: "4.4.1".into(),
        diagnostic: "TCP active open: no".into(),
        ..Failure::default()
    };
    // Kind, failure, subject, action, status, a piece of the text, third part.
    type Case = (
        Kind,
        Option<Failure>,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    );
    let cases: Vec<Case> = vec![
        (
            Kind::Failed,
            None,
            "has failed",
            "failed",
            "5.0.0 (",
            "could not be delivered",
            "message/rfc822",
        ),
        (
            Kind::Returned,
            None,
            "has failed",
            "failed",
            "5.7.0 (",
            "postmaster returned",
            "message/rfc822",
        ),
        (
            Kind::TimedOut,
            Some(late.clone()),
            "has failed",
            "failed",
            "5.4.7 (",
            "after 1 day in the queue (allowed: 4 days)",
            "message/rfc822",
        ),
        (
            Kind::Delayed,
            Some(late),
            "has been delayed",
            "delayed",
            "4.4.1 (",
            "another 3 days",
            "text/rfc822-headers",
        ),
        (
            Kind::Delivered,
            None,
            "was successful",
            "delivered",
            "2.0.0\r\n",
            "was delivered",
            "text/rfc822-headers",
        ),
        (
            Kind::Relayed,
            None,
            "was successful",
            "relayed",
            "2.0.0\r\n",
            "passed on",
            "text/rfc822-headers",
        ),
    ];
    for (kind, failure, subject, action, status, text, third) in cases {
        let name = format!("{kind:?}");
        let mut case = case(vec![(recipient("u@x.example"), kind, failure)]);
        case.retry_until = Some(1_000_300_000);
        let built = case.build();
        let message = MessageParser::default().parse(&built.content).unwrap();
        assert_eq!(
            message.subject(),
            Some(format!("Delivery Notification: Delivery {subject}").as_str()),
            "{name}"
        );
        let (said, fields, kind_of_third, _) = read(&built, &name);
        assert!(
            fields.contains(&format!("Action: {action}\r\nStatus: {status}")),
            "{name}: {fields}"
        );
        assert!(said.contains(text), "{name}: {said}");
        assert_eq!(kind_of_third, third, "{name}");
        let until = fields.contains("Will-retry-until: Wed, 12 Sep 2001 13:06:40 +0000\r\n");
        let last = fields.contains("Last-attempt-date: ");
        assert_eq!(
            (until, last),
            (kind == Kind::Delayed, kind == Kind::Delayed),
            "{name}"
        );
        assert_eq!(
            fields.contains("X-local;TCP active open: no"),
            kind == Kind::TimedOut || kind == Kind::Delayed
        );
    }
}

#[test]
fn fates_are_grouped_and_the_worst_names_the_message() {
    let case = case(vec![
        (recipient("late@x"), Kind::Delayed, None),
        (recipient("bad@x"), Kind::Failed, Some(rejected())),
        (recipient("good@x"), Kind::Delivered, None),
        (recipient("worse@x"), Kind::Failed, Some(rejected())),
    ]);
    let built = case.build();
    let (text, status, _, _) = read(&built, "grouped");
    let order: Vec<&str> = text
        .lines()
        .filter_map(|l| l.trim().strip_prefix("Recipient address: "))
        .collect();
    assert_eq!(order, ["bad@x", "worse@x", "late@x", "good@x"]);
    assert_eq!(status.matches("Final-recipient").count(), 4);
    let message = MessageParser::default().parse(&built.content).unwrap();
    assert!(message.subject().unwrap().ends_with("Delivery has failed"));
}

#[test]
fn what_is_returned() {
    let wide = [ORIGINAL, b"gr\xfcn\r\n"].concat();
    let large = [ORIGINAL, &b"line\r\n".repeat(20_000)].concat();
    let long = [ORIGINAL, &[b'x'; 2000], b"\r\n"].concat();
    let long_header = [
        b"Subject: ".as_slice(),
        &[b'y'; 5000],
        b"\r\nTo: b@c\r\n\r\nbody\r\n",
    ]
    .concat();
    let cut = [b"Subject: ".as_slice(), &[b'y'; 989], b"\r\nTo: b@c\r\n"].concat();
    let header = &ORIGINAL[..ORIGINAL.len() - "\r\nThe body.\r\n".len()];
    let bare = [ORIGINAL, b"a\nb\r\n"].concat();
    let open = ORIGINAL[..ORIGINAL.len() - 2].to_vec();
    // Original, RET=HDRS, limit, type, body.
    type Case<'a> = (&'a str, Vec<u8>, bool, usize, &'a str, &'a [u8]);
    let cases: Vec<Case<'_>> = vec![
        (
            "whole",
            ORIGINAL.to_vec(),
            false,
            CONTENT_LIMIT,
            "message/rfc822",
            ORIGINAL,
        ),
        (
            "RET=HDRS",
            ORIGINAL.to_vec(),
            true,
            CONTENT_LIMIT,
            "text/rfc822-headers",
            header,
        ),
        (
            "8-bit body",
            wide.clone(),
            false,
            CONTENT_LIMIT,
            "message/rfc822",
            &wide,
        ),
        (
            "too large",
            large,
            false,
            CONTENT_LIMIT,
            "text/rfc822-headers",
            header,
        ),
        (
            "no content",
            ORIGINAL.to_vec(),
            false,
            0,
            "text/rfc822-headers",
            header,
        ),
        (
            "long lines",
            long,
            false,
            CONTENT_LIMIT,
            "text/rfc822-headers",
            header,
        ),
        (
            "a long header line",
            long_header,
            false,
            CONTENT_LIMIT,
            "text/rfc822-headers",
            &cut,
        ),
        (
            "bare line ends",
            bare,
            false,
            CONTENT_LIMIT,
            "text/rfc822-headers",
            header,
        ),
        (
            "no last line end",
            open,
            false,
            CONTENT_LIMIT,
            "message/rfc822",
            ORIGINAL,
        ),
    ];
    for (name, original, headers, limit, kind, body) in cases {
        let mut case = case(vec![(recipient("u@x"), Kind::Failed, None)]);
        case.original = original;
        case.envelope.return_headers = headers;
        case.content_limit = limit;
        let (_, _, got_kind, got_body) = read(&case.build(), name);
        assert_eq!(got_kind, kind, "{name}");
        assert!(got_body == body, "{name}: {}", String::from_utf8_lossy(&got_body));
    }
}

#[test]
fn utf8_addresses_take_the_global_forms() {
    let mut case = case(vec![(
        recipient("gr\u{fc}n@b\u{fc}cher.example"),
        Kind::Failed,
        Some(rejected()),
    )]);
    case.envelope.utf8 = true;
    case.envelope.from = "j\u{fc}rgen@b.example".into();
    case.original = "From: j\u{fc}rgen@b.example\r\nSubject: \u{fc}ber\r\n\r\nx\r\n"
        .as_bytes()
        .to_vec();
    let built = case.build();
    assert!(built.utf8 && built.eight_bit);
    let (text, status, kind, _) = read(&built, "utf8");
    assert_eq!(kind, "message/global");
    assert!(
        status.contains("Final-recipient: utf-8;gr\u{fc}n@b\u{fc}cher.example\r\n"),
        "{status}"
    );
    assert!(
        text.contains("Recipient address: gr\u{fc}n@b\u{fc}cher.example"),
        "{text}"
    );
    assert!(text.contains("Subject: \u{fc}ber"), "{text}");

    // Only the server's words are not ASCII: the plain forms, with the words made ASCII.
    let mut plain = self::case(vec![(recipient("u@x"), Kind::Failed, Some(rejected()))]);
    plain.recipients[0].2.as_mut().unwrap().diagnostic = "550 niemand hei\u{df}t so".into();
    let built = plain.build();
    assert!(!built.utf8);
    let (text, status, _, _) = read(&built, "words");
    assert!(status.contains("550 niemand hei?t so"), "{status}");
    assert!(text.contains("550 niemand hei\u{df}t so"), "{text}");
}

#[test]
fn nothing_from_outside_gets_into_a_header_or_makes_a_part() {
    let evil = "x\r\nBcc: v@x\r\n\r\n--Boundary_(ID_0ABC123)\r\nContent-type: text/evil\r\n\r\nhi\n\nFinal-recipient: no";
    let failure = Failure {
        status: format!("5.1.1{evil}"),
        diagnostic: format!("550 {evil}"),
        remote: evil.into(),
        transport: evil.into(),
    };
    let mut victim = recipient(evil);
    victim.original = format!("rfc822;{evil}");
    let mut case = case(vec![(victim, Kind::Failed, Some(failure.clone()))]);
    case.envelope.from = evil.into();
    case.envelope.envelope_id = Some(evil.into());
    case.envelope.message_id = format!("<{evil}>");
    case.banner = evil.into();
    case.history = vec![Attempt { at: 0, failure }];
    case.words.personal = evil.into();
    case.words.subject = evil.into();
    case.templates.prefix = format!("Content-type: text/plain\nBcc: w@x\n\n{evil}\n%H");
    case.original = format!(
        "Subject: {}\r\n\r\n--Boundary_(ID_0ABC123)--\r\n",
        evil.replace("\n\n", "\r\n")
    )
    .into_bytes();
    let built = case.build();
    let (_, status, _, original) = read(&built, "evil");
    assert_eq!(original, case.original);
    assert_eq!(status.matches("\r\nFinal-recipient:").count(), 1, "{status}");
    assert!(!status.contains("\r\nBcc"), "{status}");
    let message = MessageParser::default().parse(&built.content).unwrap();
    assert!(message.bcc().is_none());
    assert!(
        message
            .parts
            .iter()
            .all(|p| p.content_type().is_none_or(|t| t.subtype() != Some("evil")))
    );
    assert!(!matches!(message.root_part().body, PartType::Text(_)));
    let header = String::from_utf8_lossy(&built.content[..built.header_len]).into_owned();
    assert!(
        !header.contains("\r\nBcc") && !header.contains("In-reply-to"),
        "{header}"
    );
}

#[test]
fn options() {
    let mut hidden = recipient("secret@inside.example");
    hidden.original = "rfc822;public@x".into();
    let mut case = case(vec![(hidden, Kind::Failed, None)]);
    case.suppress_final = true;
    case.words.statuses.insert("5.0.0".into(), "Hopeless".into());
    case.words.reason = "Grund".into();
    case.templates.failed = "100%% %x %F %u%s, 1: %C %U%S%\n%R".into();
    let built = case.build();
    let (text, status, _, _) = read(&built, "options");
    assert!(
        !String::from_utf8_lossy(&built.content).contains("secret@"),
        "{status}"
    );
    assert!(
        status.contains("Final-recipient: rfc822;public@x\r\nAction: failed\r\nStatus: 5.0.0 (Hopeless)")
    );
    assert!(
        text.contains("100% %x 4 days, 1: 1 Day%\r\n  Recipient address: public@x\r\n"),
        "{text}"
    );
    assert!(text.contains("  Grund: Hopeless\r\n"), "{text}");
}

#[test]
fn many_recipients_are_bounded() {
    let failed = (recipient("u@x"), Kind::Failed, Some(rejected()));
    let mut case = case(vec![failed; 5000]);
    case.history = (0..100)
        .map(|at| Attempt {
            at,
            failure: rejected(),
        })
        .collect();
    let (text, status, _, _) = read(&case.build(), "many");
    assert_eq!(
        status.matches("Final-recipient").count(),
        mta::dsn::MAX_RECIPIENTS
    );
    assert!(text.contains("(+4000)"));
    assert_eq!(
        text.matches("Thu, 1 Jan 1970").count(),
        store::spool::HISTORY_LIMIT
    );
}

#[test]
fn who_hears_of_it() {
    let none = Notify::default();
    let never = Notify { given: true, ..none };
    let all = Notify {
        given: true,
        success: true,
        failure: true,
        delay: true,
    };
    let success = Notify {
        given: true,
        success: true,
        ..none
    };
    // NOTIFY, null sender; told of failure, delay, success; failure logged as K.
    let cases = [
        ("absent", none, false, [true, true, false], false),
        ("NEVER", never, false, [false, false, false], true),
        ("all", all, false, [true, true, true], false),
        ("SUCCESS", success, false, [false, false, true], false),
        ("null sender", none, true, [false, false, false], false),
    ];
    for (name, notify, null_sender, told, killed) in cases {
        let from = if null_sender {
            String::new()
        } else {
            "a@b".to_string()
        };
        let envelope = Envelope {
            from,
            ..Envelope::default()
        };
        let recipient = Recipient {
            notify,
            ..recipient("u@x")
        };
        let kinds = [Kind::Failed, Kind::Delayed, Kind::Delivered];
        assert_eq!(
            kinds.map(|kind| who_is_told(&envelope, &recipient, kind).sender),
            told,
            "{name}"
        );
        assert_eq!(
            who_is_told(&envelope, &recipient, Kind::TimedOut).logged_as_killed,
            killed,
            "{name}"
        );
        assert!(
            !who_is_told(&envelope, &recipient, Kind::Delayed).logged_as_killed,
            "{name}"
        );
    }
}

#[test]
fn postmaster_copies() {
    use PostmasterCopy::*;
    let sent = CopyFacts {
        notice_sent: true,
        ..CopyFacts::default()
    };
    let null = CopyFacts {
        null_sender: true,
        ..CopyFacts::default()
    };
    let double = CopyFacts {
        is_notification: true,
        ..null
    };
    let suppressed = CopyFacts {
        errors_to: Some(" "),
        ..sent
    };
    let redirected = CopyFacts {
        errors_to: Some("e@x"),
        ..CopyFacts::default()
    };
    // Facts; told under no keyword, sendpost, copysendpost, errsendpost, nosendpost.
    let cases = [
        ("notice sent", sent, [true, true, true, false, false]),
        ("null sender", null, [false, false, true, true, false]),
        ("double bounce", double, [false, false, false, false, false]),
        ("empty Errors-to", suppressed, [false, true, true, false, false]),
        (
            "not returnable, Errors-to",
            redirected,
            [false, false, false, false, false],
        ),
    ];
    for (name, facts, expected) in cases {
        let got = [Unset, Send, Copy, OnError, Never].map(|keyword| postmaster_is_told(keyword, facts));
        assert_eq!(got, expected, "{name}");
    }
}
