//! `imsimta qm` does to the queue what it was asked, and no more.

mod common;

use std::path::Path;

use cli::Program;
use common::*;
use serde_json::{Value, json};

/// Six entries on two channels; ids are not their numbers.
fn queue() -> Value {
    let entry = |id: u64| {
        let channel = if id.is_multiple_of(2) {
            "tcp_local"
        } else {
            "ims-ms"
        };
        json!({"id": id, "channel": channel, "host": "h.example", "file": format!("ZZ{id:011}.00"), "size": 700,
               "arrived": 1_795_537_856, "next_attempt": 0, "attempts": 1, "held": id == 14, "from": "a@b.example",
               "to": ["c@d.example"], "last": "no answer"})
    };
    (11..17).map(entry).collect()
}

fn answer(request: &Value) -> Value {
    let data = match request["do"].as_str() {
        Some("queue") => queue(),
        Some("counts") => json!([{"channel": "tcp_local", "host": "h.example", "active": 1, "delayed": 2}]),
        Some("stop-channel" | "start-channel") => Value::Null,
        _ => {
            let ids = request["ids"].as_array().cloned().unwrap_or_default();
            let done = |id: &Value| json!({"id": id, "ok": true, "code": "%QM-I-DONE", "text": "did it"});
            return json!({
                "ok": true,
                "text": ids.iter().map(|id| format!("%QM-I-DONE, did {id}\n")).collect::<String>(),
                "data": ids.iter().map(done).collect::<Value>(),
            });
        }
    };
    json!({"ok": true, "text": "done", "data": data})
}

struct Case {
    name: &'static str,
    args: &'static [&'static str],
    input: &'static str,
    terminal: bool,
    code: u8,
    asked: &'static [&'static str],
    out: &'static str,
    err: &'static str,
}

const CASE: Case = Case {
    name: "",
    args: &[],
    input: "",
    terminal: false,
    code: 0,
    asked: &[],
    out: "",
    err: "",
};

const CASES: &[Case] = &[
    Case {
        name: "a channel in two words",
        args: &["delete", "-channel", "tcp_local", "-all"],
        asked: &["queue", "delete [12,14,16]"],
        out: "%QM-I-DONE, did 14",
        ..CASE
    },
    Case {
        name: "a channel after =, in capitals, dashes as one likes",
        args: &["return", "--Channel=TCP_LOCAL", "--all"],
        asked: &["queue", "return [12,14,16]"],
        ..CASE
    },
    Case {
        name: "a typing error",
        args: &["delete", "-chanel=tcp_local", "-all"],
        code: 2,
        err: "there is no qualifier `-chanel`, did you mean `-channel`?",
        ..CASE
    },
    Case {
        name: "help deletes nothing",
        args: &["delete", "-all", "-help"],
        out: "Usage: imsimta qm delete [NUMBER...]",
        ..CASE
    },
    Case {
        name: "help of a subcommand",
        args: &["help", "ret"],
        out: "Usage: imsimta qm return",
        ..CASE
    },
    Case {
        name: "a number from the shell",
        args: &["delete", "1"],
        code: 2,
        err: "there was none in this session",
        ..CASE
    },
    Case {
        name: "a number at the prompt, before a listing",
        input: "delete 1\n",
        out: "qm.maint> qm.maint> ",
        err: "there was none in this session",
        ..CASE
    },
    Case {
        name: "numbers of the listing",
        input: "dir tcp_local\nhold 1,3\n",
        asked: &["queue", "hold [12,16]"],
        ..CASE
    },
    Case {
        name: "a range, and a number twice",
        input: "dir tcp_local\nrelease 1-2 2\n",
        asked: &["queue", "release [12,14]"],
        ..CASE
    },
    Case {
        name: "numbers beside the listing",
        input: "held\nhold 2\nhold 0\nhold 2-1\nhold x\n",
        asked: &["queue"],
        err: "`2` is not among the 1 message(s) of the last listing",
        ..CASE
    },
    Case {
        name: "all of the listing, not of the queue",
        input: "dir -held\ndelete -all\n",
        asked: &["queue", "delete [14]"],
        ..CASE
    },
    Case {
        name: "all of another channel than the listing",
        input: "dir tcp_local\ndelete -channel=ims-ms -all\n",
        asked: &["queue"],
        err: "no message of channel ims-ms in the last listing",
        ..CASE
    },
    Case {
        name: "ids from the shell",
        args: &["delete", "-id=12,13"],
        asked: &["delete [12,13]"],
        ..CASE
    },
    Case {
        name: "an id that is none",
        args: &["delete", "-id=12,ZZ00000000012.00"],
        code: 2,
        err: "`ZZ00000000012.00` is no id",
        ..CASE
    },
    Case {
        name: "nothing named",
        args: &["delete"],
        code: 2,
        err: "which messages?",
        ..CASE
    },
    Case {
        name: "a channel without -all",
        args: &["delete", "-channel=tcp_local", "-id=13"],
        code: 2,
        err: "-channel goes with -all",
        ..CASE
    },
    Case {
        name: "two ways to name messages",
        args: &["delete", "-all", "-id=13"],
        code: 2,
        err: "cannot be given together",
        ..CASE
    },
    Case {
        name: "a channel without messages",
        args: &["delete", "-channel=none", "-all"],
        code: 1,
        asked: &["queue"],
        err: "no message of channel none in the queue",
        ..CASE
    },
    Case {
        name: "at a terminal -all asks: no",
        args: &["delete", "-all"],
        input: "\n",
        terminal: true,
        code: 1,
        asked: &["queue"],
        out: "delete 6 messages? [no] Nothing was done.",
        ..CASE
    },
    Case {
        name: "at a terminal -all asks: the end of the input",
        args: &["delete", "-all"],
        terminal: true,
        code: 1,
        asked: &["queue"],
        ..CASE
    },
    Case {
        name: "at a terminal -all asks: yes",
        args: &["return", "-channel=ims-ms", "-all"],
        input: "Yes\n",
        terminal: true,
        asked: &["queue", "return [11,13,15]"],
        out: "return 3 messages? [no] ",
        ..CASE
    },
    Case {
        name: "at a terminal, not to be asked",
        args: &["delete", "-all", "-noconfirm"],
        terminal: true,
        asked: &["queue", "delete [11,12,13,14,15,16]"],
        ..CASE
    },
    Case {
        name: "asked to ask",
        args: &["delete", "-id=12", "-confirm"],
        input: "no\n",
        code: 1,
        ..CASE
    },
    Case {
        name: "without a word for each",
        args: &["hold", "-id=12", "-nolog"],
        asked: &["hold [12]"],
        ..CASE
    },
    Case {
        name: "no subcommand",
        args: &["purge", "-all"],
        code: 2,
        err: "there is no command `qm purge`",
        ..CASE
    },
    Case {
        name: "short for several",
        args: &["re", "-all"],
        code: 2,
        err: "release, return",
        ..CASE
    },
    Case {
        name: "stop",
        args: &["stop", "TCP_local"],
        asked: &["stop-channel \"tcp_local\""],
        out: "done",
        ..CASE
    },
    Case {
        name: "stop what",
        args: &["stop"],
        code: 2,
        err: "which channel?",
        ..CASE
    },
    Case {
        name: "history",
        args: &["history", "-all"],
        terminal: true,
        asked: &["queue", "queue"],
        out: "ZZ00000000012.00  1 attempt(s), last: no answer",
        ..CASE
    },
];

