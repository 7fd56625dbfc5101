//! Hostile scripts and messages: every run ends, soon, with the implicit keep and a place.

use std::sync::Arc;

use grammar::Sources;
use policy::message::Message;
use policy::sieve::{Envelope, Library, NoLibrary, Options, Place, Request, SieveOutcome, compile};
use policy::{Answer, Facts, Limits, Machine, Outcome, Step};

/// Compiles and runs; answers every question with no.
fn run_with(script: &str, message: &[u8], library: &dyn Library) -> (SieveOutcome, Sources) {
    let mut sources = Sources::new();
    let file = sources.add("script", script);
    let compiled = compile(&mut sources, file, library, &Options::default());
    let (program, _) = compiled.unwrap_or_else(|d| {
        panic!(
            "{}",
            d.iter()
                .map(|d| d.render(&sources, false))
                .collect::<Vec<_>>()
                .join("\n")
        )
    });
    let envelope = Envelope {
        from: "a@x.example".into(),
        to: "b@y.example".into(),
        ..Envelope::default()
    };
    let mut machine = Machine::new(Arc::default(), Limits::default());
    machine.start_sieve(Request::new(
        Arc::new(program),
        Arc::new(Message::new(message)),
        envelope,
    ));
    loop {
        match machine.step(&Facts::default()) {
            Step::Done(Ok(Outcome::Sieve(outcome))) => return (*outcome, sources),
            Step::Done(other) => panic!("{other:?}"),
            Step::Ask(asks) => machine.answer(vec![Answer::NotFound; asks.len()]).unwrap(),
        }
    }
}

fn run(script: &str, message: &[u8]) -> (SieveOutcome, Sources) {
    run_with(script, message, &NoLibrary)
}

fn json(outcome: &SieveOutcome) -> String {
    serde_json::to_string(&outcome.actions).unwrap()
}

/// Asserts that the script stopped with an error at this place, and that the message is kept.
fn stops(name: &str, (outcome, sources): &(SieveOutcome, Sources), place: &str, words: &str) {
    let fault = outcome
        .error
        .as_ref()
        .unwrap_or_else(|| panic!("{name}: no error"));
    assert!(fault.message.contains(words), "{name}: {fault}");
    assert_eq!(sources.place(fault.span.unwrap()).to_string(), place, "{name}");
    assert_eq!(json(outcome), r#"[{"action":"keep","implicit":true}]"#, "{name}");
}

#[test]
fn patterns_that_explode_elsewhere() {
    let value = "a".repeat(500_000);
    let message = format!("X: {value}\r\n\r\nx\r\n");
    let stars = "*a".repeat(2000);
    let ones = "?".repeat(2000);
    let cases = [
        (
            format!("if header :matches \"x\" \"{stars}b\" {{ discard; }}"),
            None,
        ),
        (
            format!("\nif header :matches \"x\" \"*{ones}b*\" {{ discard; }}"),
            Some("script:2:4"),
        ),
        (
            "require \"regex\"; if header :regex \"x\" \"(a*)*(a|a)*(a+)+b\" { discard; }".to_owned(),
            None,
        ),
        (
            "require \"regex\"; if header :regex \"x\" \"(a?){50}a{50}b\" { discard; }".to_owned(),
            None,
        ),
    ];
    for (script, place) in cases {
        let result = run(&script, message.as_bytes());
        match place {
            Some(place) => stops(&script[..40], &result, place, "too many steps"),
            None => assert_eq!(
                json(&result.0),
                r#"[{"action":"keep","implicit":true}]"#,
                "{}",
                &script[..40]
            ),
        }
    }
}

#[test]
fn a_computed_pattern_is_bounded_too() {
    let script = "require [\"variables\", \"regex\"]; set \"p\" \"((a{100}){100}){100}\";\nif header :regex \"x\" \"${p}\" { discard; }";
    stops(
        "grows",
        &run(script, b"X: a\r\n\r\n"),
        "script:2:4",
        "grow too large",
    );
}

#[test]
fn a_hundred_thousand_fields() {
    let mut message = String::new();
    for n in 0..100_000 {
        message.push_str(&format!("X-{}: value {n}\r\n", n % 1000));
    }
    message.push_str("\r\nbody\r\n");
    let script = r#"require ["fileinto", "editheader", "index"];
        if header :contains "x-999" "99999" { fileinto "found"; }
        deleteheader :index 3 "X-1";
        if exists "x-none" { discard; }"#;
    let (outcome, _) = run(script, message.as_bytes());
    assert_eq!(outcome.error, None);
    assert_eq!(json(&outcome), r#"[{"action":"fileinto","mailbox":"found"}]"#);
    // Looking again and again at every field is work that runs out.
    let tests = "if header :contains \"x-7\" \"none\" { discard; }\n".repeat(4000);
    let result = run(&tests, message.as_bytes());
    assert!(
        result
            .0
            .error
            .as_ref()
            .unwrap()
            .message
            .contains("too many steps")
    );
}

#[test]
fn variables_that_double() {
    let mut script = String::from("require \"variables\"; set \"a\" \"0123456789\";\n");
    for _ in 0..5000 {
        script.push_str("set \"a\" \"${a}${a}${a}${a}\";\n");
    }
    let (outcome, _) = run(&script, b"X: y\r\n\r\n");
    // Values are cut to what a variable holds; building them over and over is what runs out.
    assert!(
        outcome.error.as_ref().unwrap().message.contains("too much text"),
        "{:?}",
        outcome.error
    );
}

#[test]
fn messages_that_nest() {
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
    let mut multipart = String::new();
    for n in 0..5000 {
        multipart.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"
        ));
    }
    let script = "require [\"foreverypart\", \"mime\"];\nforeverypart { if header :mime :type \"content-type\" \"image\" { discard; } }";
    for (name, message) in [("messages", deep), ("multiparts", multipart)] {
        let plain = run(
            "if header :contains \"subject\" \"x\" { discard; }",
            message.as_bytes(),
        );
        assert_eq!(plain.0.error, None, "{name}: a test that needs no parts");
        stops(
            name,
            &run(script, message.as_bytes()),
            "script:2:1",
            "too many or too deeply nested parts",
        );
    }
}

