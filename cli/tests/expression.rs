//! `imsimta test -expression`: what is printed for what is typed.

mod common;

use std::path::{Path, PathBuf};

use cli::Program;
use common::*;
use serde_json::Value;

const MESSAGE: &str = "From: bob@example.org\nTo: pamw@example.com\nSubject: hello\n\nbody\n";

fn folder(name: &str) -> PathBuf {
    let folder = directory(name);
    std::fs::write(folder.join("m.msg"), MESSAGE).unwrap();
    folder
}

fn expression(site: &Path, args: &[&str], input: &str) -> Ran {
    let message = format!("-message={}", site.join("m.msg").display());
    let args: Vec<&str> = ["test", "-exp", "-mm", &message]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    run(Program::Imsimta, site, &args, input, false)
}

/// The lines of the output that are no compiled code: that is not promised.
fn without_dump(out: &str) -> String {
    let kept = out.lines().filter_map(|line| match line.split_once("Dump: ") {
        Some(("", _)) => None,
        // the prompt that the dump follows
        Some((prompt, _)) => Some(prompt.trim_end()),
        None => Some(line.trim_end()),
    });
    kept.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_manuals_example() {
    let site = folder("expression-manual");
    let file = site.join("tmp.filter");
    std::fs::write(
        &file,
        "if header :contains [\"to\"] [\"pamw\"]\n{\nredirect \"usr3@sesta.com\";\nkeep;\n}\n",
    )
    .unwrap();
    let input = file.display().to_string();
    let ran = expression(&site, &["-block", "-input", &input], "not read");
    let expected = "Expression: if header :contains [\"to\"] [\"pamw\"]\n\
                    Expression: {\n\
                    Expression: redirect \"usr3@sesta.com\";\n\
                    Expression: keep;\n\
                    Expression: }\n\
                    Expression:\n\
                    Result: 0\n\
                    Filter result: [ redirect \"usr3@sesta.com\" keep ]";
    assert_eq!(without_dump(&ran.out), expected, "{}", ran.err);
    assert!(ran.out.contains("Expression: Dump: "), "{}", ran.out);
    assert_eq!((ran.exit.code(), ran.err.as_str()), (0, ""));
    let output = site.join("out");
    let args = [
        "-block",
        &format!("-input={input}"),
        &format!("-output={}", output.display()),
    ];
    let ran = expression(&site, &args, "");
    assert_eq!(ran.out, "");
    assert_eq!(without_dump(&std::fs::read_to_string(&output).unwrap()), expected);
}

#[test]
fn filter_results() {
    let site = folder("expression-results");
    // name, qualifiers, script, result line, exit code
    let cases: &[(&str, &[&str], &str, &str, u8)] = &[
        (
            "nothing matched",
            &[],
            "if header \"to\" \"x\" { discard; }",
            "[]",
            0,
        ),
        ("an explicit keep", &[], "keep;", "[ keep ]", 0),
        ("discard", &[], "discard;", "[ discard ]", 0),
        (
            "the manual's second sample",
            &[],
            "require \"fileinto\"; fileinto \"QMSG\"; keep;",
            "[ fileinto \"QMSG\" keep ]",
            0,
        ),
        (
            "tags before strings",
            &["-norequired"],
            "fileinto :flags [\"a\", \"b\"] :create :copy \"Box\"; redirect :copy :ret \"HDRS\" \"a@b.example\";",
            "[ fileinto :copy :create :flags [\"a\", \"b\"] \"Box\" redirect :copy :ret \"HDRS\" \"a@b.example\" ]",
            0,
        ),
        (
            "one line, whatever strings hold",
            &["-norequired"],
            "reject text:\n a \"b\"\\\n.\n;",
            "[ reject \" a \\\"b\\\"\\\\\\r\\n\" ]",
            0,
        ),
        (
            "edits of the header, in order",
            &["-norequired"],
            "addheader \"X\" \"1\"; keep; addheader :last \"Y\" \"2\"; deleteheader \"subject\";\
             replaceheader :newvalue \"z\" \"to\"; addtag \"[t]\";",
            "[ addheader \"X\" \"1\" keep addheader :last \"Y\" \"2\" deleteheader \"subject\" \
             replaceheader :newvalue \"z\" \"to\" addtag \"[t]\" ]",
            0,
        ),
        (
            "an action of the site, by a user",
            &[],
            "capture \"a@b.example\";",
            "[]",
            1,
        ),
        (
            "an action of the site",
            &["-system"],
            "capture :dsn \"a@b.example\"; hold;",
            "[ capture :dsn \"a@b.example\" hold ]",
            0,
        ),
        (
            "an error leaves the implicit keep",
            &["-norequired"],
            "discard; error \"boom\";",
            "[]",
            1,
        ),
        (
            "vacation, to whom the message is for",
            &["-norequired", "-from=bob@example.org", "-to=pamw@example.com"],
            "vacation :days 3 :subject \"away\" \"gone\";",
            "[ vacation :days 3 :subject \"away\" \"gone\" ]",
            0,
        ),
        (
            "no vacation to the null sender",
            &["-norequired", "-nofrom", "-to=pamw@example.com"],
            "vacation \"gone\";",
            "[]",
            0,
        ),
        (
            "the envelope",
            &["-norequired", "-from=<a@b.example>", "-to=c@d.example"],
            "if allof (envelope \"from\" \"a@b.example\", envelope \"to\" \"c@d.example\") { discard; }",
            "[ discard ]",
            0,
        ),
        (
            "the sender of the site",
            &["-norequired"],
            "if envelope \"from\" \"postmaster@localhost\" { discard; }",
            "[ discard ]",
            0,
        ),
        (
            "the environment",
            &["-norequired", "-source=TCP_local", "-dest=ims-ms"],
            "if allof (environment \"vnd.sun.source-channel\" \"tcp_local\", \
             environment \"vnd.sun.destination-channel\" \"ims-ms\", environment \"location\" \"MTA\") { discard; }",
            "[ discard ]",
            0,
        ),
    ];
    for (name, qualifiers, script, result, code) in cases {
        let args: Vec<&str> = qualifiers.iter().copied().chain(["--", *script]).collect();
        let ran = expression(&site, &args, "");
        let last = ran.out.lines().last().unwrap_or_default();
        assert_eq!(last, format!("Filter result: {result}"), "{name}: {}", ran.err);
        assert_eq!(ran.exit.code(), *code, "{name}: {}", ran.err);
        assert_eq!(ran.err.is_empty(), *code == 0, "{name}: {}", ran.err);
    }
}

/// Name, qualifiers, input, output without the dump, part of the errors, exit code.
type Dialogue<'a> = (&'a str, &'a [&'a str], &'a str, &'a str, &'a str, u8);

