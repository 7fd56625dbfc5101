//! `sluice user`: adding, listing and removing users, their passwords and their status.
//!
//! Guarantees: a password that is given is neither printed nor logged, and is no argument, which every program
//! on the machine could read; one that is made is printed once. A change that is in the file is a success,
//! whether or not a running server could be told.

use clap::{Arg, ArgAction, ArgMatches, Command};
use mta::configuration::Layout;
use mta::control::Request;
use mta::directory::{self, Status};
use mta::up::{self, NewUser};
use serde::Serialize;

use super::{at, control, dir, json, json_flag};
use crate::argv::UsageError;
use crate::console::{Console, read_line};
use crate::{Exit, Failure};

/// The arguments of `user`.
pub fn define(command: Command) -> Command {
    let of_user = |name: &'static str, about: &'static str| {
        Command::new(name)
            .about(about)
            .arg(
                Arg::new("name")
                    .required(true)
                    .value_name("NAME")
                    .help("The user name"),
            )
            .arg(dir())
    };
    let stdin = || {
        Arg::new("stdin")
            .long("stdin")
            .action(ArgAction::SetTrue)
            .help("Take the password from the first line of standard input; without it one is made")
    };
    let statuses = Status::all().map(Status::as_str);
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(of_user("add", "Add a user with a mailbox").arg(stdin()))
        .subcommand(of_user("password", "Give a user a new password").arg(stdin()))
        .subcommand(
            of_user("status", "Change what is done with a user's logins and mail").arg(
                Arg::new("status")
                    .required(true)
                    .value_name("STATUS")
                    .ignore_case(true)
                    .value_parser(statuses.collect::<Vec<_>>())
                    .help("The new status"),
            ),
        )
        .subcommand(of_user(
            "remove",
            "Take a user out of the users file; the mailbox stays",
        ))
        .subcommand(
            Command::new("list")
                .about("List the users")
                .arg(dir())
                .arg(json_flag("Print one JSON object a user")),
        )
}

/// Runs the subcommand that was called.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some((word, matches)) = matches.subcommand() else {
        return Ok(Exit::Usage);
    };
    let layout = at(matches, console);
    if word == "list" {
        return list(&layout, matches.get_flag("json"), console);
    }
    let name = matches.get_one::<String>("name").map_or("", String::as_str);
    match word {
        "add" => {
            let given = given(matches, console)?;
            let user = up::add_user(&layout, name, given.clone()).map_err(failed)?;
            shown(&user, given.is_some(), "has been added", console)?;
        }
        "password" => {
            let given = given(matches, console)?;
            let user = up::set_password(&layout, name, given.clone()).map_err(failed)?;
            shown(&user, given.is_some(), "has the new password", console)?;
        }
        "status" => {
            let word = matches.get_one::<String>("status").map_or("", String::as_str);
            let Some(status) = Status::parse(word) else {
                return Ok(Exit::Usage);
            };
            directory::edit(&layout.users(), |d| d.set_status(name, status)).map_err(failed)?;
            writeln!(console.out, "User {name} has the status {status}.")?;
        }
        "remove" => {
            let user = directory::edit(&layout.users(), |d| d.remove_user(name)).map_err(failed)?;
            writeln!(
                console.out,
                "User {} is removed. The mailbox stays in {}.",
                user.uid,
                layout.store().join(&user.uid).display()
            )?;
        }
        _ => return Ok(Exit::Usage),
    }
    tell(&layout, console)?;
    Ok(Exit::Ok)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

/// The password of the first line of the input, where that was asked for.
fn given(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Option<String>, Failure> {
    if !matches.get_flag("stdin") {
        return Ok(None);
    }
    if console.interactive {
        let why = "--stdin: a password typed here would be seen on the screen; write it to a pipe or a file";
        return Err(UsageError::Other(why.into()).into());
    }
    match read_line(console.input)? {
        Some(password) if !password.is_empty() => Ok(Some(password)),
        _ => Err(Failure::Failed(
            "the first line of the input is empty; nothing was changed".into(),
        )),
    }
}

/// Says what was done; a password that was made is shown.
fn shown(user: &NewUser, given: bool, done: &str, console: &mut Console<'_>) -> Result<(), Failure> {
    match given {
        true => writeln!(console.out, "User {} {done}.", user.uid)?,
        false => writeln!(
            console.out,
            "User {} has the password {} (shown this once).",
            user.uid, user.password
        )?,
    }
    Ok(())
}

/// Tells the running server of the site, where there is one, that the users file was changed.
fn tell(layout: &Layout, console: &mut Console<'_>) -> Result<(), Failure> {
    if !control::is_running(layout) {
        return Ok(());
    }
    match control::ask(layout, &Request::ReloadUsers) {
        Ok(response) if response.ok => writeln!(console.out, "The running server knows.")?,
        Ok(response) => console.note(&format!(
            "the change is made, but the running server does not take it: {}",
            response.text.trim_end()
        )),
        Err(failure) => console.note(&format!(
            "the change is made, but the running server may not know: {failure}"
        )),
    }
    Ok(())
}

/// A user as `--json` prints it. Of the password, only whether there is one.
#[derive(Serialize)]
struct Row<'a> {
    user: &'a str,
    status: &'a str,
    mail: &'a str,
    aliases: &'a [String],
    host: Option<&'a str>,
    password: bool,
}

fn list(layout: &Layout, as_json: bool, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let loaded = directory::load(&layout.users()).map_err(|e| Failure::Config(e.to_string()))?;
    let rows: Vec<Row<'_>> = loaded
        .directory
        .users()
        .map(|user| Row {
            user: &user.uid,
            status: user.status.as_str(),
            mail: &user.mail,
            aliases: &user.aliases,
            host: user.host.as_deref(),
            password: user.verifier.is_some(),
        })
        .collect();
    let width = rows.iter().map(|r| r.user.len()).max().unwrap_or(0);
    for row in &rows {
        if as_json {
            json(row, console)?;
            continue;
        }
        let mut more = String::new();
        for alias in row.aliases {
            more += &format!(", {alias}");
        }
        if !row.password {
            more += " (no password)";
        }
        writeln!(
            console.out,
            "{:width$}  {:9}  {}{more}",
            row.user, row.status, row.mail
        )?;
    }
    Ok(Exit::Ok)
}
