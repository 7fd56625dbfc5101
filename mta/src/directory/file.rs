//! The text of the `users` file: reading with all errors at once, writing back.
//!
//! Codes: U001 unknown item, U002 character or line that no item can hold, U003 user name, U004 user twice,
//! U005 address, U006 address of another user, U007 domain, U008 domain twice (warning), U009 unknown
//! attribute, U010 attribute twice or without value, U011 password, U012 status, U013 host, U014 no address,
//! U015 address outside the local domains (warning), U016 secret, U017 no secret (note), U018 file readable by
//! others (warning), U019 file too large.

use std::collections::HashSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grammar::{Diagnostic, FileId, Span};

use super::user::{self, Status, User};
use super::verifier::{Verifier, VerifierError};
use super::{Directory, Line, fold};

/// The longest line: 1000 addresses of the greatest length fit.
const MAX_LINE: usize = 512 * 1024;
/// The largest file, so that every place fits into a [`Span`].
const MAX_FILE: usize = 1 << 30;

const ITEMS: [&str; 3] = ["domain", "secret", "user"];
const ATTRIBUTES: [&str; 5] = ["mail", "aliases", "status", "host", "password"];
/// The attributes whose values may be shown.
const PUBLIC: [&str; 4] = ["mail", "aliases", "status", "host"];

impl Directory {
    /// Reads the text of a `users` file: the directory and its warnings, or everything that is wrong.
    ///
    /// Put [`redacted`] text, not the text itself, among the sources that diagnostics are drawn from.
    pub fn parse(file: FileId, text: &str) -> Result<(Directory, Vec<Diagnostic>), Vec<Diagnostic>> {
        if text.len() > MAX_FILE {
            let message = "the users file is larger than 1 GiB";
            return Err(vec![Diagnostic::error("U019", Span::new(file, 0, 0), message)]);
        }
        let mut parser = Parser {
            file,
            directory: Directory::with_secret([0; 32]),
            places: Vec::new(),
            secret: None,
            diagnostics: Vec::new(),
        };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let content = line.strip_suffix('\n').unwrap_or(line);
            parser.line(start, content.strip_suffix('\r').unwrap_or(content));
            start += line.len();
        }
        parser.finish()
    }

    /// The text of the file. Lines keep their order, comments stay; a line that a user owns is written in
    /// one fixed order of attributes. Holds secrets.
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(self.lines.len() * 200);
        for line in &self.lines {
            match line {
                Line::Text(text) => out.push_str(text),
                Line::Secret => {
                    out.push_str("secret: ");
                    out.push_str(&STANDARD.encode(self.secret));
                }
                Line::Domain(name) => {
                    out.push_str("domain: ");
                    out.push_str(name);
                }
                Line::User(user) => write_user(&mut out, user),
                Line::Gone => continue,
            }
            out.push('\n');
        }
        out
    }
}

fn write_user(out: &mut String, user: &User) {
    // Writing to a String cannot fail.
    let _ = write!(out, "user: {} mail={}", user.uid, user.mail);
    if !user.aliases.is_empty() {
        let _ = write!(out, " aliases={}", user.aliases.join(","));
    }
    if user.status != Status::default() {
        let _ = write!(out, " status={}", user.status);
    }
    if let Some(host) = &user.host {
        let _ = write!(out, " host={host}");
    }
    if let Some(verifier) = &user.verifier {
        let _ = write!(out, " password={}", verifier.to_text());
    }
}

