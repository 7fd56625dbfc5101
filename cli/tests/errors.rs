//! What goes wrong, and what is said of it.

mod common;

use std::path::Path;

use cli::Exit;
use cli::console::LINE_LIMIT;
use common::*;

#[test]
fn errors() {
    let site = site(
        "errors",
        &[
            ("mappings", MAPPINGS),
            ("broken", "T\n\n  $[a  $Y\n  b $?x?\n"),
            ("latin", "T\n\n  caf\u{e9}  $Y\n"),
            ("answers", "{\"ask\": \"x\"}\n"),
            ("bad.opt", "BLOCK_LIMIT=\n"),
        ],
    );
    std::fs::write(site.join("config/latin"), b"T\n\n  caf\xe9  $Y\n").unwrap();
    let cases: &[(&str, &str, u8, &[&str])] = &[
        ("no command", "", 2, &["a command is missing"]),
        (
            "an unknown command",
            "vesion",
            2,
            &["there is no command `vesion`, did you mean `version`?"],
        ),
        ("no test", "test", 2, &["which test?", "-mapping", "-match"]),
        (
            "an unknown test",
            "test -matsch",
            2,
            &["there is no test `-matsch`, did you mean `-match`?"],
        ),
        (
            "a test without its dash",
            "test match",
            2,
            &["did you mean `-match`?"],
        ),
        ("an ambiguous test", "test -ma", 2, &["-mapping, -match"]),
        ("a test with a value", "test -match=x", 2, &["takes no value"]),
        (
            "an unknown qualifier",
            "test -mapping -tabel=x",
            2,
            &["did you mean `-table`?"],
        ),
        (
            "JSON without a table",
            "test -mapping -json",
            2,
            &["write `-table=NAME`"],
        ),
        (
            "an odd flag",
            "test -mapping -flags=é",
            2,
            &["cannot be an input flag"],
        ),
        (
            "an odd trace",
            "test -mapping -debug=some",
            2,
            &["write `-debug` or `-debug=all`"],
        ),
        (
            "two inputs",
            "test -mapping -table=DENY a b",
            2,
            &["one argument too many: `b`"],
        ),
        (
            "no input file",
            "test -mapping -table=DENY -input=SITE/none",
            2,
            &["-input=", "there is no such file"],
        ),
        (
            "a wrong answers file",
            "test -mapping -table=DENY -answers=SITE/config/answers x",
            2,
            &["line 1", "missing field `answer`"],
        ),
        (
            "an unknown table, one near",
            "test -mapping -table=DENI x",
            1,
            &["there is no table `DENI`, did you mean `DENY`?"],
        ),
        (
            "an unknown table, none near",
            "test -mapping -table=QQQQQQ x",
            1,
            &["there are INTERNAL_IP, SMS_TEXT, FLAGS, DENY"],
        ),
        (
            "no mapping file",
            "test -mapping -mapping_file=SITE/none -table=T x",
            3,
            &["cannot read the mapping file", "there is no such file"],
        ),
        (
            "a directory",
            "test -mapping -mapping_file=SITE -table=T x",
            3,
            &["it is a directory"],
        ),
        (
            "all errors at once",
            "test -mapping -mapping_file=IMTA_TABLE:broken -table=T x",
            3,
            &[
                "error[P003]",
                "broken:3:3",
                "error[T005]",
                "broken:4:5",
                "does not load: 2 errors",
            ],
        ),
        (
            "not UTF-8",
            "test -mapping -mapping_file=SITE/config/latin -table=T x",
            3,
            &["line 3 is not UTF-8"],
        ),
        (
            "no option file",
            "test -mapping -option_file=SITE/none -table=DENY x",
            3,
            &["cannot read the option file"],
        ),
        (
            "context that nothing uses",
            "test -mapping -table=DENY -originator=a@b x",
            0,
            &["note: -originator has no effect"],
        ),
        (
            "sources that nothing uses",
            "test -mapping -table=DENY -sources x",
            0,
            &["note: -sources has no effect"],
        ),
        (
            "a string and a file of strings",
            "test -mapping -table=DENY -input=SITE/config/mappings x",
            2,
            &["`x` and `-input=", "cannot be given together"],
        ),
        (
            "an address and a file of addresses",
            "test -rewrite -input=SITE/config/mappings x@b.example",
            2,
            &["cannot be given together"],
        ),
        (
            "an image that cannot be used",
            "test -mapping -table=DENY -image_file=img x",
            3,
            &["there is no compiled configuration `img`"],
        ),
        ("a blank in a pattern", "test -match", 0, &["write `$ `"]),
        (
            "a pair without its target",
            "test -match -json",
            1,
            &["`a b`, has no target"],
        ),
    ];
    for (name, args, code, parts) in cases {
        let args = args.replace("SITE", &site.display().to_string());
        let ran = imsimta(&site, &args, "a b");
        assert_eq!(ran.exit.code(), *code, "{name}: {}", ran.err);
        for part in *parts {
            assert!(ran.err.contains(part), "{name}: {part} in {}", ran.err);
        }
    }
}

