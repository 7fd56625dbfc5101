//! `sluice log`: the entries of the log that are asked for.
//!
//! Entries are read with the site's `LOG_*` options, so the text formats are taken apart as they were written. A
//! line that does not fit them is counted, and passed over.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};
use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, ToSpan as _};
use mta::configuration::Layout;
use mta::log::options::LogOptions;
use mta::log::read::{Parsed, parse_line};
use mta::log::record::{Code, ConnectionRecord, Direction, HeaderRecord, LocalClock, MessageRecord};
use serde_json::{Map, Value};

use super::{at, dir, json, json_flag};
use crate::argv::UsageError;
use crate::console::Console;
use crate::{Exit, Failure};

/// Letters that codes begin with.
const ACTIONS: &str = "EDJQRKWZBVOCXYITU";
/// The longest line that is read, in octets; an entry is never so long.
const LINE_LIMIT: u64 = 1 << 20;
/// The files of a site's log, the oldest first.
const FILES: [&str; 3] = ["mail.log", "mail.log_yesterday", "mail.log_current"];

/// The arguments.
pub fn define(command: Command) -> Command {
    command
        .arg(
            Arg::new("since")
                .long("since")
                .value_name("TIME")
                .help("Entries from then on: `2h` or `3 days` ago, `16:30` of today, `2026-11-24`, `2026-11-24T16:30`; in older files, too"),
        )
        .arg(
            Arg::new("channel")
                .long("channel")
                .value_name("C")
                .help("Entries with this channel as source or destination"),
        )
        .arg(
            Arg::new("address")
                .long("address")
                .value_name("A")
                .help("Entries with this in the sender's or a recipient's address"),
        )
        .arg(
            Arg::new("action")
                .long("action")
                .value_name("LETTERS")
                .help("Entries whose code begins with one of these letters, `RK` for what failed"),
        )
        .arg(json_flag("Print one JSON object an entry"))
        .arg(dir())
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .num_args(0..)
                .help("Files to read, `-` for standard input; else the site's log/mail.log_current"),
        )
}

/// Prints the entries that are asked for; the answer is no where there are none.
pub fn run(matches: &ArgMatches, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let layout = at(matches, console);
    let wanted = Wanted::of(matches)?;
    let options = super::load(&layout, false, console)?.log;
    let mut printer = Printer {
        wanted,
        options,
        as_json: matches.get_flag("json"),
        found: 0,
        unread: 0,
        first_unread: None,
    };
    for file in files(matches, &layout, printer.wanted.since.is_some())? {
        printer.file(&file, console)?;
    }
    if let Some(first) = &printer.first_unread {
        console.note(&format!(
            "{} line(s) are no entries as the LOG_ options have them now; the first is {first}",
            printer.unread
        ));
    }
    Ok(if printer.found > 0 { Exit::Ok } else { Exit::No })
}

/// The files to read. Without names they are the site's, of which any may be missing.
fn files(matches: &ArgMatches, layout: &Layout, old_ones: bool) -> Result<Vec<PathBuf>, Failure> {
    if let Some(named) = matches.get_many::<String>("file") {
        return Ok(named.map(PathBuf::from).collect());
    }
    let names = if old_ones { &FILES[..] } else { &FILES[2..] };
    let found: Vec<PathBuf> = names
        .iter()
        .map(|name| layout.log().join(name))
        .filter(|path| path.exists())
        .collect();
    if found.is_empty() {
        let folder = layout.log();
        return Err(Failure::Failed(format!(
            "there is no log in {}; name the site with --dir",
            folder.display()
        )));
    }
    Ok(found)
}

/// Which entries are asked for.
struct Wanted {
    since: Option<DateTime>,
    channel: Option<String>,
    /// In lower case.
    address: Option<String>,
    actions: Option<String>,
}

