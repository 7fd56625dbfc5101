//! Every command has a help, and all that print results print them as JSON, a value a line.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use cli::Program;
use common::*;

/// Every command: the words that call it, and its help.
fn commands(site: &Path) -> Vec<(String, String)> {
    let mut calls: Vec<(Program, Vec<String>)> = Vec::new();
    fn walk(command: &clap::Command, words: &[String], calls: &mut Vec<(Program, Vec<String>)>) {
        calls.push((Program::Sluice, words.to_vec()));
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{words:?}: {argument} has no help");
        }
        for sub in command.get_subcommands() {
            let words = [words, &[sub.get_name().to_string()]].concat();
            walk(sub, &words, calls);
        }
    }
    walk(&cli::sluice::command(), &[], &mut calls);
    let mut imsimta = |line: &str| {
        let words = line.split(' ').skip(1).map(str::to_string);
        calls.push((Program::Imsimta, words.collect()));
    };
    imsimta("imsimta");
    for command in cli::imsimta::COMMANDS {
        imsimta(&format!("imsimta {}", command.name));
    }
    for tool in cli::test::TOOLS {
        imsimta(&format!("imsimta test -{}", tool.name));
    }
    for usage in cli::commands::qm::usages() {
        imsimta(usage.command);
    }
    let helped = |(program, words): (Program, Vec<String>)| {
        let args: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let ran = run(program, site, &args, "", false);
        let name = [&[program.name().to_string()], words.as_slice()]
            .concat()
            .join(" ");
        assert_eq!(ran.exit.code(), 0, "{name} --help: {}", ran.err);
        assert_eq!(ran.err, "", "{name} --help");
        (name, ran.out)
    };
    calls.into_iter().map(helped).collect()
}

#[test]
fn every_command_has_a_help() {
    let commands = commands(Path::new("."));
    assert!(commands.len() > 30, "only {} commands", commands.len());
    for (name, help) in &commands {
        // `sluice imsimta` hands everything on
        let called = match name.as_str() {
            "sluice imsimta" => "imsimta",
            name => name,
        };
        let first = help.lines().next().unwrap_or_default();
        assert!(!first.is_empty() && !first.starts_with("Usage"), "{name}: {help}");
        assert!(help.contains(&format!("Usage: {called}")), "{name}: {help}");
    }
}

/// Calls of every command that knows `--json`. What they print is of no matter, but that it is JSON.
const CALLS: &[(&str, &str)] = &[
    (
        "sluice send",
        "sluice send --json --to alice@example.com --to nobody@example.com",
    ),
    (
        "sluice probe",
        "sluice probe --json --debug ORIG_SEND_ACCESS tcp_local|a@b.example|tcp_local|c@d.example",
    ),
    ("sluice probe", "sluice probe --json AUTH_ACCESS x"),
    (
        "sluice explain",
        "sluice explain --json --client-ip 192.0.2.1 --mail-from a@b.example --rcpt-to c@d.example",
    ),
    ("sluice explain", "sluice explain --json --last"),
    ("sluice check", "sluice check --json SITE/open"),
    ("sluice sieve check", "sluice sieve check --json SITE/wrong.sieve"),
    (
        "sluice sieve run",
        "sluice sieve run --json --trace SITE/right.sieve --message SITE/right.sieve",
    ),
    (
        "sluice sieve run",
        "sluice sieve run --json SITE/wrong.sieve --message SITE/right.sieve",
    ),
    ("sluice sieve test", "sluice sieve test --json SITE/cases.svtest"),
    ("sluice user list", "sluice user list --json --dir SITE"),
    (
        "sluice log",
        "sluice log --json --since 1h --channel ims-ms --address bob --action ED --dir SITE",
    ),
    ("sluice status", "sluice status --json --dir SITE"),
    ("imsimta version", "imsimta version -json"),
    ("imsimta reload", "imsimta reload -json"),
    ("imsimta cnbuild", "imsimta cnbuild -json"),
    ("imsimta test -match", "imsimta test -match -json a* abc"),
    (
        "imsimta test -mapping",
        "imsimta test -mapping -json -debug=all -table=INTERNAL_IP 192.0.2.1",
    ),
    (
        "imsimta test -expression",
        "imsimta test -expression -json -debug keep;",
    ),
    (
        "imsimta test -expression",
        "imsimta test -expression -json keeep;",
    ),
    (
        "imsimta test -rewrite",
        "imsimta test -rewrite -json -debug alice@example.com",
    ),
    ("imsimta qm stop", "imsimta qm stop -json tcp_local"),
    ("imsimta qm start", "imsimta qm start -json tcp_local"),
    ("imsimta qm directory", "imsimta qm directory -json"),
    ("imsimta qm summarize", "imsimta qm summarize -json"),
    ("imsimta qm history", "imsimta qm history -json -all"),
    ("imsimta qm release", "imsimta qm release -json -id=1,99999"),
    ("imsimta qm hold", "imsimta qm hold -json -all"),
    ("imsimta qm held", "imsimta qm held -json -envelope"),
    ("imsimta qm messages", "imsimta qm messages -json"),
    ("imsimta qm return", "imsimta qm return -json -id=99999"),
    ("imsimta qm delete", "imsimta qm delete -json -all"),
];

