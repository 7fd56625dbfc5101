//! `imsimta qm`: looking at the queue, and return, release, hold, delete (queue specification 15).

use mta::control::{QueueEntry, Request};

use super::{control, layout};
use crate::argv::UsageError;
use crate::console::{Console, read_line};
use crate::{Exit, Failure};

const HELP: &str = "\
Look at the mail queue and work on it

Usage: imsimta qm [SUBCOMMAND]

Without a subcommand, commands are read from the prompt; numbers are those of the last listing.

  directory [-held] [-envelope] [-json] [CHANNEL]   messages in the queue
  messages CHANNEL                                  ready and delayed messages of each host
  release|hold|delete|return -channel=C -all        all messages of a channel
  release|hold|delete|return NUMBER...              messages of the last listing (at the prompt)
  summarize                                         messages of each channel
  stop|start CHANNEL                                stop or start the processing of a channel
  history [NUMBER...]                               the last failure of messages
  exit
";

/// `imsimta qm`.
pub fn run(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut listing = Vec::new();
    if !args.is_empty() {
        return command(args, &mut listing, console);
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
            Some(_) => {
                if let Err(error) = command(&words, &mut listing, console) {
                    writeln!(console.err, "{error}")?;
                }
            }
        }
    }
}

fn command(
    args: &[String],
    listing: &mut Vec<QueueEntry>,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let Some((word, rest)) = args.split_first() else {
        return Ok(Exit::Usage);
    };
    let word = word.to_ascii_lowercase();
    let qualifiers: Vec<String> = rest
        .iter()
        .filter(|a| a.starts_with('-'))
        .map(|a| a.trim_start_matches('-').to_ascii_lowercase())
        .collect();
    let has = |name: &str| {
        qualifiers
            .iter()
            .any(|q| !q.is_empty() && name.starts_with(q.as_str()))
    };
    let value = |name: &str| {
        qualifiers.iter().find_map(|q| {
            q.split_once('=')
                .filter(|(k, _)| !k.is_empty() && name.starts_with(k))
                .map(|(_, v)| v.to_string())
        })
    };
    let words: Vec<&String> = rest.iter().filter(|a| !a.starts_with('-')).collect();
    let layout = layout(console);
    let full = |short: &str, whole: &str| !short.is_empty() && whole.starts_with(short);
    match word.as_str() {
        "help" | "-help" | "--help" | "-h" => {
            console.out.write_all(HELP.as_bytes())?;
            Ok(Exit::Ok)
        }
        w if full(w, "directory") || w == "held" => {
            let entries = queue(&layout)?;
            let channel = words.first().map(|c| c.to_ascii_lowercase());
            let held = w == "held" || has("held");
            listing.clear();
            listing.extend(
                entries
                    .into_iter()
                    .filter(|e| channel.as_ref().is_none_or(|c| &e.channel == c) && (!held || e.held)),
            );
            if has("json") {
                for entry in &*listing {
                    let json = serde_json::to_string(entry).map_err(|e| Failure::Failed(e.to_string()))?;
                    writeln!(console.out, "{json}")?;
                }
                return Ok(Exit::Ok);
            }
            list(listing, has("envelope"), console)?;
            Ok(Exit::Ok)
        }
        w if full(w, "messages") => {
            let response = control::ask(&layout, &Request::Counts)?;
            writeln!(
                console.out,
                "{:<36} {:>15}  {:>16}",
                "host", "active messages", "delayed messages"
            )?;
            for row in response.data.as_array().into_iter().flatten() {
                let text = |k: &str| row[k].as_str().unwrap_or("").to_string();
                if words
                    .first()
                    .is_none_or(|c| c.eq_ignore_ascii_case(&text("channel")))
                {
                    writeln!(
                        console.out,
                        "{:<36} {:>15}  {:>16}",
                        text("host"),
                        row["active"],
                        row["delayed"]
                    )?;
                }
            }
            Ok(Exit::Ok)
        }
        w if full(w, "summarize") => summarize(&queue(&layout)?, console),
        "stop" | "start" => {
            let Some(channel) = words.first() else {
                return Err(UsageError::Other(format!("`qm {word}` needs a channel")).into());
            };
            let channel = channel.to_ascii_lowercase();
            let request = if word == "stop" {
                Request::StopChannel { channel }
            } else {
                Request::StartChannel { channel }
            };
            control::print(&control::ask(&layout, &request)?, console)
        }
        "release" | "hold" | "delete" | "return" | "history" => {
            if listing.is_empty() || has("all") {
                *listing = queue(&layout)?;
            }
            let channel = value("channel");
            let chosen: Vec<&QueueEntry> = if has("all") {
                listing
                    .iter()
                    .filter(|e| channel.as_ref().is_none_or(|c| &e.channel == c))
                    .collect()
            } else {
                numbers(&words, listing.len())?
                    .into_iter()
                    .filter_map(|n| listing.get(n - 1))
                    .collect()
            };
            if word == "history" {
                for entry in chosen {
                    writeln!(
                        console.out,
                        "{}  {} attempt(s), last: {}",
                        entry.file, entry.attempts, entry.last
                    )?;
                }
                return Ok(Exit::Ok);
            }
            if chosen.is_empty() {
                return Err(UsageError::Other(format!(
                    "`qm {word}`: no message is meant; give numbers of the last listing, or -channel=C -all"
                ))
                .into());
            }
            let ids = chosen.iter().map(|e| e.id).collect();
            let request = match word.as_str() {
                "release" => Request::Release { ids },
                "hold" => Request::Hold { ids },
                "delete" => Request::Delete { ids },
                _ => Request::Return { ids },
            };
            control::print(&control::ask(&layout, &request)?, console)
        }
        _ => Err(UsageError::Other(format!(
            "`qm {word}` is not known; `imsimta qm help` lists the subcommands"
        ))
        .into()),
    }
}

