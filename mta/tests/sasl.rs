//! SASL from the outside: dialogues by hand, and with an independent client.

#[path = "support/random.rs"]
mod random;

use std::sync::Arc;

use grammar::FileId;
use mta::directory::{Directory, Status, User, Verifier};
use mta::sasl::{Exchange, Policy, SaslError, Step, encoding};
use random::Random;

fn verifier(password: &str) -> Verifier {
    Verifier::derive(password, b"sixteen octets..", 4096).unwrap()
}

/// alice and bob have passwords, carol has none, dave is on hold, fay has an address that SCRAM must escape
/// and a password that is prepared.
fn directory() -> Arc<Directory> {
    let mut directory = Directory::new().unwrap();
    directory.add_domain("example.com").unwrap();
    for (uid, password, status) in [
        ("alice", Some("pencil"), Status::Active),
        ("bob", Some("b=o,b"), Status::Overquota),
        ("carol", None, Status::Active),
        ("dave", Some("pencil"), Status::Hold),
        ("fay", Some("p\u{e9}ncil \u{2168}"), Status::Active),
    ] {
        let mut user = User::new(uid, format!("{uid}@example.com"));
        user.verifier = password.map(verifier);
        user.status = status;
        directory.insert_user(user).unwrap();
    }
    directory.add_alias("fay", "f=y@example.com").unwrap();
    Arc::new(directory)
}

/// A step with its password check, if any, made at once.
fn settle(step: Step) -> Step {
    match step {
        Step::Verify(check) => check.run(),
        step => step,
    }
}

/// What a dialogue came to, in short.
fn outcome(step: Step) -> Result<String, SaslError> {
    match settle(step) {
        Step::Success { uid, sender_address } => Ok(format!("{uid} {sender_address}")),
        Step::Failure(error) => Err(error),
        step => panic!("not at the end: {step:?}"),
    }
}

const TLS: Policy = Policy {
    plaintext: true,
    scram: true,
};
const ALICE: Result<&str, SaslError> = Ok("alice alice@example.com");
const BAD: Result<&str, SaslError> = Err(SaslError::BadCredentials);

#[track_caller]
fn assert_outcome(got: &Result<String, SaslError>, want: Result<&str, SaslError>, name: &str) {
    assert_eq!(got.as_deref(), want.as_ref().map(|w| *w), "{name}");
}

fn plain(message: &[u8]) -> Result<String, SaslError> {
    outcome(Exchange::start("plain", Some(message), directory(), &TLS).1)
}

#[test]
fn plain_dialogues() {
    let cases: [(&str, &[u8], Result<&str, SaslError>); 14] = [
        ("right", b"\0alice\0pencil", ALICE),
        ("by address", b"\0Alice@Example.com\0pencil", ALICE),
        ("own identity", b"alice@example.com\0alice\0pencil", ALICE),
        ("odd characters", b"\0bob\0b=o,b", Ok("bob bob@example.com")),
        (
            "composed otherwise",
            "\0fay\0pe\u{301}ncil IX".as_bytes(),
            Ok("fay fay@example.com"),
        ),
        ("wrong password", b"\0alice\0pencil ", BAD),
        ("prefix of the password", b"\0alice\0penci", BAD),
        ("unknown user", b"\0mallory\0pencil", BAD),
        ("no password set", b"\0carol\0pencil", BAD),
        ("on hold", b"\0dave\0pencil", BAD),
        (
            "other identity",
            b"bob\0alice\0pencil",
            Err(SaslError::NotAuthorized),
        ),
        (
            "unknown identity",
            b"mallory\0alice\0pencil",
            Err(SaslError::NotAuthorized),
        ),
        ("other identity, wrong password", b"bob\0alice\0x", BAD),
        ("subaddress", b"\0alice+x@example.com\0pencil", BAD),
    ];
    for (name, message, want) in cases {
        assert_outcome(&plain(message), want, name);
    }
    let long = [&b"\0alice\0"[..], &[b'x'; 1025]].concat();
    let malformed: [(&str, &[u8]); 12] = [
        ("empty", b""),
        ("no NUL", b"alice"),
        ("one NUL", b"alice\0pencil"),
        ("three NULs", b"\0alice\0pencil\0"),
        ("no name", b"\0\0pencil"),
        ("no password", b"\0alice\0"),
        ("name not UTF-8", b"\0al\xffice\0pencil"),
        ("password not UTF-8", b"\0alice\0\xff"),
        ("control character", b"\0alice\0pen\ncil"),
        ("control character in name", b"\0al\rice\0pencil"),
        ("identity of a control character", b"\x01\0alice\0pencil"),
        ("long password", &long),
    ];
    for (name, message) in malformed {
        assert!(matches!(plain(message), Err(SaslError::Malformed(_))), "{name}");
    }
    let (mut exchange, step) = Exchange::start("PLAIN", None, directory(), &TLS);
    assert!(matches!(step, Step::Challenge(c) if c.is_empty()));
    assert_outcome(
        &outcome(exchange.respond(b"\0alice\0pencil")),
        ALICE,
        "after an empty challenge",
    );
    assert_eq!(exchange.login(), Some("alice"));
    assert_eq!(
        outcome(exchange.respond(b"\0alice\0pencil")),
        Err(SaslError::OutOfStep)
    );
}

