//! The commands that run a server, talk to it, or play a policy.

pub mod check;
pub mod control;
pub mod explain;
pub mod log;
pub mod probe;
pub mod qm;
pub mod send;
pub mod sieve;
pub mod up;
pub mod user;

use std::future::Future;

use clap::{Arg, ArgAction, ArgMatches};
use grammar::Severity;
use mta::configuration::{Configuration, Layout, read};
use policy::site::LoadError;

use crate::Failure;
use crate::console::Console;

/// Runs something asynchronous to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Failed(format!("cannot start: {e}")))?;
    Ok(runtime.block_on(future))
}

/// The option that names the site's folder, see [`at`].
pub fn dir() -> Arg {
    Arg::new("dir")
        .long("dir")
        .value_name("D")
        .help("The site's folder; else SLUICE_SITE, else ./sluice-site")
}

/// The option for one JSON object a line.
pub fn json_flag(help: &'static str) -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help(help)
}

/// The site that [`dir`] names, or the console's; it is the console's from then on.
pub fn at(matches: &ArgMatches, console: &mut Console<'_>) -> Layout {
    if let Some(dir) = matches.get_one::<String>("dir") {
        console.site = dir.into();
    }
    layout(console)
}

/// Prints a value as one line of JSON.
pub fn json(value: &(impl serde::Serialize + ?Sized), console: &mut Console<'_>) -> Result<(), Failure> {
    let line = serde_json::to_string(value).map_err(|e| Failure::Failed(e.to_string()))?;
    writeln!(console.out, "{line}")?;
    Ok(())
}

/// The layout of the console's site.
pub fn layout(console: &Console<'_>) -> Layout {
    Layout::new(console.site.clone())
}

/// Loads the site of the console, printing errors, and warnings where `warnings` says so.
pub fn load(layout: &Layout, warnings: bool, console: &mut Console<'_>) -> Result<Configuration, Failure> {
    match read(layout) {
        Ok(configuration) => {
            for note in configuration.stale_notes() {
                console.note(&note);
            }
            if warnings {
                let site = &configuration.site;
                for d in site
                    .diagnostics
                    .iter()
                    .filter(|d| d.severity >= Severity::Warning)
                {
                    writeln!(console.err, "{}\n", d.render(&site.sources, console.colour))?;
                }
            }
            Ok(configuration)
        }
        Err(error) => Err(report(&error, console)?),
    }
}

/// Prints all that is wrong with a configuration.
pub fn report(error: &LoadError, console: &mut Console<'_>) -> Result<Failure, Failure> {
    for d in error
        .diagnostics
        .iter()
        .filter(|d| d.severity >= Severity::Warning)
    {
        writeln!(console.err, "{}\n", d.render(&error.sources, console.colour))?;
    }
    let errors = error
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count();
    Ok(Failure::Config(format!(
        "the configuration does not load: {errors} error(s)"
    )))
}
