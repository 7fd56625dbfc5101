//! `imsimta qm`: looking at the queue, and return, release, hold, delete (queue specification 15).
//!
//! Guarantees: nothing is touched that was not asked for. A number means a line of the last listing of this
//! session, and nothing where there was none; `-channel` narrows what `-all` takes; a qualifier that is not
//! known is an error; and before `-all` takes messages away, a person is asked.

mod choice;
mod show;

use mta::control::{QueueEntry, Request};

use super::{control, layout};
use crate::argv::{Argument, Parsed, Qualifier, Takes, Usage, UsageError};
use crate::console::{Console, read_line};
use crate::{Exit, Failure};

/// What a session at the prompt remembers; a call from the shell is a session of one subcommand.
#[derive(Default)]
struct Session {
    /// The last listing, where there was one.
    listing: Option<Vec<QueueEntry>>,
}

/// One subcommand.
struct Subcommand {
    /// Its word; any beginning that is no other's will do.
    name: &'static str,
    usage: Usage,
    run: fn(&Parsed, &mut Session, &mut Console<'_>) -> Result<Exit, Failure>,
}

const JSON: Qualifier = Qualifier::new("json", Takes::Nothing, false, "print one JSON object a line");
const ENVELOPE: Qualifier = Qualifier::new("envelope", Takes::Nothing, true, "sender and recipients, too");
const CHANNEL: Argument = Argument {
    name: "CHANNEL",
    help: "this channel alone",
    many: false,
};
const THE_CHANNEL: Argument = Argument {
    name: "CHANNEL",
    help: "the channel",
    many: false,
};
const NUMBERS: &[Argument] = &[Argument {
    name: "NUMBER",
    help: "messages of the last listing: 3, 1-5 or 1,3,7; only at the prompt",
    many: true,
}];
const OF_CHANNEL: Qualifier = Qualifier::new(
    "channel",
    Takes::Required("C"),
    false,
    "of what -all takes, this channel alone",
);
const ALL: Qualifier = Qualifier::new(
    "all",
    Takes::Nothing,
    false,
    "all messages of the last listing; all of the queue where there was none",
);
const ID: Qualifier = Qualifier::new(
    "id",
    Takes::Required("ID,..."),
    false,
    "messages by the ids that `directory -json` shows",
);
const CONFIRM: Qualifier = Qualifier::new(
    "confirm",
    Takes::Nothing,
    true,
    "ask first; at a terminal -all always asks, unless -noconfirm is given",
);
const CHOICE: &[Qualifier] = &[ALL, OF_CHANNEL, ID, CONFIRM, JSON];
const ACT: &[Qualifier] = &[
    ALL,
    OF_CHANNEL,
    ID,
    CONFIRM,
    Qualifier::new("log", Takes::Nothing, true, "say each message (default)"),
    JSON,
];

const fn usage(
    command: &'static str,
    about: &'static str,
    arguments: &'static [Argument],
    qualifiers: &'static [Qualifier],
) -> Usage {
    Usage {
        command,
        about,
        arguments,
        qualifiers,
        notes: "",
    }
}

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "directory",
        usage: usage(
            "imsimta qm directory",
            "List the messages in the queue",
            &[CHANNEL],
            &[
                ENVELOPE,
                Qualifier::new("held", Takes::Nothing, true, "held messages alone"),
                JSON,
            ],
        ),
        run: |parsed, session, console| show::directory(parsed, parsed.is_set("held"), session, console),
    },
    Subcommand {
        name: "held",
        usage: usage(
            "imsimta qm held",
            "List the held messages",
            &[CHANNEL],
            &[ENVELOPE, JSON],
        ),
        run: |parsed, session, console| show::directory(parsed, true, session, console),
    },
    Subcommand {
        name: "messages",
        usage: usage(
            "imsimta qm messages",
            "Count the ready and delayed messages of each host",
            &[CHANNEL],
            &[JSON],
        ),
        run: |parsed, _, console| show::messages(parsed, console),
    },
    Subcommand {
        name: "summarize",
        usage: usage(
            "imsimta qm summarize",
            "Count the messages of each channel",
            &[],
            &[JSON],
        ),
        run: |parsed, _, console| show::summarize(parsed, console),
    },
    Subcommand {
        name: "history",
        usage: usage(
            "imsimta qm history",
            "Show the last failure of messages",
            NUMBERS,
            CHOICE,
        ),
        run: history,
    },
    Subcommand {
        name: "release",
        usage: usage(
            "imsimta qm release",
            "Release held messages; try others at once",
            NUMBERS,
            ACT,
        ),
        run: |parsed, session, console| {
            act(
                parsed,
                "release",
                |ids| Request::Release { ids },
                session,
                console,
            )
        },
    },
    Subcommand {
        name: "hold",
        usage: usage(
            "imsimta qm hold",
            "Hold messages: they are kept and not tried",
            NUMBERS,
            ACT,
        ),
        run: |parsed, session, console| act(parsed, "hold", |ids| Request::Hold { ids }, session, console),
    },
    Subcommand {
        name: "delete",
        usage: usage(
            "imsimta qm delete",
            "Delete messages; nobody is told",
            NUMBERS,
            ACT,
        ),
        run: |parsed, session, console| {
            act(parsed, "delete", |ids| Request::Delete { ids }, session, console)
        },
    },
    Subcommand {
        name: "return",
        usage: usage(
            "imsimta qm return",
            "Return messages to their senders",
            NUMBERS,
            ACT,
        ),
        run: |parsed, session, console| {
            act(parsed, "return", |ids| Request::Return { ids }, session, console)
        },
    },
    Subcommand {
        name: "stop",
        usage: usage(
            "imsimta qm stop",
            "Stop the deliveries of a channel, until it is started again or the server restarts",
            &[THE_CHANNEL],
            &[JSON],
        ),
        run: |parsed, _, console| channel(parsed, |channel| Request::StopChannel { channel }, console),
    },
    Subcommand {
        name: "start",
        usage: usage(
            "imsimta qm start",
            "Start the deliveries of a stopped channel",
            &[THE_CHANNEL],
            &[JSON],
        ),
        run: |parsed, _, console| channel(parsed, |channel| Request::StartChannel { channel }, console),
    },
];

