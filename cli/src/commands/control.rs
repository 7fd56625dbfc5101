//! Asking the running server: `imsimta reload`, `imsimta cnbuild`, `sluice status`.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clap::{ArgMatches, Command};
use mta::configuration::{Layout, image};
use mta::control::{Request, Response};

use super::{at, dir, json, json_flag, layout, report};
use crate::argv::{Qualifier, Takes, Usage};
use crate::console::Console;
use crate::{Exit, Failure};

/// Longest wait for the server's answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ids of one request; the server reads requests of 64 KiB at most.
pub const IDS_AT_ONCE: usize = 1000;

/// Whether a server runs on a site. The socket of one that was killed is still there, and nobody listens.
pub fn is_running(layout: &Layout) -> bool {
    UnixStream::connect(layout.control()).is_ok()
}

/// Asks the running server of a site.
pub fn ask(layout: &Layout, request: &Request) -> Result<Response, Failure> {
    ask_within(layout, request, PATIENCE)
}

/// [`ask`] with a longest wait of one's own.
pub fn ask_within(layout: &Layout, request: &Request, patience: Duration) -> Result<Response, Failure> {
    let path = layout.control();
    let root = layout.root.display();
    let mut stream = UnixStream::connect(&path).map_err(|e| {
        Failure::Failed(format!(
            "no server runs on {root} ({e}); start one with `sluice up`"
        ))
    })?;
    // from here on there is a server; what it was asked may have been done
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Failed(format!(
            "the server on {root} has not answered for {} seconds and may still be working on it; look before you \
             ask again",
            patience.as_secs_f32()
        )),
        _ => Failure::Failed(format!(
            "the server on {root} ended the conversation ({e}); what was asked may have been done or not"
        )),
    };
    stream.set_read_timeout(Some(patience)).map_err(failed)?;
    stream.set_write_timeout(Some(patience)).map_err(failed)?;
    let text = serde_json::to_string(request).map_err(|e| Failure::Failed(e.to_string()))?;
    writeln!(stream, "{text}").map_err(failed)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(failed)?;
    if line.is_empty() {
        return Err(failed(ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_str(&line)
        .map_err(|e| Failure::Failed(format!("the answer of the server on {root} cannot be read: {e}")))
}

/// Prints an answer as text, or as a JSON object with `ok` and `text`; its `ok` is the exit code.
pub fn answered(response: &Response, as_json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if !as_json {
        return print(response, console);
    }
    let line = serde_json::json!({"ok": response.ok, "text": response.text.trim_end()});
    json(&line, console)?;
    Ok(if response.ok { Exit::Ok } else { Exit::No })
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

const JSON: Qualifier = Qualifier::new("json", Takes::Nothing, false, "print one JSON object");

const RELOAD: Usage = Usage {
    command: "imsimta reload",
    about: "Put the changed configuration in force in the running server, all of it or nothing",
    arguments: &[],
    qualifiers: &[JSON],
    notes: "Without a compiled configuration the texts are read; with one, run `imsimta cnbuild` first.",
};

/// `imsimta reload`.
pub fn reload(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some(parsed) = RELOAD.read(args, console)? else {
        return Ok(Exit::Ok);
    };
    let response = ask(&layout(console), &Request::Reload)?;
    match answered(&response, parsed.is_set("json"), console)? {
        Exit::Ok => Ok(Exit::Ok),
        _ => Ok(Exit::Config),
    }
}

const CNBUILD: Usage = Usage {
    command: "imsimta cnbuild",
    about: "Check the configuration texts and compile them into the image that programs load",
    arguments: &[],
    qualifiers: &[JSON],
    notes: "With errors, an image that is there stays as it is.",
};

/// `imsimta cnbuild`.
pub fn cnbuild(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some(parsed) = CNBUILD.read(args, console)? else {
        return Ok(Exit::Ok);
    };
    let layout = layout(console);
    match image::build(&layout).map_err(|e| Failure::Failed(e.to_string()))? {
        Ok(configuration) => {
            let site = &configuration.site;
            for d in &site.diagnostics {
                writeln!(console.err, "{}\n", d.render(&site.sources, console.colour))?;
            }
            let tables = site.program.tables();
            let entries: usize = tables.iter().map(|t| t.len()).sum();
            if parsed.is_set("json") {
                let built = serde_json::json!({
                    "image": layout.image().display().to_string(),
                    "channels": site.channels.len(),
                    "tables": tables.len(),
                    "entries": entries,
                    "aliases": site.aliases.len(),
                });
                json(&built, console)?;
                return Ok(Exit::Ok);
            }
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

/// The arguments of `status`.
pub fn define_status(command: Command) -> Command {
    command.arg(dir()).arg(json_flag("Print one JSON object"))
}

/// `sluice status`.
pub fn status(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let response = ask(&at(matches, console), &Request::Status)?;
    if !response.ok {
        return print(&response, console);
    }
    if matches.get_flag("json") {
        json(&response.data, console)?;
        return Ok(Exit::Ok);
    }
    let mut rows = Vec::new();
    flatten("", &response.data, &mut rows);
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        writeln!(console.out, "{name:width$}  {value:>9}")?;
    }
    Ok(Exit::Ok)
}

/// Counters by name, those within others as `outer.inner`; what is not there is left out.
fn flatten(name: &str, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{dot}{key}"), value, rows);
            }
        }
        serde_json::Value::Null => {}
        value => rows.push((name.to_string(), value.to_string())),
    }
}