/// Commands that have nothing to print where all is well.
const SILENT: &[&str] = &["imsimta qm messages"];

#[test]
fn json_is_json_everywhere() {
    let site = new_site("json");
    for (name, text) in [
        ("right.sieve", "keep;"),
        ("wrong.sieve", "keeep;"),
        (
            "cases.svtest",
            "require \"vnd.dovecot.testsuite\"; test \"a\" { } test \"b\" { test_fail \"x\"; }",
        ),
    ] {
        std::fs::write(site.join(name), text).unwrap();
    }
    let open = new_site("json-open");
    std::fs::remove_file(open.join("config/mappings")).unwrap();
    std::fs::rename(&open, site.join("open")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let layout = mta::configuration::Layout::new(&site);
    let running = runtime.block_on(mta::server::Server::start(layout));
    let running = running.unwrap_or_else(|e| panic!("{e}"));
    // something that stays in the queue
    sluice_line(&site, "imsimta qm stop ims-ms");
    let sent = sluice_line(&site, "sluice send --to bob@example.com");
    assert_eq!(sent.exit.code(), 0, "{}{}", sent.out, sent.err);
    for (name, line) in CALLS {
        let ran = sluice_line(&site, line);
        assert!(ran.exit.code() <= 1, "{line}: {}", ran.err);
        assert!(
            !ran.out.is_empty() || SILENT.contains(name),
            "{line}: nothing; {}",
            ran.err
        );
        for printed in ran.out.lines() {
            let value: Result<serde_json::Value, _> = serde_json::from_str(printed);
            assert!(value.is_ok_and(|v| v.is_object()), "{line}: {printed}");
        }
    }
    runtime.block_on(running.stop());
    let tried: BTreeSet<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    for (name, help) in commands(&site) {
        let knows = help
            .lines()
            .any(|l| l.trim_start().trim_start_matches('-').starts_with("json"));
        assert_eq!(knows, tried.contains(name.as_str()), "{name}: {help}");
    }
}

#[test]
fn an_open_relay_is_a_message_like_others() {
    let site = new_site("check-open");
    let dir = site.display().to_string();
    let closed = sluice(&site, &["check", &dir], "");
    assert!(closed.out.contains("no open relay"), "{}", closed.out);
    std::fs::remove_file(site.join("config/mappings")).unwrap();
    let ran = sluice(&site, &["check", "--json", &dir], "");
    assert_eq!(ran.exit.code(), 1, "{}", ran.err);
    let last: serde_json::Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["code"], &last["severity"]),
        (&"C030".into(), &"error".into()),
        "{last}"
    );
    assert!(last["file"].as_str().unwrap().ends_with("imta.cnf"), "{last}");
    assert!(
        last["help"].as_str().unwrap().contains("sluice explain"),
        "{last}"
    );
    let text = sluice(&site, &["check", &dir], "");
    assert!(text.out.contains("error[C030]: an open relay"), "{}", text.out);
}

fn sluice_line(site: &Path, line: &str) -> Ran {
    let line = line.replace("SITE", &site.display().to_string());
    let mut words = line.split(' ');
    let program = match words.next() {
        Some("imsimta") => Program::Imsimta,
        _ => Program::Sluice,
    };
    run(program, site, &words.collect::<Vec<_>>(), "", false)
}