fn queue(layout: &mta::configuration::Layout) -> Result<Vec<QueueEntry>, Failure> {
    let response = control::ask(layout, &Request::Queue)?;
    serde_json::from_value(response.data)
        .map_err(|e| Failure::Failed(format!("the server's answer cannot be read: {e}")))
}

fn numbers(words: &[&String], count: usize) -> Result<Vec<usize>, Failure> {
    let mut numbers = Vec::new();
    for item in words.iter().flat_map(|w| w.split(',')).filter(|i| !i.is_empty()) {
        let range = match item.split_once('-') {
            Some((a, b)) => a.parse().ok().zip(b.parse().ok()),
            None => item.parse().ok().map(|n: usize| (n, n)),
        };
        match range {
            Some((a, b)) if a >= 1 && a <= b && b <= count => numbers.extend(a..=b),
            _ => {
                return Err(UsageError::Other(format!(
                    "`{item}` is not among the {count} message(s) of the last listing"
                ))
                .into());
            }
        }
    }
    Ok(numbers)
}

fn list(entries: &[QueueEntry], envelope: bool, console: &mut Console<'_>) -> Result<(), Failure> {
    let now = jiff::Zoned::now();
    writeln!(console.out, "{}", now.strftime("%a, %d %b %Y %H:%M:%S %z"))?;
    writeln!(console.out, "Data gathered from the queue")?;
    let mut channels: Vec<&str> = entries.iter().map(|e| e.channel.as_str()).collect();
    channels.sort_unstable();
    channels.dedup();
    let rule = "-".repeat(62);
    let mut grand = 0;
    for channel in channels {
        writeln!(console.out, "\nChannel: {channel:<24} Size Queued since\n{rule}")?;
        let mut total = 0;
        for (n, entry) in entries.iter().enumerate().filter(|(_, e)| e.channel == channel) {
            let blocks = entry.size.div_ceil(1024);
            total += blocks;
            let since = jiff::Timestamp::from_second(entry.arrived)
                .unwrap_or_default()
                .to_zoned(now.time_zone().clone());
            writeln!(
                console.out,
                "{} {:<28} {blocks:>5} {}",
                n + 1,
                entry.file,
                since.strftime("%d-%b-%Y %H:%M:%S")
            )?;
            if envelope {
                writeln!(console.out, "    Envelope From: {}", entry.from)?;
                for to in &entry.to {
                    writeln!(console.out, "    Envelope To: {to}")?;
                }
            }
        }
        writeln!(console.out, "{rule}\nTotal size: {total:>25}")?;
        grand += total;
    }
    writeln!(console.out, "\nGrand total size: {grand:>19}")?;
    Ok(())
}

fn summarize(entries: &[QueueEntry], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut channels: std::collections::BTreeMap<&str, (u64, u64, i64)> = Default::default();
    for entry in entries {
        let row = channels.entry(&entry.channel).or_insert((0, 0, i64::MAX));
        row.0 += 1;
        row.1 += entry.size.div_ceil(1024);
        row.2 = row.2.min(entry.arrived);
    }
    writeln!(
        console.out,
        "{:24} {:>9}  {:>10}  Oldest\n{:24} {:>9}  {:>10}  {}",
        "Channel",
        "Queued",
        "Size (Kb)",
        "-".repeat(23),
        "-".repeat(9),
        "-".repeat(10),
        "-".repeat(18)
    )?;
    let (mut count, mut size) = (0, 0);
    for (channel, (n, kb, oldest)) in channels {
        let oldest = jiff::Timestamp::from_second(oldest)
            .unwrap_or_default()
            .to_zoned(jiff::tz::TimeZone::system());
        writeln!(
            console.out,
            "{channel:24} {n:>9}  {kb:>10}  {}",
            oldest.strftime("%d %b, %H:%M:%S")
        )?;
        count += n;
        size += kb;
    }
    writeln!(console.out, "{:24} {count:>9}  {size:>10}", "Totals")?;
    Ok(Exit::Ok)
}
