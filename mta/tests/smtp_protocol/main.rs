//! The server's protocol machine: dialogues, smuggling, any cut of the input, any input at all.

mod commands;
mod dialogues;
mod peer;

use std::path::Path;

use bytes::BytesMut;
use dialogues::{Setup, connect};
use mta::smtp::protocol::{CloseReason, Event, Features, Limits, Reply, Request, Server};
use mta::smtp::wire::{BodyReader, Transfer};
use peer::lines;

const ENVELOPE: &[u8] = b"HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n";

/// Everything that some server takes for the end of a message, followed by a second message.
#[test]
fn only_crlf_dot_crlf_ends_a_message() {
    let false_ends: &[(&str, &[u8])] = &[
        ("LF . LF", b"\n.\n"),
        ("LF . CRLF", b"\n.\r\n"),
        ("LF . CR", b"\n.\r"),
        ("CR . CR", b"\r.\r"),
        ("CR . CRLF", b"\r.\r\n"),
        ("CR . LF", b"\r.\n"),
        ("CRLF . LF", b"\r\n.\n"),
        ("CRLF . CR", b"\r\n.\rx"),
        ("CRLF . CR CR LF", b"\r\n.\r\r\n"),
        ("CR CR . CR CR", b"\r\r.\r\r"),
        ("CR CRLF . CR CRLF", b"\r\r\n.\r\r\n"),
        ("CRLF NUL . CRLF", b"\r\n\0.\r\n"),
        ("CRLF . NUL CRLF", b"\r\n.\0\r\n"),
        ("LF LF . CRLF", b"\n\n.\r\n"),
        ("LF CR . LF CR", b"\n\r.\n\r"),
    ];
    let smuggled: &[u8] = b"MAIL FROM:<evil@x>\r\nRCPT TO:<victim@x>\r\nDATA\r\nevil";
    for (name, end) in false_ends {
        let input = [ENVELOPE, b"text", end, smuggled, b"\r\n.\r\nNOOP\r\n"].concat();
        for cut in 0..input.len() {
            let mut peer = connect(Setup::Plain);
            let (front, back) = input.split_at(cut);
            peer.feed(front, usize::MAX);
            peer.feed(back, usize::MAX);
            let events = [
                "HELO c",
                "Mail <a@x>",
                "Rcpt <b@x>",
                "Data { chunking: false }",
                "MessageRefused 550",
            ];
            assert_eq!(peer.events, events, "{name}, cut at {cut}");
            assert!(
                peer.output.ends_with(b"\r\n250 2.5.0 Ok.\r\n"),
                "{name}: the session goes on"
            );
        }
    }
}

#[test]
fn dots_are_unstuffed_at_any_cut() {
    let cases: &[(&str, &[u8], &[u8])] = &[
        ("empty message", b".\r\n", b""),
        ("one empty line", b"\r\n.\r\n", b"\r\n"),
        ("two dots", b"..\r\n.\r\n", b".\r\n"),
        ("dot and text", b".a\r\n.\r\n", b"a\r\n"),
        ("dots inside", b"a.b..\r\n...\r\n.\r\n", b"a.b..\r\n..\r\n"),
        ("dot and blank", b". \r\n.\r\n", b" \r\n"),
    ];
    for (name, input, wanted) in cases {
        for cut in 0..=input.len() {
            let mut reader = BodyReader::new(Transfer::Dots, 0);
            let mut out = BytesMut::new();
            let (front, back) = input.split_at(cut);
            let (used, ended) = reader.read(front, &mut out);
            assert_eq!(used, front.len(), "{name}");
            assert_eq!(ended, back.is_empty(), "{name}: ends too early or too late");
            if !ended {
                assert_eq!(
                    reader.read(back, &mut out),
                    (back.len(), true),
                    "{name}, cut at {cut}"
                );
            }
            assert_eq!(&out[..], *wanted, "{name}, cut at {cut}");
            assert_eq!(reader.fault(), None, "{name}");
            assert_eq!(reader.counts().octets, wanted.len() as u64, "{name}");
        }
    }
}