struct Loops;

impl Library for Loops {
    fn script(&self, _: Place, name: &str) -> Result<Option<String>, String> {
        Ok(Some(match name {
            "self" => "require \"include\"; include \"self\";".to_owned(),
            "a" => "require \"include\"; include \"b\";".to_owned(),
            "b" => "require \"include\";\ninclude \"a\";".to_owned(),
            other => {
                let n: usize = other.parse().unwrap();
                format!("require \"include\"; include \"{}\";", n + 1)
            }
        }))
    }
}

#[test]
fn scripts_that_include_themselves() {
    let include = |name: &str| {
        run_with(
            &format!("require \"include\"; include \"{name}\";"),
            b"X: y\r\n\r\n",
            &Loops,
        )
    };
    stops("self", &include("self"), "personal/self:1:20", "includes itself");
    stops("two", &include("a"), "personal/b:2:1", "includes itself");
    let mut sources = Sources::new();
    let file = sources.add("script", "require \"include\"; include \"1\";");
    let errors = compile(&mut sources, file, &Loops, &Options::default()).unwrap_err();
    assert!(errors[0].message.contains("more than 64 scripts"), "{errors:?}");
}

#[test]
fn include_twice_at_every_level_is_exponential_and_ends() {
    struct Twice;
    impl Library for Twice {
        fn script(&self, _: Place, name: &str) -> Result<Option<String>, String> {
            let n: usize = name.parse().unwrap();
            let next = format!("include \"{}\";", n + 1);
            Ok(Some(if n < 9 {
                format!("require \"include\"; {}", next.repeat(20))
            } else {
                "keep;".to_owned()
            }))
        }
    }
    let (outcome, _) = run_with("require \"include\"; include \"1\";", b"X: y\r\n\r\n", &Twice);
    assert!(
        outcome.error.as_ref().unwrap().message.contains("too many steps"),
        "{:?}",
        outcome.error
    );
}

#[test]
fn words_and_lists_without_end() {
    let words = format!("Subject: {}\r\n\r\n", "=?utf-8?q?a".repeat(100_000));
    let (outcome, _) = run(
        "if header :contains \"subject\" \"x\" { discard; }",
        words.as_bytes(),
    );
    assert_eq!(outcome.error, None);
    let comments = format!("To: {}a@b.example\r\n\r\n", "(".repeat(200_000));
    let (outcome, _) = run(
        "if address :contains \"to\" \"x\" { discard; }",
        comments.as_bytes(),
    );
    assert_eq!(outcome.error, None);
    let lists = format!("To: {}\r\n\r\n", "a@b.example,".repeat(50_000));
    let (outcome, _) = run("if address :is \"to\" \"x\" { discard; }", lists.as_bytes());
    assert_eq!(outcome.error, None);
    let body = format!("Subject: x\r\n\r\n{}", "line of text\r\n".repeat(100_000));
    let script = "require \"body\"; if body :contains \"nothing\" { discard; }\n".to_owned();
    let (outcome, _) = run(&script, body.as_bytes());
    assert_eq!(outcome.error, None);
}

#[test]
fn large_bodies_are_searched_and_not_an_error() {
    let message = format!("Subject: x\r\n\r\n{}end", "a line of text\r\n".repeat(1_200_000));
    let tests = r#"if body :contains "nothing" { discard; } if body :raw :contains ["no", "nix", "ne", "non"] { discard; }"#;
    let script = format!(
        "require [\"body\", \"replace\"]; {} if body :contains \"end\" {{ replace \"x\"; }}",
        tests.repeat(4)
    );
    let (outcome, _) = run(&script, message.as_bytes());
    assert_eq!(outcome.error, None);
    assert!(json(&outcome).contains("replace"), "{}", json(&outcome));
}

