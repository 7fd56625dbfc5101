//! `imsimta test -mapping`: strings looked up in a mapping table.

use std::fmt::Write as _;

use policy::mapping::{FlagSet, MappingResult};
use policy::program::TableId;
use policy::{Facts, Limits, Machine, Outcome, RunError, Step, Trace};

use super::strings::{self, Input, Output};
use crate::answers::Answers;
use crate::argv::{Argument, Given, Parsed, Qualifier, Takes, Usage, UsageError};
use crate::config::{self, Choice, Image, Mappings};
use crate::console::{Console, read_line};
use crate::{Exit, Failure};

/// Tables named where the one that was asked for does not exist.
const NAMES_SHOWN: usize = 12;

const USAGE: Usage = Usage {
    command: "imsimta test -mapping",
    about: "Look strings up in a mapping table",
    arguments: &[Argument {
        name: "INPUT",
        help: "the string to look up; without it, strings are prompted for",
        many: false,
    }],
    qualifiers: &[
        Qualifier::new(
            "table",
            Takes::Required("NAME"),
            false,
            "the table; without it, its name is prompted for",
        ),
        Qualifier::new(
            "flags",
            Takes::Required("CHARS"),
            true,
            "input flags, one character each (-flags=EB)",
        ),
        Qualifier::new(
            "mapping_file",
            Takes::Required("FILE"),
            false,
            "the mapping file; default: config/mappings of the site",
        ),
        Qualifier::new(
            "image_file",
            Takes::Optional("FILE"),
            true,
            "use a compiled configuration; -noimage_file: read the text",
        ),
        Qualifier::new(
            "option_file",
            Takes::Required("FILE"),
            true,
            "check this option file, too",
        ),
        Qualifier::new(
            "debug",
            Takes::Optional("all"),
            true,
            "print how the result came about; =all: entries that did not match one by one",
        ),
        Qualifier::new(
            "json",
            Takes::Nothing,
            false,
            "print a JSON object for each look-up, and no prompts",
        ),
        Qualifier::new(
            "input",
            Takes::Required("FILE"),
            false,
            "read strings from a file, without prompts",
        ),
        Qualifier::new(
            "output",
            Takes::Required("FILE"),
            false,
            "write results to a file",
        ),
        Qualifier::new(
            "reload",
            Takes::Nothing,
            true,
            "read the configuration again before each look-up",
        ),
        Qualifier::new(
            "answers",
            Takes::Required("FILE"),
            false,
            "answers to callouts, a JSON object a line",
        ),
        Qualifier::new(
            "callouts",
            Takes::Nothing,
            true,
            "-nocallouts: ask nothing outside the configuration",
        ),
        Qualifier::idle(
            "source_channel",
            Takes::Required("CHANNEL"),
            false,
            "no element of a template depends on it",
        ),
        Qualifier::idle(
            "destination_channel",
            Takes::Required("CHANNEL"),
            false,
            "no element of a template depends on it",
        ),
        Qualifier::idle(
            "originator",
            Takes::Required("ADDRESS"),
            false,
            "no element of a template depends on it",
        ),
        Qualifier::idle(
            "context",
            Takes::Optional("TEXT"),
            true,
            "no mapping table is tried with a context here",
        ),
        Qualifier::idle(
            "sources",
            Takes::Optional("TEXT"),
            true,
            "the trace of -debug always has the places",
        ),
    ],
    notes: "The site is the directory in SLUICE_SITE, else ./sluice-site.\n\
            Names may be shortened. Write `--` before an input that begins with `-`.",
};

/// What `-json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    table: &'a str,
    input: &'a str,
    flags_in: String,
    matched: bool,
    output: Option<&'a str>,
    flags: String,
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Vec<policy::trace::JsonEvent>>,
}

/// The table to use, and what is needed for look-ups in it.
struct Loaded {
    mappings: Mappings,
    machine: Machine,
    table: TableId,
}

