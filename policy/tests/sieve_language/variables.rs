//! Values: variables, flags kept in them, and expressions.

use crate::check;
use crate::sieve_common::PLAIN;

#[test]
fn variables() {
    let set = |modifiers: &str| {
        format!(r#"set "a" "juMBlEd lETteRS"; set {modifiers} "b" "${{a}}"; fileinto "${{b}}";"#)
    };
    let cases = [
        ("length", set(":length"), "15"),
        ("lower", set(":lower"), "jumbled letters"),
        ("upperfirst", set(":upperfirst"), "JuMBlEd lETteRS"),
        ("both", set(":upperfirst :lower"), "Jumbled letters"),
        (
            "quotewildcard",
            r#"set :quotewildcard "b" "Rock*\\?"; fileinto "${b}";"#.to_owned(),
            r"Rock\*\\\?",
        ),
        (
            "quoteregex",
            r#"set :quoteregex "b" "a.b*"; fileinto "${b}";"#.to_owned(),
            r"a\.b\*",
        ),
        (
            "encodeurl",
            r#"set :encodeurl "b" "a b/é-_.~"; fileinto "${b}";"#.to_owned(),
            "a%20b%2F%C3%A9-_.~",
        ),
        (
            "quoted captures",
            r#"if string :matches "a*b" "?\\*?" { fileinto "${1}-${2}"; }"#.to_owned(),
            "a-b",
        ),
        (
            "long values are cut",
            format!(
                r#"set "a" "{}"; set "b" "${{a}}${{a}}"; set :length "c" "${{b}}"; fileinto "${{c}}";"#,
                "é".repeat(3000)
            ),
            "4000",
        ),
        ("unset", r#"fileinto "x${nothing}y";"#.to_owned(), "xy"),
        (
            "regex groups",
            r#"if header :regex "subject" "^(caf.) (order|none)" { fileinto "${1}/${2}/${3}"; }"#.to_owned(),
            "Café/order/",
        ),
        (
            "set then test",
            r#"set "dollar" "$"; fileinto "${dollar}{x}";"#.to_owned(),
            "${x}",
        ),
    ];
    let cases: Vec<(&str, &str, &str)> = cases.iter().map(|(n, s, w)| (*n, s.as_str(), *w)).collect();
    check(PLAIN, &cases);
}

#[test]
fn flags() {
    check(
        PLAIN,
        &[
            (
                "each word a flag",
                r#"setflag "\\Seen $a $A"; keep;"#,
                "keep [\\Seen $a]",
            ),
            (
                "the value when it runs",
                r#"addflag "a"; fileinto "X"; addflag "b"; keep;"#,
                "X [a]; keep [a b]",
            ),
            (
                "at the end for the implicit keep",
                r#"addflag "a"; removeflag "A"; addflag "b";"#,
                "(keep [b])",
            ),
            (":flags wins", r#"addflag "a"; keep :flags "b";"#, "keep [b]"),
            (
                "the last list wins",
                r#"keep :flags "a"; fileinto :flags "b" "INBOX";"#,
                "keep [b]",
            ),
            (
                "hasflag",
                r#"setflag ["a","b"]; if hasflag "B" { discard; }"#,
                "discard",
            ),
            (
                "hasflag of two words",
                r#"setflag ["a"]; if hasflag :is "x A" { discard; }"#,
                "discard",
            ),
            (
                "hasflag contains",
                r#"setflag "MyFlag"; if hasflag :contains "flag" { discard; }"#,
                "discard",
            ),
            (
                "hasflag count",
                r#"setflag ["a","b"]; if hasflag :count "eq" "2" { discard; }"#,
                "discard",
            ),
            (
                "in a variable",
                r#"setflag "v" ["x","y"]; if hasflag :is "v" "y" { fileinto "${v}"; }"#,
                "x y",
            ),
            (
                "unknown system flags",
                r#"setflag ["\\Strange","\\Deleted"]; keep;"#,
                "keep [\\Deleted]",
            ),
        ],
    );
}

#[test]
fn expressions() {
    check(
        PLAIN,
        &[
            ("assignment", r#"n := 1 + 2 * 3; fileinto "${n}";"#, "7"),
            (
                "no semicolon before a brace",
                r#"if true { n = "a" . 1 } fileinto n;"#,
                "a1",
            ),
            (
                "a name among arguments",
                r#"n = "x-prio"; k = ["1","7"]; if header :is n k { discard; }"#,
                "discard",
            ),
            (
                "names in a test list",
                r#"n = 3; if allof(true, n > 2, n) { discard; }"#,
                "discard",
            ),
            (
                "a condition",
                r#"n = 3; if n >= 3 && !(n == 4) { discard; }"#,
                "discard",
            ),
            ("a false condition", r#"n = 0; if n { discard; }"#, "(keep)"),
            ("negation", r#"n = -2; if not n + 2 { discard; }"#, "discard"),
            (
                "functions",
                r#"fileinto upper("ab") . length("äöü") . integer("7") . lower("C");"#,
                "AB37c",
            ),
            (
                "encode",
                r#"fileinto encode("Az") . encode("a b", :url) . decode("QXo=", :base64);"#,
                "417aa%20bAz",
            ),
            (
                "find",
                r#"fileinto find("b","abc") . find("x","abc") . find("b",["a","b"]) . find("a","aba",2,3);"#,
                "2023",
            ),
            (
                "positions",
                r#"s = "abcdef"; fileinto s(1) . s(-1) . s(2:4) . s(9);"#,
                "afbcd",
            ),
            (
                "positions of a list",
                r#"l = ["x","y","z"]; fileinto l(2) . length(l(2:3));"#,
                "y2",
            ),
            ("lists in strings", r#"l = ["x","y"]; fileinto "${l}";"#, "x y"),
            (
                "numbers compare as numbers",
                r#"a = "9"; b = "10"; if a < b { discard; }"#,
                "discard",
            ),
            ("size", "if size() > 100 { discard; }", "discard"),
            (
                "overflow",
                "n = 9223372036854775807; n = n + 1;",
                "error: this number grows beyond 64 bits",
            ),
            (
                "division by zero",
                "n = 0; n = 1 / n;",
                "error: this divides by zero",
            ),
            ("no number", r#"n = "x" * 2;"#, "error: \"x\" is not a number"),
        ],
    );
}
