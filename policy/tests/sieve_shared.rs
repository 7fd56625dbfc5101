//! Tests that look at the same thing are answered together: each must come out as if it stood alone.

mod sieve_common;

use policy::sieve::{Action, ActionLimits, Level, Options, SieveOutcome};
use sieve_common::{Scripts, run};

/// splitmix64: the same numbers at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn text(&mut self, letters: &[&str], most: usize) -> String {
        let length = self.below(most + 1);
        (0..length).map(|_| self.of(letters)).collect()
    }
}

const REQUIRE: &str = "require [\"variables\", \"envelope\", \"body\", \"regex\", \"editheader\", \"relational\", \"index\",\n\
     \"comparator-i;unicode-casemap\", \"comparator-i;ascii-numeric\", \"subaddress\", \"replace\"];\n";

/// Letters that overlap in any text, and some that fold in their own ways.
const LETTERS: &[&str] = &["a", "b", "A", "a", "b", "é", "É", "s", "k"];

/// Letters of fields; the last two are other forms of `s` and `k`, which only `:regex` takes for them.
const IN_FIELDS: &[&str] = &["a", "b", "A", "a", "b", "a", "b", "s", "K", "\u{17f}", "\u{212a}"];

/// Pieces of patterns.
const REGEX: &[&str] = &[
    "a",
    "b",
    "A",
    "ab",
    "aB",
    ".",
    "a+",
    "b*",
    "a?",
    "b{2}",
    "(b|A)",
    "(ab)?",
    "[ab]",
    "[]a]",
    "[[:digit:]]",
    "^",
    "$",
    "a|b",
    "s",
    "k",
    "é",
];

/// A test, and whether it sets match variables.
fn test(random: &mut Random) -> (String, bool) {
    let how = random.of(&[
        ":is",
        ":contains",
        ":contains",
        ":contains",
        ":matches",
        ":matches",
        ":regex",
    ]);
    let comparator = random.of(&[
        "",
        "",
        "",
        ":comparator \"i;octet\"",
        ":comparator \"i;unicode-casemap\"",
    ]);
    let looks = random.of(&[
        "header X \"subject\"",
        "header X \"Subject\"",
        "header X [\"subject\", \"x-a\"]",
        "header X :index 1 \"x-a\"",
        "header X :last :index 1 \"x-a\"",
        "header X \"x-none\"",
        "address X \"from\"",
        "address X :localpart [\"from\", \"to\"]",
        "address X :detail \"to\"",
        "envelope X \"from\"",
        "envelope X :domain [\"from\", \"to\"]",
        "body X",
        "body X :raw",
        "body X :content \"text\"",
    ]);
    let keys: Vec<String> = (0..1 + random.below(6))
        .map(|_| match how {
            ":matches" => random.text(&["a", "b", "A", "*", "?", "é", "\\\\*"], 5),
            ":regex" => random.text(REGEX, 5),
            _ => random.text(LETTERS, 4),
        })
        .map(|key| format!("\"{key}\""))
        .collect();
    let looks = looks.replace('X', &format!("{how} {comparator}"));
    let captures = matches!(how, ":matches" | ":regex") && !looks.starts_with("body");
    (format!("{looks} [{}]", keys.join(", ")), captures)
}

/// What changes what tests look at.
fn edit(random: &mut Random) -> String {
    match random.below(5) {
        0 => format!("addheader \"X-A\" \"{}\";", random.text(LETTERS, 6)),
        1 => format!("addheader :last \"Subject\" \"{}\";", random.text(LETTERS, 6)),
        2 => "deleteheader :index 1 \"x-a\";".into(),
        3 => format!(
            "replaceheader :newvalue \"{}\" \"subject\";",
            random.text(LETTERS, 6)
        ),
        _ => format!("replace \"{}\";", random.text(LETTERS, 8)),
    }
}

