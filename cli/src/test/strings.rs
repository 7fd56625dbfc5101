//! What the tools share that try one string after another: `-debug`, `-input`, `-output` and the loop.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};

use crate::Failure;
use crate::argv::{Given, Parsed, UsageError};
use crate::config::explain;
use crate::console::{Console, read_line};

/// What `-debug` asks for: `None` no trace, `Some(true)` one with all that did not match.
pub(super) fn trace(parsed: &Parsed) -> Result<Option<bool>, UsageError> {
    match parsed.get("debug") {
        Given::Present(Some(value)) if value.eq_ignore_ascii_case("all") => Ok(Some(true)),
        Given::Present(Some(value)) => Err(UsageError::Other(format!(
            "`-debug={value}` is not known; write `-debug` or `-debug=all`"
        ))),
        Given::Present(None) => Ok(Some(false)),
        Given::Absent | Given::Negated => Ok(None),
    }
}

fn unusable(name: &str, file: &str, error: &std::io::Error) -> UsageError {
    UsageError::Other(format!("cannot use `-{name}={file}`: {}", explain(error)))
}

/// Where the strings come from that are no argument.
pub(super) struct Input {
    file: Option<BufReader<File>>,
    /// Strings are prompted for.
    pub(super) prompts: bool,
}

impl Input {
    /// Opens what `-input` names. It cannot be given together with a string as an argument.
    pub(super) fn open(parsed: &Parsed) -> Result<Self, UsageError> {
        let file = match parsed.value("input") {
            Some(name) => {
                if let Some(argument) = parsed.arguments.first() {
                    return Err(UsageError::Other(format!(
                        "`{argument}` and `-input={name}` cannot be given together: take one of them away"
                    )));
                }
                let file = File::open(name).map_err(|error| unusable("input", name, &error))?;
                Some(BufReader::new(file))
            }
            None => None,
        };
        Ok(Input {
            prompts: file.is_none() && !parsed.is_set("json"),
            file,
        })
    }

    /// Does something to each string until there are no more.
    pub(super) fn each(
        &mut self,
        prompt: &str,
        console: &mut Console<'_>,
        mut with: impl FnMut(String, &mut Console<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            if self.prompts {
                console.prompt(prompt)?;
            }
            let line = match &mut self.file {
                Some(file) => read_line(file)?,
                None => read_line(console.input)?,
            };
            let Some(line) = line else { break };
            with(line, console)?;
        }
        if self.prompts && console.interactive {
            writeln!(console.out)?;
        }
        Ok(())
    }
}

/// Where the results go: standard output, or what `-output` names.
#[derive(Default)]
pub(super) struct Output(Option<BufWriter<File>>);

impl Output {
    /// Makes the file. Call it when nothing else can go wrong: an earlier file is not lost to a typing error.
    pub(super) fn create(parsed: &Parsed) -> Result<Self, UsageError> {
        match parsed.value("output") {
            Some(name) => {
                let file = File::create(name).map_err(|error| unusable("output", name, &error))?;
                Ok(Output(Some(BufWriter::new(file))))
            }
            None => Ok(Output(None)),
        }
    }

    /// What is written to.
    pub(super) fn of<'s>(&'s mut self, console: &'s mut Console<'_>) -> &'s mut dyn Write {
        match &mut self.0 {
            Some(file) => file,
            None => console.out,
        }
    }
}
