//! Command lines of both dialects.

use cli::argv::{Argument, Given, Qualifier, Takes, Usage};

const fn qualifier(name: &'static str, takes: Takes, negatable: bool) -> Qualifier {
    Qualifier::new(name, takes, negatable, "some help")
}

const USAGE: Usage = Usage {
    command: "tool",
    about: "Try things",
    arguments: &[
        Argument {
            name: "FIRST",
            help: "the first",
            many: false,
        },
        Argument {
            name: "SECOND",
            help: "the second",
            many: false,
        },
    ],
    qualifiers: &[
        qualifier("table", Takes::Required("NAME"), false),
        qualifier("image_file", Takes::Optional("FILE"), true),
        qualifier("input", Takes::Required("FILE"), false),
        qualifier("debug", Takes::Optional("all"), true),
        qualifier("debug_level", Takes::Required("N"), false),
        qualifier("json", Takes::Nothing, false),
        qualifier("notify", Takes::Nothing, true),
    ],
    notes: "",
};

/// What was given, as one text: qualifiers in the order of the table, then the arguments.
fn read(args: &[&str]) -> String {
    let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
    let parsed = match USAGE.parse(&args) {
        Ok(parsed) => parsed,
        Err(error) => return format!("error: {error}"),
    };
    let mut out = Vec::new();
    for qualifier in USAGE.qualifiers {
        match parsed.get(qualifier.name) {
            Given::Absent => {}
            Given::Negated => out.push(format!("no {}", qualifier.name)),
            Given::Present(None) => out.push(qualifier.name.to_string()),
            Given::Present(Some(value)) => out.push(format!("{}={value}", qualifier.name)),
        }
    }
    if parsed.help {
        out.push("help".into());
    }
    out.extend(parsed.arguments.iter().map(|a| format!("<{a}>")));
    out.join(" ")
}

#[test]
fn command_lines() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("nothing", &[], ""),
        ("value after =", &["-table=ONE"], "table=ONE"),
        (
            "value as the next argument",
            &["-table", "ONE", "x"],
            "table=ONE <x>",
        ),
        ("two dashes", &["--table=ONE"], "table=ONE"),
        ("two dashes, next argument", &["--table", "ONE"], "table=ONE"),
        ("case does not matter", &["-TABLE=One"], "table=One"),
        ("dash for underscore", &["--image-file=f"], "image_file=f"),
        ("only the first = counts", &["-table=a=b"], "table=a=b"),
        ("an empty value", &["-table="], "table="),
        ("a lone dash is a value", &["-input", "-"], "input=-"),
        ("a lone dash is an argument", &["-"], "<->"),
        ("shortened", &["-ta=x", "-js"], "table=x json"),
        ("a full name that begins another", &["-debug"], "debug"),
        ("the longer name, shortened", &["-debug_=3"], "debug_level=3"),
        (
            "an optional value is not the next argument",
            &["-debug", "all"],
            "debug <all>",
        ),
        ("an optional value", &["-debug=all"], "debug=all"),
        (
            "negated",
            &["-noimage_file", "-nodebug"],
            "no image_file no debug",
        ),
        ("negated and shortened", &["-noim"], "no image_file"),
        ("negated with a dash", &["--no-image-file"], "no image_file"),
        ("a name that begins with no", &["-notify"], "notify"),
        ("that name negated", &["-nonotify"], "no notify"),
        (
            "the last counts",
            &["-debug", "-nodebug", "-table=a", "-table=b"],
            "table=b no debug",
        ),
        ("arguments end the names", &["--", "-json", "--"], "<-json> <-->"),
        ("names after arguments", &["x", "-json"], "json <x>"),
        ("an empty argument", &[""], "<>"),
        ("help", &["-help"], "help"),
        ("help, short", &["-h"], "help"),
        ("help, two dashes", &["--help"], "help"),
        (
            "unknown",
            &["-tabel=x"],
            "error: there is no qualifier `-tabel`, did you mean `-table`?; `-help` lists them",
        ),
        (
            "unknown and far",
            &["-xyzzy"],
            "error: there is no qualifier `-xyzzy`; `-help` lists them",
        ),
        (
            "not negatable",
            &["-nojson"],
            "error: there is no qualifier `-nojson`, did you mean `-json`?; `-help` lists them",
        ),
        (
            "ambiguous",
            &["-i"],
            "error: `-i` is short for several qualifiers: -image_file, -input; write one more letter",
        ),
        (
            "ambiguous no",
            &["-nod", "-no"],
            "error: `-no` is short for several qualifiers: -noimage_file, -nodebug, -notify, -nonotify; write one more letter",
        ),
        (
            "value missing",
            &["-table"],
            "error: `-table` needs a value: write `-table=NAME`",
        ),
        (
            "value missing before a name",
            &["-table", "-json"],
            "error: `-table` needs a value: write `-table=NAME`",
        ),
        (
            "value missing before --",
            &["-table", "--", "x"],
            "error: `-table` needs a value: write `-table=NAME`",
        ),
        (
            "a value too many",
            &["-json=1"],
            "error: `-json` takes no value, but `1` is given",
        ),
        (
            "a value for a negation",
            &["-nodebug=all"],
            "error: `-nodebug` takes no value, but `all` is given",
        ),
        (
            "an argument too many",
            &["a", "b", "c d"],
            "error: there is one argument too many: `c d`; put quotes around an argument with blanks",
        ),
        (
            "nothing but dashes",
            &["---"],
            "error: there is no qualifier `---`; `-help` lists them",
        ),
        (
            "no name before =",
            &["-=x"],
            "error: there is no qualifier `-`; `-help` lists them",
        ),
        (
            "not ASCII",
            &["-ümlaut"],
            "error: there is no qualifier `-ümlaut`; `-help` lists them",
        ),
    ];
    for (name, args, expected) in cases {
        assert_eq!(read(args), *expected, "{name}");
    }
}

#[test]
fn help_lists_everything() {
    let expected = "\
Try things

Usage: tool [FIRST] [SECOND] [qualifiers]

Arguments:
  FIRST   the first
  SECOND  the second

Qualifiers:
  -table=NAME             some help
  -[no]image_file[=FILE]  some help
  -input=FILE             some help
  -[no]debug[=all]        some help
  -debug_level=N          some help
  -json                   some help
  -[no]notify             some help
  -help                   print this
";
    assert_eq!(USAGE.help(), expected);
}