/// How look-ups are made and printed.
struct Session {
    choice: Choice,
    table: String,
    flags: FlagSet,
    trace: Option<bool>,
    json: bool,
    answers: Answers,
    output: Output,
}

pub(super) fn run(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some(parsed) = USAGE.read(args, console)? else {
        return Ok(Exit::Ok);
    };
    let mut session = session(&parsed)?;
    if session.json && parsed.value("table").is_none() {
        return Err(UsageError::Other("`-json` needs a table: write `-table=NAME`".into()).into());
    }
    let mut input = Input::open(&parsed)?;
    let mappings = config::load(&session.choice, console)?;
    session.output = Output::create(&parsed)?;
    if parsed.value("table").is_none() {
        console.prompt("Enter table name: ")?;
        match read_line(console.input)? {
            Some(name) => session.table = name.trim().to_string(),
            None => return session.end(console, Exit::Ok),
        }
    }
    let mut loaded = session.open(mappings)?;
    if let Some(text) = parsed.arguments.first() {
        let exit = session.look_up(&mut loaded, text, console)?;
        return session.end(console, exit);
    }
    let mut exit = Exit::Ok;
    input.each("Input string: ", console, |text, console| {
        if parsed.is_set("reload") {
            match config::load(&session.choice, console).and_then(|m| session.open(m)) {
                Ok(new) => loaded = new,
                Err(failure) => {
                    // an old result would be taken for a new one
                    exit = failure.exit();
                    return session.refuse(&text, failure, console);
                }
            }
        }
        if session.look_up(&mut loaded, &text, console)? != Exit::Ok {
            exit = Exit::No;
        }
        Ok(())
    })?;
    session.end(console, exit)
}

fn session(parsed: &Parsed) -> Result<Session, UsageError> {
    let flags = parsed.value("flags").unwrap_or("");
    if let Some(c) = flags.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(UsageError::Other(format!(
            "`{}` cannot be an input flag; flags are printable ASCII characters, not separated by anything",
            c.escape_default()
        )));
    }
    let image = match parsed.get("image_file") {
        Given::Negated => Image::None,
        Given::Present(Some(file)) => Image::File(file.clone()),
        _ => Image::Site,
    };
    Ok(Session {
        choice: Choice {
            image,
            mapping_file: parsed.value("mapping_file").map(String::from),
            option_file: parsed.value("option_file").map(String::from),
        },
        table: parsed.value("table").unwrap_or("").to_string(),
        flags: FlagSet::of(flags),
        trace: strings::trace(parsed)?,
        json: parsed.is_set("json"),
        answers: Answers::new(parsed.value("answers"), *parsed.get("callouts") == Given::Negated)?,
        output: Output::default(),
    })
}

impl Session {
    /// Finds the table.
    fn open(&self, mappings: Mappings) -> Result<Loaded, Failure> {
        let name = &self.table;
        let Some(table) = mappings.program.table(name) else {
            let tables = mappings.program.tables();
            let mut names: Vec<String> = tables.iter().map(|t| t.name.clone()).collect();
            let help = match policy::spelling::nearest(name, names.iter()) {
                Some(near) => format!(", did you mean `{near}`?"),
                None if names.is_empty() => ": the mapping file has no table".to_string(),
                None => {
                    let more = if names.len() > NAMES_SHOWN { ", ..." } else { "" };
                    names.truncate(NAMES_SHOWN);
                    format!("; there are {}{more}", names.join(", "))
                }
            };
            return Err(Failure::Failed(format!("there is no table `{name}`{help}")));
        };
        Ok(Loaded {
            machine: Machine::new(mappings.program.clone(), Limits::default()),
            mappings,
            table,
        })
    }