#[test]
fn dialogues() {
    let site = folder("expression-dialogues");
    let cases: &[Dialogue<'_>] = &[
        ("nothing", &[], "", "Expression:", "", 0),
        (
            "a script a line",
            &[],
            "keep;\n\ndiscard;\n",
            "Expression:\nResult: 0\nFilter result: [ keep ]\n\
             Expression: Expression:\nResult: 0\nFilter result: [ discard ]\nExpression:",
            "",
            0,
        ),
        (
            "one that is wrong, and the next",
            &[],
            "keeep;\nkeep;\n",
            "Expression: Expression:\nResult: 0\nFilter result: [ keep ]\nExpression:",
            "did you mean `keep`?",
            1,
        ),
        (
            "a block over several lines",
            &["-block"],
            "if true {\ndiscard;\n}\n",
            "Expression: Expression: Expression: Expression:\nResult: 0\nFilter result: [ discard ]",
            "",
            0,
        ),
        (
            "a block that is wrong",
            &["-block"],
            "if true {\ndiscard;\n",
            "Expression: Expression: Expression:",
            "error[",
            1,
        ),
        (
            "expressions",
            &[],
            "1 + 2*3\nlength(\"abc\") + 1;\n\"ab\" . \"c\"\n",
            "Expression:\nResult: 7\nFilter result: []\nExpression:\nResult: 4\nFilter result: []\n\
             Expression:\nResult: abc\nFilter result: []\nExpression:",
            "",
            0,
        ),
        (
            "the value of the last command",
            &[],
            "require \"variables\"; a = 3; b = a + 4;\nrequire \"variables\"; a = 3; keep;\n",
            "Expression:\nResult: 7\nFilter result: []\nExpression:\nResult: 0\nFilter result: [ keep ]\n\
             Expression:",
            "",
            0,
        ),
        (
            "an expression that fails",
            &[],
            "1 / 0\n",
            "Expression:\nResult:\nFilter result: []\nExpression:",
            "divides by zero",
            1,
        ),
        (
            "a command without its semicolon is no expression",
            &[],
            "keep\n",
            "Expression: Expression:",
            "`keep` is not ended",
            1,
        ),
        (
            "what idle qualifiers do",
            &["-extended", "-nosymbols", "keep;"],
            "",
            "Result: 0\nFilter result: [ keep ]",
            "note: -extended has no effect",
            0,
        ),
        (
            "the trace",
            &["-debug", "if header \"subject\" \"hello\" { discard; }"],
            "",
            "header subject :is \"hello\": \"hello\": true  [expression:1:4]\ndiscard  [expression:1:31]\n\
             Result: 0\nFilter result: [ discard ]",
            "",
            0,
        ),
    ];
    for (name, args, input, expected, part, code) in cases {
        let ran = expression(&site, args, input);
        assert_eq!(without_dump(&ran.out), *expected, "{name}; errors: {}", ran.err);
        assert!(ran.err.contains(part), "{name}: {}", ran.err);
        assert_eq!(ran.exit.code(), *code, "{name}: {}", ran.err);
    }
}

