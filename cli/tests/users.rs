//! `sluice user`: the users file, and what is said of it.

mod common;

use common::*;
use mta::directory::Status;
use serde_json::{Value, json};

/// The password that a command has shown.
fn shown(out: &str) -> String {
    let (_, rest) = out
        .split_once("has the password ")
        .unwrap_or_else(|| panic!("{out}"));
    rest.split(' ').next().unwrap().to_string()
}

#[test]
fn users_come_change_and_go() {
    let site = new_site("users");
    let file = site.join("config/users");
    let directory = || mta::directory::load(&file).unwrap().directory;
    let fits = |user: &str, password: &str| {
        let directory = directory();
        let (verifier, user) = directory.verifier_for(user);
        user.is_some() && verifier.verify(password)
    };
    let done = |args: &[&str], input: &str| {
        let ran = sluice(&site, args, input);
        assert_eq!(ran.exit.code(), 0, "{args:?}: {}", ran.err);
        assert_eq!(ran.err, "", "{args:?}");
        ran.out
    };
    let first = shown(&done(&["user", "add", "carol"], ""));
    assert!(fits("carol", &first));
    let second = shown(&done(&["user", "password", "carol"], ""));
    assert!(fits("carol", &second) && !fits("carol", &first));
    // one that is given is never shown
    let out = done(
        &["user", "password", "carol", "--stdin"],
        "open sesame\nno password\n",
    );
    assert_eq!(out, "User carol has the new password.\n");
    assert!(fits("carol", "open sesame"));
    let out = done(&["user", "add", "dave", "--stdin"], "correct horse\n");
    assert!(!out.contains("horse") && fits("dave", "correct horse"), "{out}");
    let out = done(&["user", "status", "carol", "HOLD"], "");
    assert_eq!(out, "User carol has the status hold.\n");
    assert_eq!(directory().by_uid("carol").unwrap().status, Status::Hold);
    let out = done(&["user", "list"], "");
    assert!(
        out.contains("carol  hold       carol@example.com, carol@mail.example.com\n"),
        "{out}"
    );
    assert!(!out.contains("SCRAM"), "{out}");
    let out = done(&["user", "list", "--json"], "");
    let all: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(
        all[2],
        json!({"user": "carol", "status": "hold", "mail": "carol@example.com",
               "aliases": ["carol@mail.example.com"], "host": null, "password": true})
    );
    let out = done(&["user", "remove", "carol"], "");
    assert!(
        out.contains("The mailbox stays in ") && out.contains("store/carol"),
        "{out}"
    );
    assert!(directory().by_uid("carol").is_none());
}

#[test]
fn what_is_refused_changes_nothing() {
    let site = new_site("users-refused");
    let file = site.join("config/users");
    let before = std::fs::read_to_string(&file).unwrap();
    let cases: &[(&[&str], &str, bool, u8, &str)] = &[
        (&["add", "alice"], "", false, 1, "there is a user alice already"),
        (&["add", "bad name"], "", false, 1, "must not contain ' '"),
        (&["password", "nobody"], "", false, 1, "there is no user"),
        (
            &["password", "alice", "--stdin"],
            "",
            false,
            1,
            "the input is empty",
        ),
        (
            &["password", "alice", "--stdin"],
            "\nx\n",
            false,
            1,
            "the input is empty",
        ),
        (
            &["password", "alice", "--stdin"],
            "seen\n",
            true,
            2,
            "would be seen",
        ),
        (
            &["password", "alice", "secret"],
            "",
            false,
            2,
            "unexpected argument",
        ),
        (&["status", "alice"], "", false, 2, "<STATUS>"),
        (&["status", "alice", "asleep"], "", false, 2, "overquota"),
        (&["status", "nobody", "hold"], "", false, 1, "there is no user"),
        (&["remove", "nobody"], "", false, 1, "there is no user"),
        (&["list", "alice"], "", false, 2, "unexpected argument"),
    ];
    for (args, input, terminal, code, part) in cases {
        let args: Vec<&str> = std::iter::once("user").chain(args.iter().copied()).collect();
        let ran = run(cli::Program::Sluice, &site, &args, input, *terminal);
        assert_eq!(ran.exit.code(), *code, "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(part), "{args:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{args:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn a_change_is_made_whatever_the_server_says() {
    let site = new_site("users-server");
    std::fs::create_dir_all(site.join("run")).unwrap();
    // as a server leaves it that was killed
    drop(std::os::unix::net::UnixListener::bind(site.join("run/control")).unwrap());
    let ran = sluice(&site, &["user", "add", "carol"], "");
    assert_eq!((ran.exit.code(), ran.err.as_str()), (0, ""), "{}", ran.out);
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    std::fs::remove_file(site.join("run/control")).unwrap();
    let server = FakeServer::start(&site, |_| json!({"ok": true, "text": "done"}));
    let ran = sluice(&site, &["user", "remove", "carol"], "");
    assert!(
        ran.out.ends_with("The running server knows.\n"),
        "{}{}",
        ran.out,
        ran.err
    );
    // the users alone: a configuration that is being written is not put in force
    assert_eq!(server.asked(), ["reload-users"]);
    let site = new_site("users-server-unwilling");
    let _server = FakeServer::start(&site, |_| json!({"ok": false, "text": "the users file is odd"}));
    let ran = sluice(&site, &["user", "add", "carol"], "");
    assert_eq!(ran.exit.code(), 0, "{}", ran.err);
    assert!(
        ran.err.contains("does not take it: the users file is odd"),
        "{}",
        ran.err
    );
}

#[test]
fn a_verifier_that_cannot_be_used_says_the_way_out() {
    let site = new_site("users-verifier");
    let file = site.join("config/users");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{text}user: carol mail=carol@example.com password=secret\n"),
    )
    .unwrap();
    let error = match mta::directory::load(&file) {
        Err(mta::directory::LoadError::Invalid { diagnostics, .. }) => diagnostics[0].help.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(error.contains("`sluice user password carol`"), "{error}");
}