/// The text with everything that is or might be a password or the secret replaced by `*`, at the same length,
/// so that places still fit.
///
/// What is shown: comments, the item, the name after it, the names of attributes, and the values of those that
/// are known and public. A misspelt line may hold a secret too, so all the rest goes.
pub fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.starts_with('#') {
            out.push_str(line);
            continue;
        }
        let name = trimmed.split([':', ' ', '\t']).next().unwrap_or("");
        let public = ["user", "domain"]
            .iter()
            .any(|item| item.eq_ignore_ascii_case(name));
        let has_item = trimmed
            .get(name.len()..)
            .is_some_and(|rest| rest.starts_with(':'));
        let head = if has_item {
            line.len() - trimmed.len() + name.len() + 1
        } else {
            0
        };
        let (head, mut rest) = line.split_at(head);
        out.push_str(head);
        let mut first = public;
        while !rest.is_empty() {
            let blanks = rest.len() - rest.trim_start().len();
            let (space, tail) = rest.split_at(blanks);
            let (word, tail) = tail.split_at(tail.find(char::is_whitespace).unwrap_or(tail.len()));
            let shown = match word.split_once('=') {
                _ if !public => 0,
                Some((name, _)) if PUBLIC.iter().any(|known| known.eq_ignore_ascii_case(name)) => word.len(),
                Some((name, _)) => name.len() + 1,
                None if first && word.len() <= user::MAX_DOMAIN && !word.contains('$') => word.len(),
                None => 0,
            };
            let (shown, hidden) = word.split_at(shown);
            out.push_str(space);
            out.push_str(shown);
            out.extend(std::iter::repeat_n('*', hidden.len()));
            first &= word.is_empty();
            rest = tail;
        }
    }
    out
}

struct Parser {
    file: FileId,
    directory: Directory,
    /// The place of each line of the directory, for messages about two lines.
    places: Vec<Span>,
    secret: Option<Span>,
    diagnostics: Vec<Diagnostic>,
}