impl Wanted {
    fn of(matches: &ArgMatches) -> Result<Self, Failure> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let since = text("since").map(|text| since(&text, LocalClock::system().now()));
        let actions = text("action").map(|letters| letters.to_ascii_uppercase());
        if let Some(letters) = actions
            .as_ref()
            .filter(|l| l.chars().any(|c| !ACTIONS.contains(c)))
        {
            let message = format!("--action: {letters} is no letters of codes; those are {ACTIONS}");
            return Err(UsageError::Other(message).into());
        }
        Ok(Wanted {
            since: since.transpose()?,
            channel: text("channel"),
            address: text("address").map(|address| address.to_lowercase()),
            actions,
        })
    }

    fn takes(&self, entry: &Parsed<'_>) -> bool {
        let (time, code, channels, addresses) = match entry {
            Parsed::Message(m) => (
                m.time,
                m.code,
                [&*m.source_channel, &*m.destination_channel],
                [&*m.sender, &*m.original_recipient, &*m.recipient],
            ),
            Parsed::Connection(c) => (c.time, c.code, [&*c.channel, ""], ["", "", ""]),
            // it belongs to the entry before it, which says neither
            Parsed::Header(h) => (h.time, Code::default(), ["", ""], ["", "", ""]),
        };
        let is = |wanted: &String| channels.iter().any(|c| c.eq_ignore_ascii_case(wanted));
        let has = |wanted: &String| addresses.iter().any(|a| a.to_lowercase().contains(wanted));
        self.since.is_none_or(|since| time >= since)
            && self.channel.as_ref().is_none_or(is)
            && self.address.as_ref().is_none_or(has)
            && self
                .actions
                .as_ref()
                .is_none_or(|letters| !code.as_str().is_empty() && letters.contains(code.action()))
    }
}

/// A time of the past as people write it, where it is `now`.
fn since(text: &str, now: DateTime) -> Result<DateTime, UsageError> {
    let written = text.trim();
    let ago = || {
        let span: Span = written
            .strip_suffix("ago")
            .unwrap_or(written)
            .trim()
            .parse()
            .ok()?;
        now.checked_sub(span.abs()).ok()
    };
    let found = None
        .or_else(|| written.parse::<DateTime>().ok())
        .or_else(|| Some(written.parse::<Date>().ok()?.to_datetime(Time::midnight())))
        .or_else(|| {
            let today = now.date().to_datetime(written.parse().ok()?);
            // 23:50 said at 00:10 is yesterday's
            match today > now {
                true => today.checked_sub(1.day()).ok(),
                false => Some(today),
            }
        })
        .or_else(ago);
    found.ok_or_else(|| {
        UsageError::Other(format!(
            "--since: {text} is no time; write `2h`, `16:30`, `2026-11-24` or `2026-11-24T16:30`"
        ))
    })
}

struct Printer {
    wanted: Wanted,
    options: LogOptions,
    as_json: bool,
    found: u64,
    unread: u64,
    first_unread: Option<String>,
}

impl Printer {
    fn file(&mut self, path: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        if path == Path::new("-") {
            let mut number = 0;
            let mut line = Vec::new();
            while next_line(&mut *console.input, &mut line)? {
                number += 1;
                self.line(&line, ("standard input", number), console)?;
            }
            return Ok(());
        }
        let shown = path.display().to_string();
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Failure::Failed(format!("there is no file {shown}")));
            }
            Err(error) => return Err(Failure::Failed(format!("cannot read {shown}: {error}"))),
        };
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let (mut number, mut line) = (0, Vec::new());
        while next_line(&mut reader, &mut line)? {
            number += 1;
            self.line(&line, (&shown, number), console)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], place: (&str, u64), console: &mut Console<'_>) -> Result<(), Failure> {
        let text = String::from_utf8_lossy(line);
        let entry = match parse_line(&text, self.options.format, &self.options) {
            Ok(entry) => entry,
            Err(error) => {
                self.unread += 1;
                self.first_unread
                    .get_or_insert_with(|| format!("{}:{}: {error}", place.0, place.1));
                return Ok(());
            }
        };
        if !self.wanted.takes(&entry) {
            return Ok(());
        }
        self.found += 1;
        match self.as_json {
            true => json(&object(&entry), console),
            false => Ok(writeln!(console.out, "{}", text.trim_end_matches(['\r', '\n']))?),
        }
    }
}

/// Reads a line, of [`LINE_LIMIT`] at most; `false` at the end.
fn next_line(reader: &mut (impl BufRead + ?Sized), line: &mut Vec<u8>) -> Result<bool, Failure> {
    line.clear();
    Ok(reader.take(LINE_LIMIT).read_until(b'\n', line)? > 0)
}

