//! The commands of Sluice: `imsimta`, with the qualifiers that its administrators know, and `sluice`.
//!
//! Both binaries run the same code; [`main`] tells from the name it was called by which one is meant. A
//! command reads its arguments, calls the crates below, and prints; it decides nothing about mail.
//!
//! - [`argv`] reads qualifiers (`-table=NAME`, `--table NAME`, `-notable`) and prints help from one table;
//! - [`console`] is all that a command sees of the terminal, so that tests can be one;
//! - [`imsimta`] and [`sluice`] list the commands; to add one, add a line to the table there;
//! - [`config`] finds and reads a site's files for the test tools; [`answers`] answers what a policy asks
//!   of the outside; [`test`] has the tools of `imsimta test`.
//!
//! Exit codes are the same everywhere, see [`Exit`]. Nothing here panics on any input; a reader of our
//! output that goes away ends the command quietly.

// Nothing that is read may end the process: a wrong input is an error that says so.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]

pub mod answers;
pub mod argv;
pub mod commands;
pub mod config;
pub mod console;
pub mod imsimta;
mod privileges;
pub mod sluice;
pub mod test;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use console::Console;

/// How a command ended. The numbers are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; where a yes or no was asked for, yes.
    Ok,
    /// 1: the answer is no, or what was to be done failed.
    No,
    /// 2: the command line is wrong; nothing was done.
    Usage,
    /// 3: the configuration does not load.
    Config,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Config => 3,
        }
    }
}

/// Why a command stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong.
    #[error(transparent)]
    Usage(#[from] argv::UsageError),
    /// The configuration does not load; diagnostics have been printed.
    #[error("{0}")]
    Config(String),
    /// What was to be done failed.
    #[error("{0}")]
    Failed(String),
    /// Standard input or output failed.
    #[error("cannot {doing}: {source}")]
    Stream {
        /// `read standard input`, `write the output`.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Failure {
    /// The exit code that it means.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Config(_) => Exit::Config,
            Failure::Failed(_) | Failure::Stream { .. } => Exit::No,
        }
    }
}

/// The output cannot be written.
impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        Failure::Stream {
            doing: "write the output",
            source,
        }
    }
}

/// The programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `sluice`.
    Sluice,
    /// `imsimta`.
    Imsimta,
}

impl Program {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Program::Sluice => "sluice",
            Program::Imsimta => "imsimta",
        }
    }

    /// The program that a name of the binary means, `default` where it means none.
    pub fn called(name: &str, default: Program) -> Program {
        let base = Path::new(name).file_name().and_then(|n| n.to_str()).unwrap_or("");
        match base {
            "sluice" => Program::Sluice,
            "imsimta" => Program::Imsimta,
            _ => default,
        }
    }
}

/// Runs the program on this process's arguments and streams; `default` where the name of the binary does
/// not say which program is meant.
pub fn main(default: Program) -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    let program = Program::called(&name.to_string_lossy(), default);
    let args: Vec<OsString> = args.collect();
    let exit = console::with_process(|console| run(program, &args, console));
    ExitCode::from(exit.code())
}

/// Runs a program with these arguments, the name not among them. Errors are printed to the console's
/// error stream.
pub fn run(program: Program, args: &[OsString], console: &mut Console<'_>) -> Exit {
    let result = argv::utf8(args).and_then(|args| match program {
        Program::Sluice => sluice::run(&args, console),
        Program::Imsimta => imsimta::run(&args, console),
    });
    let result = match (result, console.out.flush()) {
        (Ok(_), Err(error)) => Err(error.into()),
        (result, _) => result,
    };
    match result {
        Ok(exit) => exit,
        Err(Failure::Stream { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(failure) => {
            // nobody is left to be told when this fails, too
            let _ = writeln!(console.err, "{}: {failure}", program.name());
            failure.exit()
        }
    }
}
