//! What scripts mean, extension by extension: each case a script, a message and what comes of it.

mod actions;
mod base;
mod control;
mod edits;
mod levels;
mod mime;
mod outside;
#[path = "../sieve_common/mod.rs"]
mod sieve_common;
mod variables;

use policy::sieve::{Options, Request, SieveOutcome};
use sieve_common::{PLAIN, Scripts, run, summary};

/// Capabilities that most cases need.
const ALL: &str = r#"require ["fileinto","envelope","variables","relational","subaddress","copy","imap4flags","body","date",
"index","editheader","reject","ereject","vacation","environment","ihave","include","mailbox","mboxmetadata","servermetadata",
"foreverypart","mime","extracttext","enotify","duplicate","extlists","regex","special-use","mailboxid","spamtestplus",
"virustest","envelope-dsn","replace","enclose","comparator-i;ascii-numeric","comparator-i;unicode-casemap"];
"#;

/// Runs a script that may use every capability.
fn run_all(script: &str, message: &str, change: impl FnOnce(&mut Request)) -> SieveOutcome {
    let script = format!("{ALL}{script}");
    run(&script, message, &Scripts(&[]), &Options::default(), change)
}

/// Runs each case (name, script, what comes of it) on one message.
fn check(message: &str, cases: &[(&str, &str, &str)]) {
    let mut bad = Vec::new();
    for (name, script, want) in cases {
        let outcome = run_all(script, message, |r| {
            r.environment.insert("name".into(), "sluice".into());
            r.envelope.notify = vec!["SUCCESS".into(), "FAILURE".into()];
            r.addresses.push("roadrunner@birds.example.com".into());
        });
        let got = summary(&outcome);
        if got != *want {
            bad.push(format!("{name}: {got}\n    wanted {want}"));
        }
    }
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}

#[test]
fn the_trace_says_what_was_compared_and_decided() {
    let script = "require [\"fileinto\", \"variables\"];\nif header :matches [\"x-none\", \"subject\"] \"* order*\" { fileinto \"${1}\"; }";
    let want = "header x-none,subject :matches \"* order*\": \"Café order for you\": true  [s:2:4]";
    let trace = sieve_common::trace(script, PLAIN);
    assert!(trace.contains(want), "{trace}");
    assert!(trace.contains("${1} = \"Café\"  [s:2:4]"), "{trace}");
    assert!(trace.contains("fileinto \"Café\"  [s:2:"), "{trace}");
}
