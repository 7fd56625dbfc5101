//! `sluice explain`: a whole SMTP session played against the policy, or the last ones of the server.

use std::net::IpAddr;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use mta::access::SessionFacts;
use mta::callout::{Callouts, Drivers};
use mta::configuration::Layout;
use mta::control::Request;
use mta::evaluate::Evaluator;
use mta::explain::{Line, lines};
use mta::smtp::command::{Mail, Rcpt};
use mta::transaction::{Admission, Decider};
use policy::Facts;

use super::{block_on, control, layout};
use crate::argv::UsageError;
use crate::console::Console;
use crate::{Exit, Failure};

/// The arguments.
pub fn define(command: Command) -> Command {
    command
        .arg(
            Arg::new("client-ip")
                .long("client-ip")
                .value_name("A")
                .value_parser(clap::value_parser!(IpAddr))
                .required_unless_present("last")
                .help("The client's address"),
        )
        .arg(
            Arg::new("helo")
                .long("helo")
                .value_name("H")
                .default_value("client.example")
                .help("Name given in EHLO"),
        )
        .arg(
            Arg::new("mail-from")
                .long("mail-from")
                .value_name("F")
                .help("Envelope From; empty for the null sender"),
        )
        .arg(
            Arg::new("rcpt-to")
                .long("rcpt-to")
                .value_name("T")
                .action(ArgAction::Append)
                .requires("mail-from")
                .help("Recipient; may be given again"),
        )
        .arg(
            Arg::new("auth")
                .long("auth")
                .value_name("U")
                .help("The client has authenticated as this user"),
        )
        .arg(
            Arg::new("tls")
                .long("tls")
                .action(ArgAction::SetTrue)
                .help("TLS is in use"),
        )
        .arg(
            Arg::new("channel")
                .long("channel")
                .value_name("C")
                .default_value("tcp_local")
                .help("Channel of the service"),
        )
        .arg(
            Arg::new("last")
                .long("last")
                .value_name("N")
                .num_args(0..=1)
                .default_missing_value("1")
                .value_parser(clap::value_parser!(usize))
                .conflicts_with_all([
                    "client-ip",
                    "helo",
                    "mail-from",
                    "rcpt-to",
                    "auth",
                    "tls",
                    "channel",
                ])
                .help("The last N sessions of the running server instead"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help("Entries that did not match one by one, too"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("JSON: one object a step, or a session"),
        )
}

/// Drivers that change nothing, over the users of a site.
pub fn read_only(layout: &Layout) -> Option<Callouts> {
    let directory = mta::directory::load(&layout.users()).ok()?.directory;
    let directory = Arc::new(arc_swap::ArcSwap::from_pointee(directory));
    Some(Callouts::ReadOnly(Arc::new(Drivers::new(
        directory,
        layout.config(),
    ))))
}

/// Explains.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let all = matches.get_flag("all");
    let json = matches.get_flag("json");
    if let Some(last) = matches.get_one::<usize>("last") {
        let response = control::ask(&layout(console), &Request::Explain { last: *last, all })?;
        if json {
            for session in response.data.as_array().into_iter().flatten() {
                writeln!(console.out, "{session}")?;
            }
        } else {
            console.out.write_all(response.text.as_bytes())?;
        }
        return Ok(Exit::Ok);
    }
    let Some(client) = matches.get_one::<IpAddr>("client-ip").copied() else {
        return Ok(Exit::Usage);
    };
    let site_layout = layout(console);
    let configuration = super::load(&site_layout, false, console)?;
    let callouts = match mta::directory::load(&site_layout.users()) {
        Ok(_) => read_only(&site_layout).unwrap_or(Callouts::Nobody),
        Err(error) => {
            console.note(&format!("the users are not known: {error}"));
            Callouts::Nobody
        }
    };
    let facts = Facts {
        now: mta::server::now(),
        seed: mta::server::seed(),
    };
    let evaluator = Evaluator::new(Arc::clone(&configuration.site), callouts.clone(), facts);
    let session = SessionFacts {
        server: Some((IpAddr::from([127, 0, 0, 1]), 25)),
        client: Some((client, 40_000)),
        protocol: "SMTP".into(),
        submit_type: "MAIL".into(),
        channel: matches.get_one::<String>("channel").cloned().unwrap_or_default(),
        ..SessionFacts::default()
    };
    if configuration.site.channel(&session.channel).is_none() {
        return Err(UsageError::Other(format!("--channel: there is no channel {}", session.channel)).into());
    }
    let mut decider = Decider::new(evaluator, session, true);
    let accepted = block_on(play(&mut decider, matches, &callouts))??;
    let records = decider.records.take().unwrap_or_default();
    let printed: Vec<Line> = lines(&records, &configuration.site, all);
    for line in &printed {
        if json {
            let object = serde_json::to_string(line).map_err(|e| Failure::Failed(e.to_string()))?;
            writeln!(console.out, "{object}")?;
        } else {
            writeln!(console.out, "{}", line.text)?;
        }
    }
    Ok(if accepted { Exit::Ok } else { Exit::No })
}

/// Plays the session; says whether all of it was accepted.
async fn play(decider: &mut Decider, matches: &ArgMatches, callouts: &Callouts) -> Result<bool, Failure> {
    let client = decider.facts.client.map(|c| c.0.to_string()).unwrap_or_default();
    decider.say(|| format!("* connection from {client}"));
    if let Admission::Refused { text, .. } = decider.connect().await {
        decider.say(|| format!("S: {text}"));
        return Ok(false);
    }
    decider.say(|| "S: 220".into());
    if matches.get_flag("tls") {
        if let Err(why) = decider.tls_started("TLS-256-TLS_AES_256_GCM_SHA384".into()).await {
            decider.say(|| format!("* {why}"));
            return Ok(false);
        }
        decider.say(|| "* TLS is up".into());
    }
    let helo = matches.get_one::<String>("helo").cloned().unwrap_or_default();
    decider.say(|| format!("C: EHLO {helo}"));
    decider.facts.helo = helo;
    decider.facts.esmtp = true;
    if let Some(user) = matches.get_one::<String>("auth") {
        let directory = callouts.directory();
        let found = directory.as_ref().and_then(|d| d.by_login(user));
        let Some(found) = found else {
            return Err(UsageError::Other(format!("--auth: there is no user {user}")).into());
        };
        decider.say(|| format!("* authenticated as {user}"));
        decider.authenticated(found.uid.clone(), found.mail.clone());
    }
    let Some(from) = matches.get_one::<String>("mail-from").cloned() else {
        return Ok(true);
    };
    decider.say(|| format!("C: MAIL FROM:<{from}>"));
    let reply = decider
        .mail(
            &Mail {
                from,
                ..Mail::default()
            },
            mta::server::now(),
        )
        .await;
    decider.say(|| format!("S: {}", reply.summary()));
    if !reply.is_positive() {
        return Ok(false);
    }
    let mut accepted = true;
    for to in matches.get_many::<String>("rcpt-to").unwrap_or_default() {
        decider.say(|| format!("C: RCPT TO:<{to}>"));
        let reply = decider
            .rcpt(&Rcpt {
                to: to.clone(),
                ..Rcpt::default()
            })
            .await;
        decider.say(|| format!("S: {}", reply.summary()));
        accepted &= reply.is_positive();
    }
    Ok(accepted)
}
