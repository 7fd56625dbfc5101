//! `imsimta test -expression`: what a Sieve script does with a message, and what an expression comes to.
//!
//! Each line is a script of its own, evaluated at once; with `-block` all of the input is one. The result is
//! what the product prints: the compiled program, the value of the last command, the actions. A text that is
//! no script but an expression, as `length("abc") + 1`, is evaluated as one.
//!
//! Nothing is delivered or sent, but callouts are live: a counter that a script adjusts is adjusted. Answers
//! of a file (`-answers`) come first.

use std::sync::Arc;

use arc_swap::ArcSwap;
use grammar::{Diagnostic, FileId, Severity, Sources};
use mta::callout::{Callouts, Drivers};
use mta::configuration::Configuration;
use mta::directory::Directory;
use policy::message::Message;
use policy::sieve::{Envelope, Level, Options, Program, Request, SieveOutcome, compile};
use policy::site::Site;
use policy::{Answer, Ask, Facts, Limits, Machine, Outcome, Read, Step, Trace};
use serde_json::{Value, json};

use super::strings::{self, Input, Output};
use crate::answers::Ready;
use crate::argv::{Argument, Given, Parsed, Qualifier, Takes, Usage, UsageError};
use crate::commands::{self, sieve};
use crate::console::Console;
use crate::{Exit, Failure};

/// What is printed before a line of input.
const PROMPT: &str = "Expression: ";

/// What an expression is put into to become a script; the lines around it keep its columns.
const WRAPPING: (&str, &str) = ("result =\n", "\n;");

const FILE: Takes = Takes::Required("FILE");
const ADDRESS: Takes = Takes::Required("ADDRESS");
const CHANNEL: Takes = Takes::Required("CHANNEL");

const USAGE: Usage = Usage {
    command: "imsimta test -expression",
    about: "Try a Sieve script, or an expression, on a message",
    arguments: &[Argument {
        name: "SCRIPT",
        help: "the script; without it, scripts are prompted for, one a line",
        many: false,
    }],
    qualifiers: &[
        Qualifier::new(
            "mm",
            Takes::Nothing,
            false,
            "accepted: Sieve is always understood here",
        ),
        Qualifier::new(
            "block",
            Takes::Nothing,
            true,
            "all of the input is one script; else each line is one",
        ),
        Qualifier::new(
            "message",
            FILE,
            false,
            "the message; without it, one that is empty",
        ),
        Qualifier::new(
            "from",
            ADDRESS,
            true,
            "envelope From; default: RETURN_ADDRESS; -nofrom: the null sender",
        ),
        Qualifier::new(
            "to",
            ADDRESS,
            false,
            "envelope To, the owner of the script; default: none",
        ),
        Qualifier::new(
            "system",
            Takes::Nothing,
            true,
            "the script is one of the site, not of a user",
        ),
        Qualifier::new(
            "required",
            Takes::Nothing,
            true,
            "-norequired: extensions may be used without `require`",
        ),
        Qualifier::new(
            "source_channel",
            CHANNEL,
            false,
            "what `environment \"vnd.sun.source-channel\"` sees",
        ),
        Qualifier::new(
            "destination_channel",
            CHANNEL,
            false,
            "what `environment \"vnd.sun.destination-channel\"` sees",
        ),
        Qualifier::new(
            "debug",
            Takes::Optional("all"),
            true,
            "print how the result came about",
        ),
        Qualifier::new(
            "json",
            Takes::Nothing,
            false,
            "print a JSON object for each script, and no prompts",
        ),
        Qualifier::new(
            "input",
            FILE,
            false,
            "read the script or scripts from a file, without prompts",
        ),
        Qualifier::new("output", FILE, false, "write results to a file"),
        Qualifier::new(
            "answers",
            FILE,
            false,
            "answers to callouts, a JSON object a line",
        ),
        Qualifier::new(
            "callouts",
            Takes::Nothing,
            true,
            "-nocallouts: ask nothing outside the configuration",
        ),
        Qualifier::idle("sieve", Takes::Nothing, true, "scripts are always Sieve here"),
        Qualifier::idle(
            "extended",
            Takes::Nothing,
            true,
            "the product's extensions are always there",
        ),
        Qualifier::idle(
            "symbols",
            Takes::Nothing,
            true,
            "an unknown name is reported with the nearest one that is known",
        ),
    ],
    notes: "The site is the directory in SLUICE_SITE, else ./sluice-site; without one, the defaults apply. The exit\n\
            code is 0 where each script ran to its end. Nothing is delivered or sent.",
};