/// The command lines of all subcommands.
pub fn usages() -> impl Iterator<Item = &'static Usage> {
    SUBCOMMANDS.iter().map(|s| &s.usage)
}

/// `imsimta qm`.
pub fn run(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut session = Session::default();
    if !args.is_empty() {
        return command(args, &mut session, console);
    }
    loop {
        console.prompt("qm.maint> ")?;
        let Some(line) = read_line(console.input)? else {
            return Ok(Exit::Ok);
        };
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        match words.first().map(|w| w.to_ascii_lowercase()).as_deref() {
            None => {}
            Some("exit" | "quit") => return Ok(Exit::Ok),
            Some(_) => match command(&words, &mut session, console) {
                Err(failure @ Failure::Stream { .. }) => return Err(failure),
                Err(failure) => writeln!(console.err, "{failure}")?,
                Ok(_) => {}
            },
        }
    }
}

fn command(args: &[String], session: &mut Session, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some((word, rest)) = args.split_first() else {
        return Ok(Exit::Usage);
    };
    if crate::imsimta::wants_help(word) || word.eq_ignore_ascii_case("help") {
        return match rest.first() {
            Some(about) => {
                console.out.write_all(find(about)?.usage.help().as_bytes())?;
                Ok(Exit::Ok)
            }
            None => help(console),
        };
    }
    let subcommand = find(word)?;
    match subcommand.usage.read(rest, console)? {
        Some(parsed) => (subcommand.run)(&parsed, session, console),
        None => Ok(Exit::Ok),
    }
}

