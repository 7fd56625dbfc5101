//! `:matches` against the same patterns as lazy regular expressions: the same values match, and the same
//! text is taken. Many keys at once against one at a time.

mod sieve_common;

use policy::sieve::Options;
use proptest::prelude::*;
use regex::Regex;
use sieve_common::{Scripts, run, summary};

/// The pattern with `(.*?)` for a star and `(.)` for a question mark.
fn as_regex(pattern: &str) -> Regex {
    let mut out = String::from("(?is)^");
    for c in pattern.chars() {
        match c {
            '*' => out.push_str("(.*?)"),
            '?' => out.push_str("(.)"),
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push('$');
    Regex::new(&out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn takes_what_a_lazy_expression_takes(pattern in "[abé*?]{1,8}", value in "[abAé]{1,10}") {
        let script = format!(
            "require [\"variables\", \"fileinto\"]; if string :matches \"{value}\" \"{pattern}\" \
             {{ fileinto \"x${{1}}|${{2}}|${{3}}|${{4}}|${{5}}|${{6}}|${{7}}|${{8}}\"; }}"
        );
        let got = summary(&run(&script, "X: y\r\n\r\n", &Scripts(&[]), &Options::default(), |_| {}));
        // Letters beyond ASCII are not folded, and both sides hold only the small one.
        let want = match as_regex(&pattern).captures(&value) {
            None => "(keep)".to_owned(),
            Some(c) => {
                let group = |n: usize| c.get(n).map_or("", |m| m.as_str());
                format!("x{}", (1..9).map(group).collect::<Vec<_>>().join("|"))
            }
        };
        prop_assert_eq!(got, want, "{} on {}", pattern, value);
    }

    #[test]
    fn many_keys_are_as_good_as_one(
        keys in proptest::collection::vec("[ab]{0,3}", 1..9),
        value in "[abAB]{0,6}",
        contains in any::<bool>(),
    ) {
        let how = if contains { ":contains" } else { ":is" };
        let list: Vec<String> = keys.iter().map(|k| format!("\"{k}\"")).collect();
        let test = |keys: String| format!("if header {how} \"x\" [{keys}] {{ discard; }} ");
        let together = test(list.join(", "));
        let apart: String = list.iter().map(|k| test(k.clone())).collect();
        let message = format!("X: {value}\r\n\r\n");
        let of = |script: &str| summary(&run(script, &message, &Scripts(&[]), &Options::default(), |_| {}));
        prop_assert_eq!(of(&together), of(&apart), "{}", together);
    }
}