#[test]
fn long_lines_pass_and_are_counted() {
    let mut reader = BodyReader::new(Transfer::Dots, 0);
    let mut out = BytesMut::new();
    let text = [
        vec![b'a'; 998],
        b"\r\n".to_vec(),
        vec![b'b'; 999],
        b"\r\n..\r\n.\r\nRSET\r\n".to_vec(),
    ]
    .concat();
    let (used, ended) = reader.read(&text, &mut out);
    assert_eq!((used, ended), (text.len() - 6, true));
    let counts = reader.counts();
    assert_eq!(
        (counts.lines, counts.long_lines, counts.longest_line),
        (3, 1, 999)
    );
    assert_eq!(counts.octets, 998 + 2 + 999 + 2 + 3);
}

#[test]
fn a_large_message_comes_in_pieces() {
    let line = [vec![b'x'; 70], b"\r\n".to_vec()].concat();
    let text = line.repeat(8192); // 9 pieces of 65536

    let mut peer = connect(Setup::Plain);
    peer.feed(ENVELOPE, usize::MAX);
    peer.feed(&text, 4096);
    assert!(
        peer.body.len() >= text.len() - 2 * 65536,
        "most of it is handed over before the end"
    );
    peer.feed(b".\r\n", usize::MAX);
    assert!(peer.body == text, "the pieces make the message");

    // The same by BDAT, with chunks that fill pieces exactly.
    let mut peer = connect(Setup::Plain);
    peer.feed(b"HELO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n", usize::MAX);
    for chunk in text.chunks(65536) {
        peer.feed(
            &[format!("BDAT {}\r\n", chunk.len()).as_bytes(), chunk].concat(),
            10_000,
        );
    }
    peer.feed(b"BDAT 0 LAST\r\n", usize::MAX);
    assert!(peer.body == text, "the chunks make the message");
    assert!(
        peer.events.last().unwrap().starts_with("Message 589824 "),
        "{:?}",
        peer.events.last()
    );
}

#[test]
fn command_lines_have_limits() {
    let cases: &[(&str, &str, usize, usize)] = &[
        ("most commands", "NOOP ", 512, 500),
        ("MAIL", "MAIL FROM:<a@x> ", 2048, 500),
        ("AUTH", "AUTH PLAIN ", 12288, 500),
    ];
    for (name, start, limit, code) in cases {
        for (over, wanted) in [(0, false), (1, true)] {
            let fill = "x".repeat(limit + over - start.len() - 2);
            for piece in [1, 511, usize::MAX] {
                let mut peer = connect(Setup::Full);
                peer.feed(format!("{start}{fill}\r\nRSET\r\n").as_bytes(), piece);
                let output = String::from_utf8(peer.output).unwrap();
                let too_long = output.contains(&format!("\r\n{code} 5.5."))
                    && output.contains("Command line too long, at most");
                assert_eq!(too_long, wanted, "{name}, {over} over: {output}");
                assert!(
                    output.ends_with("250 2.5.0 Ok.\r\n"),
                    "{name}: the session goes on: {output}"
                );
            }
        }
    }
    // A response of an AUTH exchange.
    let mut peer = connect(Setup::Full);
    peer.feed(
        format!("HELO c\r\nAUTH LOGIN\r\n{}\r\nNOOP\r\n", "x".repeat(12287)).as_bytes(),
        1000,
    );
    let output = String::from_utf8(peer.output).unwrap();
    assert!(
        output.ends_with("at most 12288 octets are allowed here\r\n250 2.5.0 Ok.\r\n"),
        "{output}"
    );
    assert!(output.contains("\r\n500 5.5.6 "), "{output}");
    assert_eq!(peer.events[2], "AuthCancelled");
    assert!(!peer.events.concat().contains("xxx"), "a response is not shown");
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let mut peer = connect(Setup::Plain);
    for _ in 0..1000 {
        peer.feed(&[b'a'; 4096], usize::MAX);
    }
    assert_eq!(peer.server.unread(), 0);
    assert!(peer.held <= 4096 + 512, "{}", peer.held);
    peer.feed(b"\r\nNOOP\r\n", usize::MAX);
    assert_eq!(lines(&peer.output).len(), 4, "banner, one refusal, one answer");
}