fn message(random: &mut Random) -> String {
    let long = if random.below(4) == 0 { 3_000 } else { 12 };
    let mut text = String::from("From: abA@aab.example, (c) ab+a@b.example\r\nTo: a+bAb@ab.example\r\n");
    for name in ["Subject", "X-A", "X-A", "X-B"] {
        if random.below(5) > 0 {
            text += &format!("{name}: {}\r\n", random.text(IN_FIELDS, long));
        }
    }
    text + &format!("\r\n{}\r\n", random.text(&["a", "b", "A", "é"], long))
}

fn outcome(script: &str, message: &str) -> SieveOutcome {
    let options = Options {
        limits: ActionLimits {
            max_sieve_list_size: 10_000,
            ..ActionLimits::default()
        },
        ..Options::default()
    };
    let outcome = run(script, message, &Scripts(&[]), &options, |request| {
        request.level = Level::System;
    });
    assert!(outcome.error.is_none(), "{:?}: {script}", outcome.error);
    outcome
}

/// What the rules of a script wrote down.
fn written(outcome: &SieveOutcome) -> Vec<String> {
    let text = |action: &Action| match action {
        Action::TransactionLog { text } => Some(text.clone()),
        _ => None,
    };
    outcome.actions.iter().filter_map(|p| text(&p.action)).collect()
}

#[test]
fn together_as_alone() {
    let (mut matched, mut rules) = (0, 0);
    for seed in 0..24 {
        let mut random = Random(seed);
        let message = message(&mut random);
        // rules, and the edits before each
        let (mut items, mut edits): (Vec<(String, String)>, String) = (Vec::new(), String::new());
        let mut whole = REQUIRE.to_string();
        let number = 10 + random.below(120);
        for n in 0..number {
            if random.below(40) == 0 {
                let edit = edit(&mut random);
                whole += &edit;
                edits += &edit;
            }
            let (test, captures) = test(&mut random);
            let taken = if captures { "|${0}|${1}|${2}" } else { "" };
            let rule = format!("if {test} {{ transactionlog \"{n}{taken}\"; }}\n");
            whole += &rule;
            items.push((edits.clone(), rule));
        }
        let together = written(&outcome(&whole, &message));
        let alone: Vec<String> = items
            .iter()
            .flat_map(|(edits, rule)| written(&outcome(&format!("{REQUIRE}{edits}{rule}"), &message)))
            .collect();
        assert_eq!(together, alone, "seed {seed}: {message}{whole}");
        matched += alone.len();
        rules += number;
    }
    assert!(matched > rules / 10 && matched < rules, "{matched} of {rules}");
}

#[test]
fn texts_that_overlap_without_end() {
    // every key is in the value at every place: too many hits to count, each test stands alone
    let mut script = REQUIRE.to_string();
    for n in 1..400 {
        let key = "a".repeat(n);
        script += &format!("if header :contains \"subject\" \"{key}\" {{ transactionlog \"{n}\"; }}\n");
    }
    let message = format!("Subject: {}\r\n\r\n", "a".repeat(390));
    let found = written(&outcome(&script, &message));
    let expected: Vec<String> = (1..=390).map(|n| n.to_string()).collect();
    assert_eq!(found, expected);
}

#[test]
fn letters_of_three_forms() {
    // enough texts for a group; each pattern takes the other forms of its letters
    let mut script = REQUIRE.to_string();
    for pattern in ["s", "k", "sk", "ks", "^s", "k$", "(x)?s", "xs?k", "none", "other"] {
        script +=
            &format!("if header :regex \"subject\" \"{pattern}\" {{ transactionlog \"{pattern}\"; }}\n");
    }
    for n in 0..10 {
        script += &format!("if header :contains \"subject\" \"text {n}\" {{ transactionlog \"{n}\"; }}\n");
    }
    let found = written(&outcome(
        &script,
        "Subject: \u{17f}\u{212a}\u{17f}x\u{212a}\r\n\r\n",
    ));
    assert_eq!(found, ["s", "k", "sk", "ks", "^s", "k$", "(x)?s", "xs?k"]);
}