impl Parser {
    fn line(&mut self, start: usize, text: &str) {
        let span = Span::new(self.file, start, start + text.len());
        if text.len() > MAX_LINE {
            let message = format!("the line is longer than {MAX_LINE} octets");
            return self.error(
                "U002",
                span,
                message,
                "split the user's addresses over fewer aliases",
            );
        }
        let trimmed = text.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            return self.push(Line::Text(text.into()), span);
        }
        if let Some((at, c)) = text.char_indices().find(|(_, c)| c.is_control() && *c != '\t') {
            let place = Span::new(self.file, start + at, start + at + c.len_utf8());
            let message = format!("the control character {c:?} cannot stand in this file");
            return self.error("U002", place, message, "delete it; the file is plain UTF-8 text");
        }
        let at = start + text.len() - trimmed.len();
        let name = trimmed.split([':', ' ', '\t']).next().unwrap_or("");
        let place = Span::new(self.file, at, at + name.len());
        let Some(rest) = trimmed.get(name.len()..).and_then(|rest| rest.strip_prefix(':')) else {
            let message = "a line begins with an item and a colon";
            return self.error(
                "U001",
                place,
                message,
                "write `user: ...`, `domain: ...`, or `#` for a comment",
            );
        };
        let rest_at = at + name.len() + 1;
        let words: Vec<(Span, &str)> = words(rest)
            .map(|(offset, word)| {
                (
                    Span::new(self.file, rest_at + offset, rest_at + offset + word.len()),
                    word,
                )
            })
            .collect();
        match ITEMS.iter().find(|item| item.eq_ignore_ascii_case(name)) {
            Some(&"domain") => self.domain(place, &words),
            Some(&"secret") => self.secret(place, &words),
            Some(_) => self.user(place, &words),
            None => {
                let message = "this item is unknown";
                self.error(
                    "U001",
                    place,
                    message,
                    format!("known items are {}", list(&ITEMS)),
                );
            }
        }
    }

    fn domain(&mut self, item: Span, words: &[(Span, &str)]) {
        let &[(place, name)] = words else {
            let place = words.get(1).map_or(item, |(place, _)| *place);
            return self.error(
                "U007",
                place,
                "a `domain:` line holds one name",
                "write one line for each domain",
            );
        };
        if let Err(error) = user::check_domain(name) {
            let help = "write it as in the DNS, an international name in its `xn--` form";
            return self.error("U007", place, format!("this is no domain name: {error}"), help);
        }
        let name = fold(name);
        if !self.directory.domains.insert(name.as_str().into()) {
            let mut twice = Diagnostic::warning("U008", place, "the domain is listed twice");
            let first = self
                .directory
                .lines
                .iter()
                .position(|l| matches!(l, Line::Domain(d) if **d == *name));
            if let Some(first) = first.and_then(|index| self.places.get(index)) {
                twice = twice.also(*first, "first here");
            }
            self.diagnostics.push(twice.help("delete one of the lines"));
            return;
        }
        self.push(Line::Domain(name.into()), place);
    }

    fn secret(&mut self, item: Span, words: &[(Span, &str)]) {
        let place = words.first().map_or(item, |(place, _)| *place);
        if let Some(first) = self.secret {
            let twice = Diagnostic::error("U016", place, "there are two secrets").also(first, "first here");
            self.diagnostics.push(twice.help("keep the older one"));
            return;
        }
        self.secret = Some(place);
        let octets = match words {
            [(_, word)] => STANDARD.decode(word).ok(),
            _ => None,
        };
        let Some(secret) = octets.and_then(|octets| octets.try_into().ok()) else {
            let help = "delete the line; a new secret is made at the next change of the file";
            return self.error("U016", place, "the secret is 32 octets in base64", help);
        };
        self.directory.secret = secret;
        self.push(Line::Secret, place);
    }

    fn user(&mut self, item: Span, words: &[(Span, &str)]) {
        let Some((&(uid_at, uid), attributes)) = words.split_first() else {
            return self.error(
                "U003",
                item,
                "the user has no name",
                "write `user: name mail=address`",
            );
        };
        let before = self.diagnostics.len();
        if let Err(error) = user::check_uid(uid) {
            let help = "use letters, digits, `.`, `_` and `-`, beginning with a letter or digit, 64 at most";
            self.error(
                "U003",
                uid_at,
                format!("this cannot be a user name: {error}"),
                help,
            );
        }
        let uid = fold(uid);
        if let Some(first) = self
            .directory
            .by_uid
            .get(uid.as_str())
            .and_then(|i| self.places.get(*i as usize))
        {
            let twice = Diagnostic::error("U004", uid_at, format!("user {uid} is listed twice"));
            let twice = twice.also(*first, "first here");
            self.diagnostics
                .push(twice.help("delete one of the lines, or rename this user"));
        }
        let mut user = User::new(uid, "");
        let mut seen = HashSet::new();
        let mut mine = HashSet::new();
        for &(place, word) in attributes {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let name_at = Span {
                end: place.start + name.len() as u32,
                ..place
            };
            let value_at = Span {
                start: place.end - value.len() as u32,
                ..place
            };
            let Some(&name) = ATTRIBUTES.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
                let help = format!("known attributes are {}", list(&ATTRIBUTES));
                self.error("U009", name_at, "this attribute is unknown", help);
                continue;
            };
            if !seen.insert(name) {
                self.error(
                    "U010",
                    name_at,
                    format!("`{name}` stands here twice"),
                    "keep one of them",
                );
                continue;
            }
            if value.is_empty() {
                let help = format!("write `{name}=value` without blanks, or leave it out");
                self.error("U010", place, format!("`{name}` has no value"), help);
                continue;
            }
            match name {
                "mail" => {
                    self.address(value_at, value, &mut mine);
                    user.mail = value.to_string();
                }
                "aliases" => self.aliases(value_at, value, &mut mine, &mut user),
                "status" => match Status::parse(value) {
                    Some(status) => user.status = status,
                    None => {
                        let help = "one of active, inactive, overquota, hold, disabled, deleted, removed";
                        self.error("U012", value_at, "this is no status", help);
                    }
                },
                "host" => match user::check_domain(value) {
                    Ok(()) => user.host = Some(value.to_string()),
                    Err(error) => {
                        let help = "write the full name of the host that has the mailbox";
                        self.error("U013", value_at, format!("this is no host name: {error}"), help);
                    }
                },
                _ => match Verifier::parse(value) {
                    Ok(verifier) => user.verifier = Some(verifier),
                    Err(error) => {
                        let never = match error {
                            VerifierError::Scheme => "a password itself never stands here; ",
                            _ => "",
                        };
                        // a file with an error is not changed by a command
                        let help = format!(
                            "{never}take `password=` out, then run `sluice user password {}`",
                            user.uid
                        );
                        self.error("U011", value_at, error.to_string(), help);
                    }
                },
            }
        }
        if !seen.contains("mail") {
            let help = format!("add `mail={}@` and a local domain", user.uid);
            self.error("U014", uid_at, "the user has no address", help);
        }
        if self.diagnostics.len() == before {
            self.places.push(uid_at);
            self.directory.index_user(user);
        }
    }

    fn aliases(&mut self, place: Span, value: &str, mine: &mut HashSet<String>, user: &mut User) {
        let mut at = place.start;
        for alias in value.split(',') {
            let here = Span {
                start: at,
                end: at + alias.len() as u32,
                ..place
            };
            at = here.end + 1;
            self.address(here, alias, mine);
            user.aliases.push(alias.to_string());
        }
        if user.aliases.len() > user::MAX_ALIASES {
            let message = format!("a user has {} aliases at most", user::MAX_ALIASES);
            self.error("U005", place, message, "use a mailing list, or a rewrite rule");
        }
    }

    fn address(&mut self, place: Span, address: &str, mine: &mut HashSet<String>) {
        if let Err(error) = user::check_address(address) {
            let help = "write local-part@domain; aliases are separated by commas without blanks";
            return self.error("U005", place, format!("this is no address: {error}"), help);
        }
        let folded = fold(address);
        let other = self.directory.by_address.get(folded.as_str()).copied();
        if let Some(index) = other {
            let mut taken = Diagnostic::error("U006", place, "this address belongs to another user");
            if let Some(first) = self.places.get(index as usize) {
                taken = taken.also(*first, "to this one");
            }
            self.diagnostics
                .push(taken.help("give each address to one user; use an alias for a group"));
        } else if !mine.insert(folded) {
            self.error(
                "U006",
                place,
                "this user has the address already",
                "keep one of them",
            );
        }
    }

    fn push(&mut self, line: Line, place: Span) {
        self.directory.lines.push(line);
        self.places.push(place);
    }

    fn error(
        &mut self,
        code: &'static str,
        place: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.diagnostics
            .push(Diagnostic::error(code, place, message).help(help));
    }

    fn finish(mut self) -> Result<(Directory, Vec<Diagnostic>), Vec<Diagnostic>> {
        for (line, place) in self.directory.lines.iter().zip(&self.places) {
            let Line::User(user) = line else { continue };
            for address in std::iter::once(&user.mail).chain(&user.aliases) {
                let (_, domain) = address.rsplit_once('@').unwrap_or(("", ""));
                if !self.directory.is_local_domain(domain) {
                    let message = format!("{address} of user {} is in no local domain", user.uid);
                    let warning = Diagnostic::warning("U015", *place, message);
                    self.diagnostics
                        .push(warning.help(format!("add `domain: {domain}`, or change the address")));
                }
            }
        }
        if self.secret.is_none() {
            let start = Span::new(self.file, 0, 0);
            if getrandom::fill(&mut self.directory.secret).is_err() {
                let help = "check that /dev/urandom can be read";
                self.error(
                    "U016",
                    start,
                    "the system's random number source failed; no secret could be made",
                    help,
                );
            } else {
                let note = Diagnostic::note(
                    "U017",
                    start,
                    "there is no `secret:` line; one was made for this run",
                );
                self.diagnostics
                    .push(note.help("the next change by a command writes one"));
            }
            self.push(Line::Secret, start);
        }
        if grammar::diagnostic::has_errors(&self.diagnostics) {
            self.diagnostics.sort_by_key(|d| d.span().start);
            return Err(self.diagnostics);
        }
        Ok((self.directory, self.diagnostics))
    }
}

/// The words of a line and where they start.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split([' ', '\t'])
        .scan(0, |at, word| {
            let start = *at;
            *at += word.len() + 1;
            Some((start, word))
        })
        .filter(|(_, word)| !word.is_empty())
}

fn list(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