#[test]
fn a_flood_of_commands_waits_for_the_output() {
    let mut server = Server::new(Limits::default(), Features::default());
    server.greet(Reply::new(220, None, "ready"));
    let flood = b"HELP\r\n".repeat(10_000);
    let mut left = &flood[..];
    let mut replies = 0;
    while replies < 10_000 {
        if server.wants_input() {
            let (now, later) = left.split_at(left.len().min(8192));
            server.input(now);
            left = later;
            assert!(server.unread() <= 65536 + 8192);
        }
        if matches!(server.poll(), Event::Flush) {
            assert!(!server.wants_input(), "no input while the output waits");
        }
        let output = server.take_output();
        assert!(output.len() <= 65536 + 512, "{}", output.len());
        replies += output.windows(4).filter(|window| window == b"214 ").count();
    }
    assert!(left.is_empty());
}

#[test]
fn nothing_is_read_while_a_request_waits() {
    let mut server = Server::new(Limits::default(), Features::default());
    server.input(b"HELO early\r\n");
    assert_eq!(server.poll(), Event::NeedAnswer, "the greeting comes first");
    assert_eq!(server.unread(), 12);
    server.greet(Reply::new(220, None, "ready"));
    server.input(b"QUIT\r\n");
    assert!(matches!(server.poll(), Event::Request(Request::Hello { .. })));
    assert_eq!(server.poll(), Event::NeedAnswer);
    assert!(!server.wants_input());
    assert_eq!(server.unread(), 6);
    server.answer(Reply::new(250, None, "hi").closing());
    assert_eq!(server.poll(), Event::Close(CloseReason::Answer));
    assert_eq!(
        &server.take_output()[..],
        b"220 ready\r\n250 hi\r\n",
        "QUIT is not answered any more"
    );
}

#[test]
fn greetings_that_refuse() {
    let mut server = Server::new(Limits::default(), Features::default());
    server.greet(Reply::new(554, (5, 7, 1), "No service"));
    server.input(b"EHLO c\r\nBDAT 6\r\nQUIT\r\nQUIT\r\n");
    while !matches!(server.poll(), Event::Close(CloseReason::Quit)) {}
    let output = String::from_utf8(server.take_output().to_vec()).unwrap();
    assert_eq!(
        lines(output.as_bytes())
            .iter()
            .filter(|line| line.starts_with("503 5.5.1 No service"))
            .count(),
        2
    );

    let mut server = Server::new(Limits::default(), Features::default());
    server.greet(Reply::new(220, None, "ready"));
    server.input(b"HELO c\r\nNOOP\r\n");
    assert!(matches!(server.poll(), Event::Request(_)));
    server.shut_down(&Reply::new(421, (4, 4, 2), "Timeout"));
    assert_eq!(server.poll(), Event::Close(CloseReason::ShutDown));
    assert!(server.take_output().ends_with(b"421 4.4.2 Timeout\r\n"));
}

