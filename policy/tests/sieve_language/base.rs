//! The tests of the base language and their relatives: envelope, subaddress, relational, date.

use crate::check;
use crate::sieve_common::PLAIN;

#[test]
fn base_tests() {
    check(
        PLAIN,
        &[
            (
                "contains the empty string",
                r#"if header :contains "x-empty" "" { discard; }"#,
                "discard",
            ),
            (
                "absent header holds nothing",
                r#"if header :contains "x-none" "" { discard; }"#,
                "(keep)",
            ),
            (
                "many keys of :is",
                r#"if header :is "x-multi" ["a","b","c","d","TWO"] { discard; }"#,
                "discard",
            ),
            (
                "many keys of :contains",
                r#"if header :contains "x-multi" ["xx","yy","zz","vv","HRE"] { discard; }"#,
                "discard",
            ),
            (
                "octet",
                r#"if header :comparator "i;octet" :is "x-multi" "TWO" { discard; }"#,
                "(keep)",
            ),
            (
                "address ignores the phrase",
                r#"if address :contains "from" "wile" { discard; }"#,
                "(keep)",
            ),
            (
                "address domain",
                r#"if address :domain :is ["cc","to"] "c.example" { discard; }"#,
                "discard",
            ),
            ("exists all", r#"if exists ["from","to"] { discard; }"#, "discard"),
            (
                "exists not all",
                r#"if exists ["from","x-none"] { discard; }"#,
                "(keep)",
            ),
            (
                "size is strict",
                "if anyof(size :over 1K, size :under 100) { discard; }",
                "(keep)",
            ),
            (
                "nested",
                "if allof(not false, anyof(false, not not true)) { discard; } else { keep; }",
                "discard",
            ),
            (
                "elsif",
                "if false { keep; } elsif true { discard; } else { stop; }",
                "discard",
            ),
            ("stop", "discard; stop; keep;", "discard"),
            (
                "unicode",
                r#"if header :comparator "i;unicode-casemap" :matches "subject" "*CAFÉ*" { fileinto "${2}"; }"#,
                " order for you",
            ),
            ("inbox is keep", r#"keep; fileinto "inbox";"#, "keep"),
            (
                "names of a computed header",
                r#"set "n" "X-Prio"; if header "${n}" "7" { discard; }"#,
                "discard",
            ),
            (
                "a key that is computed",
                r#"set "k" "tw"; if header :contains "x-multi" ["none","${k}"] { discard; }"#,
                "discard",
            ),
        ],
    );
}

#[test]
fn envelope_and_subaddress() {
    check(
        PLAIN,
        &[
            (
                "to",
                r#"if envelope :is "to" "roadrunner+acme@birds.example.com" { discard; }"#,
                "discard",
            ),
            (
                "detail",
                r#"if envelope :detail "to" "acme" { discard; }"#,
                "discard",
            ),
            (
                "user",
                r#"if address :user "to" "roadrunner" { discard; }"#,
                "discard",
            ),
            (
                "no detail",
                r#"if envelope :detail "from" "" { discard; }"#,
                "(keep)",
            ),
            (
                "no detail counts nothing",
                r#"if envelope :detail :count "eq" "from" "0" { discard; }"#,
                "discard",
            ),
            (
                "dsn",
                r#"if envelope :is "notify" "FAILURE" { discard; }"#,
                "discard",
            ),
            (
                "dsn absent",
                r#"if envelope :contains "orcpt" "" { discard; }"#,
                "(keep)",
            ),
        ],
    );
}

#[test]
fn relational() {
    check(
        PLAIN,
        &[
            (
                "count of fields",
                r#"if header :count "eq" :comparator "i;ascii-numeric" ["x-multi","x-prio"] "4" { discard; }"#,
                "discard",
            ),
            (
                "count of addresses",
                r#"if address :count "ge" :comparator "i;ascii-numeric" ["cc","to"] "3" { discard; }"#,
                "discard",
            ),
            (
                "count of strings",
                r#"if string :count "eq" ["a","","b"] "2" { discard; }"#,
                "discard",
            ),
            (
                "value",
                r#"if header :value "gt" :comparator "i;ascii-numeric" "x-prio" "10" { discard; }"#,
                "(keep)",
            ),
            (
                "value of words",
                r#"if header :value "ne" "x-multi" "one" { discard; }"#,
                "discard",
            ),
        ],
    );
}

#[test]
fn dates() {
    check(
        PLAIN,
        &[
            (
                "zone",
                r#"if date :zone "+0000" "date" "hour" "17" { discard; }"#,
                "discard",
            ),
            (
                "local zone",
                r#"if date "date" "iso8601" "1997-04-01T17:06:31Z" { discard; }"#,
                "discard",
            ),
            (
                "original",
                r#"if date :originalzone "date" "zone" "-0800" { discard; }"#,
                "discard",
            ),
            (
                "julian after the shift",
                r#"if date :zone "-1800" "date" "julian" "50538" { discard; }"#,
                "discard",
            ),
            (
                "weekday",
                r#"if currentdate :is "weekday" ["0"] { discard; }"#,
                "discard",
            ),
            (
                "now",
                r#"if currentdate :value "ge" "date" "2026-03-15" { discard; }"#,
                "discard",
            ),
            (
                "count",
                r#"if currentdate :count "eq" "year" "1" { discard; }"#,
                "discard",
            ),
            (
                "matches",
                r#"if currentdate :matches "iso8601" "*T*" { fileinto "${1}"; }"#,
                "2026-03-15",
            ),
        ],
    );
}
