//! `sluice sieve fmt`: scripts in the one layout, meaning and comments untouched.
//!
//! Files are replaced as a whole and only where they change; `-`, or no file at all, is a filter from standard
//! input to standard output. What does not parse stays as it is.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use grammar::Sources;
use grammar::sieve::FormatError;

use crate::console::Console;
use crate::{Exit, Failure};

/// The arguments.
pub fn define(command: Command) -> Command {
    command
        .arg(
            Arg::new("files")
                .num_args(0..)
                .action(ArgAction::Append)
                .value_name("FILE")
                .help("Scripts; - is standard input, and is used where there is none"),
        )
        .arg(super::flag(
            "check",
            "Change nothing; list the files that would change",
        ))
        .after_help(
            "Exit codes: 0 all is in the layout now (with --check: was in it); 1 with --check: some files would\n\
             change; or a file cannot be read or written; 3 a script has syntax errors, and stays as it is.",
        )
}

/// What came of one script.
enum Done {
    Unchanged,
    Changed,
    /// It does not parse.
    Refused,
    /// It cannot be read or written.
    Failed,
}

/// Formats.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let check = matches.get_flag("check");
    let mut names: Vec<&str> = matches
        .get_many::<String>("files")
        .unwrap_or_default()
        .map(String::as_str)
        .collect();
    if names.is_empty() {
        names.push("-");
    }
    let (mut refused, mut failed) = (false, false);
    for name in names {
        match one(name, check, console)? {
            Done::Unchanged => {}
            Done::Changed if check => {
                failed = true;
                writeln!(console.out, "{name}")?;
            }
            Done::Changed => {}
            Done::Refused => refused = true,
            Done::Failed => failed = true,
        }
    }
    Ok(if refused {
        Exit::Config
    } else if failed {
        Exit::No
    } else {
        Exit::Ok
    })
}

fn one(name: &str, check: bool, console: &mut Console<'_>) -> Result<Done, Failure> {
    let text = match super::read_script(name, console) {
        Ok(text) => text,
        Err(failure) => {
            // the other scripts are still worth the work
            writeln!(console.err, "sluice: {failure}")?;
            return Ok(Done::Failed);
        }
    };
    let formatted = match grammar::sieve::format(&text) {
        Ok(formatted) => formatted,
        Err(FormatError::Syntax(found)) => {
            let mut sources = Sources::new();
            sources.add(name, text);
            super::draw(&found, &sources, console)?;
            return Ok(Done::Refused);
        }
        Err(error @ FormatError::Changed) => {
            writeln!(console.err, "sluice: {name} is left alone: {error}")?;
            return Ok(Done::Refused);
        }
    };
    let changed = formatted != text;
    if check {
        // only told
    } else if name == "-" {
        console.out.write_all(formatted.as_bytes())?;
    } else if changed && let Err(error) = write(Path::new(name), &formatted) {
        writeln!(console.err, "sluice: cannot write {name}: {error}")?;
        return Ok(Done::Failed);
    }
    Ok(if changed { Done::Changed } else { Done::Unchanged })
}

/// Replaces a file, or the file that a link leads to, all or nothing. Owner and permissions stay.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = path.canonicalize()?;
    let permissions = std::fs::metadata(&path)?.permissions();
    mta::files::replace(&path, permissions.mode() & 0o7777, text.as_bytes())?;
    // what the umask took away
    std::fs::set_permissions(&path, permissions)
}
