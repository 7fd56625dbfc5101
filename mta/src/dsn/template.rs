//! The text for people: templates of the site, expanded.
//!
//! A text is prefix, one section for each kind of fate with its recipients, and suffix. In a template `%H`
//! stands for the original's header lines, `%R` for the recipients, `%C`, `%L`, `%F` for the time in the
//! queue, left, and allowed, `%U` and `%u` for the unit, `%S` and `%s` for its plural, `%%` for `%`.
//! Anything else behind `%` is copied as it stands. What is inserted is never expanded again.
//!
//! Source: queue specification 7.1.

use std::collections::HashMap;

use mail_parser::MessageParser;
use store::envelope::Failure;
use store::spool::HISTORY_LIMIT;

use super::fields::{clean, date};
use super::{Kind, MAX_RECIPIENTS, Notification, Reported};
use crate::smtp::client::reply::cut;

/// The texts of one language: the files `return_*.txt`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    /// `return_prefix.txt`: header fields of the text part, a blank line, text.
    pub prefix: String,
    /// `return_failed.txt`.
    pub failed: String,
    /// `return_bounced.txt`.
    pub bounced: String,
    /// `return_timedout.txt`.
    pub timed_out: String,
    /// `return_delayed.txt`.
    pub delayed: String,
    /// `return_delivered.txt`.
    pub delivered: String,
    /// `return_forwarded.txt`.
    pub forwarded: String,
    /// `return_suffix.txt`.
    pub suffix: String,
}

impl Default for Templates {
    fn default() -> Templates {
        let text = |text: &str| text.to_string();
        Templates {
            prefix: text(
                "Content-type: text/plain; charset=us-ascii\nContent-language: EN-US\n\n\
                 This is a report about mail that you sent. Its header begins with:\n\n%H\n",
            ),
            failed: text("It could not be delivered to:\n\n%R\n"),
            bounced: text("The postmaster returned it. It was not delivered to:\n\n%R\n"),
            timed_out: text(
                "It was given up after %C %u%s in the queue (allowed: %F %u%s). Not delivered to:\n\n%R\n",
            ),
            delayed: text(
                "It has been in the queue for %C %u%s and is not yet delivered to the recipients below.\n\
                 You need not send it again: delivery is tried for another %L %u%s.\n\n%R\n",
            ),
            delivered: text("It was delivered to:\n\n%R\n"),
            forwarded: text(
                "It was passed on for the recipients below, to a system that sends no confirmations:\n\n%R\n",
            ),
            suffix: String::new(),
        }
    }
}

/// The words of `return_option.opt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// `RETURN_PERSONAL`: name in From.
    pub personal: String,
    /// `SUBJECT`: the part before the colon.
    pub subject: String,
    /// `REASON`.
    pub reason: String,
    /// `RECIPIENT_ADDRESS`.
    pub recipient_address: String,
    /// `ORIGINAL_ADDRESS`.
    pub original_address: String,
    /// `DIAGNOSTIC_CODE`.
    pub diagnostic_code: String,
    /// Before the host.
    pub remote_system: String,
    /// Before the list of attempts.
    pub history: String,
    /// `DAY`.
    pub day: String,
    /// `HOUR`.
    pub hour: String,
    /// Texts for status codes (`n.n.n`).
    pub statuses: HashMap<String, String>,
}

impl Default for Words {
    fn default() -> Words {
        let text = |text: &str| text.to_string();
        Words {
            personal: text("Internet Mail Delivery"),
            subject: text("Delivery Notification"),
            reason: text("Reason"),
            recipient_address: text("Recipient address"),
            original_address: text("Original address"),
            diagnostic_code: text("Diagnostic code"),
            remote_system: text("Remote system"),
            history: text("Delivery attempts"),
            day: text("Day"),
            hour: text("Hour"),
            statuses: HashMap::new(),
        }
    }
}

/// Times for the texts, in units of RETURN_UNITS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ages {
    /// The unit is an hour, not a day.
    pub hours: bool,
    /// Units the message has been queued.
    pub queued: u32,
    /// Units it may be queued.
    pub allowed: u32,
}

/// Octets of a line of text before it is broken.
const WIDTH: usize = 78;

/// Octets of one original header line that are shown.
const SHOWN: usize = 300;

