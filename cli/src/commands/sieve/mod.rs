//! `sluice sieve`: tools for those who write filters.
//!
//! `check` compiles scripts and reports every error at its word; `fmt` lays them out; `run` tells what a script
//! does with a message, and `test` runs `.svtest` files. All of them use the compiler and the machine of the
//! server, and none needs a site.
//!
//! Guarantees: no script, message or test file ends a tool otherwise than with a verdict or an error; nothing
//! outside the files named is read, except scripts that `include` names, from the folder of the script; nothing
//! but the files that `fmt` is given is written.
//!
//! Limits: [`FILE_LIMIT`] for every file that is read.

pub mod check;
pub mod evaluate;
pub mod fmt;
pub mod run;
pub mod svtest;
pub mod test;

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use grammar::{Diagnostic, Sources};
use policy::sieve::{ActionLimits, Fault, Library, Mode, Options, Place};

use crate::console::Console;
use crate::{Exit, Failure};

/// Largest file that the tools read, in octets.
pub const FILE_LIMIT: u64 = 64 << 20;

/// The subcommands.
pub fn define(command: Command) -> Command {
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(check::define(
            Command::new("check").about("Say everything that is wrong with scripts"),
        ))
        .subcommand(fmt::define(
            Command::new("fmt").about("Lay scripts out, without changing what they mean"),
        ))
        .subcommand(run::define(
            Command::new("run").about("Say what a script does with a message"),
        ))
        .subcommand(test::define(
            Command::new("test").about("Run .svtest files, the unit tests of filters"),
        ))
}

/// Runs the subcommand that was called.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match matches.subcommand() {
        Some(("check", matches)) => check::run(matches, console),
        Some(("fmt", matches)) => fmt::run(matches, console),
        Some(("run", matches)) => run::run(matches, console),
        Some(("test", matches)) => test::run(matches, console),
        _ => Ok(Exit::Usage),
    }
}

/// The argument that names files.
fn files(name: &'static str, help: &'static str) -> Arg {
    Arg::new("files")
        .required(true)
        .num_args(1..)
        .action(ArgAction::Append)
        .value_name(name)
        .help(help)
}

/// An option without a value.
fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// The rules that `--strict` chooses, and what the compiler has to know for them.
fn options(strict: bool) -> Options {
    if strict {
        Options {
            mode: Mode::Strict,
            limits: ActionLimits::strict(),
            ..Options::default()
        }
    } else {
        Options::default()
    }
}

/// Reads a file of at most [`FILE_LIMIT`]; `-` is the input of the command.
pub(crate) fn read(name: &str, console: &mut Console<'_>) -> Result<Vec<u8>, Failure> {
    let fail = |why: &dyn std::fmt::Display| Failure::Failed(format!("cannot read {name}: {why}"));
    let mut bytes = Vec::new();
    if name == "-" {
        let mut input = console.input.take(FILE_LIMIT + 1);
        input.read_to_end(&mut bytes).map_err(|e| fail(&e))?;
    } else {
        let file = std::fs::File::open(name).map_err(|e| fail(&e))?;
        file.take(FILE_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| fail(&e))?;
    }
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(fail(&format!("it is larger than {FILE_LIMIT} octets")));
    }
    Ok(bytes)
}

/// Reads a script.
fn read_script(name: &str, console: &mut Console<'_>) -> Result<String, Failure> {
    String::from_utf8(read(name, console)?).map_err(|_| {
        Failure::Failed(format!(
            "cannot read {name}: it is not UTF-8; convert it with iconv"
        ))
    })
}

/// Draws diagnostics on the error stream.
pub(crate) fn draw(
    diagnostics: &[Diagnostic],
    sources: &Sources,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    for diagnostic in diagnostics {
        writeln!(console.err, "{}\n", diagnostic.render(sources, console.colour))?;
    }
    Ok(())
}

/// The error of a script that stopped while it ran.
pub(crate) fn stopped(fault: &Fault) -> Diagnostic {
    Diagnostic::error("S200", fault.span.unwrap_or_default(), fault.message.clone())
        .help("the script stopped here; only the implicit keep is left of it")
}

/// Scripts in folders, `NAME.sieve` or `NAME` each, the first folder that has one first.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// The user's own.
    pub personal: Vec<PathBuf>,
    /// The site's.
    pub global: Vec<PathBuf>,
}

impl Folders {
    /// The folder that a script lies in, for both places.
    pub fn beside(script: &str) -> Self {
        let folder = Path::new(script).parent().unwrap_or(Path::new("")).to_path_buf();
        Folders {
            personal: vec![folder.clone()],
            global: vec![folder],
        }
    }
}

impl Library for Folders {
    fn script(&self, place: Place, name: &str) -> Result<Option<String>, String> {
        // a name may not leave the folder
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Ok(None);
        }
        let folders = match place {
            Place::Personal => &self.personal,
            Place::Global => &self.global,
        };
        for folder in folders {
            for file in [format!("{name}.sieve"), name.to_string()] {
                let path = folder.join(file);
                let Ok(facts) = std::fs::metadata(&path) else {
                    continue;
                };
                if facts.is_file() && facts.len() <= FILE_LIMIT {
                    return std::fs::read_to_string(&path)
                        .map(Some)
                        .map_err(|e| e.to_string());
                }
            }
        }
        Ok(None)
    }
}
