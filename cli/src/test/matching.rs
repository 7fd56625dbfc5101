//! `imsimta test -match`: strings against a mapping pattern.

use std::fmt::Write as _;

use grammar::diagnostic::has_errors;
use grammar::mapping::Element;
use grammar::{Severity, Sources, Span};
use policy::pattern::{Pattern, Scratch};

use super::elements;
use crate::argv::{Argument, Qualifier, Takes, Usage, UsageError};
use crate::config;
use crate::console::{Console, read_line};
use crate::{Exit, Failure};

/// Units of work for one match; only back matches and very long targets can use them up.
const FUEL: u64 = 20_000_000;

const USAGE: Usage = Usage {
    command: "imsimta test -match",
    about: "Match strings against a mapping pattern and show what each wildcard takes",
    arguments: &[
        Argument {
            name: "PATTERN",
            help: "a pattern, as in a mapping table; without it, patterns and targets are prompted for",
            many: false,
        },
        Argument {
            name: "TARGET",
            help: "the string to match; without it, targets are prompted for",
            many: false,
        },
    ],
    qualifiers: &[Qualifier::new(
        "json",
        Takes::Nothing,
        false,
        "print a JSON object for each match; input is a pattern on one line, its target on the next",
    )],
    notes: "Put quotes around a pattern, or the shell takes its `$` and `*`.\n\
            With both arguments the exit code is 0 for a match and 1 for none.",
};

/// What `-json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    pattern: &'a str,
    target: Option<&'a str>,
    matched: bool,
    fields: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

struct Compiled {
    text: String,
    elements: Vec<Element>,
    pattern: Pattern,
}

pub(super) fn run(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some(parsed) = USAGE.read(args, console)? else {
        return Ok(Exit::Ok);
    };
    let json = parsed.is_set("json");
    match parsed.arguments.as_slice() {
        [] if json => pairs(console),
        [] => dialogue(console),
        [text, targets @ ..] => {
            let pattern = match compile(text, console) {
                Ok(pattern) => pattern,
                Err(why) => {
                    if json {
                        report(text, None, Err(why), console)?;
                    }
                    return Err(UsageError::Other("the pattern is wrong, see above".into()).into());
                }
            };
            if !json {
                console
                    .out
                    .write_all(elements::dump(&pattern.elements).as_bytes())?;
            }
            match targets {
                [target, ..] => match try_target(&pattern, target, json, console)? {
                    true => Ok(Exit::Ok),
                    false => Ok(Exit::No),
                },
                [] => targets_of(&pattern, json, console),
            }
        }
    }
}

/// Pattern and target in turn, each after its prompt.
fn dialogue(console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut last: Option<Compiled> = None;
    loop {
        console.prompt("Pattern: ")?;
        let Some(line) = read_line(console.input)? else {
            break;
        };
        let pattern = match last.take() {
            Some(last) if line.is_empty() => last,
            kept => match compile(&line, console) {
                Ok(pattern) => pattern,
                Err(_) => {
                    last = kept;
                    continue;
                }
            },
        };
        console
            .out
            .write_all(elements::dump(&pattern.elements).as_bytes())?;
        console.prompt("Target: ")?;
        let Some(target) = read_line(console.input)? else {
            break;
        };
        try_target(&pattern, &target, false, console)?;
        last = Some(pattern);
    }
    end_of_dialogue(console)
}

/// Targets for one pattern.
fn targets_of(pattern: &Compiled, json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    loop {
        if !json {
            console.prompt("Target: ")?;
        }
        let Some(target) = read_line(console.input)? else {
            break;
        };
        try_target(pattern, &target, json, console)?;
    }
    if json {
        return Ok(Exit::Ok);
    }
    end_of_dialogue(console)
}

/// The shell's own prompt must not stand behind ours.
fn end_of_dialogue(console: &mut Console<'_>) -> Result<Exit, Failure> {
    if console.interactive {
        writeln!(console.out)?;
    }
    Ok(Exit::Ok)
}

/// Pairs of lines, as data: an empty pattern is an empty pattern, and a wrong one still has its target.
fn pairs(console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut last: Option<Compiled> = None;
    while let Some(text) = read_line(console.input)? {
        let Some(target) = read_line(console.input)? else {
            return Err(Failure::Failed(format!(
                "the last pattern, `{text}`, has no target"
            )));
        };
        let pattern = match last.take() {
            Some(last) if last.text == text => Ok(last),
            _ => compile(&text, console),
        };
        match pattern {
            Ok(pattern) => {
                try_target(&pattern, &target, true, console)?;
                last = Some(pattern);
            }
            Err(why) => report(&text, Some(&target), Err(why), console)?,
        }
    }
    Ok(Exit::Ok)
}

/// Compiles a pattern; what is to be said of it goes to the error stream, its errors are returned, too.
fn compile(text: &str, console: &mut Console<'_>) -> Result<Compiled, String> {
    let mut sources = Sources::new();
    let file = sources.add("pattern", text);
    let mut diagnostics = Vec::new();
    let at = |r: std::ops::Range<usize>| Span::new(file, r.start, r.end);
    let elements = grammar::mapping::parse_pattern(text, &at, &mut diagnostics);
    config::show(&diagnostics, &sources, console);
    if has_errors(&diagnostics) {
        let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error);
        let messages: Vec<&str> = errors.map(|d| d.message.as_str()).collect();
        return Err(messages.join("; "));
    }
    if has_bare_blank(text) {
        console.note("in a mapping table a blank would end this pattern; write `$ ` for it there");
    }
    Ok(Compiled {
        text: text.to_string(),
        pattern: Pattern::new(&elements),
        elements,
    })
}

fn has_bare_blank(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => drop(chars.next()),
            ' ' | '\t' => return true,
            _ => {}
        }
    }
    false
}

/// Matches and prints; whether it matched. A match that takes too much work is a failure of the tool.
fn try_target(
    pattern: &Compiled,
    target: &str,
    json: bool,
    console: &mut Console<'_>,
) -> Result<bool, Failure> {
    let mut scratch = Scratch::default();
    let mut fuel = FUEL;
    let folded = target.to_ascii_lowercase();
    let outcome = pattern
        .pattern
        .matches(target, folded.as_bytes(), &mut scratch, &mut fuel)
        .map_err(|_| "the match takes too many steps".to_string());
    let fields: Vec<&str> = scratch
        .captures
        .iter()
        .map(|&(a, b)| target.get(a as usize..b as usize).unwrap_or(""))
        .collect();
    if json {
        let matched = matches!(outcome, Ok(true));
        let outcome = outcome.map(|matched| matched.then_some(fields));
        report(&pattern.text, Some(target), outcome, console)?;
        return Ok(matched);
    }
    match outcome {
        Err(why) => Err(Failure::Failed(why)),
        Ok(false) => {
            writeln!(console.out, "No match.")?;
            Ok(false)
        }
        Ok(true) => {
            let mut text = String::from("Match.\n");
            for (n, field) in fields.iter().enumerate() {
                let _ = writeln!(text, "{n} - {field}");
            }
            console.out.write_all(text.as_bytes())?;
            Ok(true)
        }
    }
}

/// Prints a JSON object; the outcome has the fields of a match.
fn report(
    pattern: &str,
    target: Option<&str>,
    outcome: Result<Option<Vec<&str>>, String>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let (fields, error) = match outcome {
        Ok(fields) => (fields, None),
        Err(why) => (None, Some(why)),
    };
    let report = Report {
        pattern,
        target,
        matched: fields.is_some(),
        fields: fields.unwrap_or_default(),
        error,
    };
    super::put_line(&super::json_line(&report)?, console.out)
}
