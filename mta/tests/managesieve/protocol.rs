//! The protocol without sockets: literals, limits, names, any octets at all.

use mta::managesieve::protocol::{Event, MAX_BAD_COMMANDS, MAX_LINE, Protocol, Request};
use mta::managesieve::scripts::check_name;

/// The requests of an input that comes in pieces.
fn requests(input: &[u8], piece: usize) -> (Vec<Request>, String) {
    let mut protocol = Protocol::new();
    protocol.set_authenticated(true);
    let mut found = Vec::new();
    for part in input.chunks(piece) {
        protocol.input(part);
        while let Event::Request(request) = protocol.poll() {
            found.push(request);
        }
    }
    (
        found,
        String::from_utf8_lossy(&protocol.take_output()).into_owned(),
    )
}

#[test]
fn a_refused_command_takes_its_literals_along() {
    let noop = || vec![Request::Noop(None)];
    let large = format!(
        "PUTSCRIPT \"a\" {{70000+}}\r\n{}\r\nNOOP\r\n",
        "LOGOUT\r\n".repeat(8750)
    );
    let cases: [(&str, &str, Vec<Request>); 9] = [
        ("unknown command", "DANCE {8+}\r\nLOGOUT\r\n\r\nNOOP\r\n", noop()),
        (
            "no space before the literal",
            "PUTSCRIPT \"a\"{8+}\r\nLOGOUT\r\n\r\nNOOP\r\n",
            noop(),
        ),
        (
            "quote that does not end",
            "PUTSCRIPT \"a {8+}\r\nLOGOUT\r\n\r\nNOOP\r\n",
            noop(),
        ),
        ("too large", &large, noop()),
        (
            "no plus",
            "CHECKSCRIPT {5}\r\nkeep;\r\n",
            vec![Request::CheckScript(b"keep;".to_vec())],
        ),
        (
            "empty literal",
            "CHECKSCRIPT {0+}\r\n\r\n",
            vec![Request::CheckScript(Vec::new())],
        ),
        (
            "literal in quotes",
            "CHECKSCRIPT \"{5+}\"\r\n",
            vec![Request::CheckScript(b"{5+}".to_vec())],
        ),
        (
            "literal name",
            "PUTSCRIPT {1+}\r\na {5+}\r\nkeep;\r\nNOOP\r\n",
            vec![
                Request::PutScript {
                    name: "a".into(),
                    text: b"keep;".to_vec(),
                },
                Request::Noop(None),
            ],
        ),
        ("bare line feed", "CAPABILITY\nNOOP\r\n", noop()),
    ];
    for (name, input, want) in cases {
        for piece in [1, 7, input.len()] {
            assert_eq!(
                requests(input.as_bytes(), piece).0,
                want,
                "{name} in pieces of {piece}"
            );
        }
    }
}

#[test]
fn limits_end_the_connection() {
    let cases = [
        ("long line", "x".repeat(MAX_LINE + 1)),
        (
            "huge literal",
            "CHECKSCRIPT {99999999999999999999999+}\r\n".into(),
        ),
        ("literals without end", "{1+}\r\nx ".repeat(9)),
        ("bad commands", "DANCE\r\n".repeat(MAX_BAD_COMMANDS as usize)),
    ];
    for (name, input) in cases {
        let (found, output) = requests(input.as_bytes(), 4096);
        assert!(found.is_empty(), "{name}");
        assert!(output.contains("BYE"), "{name}: {output}");
    }
}

#[test]
fn random_octets_never_panic() {
    let words: [&[u8]; 16] = [
        b"\r\n",
        b"\"",
        b"\\",
        b"{3+}\r\n",
        b"{",
        b"}",
        b" ",
        b"PUTSCRIPT",
        b"NOOP",
        b"AUTHENTICATE",
        b"\n",
        b"\0",
        b"\xff",
        b"12",
        b"{0}\r\n",
        b"a",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..3000 {
        let mut input = Vec::new();
        for _ in 0..next() % 60 {
            match next() % 4 {
                0 => input.push(next() as u8),
                _ => input.extend_from_slice(words[next() as usize % words.len()]),
            }
        }
        let whole = requests(&input, input.len().max(1));
        let piece = next() as usize % 5 + 1;
        assert_eq!(
            whole,
            requests(&input, piece),
            "round {round}: {input:?} in pieces of {piece}"
        );
    }
}

#[test]
fn names_stay_in_their_folder() {
    let long = "x".repeat(128);
    let wide = "\u{e9}".repeat(124);
    for name in [
        "a",
        "my script",
        "caf\u{e9}",
        "a.b",
        "%2e",
        long.as_str(),
        wide.as_str(),
        "active",
    ] {
        assert!(check_name(name).is_ok(), "{name}");
    }
    let (longer, wider) = ("x".repeat(129), "\u{20ac}".repeat(84));
    for name in [
        "",
        ".",
        "..",
        ".new",
        "a/b",
        "/a",
        "a..b",
        "a\0",
        "a\nb",
        "a\u{85}",
        "a\u{2028}b",
        &longer,
        &wider,
    ] {
        assert!(check_name(name).is_err(), "{name:?}");
    }
}