#[test]
fn login_dialogues() {
    for initial in [None, Some(&b"alice"[..])] {
        for (password, want) in [(&b"pencil"[..], ALICE), (b"x", BAD)] {
            let (mut exchange, mut step) = Exchange::start("LOGIN", initial, directory(), &TLS);
            if initial.is_none() {
                let Step::Challenge(prompt) = step else {
                    panic!("{step:?}")
                };
                assert_eq!(encoding::encode(&prompt), "VXNlcm5hbWU6");
                step = exchange.respond(b"alice");
            }
            let Step::Challenge(prompt) = step else {
                panic!("{step:?}")
            };
            assert_eq!(encoding::encode(&prompt), "UGFzc3dvcmQ6");
            let step = exchange.respond(password);
            assert!(!format!("{step:?}{exchange:?}").contains("pencil"));
            assert_outcome(&outcome(step), want, "LOGIN");
        }
    }
    let (mut exchange, _) = Exchange::start("LOGIN", Some(b"alice"), directory(), &TLS);
    assert!(
        matches!(outcome(exchange.respond(b"")), Err(SaslError::Malformed(_))),
        "empty password"
    );
    let (_, step) = Exchange::start("LOGIN", Some(b""), directory(), &TLS);
    assert!(
        matches!(outcome(step), Err(SaslError::Malformed(_))),
        "empty name"
    );
}

#[test]
fn policy_decides_what_is_offered() {
    let clear = Policy::for_layer(false);
    assert_eq!(clear.mechanisms().collect::<Vec<_>>(), ["SCRAM-SHA-256"]);
    assert_eq!(
        Policy::for_layer(true).mechanisms().collect::<Vec<_>>(),
        ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
    );
    for (mechanism, policy, want, code) in [
        ("PLAIN", clear, SaslError::EncryptionNeeded, 538),
        ("login", clear, SaslError::EncryptionNeeded, 538),
        ("CRAM-MD5", TLS, SaslError::UnknownMechanism, 504),
        ("", TLS, SaslError::UnknownMechanism, 504),
        (
            "SCRAM-SHA-256",
            Policy {
                plaintext: true,
                scram: false,
            },
            SaslError::UnknownMechanism,
            504,
        ),
    ] {
        let (mut exchange, step) = Exchange::start(mechanism, Some(b"\0alice\0pencil"), directory(), &policy);
        assert_eq!(outcome(step), Err(want), "{mechanism}");
        assert_eq!(want.reply().0, code, "{mechanism}");
        assert_eq!(
            outcome(exchange.respond(b"")),
            Err(SaslError::OutOfStep),
            "{mechanism}"
        );
    }
    let reply = SaslError::BadCredentials.reply();
    assert_eq!(
        reply,
        (
            535,
            (5, 7, 8),
            "Bad username or password (Authentication failed)."
        )
    );
}

/// A whole dialogue with the client of another implementation.
fn with_client(mechanism: &str, name: &str, password: &str) -> Result<String, SaslError> {
    use rsasl::prelude::{Mechname, SASLClient, SASLConfig};
    let config = SASLConfig::with_credentials(None, name.to_string(), password.to_string()).unwrap();
    let offered = [Mechname::parse(mechanism.as_bytes()).unwrap()];
    let mut client = SASLClient::new(config).start_suggested(&offered).unwrap();
    let mut message = Vec::new();
    assert!(client.are_we_first());
    client.step(None, &mut message).unwrap();
    let (mut exchange, mut step) = Exchange::start(mechanism, Some(&message), directory(), &TLS);
    loop {
        match settle(step) {
            Step::Challenge(challenge) => {
                message.clear();
                // The client checks the server's signature and would fail here.
                client.step(Some(&challenge), &mut message).unwrap();
                step = exchange.respond(&message);
            }
            end => return outcome(end),
        }
    }
}

