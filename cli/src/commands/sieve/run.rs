//! `sluice sieve run`: what a script does with a message, without sending anything.
//!
//! One script and one message, or a file of cases, a JSON object a line. Each case stands for itself: one
//! that does not compile is a result, too. Actions are those after duplicates are removed and levels merged.

use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use grammar::Sources;
use policy::Facts;
use policy::message::Message;
use policy::sieve::{
    ActionLimits, Envelope, Level, LevelResult, Library, NoLibrary, Options, Performed, Place, Request, Spam,
    compile, merge,
};
use serde_json::{Value, json};

use super::Folders;
use super::evaluate::{World, drive, header_json};
use crate::argv::UsageError;
use crate::console::Console;
use crate::{Exit, Failure};

/// The arguments.
pub fn define(command: Command) -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    command
        .arg(
            Arg::new("script")
                .value_name("SCRIPT")
                .required_unless_present("cases")
                .conflicts_with("cases")
                .help("The script"),
        )
        .arg(
            option("message", "M", "The message, a file; - is standard input")
                .required_unless_present("cases")
                .conflicts_with("cases"),
        )
        .arg(
            option("from", "A", "Envelope sender; may be empty")
                .default_value("sender@example.com")
                .conflicts_with("cases"),
        )
        .arg(
            option("to", "B", "Envelope recipient")
                .default_value("recipient@example.com")
                .conflicts_with("cases"),
        )
        .arg(
            option(
                "env",
                "K=V",
                "An item of the environment test; may be given again",
            )
            .action(ArgAction::Append)
            .conflicts_with("cases"),
        )
        .arg(
            option("level", "L", "user or system")
                .value_parser(["user", "system"])
                .default_value("user")
                .conflicts_with("cases"),
        )
        .arg(
            option("mailbox", "NAME", "A mailbox that exists; may be given again")
                .action(ArgAction::Append)
                .conflicts_with("cases"),
        )
        .arg(option(
            "cases",
            "FILE",
            "Run the cases of a file, one JSON object a line, which say all that the options do",
        ))
        .arg(super::flag("strict", "The rules of the RFCs to the letter").conflicts_with("cases"))
        .arg(super::flag("json", "Print one JSON object"))
        .arg(super::flag("trace", "Print every step, too"))
        .after_help(
            "Exit codes: 0 the script ran (with --cases: all cases were run); 1 it does not compile, or it\n\
             stopped with an error.",
        )
}

/// Runs.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let trace = matches.get_flag("trace");
    if let Some(file) = matches.get_one::<String>("cases") {
        return cases(file, trace, console);
    }
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let script_name = text("script");
    let script = super::read_script(&script_name, console)?;
    let message = super::read(&text("message"), console)?;
    let options = super::options(matches.get_flag("strict"));
    let mut case = Case {
        facts: Facts {
            now: mta::server::now(),
            seed: mta::server::seed(),
        },
        envelope: envelope(text("from"), text("to")),
        message: Arc::new(Message::new(message)),
        options,
        environment: vec![("name".into(), "sluice".into())],
        virus: None,
        world: World::default(),
        trace,
    };
    for pair in matches.get_many::<String>("env").unwrap_or_default() {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(UsageError::Other(format!("--env {pair}: write --env NAME=VALUE")).into());
        };
        case.environment.push((name.to_ascii_lowercase(), value.into()));
    }
    let mailboxes = matches.get_many::<String>("mailbox").unwrap_or_default();
    case.world.mailboxes.extend(mailboxes.cloned());
    let level = if text("level") == "system" {
        Level::System
    } else {
        Level::User
    };
    let result = case.run(&[(level, &script_name, &script)], &Folders::beside(&script_name))?;
    if matches.get_flag("json") {
        writeln!(console.out, "{}", result.to_json())?;
    } else {
        super::draw(&result.diagnostics, &result.sources, console)?;
        console.out.write_all(result.trace.as_bytes())?;
        for performed in &result.actions {
            writeln!(console.out, "{}", line(performed, &result.sources))?;
        }
    }
    Ok(if result.compile_error || result.runtime_error {
        Exit::No
    } else {
        Exit::Ok
    })
}

/// The envelope of these two addresses.
pub fn envelope(from: String, to: String) -> Envelope {
    Envelope {
        from,
        to,
        ..Envelope::default()
    }
}