/// The header fields of the text part (CRLF lines) and its text (CRLF lines).
pub(super) fn expand(notification: &Notification<'_>) -> (String, String) {
    let templates = notification.templates;
    let (fields, prefix) = split_prefix(&templates.prefix);
    let mut out = String::new();
    Expansion::new(notification, None).run(prefix, &mut out);
    for kind in [
        Kind::Failed,
        Kind::Returned,
        Kind::TimedOut,
        Kind::Delayed,
        Kind::Delivered,
        Kind::Relayed,
    ] {
        if notification
            .recipients
            .iter()
            .any(|reported| reported.kind == kind)
        {
            let template = match kind {
                Kind::Failed => &templates.failed,
                Kind::Returned => &templates.bounced,
                Kind::TimedOut => &templates.timed_out,
                Kind::Delayed => &templates.delayed,
                Kind::Delivered => &templates.delivered,
                Kind::Relayed => &templates.forwarded,
            };
            Expansion::new(notification, Some(kind)).run(template, &mut out);
        }
    }
    if !notification.history.is_empty() {
        out.push_str(&format!("\n{}:\n\n", clean(&notification.words.history)));
        let skipped = notification.history.len().saturating_sub(HISTORY_LIMIT);
        for attempt in notification.history.iter().skip(skipped) {
            let when = date(attempt.at, &notification.zone);
            out.push_str(&wrap(
                &format!("  {when}  {}", clean(&attempt.failure.diagnostic)),
                "    ",
            ));
        }
    }
    Expansion::new(notification, None).run(&templates.suffix, &mut out);
    (fields, lines(&out))
}

/// Header fields of the text part; only `Content-` fields are taken, so a template cannot break the report.
fn split_prefix(prefix: &str) -> (String, &str) {
    let mut fields = String::new();
    let mut rest = prefix;
    while let Some((line, after)) = rest.split_once('\n') {
        let line = line.trim_end();
        if line.is_empty() {
            rest = after;
            break;
        }
        let is_field = line.to_ascii_lowercase().starts_with("content-") && line.contains(':');
        let continues = line.starts_with([' ', '\t']) && !fields.is_empty();
        if !is_field && !continues {
            break;
        }
        if line.is_ascii() && line.len() <= super::fields::MAX_LINE {
            fields.push_str(&clean(line));
            fields.push_str("\r\n");
        }
        rest = after;
    }
    if !fields.to_ascii_lowercase().contains("content-type:") {
        fields.push_str("Content-type: text/plain; charset=us-ascii\r\n");
    }
    (fields, rest)
}

/// Ends every line with CRLF and leaves none too long.
fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 30);
    for line in text.lines() {
        let mut column = 0;
        for c in line.chars() {
            let c = if c.is_control() && c != '\t' { '?' } else { c };
            if column + c.len_utf8() > super::fields::MAX_LINE {
                out.push_str("\r\n");
                column = 0;
            }
            out.push(c);
            column += c.len_utf8();
        }
        out.push_str("\r\n");
    }
    out
}

/// One paragraph broken at blanks; further lines begin with `indent`.
fn wrap(text: &str, indent: &str) -> String {
    let start: String = text.chars().take_while(|c| *c == ' ').collect();
    let mut out = start.clone();
    let mut column = start.len();
    let mut first = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let gap = usize::from(!first);
        if !first && column + gap + word.len() > WIDTH {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else if !first {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
        first = false;
    }
    out.push('\n');
    out
}

struct Expansion<'a> {
    notification: &'a Notification<'a>,
    kind: Option<Kind>,
    plural: bool,
}