/// The subcommand that a word, or the beginning of one, means.
fn find(word: &str) -> Result<&'static Subcommand, UsageError> {
    let name = word.to_ascii_lowercase();
    let fits: Vec<&Subcommand> = SUBCOMMANDS
        .iter()
        .filter(|s| !name.is_empty() && s.name.starts_with(&name))
        .collect();
    match fits.as_slice() {
        [one] => Ok(one),
        [] => {
            let names: Vec<String> = SUBCOMMANDS.iter().map(|s| s.name.to_string()).collect();
            Err(UsageError::Command {
                word: format!("qm {word}"),
                program: "imsimta qm",
                nearest: policy::spelling::nearest(&name, names.iter()).map(|n| format!("qm {n}")),
            })
        }
        several => {
            let fits: Vec<&str> = several.iter().map(|s| s.name).collect();
            Err(UsageError::Other(format!(
                "`{word}` is short for several subcommands: {}; write one more letter",
                fits.join(", ")
            )))
        }
    }
}

fn help(console: &mut Console<'_>) -> Result<Exit, Failure> {
    let rows = SUBCOMMANDS.iter().map(|s| (s.name, s.usage.about));
    let rows = rows.chain([
        ("help", "print this, or the help of a subcommand"),
        ("exit", "leave the prompt"),
    ]);
    let title = "Look at the mail queue and work on it";
    let text = crate::imsimta::list(title, "imsimta qm SUBCOMMAND", "Subcommands", "", rows);
    let more = "\nWithout a subcommand, commands are read from the prompt.\n";
    console.out.write_all((text + more).as_bytes())?;
    Ok(Exit::Ok)
}

/// The queue as it is now.
fn queue(console: &Console<'_>) -> Result<Vec<QueueEntry>, Failure> {
    let response = control::ask(&layout(console), &Request::Queue)?;
    serde_json::from_value(response.data)
        .map_err(|e| Failure::Failed(format!("the server's answer cannot be read: {e}")))
}

fn history(parsed: &Parsed, session: &mut Session, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some(chosen) = choice::entries(parsed, "history", false, session, console)? else {
        return Ok(Exit::No);
    };
    // what happened since the listing counts, too
    let now = queue(console)?;
    let current = |id: u64| now.iter().find(|e| e.id == id);
    let mut exit = Exit::Ok;
    for id in chosen {
        match current(id) {
            Some(e) if parsed.is_set("json") => {
                let line =
                    serde_json::json!({"id": e.id, "file": e.file, "attempts": e.attempts, "last": e.last});
                writeln!(console.out, "{line}")?;
            }
            Some(e) => writeln!(
                console.out,
                "{}  {} attempt(s), last: {}",
                e.file, e.attempts, e.last
            )?,
            None => {
                exit = Exit::No;
                writeln!(console.err, "%QM-E-NOFILE, no message {id} in the queue")?;
            }
        }
    }
    Ok(exit)
}

/// Asks the server to do something to the messages that are meant.
fn act(
    parsed: &Parsed,
    word: &str,
    request: fn(Vec<u64>) -> Request,
    session: &mut Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let Some(ids) = choice::entries(parsed, word, true, session, console)? else {
        return Ok(Exit::No);
    };
    let quiet = *parsed.get("log") == crate::argv::Given::Negated;
    let layout = layout(console);
    let mut exit = Exit::Ok;
    for some in ids.chunks(control::IDS_AT_ONCE) {
        let response = control::ask(&layout, &request(some.to_vec()))?;
        if !response.ok {
            exit = Exit::No;
        }
        if parsed.is_set("json") {
            for done in response.data.as_array().into_iter().flatten() {
                if !quiet || done["ok"] == false {
                    writeln!(console.out, "{done}")?;
                }
            }
            continue;
        }
        for line in response.text.lines() {
            if !line.starts_with("%QM-I-") {
                writeln!(console.err, "{line}")?;
            } else if !quiet {
                writeln!(console.out, "{line}")?;
            }
        }
    }
    Ok(exit)
}

/// Stops or starts a channel.
fn channel(
    parsed: &Parsed,
    request: fn(String) -> Request,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let Some(channel) = parsed.arguments.first() else {
        return Err(UsageError::Other("which channel? write its name".into()).into());
    };
    let response = control::ask(&layout(console), &request(channel.to_ascii_lowercase()))?;
    control::answered(&response, parsed.is_set("json"), console)
}