/// An action in a line, with the place of the command behind it.
pub fn line(performed: &Performed, sources: &Sources) -> String {
    let mut text = String::new();
    if let Ok(Value::Object(object)) = serde_json::to_value(&performed.action) {
        if let Some(Value::String(action)) = object.get("action") {
            text.push_str(action);
        }
        for (key, value) in &object {
            match value {
                _ if key == "action" => {}
                Value::Bool(true) => text.push_str(&format!(" {key}")),
                Value::Bool(false) => {}
                value => text.push_str(&format!(" {key}={value}")),
            }
        }
    }
    if let Some(span) = performed.span {
        text.push_str(&format!("  ({})", sources.place(span)));
    }
    text
}

/// What a run needs besides the scripts.
struct Case {
    facts: Facts,
    envelope: Envelope,
    message: Arc<Message>,
    options: Options,
    environment: Vec<(String, String)>,
    virus: Option<u8>,
    world: World,
    trace: bool,
}

/// What the scripts came to.
struct CaseResult {
    compile_error: bool,
    runtime_error: bool,
    /// Errors and warnings of the compiler; an error while running is the last.
    diagnostics: Vec<grammar::Diagnostic>,
    sources: Sources,
    actions: Vec<Performed>,
    headers: Value,
    subject: Value,
    trace: String,
    traced: bool,
}

impl Case {
    /// Compiles and runs the scripts, the least specific first.
    fn run(&self, scripts: &[(Level, &str, &str)], library: &dyn Library) -> Result<CaseResult, Failure> {
        let mut result = CaseResult {
            compile_error: false,
            runtime_error: false,
            diagnostics: Vec::new(),
            sources: Sources::new(),
            actions: Vec::new(),
            headers: json!({}),
            subject: Value::Null,
            trace: String::new(),
            traced: self.trace,
        };
        let mut programs = Vec::new();
        for (level, name, text) in scripts {
            let file = result.sources.add(*name, *text);
            match compile(&mut result.sources, file, library, &self.options) {
                Ok((program, warnings)) => {
                    result.diagnostics.extend(warnings);
                    programs.push((*level, Arc::new(program)));
                }
                Err(errors) => {
                    result.diagnostics.extend(errors);
                    result.compile_error = true;
                }
            }
        }
        if result.compile_error {
            return Ok(result);
        }
        let mut results: Vec<LevelResult> = Vec::new();
        for (level, program) in programs {
            let mut request = Request::new(program, Arc::clone(&self.message), self.envelope.clone());
            request.level = level;
            request.limits = self.options.limits;
            request.notify_methods = self.options.notify_methods.clone();
            request.environment = self.environment.iter().cloned().collect();
            request.virus = self.virus;
            if let Some(before) = results.last() {
                request.follow(&before.outcome);
                request.virus = before.outcome.virus.or(self.virus);
            } else {
                request.spam = Spam::default();
            }
            let (outcome, trace) = drive(request, self.facts, &self.world, &result.sources, self.trace)?;
            result.trace.push_str(&trace);
            if let Some(fault) = &outcome.error {
                result.runtime_error = true;
                result.diagnostics.push(super::stopped(fault));
            }
            results.push(LevelResult { level, outcome });
        }
        let merged = merge(results);
        let message = merged.message.as_ref().unwrap_or(&self.message);
        (result.headers, result.subject) = header_json(message, merged.headers.as_ref());
        result.actions = merged.actions;
        Ok(result)
    }
}

impl CaseResult {
    fn to_json(&self) -> Value {
        let of = |errors: bool| -> Vec<Value> {
            self.diagnostics
                .iter()
                .filter(|d| (d.severity == grammar::Severity::Error) == errors)
                .filter_map(|d| serde_json::to_value(d.to_json(&self.sources)).ok())
                .collect()
        };
        let actions = self.actions.iter().filter_map(|p| serde_json::to_value(p).ok());
        let mut object = json!({
            "compile_error": self.compile_error,
            "runtime_error": self.runtime_error,
            "errors": of(true),
            "warnings": of(false),
            "actions": actions.collect::<Vec<_>>(),
            "headers_final": self.headers,
            "subject_final": self.subject,
        });
        if self.traced {
            object["trace"] = self.trace.lines().map(Value::from).collect::<Vec<_>>().into();
        }
        object
    }
}

// Files of cases.

/// Scripts that a case brings along.
struct Scripts<'a>(&'a Value);

impl Library for Scripts<'_> {
    fn script(&self, place: Place, name: &str) -> Result<Option<String>, String> {
        let text = self.0.get(format!("{}/{name}", place.word()));
        Ok(text.and_then(Value::as_str).map(str::to_owned))
    }
}

fn cases(file: &str, trace: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let text = super::read_script(file, console)?;
    for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let result = serde_json::from_str::<Value>(line)
            .map_err(|e| e.to_string())
            .and_then(|value| one(&value, trace))
            .map_err(|why| Failure::Failed(format!("{file}, line {}: {why}", n + 1)))?;
        writeln!(console.out, "{result}")?;
    }
    Ok(Exit::Ok)
}

