//! What comes out, by example.

use proptest::prelude::*;

use super::token::{Kind, tokens};
use super::{FormatError, format, tree};

#[track_caller]
fn formatted(name: &str, text: &str) -> String {
    let out = format(text).unwrap_or_else(|e| panic!("{name}: {e}: {e:?}"));
    assert_eq!(format(&out).unwrap(), out, "{name}: not the same a second time");
    out
}

#[test]
fn layout() {
    // name, script, result
    let cases: &[(&str, &str, &str)] = &[
        ("nothing", "", ""),
        ("blanks alone", " \n\n", ""),
        ("a comment alone", "  # why  \n\n", "# why\n"),
        ("commands", "keep  ;stop;", "keep;\nstop;\n"),
        (
            "a chain",
            "if true{keep;}elsif not false\n{ stop; }\nelse{discard;}",
            "if true {\n    keep;\n} elsif not false {\n    stop;\n} else {\n    discard;\n}\n",
        ),
        ("an empty block", "if true {}", "if true {\n}\n"),
        (
            "tests",
            "if allof(header:is\"a\"[\"b\",\"c\"],not(exists \"d\"),size:over 1K){stop;}",
            "if allof (header :is \"a\" [\"b\", \"c\"], not (exists \"d\"), size :over 1K) {\n    stop;\n}\n",
        ),
        (
            "empty lines: one of several, none at the edges of a block",
            "\n\nkeep;\n\n\n\nif true {\n\nstop;\n\nstop;\n\n}\n\n",
            "keep;\n\nif true {\n    stop;\n\n    stop;\n}\n",
        ),
        (
            "comments stay where they are",
            "# top\n\nkeep; # behind\n# before\nif true { # opens\n  /* in */\n  stop; /* behind */\n# last\n} # closed\n\n# end",
            "# top\n\nkeep; # behind\n# before\nif true { # opens\n    /* in */\n    stop; /* behind */\n    # last\n} # closed\n\n# end\n",
        ),
        (
            "a comment before `else`",
            "if true { stop; }\n# or\nelse { keep; }",
            "if true {\n    stop;\n}\n# or\nelse {\n    keep;\n}\n",
        ),
        (
            "comments within a command",
            "fileinto /* to */ \"a\" # why\n;\nredirect # x\n\"a@b.example\";",
            "fileinto /* to */ \"a\" # why\n;\nredirect # x\n    \"a@b.example\";\n",
        ),
        (
            "comments in a list",
            "if header \"a\" [ # first\n\"b\", # b\n\n# third\n\"c\" # c\n] { stop; }",
            "if header \"a\" [\n    # first\n    \"b\", # b\n    # third\n    \"c\" # c\n] {\n    stop;\n}\n",
        ),
        (
            "a comment of several lines",
            "  /* a\n b\n*/ keep;",
            "/* a\n b\n*/\nkeep;\n",
        ),
        (
            "a text block",
            "if true { vacation :days 3 text: # so\n  Away.\n..\n.\n  ; }",
            "if true {\n    vacation :days 3 text: # so\n  Away.\n..\n.\n    ;\n}\n",
        ),
        (
            "text blocks in a list",
            "x [text:\na\n.\n, \"b\"];",
            "x [\n    text:\na\n.\n    ,\n    \"b\"\n];\n",
        ),
        (
            "a string of two lines",
            "reject   \"a\n  b\"  ;",
            "reject \"a\n  b\";\n",
        ),
        (
            "line ends, not those of strings",
            "reject \"a\nb\";\r\nstop;",
            "reject \"a\nb\";\r\nstop;\r\n",
        ),
        ("line ends", "keep;\r\nstop; # c \r\n", "keep;\r\nstop; # c\r\n"),
        ("a byte order mark", "\u{feff}  keep;", "\u{feff}keep;\n"),
        ("letter case", "IF TRUE { KEEP; }", "IF TRUE {\n    KEEP;\n}\n"),
    ];
    for (name, text, want) in cases {
        assert_eq!(&formatted(name, text), want, "{name}");
    }
}

#[test]
fn expressions() {
    let cases: &[(&str, &str)] = &[
        ("a:=1+2 * -b;", "a := 1 + 2 * -b;"),
        ("b=!a||s(2:x).f(a,:hex);", "b = !a || s(2:x) . f(a, :hex);"),
        ("c=s( 2: x ) . s(2:-1)==\"x\";", "c = s(2: x) . s(2:-1) == \"x\";"),
        ("c=(1+2)*(3);", "c = (1 + 2) * (3);"),
        ("x=a - -b;", "x = a - -b;"),
        ("x = - - 1;", "x = --1;"),
        ("x=find(\"a\",[\"b\",\"c\"]);", "x = find(\"a\", [\"b\", \"c\"]);"),
        ("if -a<3{x=1}", "if -a < 3 {\n    x = 1\n}"),
        ("if f(a)>=3{x=1;}", "if f(a) >= 3 {\n    x = 1;\n}"),
    ];
    for (text, want) in cases {
        assert_eq!(formatted(text, text), format!("{want}\n"), "{text}");
    }
}

