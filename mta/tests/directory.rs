//! The users file: what it may say, how it is changed on disk.

#[path = "support/folder.rs"]
mod folder;
#[path = "support/random.rs"]
mod random;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use folder::{Folder, mode};
use grammar::{Diagnostic, FileId, Severity, Sources};
use mta::directory::{
    self, Directory, DirectoryError, LoadError, SaveError, Status, User, Verifier, delivery_address,
};
use random::Random;

fn verifier(password: &str) -> Verifier {
    Verifier::derive(password, b"sixteen octets..", 4096).unwrap()
}

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
