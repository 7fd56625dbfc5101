//! Users, passwords and TLS, from the outside: files on disk, dialogues with an independent SASL client,
//! handshakes in memory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use grammar::{Diagnostic, FileId, Severity, Sources};
use mta::directory::{
    self, Directory, DirectoryError, LoadError, SaveError, Status, User, Verifier, delivery_address,
};
use mta::sasl::{Exchange, Policy, SaslError, Step, encoding};
use mta::tls::{self, TlsError, TlsWarning};

/// A folder of its own for a test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "auth-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

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

/// A small generator: the same numbers each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }
}

// ---- the users file ----

fn parse(text: &str) -> Result<(Directory, Vec<Diagnostic>), Vec<Diagnostic>> {
    Directory::parse(FileId(0), text)
}

const SECRET: &str = "secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

#[test]
fn every_error_has_its_place() {
    /// Code, line and column.
    type Place = (&'static str, usize, usize);
    let cases: &[(&str, &str, &[Place])] = &[
        ("no item", "hello\n", &[("U001", 1, 1)]),
        ("unknown item", "\n  usr: alice\n", &[("U001", 2, 3)]),
        ("control character", "domain: a\u{1}.com\n", &[("U002", 1, 10)]),
        ("hostile name", "user: ../x mail=x@a.com\n", &[("U003", 1, 7)]),
        ("no name", "user:\n", &[("U003", 1, 1)]),
        (
            "user twice",
            "user: a mail=a@a.com\nuser: A mail=b@a.com\n",
            &[("U004", 2, 7)],
        ),
        ("bad address", "user: a mail=a.a.com\n", &[("U005", 1, 14)]),
        (
            "bad aliases",
            "user: a mail=a@a.com aliases=b@a.com,,c\n",
            &[("U005", 1, 38), ("U005", 1, 39)],
        ),
        (
            "address twice",
            "user: a mail=a@a.com\nuser: b mail=b@a.com aliases=A@A.com\n",
            &[("U006", 2, 30)],
        ),
        (
            "own address twice",
            "user: a mail=a@a.com aliases=A@a.com\n",
            &[("U006", 1, 30)],
        ),
        ("bad domain", "domain: -a.com\n", &[("U007", 1, 9)]),
        (
            "two domains on a line",
            "domain: a.com b.com\n",
            &[("U007", 1, 15)],
        ),
        ("domain missing", "domain:\n", &[("U007", 1, 1)]),
        (
            "unknown attribute",
            "user: a mail=a@a.com passwd=x\n",
            &[("U009", 1, 22)],
        ),
        (
            "attribute twice",
            "user: a mail=a@a.com mail=b@a.com\n",
            &[("U010", 1, 22)],
        ),
        ("no value", "user: a mail=\n", &[("U010", 1, 9)]),
        (
            "clear password",
            "user: a mail=a@a.com password=pencil\n",
            &[("U011", 1, 31)],
        ),
        (
            "bad status",
            "user: a mail=a@a.com status=gone\n",
            &[("U012", 1, 29)],
        ),
        ("bad host", "user: a mail=a@a.com host=a/b\n", &[("U013", 1, 27)]),
        ("no address", "user: a\n", &[("U014", 1, 7)]),
        ("bad secret", "secret: AAAA\n", &[("U016", 1, 9)]),
        ("two secrets", &format!("{SECRET}{SECRET}"), &[("U016", 2, 9)]),
        (
            "all at once",
            "user: a/b\nuser: b mail=@ status=x\ndomain: ..\n",
            &[
                ("U003", 1, 7),
                ("U014", 1, 7),
                ("U005", 2, 14),
                ("U012", 2, 23),
                ("U007", 3, 9),
            ],
        ),
    ];
    for (name, text, want) in cases {
        let mut sources = Sources::new();
        let file = sources.add("users", directory::redacted(text));
        let diagnostics = Directory::parse(file, text).expect_err(name);
        let errors: Vec<&Diagnostic> = diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .collect();
        let got: Vec<(&str, usize, usize)> = errors
            .iter()
            .map(|d| {
                (
                    d.code,
                    sources.place(d.span()).line,
                    sources.place(d.span()).column,
                )
            })
            .collect();
        assert_eq!(&got, want, "{name}");
        for d in errors {
            assert!(d.help.is_some(), "{name}: {} says how to mend it", d.code);
            assert!(d.render(&sources, false).contains("users:"), "{name}");
        }
    }
}

#[test]
fn warnings_do_not_keep_it_from_loading() {
    let text = "domain: a.com\ndomain: A.com\nuser: a mail=a@b.com\n";
    let (directory, warnings) = parse(text).unwrap();
    let codes: Vec<&str> = warnings.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["U008", "U015", "U017"]);
    assert_eq!(directory.domains().collect::<Vec<_>>(), ["a.com"]);
}

