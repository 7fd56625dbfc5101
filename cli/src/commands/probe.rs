//! `sluice probe TABLE PROBE`: what a policy point would decide.

use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use grammar::Sources;
use mta::access::{Point, ReplyFacts};
use mta::callout::Callouts;
use mta::evaluate::{Evaluator, Question};
use policy::Facts;
use policy::mapping::FlagSet;
use policy::site::Site;

use super::{block_on, json, layout};
use crate::argv::UsageError;
use crate::console::Console;
use crate::{Exit, Failure};

/// The arguments.
pub fn define(command: Command) -> Command {
    command
        .arg(
            Arg::new("table")
                .required(true)
                .value_name("TABLE")
                .help("ORIG_SEND_ACCESS, PORT_ACCESS ..."),
        )
        .arg(
            Arg::new("probe")
                .required(true)
                .value_name("PROBE")
                .allow_hyphen_values(true)
                .help("The probe, fields separated by `|`"),
        )
        .arg(
            Arg::new("flags")
                .long("flags")
                .value_name("X")
                .default_value("")
                .help("Input flags, such as AT"),
        )
        .arg(
            Arg::new("mapping-file")
                .long("mapping-file")
                .value_name("F")
                .help("A mapping file instead of the site's"),
        )
        .arg(
            Arg::new("sasl-offered")
                .long("sasl-offered")
                .action(ArgAction::SetTrue)
                .help("The client could still authenticate"),
        )
        .arg(
            Arg::new("debug")
                .long("debug")
                .action(ArgAction::SetTrue)
                .help("Print the trace, too; with --json on standard error"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print one JSON object"),
        )
}

/// Decides one probe.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let table = text("table");
    let Some(point) = Point::by_table(&table) else {
        let all: Vec<&str> = Point::ALL.iter().map(|p| p.table()).collect();
        return Err(UsageError::Other(format!(
            "{table} is not a policy point; those are {}",
            all.join(", ")
        ))
        .into());
    };
    let site = match matches.get_one::<String>("mapping-file") {
        Some(file) => from_file(file, console)?,
        None => Arc::clone(&super::load(&layout(console), false, console)?.site),
    };
    let callouts = super::explain::read_only(&layout(console));
    let flags = FlagSet::of(&text("flags"));
    let probe = text("probe");
    let facts = Facts {
        now: mta::server::now(),
        seed: mta::server::seed(),
    };
    let mut evaluator = Evaluator::new(Arc::clone(&site), callouts.unwrap_or(Callouts::Nobody), facts);
    evaluator.record = Some(Vec::new());
    let exists = site.program.table(point.table()).is_some();
    let result =
        block_on(evaluator.map(point.table(), &probe, flags))?.map_err(|e| Failure::Failed(e.to_string()))?;
    let reply = ReplyFacts {
        sasl_offered: matches.get_flag("sasl-offered"),
        address: point.address_in(&probe),
        access_errors: site.options.number("ACCESS_ERRORS", 0) != 0,
        ..ReplyFacts::default()
    };
    let decision = point.decide(result.as_ref(), &reply);
    let as_json = matches.get_flag("json");
    if matches.get_flag("debug") {
        for evaluation in evaluator.record.iter().flatten() {
            let Question::Mapping { .. } = evaluation.question else {
                continue;
            };
            let trace = policy::trace::render(&evaluation.replay(false), &site.sources);
            let to = if as_json {
                &mut *console.err
            } else {
                &mut *console.out
            };
            to.write_all(trace.as_bytes())?;
        }
    }
    if !exists {
        console.note(&format!(
            "there is no table {}: everything is allowed there",
            point.table()
        ));
    }
    if as_json {
        json(&decision, console)?;
    } else {
        writeln!(
            console.out,
            "{}",
            if decision.accepted { "allowed" } else { "refused" }
        )?;
        if let Some(reply) = &decision.reply {
            writeln!(console.out, "reply: {reply}")?;
        }
        if let Ok(serde_json::Value::Object(effects)) = serde_json::to_value(&decision.effects) {
            for (name, value) in effects {
                writeln!(console.out, "{name}: {value}")?;
            }
        }
        if result.is_none_or(|r| r.matched == 0) && exists {
            writeln!(console.out, "no entry matched")?;
        }
    }
    Ok(if decision.accepted { Exit::Ok } else { Exit::No })
}

/// A site of one mapping file.
fn from_file(file: &str, console: &mut Console<'_>) -> Result<Arc<Site>, Failure> {
    let text =
        std::fs::read_to_string(file).map_err(|e| Failure::Config(format!("cannot read {file}: {e}")))?;
    let mut sources = Sources::new();
    let id = sources.add(file, text);
    let mut diagnostics = Vec::new();
    let site_layout = layout(console);
    let reader = |name: &str| mta::configuration::include(&site_layout, name);
    let parsed = grammar::mapping::parse(&mut sources, id, &reader, &mut diagnostics);
    let program = policy::program::Program::from_mappings(&parsed, &mut diagnostics);
    if grammar::diagnostic::has_errors(&diagnostics) {
        return Err(super::report(
            &policy::site::LoadError { sources, diagnostics },
            console,
        )?);
    }
    Ok(Arc::new(Site::of_program(program, sources, diagnostics)))
}