#[test]
fn deep_scripts_are_refused_at_their_place() {
    for (name, script) in [
        ("blocks", "if true {".repeat(50_000)),
        ("tests", format!("if {}", "not ".repeat(50_000))),
        ("lists", format!("if {}true", "anyof(".repeat(50_000))),
    ] {
        let mut sources = Sources::new();
        let file = sources.add("script", script);
        let errors = compile(&mut sources, file, &NoLibrary, &Options::default()).unwrap_err();
        assert_eq!((errors.len(), errors[0].code), (1, "S012"), "{name}");
    }
    let sums = format!("require \"variables\"; n = {}1;", "!-".repeat(100_000));
    assert_eq!(
        run(&sums, b"X: y\r\n\r\n").0.error,
        None,
        "unary operators do not nest"
    );
    let sums = format!("require \"variables\"; n = 1{};", " + 1".repeat(100_000));
    assert_eq!(run(&sums, b"X: y\r\n\r\n").0.error, None, "a long sum");
    let deepest = format!("{}discard;{}", "if not not true {".repeat(20), "}".repeat(20));
    assert!(json(&run(&deepest, b"X: y\r\n\r\n").0).contains("discard"));
}

#[test]
fn nesting_that_is_allowed_but_broken_takes_no_time() {
    // A grammar that read the same text twice at each level would need 2^30 steps.
    for open in [
        "f(",
        "anyof(",
        "(",
        "x = (",
        "x = f(",
        "if anyof(",
        "if not (",
        "if f(true, ",
        "{ if f(1 + ",
        "-(",
        "f(1, f(\"a\" . ",
    ] {
        for close in [
            "",
            ")",
            "))))))))))))))))))))))))))))))",
            "true",
            "1 +",
            "\"",
            "}",
            "; }",
        ] {
            let script = format!("require \"variables\"; {}{close}", open.repeat(20));
            let mut sources = Sources::new();
            let file = sources.add("script", script);
            let result = compile(&mut sources, file, &NoLibrary, &Options::default());
            assert!(result.is_err(), "{open} {close}");
        }
    }
}

mod random {
    use super::*;
    use proptest::prelude::*;

    const WORDS: &[&str] = &[
        "if",
        "elsif",
        "else",
        "require",
        "keep",
        "discard",
        "fileinto",
        "redirect",
        "stop",
        "header",
        "address",
        "allof",
        "anyof",
        "not",
        "true",
        "false",
        "set",
        "string",
        "foreverypart",
        "break",
        "vacation",
        "body",
        "text:\n",
        "\n.\n",
        ":is",
        ":matches",
        ":contains",
        ":comparator",
        ":count",
        "\"a\"",
        "\"${1}\"",
        "\"\\\"",
        "[\"a\", \"b\"]",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        ",",
        ";",
        ";",
        ";",
        "1K",
        "17",
        "99999999999999999999G",
        "#",
        "/*",
        "*/",
        "\"variables\"",
        "[\"fileinto\", \"variables\", \"foreverypart\", \"mime\", \"body\", \"editheader\"]",
        "\u{e9}",
        "\r\n",
        "n",
        "=",
        "+",
        ".",
        "loop",
        "exitif",
        "upper(",
        "!",
        "==",
        "-",
        "addheader",
        "\"X\"",
        "deleteheader",
        "ihave",
        "size",
        ":over",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_words_compile_or_are_refused(words in proptest::collection::vec(0..WORDS.len(), 0..60), message in ".{0,300}") {
            let text: Vec<&str> = words.iter().map(|w| WORDS[*w]).collect();
            let mut sources = Sources::new();
            let file = sources.add("script", text.join(" "));
            match compile(&mut sources, file, &NoLibrary, &Options::default()) {
                Err(errors) => {
                    for e in errors {
                        prop_assert!(e.help.is_some(), "{e:?}");
                        e.render(&sources, false);
                    }
                }
                Ok(_) => {
                    let (outcome, _) = run(&text.join(" "), message.as_bytes());
                    prop_assert!(!outcome.actions.is_empty());
                }
            }
        }

        #[test]
        fn any_message_is_read(message in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let script = r#"require ["body", "foreverypart", "mime", "date", "variables", "extracttext", "editheader"];
                if anyof(header :mime :anychild :param "name" :matches "content-type" "*", address :domain :matches ["from", "to"] "*",
                         body :content "" :contains "x", date "date" "year" "2020", size :over 10) { set "x" "${1}"; }
                foreverypart { extracttext :first 5 "t"; } addheader "X" "${t}${x}";"#;
            let (outcome, _) = run(script, &message);
            prop_assert!(!outcome.actions.is_empty());
        }
    }
}
