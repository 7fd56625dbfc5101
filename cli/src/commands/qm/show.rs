//! Listings and counts of the queue.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mta::control::{QueueEntry, Request};

use super::{Session, queue};
use crate::argv::Parsed;
use crate::commands::{control, json, layout};
use crate::console::Console;
use crate::{Exit, Failure};

fn when(seconds: i64, format: &str) -> String {
    let zoned = Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_zoned(TimeZone::system());
    zoned.strftime(format).to_string()
}

/// Lists messages; later numbers mean this listing.
pub(super) fn directory(
    parsed: &Parsed,
    held: bool,
    session: &mut Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let channel = parsed.arguments.first();
    let meant =
        |e: &QueueEntry| channel.is_none_or(|c| e.channel.eq_ignore_ascii_case(c)) && (!held || e.held);
    // an old listing is not what the person sees when this one fails
    session.listing = None;
    let entries = queue(console)?.into_iter().filter(meant).collect::<Vec<_>>();
    if parsed.is_set("json") {
        for entry in &entries {
            json(entry, console)?;
        }
    } else {
        list(&entries, parsed.is_set("envelope"), console)?;
    }
    session.listing = Some(entries);
    Ok(Exit::Ok)
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
            writeln!(
                console.out,
                "{} {:<28} {blocks:>5} {}",
                n + 1,
                entry.file,
                when(entry.arrived, "%d-%b-%Y %H:%M:%S")
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

/// Ready and delayed messages of each host.
pub(super) fn messages(parsed: &Parsed, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let response = control::ask(&layout(console), &Request::Counts)?;
    let channel = parsed.arguments.first();
    let rows = response.data.as_array().into_iter().flatten();
    let rows: Vec<_> = rows
        .filter(|row| {
            channel.is_none_or(|c| row["channel"].as_str().is_some_and(|r| r.eq_ignore_ascii_case(c)))
        })
        .collect();
    if parsed.is_set("json") {
        for row in rows {
            json(row, console)?;
        }
        return Ok(Exit::Ok);
    }
    writeln!(
        console.out,
        "{:<36} {:>15}  {:>16}",
        "host", "active messages", "delayed messages"
    )?;
    for row in rows {
        writeln!(
            console.out,
            "{:<36} {:>15}  {:>16}",
            row["host"].as_str().unwrap_or(""),
            row["active"],
            row["delayed"]
        )?;
    }
    Ok(Exit::Ok)
}

/// What a channel has in the queue.
#[derive(serde::Serialize)]
struct Sum<'a> {
    channel: &'a str,
    queued: u64,
    kilobytes: u64,
    oldest: i64,
}

/// Messages of each channel.
pub(super) fn summarize(parsed: &Parsed, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let entries = queue(console)?;
    let mut channels: BTreeMap<&str, Sum<'_>> = BTreeMap::new();
    for entry in &entries {
        let sum = channels.entry(&entry.channel).or_insert(Sum {
            channel: &entry.channel,
            queued: 0,
            kilobytes: 0,
            oldest: i64::MAX,
        });
        sum.queued += 1;
        sum.kilobytes += entry.size.div_ceil(1024);
        sum.oldest = sum.oldest.min(entry.arrived);
    }
    if parsed.is_set("json") {
        for sum in channels.values() {
            json(sum, console)?;
        }
        return Ok(Exit::Ok);
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
    for sum in channels.values() {
        writeln!(
            console.out,
            "{:24} {:>9}  {:>10}  {}",
            sum.channel,
            sum.queued,
            sum.kilobytes,
            when(sum.oldest, "%d %b, %H:%M:%S")
        )?;
        count += sum.queued;
        size += sum.kilobytes;
    }
    writeln!(console.out, "{:24} {count:>9}  {size:>10}", "Totals")?;
    Ok(Exit::Ok)
}
