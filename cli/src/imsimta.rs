//! `imsimta`: the commands, and which one is meant.

use crate::argv::{self, UsageError};
use crate::console::Console;
use crate::{Exit, Failure, commands, test};

/// One command, or one tool of `imsimta test`.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// The word that calls it, in lower case.
    pub name: &'static str,
    /// What it does, one line.
    pub about: &'static str,
    /// Does it, with the arguments after that word.
    pub run: fn(&[String], &mut Console<'_>) -> Result<Exit, Failure>,
}

/// The commands, in the order of the help. A new one is a new line here.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        about: "try a part of the site's policy without sending mail",
        run: test::run,
    },
    Command {
        name: "qm",
        about: "look at the mail queue and work on it",
        run: commands::qm::run,
    },
    Command {
        name: "cnbuild",
        about: "check and compile the configuration",
        run: commands::control::cnbuild,
    },
    Command {
        name: "reload",
        about: "put the changed configuration in force in the running server",
        run: commands::control::reload,
    },
    Command {
        name: "version",
        about: "print the version",
        run: version,
    },
];

/// Runs the command that the arguments name.
pub fn run(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some((word, rest)) = args.split_first() else {
        return Err(UsageError::Other("a command is missing; `imsimta -help` lists them".into()).into());
    };
    if wants_help(word) || word == "help" {
        let title = "Manage the mail transfer agent and try its policy";
        console
            .out
            .write_all(list(title, "imsimta COMMAND", "Commands", "", rows(COMMANDS)).as_bytes())?;
        return Ok(Exit::Ok);
    }
    if argv::is_qualifier(word) && argv::normal(word) == "version" {
        return version(rest, console);
    }
    match COMMANDS.iter().find(|c| c.name.eq_ignore_ascii_case(word)) {
        Some(command) => (command.run)(rest, console),
        None => {
            let names: Vec<String> = COMMANDS.iter().map(|c| c.name.to_string()).collect();
            Err(UsageError::Command {
                word: word.clone(),
                program: "imsimta",
                nearest: policy::spelling::nearest(word, names.iter()).map(String::from),
            }
            .into())
        }
    }
}

/// Names of commands, each with what it does.
pub fn rows(commands: &[Command]) -> impl Iterator<Item = (&str, &str)> + Clone {
    commands.iter().map(|c| (c.name, c.about))
}

/// Whether an argument asks for help.
pub fn wants_help(arg: &str) -> bool {
    argv::is_qualifier(arg) && matches!(argv::normal(arg).as_str(), "help" | "h" | "?")
}

/// The help of a program or a command that has commands of its own, each with what it does; `dash` stands
/// before their names.
pub fn list<'a>(
    title: &str,
    call: &str,
    heading: &str,
    dash: &str,
    commands: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> String {
    let mut out = format!("{title}\n\nUsage: {call} [arguments]\n\n{heading}:\n");
    let width = commands.clone().map(|(name, _)| name.len()).max().unwrap_or(0) + dash.len();
    for (name, about) in commands {
        let name = format!("{dash}{name}");
        out.push_str(&format!("  {name:width$}  {about}\n"));
    }
    out.push_str(&format!(
        "\n`{call} -help` says more of each.\n\
         Exit codes: 0 done; 1 the answer is no, or it failed; 2 wrong command line; 3 the configuration does \
         not load.\n"
    ));
    out
}

fn version(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    const USAGE: argv::Usage = argv::Usage {
        command: "imsimta version",
        about: "Print the version of this program and the system it was built for",
        arguments: &[],
        qualifiers: &[argv::Qualifier::new(
            "json",
            argv::Takes::Nothing,
            false,
            "print one JSON object",
        )],
        notes: "",
    };
    let Some(parsed) = USAGE.read(args, console)? else {
        return Ok(Exit::Ok);
    };
    if parsed.is_set("json") {
        let version = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "system": std::env::consts::OS,
            "machine": std::env::consts::ARCH,
        });
        commands::json(&version, console)?;
        return Ok(Exit::Ok);
    }
    writeln!(
        console.out,
        "Sluice {} ({} {})",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )?;
    Ok(Exit::Ok)
}
