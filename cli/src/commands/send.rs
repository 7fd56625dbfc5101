//! `sluice send`: a small SMTP client, so that trying a site needs nothing else.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use mta::smtp::client::{
    ClientOptions, Connection, Outgoing, OutgoingRecipient, RecipientOutcome, Target, Unguarded,
};
use store::envelope::{Failure as Refusal, Notify};

use super::{block_on, layout};
use crate::console::Console;
use crate::{Exit, Failure};

/// The arguments.
pub fn define(command: Command) -> Command {
    command
        .arg(
            Arg::new("to")
                .long("to")
                .required(true)
                .action(ArgAction::Append)
                .value_name("ADDRESS")
                .help("Recipient; may be given again"),
        )
        .arg(
            Arg::new("from")
                .long("from")
                .default_value("tester@example.com")
                .value_name("ADDRESS")
                .help("Envelope From; empty for none"),
        )
        .arg(
            Arg::new("subject")
                .long("subject")
                .default_value("A test")
                .value_name("TEXT")
                .help("Subject"),
        )
        .arg(
            Arg::new("body")
                .long("body")
                .default_value("Hello.")
                .value_name("TEXT")
                .help("Text of the message"),
        )
        .arg(
            Arg::new("server")
                .long("server")
                .value_name("HOST:PORT")
                .help("Where to; the running site's SMTP port if not given"),
        )
        .arg(
            Arg::new("client-ip")
                .long("client-ip")
                .value_name("IP")
                .value_parser(clap::value_parser!(IpAddr))
                .help("Local address to send from, such as 127.0.0.2"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("One JSON object a recipient"),
        )
}

/// Sends one message.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let address = match matches.get_one::<String>("server") {
        Some(server) => resolve(server)?,
        None => running(console)?,
    };
    let (from, to): (String, Vec<String>) = (
        text("from"),
        matches
            .get_many::<String>("to")
            .unwrap_or_default()
            .cloned()
            .collect(),
    );
    let clean = |t: String| t.replace(['\r', '\n'], " ");
    let content = format!(
        "From: <{}>\r\nTo: {}\r\nSubject: {}\r\nDate: {}\r\n\r\n{}\r\n",
        clean(from.clone()),
        clean(to.iter().map(|t| format!("<{t}>")).collect::<Vec<_>>().join(", ")),
        clean(text("subject")),
        mta::transaction::date(&jiff::Zoned::now()),
        text("body").replace("\r\n", "\n").replace('\n', "\r\n"),
    );
    let options = ClientOptions {
        helo: "localhost".into(),
        bind: matches.get_one::<IpAddr>("client-ip").copied(),
        ..ClientOptions::default()
    };
    let outcomes = block_on(send(address, options, &from, &to, &content))??;
    let mut exit = Exit::Ok;
    for (to, outcome) in to.iter().zip(outcomes) {
        let (ok, said) = match outcome {
            RecipientOutcome::Delivered { reply } => (true, reply),
            RecipientOutcome::Failed(Refusal { diagnostic, .. })
            | RecipientOutcome::Deferred(Refusal { diagnostic, .. }) => (false, diagnostic),
        };
        if !ok {
            exit = Exit::No;
        }
        if matches.get_flag("json") {
            writeln!(
                console.out,
                "{}",
                serde_json::json!({"to": to, "accepted": ok, "reply": said})
            )?;
        } else {
            writeln!(
                console.out,
                "{to}: {} {said}",
                if ok { "accepted," } else { "refused," }
            )?;
        }
    }
    Ok(exit)
}

async fn send(
    address: SocketAddr,
    options: ClientOptions,
    from: &str,
    to: &[String],
    content: &str,
) -> Result<Vec<RecipientOutcome>, Failure> {
    let target = Target {
        host: address.ip().to_string(),
        address,
    };
    let mut connection = Connection::open(&target, &Arc::new(options), &mut Unguarded)
        .await
        .map_err(|e| Failure::Failed(format!("{}: {}", address, e.failure().diagnostic)))?;
    let recipients = to
        .iter()
        .map(|address| OutgoingRecipient {
            address,
            original: "",
            notify: Notify::default(),
        })
        .collect();
    let outgoing = Outgoing {
        from,
        recipients,
        ..Outgoing::default()
    };
    let outcome = connection.send(&outgoing, content.as_bytes()).await;
    connection.quit().await;
    Ok(outcome.recipients)
}

fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let with_port = if server
        .rsplit_once(':')
        .is_some_and(|(_, p)| p.parse::<u16>().is_ok())
    {
        server.to_string()
    } else {
        format!("{server}:25")
    };
    let found = with_port.to_socket_addrs().ok().and_then(|mut a| a.next());
    found.ok_or_else(|| Failure::Failed(format!("{server} is not a host and port")))
}

/// The SMTP port of the site's running server.
fn running(console: &Console<'_>) -> Result<SocketAddr, Failure> {
    let path = layout(console).listening();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("SMTP plain "));
    let address = line
        .and_then(|l| l.rsplit(' ').next())
        .and_then(|a| a.parse().ok());
    address.ok_or_else(|| {
        Failure::Failed(format!(
            "no server runs on {}; start one with `sluice up`, or name one with --server",
            console.site.display()
        ))
    })
}
