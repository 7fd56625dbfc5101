//! `sluice sieve test`: runs `.svtest` files, and folders of them.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use serde_json::json;

use super::svtest::{self, Report, Verdict};
use crate::commands::json;
use crate::console::Console;
use crate::{Exit, Failure};

/// Folders in folders at most.
const MAX_DEPTH: usize = 16;

/// The arguments.
pub fn define(command: Command) -> Command {
    command
        .arg(super::files(
            "FILE|DIR",
            ".svtest files, or folders that are searched for them",
        ))
        .arg(super::flag(
            "json",
            "Print one JSON object a case, and one for a file that breaks off",
        ))
        .after_help("Exit codes: 0 all passed; 1 some failed, or a file could not be run to its end.")
}

/// Runs the tests.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for name in matches.get_many::<String>("files").unwrap_or_default() {
        collect(Path::new(name), 0, &mut files)
            .map_err(|e| Failure::Failed(format!("cannot read {name}: {e}")))?;
    }
    let as_json = matches.get_flag("json");
    let (mut passed, mut failed, mut broken) = (0, 0, false);
    for file in files {
        let name = file.display().to_string();
        let report = match super::read_script(&name, console) {
            Ok(text) => {
                if !as_json {
                    writeln!(console.out, "{name}")?;
                }
                svtest::run(&name, &text)
            }
            Err(failure) => Report {
                broken: Some(format!("sluice: {failure}")),
                ..Report::default()
            },
        };
        for verdict in &report.verdicts {
            let (case, why) = match verdict {
                Verdict::Passed(case) => (case, None),
                Verdict::Failed(case, why) => (case, Some(why)),
            };
            if why.is_none() {
                passed += 1;
            } else {
                failed += 1;
            }
            match why {
                _ if as_json => json(
                    &json!({"file": name, "case": case, "passed": why.is_none(), "why": why}),
                    console,
                )?,
                None => writeln!(console.out, "  ok      {case}")?,
                Some(why) => writeln!(console.out, "  FAILED  {case}: {why}")?,
            }
        }
        // what a file prints is for people
        let printed = if as_json {
            &mut *console.err
        } else {
            &mut *console.out
        };
        printed.write_all(report.printed.as_bytes())?;
        if let Some(why) = report.broken {
            broken = true;
            if as_json {
                json(&json!({"file": name, "broken": why}), console)?;
            } else {
                writeln!(console.err, "{why}\n")?;
            }
        }
    }
    if !as_json {
        writeln!(console.out, "{passed} passed, {failed} failed")?;
    }
    Ok(if broken || failed > 0 { Exit::No } else { Exit::Ok })
}

/// The test files of a folder, by name; a file stands for itself.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    if depth >= MAX_DEPTH {
        let why = format!("{} lies more than {MAX_DEPTH} folders deep", path.display());
        return Err(std::io::Error::other(why));
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path)? {
        entries.push(entry?.path());
    }
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|e| e == "svtest") {
            collect(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}
