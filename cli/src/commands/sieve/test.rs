//! `sluice sieve test`: runs `.svtest` files, and folders of them.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};

use super::svtest::{self, Verdict};
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
        .after_help("Exit codes: 0 all passed; 1 some failed; 2 a file could not be run.")
}

/// Runs the tests.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for name in matches.get_many::<String>("files").unwrap_or_default() {
        collect(Path::new(name), 0, &mut files)
            .map_err(|e| Failure::Failed(format!("cannot read {name}: {e}")))?;
    }
    let (mut passed, mut failed, mut broken) = (0, 0, false);
    for file in files {
        let name = file.display().to_string();
        let text = match super::read_script(&name, console) {
            Ok(text) => text,
            Err(failure) => {
                writeln!(console.err, "sluice: {failure}")?;
                broken = true;
                continue;
            }
        };
        writeln!(console.out, "{name}")?;
        let report = svtest::run(&name, &text);
        for verdict in &report.verdicts {
            match verdict {
                Verdict::Passed(name) => {
                    passed += 1;
                    writeln!(console.out, "  ok      {name}")?;
                }
                Verdict::Failed(name, why) => {
                    failed += 1;
                    writeln!(console.out, "  FAILED  {name}: {why}")?;
                }
            }
        }
        console.out.write_all(report.printed.as_bytes())?;
        if let Some(why) = report.broken {
            broken = true;
            writeln!(console.err, "{why}\n")?;
        }
    }
    writeln!(console.out, "{passed} passed, {failed} failed")?;
    Ok(match (broken, failed) {
        (true, _) => Exit::Usage,
        (false, 0) => Exit::Ok,
        _ => Exit::No,
    })
}

/// The test files of a folder, by name; a file stands for itself.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    if depth >= MAX_DEPTH {
        return Ok(());
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