#[test]
fn replies_keep_to_their_lines() {
    let write = |reply: Reply, utf8| {
        let mut out = BytesMut::new();
        reply.write(&mut out, true, utf8);
        String::from_utf8(out.to_vec()).unwrap()
    };
    assert_eq!(
        write(Reply::new(550, (5, 1, 1), "a\r\n250 b\0"), false),
        "550 5.1.1 a  250 b \r\n"
    );
    assert_eq!(write(Reply::new(250, None, "é"), false), "250 ?\r\n");
    assert_eq!(write(Reply::new(250, None, "é"), true), "250 é\r\n");
    assert_eq!(write(Reply::lines(250, None, vec![]), true), "250 \r\n");
    assert_eq!(write(Reply::new(99, None, "x"), true), "451 x\r\n");
    assert_eq!(
        write(Reply::lines(214, (2, 3, 0), vec!["a".into(), "b".into()]), true),
        "214-2.3.0 a\r\n214 2.3.0 b\r\n"
    );
    for text in ["x".repeat(600), "é".repeat(600)] {
        let line = write(Reply::new(250, (2, 5, 0), text), true);
        assert!(
            (511..=512).contains(&line.len()) && line.ends_with("\r\n"),
            "{}",
            line.len()
        );
    }
    let many = write(Reply::lines(250, None, vec!["x".into(); 1000]), true);
    assert_eq!(many.lines().count(), 100);
    assert!(many.ends_with("250 x\r\n"));
}

/// Any octets: no panic, bounded memory, one CRLF-ended reply after another, and the same at any cut.
fn fuzz_one(octets: &[u8]) {
    for setup in [Setup::Full, Setup::Lmtp, Setup::Strict] {
        let mut seen = Vec::new();
        for piece in [usize::MAX, 1, 5] {
            let mut peer = connect(setup);
            peer.feed(octets, piece);
            assert!(peer.held <= 65536 + 512 + octets.len());
            assert!(peer.output.ends_with(b"\r\n"));
            let mut said = lines(&peer.output);
            said.pop();
            for line in said {
                assert!(
                    line.len() <= 510 && line.get(..3).is_some_and(|code| code.parse::<u16>().is_ok()),
                    "{line}"
                );
            }
            let tls = peer
                .events
                .iter()
                .any(|event| event.contains("StartTls") || event.contains("STARTTLS"));
            seen.push((peer.events, peer.output, peer.body));
            if tls {
                break;
            }
        }
        for other in &seen[1..] {
            assert!(
                other == &seen[0],
                "cut matters with {setup:?}: {:?}\n{:#?}\n{:#?}",
                octets,
                seen[0].0,
                other.0
            );
        }
    }
}

#[test]
fn the_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/smtp_command");
    let mut count = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        fuzz_one(&std::fs::read(file.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "the corpus is there");
}

#[test]
fn random_input_passes() {
    // Words that lead somewhere, put together at random, with random octets between.
    let words: &[&[u8]] = &[
        b"HELO c\r\n",
        b"EHLO c\r\n",
        b"LHLO c\r\n",
        b"MAIL FROM:<a@x>\r\n",
        b"MAIL FROM:<a@x> BODY=BINARYMIME\r\n",
        b"RCPT TO:<b@x>\r\n",
        b"RCPT TO:<bad@x>\r\n",
        b"DATA\r\n",
        b"BDAT 5\r\n",
        b"BDAT 3 LAST\r\n",
        b"BDAT 0\r\n",
        b"RSET\r\n",
        b"AUTH LOGIN\r\n",
        b"AUTH PLAIN good\r\n",
        b"*\r\n",
        b"more\r\n",
        b"VRFY x\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b".",
        b"\r\n.\r\n",
        b"..",
        b"\0",
        b"text",
        b"MAIL FROM:",
        b"RCPT TO:<",
        b"> SIZE=",
        b"\"",
        b"\\",
        b" ",
        b"=",
        b"+",
        b"NOTIFY=",
        b"ORCPT=rfc822;",
        b"\xc3\xa9",
        b"\xff",
        b"HELP\r\n",
    ];
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for _ in 0..3000 {
        let mut input = Vec::new();
        for _ in 0..next(40) {
            match next(8) {
                0 => input.push(next(256) as u8),
                _ => input.extend_from_slice(words[next(words.len())]),
            }
        }
        fuzz_one(&input);
    }
}