#[test]
fn writing_keeps_comments_and_reads_back() {
    let bob = verifier("x").to_text();
    let text = format!(
        "# who is here\n{SECRET}\ndomain: example.com\n  # staff\n\
         user: alice mail=Alice@example.com aliases=a@example.com,b@example.com\n\
         user: bob mail=bob@example.com status=hold host=s2.example.com password={bob}\n"
    );
    let (directory, warnings) = parse(&text).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(
        directory.to_text(),
        text,
        "what is in normal form stays octet for octet"
    );
    let loose = text
        .replace("user: bob mail=", "USER:\tBob   Mail=")
        .replace('\n', "\r\n");
    let (loose, _) = parse(&loose).unwrap();
    assert_eq!(loose.to_text(), text, "what is not is brought into it");
}

#[test]
fn look_ups_ignore_case_and_strip_subaddresses() {
    let text = "domain: Example.COM\nuser: Alice mail=Alice@Example.com aliases=a+b@example.com\n\
                user: bob mail=\u{c9}ric@example.com\n";
    let (directory, _) = parse(text).unwrap();
    for (address, want) in [
        ("alice@example.com", Some(("alice", None))),
        ("ALICE@EXAMPLE.COM", Some(("alice", None))),
        ("alice+news@example.com", Some(("alice", Some("news")))),
        ("a+b@example.com", Some(("alice", None))),
        ("a+c@example.com", None),
        ("alice@example.org", None),
        ("\u{e9}ric+x+y@example.com", Some(("bob", Some("x+y")))),
        ("alice", None),
        ("@", None),
        ("", None),
    ] {
        let found = directory
            .find(address)
            .map(|(user, sub)| (user.uid.as_str(), sub));
        assert_eq!(found, want, "{address}");
        assert_eq!(
            directory.by_address(address).is_some(),
            want.is_some(),
            "{address}"
        );
    }
    for (login, want) in [
        ("ALICE", true),
        ("alice@example.com", true),
        ("alice+x@example.com", false),
        ("nobody", false),
    ] {
        assert_eq!(directory.by_login(login).is_some(), want, "{login}");
    }
    for (domain, want) in [
        ("example.com", true),
        ("EXAMPLE.com.", true),
        ("mail.example.com", false),
        ("", false),
    ] {
        assert_eq!(directory.is_local_domain(domain), want, "{domain}");
    }
    assert_eq!(
        directory.by_uid("alice").unwrap().delivery_address(),
        "alice@ims-ms-daemon"
    );
    assert_eq!(
        delivery_address("alice", Some("news")),
        "alice+news@ims-ms-daemon"
    );
}

