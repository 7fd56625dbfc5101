//! `sluice sieve`: what authors of filters see.

mod common;

use std::path::Path;

use cli::{Exit, Program};
use common::{Ran, directory, run};

fn sieve(args: &[&str], input: &str) -> Ran {
    let args: Vec<&str> = std::iter::once("sieve").chain(args.iter().copied()).collect();
    run(Program::Sluice, Path::new("."), &args, input, false)
}

#[test]
fn check_reports_all_errors() {
    let cases: &[(&str, &str, Exit, &[&str])] = &[
        ("fine", "keep;", Exit::Ok, &[]),
        ("empty", "", Exit::Ok, &[]),
        ("a typo", "if true { keeep; }", Exit::No, &["keeep"]),
        (
            "several",
            "require \"fileinto\"; if header :contain \"a\" \"b\" { fileinto \"x\"; } foo;",
            Exit::No,
            &[":contain", "foo"],
        ),
        ("syntax", "keep; \"x", Exit::No, &["\""]),
    ];
    for (name, script, exit, words) in cases {
        let ran = sieve(&["check", "--json", "-"], script);
        assert_eq!(ran.exit, *exit, "{name}: {}", ran.out);
        let found: Vec<serde_json::Value> = ran
            .out
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        let found: Vec<&str> = found.iter().map(|d| d["word"].as_str().unwrap()).collect();
        assert_eq!(&found, words, "{name}");
    }
    let drawn = sieve(&["check", "-"], "keeep;");
    assert!(drawn.err.contains("^^^^^"), "{}", drawn.err);
    assert_eq!(drawn.out, "1 error, 0 warnings\n");
    let missing = sieve(&["check", "/nowhere/x.sieve", "-"], "keep;");
    assert_eq!(missing.exit, Exit::No);
}

#[test]
fn run_says_what_happens() {
    let folder = directory("sieve-run");
    let path = |name: &str| folder.join(name).display().to_string();
    let script = "require [\"fileinto\", \"environment\", \"envelope\"];\n\
                  if allof (header \"subject\" \"hi\", environment \"site\" \"north\", envelope \"from\" \"a@b.example\") {\n\
                  fileinto \"Box\";\n}\n";
    std::fs::write(path("s.sieve"), script).unwrap();
    std::fs::write(path("fails.sieve"), "require \"ihave\"; error \"boom\";").unwrap();
    let message = "Subject: hi\n\nx\n";
    let cases: &[(&str, &[&str], Exit, &str)] = &[
        (
            "filed",
            &["--env", "site=north", "--from", "a@b.example", "s.sieve"],
            Exit::Ok,
            "fileinto mailbox=\"Box\"",
        ),
        ("kept", &["s.sieve"], Exit::Ok, "keep implicit"),
        ("an error", &["fails.sieve"], Exit::No, "keep implicit"),
        (
            "as JSON",
            &["--json", "fails.sieve"],
            Exit::No,
            "\"runtime_error\":true",
        ),
        (
            "traced",
            &["--trace", "--json", "s.sieve"],
            Exit::Ok,
            "\"trace\":[",
        ),
    ];
    for (name, args, exit, text) in cases {
        let (last, options) = args.split_last().unwrap();
        let script = path(last);
        let all: Vec<&str> = ["run", "--message", "-"]
            .into_iter()
            .chain(options.iter().copied())
            .chain([script.as_str()])
            .collect();
        let ran = sieve(&all, message);
        assert_eq!(ran.exit, *exit, "{name}: {}", ran.err);
        assert!(ran.out.contains(text), "{name}: {}", ran.out);
    }
}

