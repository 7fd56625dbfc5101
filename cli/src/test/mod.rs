//! `imsimta test`: tools that try a part of the policy without sending mail.

mod elements;
mod expression;
mod mapping;
mod matching;
mod rewrite;
mod rewrite_report;
mod strings;

use crate::argv::{self, UsageError};
use crate::console::Console;
use crate::imsimta::{self, Command};
use crate::{Exit, Failure};

/// The tools, called as `imsimta test -NAME`, in the order of the help. A new one is a new line here.
pub const TOOLS: &[Command] = &[
    Command {
        name: "mapping",
        about: "look strings up in a mapping table",
        run: mapping::run,
    },
    Command {
        name: "match",
        about: "match strings against a mapping pattern",
        run: matching::run,
    },
    Command {
        name: "expression",
        about: "try a Sieve script, or an expression, on a message",
        run: expression::run,
    },
    Command {
        name: "rewrite",
        about: "show where an address goes, and what it becomes",
        run: rewrite::run,
    },
];

/// Runs the tool that one of the qualifiers names. It may stand anywhere where it is written in full, and
/// may be shortened where it comes first.
pub fn run(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let names = || args.iter().take_while(|a| *a != "--").enumerate();
    let exact = names().find_map(|(n, arg)| {
        let tool = TOOLS
            .iter()
            .find(|t| argv::is_qualifier(arg) && argv::normal(arg) == t.name)?;
        Some((n, tool))
    });
    let (n, tool) = match exact {
        Some(found) => found,
        None => match args.first() {
            Some(first) if imsimta::wants_help(first) => {
                let title = "Try a part of the site's policy without sending mail";
                let help = imsimta::list(title, "imsimta test -TOOL", "Tools", "-", imsimta::rows(TOOLS));
                console.out.write_all(help.as_bytes())?;
                return Ok(Exit::Ok);
            }
            Some(first) => (0, shortened(first)?),
            None => {
                return Err(UsageError::Other(
                    "which test? say `imsimta test -mapping` or `imsimta test -match`; `imsimta test -help` lists them"
                        .into(),
                )
                .into());
            }
        },
    };
    if let Some((word, value)) = args[n].split_once('=') {
        let (word, value) = (word.to_string(), value.to_string());
        return Err(UsageError::Value { word, value }.into());
    }
    let rest: Vec<String> = args[..n].iter().chain(&args[n + 1..]).cloned().collect();
    (tool.run)(&rest, console)
}

fn shortened(word: &str) -> Result<&'static Command, UsageError> {
    let name = argv::normal(word);
    let fits: Vec<&Command> = TOOLS
        .iter()
        .filter(|t| argv::is_qualifier(word) && t.name.starts_with(&name))
        .collect();
    match fits.as_slice() {
        [tool] => Ok(tool),
        [] => {
            let names: Vec<String> = TOOLS.iter().map(|t| t.name.to_string()).collect();
            let near = policy::spelling::nearest(&name, names.iter());
            Err(UsageError::Other(match near {
                Some(near) => format!("there is no test `{word}`, did you mean `-{near}`?"),
                None => format!("there is no test `{word}`; `imsimta test -help` lists them"),
            }))
        }
        several => Err(UsageError::Ambiguous {
            word: word.to_string(),
            fits: several.iter().map(|t| format!("-{}", t.name)).collect(),
        }),
    }
}

/// A value as one line of JSON.
fn json_line(value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    let mut line = serde_json::to_vec(value).map_err(|e| Failure::Failed(e.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

/// Writes a line at once, so that a program at the other end of the pipe can wait for it.
fn put_line(line: &[u8], out: &mut dyn std::io::Write) -> Result<(), Failure> {
    out.write_all(line)?;
    out.flush()?;
    Ok(())
}
