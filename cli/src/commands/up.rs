//! `sluice up`: starts the server on a site, which is made first where there is none.

use clap::{Arg, ArgMatches, Command};
use mta::configuration::{Layout, conf};
use mta::metermaid::settings::Settings;
use mta::server::{Running, Server, StartError};
use mta::up::{NewSite, create, exists};

use super::{at, block_on, report};
use crate::console::Console;
use crate::privileges::{Privileges, drop_privileges, raise_file_limit};
use crate::{Exit, Failure};

/// The arguments of `up`.
pub fn define(command: Command) -> Command {
    command
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("D")
                .help("The site's folder; made where it is not there"),
        )
        .arg(
            Arg::new("host")
                .long("host")
                .value_name("H")
                .help("Name of this machine, for a new site"),
        )
        .arg(
            Arg::new("domain")
                .long("domain")
                .value_name("D")
                .help("Mail domain, for a new site"),
        )
        .arg(
            Arg::new("port")
                .long("port")
                .value_name("P")
                .value_parser(clap::value_parser!(u16))
                .help("Port of SMTP, for a new site (2525); 0: any free ports"),
        )
}

/// Starts the server and serves until it is told to stop.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let layout = at(matches, console);
    if exists(&layout) {
        for option in ["host", "domain", "port"] {
            if matches.contains_id(option) {
                console.note(&format!(
                    "--{option} is for a new site; {} is there already and is used as it is",
                    layout.root.display()
                ));
            }
        }
    } else {
        let host = matches
            .get_one::<String>("host")
            .cloned()
            .unwrap_or_else(machine_name);
        let domain = matches
            .get_one::<String>("domain")
            .cloned()
            .unwrap_or_else(|| domain_of(&host));
        let port = matches.get_one::<u16>("port").copied().unwrap_or(2525);
        let users = create(
            &layout,
            &NewSite {
                host: host.clone(),
                domain: domain.clone(),
                port,
            },
        )
        .map_err(|e| Failure::Failed(e.to_string()))?;
        writeln!(
            console.out,
            "A new site for {domain} on host {host} is in {}.",
            layout.root.display()
        )?;
        for user in users {
            writeln!(
                console.out,
                "User {} has the password {} (shown this once).",
                user.uid, user.password
            )?;
        }
        writeln!(console.out)?;
    }
    give_up_privileges(&layout, console)?;
    block_on(serve(layout, console))?
}

/// Before the first thread of a server.
fn give_up_privileges(layout: &Layout, console: &mut Console<'_>) -> Result<(), Failure> {
    raise_file_limit();
    let privileges = drop_privileges(&layout.root).map_err(|error| {
        let root = layout.root.display();
        Failure::Failed(format!("cannot become the owner of {root}: {error}"))
    })?;
    match privileges {
        Privileges::None => {}
        Privileges::Owner(uid) => console.note(&format!("the server runs as user {uid}, the owner of its site")),
        Privileges::Root => console.note(
            "the server runs as root; give its site to a user of its own with `chown -R`, then it runs as that one",
        ),
    }
    Ok(())
}

async fn serve(layout: Layout, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let running = match Server::start(layout).await {
        Ok(running) => running,
        Err(StartError::Configuration(error)) => return Err(report(&error, console)?),
        Err(error) => return Err(Failure::Failed(error.to_string())),
    };
    // where nobody reads what the server says, or a disk is full, it serves all the same
    let _ = introduce(&running, console);
    let _ = console.out.flush();
    wait().await;
    let stopping = "\nStopping: sessions and deliveries in hand end first.";
    let _ = writeln!(console.out, "{stopping}").and_then(|()| console.out.flush());
    running.stop().await;
    Ok(Exit::Ok)
}