#[test]
fn cases_stand_for_themselves() {
    let folder = directory("sieve-cases");
    let file = folder.join("c.jsonl").display().to_string();
    let good = r#"{"id":1,"script":"discard;","message":"\r\n"}"#;
    std::fs::write(&file, format!("{}\n{good}\n", r#"{"script":"no","message":""}"#)).unwrap();
    let ran = sieve(&["run", "--cases", &file], "");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!((ran.exit, lines.len()), (Exit::Ok, 2), "{}", ran.err);
    assert!(lines[0].contains("\"compile_error\":true"), "{}", lines[0]);
    assert!(lines[1].contains("\"action\":\"discard\""), "{}", lines[1]);
    std::fs::write(&file, format!("{good}\nnot json\n")).unwrap();
    let ran = sieve(&["run", "--cases", &file], "");
    assert_eq!(ran.exit, Exit::No);
    assert!(ran.err.contains("line 2"), "{}", ran.err);
}

#[test]
fn our_own_suite_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/sieve");
    let ran = sieve(&["test", folder], "");
    assert_eq!(ran.exit, Exit::Ok, "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("24 passed, 0 failed\n"), "{}", ran.out);
}

#[test]
fn failures_are_told() {
    let folder = directory("sieve-test");
    let file = folder.join("t.svtest").display().to_string();
    let require = "require [\"vnd.dovecot.testsuite\", \"ihave\"];\n";
    let cases: &[(&str, &str, Exit, &str)] = &[
        ("no cases", "", Exit::Ok, "0 passed, 0 failed"),
        (
            "one fails",
            "test \"a\" { test_fail \"why\"; } test \"b\" { }",
            Exit::No,
            "1 passed, 1 failed",
        ),
        ("its reason", "test \"a\" { test_fail \"why\"; }", Exit::No, "why"),
        (
            "an error fails its case",
            "test \"a\" { error \"boom\"; } test \"b\" { }",
            Exit::No,
            "1 passed, 1 failed",
        ),
        (
            "in a loop of tests",
            "test \"a\" { if not anyof (false, test_script_run) { test_fail \"x\"; } }",
            Exit::No,
            "0 passed, 1 failed",
        ),
        (
            "stop ends the file",
            "test \"a\" { if true { stop; } } test \"b\" { test_fail \"x\"; }",
            Exit::Ok,
            "1 passed, 0 failed",
        ),
        (
            "nested",
            "test \"a\" { test \"b\" { } }",
            Exit::No,
            "0 passed, 1 failed",
        ),
        ("does not compile", "test \"a\" { keeep; }", Exit::No, ""),
        ("does not parse", "test \"a\" {", Exit::No, ""),
        (
            "unknown setting",
            "test_config_set \"sieve_x\" \"1\"; test_config_reload;",
            Exit::No,
            "",
        ),
    ];
    for (name, text, exit, part) in cases {
        std::fs::write(&file, format!("{require}{text}")).unwrap();
        let ran = sieve(&["test", &file], "");
        assert_eq!(ran.exit, *exit, "{name}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(part), "{name}: {}", ran.out);
    }
}

#[test]
fn what_breaks_off_fails_and_the_others_still_run() {
    let folder = directory("sieve-broken");
    let require = "require \"vnd.dovecot.testsuite\";\n";
    for (name, text) in [("a", "test \"one\" { keeep; }"), ("b", "test \"two\" { }")] {
        std::fs::write(folder.join(format!("{name}.svtest")), format!("{require}{text}")).unwrap();
    }
    let path = folder.display().to_string();
    let ran = sieve(&["test", &path], "");
    assert_eq!(ran.exit, Exit::No, "{}{}", ran.out, ran.err);
    assert!(ran.out.ends_with("1 passed, 0 failed\n"), "{}", ran.out);
    assert!(ran.err.contains("keeep"), "{}", ran.err);
    let ran = sieve(&["test", "--json", &path, "/nowhere/c.svtest"], "");
    assert_eq!(ran.exit, Exit::No, "{}{}", ran.out, ran.err);
    let lines: Vec<serde_json::Value> = ran
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let [first, second, third] = lines.as_slice() else {
        panic!("{}", ran.out);
    };
    assert!(first["broken"].as_str().unwrap().contains("keeep"), "{first}");
    assert_eq!(
        (&second["case"], &second["passed"]),
        (&"two".into(), &true.into())
    );
    assert!(
        third["broken"].as_str().unwrap().contains("cannot read"),
        "{third}"
    );
}

#[test]
fn no_folder_is_passed_over() {
    let folder = directory("sieve-deep");
    let mut deep = folder.clone();
    for _ in 0..16 {
        deep.push("d");
    }
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("t.svtest"), "nonsense").unwrap();
    let ran = sieve(&["test", &folder.display().to_string()], "");
    assert_eq!(ran.exit, Exit::No, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("more than 16 folders deep"), "{}", ran.err);
}

#[test]
fn the_test_suite_is_for_the_runner_only() {
    let ran = sieve(&["check", "-"], "require \"vnd.dovecot.testsuite\"; keep;");
    assert_eq!(ran.exit, Exit::No, "{}", ran.out);
}