#[test]
fn changes_are_checked() {
    let mut directory = Directory::new().unwrap();
    assert!(matches!(
        directory.add_user("alice", "pencil"),
        Err(DirectoryError::NoDomain { .. })
    ));
    directory.add_domain("example.com").unwrap();
    assert_eq!(
        directory.add_user("Alice", "pencil").unwrap().mail,
        "alice@example.com"
    );
    for (name, uid, password) in [
        ("twice", "ALICE", "x"),
        ("hostile", "a/../b", "x"),
        ("empty password", "bob", ""),
        ("control character", "bob", "a\nb"),
    ] {
        assert!(directory.add_user(uid, password).is_err(), "{name}");
    }
    let taken =
        |result: Result<(), DirectoryError>| matches!(result, Err(DirectoryError::AddressTaken { .. }));
    assert!(taken(
        directory
            .insert_user(User::new("bob", "ALICE@example.com"))
            .map(drop)
    ));
    assert!(taken(directory.add_alias("alice", "alice@example.com")));
    assert!(matches!(
        directory.set_password("bob", "x"),
        Err(DirectoryError::NoUser { .. })
    ));
    directory.set_password("alice", "chalk").unwrap();
    let (verifier, user) = directory.verifier_for("alice");
    assert!(user.is_some() && verifier.verify("chalk") && !verifier.verify("pencil"));
    directory.add_alias("alice", "al@example.com").unwrap();
    directory.remove_user("alice").unwrap();
    assert!(directory.by_address("al@example.com").is_none() && directory.is_empty());
    assert!(!directory.to_text().contains("alice"));
    directory
        .insert_user(User::new("alice", "al@example.com"))
        .unwrap();
}

#[test]
fn one_user_cannot_hold_one_address_twice() {
    let mut directory = Directory::new().unwrap();
    directory.add_domain("example.com").unwrap();
    let mut user = User::new("alice", "alice@example.com");
    user.aliases = vec!["Alice@example.com".to_string()];
    assert!(matches!(
        directory.insert_user(user),
        Err(DirectoryError::AddressTaken { .. })
    ));
}

#[test]
fn the_file_is_changed_whole_and_private() {
    let folder = Folder::new();
    let path = folder.0.join("users");
    assert!(matches!(directory::load(&path), Err(LoadError::Read { .. })));
    directory::edit(&path, |d| {
        d.add_domain("example.com")?;
        d.add_user("alice", "pencil").map(drop)
    })
    .unwrap();
    assert_eq!(mode(&path), 0o600);
    let loaded = directory::load(&path).unwrap();
    assert_eq!(loaded.warnings, []);
    assert!(loaded.directory.verifier_for("alice").0.verify("pencil"));

    let before = fs::read_to_string(&path).unwrap();
    let refused = directory::edit(&path, |d| d.add_user("alice", "x").map(drop));
    assert!(matches!(
        refused,
        Err(SaveError::Refused(DirectoryError::UserExists { .. }))
    ));
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        before,
        "a refused change writes nothing"
    );

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(directory::load(&path).unwrap().warnings[0].code, "U018");
    let elsewhere = Folder::new();
    let link = elsewhere.0.join("users");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    directory::edit(&link, |d| d.set_status("alice", Status::Hold)).unwrap();
    assert!(
        fs::symlink_metadata(&link).unwrap().is_symlink(),
        "a link stays a link"
    );
    assert!(fs::read_to_string(&path).unwrap().contains("status=hold"));
    assert_eq!(mode(&path), 0o600);

    fs::write(&path, "user: a/b mail=a@b.c\n").unwrap();
    let broken = directory::edit(&path, |d| d.add_domain("x.com"));
    assert!(matches!(broken, Err(SaveError::Load(LoadError::Invalid { .. }))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "user: a/b mail=a@b.c\n");
    let mut left: Vec<String> = fs::read_dir(&folder.0)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["users", "users.lock"], "no temporary file is left");
}

#[test]
fn two_writers_lose_no_change() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    let path = folder.0.join("users");
    let link = elsewhere.0.join("users");
    directory::edit(&path, |d| d.add_domain("example.com")).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = if writer % 2 == 0 { &path } else { &link };
            scope.spawn(move || {
                for n in 0..5 {
                    let uid = format!("u{writer}-{n}");
                    let user = User::new(uid.as_str(), format!("{uid}@example.com"));
                    directory::edit(path, |d| d.insert_user(user).map(drop)).unwrap();
                }
            });
        }
    });
    assert_eq!(directory::load(&path).unwrap().directory.len(), 20);
}

