//! Clients that break the protocol, by mistake or on purpose.

use std::time::Instant;

use tests::{Client, Server, Site, until};

/// Ends of a message that are none, or that somebody else takes for one.
const ENDS: &[(&str, &[u8])] = &[
    ("LF . LF", b"\n.\n"),
    ("LF . CRLF", b"\n.\r\n"),
    ("CRLF . LF", b"\r\n.\n"),
    ("CRLF . CR", b"\r\n.\r"),
    ("CR . CR", b"\r.\r"),
    ("CR . CRLF", b"\r.\r\n"),
    ("CR . LF", b"\r.\n"),
    ("LF . CR", b"\n.\r"),
    ("CRLF . CR CRLF", b"\r\n.\r\r\n"),
    ("CRLF NUL . CRLF", b"\r\n\0.\r\n"),
    ("CRLF . NUL CRLF", b"\r\n.\0\r\n"),
    ("CRLF .. CRLF", b"\r\n..\r\n"),
    ("CRLF . blank CRLF", b"\r\n. \r\n"),
    ("CR CRLF . CRLF", b"\r\r\n.\r\n"),
];

#[test]
fn no_message_is_smuggled_behind_a_false_end() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut replies = Vec::new();
    for (n, (name, end)) in ENDS.iter().enumerate() {
        let mut client = server.outside();
        client.hello();
        client.say("MAIL FROM:<x@one.example>").expect(250);
        client.say("RCPT TO:<alice@example.com>").expect(250);
        client.say("DATA").expect(354);
        let mut all = format!("Subject: first {n}\r\n\r\ntext").into_bytes();
        all.extend_from_slice(end);
        all.extend_from_slice(
            format!("MAIL FROM:<evil@one.example>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\nSubject: smuggled {n}\r\n\r\nx\r\n.\r\nQUIT\r\n").as_bytes(),
        );
        client.send(&all).expect("the message");
        client.half_close();
        let said: Vec<String> = client.replies_to_the_end().iter().map(|r| r.line()).collect();
        replies.push(format!("{name}: {said:?}"));
    }
    until("an empty queue", || site.queue().is_empty().then_some(()));
    // a subject is that of a message where it stands above the first empty line
    let subjects: Vec<String> = site
        .mail("alice")
        .iter()
        .filter_map(|m| {
            m.split("\n\n")
                .next()?
                .lines()
                .find_map(|l| l.strip_prefix("Subject: ").map(str::to_string))
        })
        .collect();
    for (n, (name, _)) in ENDS.iter().enumerate() {
        // the last one ends a line with CR and the message with a true end: what follows is a second message
        let real_end = *name == "CR CRLF . CRLF";
        assert!(
            real_end || !subjects.contains(&format!("smuggled {n}")),
            "{name}: {subjects:?}\n{}",
            replies.join("\n")
        );
        let first = subjects.iter().filter(|s| **s == format!("first {n}")).count();
        assert!(first <= 1, "{name}: {subjects:?}");
    }
    // dot-stuffing and lines of blanks are no faults: those two messages arrive, whole
    for (name, part) in [
        ("CRLF .. CRLF", "text\n.\nMAIL FROM"),
        ("CRLF . blank CRLF", "text\n \nMAIL FROM"),
    ] {
        assert!(
            site.mail("alice").iter().any(|m| m.contains(part)),
            "{name}:\n{}",
            replies.join("\n")
        );
    }
}