    /// Looks a string up and prints the result. [`Exit::No`] where the evaluation could not be finished.
    fn look_up(
        &mut self,
        loaded: &mut Loaded,
        text: &str,
        console: &mut Console<'_>,
    ) -> Result<Exit, Failure> {
        let machine = &mut loaded.machine;
        machine.trace = match self.trace {
            Some(all) => Trace::on(all),
            None => Trace::off(),
        };
        machine.start_mapping(loaded.table, text, self.flags);
        let result = evaluate(machine, &mut self.answers, &loaded.mappings);
        let omitted = machine.trace.omitted;
        let events = machine.trace.take();
        let sources = &loaded.mappings.sources;
        let error = result.as_ref().err().map(|error| match place(error) {
            Some(span) => format!("{error}, at {}", sources.place(span)),
            None => error.to_string(),
        });
        if self.json {
            let trace = self.trace.map(|_| policy::trace::to_json(&events, sources));
            let found = result.as_ref().ok().filter(|r| r.matched > 0);
            let report = Report {
                table: &self.table,
                input: text,
                flags_in: self.flags.to_string(),
                matched: found.is_some(),
                output: found.map(|r| r.output.as_str()),
                flags: found.map(|r| r.flags.to_string()).unwrap_or_default(),
                error,
                trace,
            };
            let line = super::json_line(&report)?;
            super::put_line(&line, self.output.of(console))?;
        } else {
            let mut out = policy::trace::render(&events, sources);
            if omitted > 0 {
                let _ = writeln!(out, "({omitted} more steps)");
            }
            if let Ok(result) = &result {
                let _ = writeln!(out, "Output string: {}", result.output);
                let _ = writeln!(out, "Output flags: [{}]", flag_list(result));
            }
            self.output.of(console).write_all(out.as_bytes())?;
            if let Some(error) = error {
                console.out.flush()?;
                let _ = writeln!(console.err, "imsimta: {error}");
            }
        }
        Ok(if result.is_ok() { Exit::Ok } else { Exit::No })
    }

    /// Says that a string was not looked up.
    fn refuse(&mut self, text: &str, failure: Failure, console: &mut Console<'_>) -> Result<(), Failure> {
        let _ = writeln!(console.err, "imsimta: {failure}; the string was not looked up");
        if !self.json {
            return Ok(());
        }
        let report = Report {
            table: &self.table,
            input: text,
            flags_in: self.flags.to_string(),
            matched: false,
            output: None,
            flags: String::new(),
            error: Some(failure.to_string()),
            trace: None,
        };
        let line = super::json_line(&report)?;
        super::put_line(&line, self.output.of(console))
    }

    fn end(&mut self, console: &mut Console<'_>, exit: Exit) -> Result<Exit, Failure> {
        self.output.of(console).flush()?;
        Ok(exit)
    }
}

/// Runs a machine to its end.
fn evaluate(
    machine: &mut Machine,
    answers: &mut Answers,
    mappings: &Mappings,
) -> Result<MappingResult, RunError> {
    let facts = Facts {
        now: mta::server::now(),
        seed: mta::server::seed(),
    };
    loop {
        match machine.step(&facts) {
            Step::Done(done) => {
                return match done? {
                    Outcome::Mapping(result) => Ok(result),
                    Outcome::Address(_) | Outcome::Sieve(_) => Ok(MappingResult::default()),
                };
            }
            Step::Ask(asks) => {
                let given = asks.iter().map(|ask| answers.answer(ask, mappings)).collect();
                machine.answer(given)?;
            }
        }
    }
}

fn place(error: &RunError) -> Option<grammar::Span> {
    match error {
        RunError::Fuel { span, .. } | RunError::Memory { span, .. } => *span,
        RunError::Answers { .. } => None,
    }
}

/// Ordinals of the matches, then the flags with their codes.
fn flag_list(result: &MappingResult) -> String {
    let ordinals = (0..result.matched).map(|n| n.to_string());
    let flags = result.flags.iter().map(|c| format!("'{c}' ({})", c as u32));
    ordinals.chain(flags).collect::<Vec<_>>().join(", ")
}