#[test]
fn no_message_shows_a_secret() {
    let secret = verifier("pencil").to_text();
    let (_, keys) = secret.rsplit_once('$').unwrap();
    let texts = [
        format!("{SECRET}{SECRET}user: a/b mail=a@b.c password={secret} host=_\n"),
        format!("user: a mail=a@b.c pasword={secret}\nuser: b mail=b@b.c {secret} status=?\n"),
        format!("usr: a {secret}\n{secret}\nuser {secret}\nuser: {secret}\n  {secret}\nseret: {keys}\n"),
        format!("user:a/b mail=@ password={secret}x\ndomain: {secret}\ndomain: _ {secret}\n"),
    ];
    for text in texts {
        let redacted = directory::redacted(&text);
        assert_eq!(redacted.len(), text.len());
        let mut sources = Sources::new();
        let file = sources.add("users", redacted);
        for d in Directory::parse(file, &text).unwrap_err() {
            let shown = d.render(&sources, false) + &serde_json::to_string(&d.to_json(&sources)).unwrap();
            for part in keys.split(':').chain(["AAECAwQF"]) {
                assert!(!shown.contains(part.trim_end_matches('=')), "{shown}");
            }
        }
    }
    let (directory, _) = parse(&format!("{SECRET}user: a mail=a@b.c password={secret}\n")).unwrap();
    let shown = format!("{directory:?} {:?}", directory.by_uid("a").unwrap());
    assert!(
        !shown.contains("AAECAw") && !shown.contains(keys.split(':').next().unwrap()),
        "{shown}"
    );
}

#[test]
fn random_text_never_panics() {
    let mut random = Random(7);
    let pieces = [
        "user:",
        "domain:",
        "secret:",
        " ",
        "\t",
        "\n",
        "\r\n",
        "=",
        ",",
        "@",
        "a",
        "mail=",
        "aliases=",
        "password=",
        "SCRAM-SHA-256$",
        "4096:",
        "$",
        ":",
        "\u{e9}",
        "\0",
        "#",
        ".",
        "..",
        "/",
        "+",
        "a.com",
        "\u{feff}",
        "host=",
        "user: a mail=a@a.com ",
        "\u{a0}",
        "\u{130}",
    ];
    let mut good = 0;
    for _ in 0..5000 {
        let count = random.below(30);
        let text: String = (0..count).map(|_| pieces[random.below(pieces.len())]).collect();
        assert_eq!(directory::redacted(&text).len(), text.len(), "{text:?}");
        if let Ok((directory, _)) = parse(&text) {
            good += 1;
            let written = directory.to_text();
            let (again, _) = parse(&written).unwrap_or_else(|d| panic!("{text:?}: {d:?}"));
            assert_eq!(again.to_text(), written, "{text:?}");
        }
    }
    assert!(good > 50, "some texts are right: {good}");
}