#[test]
fn json_has_no_prompts() {
    let site = folder("expression-json");
    let ran = expression(
        &site,
        &["-json", "-debug"],
        "require \"fileinto\"; fileinto \"X\";\nkeeep;\n2 * 21\nif true { keep; } else { stop; }\n",
    );
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!((lines.len(), ran.exit.code()), (4, 1), "{}", ran.out);
    assert_eq!(ran.err, "");
    assert_eq!(lines[0]["actions"][0]["action"], "fileinto");
    assert_eq!(lines[0]["filter_result"], "[ fileinto \"X\" ]");
    assert_eq!(lines[0]["trace"][0]["kind"], "action");
    assert_eq!(lines[1]["actions"], serde_json::json!([]));
    assert_eq!(lines[1]["errors"][0]["word"], "keeep");
    assert_eq!(lines[1]["filter_result"], Value::Null);
    assert_eq!(lines[2]["result"], "42");
    assert_eq!(
        lines[2]["actions"][0],
        serde_json::json!({"action": "keep", "implicit": true})
    );
    let ran = expression(&site, &["-json", "-norequired", "error \"boom\";"], "");
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["errors"][0]["message"], "boom");
    assert_eq!(value["trace"], serde_json::json!([]));
    assert_eq!(ran.exit.code(), 1);
}

#[test]
fn callouts() {
    let site = folder("expression-callouts");
    let file = site.join("answers");
    std::fs::write(
        &file,
        "{\"ask\": \"check_metermaid.so,throttle,t,k\", \"answer\": {\"Found\": \"\"}}\n",
    )
    .unwrap();
    let answers = format!("-answers={}", file.display());
    let throttle = "if metermaid :throttle :table \"t\" \"k\" { discard; }";
    let seen = "require \"duplicate\"; if duplicate { discard; }";
    // name, qualifiers, script, result line, part of the trace
    let cases: &[(&str, &[&str], &str, &str, &str)] = &[
        (
            "no site",
            &[],
            throttle,
            "[]",
            "asks: check_metermaid.so,throttle,t,k",
        ),
        (
            "a given answer",
            &[&answers],
            throttle,
            "[ discard ]",
            "answer: \"\"",
        ),
        (
            "a given answer, callouts off",
            &[&answers, "-nocallouts"],
            throttle,
            "[ discard ]",
            "answer: \"\"",
        ),
        (
            "callouts off",
            &["-nocallouts"],
            throttle,
            "[]",
            "callouts are switched off",
        ),
        ("the duplicate memory is empty", &[], seen, "[]", "duplicate"),
    ];
    for (name, qualifiers, script, result, traced) in cases {
        let args: Vec<&str> = qualifiers.iter().copied().chain(["-debug", *script]).collect();
        let ran = expression(&site, &args, "");
        let last = ran.out.lines().last().unwrap_or_default();
        assert_eq!(last, format!("Filter result: {result}"), "{name}: {}", ran.err);
        assert!(ran.out.contains(traced), "{name}: {}", ran.out);
    }
}

#[test]
fn the_site_is_used() {
    let site = new_site("expression-site");
    std::fs::write(site.join("m.msg"), MESSAGE).unwrap();
    std::fs::write(
        site.join("config/option.dat"),
        "RETURN_ADDRESS=postmaster@mail.example.com\n",
    )
    .unwrap();
    let script = "if envelope \"from\" \"postmaster@mail.example.com\" { discard; }";
    let ran = expression(&site, &["-norequired", script], "");
    assert!(
        ran.out.ends_with("Filter result: [ discard ]\n"),
        "{}{}",
        ran.out,
        ran.err
    );
    // live callouts: nobody listens at the site's MeterMaid
    let throttle = "if metermaid :throttle :table \"t\" \"k\" { discard; }";
    let ran = expression(&site, &["-debug", throttle], "");
    assert!(!ran.out.contains("switched off"), "{}", ran.out);
    assert!(ran.out.contains("answer: "), "{}", ran.out);
    std::fs::write(site.join("config/imta.cnf"), "nonsense here and there\n").unwrap();
    assert_eq!(expression(&site, &["keep;"], "").exit.code(), 3);
}

#[test]
fn wrong_command_lines() {
    let site = folder("expression-usage");
    let cases: &[(&[&str], &str)] = &[
        (&["-message=/nowhere", "keep;"], "cannot use `-message=/nowhere`"),
        (&["-input=/nowhere"], "cannot use `-input=/nowhere`"),
        (&["-answers=/nowhere"], "cannot use `-answers=/nowhere`"),
        (
            &["-output=/nowhere/x", "keep;"],
            "cannot use `-output=/nowhere/x`",
        ),
        (&["-input=/nowhere", "keep;"], "cannot be given together"),
        (&["-mesage=x"], "did you mean `-message`?"),
        (&["keep;", "keep;"], "one argument too many"),
        (&["-debug=some", "keep;"], "`-debug=some` is not known"),
    ];
    for (args, part) in cases {
        let ran = expression(&site, args, "");
        assert_eq!(ran.exit.code(), 2, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(part), "{args:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{args:?}");
    }
}
