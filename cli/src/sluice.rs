//! `sluice`: its subcommands, read by clap in the Unix manner.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches};

use crate::console::Console;
use crate::{Exit, Failure, commands, imsimta};

/// One subcommand.
pub struct Subcommand {
    /// The word that calls it.
    pub name: &'static str,
    /// What it does, one line.
    pub about: &'static str,
    /// Adds its arguments.
    pub define: fn(clap::Command) -> clap::Command,
    /// Does it.
    pub run: fn(&ArgMatches, &mut Console<'_>) -> Result<Exit, Failure>,
}

/// The subcommands, in the order of the help. A new one is a new line here.
pub const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "up",
        about: "Start the server; make a site first where there is none",
        define: commands::up::define,
        run: commands::up::run,
    },
    Subcommand {
        name: "metermaid",
        about: "Serve the site's MeterMaid tables, without a mail server",
        define: |command| command.arg(commands::dir()),
        run: commands::up::run_metermaid,
    },
    Subcommand {
        name: "user",
        about: "Add, list and remove users; change their passwords and status",
        define: commands::user::define,
        run: commands::user::run,
    },
    Subcommand {
        name: "send",
        about: "Send a test message",
        define: commands::send::define,
        run: commands::send::run,
    },
    Subcommand {
        name: "probe",
        about: "Say what a policy point would decide",
        define: commands::probe::define,
        run: commands::probe::run,
    },
    Subcommand {
        name: "explain",
        about: "Play an SMTP session against the policy, or explain the last ones of the server",
        define: commands::explain::define,
        run: commands::explain::run,
    },
    Subcommand {
        name: "check",
        about: "Say everything that can be said of a configuration: errors, rules that do nothing, an open relay",
        define: commands::check::define,
        run: commands::check::run,
    },
    Subcommand {
        name: "sieve",
        about: "Check, run, test and format Sieve scripts",
        define: commands::sieve::define,
        run: commands::sieve::run,
    },
    Subcommand {
        name: "log",
        about: "Entries of the log: of an address, a channel, of what failed",
        define: commands::log::define,
        run: commands::log::run,
    },
    Subcommand {
        name: "status",
        about: "Counters of the running server",
        define: commands::control::define_status,
        run: commands::control::status,
    },
    Subcommand {
        name: "imsimta",
        about: "Run a command of imsimta: `sluice imsimta test -match`",
        define: |command| {
            command.disable_help_flag(true).arg(
                Arg::new("arguments")
                    .action(ArgAction::Append)
                    .num_args(0..)
                    .trailing_var_arg(true)
                    .allow_hyphen_values(true)
                    .help("The command and its arguments"),
            )
        },
        run: |matches, console| {
            let args = matches.get_many::<String>("arguments").unwrap_or_default();
            imsimta::run(&args.cloned().collect::<Vec<_>>(), console)
        },
    },
];

/// The program with all its subcommands, as clap knows it.
pub fn command() -> clap::Command {
    let mut command = clap::Command::new("sluice")
        .about("A mail server whose heart is policy")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(
            "Exit codes: 0 done; 1 the answer is no, or it failed; 2 wrong command line;\n\
             3 the configuration does not load.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true);
    for subcommand in SUBCOMMANDS {
        let define = clap::Command::new(subcommand.name).about(subcommand.about);
        command = command.subcommand((subcommand.define)(define));
    }
    command
}

/// Runs the subcommand that the arguments name.
pub fn run(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let words = std::iter::once("sluice").chain(args.iter().map(String::as_str));
    let matches = match command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => {
            let text = error.render().to_string();
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                console.out.write_all(text.as_bytes())?;
                return Ok(Exit::Ok);
            }
            // where nobody reads the reason, the exit code still says that nothing was done
            let _ = console.err.write_all(text.as_bytes());
            return Ok(Exit::Usage);
        }
    };
    let called = matches.subcommand().and_then(|(name, matches)| {
        let found = SUBCOMMANDS.iter().find(|s| s.name == name)?;
        Some((found, matches))
    });
    match called {
        Some((subcommand, matches)) => (subcommand.run)(matches, console),
        None => Ok(Exit::Usage),
    }
}