#[test]
fn long_lines_are_broken() {
    let words = |n: usize| -> Vec<String> { (0..n).map(|i| format!("\"word number {i}\"")).collect() };
    let text = format!(
        "if header :contains \"subject\" [{}] {{ stop; }}",
        words(8).join(",")
    );
    let want = format!(
        "if header :contains \"subject\" [\n    {}\n] {{\n    stop;\n}}\n",
        words(8).join(",\n    ")
    );
    assert_eq!(formatted("a list", &text), want);
    let tests = "if anyof (header :contains \"from\" [\"boss@example.com\", \"chief@example.com\"], \
                 exists \"x-urgent\", header \"priority\" \"urgent\") { stop; }";
    let want = "if anyof (\n    header :contains \"from\" [\"boss@example.com\", \"chief@example.com\"],\n    \
                exists \"x-urgent\",\n    header \"priority\" \"urgent\"\n) {\n    stop;\n}\n";
    assert_eq!(formatted("tests", tests), want);
    // a list that fits stays, the next one breaks
    let text = format!("if header [\"to\", \"cc\"] [{}] {{ stop; }}", words(7).join(", "));
    let out = formatted("two lists", &text);
    assert!(
        out.starts_with("if header [\"to\", \"cc\"] [\n    \"word number 0\",\n"),
        "{out}"
    );
    let nested = format!(
        "if not allof (true, header \"a\" [{}]) {{ stop; }}",
        words(9).join(", ")
    );
    let out = formatted("nested", &nested);
    assert!(
        out.contains("\n    header \"a\" [\n        \"word number 0\",\n"),
        "{out}"
    );
    assert!(out.contains("\n    ]\n) {\n"), "{out}");
}

#[test]
fn exactly_the_width() {
    for (width, broken) in [(100, false), (101, true)] {
        let text = format!("redirect [\"a\", \"{}\"];", "x".repeat(width - 19));
        let out = formatted("width", &text);
        let first = out.lines().next().unwrap_or_default().chars().count();
        assert_eq!(first != width, broken, "{width}: {out}");
    }
}

#[test]
fn what_does_not_parse_is_refused() {
    for text in [
        "keep",
        "if true {",
        "keep; }",
        "\"x",
        "/* x",
        "x ,;",
        "if header {} \u{0}",
    ] {
        let got = format(text);
        assert!(matches!(got, Err(FormatError::Syntax(_))), "{text}: {got:?}");
    }
}

/// What may stand between two tokens.
const GAPS: &[&str] = &[
    " ",
    "\t ",
    "\n",
    "\n\n\n",
    "\r\n",
    " # x\n",
    "\n# y \n\n",
    "/* z */",
    "/*\n \n*/ ",
    " # v\r\n/* w */\n",
];

/// The scripts of the fuzz target's corpus that parse.
fn corpus() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/sieve_format");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    let text = |path| String::from_utf8(std::fs::read(path).unwrap()).ok();
    files
        .iter()
        .filter_map(text)
        .filter(|t| !tokens(t).is_empty() && tree(t).is_ok())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// White space and comments anywhere: the layout is that of the same script.
    #[test]
    fn any_white_space(which in any::<prop::sample::Index>(), gaps in prop::collection::vec(0..GAPS.len(), 1..200)) {
        let corpus = corpus();
        let script = which.get(&corpus);
        let (mut spread, mut comments) = (String::new(), false);
        for (n, token) in tokens(script.trim_start_matches('\u{feff}')).iter().enumerate() {
            let gap = GAPS[gaps[n % gaps.len()]];
            comments |= gap.contains(['#', '/']);
            spread += token.text;
            if matches!(token.kind, Kind::Hash | Kind::Multiline) {
                spread += "\n";
            }
            spread += gap;
        }
        match format(&spread) {
            Ok(out) => {
                prop_assert_eq!(format(&out).unwrap(), out);
                if !comments {
                    prop_assert_eq!(tree(&spread).unwrap(), tree(script).unwrap());
                }
            }
            // between a name and `=` there is no comment
            Err(FormatError::Syntax(_)) => prop_assert!(comments && spread.contains('='), "{spread}"),
            Err(FormatError::Changed) => prop_assert!(false, "changed: {spread}"),
        }
    }
}
