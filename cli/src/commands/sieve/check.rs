//! `sluice sieve check`: everything that is wrong with scripts.
//!
//! Every error and warning of each script, and of what it includes, is drawn with the word underlined, its
//! code and a way to mend it. Warnings alone do not fail.

use clap::{ArgMatches, Command};
use grammar::{Severity, Sources};

use super::Folders;
use crate::console::Console;
use crate::{Exit, Failure};

/// The arguments.
pub fn define(command: Command) -> Command {
    command
        .arg(super::files("FILE", "Scripts; - is standard input"))
        .arg(super::flag(
            "json",
            "Print one JSON object for each error or warning",
        ))
        .arg(super::flag("strict", "The rules of the RFCs to the letter"))
        .after_help("Exit codes: 0 no errors (there may be warnings); 1 errors.")
}

/// Checks.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let options = super::options(matches.get_flag("strict"));
    let (mut errors, mut warnings) = (0, 0);
    for name in matches.get_many::<String>("files").unwrap_or_default() {
        let text = match super::read_script(name, console) {
            Ok(text) => text,
            Err(failure) => {
                // the other scripts are still worth checking
                writeln!(console.err, "sluice: {failure}")?;
                errors += 1;
                continue;
            }
        };
        let mut sources = Sources::new();
        let file = sources.add(name.as_str(), text);
        let found = match policy::sieve::compile(&mut sources, file, &Folders::beside(name), &options) {
            Ok((_, warnings)) => warnings,
            Err(errors) => errors,
        };
        errors += found.iter().filter(|d| d.severity == Severity::Error).count();
        warnings += found.iter().filter(|d| d.severity != Severity::Error).count();
        if matches.get_flag("json") {
            for diagnostic in &found {
                let object = serde_json::to_string(&diagnostic.to_json(&sources))
                    .map_err(|e| Failure::Failed(e.to_string()))?;
                writeln!(console.out, "{object}")?;
            }
        } else {
            super::draw(&found, &sources, console)?;
        }
    }
    if !matches.get_flag("json") {
        let words = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        writeln!(
            console.out,
            "{}, {}",
            words(errors, "error"),
            words(warnings, "warning")
        )?;
    }
    Ok(if errors == 0 { Exit::Ok } else { Exit::No })
}