#[test]
fn another_implementation_authenticates() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        for (name, password, want) in [
            ("alice", "pencil", ALICE),
            ("ALICE@example.com", "pencil", ALICE),
            ("bob", "b=o,b", Ok("bob bob@example.com")),
            ("fay", "p\u{e9}ncil IX", Ok("fay fay@example.com")),
            ("alice", "Pencil", BAD),
            ("mallory", "pencil", BAD),
            ("carol", "pencil", BAD),
            ("dave", "pencil", BAD),
        ] {
            let got = with_client(mechanism, name, password);
            assert_outcome(&got, want, &format!("{mechanism} {name} {password}"));
        }
    }
}

/// The client's side of SCRAM by the book, so that tests can bend it.
struct Scram {
    first: String,
    challenge: String,
    exchange: Exchange,
}

impl Scram {
    fn start(first: &str) -> Scram {
        let (exchange, step) = Exchange::start("SCRAM-SHA-256", Some(first.as_bytes()), directory(), &TLS);
        let Step::Challenge(challenge) = step else {
            panic!("{step:?}")
        };
        Scram {
            first: first.to_string(),
            challenge: String::from_utf8(challenge).unwrap(),
            exchange,
        }
    }

    /// The value of the n-th attribute of the challenge: nonce, salt, iterations.
    fn part(&self, n: usize) -> &str {
        &self.challenge.split(',').nth(n).unwrap()[2..]
    }

    /// client-final for a password, with the channel binding and nonce given.
    fn last(&self, password: &str, binding: &str, nonce: &str) -> String {
        use ring::{digest, hmac, pbkdf2};
        let salt = encoding::decode(self.part(1).as_bytes()).unwrap();
        let rounds = self.part(2).parse().unwrap();
        let mut salted = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            rounds,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let mac = |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
        let client_key = mac(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let bare = self.first.splitn(3, ',').nth(2).unwrap();
        let without = format!("c={binding},r={nonce}");
        let signature = mac(
            stored.as_ref(),
            format!("{bare},{},{without}", self.challenge).as_bytes(),
        );
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(a, b)| a ^ b)
            .collect();
        format!("{without},p={}", encoding::encode(&proof))
    }

    fn finish(mut self, last: &str) -> Result<String, SaslError> {
        match self.exchange.respond(last.as_bytes()) {
            Step::Challenge(signature) => {
                assert!(signature.starts_with(b"v="));
                outcome(self.exchange.respond(b""))
            }
            step => outcome(step),
        }
    }
}

fn scram(first: &str, password: &str, header: &str) -> Result<String, SaslError> {
    let scram = Scram::start(first);
    let last = scram.last(password, &encoding::encode(header.as_bytes()), scram.part(0));
    scram.finish(&last)
}

#[test]
fn scram_dialogues() {
    let fay = Ok("fay fay@example.com");
    for (name, first, password, header, want) in [
        ("right", "n,,n=alice,r=abc", "pencil", "n,,", ALICE),
        (
            "y flag, an extension",
            "y,,n=alice,r=abc,ext=1",
            "pencil",
            "y,,",
            ALICE,
        ),
        (
            "escaped name",
            "n,,n=f=3Dy@example.com,r=abc",
            "p\u{e9}ncil IX",
            "n,,",
            fay,
        ),
        (
            "own identity",
            "n,a=alice,n=alice,r=abc",
            "pencil",
            "n,a=alice,",
            ALICE,
        ),
        (
            "other identity",
            "n,a=bob,n=alice,r=abc",
            "pencil",
            "n,a=bob,",
            Err(SaslError::NotAuthorized),
        ),
        (
            "other identity, wrong password",
            "n,a=bob,n=alice,r=abc",
            "x",
            "n,a=bob,",
            BAD,
        ),
        ("wrong password", "n,,n=alice,r=abc", "pencil2", "n,,", BAD),
        ("unknown user", "n,,n=mallory,r=abc", "pencil", "n,,", BAD),
        ("no password set", "n,,n=carol,r=abc", "pencil", "n,,", BAD),
        ("on hold", "n,,n=dave,r=abc", "pencil", "n,,", BAD),
    ] {
        assert_outcome(&scram(first, password, header), want, name);
    }
}

