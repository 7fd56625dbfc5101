//! Asking the running server: `imsimta reload`, `imsimta cnbuild`, `sluice status`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clap::ArgMatches;
use mta::configuration::{Layout, image};
use mta::control::{Request, Response};

use super::{layout, report};
use crate::argv::Usage;
use crate::console::Console;
use crate::{Exit, Failure};

/// Longest wait for the server's answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the running server of a site.
pub fn ask(layout: &Layout, request: &Request) -> Result<Response, Failure> {
    let path = layout.control();
    let failed = |e: std::io::Error| {
        Failure::Failed(format!(
            "no server runs on {} ({e}); start one with `sluice up`",
            layout.root.display()
        ))
    };
    let mut stream = UnixStream::connect(&path).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let text = serde_json::to_string(request).map_err(|e| Failure::Failed(e.to_string()))?;
    writeln!(stream, "{text}").map_err(failed)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(failed)?;
    serde_json::from_str(&line).map_err(|e| Failure::Failed(format!("the server gave no answer: {e}")))
}

/// Prints an answer; its `ok` is the exit code.
pub fn print(response: &Response, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if response.ok {
        writeln!(console.out, "{}", response.text.trim_end())?;
        return Ok(Exit::Ok);
    }
    writeln!(console.err, "{}", response.text.trim_end())?;
    Ok(Exit::No)
}

const RELOAD: Usage = Usage {
    command: "imsimta reload",
    about: "Put the changed configuration in force in the running server, all of it or nothing",
    arguments: &[],
    qualifiers: &[],
    notes: "Without a compiled configuration the texts are read; with one, run `imsimta cnbuild` first.",
};

/// `imsimta reload`.
pub fn reload(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let parsed = RELOAD.parse(args)?;
    if parsed.help {
        console.out.write_all(RELOAD.help().as_bytes())?;
        return Ok(Exit::Ok);
    }
    let response = ask(&layout(console), &Request::Reload)?;
    match print(&response, console)? {
        Exit::Ok => Ok(Exit::Ok),
        _ => Ok(Exit::Config),
    }
}

const CNBUILD: Usage = Usage {
    command: "imsimta cnbuild",
    about: "Check the configuration texts and compile them into the image that programs load",
    arguments: &[],
    qualifiers: &[],
    notes: "With errors, an image that is there stays as it is.",
};

/// `imsimta cnbuild`.
pub fn cnbuild(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let parsed = CNBUILD.parse(args)?;
    if parsed.help {
        console.out.write_all(CNBUILD.help().as_bytes())?;
        return Ok(Exit::Ok);
    }
    let layout = layout(console);
    match image::build(&layout).map_err(|e| Failure::Failed(e.to_string()))? {
        Ok(configuration) => {
            let site = &configuration.site;
            for d in &site.diagnostics {
                writeln!(console.err, "{}\n", d.render(&site.sources, console.colour))?;
            }
            let tables = site.program.tables();
            let entries: usize = tables.iter().map(|t| t.len()).sum();
            writeln!(
                console.out,
                "{}: {} channels, {} mapping tables with {entries} entries, {} aliases",
                layout.image().display(),
                site.channels.len(),
                tables.len(),
                site.aliases.len()
            )?;
            Ok(Exit::Ok)
        }
        Err(error) => Err(report(&error, console)?),
    }
}

/// `sluice status`.
pub fn status(_: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let response = ask(&layout(console), &Request::Status)?;
    print(&response, console)
}
