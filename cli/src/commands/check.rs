//! `sluice check`: everything that can be said of a configuration without running it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use grammar::{Diagnostic, Severity, Sources, Span};
use mta::access::SessionFacts;
use mta::callout::Callouts;
use mta::configuration::{Configuration, read_text};
use mta::evaluate::Evaluator;
use mta::smtp::command::{Mail, Rcpt};
use mta::transaction::{Admission, Decider};
use policy::Facts;

use super::explain::read_only;
use super::{block_on, json, layout};
use crate::console::Console;
use crate::{Exit, Failure};

/// A stranger's address (RFC 5737), and where strangers must not send to.
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const RELAYED: &str = "somebody@elsewhere.example";

/// The arguments.
pub fn define(command: Command) -> Command {
    command
        .arg(Arg::new("dir").value_name("DIR").help("The site's folder"))
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("One JSON object a message"),
        )
}

/// Checks the texts of a site.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if let Some(dir) = matches.get_one::<String>("dir") {
        console.site = PathBuf::from(dir);
    }
    let as_json = matches.get_flag("json");
    let site_layout = layout(console);
    let (sources, diagnostics, configuration) = match read_text(&site_layout) {
        Ok(c) => (c.site.sources.clone(), c.site.diagnostics.clone(), Some(c)),
        Err(e) => (e.sources, e.diagnostics, None),
    };
    for d in &diagnostics {
        say(d, &sources, as_json, console)?;
    }
    let Some(configuration) = configuration else {
        return Err(Failure::Config(format!(
            "{} does not load",
            site_layout.root.display()
        )));
    };
    let open = block_on(relays(
        &configuration,
        read_only(&site_layout).unwrap_or(Callouts::Nobody),
    ))?;
    for channel in &open {
        let span = configuration
            .site
            .channel(channel)
            .map_or(Span::default(), |c| c.span);
        let what =
            format!("an open relay: a stranger ({STRANGER}) on channel {channel} may send to {RELAYED}");
        let d = Diagnostic::error("C030", span, what).help(format!(
            "`sluice explain --client-ip {STRANGER} --channel {channel} --mail-from a@b.example --rcpt-to {RELAYED}` \
             shows why"
        ));
        say(&d, &sources, as_json, console)?;
    }
    let count = |s: Severity| diagnostics.iter().filter(|d| d.severity == s).count();
    if !as_json {
        writeln!(
            console.out,
            "{}: {} warning(s), {} note(s){}",
            site_layout.config().display(),
            count(Severity::Warning),
            count(Severity::Note),
            if open.is_empty() { ", no open relay" } else { "" }
        )?;
    }
    Ok(if open.is_empty() && count(Severity::Warning) == 0 {
        Exit::Ok
    } else {
        Exit::No
    })
}

/// Prints a message about the configuration.
fn say(d: &Diagnostic, sources: &Sources, as_json: bool, console: &mut Console<'_>) -> Result<(), Failure> {
    if as_json {
        return json(&d.to_json(sources), console);
    }
    writeln!(console.out, "{}\n", d.render(sources, console.colour_out))?;
    Ok(())
}

/// Channels of services by which a stranger may relay.
async fn relays(configuration: &Configuration, callouts: Callouts) -> Vec<String> {
    let site = &configuration.site;
    let mut channels: Vec<String> = site.services.iter().map(|s| s.channel.clone()).collect();
    if channels.is_empty() {
        channels.push("tcp_local".into());
    }
    channels.sort();
    channels.dedup();
    let mut open = Vec::new();
    for channel in channels.into_iter().filter(|c| site.channel(c).is_some()) {
        let facts = Facts {
            now: mta::server::now(),
            seed: mta::server::seed(),
        };
        let evaluator = Evaluator::new(Arc::clone(site), callouts.clone(), facts);
        let session = SessionFacts {
            server: Some((IpAddr::from([192, 0, 2, 2]), 25)),
            client: Some((STRANGER, 40_000)),
            protocol: "SMTP".into(),
            submit_type: "MAIL".into(),
            channel: channel.clone(),
            helo: "stranger.example".into(),
            esmtp: true,
            ..SessionFacts::default()
        };
        let mut decider = Decider::new(evaluator, session, false);
        if matches!(decider.connect().await, Admission::Refused { .. }) {
            continue;
        }
        let mail = Mail {
            from: "a@b.example".into(),
            ..Mail::default()
        };
        if !decider.mail(&mail, mta::server::now()).await.is_positive() {
            continue;
        }
        let rcpt = Rcpt {
            to: RELAYED.into(),
            ..Rcpt::default()
        };
        if decider.rcpt(&rcpt).await.is_positive() {
            open.push(channel);
        }
    }
    open
}
