//! What a `.svtest` file holds: which commands are the test suite's, and the text without them.
//!
//! The text that is compiled has every byte in its place, so that errors point at what was typed.

use std::collections::BTreeSet;

use grammar::sieve::{Argument, Command, Test, Tests, Text};
use grammar::{Sources, Span};

const SUITE: &str = "vnd.dovecot.testsuite";

/// What a value that a piece tells begins with.
pub(super) const MARK: &str = "svtest:";

pub(super) fn is_suite(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "test" || name.starts_with("test_")
}

/// Whether a test asks the suite somewhere.
pub(super) fn asks(test: &Test) -> bool {
    is_suite(&test.name.text)
        || match &test.tests {
            Tests::None => false,
            Tests::One(test) => asks(test),
            Tests::List(tests, _) => tests.iter().any(asks),
        }
}

/// Whether a command has to be done here; `test_fail` need not.
pub(super) fn ours(command: &Command) -> bool {
    if is_suite(&command.name.text) {
        return !command.name.is("test_fail");
    }
    let tests = match &command.tests {
        Tests::None => false,
        Tests::One(test) => asks(test),
        Tests::List(tests, _) => tests.iter().any(asks),
    };
    tests
        || command.name.is("stop")
        || command
            .block
            .as_ref()
            .is_some_and(|b| b.commands.iter().any(ours))
}

/// What a file uses, and its text without the suite's commands, every byte in its place.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) requires: Vec<String>,
    pub(super) globals: Vec<String>,
    pub(super) variables: BTreeSet<String>,
}

pub(super) fn put(plain: &mut [u8], span: Span, word: &str) {
    let (start, end) = (span.start as usize, span.end as usize);
    let Some(range) = plain.get_mut(start..end) else {
        return;
    };
    let mut word = word.bytes();
    for byte in range {
        if !matches!(*byte, b'\n' | b'\r') {
            *byte = word.next().unwrap_or(b' ');
        }
    }
}

impl Scan {
    pub(super) fn commands(&mut self, commands: &[Command], plain: &mut [u8]) {
        for command in commands {
            let texts = || -> Vec<&Text> {
                let all = command.arguments.iter().filter_map(|a| match a {
                    Argument::String(t) => Some(vec![t]),
                    Argument::List(l, _) => Some(l.iter().collect()),
                    _ => None,
                });
                all.flatten().collect()
            };
            let head = |end: u32| Span { end, ..command.span };
            if command.name.is("require") {
                for text in texts() {
                    let value = text.value(false);
                    if value.eq_ignore_ascii_case(SUITE) {
                        put(plain, text.span, "\"ihave\"");
                    } else {
                        self.requires.push(value);
                    }
                }
            } else if command.name.is("global") {
                self.globals.extend(texts().iter().map(|t| t.value(false)));
                self.variables.extend(texts().iter().map(|t| t.value(false)));
            } else if command.name.is("test") {
                let end = command.block.as_ref().map_or(command.span.end, |b| b.open.start);
                put(plain, head(end), "if true");
            } else if command.name.is("test_fail") {
                put(plain, command.name.span, "error");
            } else if is_suite(&command.name.text) {
                put(plain, command.span, "");
            } else {
                let named = ["set", "extracttext", "setflag", "addflag", "removeflag"];
                let strings = command
                    .arguments
                    .iter()
                    .filter(|a| !matches!(a, Argument::Tag(_)))
                    .count();
                if named.iter().any(|n| command.name.is(n)) && (strings > 1 || command.name.is("extracttext"))
                {
                    let first = command.arguments.iter().find_map(|a| match a {
                        Argument::String(t) => Some(t.value(false)),
                        _ => None,
                    });
                    self.variables.extend(first.filter(|n| !n.contains("${")));
                }
                self.tests(&command.tests, plain);
            }
            if let Some(block) = &command.block {
                self.commands(&block.commands, plain);
            }
        }
    }

    fn tests(&mut self, tests: &Tests, plain: &mut [u8]) {
        let all: Vec<&Test> = match tests {
            Tests::None => Vec::new(),
            Tests::One(test) => vec![test],
            Tests::List(tests, _) => tests.iter().collect(),
        };
        for test in all {
            if is_suite(&test.name.text) {
                put(plain, test.span, "true");
            } else {
                self.tests(&test.tests, plain);
            }
        }
    }
}

/// A string as Sieve writes it; with `values` a `${` in it is no variable.
pub(super) fn quoted(text: &str, values: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    let text = if values {
        text.replace("${", "${svtest_dollar}{")
    } else {
        text
    };
    format!("\"{text}\"")
}

/// Just behind the next `}` that is in no comment.
pub(super) fn closing(text: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(first) = rest.chars().next() else {
            return text.len();
        };
        let skipped = match first {
            '}' => return at + 1,
            '#' => rest.find('\n'),
            '/' if rest.starts_with("/*") => rest.find("*/").map(|n| n + 2),
            other => Some(other.len_utf8()),
        };
        at += skipped.unwrap_or(rest.len()).max(1);
    }
}

/// A text without the `require` commands it begins with, every byte in its place.
pub(super) fn strip_requires(text: &str) -> String {
    let mut sources = Sources::new();
    let file = sources.add("piece", text);
    let (tree, _) = grammar::sieve::parse(&sources, file);
    let mut bytes = text.as_bytes().to_vec();
    for command in tree
        .commands
        .iter()
        .filter(|c| c.name.is("require") || c.name.is("global"))
    {
        put(&mut bytes, command.span, "");
    }
    String::from_utf8(bytes).unwrap_or_default()
}