/// How scripts are run and printed.
struct Session {
    options: Options,
    message: Arc<Message>,
    envelope: Envelope,
    level: Level,
    environment: Vec<(String, String)>,
    trace: Option<bool>,
    json: bool,
    /// Lines of the input are printed with the results.
    echo: bool,
    outside: Outside,
    output: Output,
}

/// Who answers what a script asks.
struct Outside {
    ready: Ready,
    /// With whose drivers; nobody answers where there is no site.
    live: Option<(Callouts, Arc<Site>)>,
}

pub(super) fn run(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some(parsed) = USAGE.read(args, console)? else {
        return Ok(Exit::Ok);
    };
    let trace = strings::trace(&parsed)?;
    let ready = Ready::new(parsed.value("answers"))?;
    let mut input = Input::open(&parsed)?;
    let message = match parsed.value("message") {
        Some(name) => sieve::read(name, console)
            .map_err(|failure| UsageError::Other(format!("cannot use `-message={name}`: {failure}")))?,
        None => Vec::new(),
    };
    let configuration = site(console)?;
    let live = match &configuration {
        Some(configuration) if *parsed.get("callouts") != Given::Negated => {
            Some((drivers(configuration, console)?, Arc::clone(&configuration.site)))
        }
        _ => None,
    };
    let site = configuration.map(|c| c.site);
    let mut session = Session {
        options: Options {
            all_capabilities: *parsed.get("required") == Given::Negated,
            ..Options::default()
        },
        message: Arc::new(Message::new(message)),
        envelope: envelope(&parsed, site.as_deref()),
        level: match parsed.is_set("system") {
            true => Level::System,
            false => Level::User,
        },
        environment: environment(&parsed, site.as_deref()),
        trace,
        json: parsed.is_set("json"),
        echo: parsed.value("input").is_some() && !parsed.is_set("json"),
        outside: Outside { ready, live },
        output: Output::create(&parsed)?,
    };
    let mut exit = Exit::Ok;
    if let Some(text) = parsed.arguments.first() {
        exit = session.try_script(text, console)?;
    } else if parsed.is_set("block") {
        let mut block = String::new();
        input.each(PROMPT, console, |line, console| {
            session.echo(&line, console)?;
            block.push_str(&line);
            block.push('\n');
            Ok(())
        })?;
        session.echo_end(console)?;
        exit = session.try_script(&block, console)?;
    } else {
        input.each(PROMPT, console, |line, console| {
            session.echo(&line, console)?;
            if !line.trim().is_empty() && session.try_script(&line, console)? != Exit::Ok {
                exit = Exit::No;
            }
            Ok(())
        })?;
    }
    session.output.of(console).flush()?;
    Ok(exit)
}

fn envelope(parsed: &Parsed, site: Option<&Site>) -> Envelope {
    const POSTMASTER: &str = "postmaster@localhost";
    let from = match parsed.get("from") {
        Given::Present(Some(from)) => from.as_str(),
        Given::Negated => "",
        _ => site.map_or(POSTMASTER, |s| s.options.text("RETURN_ADDRESS", POSTMASTER)),
    };
    let bare = |address: &str| {
        let inner = address.strip_prefix('<').and_then(|a| a.strip_suffix('>'));
        inner.unwrap_or(address).to_string()
    };
    Envelope {
        from: bare(from),
        to: bare(parsed.value("to").unwrap_or("")),
        ..Envelope::default()
    }
}

