//! One layout for every script: indents of four, a command a line, long lists in lines of their own.
//!
//! [`format`] moves white space and nothing else: words, strings and comments stay as they are written, in
//! their order. What has a syntax error is refused. The result is compared with what it was made of, token by
//! token and tree by tree, before it is given out, so a mistake in here cannot change what a script means.
//!
//! The layout, whose limit is [`WIDTH`] columns:
//!
//! ```text
//! require ["fileinto", "copy"];
//!
//! # Mail of lists.
//! if anyof (header :contains "list-id" "rust", exists "list-post") { # all of them
//!     fileinto :copy "Lists";
//! } else {
//!     keep;
//! }
//! ```
//!
//! Guarantees: formatting a second time changes nothing; empty lines between commands stay, one of several;
//! line ends are those of the first line, outside strings. A comment or string of several lines keeps its inner lines.

mod layout;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;

use token::{Kind, Token, line_end, tokens};

use super::ast::{Argument, Command, Expression, Script, Step, Test, Tests, Text, Word};
use super::parse;
use crate::{Diagnostic, Sources, Span};

/// Columns that a line has at most, where it can be broken.
pub const WIDTH: usize = 100;

/// Why a script was not formatted.
#[derive(Debug, Clone)]
pub enum FormatError {
    /// It does not parse; the diagnostics are about [`Sources`] with the script as their only file.
    Syntax(Vec<Diagnostic>),
    /// Its layout came out as another script. This is a mistake of the formatter.
    Changed,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::Syntax(found) => write!(f, "it has {} syntax errors", found.len()),
            FormatError::Changed => f.write_str("its layout cannot be changed without its meaning"),
        }
    }
}

impl std::error::Error for FormatError {}

/// A script in the layout of this module.
///
/// # Errors
/// [`FormatError::Syntax`] where it does not parse.
pub fn format(text: &str) -> Result<String, FormatError> {
    let before = tree(text).map_err(FormatError::Syntax)?;
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let pieces = tokens(body);
    let out = format!("{mark}{}", layout::lay_out(&pieces, line_end(body)));
    let words = |tokens: &[Token<'_>]| -> Vec<(Kind, String)> {
        tokens.iter().map(|t| (t.kind, t.text.to_owned())).collect()
    };
    let after = tree(&out).map_err(|_| FormatError::Changed)?;
    let same = words(&tokens(out.strip_prefix(mark).unwrap_or(&out))) == words(&pieces);
    if same && before == after {
        Ok(out)
    } else {
        Err(FormatError::Changed)
    }
}

/// The tree without places, or what is wrong.
fn tree(text: &str) -> Result<Script, Vec<Diagnostic>> {
    let mut sources = Sources::new();
    let file = sources.add("script", text);
    let (script, errors) = parse(&sources, file);
    if errors.is_empty() {
        Ok(Script {
            commands: commands(script.commands),
        })
    } else {
        Err(errors)
    }
}

// The same trees, as if all that they hold stood at one place. Recursion is bounded by the grammar's nesting.

fn nowhere() -> Span {
    Span::default()
}

fn word(word: Word) -> Word {
    Word {
        span: nowhere(),
        ..word
    }
}

fn commands(all: Vec<Command>) -> Vec<Command> {
    let one = |command: Command| Command {
        name: word(command.name),
        arguments: arguments(command.arguments),
        tests: tests(command.tests),
        block: command.block.map(|block| super::Block {
            commands: commands(block.commands),
            open: nowhere(),
        }),
        span: nowhere(),
    };
    all.into_iter().map(one).collect()
}

fn test(test: Test) -> Test {
    Test {
        name: word(test.name),
        arguments: arguments(test.arguments),
        tests: tests(test.tests),
        span: nowhere(),
    }
}

fn tests(tests: Tests) -> Tests {
    match tests {
        Tests::None => Tests::None,
        Tests::One(one) => Tests::One(Box::new(test(*one))),
        Tests::List(all, _) => Tests::List(all.into_iter().map(test).collect(), nowhere()),
    }
}

fn arguments(all: Vec<Argument>) -> Vec<Argument> {
    let one = |argument| match argument {
        Argument::Tag(tag) => Argument::Tag(word(tag)),
        Argument::Number(n, _) => Argument::Number(n, nowhere()),
        Argument::String(one) => Argument::String(string(one)),
        Argument::List(all, _) => Argument::List(all.into_iter().map(string).collect(), nowhere()),
    };
    all.into_iter().map(one).collect()
}

fn string(text: Text) -> Text {
    let computed = text.computed.map(expression);
    Text {
        // the source of an expression; its steps are what counts
        raw: if computed.is_some() {
            String::new()
        } else {
            text.raw
        },
        multiline: text.multiline,
        span: nowhere(),
        computed,
    }
}

fn expression(expression: Expression) -> Expression {
    let one = |(step, _)| {
        let step = match step {
            Step::Text(one) => Step::Text(string(one)),
            Step::List(all) => Step::List(all.into_iter().map(string).collect()),
            Step::Name(name) => Step::Name(word(name)),
            Step::Call {
                name,
                arguments,
                tag,
                range,
            } => Step::Call {
                name: word(name),
                arguments,
                tag: tag.map(word),
                range,
            },
            other => other,
        };
        (step, nowhere())
    };
    Expression {
        steps: expression.steps.into_iter().map(one).collect(),
    }
}