#[test]
#[ignore = "a measurement: run with --release -- --ignored --nocapture"]
fn measure() {
    let secret = verifier("x").to_text();
    let mut text = format!("{SECRET}domain: example.com\n");
    for n in 0..100_000 {
        text +=
            &format!("user: user{n} mail=user{n}@example.com aliases=u.{n}@example.com password={secret}\n");
    }
    let start = std::time::Instant::now();
    let (directory, _) = parse(&text).unwrap();
    println!(
        "parse of {} users, {} octets: {:?}",
        directory.len(),
        text.len(),
        start.elapsed()
    );
    let start = std::time::Instant::now();
    assert_eq!(directory.to_text(), text);
    println!("written: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let found = |n: &usize| directory.by_address(&format!("USER{n}+x@example.com")).is_some();
    println!(
        "{} look-ups with subaddress: {:?}",
        (0..100_000).filter(found).count(),
        start.elapsed()
    );
    let start = std::time::Instant::now();
    Verifier::new("pencil").unwrap();
    println!("one verifier: {:?}", start.elapsed());
}

// ---- SASL ----

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
    let (one, two, other) = (parse(&text).unwrap().0, parse(&text).unwrap().0, directory());
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

// ---- TLS ----

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// The real time, which rustls compares certificates with.
fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn self_signed_certificates_are_renewed_in_time() {
    let folder = Folder::new();
    let hosts = names(&["mx.example.com", "192.0.2.1"]);
    let (files, made) = tls::ensure_self_signed(&hosts, &folder.0, NOW).unwrap();
    assert!(made);
    assert_eq!(mode(&files.key), 0o600);
    let (pair, warnings) = tls::load(&files.certificate, &files.key, NOW).unwrap();
    assert_eq!(warnings, []);
    let validity = tls::validity(&pair.chain[0]).unwrap();
    assert!((823..=825).contains(&validity.days_left(NOW)), "{validity:?}");
    let more = names(&["mx.example.com", "mail.example.com"]);
    let long = names(&[&format!("{}.example.com", ["a"; 60].join("."))]);
    for (name, hosts, now, want) in [
        ("the same day", &hosts, NOW, false),
        ("790 days on", &hosts, NOW + 790 * DAY, false),
        ("less than 30 days left", &hosts, NOW + 796 * DAY, true),
        ("just made", &hosts, NOW + 796 * DAY, false),
        ("another name", &more, NOW + 796 * DAY, true),
        ("a long name", &long, NOW, true),
        ("the long name again", &long, NOW, false),
    ] {
        assert_eq!(
            tls::ensure_self_signed(hosts, &folder.0, now).unwrap().1,
            want,
            "{name}"
        );
    }
    fs::write(&files.key, "damaged").unwrap();
    assert!(
        tls::ensure_self_signed(&long, &folder.0, NOW).unwrap().1,
        "a damaged key"
    );
    assert_eq!(mode(&files.key), 0o600);
}

#[test]
fn files_that_do_not_serve_are_named() {
    let (folder, other) = (Folder::new(), Folder::new());
    let files = tls::self_signed(&names(&["a.example.com"]), &folder.0, NOW).unwrap();
    let foreign = tls::self_signed(&names(&["b.example.com"]), &other.0, NOW).unwrap();
    let error = |certificate: &Path, key: &Path| match tls::load(certificate, key, NOW) {
        Ok((pair, _)) => tls::server_config(pair).map(drop).unwrap_err(),
        Err(error) => error,
    };
    let empty = folder.file("empty.pem", "");
    let torn = folder.file("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA");
    let junk = folder.file(
        "junk.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = folder.file("locked.pem", locked);
    let huge = folder.file("huge.pem", &" ".repeat(tls::MAX_PEM as usize + 1));
    let absent = folder.0.join("absent.pem");
    let (certificate, key) = (files.certificate.as_path(), files.key.as_path());
    for (name, got, path) in [
        ("no file", error(&absent, key), &absent),
        ("no key file", error(certificate, &absent), &absent),
        ("no certificate", error(&empty, key), &empty),
        ("a key for a certificate", error(key, key), &files.key),
        (
            "a certificate for a key",
            error(certificate, certificate),
            &files.certificate,
        ),
        ("cut off", error(&torn, key), &torn),
        ("passphrase", error(certificate, &locked), &locked),
        ("no certificate inside", error(&junk, key), &junk),
        ("too large", error(&huge, key), &huge),
        ("another's key", error(certificate, &foreign.key), &foreign.key),
    ] {
        let text = got.to_string();
        assert!(text.contains(&path.display().to_string()), "{name}: {text}");
    }
    assert!(matches!(
        error(certificate, &empty),
        TlsError::Missing {
            what: "private key",
            ..
        }
    ));
    assert!(matches!(
        error(certificate, &locked),
        TlsError::EncryptedKey { .. }
    ));
    assert!(matches!(
        error(certificate, &foreign.key),
        TlsError::Unusable { .. }
    ));
    assert!(matches!(tls::verifying_client(b""), Err(TlsError::NoRoots)));

    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = |now| tls::load(certificate, key, now).unwrap().1;
    assert!(matches!(
        warnings(NOW)[..],
        [TlsWarning::KeyOpenToOthers { mode: 0o644, .. }]
    ));
    fs::set_permissions(key, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(warnings(NOW), [], "a group may read it");
    assert!(matches!(
        warnings(NOW + 815 * DAY)[..],
        [TlsWarning::ExpiresSoon { .. }]
    ));
    assert!(matches!(
        warnings(NOW + 900 * DAY)[..],
        [TlsWarning::Expired { .. }]
    ));
    assert!(matches!(
        warnings(NOW - 3 * DAY)[..],
        [TlsWarning::NotYetValid { .. }]
    ));
    let both = fs::read_to_string(certificate).unwrap() + &fs::read_to_string(key).unwrap();
    let both = folder.file("both.pem", &both);
    assert!(tls::load(&both, &both, NOW).is_ok(), "one file for both");
}

/// What both sides say of a session, or why the client refused it.
type Session = Result<(Option<String>, Option<String>), String>;

/// A handshake in memory, with a line from the server to the client.
async fn handshake(
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
    name: &str,
) -> Session {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (near, far) = tokio::io::duplex(16 * 1024);
    let accept = tokio_rustls::TlsAcceptor::from(server).accept(far);
    let name = rustls::pki_types::ServerName::try_from(name.to_string()).unwrap();
    let connect = tokio_rustls::TlsConnector::from(client).connect(name, near);
    let serve = async {
        let mut stream = accept.await.map_err(|e| e.to_string())?;
        stream.write_all(b"250 ok\r\n").await.map_err(|e| e.to_string())?;
        stream.shutdown().await.map_err(|e| e.to_string())?;
        Ok::<_, String>(tls::describe(stream.get_ref().1))
    };
    let ask = async {
        let mut stream = connect.await.map_err(|e| e.to_string())?;
        let mut text = String::new();
        stream
            .read_to_string(&mut text)
            .await
            .map_err(|e| e.to_string())?;
        assert_eq!(text, "250 ok\r\n");
        Ok::<_, String>(tls::describe(stream.get_ref().1))
    };
    let (serve, ask) = tokio::join!(serve, ask);
    // The client's reason first: the server only sees its alert.
    let ask = ask?;
    Ok((serve?, ask))
}

#[tokio::test]
async fn handshakes() {
    let folder = Folder::new();
    let files = tls::self_signed(&names(&["mx.example.com"]), &folder.0, now()).unwrap();
    let server = || tls::server_config(tls::load(&files.certificate, &files.key, now()).unwrap().0).unwrap();
    let suite = Some("TLS-256-TLS_AES_256_GCM_SHA384".to_string());
    let agreed: Session = Ok((suite.clone(), suite));

    let any = tls::opportunistic_client().unwrap();
    for name in ["mx.example.com", "other.example.org"] {
        assert_eq!(
            handshake(server(), any.clone(), name).await,
            agreed,
            "opportunistic, {name}"
        );
    }
    let trusting = tls::verifying_client_from(&files.certificate).unwrap();
    assert_eq!(
        handshake(server(), trusting.clone(), "mx.example.com").await,
        agreed,
        "its own root"
    );
    let error = handshake(server(), trusting, "other.example.org")
        .await
        .unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");

    let elsewhere = Folder::new();
    let stranger = tls::self_signed(&names(&["mx.example.com"]), &elsewhere.0, now()).unwrap();
    let strict = tls::verifying_client_from(&stranger.certificate).unwrap();
    assert!(
        handshake(server(), strict, "mx.example.com").await.is_err(),
        "unknown root"
    );

    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(
            tls::load(&files.certificate, &files.key, now())
                .unwrap()
                .0
                .chain
                .remove(0),
        )
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let twelve = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (seen, _) = handshake(server(), Arc::new(twelve), "mx.example.com")
        .await
        .unwrap();
    assert_eq!(
        seen.as_deref(),
        Some("TLS-256-TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        "TLS 1.2"
    );
    assert!(server().alpn_protocols.is_empty() && server().ticketer.enabled());
}