/// Items of the `environment` test (specification B6.2).
fn environment(parsed: &Parsed, site: Option<&Site>) -> Vec<(String, String)> {
    let host = site.map_or("localhost", Site::host);
    let mut all: Vec<(String, String)> = [
        ("name", "sluice"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("location", "MTA"),
        ("phase", "pre"),
        ("host", host),
        ("domain", host),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .into();
    for (qualifier, item) in [
        ("source_channel", "vnd.sun.source-channel"),
        ("destination_channel", "vnd.sun.destination-channel"),
    ] {
        if let Some(channel) = parsed.value(qualifier) {
            all.push((item.to_string(), channel.to_ascii_lowercase()));
        }
    }
    all
}

/// The site, where there is one.
fn site(console: &mut Console<'_>) -> Result<Option<Configuration>, Failure> {
    let layout = commands::layout(console);
    if !layout.config().join("imta.cnf").exists() && !layout.image().exists() {
        return Ok(None);
    }
    commands::load(&layout, false, console).map(Some)
}

/// The drivers of a site.
fn drivers(configuration: &Configuration, console: &Console<'_>) -> Result<Callouts, Failure> {
    let layout = commands::layout(console);
    let directory = match mta::directory::load(&layout.users()) {
        Ok(loaded) => loaded.directory,
        Err(_) => Directory::new().map_err(|e| Failure::Failed(e.to_string()))?,
    };
    let drivers = Drivers::new(Arc::new(ArcSwap::from_pointee(directory)), layout.config());
    drivers.set_metermaid(&configuration.metermaid.client);
    Ok(Callouts::Live(Arc::new(drivers)))
}

impl Outside {
    /// Answers questions, in their order.
    fn answer(&mut self, asks: &[Ask]) -> Result<Vec<Answer>, Failure> {
        let mut answers = Vec::with_capacity(asks.len());
        for ask in asks {
            answers.push(match (self.known(ask), &self.live) {
                (Some(answer), _) => answer,
                (None, None) => Answer::NotConfigured("callouts are switched off".into()),
                (None, Some((callouts, site))) => {
                    let asked = commands::block_on(callouts.perform(std::slice::from_ref(ask), site))?;
                    let silent = || Answer::NotConfigured("nobody answered".into());
                    asked.into_iter().next().unwrap_or_else(silent)
                }
            });
        }
        Ok(answers)
    }

    /// What is known without asking anybody.
    fn known(&mut self, ask: &Ask) -> Option<Answer> {
        self.ready.take(ask).or(match ask {
            // the memory is the running server's; here every message is the first
            Ask::Read(Read::Duplicate { .. }) => Some(Answer::NotFound),
            _ => None,
        })
    }
}

/// A script that compiled.
struct Compiled {
    program: Arc<Program>,
    warnings: Vec<Diagnostic>,
    sources: Sources,
    /// It was an expression.
    expression: bool,
}

impl Session {
    /// Compiles a text as a script or, where it is none, as an expression. Errors are those of the script.
    fn compile(&self, text: &str) -> Result<Compiled, (Vec<Diagnostic>, Sources)> {
        let library = sieve::Folders::beside("");
        let add = |text: String| -> (Sources, FileId) {
            let mut sources = Sources::new();
            let file = sources.add("expression", text);
            (sources, file)
        };
        let (mut sources, file) = add(text.to_string());
        let errors = match compile(&mut sources, file, &library, &self.options) {
            Ok((program, warnings)) => {
                return Ok(Compiled {
                    program: Arc::new(program),
                    warnings,
                    sources,
                    expression: false,
                });
            }
            Err(errors) => errors,
        };
        let bare = text.trim().trim_end_matches(';');
        if bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            // a command without its semicolon, more likely than a variable that nothing has set
            return Err((errors, sources));
        }
        let (mut wrapped, file) = add(format!("{}{bare}{}", WRAPPING.0, WRAPPING.1));
        let options = Options {
            all_capabilities: true,
            ..self.options.clone()
        };
        let is_expression = grammar::sieve::parse(&wrapped, file).0.commands.len() == 1;
        match compile(&mut wrapped, file, &library, &options) {
            Ok((program, warnings)) if is_expression => Ok(Compiled {
                program: Arc::new(program),
                warnings,
                sources: wrapped,
                expression: true,
            }),
            _ => Err((errors, sources)),
        }
    }

    /// Runs a script and prints what came of it.
    fn try_script(&mut self, text: &str, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let compiled = match self.compile(text) {
            Ok(compiled) => compiled,
            Err((errors, sources)) => {
                if self.json {
                    let report = report(&[], "", &errors, &sources, Vec::new());
                    super::put_line(&super::json_line(&report)?, self.output.of(console))?;
                } else {
                    console.out.flush()?;
                    sieve::draw(&errors, &sources, console)?;
                }
                return Ok(Exit::No);
            }
        };
        let mut machine = Machine::new(Arc::default(), Limits::default());
        machine.trace = match self.trace {
            Some(all) => Trace::on(all),
            None => Trace::off(),
        };
        let outcome = self.run(&mut machine, &compiled.program)?;
        let omitted = machine.trace.omitted;
        let events = machine.trace.take();
        let sources = &compiled.sources;
        let mut found = compiled.warnings;
        if compiled.expression {
            // what is said of an unused result is no news
            found.retain(|d| d.severity == Severity::Error);
        }
        if let Some(fault) = &outcome.error {
            found.push(sieve::stopped(fault));
        }
        let value = match outcome.value.as_str() {
            "" if !compiled.expression => "0",
            value => value,
        };
        if self.json {
            let trace = policy::trace::to_json(&events, sources);
            let trace = trace.iter().filter_map(|e| serde_json::to_value(e).ok());
            let mut report = report(&outcome.actions, value, &found, sources, trace.collect());
            report["filter_result"] = outcome.filter_result().into();
            super::put_line(&super::json_line(&report)?, self.output.of(console))?;
        } else {
            let mut out = String::new();
            for line in compiled.program.to_string().lines() {
                out += &format!("Dump: {line}\n");
            }
            out += &policy::trace::render(&events, sources);
            if omitted > 0 {
                out += &format!("({omitted} more steps)\n");
            }
            self.output.of(console).write_all(out.as_bytes())?;
            self.output.of(console).flush()?;
            sieve::draw(&found, sources, console)?;
            let result = format!("Result: {value}\nFilter result: {}\n", outcome.filter_result());
            super::put_line(result.as_bytes(), self.output.of(console))?;
        }
        Ok(match outcome.error {
            Some(_) => Exit::No,
            None => Exit::Ok,
        })
    }

    fn run(&mut self, machine: &mut Machine, program: &Arc<Program>) -> Result<SieveOutcome, Failure> {
        let facts = Facts {
            now: mta::server::now(),
            seed: mta::server::seed(),
        };
        let mut request = Request::new(
            Arc::clone(program),
            Arc::clone(&self.message),
            self.envelope.clone(),
        );
        request.level = self.level;
        request.limits = self.options.limits;
        request.environment = self.environment.iter().cloned().collect();
        machine.start_sieve(request);
        loop {
            match machine.step(&facts) {
                Step::Done(Ok(Outcome::Sieve(outcome))) => return Ok(*outcome),
                Step::Done(Ok(_)) => return Err(Failure::Failed("the script came to no outcome".into())),
                Step::Done(Err(error)) => return Err(Failure::Failed(error.to_string())),
                Step::Ask(asks) => {
                    let answers = self.outside.answer(&asks)?;
                    machine
                        .answer(answers)
                        .map_err(|error| Failure::Failed(error.to_string()))?;
                }
            }
        }
    }

    /// Prints a line of a file as if it had been typed at the prompt.
    fn echo(&mut self, line: &str, console: &mut Console<'_>) -> Result<(), Failure> {
        if self.echo {
            writeln!(self.output.of(console), "{PROMPT}{line}")?;
        }
        Ok(())
    }

    /// Prints the prompt at which the end of a file was found.
    fn echo_end(&mut self, console: &mut Console<'_>) -> Result<(), Failure> {
        if self.echo {
            write!(self.output.of(console), "{PROMPT}")?;
        }
        Ok(())
    }
}

/// What `-json` prints.
fn report(
    actions: &[policy::sieve::Performed],
    value: &str,
    found: &[Diagnostic],
    sources: &Sources,
    trace: Vec<Value>,
) -> Value {
    let of = |errors: bool| -> Vec<Value> {
        found
            .iter()
            .filter(|d| (d.severity == Severity::Error) == errors)
            .filter_map(|d| serde_json::to_value(d.to_json(sources)).ok())
            .collect()
    };
    let actions = actions.iter().filter_map(|p| serde_json::to_value(p).ok());
    json!({
        "actions": actions.collect::<Vec<_>>(),
        "errors": of(true),
        "warnings": of(false),
        "result": value,
        "filter_result": Value::Null,
        "trace": trace,
    })
}
