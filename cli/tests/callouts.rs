//! What a policy asks of the outside.

mod common;

use common::*;

#[test]
fn callouts_are_answered() {
    let site = site(
        "callouts",
        &[
            (
                "mappings",
                "GENERAL\n\n  *  ${$0}\n\nROUTINE\n\n  *  $C$[check_metermaid.so,throttle,ip,$0]$NToo$ many$E\n  *  $Y\n\n\
                 URL\n\n  *  $.later.$]ldap:///x?y[$Y\n\nNUMBER\n\n  *  $#IMTA_TABLE:seq|10|4#\n\n\
                 BAD\n\n  *  $#IMTA_TABLE:noseq#\n\nWORDS\n\n  *  $#IMTA_TABLE:words#\n\nRELATIVE\n\n  *  $#seq#\n",
            ),
            ("general.txt", "! a comment\nKey  $Yvalue$ of\nempty\n"),
            (
                "answers",
                "{\"ask\": \"check_metermaid.so,throttle,ip,10.0.0.1\", \"answer\": \"NotFound\"}\n\n\
                 {\"ask\": \"check_metermaid.so,throttle,ip,10.0.0.1\", \"answer\": {\"Found\": \"\"}}\n\
                 {\"ask\": \"URL ldap:///x?y\", \"answer\": {\"Temporary\": \"no server\"}}\n",
            ),
            ("seq", ""),
            ("words", "some words\n"),
        ],
    );
    let answers = format!("-answers={}", site.join("config/answers").display());
    let yes = |text: &str, flag: &str| format!("Output string: {text}\nOutput flags: [0{flag}]\n");
    let cases: &[(&str, &str, &str, String, &str)] = &[
        (
            "a key of the general text file",
            "GENERAL",
            "KEY",
            yes("value of", ", 'Y' (89)"),
            "answer: \"$Yvalue$ of\"",
        ),
        (
            "a key without a template",
            "GENERAL",
            "empty",
            yes("", ""),
            "answer: \"\"",
        ),
        ("no such key", "GENERAL", "other", yes("other", ""), "answer: no"),
        (
            "a sequence number",
            "NUMBER",
            "x",
            yes("0001", ""),
            "answer: \"1\"",
        ),
        ("the next one", "NUMBER", "x", yes("0002", ""), "answer: \"2\""),
        (
            "callouts off",
            "NUMBER -nocallouts",
            "x",
            yes("x", ""),
            "callouts are switched off",
        ),
        ("no file", "BAD", "x", yes("x", ""), "create it empty"),
        ("no number", "WORDS", "x", yes("x", ""), "does not hold a number"),
        (
            "a relative name",
            "RELATIVE",
            "x",
            yes("x", ""),
            "seq: this is not a full path, nor `IMTA_TABLE:name`",
        ),
        (
            "no driver",
            "ROUTINE",
            "10.0.0.1",
            "Output string: \nOutput flags: [0, 1, 'Y' (89)]\n".into(),
            "give an answer with `-answers=FILE`",
        ),
    ];
    for (name, table, input, expected, traced) in cases {
        let ran = imsimta(&site, &format!("test -mapping -table={table} -debug {input}"), "");
        assert!(ran.out.ends_with(expected), "{name}: {} {}", ran.out, ran.err);
        assert!(ran.out.contains(traced), "{name}: {traced} in {}", ran.out);
    }
    assert_eq!(std::fs::read_to_string(site.join("config/seq")).unwrap(), "2\n");
    let ran = imsimta(
        &site,
        &format!("test -mapping -table=ROUTINE {answers} -nocallouts -json"),
        "10.0.0.1\n10.0.0.1\n10.0.0.1\n",
    );
    let outputs: Vec<serde_json::Value> = ran
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let outputs: Vec<_> = outputs.iter().map(|o| o["output"].as_str().unwrap()).collect();
    assert_eq!(
        outputs,
        ["", "Too many", "Too many"],
        "in order, and the last again: {}",
        ran.out
    );
    let ran = imsimta(&site, &format!("test -mapping -table=URL {answers} -json x"), "");
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&value["output"], &value["flags"]),
        (&"later".into(), &"".into()),
        "{}",
        ran.out
    );
}