#[test]
fn bad_commands_are_refused_and_the_session_goes_on() {
    let site = Site::new();
    let server = Server::start(&site);
    let long = |n: usize| "x".repeat(n);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("bare LF", b"NOOP\nNOOP\r\n".to_vec()),
        ("bare CR", b"NOOP\rNOOP\r\n".to_vec()),
        ("NUL", b"NO\0OP\r\n".to_vec()),
        ("long command", format!("NOOP {}\r\n", long(100_000)).into_bytes()),
        ("long EHLO", format!("EHLO {}\r\n", long(1_000)).into_bytes()),
        (
            "long address",
            format!("MAIL FROM:<{}@one.example>\r\n", long(1_000)).into_bytes(),
        ),
        ("not UTF-8", b"MAIL FROM:<\xff\xfe@one.example>\r\n".to_vec()),
        ("empty", b"\r\n".to_vec()),
        ("unknown", b"WIZ\r\n".to_vec()),
        ("no angle brackets", b"MAIL FROM: x@one.example\r\n".to_vec()),
        (
            "unknown parameter",
            b"MAIL FROM:<x@one.example> FOO=BAR\r\n".to_vec(),
        ),
        ("RCPT too early", b"RCPT TO:<alice@example.com>\r\n".to_vec()),
        ("DATA too early", b"DATA\r\n".to_vec()),
    ];
    for (name, octets) in cases {
        let mut client = server.outside();
        client.hello();
        client.send(&octets).expect("the command");
        let reply = client.reply();
        assert!((500..=559).contains(&reply.code), "{name}: {}", reply.line());
        assert_eq!(client.say("NOOP").code, 250, "{name}");
        assert_eq!(
            client
                .mail(
                    "x@one.example",
                    &["alice@example.com"],
                    &format!("Subject: {name}\r\n\r\nx")
                )
                .code,
            250,
            "{name}"
        );
    }
    // without end, they end the session
    let mut client = server.outside();
    client.send("WIZ\r\n".repeat(1_000)).ok();
    let replies = client.replies_to_the_end();
    assert!(
        replies.len() < 100 && replies.last().is_some_and(|r| r.code == 421),
        "{} replies",
        replies.len()
    );
    // HTTP is shown the door
    let mut client = server.outside();
    client
        .send("POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<x@one.example>\r\n")
        .ok();
    assert!(client.replies_to_the_end().iter().all(|r| r.code >= 400));
}

#[test]
fn octet_by_octet_and_half_closed_clients_are_served() {
    let site = Site::new();
    let server = Server::start(&site);
    let session = "EHLO slow\r\nMAIL FROM:<x@one.example>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n";
    let message = "Subject: slow\r\n\r\n..dot\r\n.\r\n";
    let mut client = server.outside();
    for octet in session.bytes() {
        client.send([octet]).expect("an octet");
    }
    let codes: Vec<u16> = (0..4).map(|_| client.reply().code).collect();
    assert_eq!(codes, [250, 250, 250, 354]);
    for octet in message.bytes() {
        client.send([octet]).expect("an octet");
    }
    client.reply().expect(250);
    client.send("QUIT\r\n").expect("QUIT");
    client.reply().expect(221);
    assert!(site.mail_with("alice", "Subject: slow").ends_with("\n\n.dot\n"));
    // everything at once, and then no more: each command is answered, the mail arrives
    let mut client = server.outside();
    client
        .send(format!("{session}{}", message.replace("slow", "half")))
        .expect("a session");
    client.half_close();
    let codes: Vec<u16> = client.replies_to_the_end().iter().map(|r| r.code).collect();
    assert_eq!(codes, [250, 250, 250, 354, 250]);
    site.mail_with("alice", "Subject: half");
    // a message that breaks off is no message
    let mut client = server.outside();
    client
        .send(format!("{session}Subject: broken\r\n\r\nhalf of a li"))
        .expect("a session");
    client.half_close();
    let codes: Vec<u16> = client.replies_to_the_end().iter().map(|r| r.code).collect();
    assert_eq!(codes, [250, 250, 250, 354]);
    site.log_line(&[" V", "alice@example.com"]);
    until("an empty queue", || site.queue().is_empty().then_some(()));
    assert!(!site.mail("alice").iter().any(|m| m.contains("broken")));
}

#[test]
fn what_follows_starttls_in_the_clear_is_not_taken_for_secure() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut client = server.inside();
    client.hello();
    client
        .send("STARTTLS\r\nMAIL FROM:<evil@one.example>\r\nRCPT TO:<alice@example.com>\r\n")
        .expect("commands");
    let codes: Vec<u16> = client.replies_to_the_end().iter().map(|r| r.code).collect();
    assert_eq!(codes, [554], "the connection is closed before a handshake");
    // EHLO and MAIL from before the handshake are forgotten after it
    let mut client = server.inside();
    client.hello();
    client.say("STARTTLS").expect(220);
    client.handshake();
    client.say("MAIL FROM:<x@one.example>").expect(503);
    client.hello();
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            "Subject: secure\r\n\r\nx",
        )
        .expect(250);
    site.mail_with("alice", "Subject: secure");
}

/// KiB that an idle connection may take in the server.
const IDLE_KIB: u64 = 64;

