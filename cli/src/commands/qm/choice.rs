//! Which messages a subcommand means.

use mta::control::QueueEntry;

use super::{Session, queue};
use crate::Failure;
use crate::argv::{Given, Parsed, UsageError};
use crate::console::{Console, read_line};

/// The ids of the messages that are meant; `None` where a person was asked and does not want it after all.
///
/// Numbers are those of the listing of this session; `-id` names entries of the queue, which no other entry
/// will ever be; `-all` takes all of the listing, or of the queue where there was none. `asks`: what is done
/// cannot be undone, so a person at a terminal confirms `-all`.
pub(super) fn entries(
    parsed: &Parsed,
    word: &str,
    asks: bool,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Option<Vec<u64>>, Failure> {
    let wrong = |text: String| Failure::from(UsageError::Other(text));
    let (all, numbers, ids) = (parsed.is_set("all"), &parsed.arguments, parsed.value("id"));
    let ways = usize::from(all) + usize::from(!numbers.is_empty()) + usize::from(ids.is_some());
    if ways == 0 {
        return Err(wrong(format!(
            "`qm {word}`: which messages? write -all, -channel=C -all, -id=ID, or at the prompt numbers of the \
             last listing"
        )));
    }
    if ways > 1 {
        return Err(wrong(format!(
            "`qm {word}`: numbers, -id and -all cannot be given together"
        )));
    }
    let channel = parsed.value("channel").map(str::to_ascii_lowercase);
    if channel.is_some() && !all {
        return Err(wrong(format!("`qm {word}`: -channel goes with -all")));
    }
    let chosen: Vec<u64> = if all {
        let fresh;
        let from: &[QueueEntry] = match &session.listing {
            Some(listing) => listing,
            None => {
                fresh = queue(console)?;
                &fresh
            }
        };
        let of_channel = from
            .iter()
            .filter(|e| channel.as_ref().is_none_or(|c| e.channel == *c));
        of_channel.map(|e| e.id).collect()
    } else if let Some(ids) = ids {
        list(ids, word)?
    } else {
        let listing = session.listing.as_ref().ok_or_else(|| {
            wrong(format!(
                "`qm {word} {}`: a number is one of a listing, and there was none in this session; call \
                 `imsimta qm`, list with `directory`, then give numbers, or name messages with -id",
                numbers.join(" ")
            ))
        })?;
        of_listing(numbers, listing)?
    };
    if chosen.is_empty() {
        let of = channel.map_or(String::new(), |c| format!(" of channel {c}"));
        let place = if session.listing.is_some() {
            "last listing"
        } else {
            "queue"
        };
        return Err(Failure::Failed(format!("there is no message{of} in the {place}")));
    }
    let ask = match parsed.get("confirm") {
        Given::Present(_) => true,
        Given::Negated => false,
        Given::Absent => asks && all && console.interactive,
    };
    if ask && !confirmed(word, chosen.len(), console)? {
        writeln!(console.out, "Nothing was done.")?;
        return Ok(None);
    }
    Ok(Some(chosen))
}

/// Asks a person; the end of the input is a no.
fn confirmed(word: &str, count: usize, console: &mut Console<'_>) -> Result<bool, Failure> {
    let s = if count == 1 { "" } else { "s" };
    console.prompt(&format!("{word} {count} message{s}? [no] "))?;
    let answer = read_line(console.input)?
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    Ok(matches!(answer.as_str(), "y" | "yes"))
}

fn list(ids: &str, word: &str) -> Result<Vec<u64>, UsageError> {
    let one = |id: &str| {
        id.trim().parse::<u64>().map_err(|_| {
            UsageError::Other(format!(
                "`qm {word} -id={ids}`: `{id}` is no id; `imsimta qm directory -json` shows them"
            ))
        })
    };
    ids.split(',').map(one).collect()
}

/// The ids of numbers, ranges and lists of the last listing, each once.
fn of_listing(words: &[String], listing: &[QueueEntry]) -> Result<Vec<u64>, UsageError> {
    let mut ids = Vec::new();
    for item in words.iter().flat_map(|w| w.split(',')).filter(|i| !i.is_empty()) {
        let range = match item.split_once('-') {
            Some((a, b)) => a.parse::<usize>().ok().zip(b.parse::<usize>().ok()),
            None => item.parse().ok().map(|n: usize| (n, n)),
        };
        let lines = range
            .filter(|(a, b)| *a >= 1 && a <= b)
            .and_then(|(a, b)| listing.get(a - 1..b));
        let Some(lines) = lines else {
            return Err(UsageError::Other(format!(
                "`{item}` is not among the {} message(s) of the last listing",
                listing.len()
            )));
        };
        for entry in lines {
            if !ids.contains(&entry.id) {
                ids.push(entry.id);
            }
        }
    }
    Ok(ids)
}