fn qm(site: &Path, case: &Case) -> Ran {
    let args: Vec<&str> = std::iter::once("qm").chain(case.args.iter().copied()).collect();
    run(Program::Imsimta, site, &args, case.input, case.terminal)
}

#[test]
fn takes_what_was_asked_for() {
    let site = directory("qm");
    let server = FakeServer::start(&site, answer);
    for case in CASES {
        let ran = qm(&site, case);
        let said = format!("{}: {}{}", case.name, ran.out, ran.err);
        assert_eq!(server.asked(), case.asked, "{said}");
        assert_eq!(ran.exit.code(), case.code, "{said}");
        assert!(ran.out.contains(case.out), "{said}");
        assert!(ran.err.contains(case.err), "{said}");
        assert!(!case.err.is_empty() || ran.err.is_empty(), "{said}");
    }
}

#[test]
fn many_messages_are_named_in_parts_that_the_server_reads() {
    let site = directory("qm-many");
    let server = FakeServer::start(&site, |request| match request["do"].as_str() {
        Some("queue") => {
            let entry = |id: u64| {
                let mut entry = queue()[0].clone();
                entry["id"] = id.into();
                entry
            };
            json!({"ok": true, "data": (1..=9_000).map(entry).collect::<Value>()})
        }
        _ => answer(request),
    });
    let ran = run(Program::Imsimta, &site, &["qm", "release", "-all"], "", false);
    assert_eq!(ran.exit.code(), 0, "{}", ran.err);
    assert_eq!(ran.out.lines().count(), 9_000);
    let asked = server.asked();
    assert!(asked.len() > 2 && asked[0] == "queue", "{} requests", asked.len());
    // the limit of the server is 64 KiB, and an id may have 20 digits
    for request in &asked[1..] {
        let ids = request.matches(',').count() + 1;
        assert!(ids * 21 < 64 * 1024, "{ids} ids at once");
    }
}

#[test]
fn a_server_that_does_not_answer_is_not_said_to_be_none() {
    let site = directory("qm-silent");
    let layout = mta::configuration::Layout::new(&site);
    let ask = || {
        let patience = std::time::Duration::from_millis(50);
        let request = mta::control::Request::Status;
        cli::commands::control::ask_within(&layout, &request, patience)
            .unwrap_err()
            .to_string()
    };
    let nobody = ask();
    assert!(nobody.contains("no server runs on"), "{nobody}");
    std::fs::create_dir_all(site.join("run")).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(layout.control()).unwrap();
    // nobody takes the connection, but there is somebody
    let silent = ask();
    assert!(silent.contains("may still be working"), "{silent}");
    drop(listener);
    let stale = ask();
    assert!(stale.contains("no server runs on"), "{stale}");
}