#[test]
fn thousands_of_idle_connections_take_little_and_stop_nobody() {
    let wanted: u32 = std::env::var("SLUICE_IDLE")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(2_000);
    let site = Site::new();
    let server = Server::start(&site);
    let allowed = Server::allow_files(server.pid(), wanted + 500)
        && Server::allow_files(std::process::id(), wanted + 2_000);
    assert!(
        allowed,
        "prlimit could not raise the limit of open files; set SLUICE_IDLE to less"
    );
    let before = server.memory("VmRSS");
    let mut idle: Vec<Client> = (0..wanted)
        .map(|_| Client::connect(server.smtp(), "127.0.0.1").expect("a connection"))
        .collect();
    for client in &mut idle {
        client.reply().expect(220);
    }
    let each = server.memory("VmRSS").saturating_sub(before) / u64::from(wanted);
    eprintln!("{wanted} idle connections: {each} KiB each");
    assert!(each < IDLE_KIB, "{each} KiB a connection");
    let mut client = server.outside();
    client.hello();
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            "Subject: between\r\n\r\nx",
        )
        .expect(250);
    site.mail_with("alice", "Subject: between");
    // they are served when they wake
    for client in idle.iter_mut().step_by(100) {
        client.say("NOOP").expect(250);
    }
}

#[test]
fn a_flood_of_commands_whose_replies_nobody_reads_is_bounded() {
    const COMMANDS: usize = 100_000;
    let site = Site::new();
    let server = Server::start(&site);
    let mut client = server.inside();
    client.hello();
    let before = server.memory("VmRSS");
    let mut quick = server.outside();
    quick.hello();
    std::thread::scope(|scope| {
        // the client may be stopped by the server, which waits for it to read: then it goes on when it reads
        let server = &server;
        let flood = "RSET\r\n".repeat(COMMANDS);
        let half = flood.len() / 2;
        let (first, rest) = flood.split_at(half - half % 6);
        client.send(first).expect("half of the flood");
        let began = Instant::now();
        // somebody else is served meanwhile
        quick.say("NOOP").expect(250);
        eprintln!("NOOP beside a flood: {:?}", began.elapsed());
        scope.spawn(move || {
            let peak = server.memory("VmHWM");
            assert!(
                peak < before + 32 * 1024,
                "{before} KiB before, {peak} KiB at the worst"
            );
        });
        client.send(rest).expect("the other half");
    });
    for n in 0..COMMANDS {
        assert_eq!(client.reply().code, 250, "reply {n}");
    }
    let peak = server.memory("VmHWM");
    assert!(
        peak < before + 32 * 1024,
        "{before} KiB before, {peak} KiB at the worst"
    );
    client.say("NOOP").expect(250);
}

/// A message of this size, in MiB, may raise the server's memory by no more than [`BIG_FACTOR`] times itself.
const BIG: usize = 20;

/// The store channel holds the content, and a copy with its Return-Path, while it delivers.
const BIG_FACTOR: u64 = 3;

#[test]
fn a_big_message_arrives_and_one_too_big_is_refused() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    let before = server.memory("VmRSS");
    let line = format!("{}\r\n", "0123456789".repeat(7));
    let lines = BIG * 1024 * 1024 / line.len();
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            &format!("Subject: big\r\n\r\n{}end", line.repeat(lines)),
        )
        .expect(250);
    let received = server.memory("VmHWM").saturating_sub(before);
    let mail = site.mail_with("alice", "Subject: big");
    assert!(
        mail.ends_with("789\nend\n") && mail.lines().count() > lines,
        "the message is whole"
    );
    let peak = server.memory("VmHWM").saturating_sub(before);
    eprintln!("a message of {BIG} MiB: {received} KiB more to receive it, {peak} KiB more to deliver it");
    assert!(
        peak < BIG as u64 * 1024 * BIG_FACTOR,
        "{peak} KiB more for {BIG} MiB"
    );
    drop(client);
    // limits: what SIZE announces is refused before it is sent, what it hides after it was read
    site.append("option.dat", "BLOCK_LIMIT=100\n");
    site.imsimta(["reload"]).expect(0);
    let mut client = server.outside();
    assert!(client.hello().contains("SIZE 102400"));
    client.say("MAIL FROM:<x@one.example> SIZE=200000").expect(552);
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            &format!("Subject: too big\r\n\r\n{}", line.repeat(3_000)),
        )
        .expect(552);
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            &format!("Subject: fits\r\n\r\n{}", line.repeat(1_000)),
        )
        .expect(250);
    site.mail_with("alice", "Subject: fits");
    assert_eq!(site.mail("alice").len(), 2);
}