impl<'a> Expansion<'a> {
    fn new(notification: &'a Notification<'a>, kind: Option<Kind>) -> Expansion<'a> {
        Expansion {
            notification,
            kind,
            plural: true,
        }
    }

    fn run(&mut self, template: &str, out: &mut String) {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            let mut chars = after.chars();
            let ages = self.notification.ages;
            match chars.next() {
                Some('H') => self.header_lines(out),
                Some('R') => self.recipients(out),
                Some('C') => self.number(ages.queued, out),
                Some('L') => self.number(ages.allowed.saturating_sub(ages.queued), out),
                Some('F') => self.number(ages.allowed, out),
                Some(letter @ ('S' | 's')) => {
                    if self.plural {
                        out.push(letter);
                    }
                }
                Some('U') => out.push_str(self.unit()),
                Some('u') => out.push_str(&self.unit().to_lowercase()),
                Some('%') => out.push('%'),
                Some(other) => out.extend(['%', other]),
                None => out.push('%'),
            }
            rest = chars.as_str();
        }
        out.push_str(rest);
    }

    fn unit(&self) -> &'a str {
        let words = self.notification.words;
        if self.notification.ages.hours {
            &words.hour
        } else {
            &words.day
        }
    }

    fn number(&mut self, number: u32, out: &mut String) {
        self.plural = number != 1;
        out.push_str(&number.to_string());
    }

    fn header_lines(&self, out: &mut String) {
        let original = self.notification.original;
        let header = original.get(..self.notification.header_len).unwrap_or(original);
        let Some(message) = MessageParser::default().parse_headers(header) else {
            return;
        };
        for name in ["Message-ID", "Date", "From", "To", "Subject"] {
            if let Some(value) = message.header_raw(name) {
                let mut value = value.split_whitespace().collect::<Vec<_>>().join(" ");
                if value.len() > SHOWN {
                    cut(&mut value, SHOWN);
                    value.push_str("...");
                }
                out.push_str(&wrap(&format!("  {name}: {}", clean(&value)), "    "));
            }
        }
    }

    fn recipients(&self, out: &mut String) {
        let all = &self.notification.recipients;
        let mine = all
            .iter()
            .filter(|reported| self.kind.is_none_or(|kind| kind == reported.kind));
        for (index, reported) in mine.clone().take(MAX_RECIPIENTS).enumerate() {
            if index > 0 {
                out.push('\n');
            }
            self.recipient(reported, out);
        }
        let left = mine.count().saturating_sub(MAX_RECIPIENTS);
        if left > 0 {
            out.push_str(&format!("\n  (+{left})\n"));
        }
    }

    fn recipient(&self, reported: &Reported<'_>, out: &mut String) {
        let words = self.notification.words;
        let mut line = |label: &str, value: &str| {
            out.push_str(&wrap(&format!("  {}: {}", clean(label), clean(value)), "    "));
        };
        let recipient = reported.recipient;
        let original = recipient
            .original
            .split_once(';')
            .map(|(_, address)| address)
            .unwrap_or_default();
        let hide = self.notification.suppress_final && !original.is_empty();
        line(
            &words.recipient_address,
            if hide { original } else { &recipient.address },
        );
        if !hide && !original.is_empty() && original != recipient.address {
            line(&words.original_address, original);
        }
        if let Some(reason) = reason(reported, words, &super::status(reported)) {
            line(&words.reason, &reason);
        }
        if let Some(failure) = reported.failure {
            if !failure.diagnostic.is_empty() {
                line(&words.diagnostic_code, &diagnostic(failure));
            }
            if !failure.remote.is_empty() {
                let mut value = format!("dns;{}", failure.remote);
                for extra in [failure.transport.as_str(), reported.banner] {
                    if !extra.is_empty() {
                        value.push_str(&format!(" ({extra})"));
                    }
                }
                line(&words.remote_system, &value);
            }
        }
    }
}

/// What to say of a fate in a few words; the site's text for the status code comes first.
pub(super) fn reason(reported: &Reported<'_>, words: &Words, status: &str) -> Option<String> {
    if let Some(text) = words.statuses.get(status) {
        return Some(text.clone());
    }
    let remote = reported
        .failure
        .is_some_and(|f| !f.remote.is_empty() && is_reply(&f.diagnostic));
    let text = match reported.kind {
        Kind::Returned => "Returned by the postmaster",
        Kind::TimedOut => "Not delivered in the time allowed",
        Kind::Failed if remote => "Remote SMTP server has rejected address",
        Kind::Failed => "Delivery is not possible",
        Kind::Delayed if remote => "Remote SMTP server has put off the message",
        Kind::Delayed => "Delivery is not possible at the moment",
        Kind::Delivered | Kind::Relayed => return None,
    };
    Some(text.to_string())
}

fn is_reply(diagnostic: &str) -> bool {
    let bytes = diagnostic.as_bytes();
    bytes.len() >= 3
        && bytes.iter().take(3).all(u8::is_ascii_digit)
        && bytes.get(3).is_none_or(|&byte| byte == b' ')
}

/// `smtp;550 ...` for what a server said, another type for what was found out here.
pub(super) fn diagnostic(failure: &Failure) -> String {
    let kind = if is_reply(&failure.diagnostic) {
        "smtp"
    } else {
        "X-local"
    };
    format!("{kind};{}", failure.diagnostic)
}