/// An entry by the names of its fields; what it does not say is left out.
fn object(entry: &Parsed<'_>) -> Value {
    let mut map = Map::new();
    match entry {
        Parsed::Message(record) => message(record, &mut map),
        Parsed::Connection(record) => connection(record, &mut map),
        Parsed::Header(record) => header(record, &mut map),
    }
    Value::Object(map)
}

fn texts(map: &mut Map<String, Value>, fields: &[(&str, &str)]) {
    for (name, text) in fields.iter().filter(|(_, text)| !text.is_empty()) {
        map.insert((*name).to_string(), (*text).into());
    }
}

fn begin(kind: &str, time: DateTime, node: &str, map: &mut Map<String, Value>) {
    map.insert("time".into(), time.to_string().into());
    map.insert("kind".into(), kind.into());
    texts(map, &[("node", node)]);
}

fn code(code: Code, map: &mut Map<String, Value>) {
    map.insert("action".into(), code.action().to_string().into());
    texts(map, &[("modifiers", code.modifiers())]);
}

fn message(record: &MessageRecord<'_>, map: &mut Map<String, Value>) {
    begin("message", record.time, &record.node, map);
    code(record.code, map);
    // the null sender is one, too
    map.insert("from".into(), record.sender.as_ref().into());
    map.insert("size".into(), record.size.into());
    let fields = [
        ("source_channel", &record.source_channel),
        ("destination_channel", &record.destination_channel),
        ("original_recipient", &record.original_recipient),
        ("recipient", &record.recipient),
        ("file", &record.file_name),
        ("envelope_id", &record.envelope_id),
        ("message_id", &record.message_id),
        ("user", &record.username),
        ("source_system", &record.source_system),
        ("sensitivity", &record.sensitivity),
        ("priority", &record.priority),
        ("intermediate", &record.intermediate),
        ("initial", &record.initial),
        ("uid", &record.uid),
        ("mailbox_uid", &record.mailbox_uid),
        ("filter", &record.filter),
        ("reason", &record.reason),
        ("diagnostic", &record.diagnostic),
        ("remote_mta", &record.remote_mta),
        ("transport", &record.transport),
        ("application", &record.application),
        ("auth_sender", &record.auth_sender),
        ("imap_flags", &record.imap_flags),
        ("delivery_flags", &record.delivery_flags),
        ("conversion_tag", &record.conversion_tag),
        ("hash", &record.hash),
        ("tracking", &record.tracking),
        ("timers", &record.timers),
        ("transaction_log", &record.transaction_log),
    ];
    texts(map, &fields.map(|(name, text)| (name, text.as_ref())));
    if let Some(flags) = record.notary_flags {
        map.insert("notary_flags".into(), flags.into());
    }
    if let Some(seconds) = record.queue_time {
        map.insert("queue_seconds".into(), seconds.into());
    }
}

fn connection(record: &ConnectionRecord<'_>, map: &mut Map<String, Value>) {
    begin("connection", record.time, &record.node, map);
    code(record.code, map);
    let direction = match record.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    let fields = [
        ("channel", record.channel.as_ref()),
        ("direction", direction),
        ("transport", &record.transport),
        ("application", &record.application),
        ("tag", &record.tag),
        ("user", &record.username),
        ("diagnostic", &record.diagnostic),
    ];
    texts(map, &fields);
    if let Some(seconds) = record.open_seconds {
        map.insert("open_seconds".into(), seconds.into());
    }
}

fn header(record: &HeaderRecord<'_>, map: &mut Map<String, Value>) {
    begin("header", record.time, &record.node, map);
    texts(map, &[("line", &record.line)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = jiff::civil::date(2026, 11, 24).at(16, 30, 0, 0);
        for (text, expected) in [
            ("2h", Some("2026-11-24T14:30:00")),
            ("90 minutes ago", Some("2026-11-24T15:00:00")),
            ("3 days", Some("2026-11-21T16:30:00")),
            ("16:00", Some("2026-11-24T16:00:00")),
            ("16:45", Some("2026-11-23T16:45:00")),
            ("2026-11-20", Some("2026-11-20T00:00:00")),
            ("2026-11-20T08:15", Some("2026-11-20T08:15:00")),
            ("2026-11-20 08:15:30", Some("2026-11-20T08:15:30")),
            ("yesterday", None),
            ("", None),
        ] {
            let got = since(text, now).ok().map(|time| time.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }
}
