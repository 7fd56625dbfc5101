//! Dialogues as they are written in `dialogues.txt`, at any cut of the input.

use mta::smtp::protocol::{Features, Limits};

use crate::peer::{Peer, lines};

/// How the server is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    Plain,
    /// STARTTLS, AUTH PLAIN LOGIN, BINARYMIME, EXPN, a private and a proxy verb, all that can be shown.
    Full,
    Lmtp,
    /// No extension but PIPELINING, SIZE 100; at most 2 recipients, 2 transactions, 4 bad commands.
    Strict,
    /// At most 6 commands.
    FewCommands,
}

struct Dialogue {
    name: &'static str,
    setup: Setup,
    script: &'static str,
}

/// The dialogues of `dialogues.txt`, which says how they are written.
fn dialogues() -> Vec<Dialogue> {
    let parts = include_str!("dialogues.txt").split("\n== ").skip(1);
    let dialogues: Vec<Dialogue> = parts
        .map(|part| {
            let (title, script) = part.split_once('\n').unwrap();
            let (setup, name) = title.split_once(": ").unwrap();
            let setup = match setup {
                "Plain" => Setup::Plain,
                "Full" => Setup::Full,
                "Lmtp" => Setup::Lmtp,
                "Strict" => Setup::Strict,
                "FewCommands" => Setup::FewCommands,
                other => panic!("{name}: no setup {other}"),
            };
            Dialogue { name, setup, script }
        })
        .collect();
    assert!(dialogues.len() > 20, "the dialogues are there");
    dialogues
}

fn features(setup: Setup) -> Features {
    let text = |text: &str| Some(text.to_owned());
    match setup {
        Setup::Plain | Setup::FewCommands => Features::default(),
        Setup::Lmtp => Features {
            lmtp: true,
            ..Features::default()
        },
        Setup::Full => Features {
            binary_mime: true,
            expn: true,
            private: vec!["XADR".to_owned()],
            xloop: text("1ACD1B852A0296B6927366303314E0F3"),
            starttls: true,
            auth: vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
            future_release: text("3600 2030-01-01T00:00:00Z"),
            mt_priority: text("STANAG4406"),
            deliver_by: text("240"),
            no_soliciting: text("net.example:ADV"),
            proxy: vec!["XCLIENT NAME ADDR".to_owned()],
            additions: vec!["XADDITION".to_owned()],
            size: Some(5_120_000),
            ..Features::default()
        },
        Setup::Strict => Features {
            eight_bit: false,
            dsn: false,
            enhanced_codes: false,
            help: false,
            etrn: false,
            no_soliciting: None,
            chunking: false,
            size: Some(100),
            ..Features::default()
        },
    }
}

fn limits(setup: Setup) -> Limits {
    match setup {
        Setup::Strict => Limits {
            recipients: 2,
            transactions: 2,
            bad_commands: 4,
            ..Limits::default()
        },
        Setup::FewCommands => Limits {
            commands: 6,
            ..Limits::default()
        },
        _ => Limits::default(),
    }
}

/// A session after its banner.
pub fn connect(setup: Setup) -> Peer {
    Peer::new(limits(setup), features(setup))
}

/// Octets of a `C` line.
fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(c) = rest.next() {
        octets.push(match (c, c == b'\\') {
            (_, true) => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(b'x') => {
                    let digits = String::from_utf8(rest.by_ref().take(2).collect()).unwrap();
                    u8::from_str_radix(&digits, 16).unwrap()
                }
                other => other.unwrap(),
            },
            (c, false) => c,
        });
    }
    octets
}

/// Plays a dialogue with the input cut in pieces; gives the session's events.
fn play(dialogue: &Dialogue, piece: usize) -> Vec<String> {
    let name = dialogue.name;
    let mut peer = connect(dialogue.setup);
    assert_eq!(peer.output, b"220 mail.example.net ready\r\n", "{name}");
    peer.output.clear();
    let mut sent = Vec::new();
    let mut said: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for line in dialogue
        .script
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.trim().is_empty())
    {
        let (mark, text) = line.split_at(line.len().min(2));
        let text = text.strip_prefix(' ').unwrap_or(text);
        if matches!(mark, "S:" | "S*" | "TL") && !sent.is_empty() {
            assert!(said.is_empty(), "{name}: the server said more: {said:#?}");
            peer.feed(&std::mem::take(&mut sent), piece);
            said = lines(&std::mem::take(&mut peer.output));
            assert_eq!(said.pop().as_deref(), Some(""), "{name}: output ends in CRLF");
        }
        match mark {
            "C:" => sent.extend([unescape(text), b"\r\n".to_vec()].concat()),
            "C+" => sent.extend(unescape(text)),
            "S:" => {
                assert!(
                    !said.is_empty(),
                    "{name}, piece {piece}: the server did not say {text:?}"
                );
                assert_eq!(said.remove(0), text, "{name}, piece {piece}");
            }
            "S*" => drop(said.drain(..text.parse::<usize>().unwrap())),
            "TL" => peer.server.tls_established(features(dialogue.setup)),
            "R:" => seen.push(text.to_owned()),
            _ => panic!("{name}: cannot read {line:?}"),
        }
    }
    assert!(said.is_empty(), "{name}: the server said more: {said:#?}");
    peer.feed(&sent, piece);
    assert_eq!(
        String::from_utf8_lossy(&peer.output),
        "",
        "{name}: nothing more is said"
    );
    if !seen.is_empty() {
        assert_eq!(peer.events, seen, "{name}, piece {piece}");
    }
    peer.events
}

#[test]
fn dialogues_go_as_written() {
    for dialogue in dialogues() {
        play(&dialogue, usize::MAX);
    }
}

#[test]
fn dialogues_go_the_same_at_any_cut() {
    // Whether something came behind STARTTLS is the one thing that the cut decides.
    for dialogue in dialogues()
        .iter()
        .filter(|one| !one.name.contains("behind STARTTLS"))
    {
        let whole = play(dialogue, usize::MAX);
        for piece in [1, 2, 3, 7] {
            assert_eq!(play(dialogue, piece), whole, "{}, piece {piece}", dialogue.name);
        }
    }
}