#[test]
fn no_site() {
    let ran = imsimta(Path::new("/nonexistent/site"), "test -mapping -table=T x", "");
    assert_eq!(ran.exit, Exit::Config);
    assert!(
        ran.err.contains("/nonexistent/site/config/mappings") && ran.err.contains("SLUICE_SITE"),
        "{}",
        ran.err
    );
}

#[test]
fn long_lines_end_the_run() {
    let site = site("long", &[("mappings", MAPPINGS)]);
    let long = "x".repeat(LINE_LIMIT + 1);
    for args in [
        "test -mapping -table=DENY",
        "test -match",
        "test -match x",
        "test -match -json",
    ] {
        let ran = imsimta(&site, args, &format!("{long}\nx\nx\n"));
        assert_eq!(ran.exit, Exit::No, "{args}");
        assert!(
            ran.err.contains("longer than 1048576 bytes"),
            "{args}: {}",
            ran.err
        );
    }
}

#[test]
fn large_patterns_and_targets_are_bounded() {
    let pattern = "$D*".repeat(1_024);
    let target = "1".repeat(LINE_LIMIT);
    let ran = imsimta(
        Path::new("."),
        "test -match -json",
        &format!("{pattern}\n{target}\n*\n{target}\n"),
    );
    assert_eq!(ran.exit, Exit::Ok);
    let lines: Vec<serde_json::Value> = ran
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    for (line, fields) in lines.iter().zip([1_024, 1]) {
        assert_eq!(line["matched"], true);
        assert_eq!(line["fields"].as_array().unwrap().len(), fields);
    }
    let back = format!("{}$0*", "*".repeat(10));
    let ran = imsimta(
        Path::new("."),
        &format!("test -match {back}b* {}", "a".repeat(3_000)),
        "",
    );
    assert_eq!(ran.exit, Exit::No);
    assert!(ran.err.contains("too many steps"), "{}", ran.err);
    for many in [1_025, 70_000] {
        let pattern = "$D*".repeat(many);
        let ran = imsimta(Path::new("."), "test -match -json", &format!("{pattern}\n1\n"));
        let why = format!("\"error\":\"this pattern has {many} elements; 1024 are allowed\"}}\n");
        assert!(ran.out.ends_with(&why), "{}", ran.out);
    }
}

#[test]
fn an_output_file_outlives_a_configuration_that_does_not_load() {
    let site = site("outlives", &[("mappings", "T\n  x\n")]);
    let output = site.join("out");
    std::fs::write(&output, "old").unwrap();
    let ran = imsimta(
        &site,
        &format!("test -mapping -table=T -output={} x", output.display()),
        "",
    );
    assert_eq!(ran.exit, Exit::Config);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "old");
}

#[test]
fn includes_are_found() {
    let site = site(
        "includes",
        &[
            ("mappings", "T\n\n<IMTA_TABLE:more\n</nonexistent/x\n<more\n"),
            ("more", "  *  $Y\n"),
            ("good", "T\n\n<imta_table:more\n"),
        ],
    );
    let ran = imsimta(&site, "test -mapping -table=T x", "");
    assert_eq!(ran.exit, Exit::Config);
    for part in [
        "`/nonexistent/x`: there is no such file",
        "`more`: this is not a full path",
        "2 errors",
    ] {
        assert!(ran.err.contains(part), "{part} in {}", ran.err);
    }
    let ran = imsimta(
        &site,
        "test -mapping -table=T -mapping_file=IMTA_TABLE:good x",
        "",
    );
    assert_eq!(
        ran.out, "Output string: \nOutput flags: [0, 'Y' (89)]\n",
        "{}",
        ran.err
    );
}