#[test]
fn scram_refuses_what_is_bent() {
    let alice = || Scram::start("n,,n=alice,r=abc");
    let malformed = |got: Result<String, SaslError>| matches!(got, Err(SaslError::Malformed(_)));
    assert!(
        malformed(scram("y,,n=alice,r=abc", "pencil", "n,,")),
        "the flag was changed on the way"
    );
    let one = alice();
    let last = one.last("pencil", "biws", "abc");
    assert!(malformed(one.finish(&last)), "nonce of the client only");
    let (one, two) = (alice(), alice());
    let replayed = one.last("pencil", "biws", one.part(0));
    assert!(malformed(two.finish(&replayed)), "a message of another exchange");
    let one = alice();
    let extended = one.last("pencil", "biws", &format!("{},x=1", one.part(0)));
    assert_outcome(&one.finish(&extended), ALICE, "an extension in the last message");
    let whole = {
        let one = alice();
        one.last("pencil", "biws", one.part(0)).len()
    };
    for cut in 0..whole {
        let one = alice();
        let last = one.last("pencil", "biws", one.part(0));
        assert!(one.finish(&last[..cut]).is_err(), "cut at {cut}");
    }
    let mut one = alice();
    let last = one.last("pencil", "biws", one.part(0));
    assert!(matches!(
        one.exchange.respond(last.as_bytes()),
        Step::Challenge(_)
    ));
    assert!(
        malformed(outcome(one.exchange.respond(b"x"))),
        "more than nothing at the end"
    );
}

#[test]
fn unknown_users_look_like_known_ones() {
    let challenge = |name: &str| {
        let scram = Scram::start(&format!("n,,n={name},r=abc"));
        (scram.part(1).len(), scram.part(2).to_string())
    };
    assert_eq!(
        challenge("alice"),
        challenge("mallory"),
        "length of the salt, iterations"
    );
    let text = directory().to_text();
    let parse = || Directory::parse(FileId(0), &text).unwrap().0;
    let (one, two, other) = (parse(), parse(), directory());
    let mallory = one.verifier_for("mallory").0;
    assert_eq!(mallory, two.verifier_for("Mallory").0, "the same after a restart");
    assert_eq!(
        mallory,
        two.verifier_for("mallory@example.com").0,
        "name and address"
    );
    assert_ne!(mallory.salt(), one.verifier_for("trudy").0.salt(), "another name");
    assert_ne!(
        mallory.salt(),
        one.verifier_for("mallory@example.org").0.salt(),
        "another domain"
    );
    assert_ne!(
        mallory.salt(),
        other.verifier_for("mallory").0.salt(),
        "another server"
    );
}

#[test]
fn random_octets_never_panic() {
    let mut random = Random(42);
    let directory = directory();
    let pieces: [&[u8]; 18] = [
        b"n,,",
        b"y,,",
        b"p=x,,",
        b"n=",
        b"alice",
        b",",
        b"r=",
        b"abc",
        b"=2C",
        b"=3D",
        b"=",
        b"\0",
        b"c=biws",
        b"p=",
        b"\xff",
        b"a=",
        b"m=",
        b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ];
    for n in 0..20_000 {
        let mechanism = ["PLAIN", "LOGIN", "SCRAM-SHA-256"][n % 3];
        let mut message = || -> Vec<u8> {
            let count = random.below(12);
            let mut out = Vec::new();
            for _ in 0..count {
                match random.below(20) {
                    18 | 19 => out.push(random.next() as u8),
                    piece => out.extend_from_slice(pieces[piece]),
                }
            }
            out
        };
        let (mut exchange, step) = Exchange::start(mechanism, Some(&message()), Arc::clone(&directory), &TLS);
        assert!(!matches!(step, Step::Success { .. }));
        for _ in 0..3 {
            assert!(!matches!(exchange.respond(&message()), Step::Success { .. }));
        }
        let _ = encoding::decode_response(&message());
        let _ = encoding::decode_initial(&message());
    }
}