/// Serves the site's MeterMaid tables alone, until it is told to stop.
pub fn run_metermaid(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let layout = at(matches, console);
    let conf = match conf(&layout) {
        Ok(conf) => conf,
        Err(error) => return Err(report(&error, console)?),
    };
    let settings = Settings::parse(&conf).map_err(|e| Failure::Config(e.to_string()))?;
    for warning in &settings.warnings {
        console.note(warning);
    }
    let Some(server) = settings.server.clone() else {
        return Err(Failure::Config(
            "metermaid.config.secret is not set in msg.conf; clients need the same".into(),
        ));
    };
    give_up_privileges(&layout, console)?;
    block_on(async {
        let listener = tokio::net::TcpListener::bind((server.listen, server.port))
            .await
            .map_err(|e| {
                Failure::Failed(format!(
                    "cannot listen on {} port {}: {e}",
                    server.listen, server.port
                ))
            })?;
        let tables = settings.tables.len();
        writeln!(
            console.out,
            "MeterMaid serves {tables} table(s) on {}.",
            listener.local_addr()?
        )?;
        console.out.flush()?;
        let engine = mta::metermaid::server::Server::new(settings.make_tables(), server.secret);
        tokio::select! {
            () = engine.serve(listener) => {}
            () = wait() => {}
        }
        Ok(Exit::Ok)
    })?
}

/// Waits for Ctrl-C or a request to terminate.
async fn wait() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

fn introduce(running: &Running, console: &mut Console<'_>) -> Result<(), Failure> {
    let configuration = running.server.configuration.load_full();
    let site = &configuration.site;
    for d in &site.diagnostics {
        let _ = writeln!(console.err, "{}\n", d.render(&site.sources, console.colour));
    }
    for warning in &configuration.metermaid.warnings {
        console.note(warning);
    }
    if let Some((_, address)) = &running.server.metermaid {
        writeln!(console.out, "  {:<12} {address}", "MeterMaid")?;
    }
    for note in configuration.stale_notes() {
        console.note(&note);
    }
    let r = &running.recovery;
    for problem in &r.problems {
        console.note(&format!("the queue: {problem}"));
    }
    writeln!(
        console.out,
        "Sluice {} runs as {}.",
        env!("CARGO_PKG_VERSION"),
        site.host()
    )?;
    let mut smtp = None;
    for (service, tls, address) in &running.listening {
        let how = if *tls { " (TLS from the first octet)" } else { "" };
        writeln!(console.out, "  {service:<12} {address}{how}")?;
        if service == "SMTP" && !tls {
            smtp = smtp.or(Some(*address));
        }
    }
    if r.entries > 0 {
        writeln!(console.out, "  {} message(s) were in the queue.", r.entries)?;
    }
    let directory = running.server.directory.load();
    let domain = directory.default_domain().unwrap_or("example.com");
    let user = directory.users().next().map_or("alice", |u| u.uid.as_str());
    let server = smtp.map_or("127.0.0.1:2525".to_string(), |a| a.to_string());
    let dir = running.server.layout.root.display();
    let default = dir.to_string() == "./sluice-site";
    let set = if default {
        String::new()
    } else {
        format!("SLUICE_SITE={dir} ")
    };
    writeln!(
        console.out,
        "\nThings to try, in another window:\n\
         \x20 {set}sluice send --to {user}@{domain} --subject Hello      a mail, and where it went:\n\
         \x20     ls {dir}/store/{user}/Maildir/new\n\
         \x20 {set}sluice explain --client-ip 192.0.2.1 --helo x --mail-from a@b.example --rcpt-to c@d.example\n\
         \x20     why a stranger may not relay, without sending anything\n\
         \x20 edit {dir}/config/mappings, then\n\
         \x20     {set}imsimta test -mapping -table=ORIG_SEND_ACCESS    what it would do\n\
         \x20     {set}imsimta reload                                   put it in force\n\
         SMTP is on {server}. Ctrl-C stops the server."
    )?;
    Ok(())
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    let ok = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    match (ok, name.contains('.')) {
        (false, _) => "mail.example.com".into(),
        (true, true) => name,
        (true, false) => format!("{name}.example.com"),
    }
}

/// The domain of a host: its name without the first label, if two labels are left.
fn domain_of(host: &str) -> String {
    match host.split_once('.') {
        Some((_, rest)) if rest.contains('.') => rest.to_string(),
        _ => host.to_string(),
    }
}
