//! What is wrong in a command line of `sluice` is said, and is neither ignored nor taken for an answer.

mod common;

use common::*;

#[test]
fn nothing_is_ignored() {
    let site = new_site("command-lines");
    let cases: &[(&str, &[&str], u8, &str)] = &[
        (
            "send, no address",
            &["send", "--to", "a@b.example", "--client-ip", "garbage"],
            2,
            "invalid value 'garbage'",
        ),
        ("explain nobody", &["explain"], 2, "--client-ip"),
        (
            "explain, recipients without a sender",
            &["explain", "--client-ip", "192.0.2.1", "--rcpt-to", "a@b.example"],
            2,
            "--mail-from",
        ),
        (
            "explain a client and the last session",
            &["explain", "--last", "--client-ip", "192.0.2.1"],
            2,
            "cannot be used with",
        ),
        (
            "explain TLS and the last session",
            &["explain", "--tls", "--last=3"],
            2,
            "cannot be used with",
        ),
        (
            "explain the last session, with what is set anyhow",
            &["explain", "--last"],
            1,
            "no server runs on",
        ),
        (
            "explain, no channel",
            &["explain", "--client-ip", "192.0.2.1", "--channel", "tcp_none"],
            2,
            "there is no channel tcp_none",
        ),
        (
            "explain, no user",
            &["explain", "--client-ip", "192.0.2.1", "--auth", "nobody"],
            2,
            "there is no user nobody",
        ),
        (
            "probe, no point",
            &["probe", "NOSUCH", "x"],
            2,
            "is not a policy point",
        ),
        (
            "sieve run, an item without a value",
            &["sieve", "run", "SCRIPT", "--message", "-", "--env", "x"],
            2,
            "--env NAME=VALUE",
        ),
        (
            "sieve run, cases and rules",
            &["sieve", "run", "--cases", "-", "--strict"],
            2,
            "cannot be used with",
        ),
        (
            "sieve run, cases and a sender",
            &["sieve", "run", "--cases", "-", "--from", "a@b.example"],
            2,
            "cannot be used with",
        ),
        (
            "sieve run, cases and a recipient",
            &["sieve", "run", "--cases", "-", "--to", "a@b.example"],
            2,
            "cannot be used with",
        ),
        (
            "sieve run, cases and a level",
            &["sieve", "run", "--cases", "-", "--level", "user"],
            2,
            "cannot be used with",
        ),
        (
            "sieve run, cases and an item",
            &["sieve", "run", "--cases", "-", "--env", "a=b"],
            2,
            "cannot be used with",
        ),
        (
            "sieve run, cases and a mailbox",
            &["sieve", "run", "--cases", "-", "--mailbox", "Box"],
            2,
            "cannot be used with",
        ),
        ("sieve run, cases alone", &["sieve", "run", "--cases", "-"], 0, ""),
    ];
    let script = site.join("s.sieve");
    std::fs::write(&script, "keep;").unwrap();
    let script = script.display().to_string();
    for (name, args, code, part) in cases {
        let args: Vec<&str> = args
            .iter()
            .map(|a| if *a == "SCRIPT" { script.as_str() } else { a })
            .collect();
        let ran = sluice(&site, &args, "");
        assert_eq!(ran.exit.code(), *code, "{name}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(part), "{name}: {}", ran.err);
    }
}