/// Runs one case; the error is about the case, not the script.
fn one(case: &Value, trace: bool) -> Result<Value, String> {
    let none = json!({});
    let config = case.get("config").unwrap_or(&none);
    let script = case["script"].as_str().ok_or("`script` is missing")?;
    let message = case["message"].as_str().ok_or("`message` is missing")?;
    let mut options = super::options(config["mode"] != "oms");
    limits(config, &mut options.limits)?;
    let methods = strings(&config["notify_methods"]);
    if !methods.is_empty() {
        options.notify_methods = methods;
    }
    let now = match config["now"].as_str() {
        Some(text) => text
            .parse::<jiff::Timestamp>()
            .map_err(|e| format!("`now`: {e}"))?
            .as_second(),
        None => mta::server::now(),
    };
    let word = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_string();
    let run = Case {
        facts: Facts { now, seed: 7 },
        envelope: envelope(
            word(&case["envelope"]["from"], "sender@example.com"),
            word(&case["envelope"]["to"], "recipient@example.com"),
        ),
        message: Arc::new(Message::new(message.as_bytes())),
        options,
        environment: environment(config),
        virus: config["virus"]["value"]
            .as_u64()
            .and_then(|v| u8::try_from(v).ok()),
        world: world(config),
        trace,
    };
    let level = if config["level"] == "system" {
        Level::System
    } else {
        Level::User
    };
    let mut scripts = vec![(level, "script", script)];
    if let Some(text) = config["user_script"].as_str() {
        scripts.push((Level::User, "user_script", text));
    }
    if let Some(text) = config["system_script"].as_str() {
        scripts.insert(0, (Level::System, "system_script", text));
    }
    let result = match case.get("scripts") {
        Some(all) => run.run(&scripts, &Scripts(all)),
        None => run.run(&scripts, &NoLibrary),
    };
    let mut object = result.map_err(|e| e.to_string())?.to_json();
    if let Some(id) = case.get("id") {
        object["id"] = id.clone();
    }
    Ok(object)
}

fn limits(config: &Value, limits: &mut ActionLimits) -> Result<(), String> {
    for (name, value) in config["options"].as_object().into_iter().flatten() {
        let n = value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| format!("option `{name}` is not a number"))?;
        match name.to_ascii_lowercase().as_str() {
            "max_fileintos" => limits.max_fileintos = n,
            "max_redirects" | "max_forwards" => limits.max_redirects = n,
            "max_addheaders" => limits.max_addheaders = n,
            "max_notifys" => limits.max_notifys = n,
            "max_vacations" => limits.max_vacations = n,
            "max_duplicates" => limits.max_duplicates = n,
            "max_sieve_list_size" => limits.max_sieve_list_size = n,
            "max_variables" => limits.max_variables = n,
            _ => return Err(format!("option `{name}` is unknown here")),
        }
    }
    Ok(())
}

fn environment(config: &Value) -> Vec<(String, String)> {
    let mut all = vec![("name".to_string(), "sluice".to_string())];
    for (name, value) in config["environment"].as_object().into_iter().flatten() {
        all.push((
            name.to_ascii_lowercase(),
            value.as_str().unwrap_or_default().to_string(),
        ));
    }
    all
}

fn strings(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What a case says of the world.
fn world(config: &Value) -> World {
    let entries = |name: &str| config[name].as_object().cloned().into_iter().flatten();
    let mut world = World {
        mailboxes: strings(&config["mailboxes"]).into_iter().collect(),
        special_uses: entries("specialuse").map(|(k, v)| (k, strings(&v))).collect(),
        lists: entries("lists").map(|(k, v)| (k, strings(&v))).collect(),
        mailbox_ids: entries("mailboxids")
            .filter_map(|(k, v)| Some((k, v.as_str()?.to_string())))
            .collect(),
        ..World::default()
    };
    for (mailbox, annotations) in entries("metadata") {
        let mailbox = (!mailbox.is_empty()).then_some(mailbox);
        for (name, value) in annotations.as_object().into_iter().flatten() {
            let key = (mailbox.clone(), name.to_ascii_lowercase());
            world
                .metadata
                .insert(key, value.as_str().unwrap_or_default().to_string());
        }
    }
    for seen in config["duplicates_seen"].as_array().into_iter().flatten() {
        let word = |name: &str| seen[name].as_str().unwrap_or_default().to_string();
        world.duplicates.insert((word("handle"), word("id")));
    }
    world
}
