//! `imsimta test -rewrite`: where an address goes, and what it becomes in header and envelope.
//!
//! The address takes the way that it takes in the server: the same rewriting, aliases, FORWARD, REVERSE and
//! recipient tables, with nothing queued. Callouts that would change something are not performed. Where the
//! site has no user file, local addresses that are no alias are taken as they are.
//!
//! Addresses may hold `^hex hex^`, octets, and `&hex;`, a Unicode character; `^^` and `&&` stand for the
//! characters themselves. A trace on `-debug -json` goes to the error stream: the JSON has fixed fields.

use std::sync::Arc;

use mta::access::SessionFacts;
use mta::callout::{Callouts, Drivers};
use mta::configuration::{Configuration, Layout};
use mta::directory::Directory;
use mta::evaluate::Evaluator;
use mta::smtp::command::Rcpt;
use mta::transaction::{Decider, Transaction};
use policy::Facts;
use policy::rewrite::{Request, Rewritten};
use store::envelope::Envelope;

use super::rewrite_report::{Report, Submitted};
use super::strings::{self, Input, Output};
use crate::argv::{Argument, Given, Parsed, Qualifier, Takes, Usage, UsageError};
use crate::commands;
use crate::config::{given_path, read_text};
use crate::console::Console;
use crate::{Exit, Failure};

const FILE: Takes = Takes::Required("FILE");
const CHANNEL: Takes = Takes::Required("CHANNEL");
const ADDRESS: Takes = Takes::Required("ADDRESS");

const USAGE: Usage = Usage {
    command: "imsimta test -rewrite",
    about: "Show where an address goes, and what it becomes",
    arguments: &[Argument {
        name: "ADDRESS",
        help: "the address, or several separated by commas; without it, addresses are prompted for",
        many: false,
    }],
    qualifiers: &[
        Qualifier::new("alias_file", FILE, false, "the alias file"),
        Qualifier::new(
            "channel",
            Takes::Nothing,
            true,
            "print what is known of the channel (default)",
        ),
        Qualifier::idle(
            "check_expansions",
            Takes::Nothing,
            true,
            "every expanded address is always checked",
        ),
        Qualifier::new(
            "configuration_file",
            FILE,
            false,
            "the file of rewrite rules and channels",
        ),
        Qualifier::new(
            "database",
            Takes::Required("LIST"),
            false,
            "noGENERAL, noREVERSE, noFORWARD, or NAME=FILE",
        ),
        Qualifier::new(
            "debug",
            Takes::Optional("all"),
            true,
            "print how the result came about; =all: rules that there are not, too",
        ),
        Qualifier::idle(
            "delivery_receipt",
            Takes::Nothing,
            true,
            "no message is made that could ask for one",
        ),
        Qualifier::new(
            "destination_channel",
            CHANNEL,
            false,
            "the channel that header addresses and the sender go to",
        ),
        Qualifier::idle("filter", Takes::Nothing, true, "this tool applies no filters"),
        Qualifier::new(
            "from",
            ADDRESS,
            true,
            "envelope From, for the access tables; -nofrom: none",
        ),
        Qualifier::idle("grey", Takes::Required("N"), false, "nothing is greylisted here"),
        Qualifier::new(
            "image_file",
            Takes::Optional("FILE"),
            true,
            "-noimage_file: read the text files",
        ),
        Qualifier::new(
            "input",
            FILE,
            false,
            "read addresses from a file, without prompts",
        ),
        Qualifier::new(
            "json",
            Takes::Nothing,
            false,
            "print a JSON object for each address, and no prompts",
        ),
        Qualifier::new(
            "local_alias",
            Takes::Required("NAME"),
            true,
            "what the local host is called in the results",
        ),
        Qualifier::new(
            "mapping_file",
            FILE,
            true,
            "the mapping file; -nomapping_file: none",
        ),
        Qualifier::new("option_file", FILE, true, "the option file; -nooption_file: none"),
        Qualifier::new("output", FILE, false, "write results to a file"),
        Qualifier::idle(
            "read_receipt",
            Takes::Nothing,
            true,
            "no message is made that could ask for one",
        ),
        Qualifier::idle(
            "reprocessing",
            Takes::Nothing,
            true,
            "the source channel alone decides",
        ),
        Qualifier::idle(
            "restricted",
            Takes::Required("N"),
            false,
            "no rewriting depends on it",
        ),
        Qualifier::new(
            "sender",
            ADDRESS,
            false,
            "the authenticated sender, for the access tables",
        ),
        Qualifier::new(
            "source_channel",
            CHANNEL,
            false,
            "the channel that the message comes from; default: l",
        ),
    ],
    notes: "The site is the directory in SLUICE_SITE, else ./sluice-site. The exit code is 0 where a channel \
            takes each address.\nIn addresses `^c3 bc^` are octets and `&fc;` is a character; `^^` and `&&` stand for themselves.",
};

struct Session<'p> {
    parsed: &'p Parsed,
    configuration: Configuration,
    callouts: Callouts,
    users_unknown: bool,
    trace: Option<bool>,
    output: Output,
}

pub(super) fn run(args: &[String], console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some(parsed) = USAGE.read(args, console)? else {
        return Ok(Exit::Ok);
    };
    let trace = strings::trace(&parsed)?;
    let mut input = Input::open(&parsed)?;
    let configuration = load(&parsed, console)?;
    for name in ["source_channel", "destination_channel"] {
        if let Some(channel) = parsed.value(name)
            && configuration
                .site
                .channel(&channel.to_ascii_lowercase())
                .is_none()
        {
            return Err(UsageError::Other(format!("`-{name}={channel}`: there is no such channel")).into());
        }
    }
    let layout = commands::layout(console);
    let (directory, users_unknown) = match mta::directory::load(&layout.users()) {
        Ok(loaded) => (loaded.directory, false),
        Err(_) => (
            Directory::new().map_err(|e| Failure::Failed(e.to_string()))?,
            true,
        ),
    };
    let directory = Arc::new(arc_swap::ArcSwap::from_pointee(directory));
    let callouts = Callouts::ReadOnly(Arc::new(Drivers::new(directory, layout.config())));
    let output = Output::create(&parsed)?;
    let mut session = Session {
        parsed: &parsed,
        configuration,
        callouts,
        users_unknown,
        trace,
        output,
    };
    let mut exit = Exit::Ok;
    if let Some(list) = parsed.arguments.first() {
        for address in list_of(list) {
            exit = worse(exit, session.test(&address, console)?);
        }
    } else {
        input.each("Address: ", console, |address, console| {
            if !address.trim().is_empty() {
                exit = worse(exit, session.test(&address, console)?);
            }
            Ok(())
        })?;
    }
    session.output.of(console).flush()?;
    Ok(exit)
}

fn worse(a: Exit, b: Exit) -> Exit {
    if a == Exit::Ok { b } else { a }
}

/// The site, with the files that the command line puts in the place of its own.
fn load(parsed: &Parsed, console: &mut Console<'_>) -> Result<Configuration, Failure> {
    let layout: Layout = commands::layout(console);
    let files = [
        "configuration_file",
        "mapping_file",
        "alias_file",
        "option_file",
        "database",
    ];
    let named = files.iter().any(|f| *parsed.get(f) != Given::Absent);
    if let Given::Present(Some(name)) = parsed.get("image_file") {
        console.note(&format!(
            "`{name}` is not used: a compiled configuration is read from its site only"
        ));
    }
    if !named && *parsed.get("image_file") != Given::Negated {
        return commands::load(&layout, false, console);
    }
    let mut texts = match mta::configuration::texts(&layout) {
        Ok(texts) => texts,
        Err(error) => return Err(commands::report(&error, console)?),
    };
    let config = layout.config();
    let read = |name: &str| match read_text(&given_path(name, &config)) {
        Ok(text) => Ok(Some((name.to_string(), text))),
        Err(why) => Err(Failure::Config(format!("cannot read `{name}`: {why}"))),
    };
    for (name, text) in [
        ("configuration_file", &mut texts.imta),
        ("mapping_file", &mut texts.mappings),
        ("alias_file", &mut texts.aliases),
        ("option_file", &mut texts.options),
    ] {
        match parsed.get(name) {
            Given::Present(Some(file)) => *text = read(file)?,
            Given::Negated => *text = None,
            _ => {}
        }
    }
    for item in parsed
        .value("database")
        .unwrap_or("")
        .split(',')
        .filter(|i| !i.is_empty())
    {
        let (name, file) = item.split_once('=').map_or((item, None), |(n, f)| (n, Some(f)));
        let name = name.trim().to_ascii_lowercase();
        let text = match name.strip_prefix("no").unwrap_or(&name) {
            "general" => &mut texts.general,
            "reverse" => &mut texts.reverse,
            "forward" => &mut texts.forward,
            _ => {
                console.note(&format!(
                    "`-database={item}` has no effect: there is no such database here"
                ));
                continue;
            }
        };
        *text = match (name.starts_with("no"), file) {
            (true, _) => None,
            (false, Some(file)) => read(file)?,
            (false, None) => {
                let text = format!("`-database={item}` needs a file: write `-database={item}=FILE`");
                return Err(UsageError::Other(text).into());
            }
        };
    }
    let reader = |name: &str| mta::configuration::include(&layout, name);
    match mta::configuration::load(&texts, &reader) {
        Ok(configuration) => Ok(configuration),
        Err(error) => Err(commands::report(&error, console)?),
    }
}

impl Session<'_> {
    /// A session of the source channel, with the sender of the command line.
    fn decider(&self) -> Decider {
        let site = Arc::clone(&self.configuration.site);
        let facts = Facts {
            now: mta::server::now(),
            seed: mta::server::seed(),
        };
        let evaluator = Evaluator::new(Arc::clone(&site), self.callouts.clone(), facts);
        let sender = self.parsed.value("sender");
        let session = SessionFacts {
            submit_type: "MAIL".into(),
            channel: self
                .parsed
                .value("source_channel")
                .unwrap_or("l")
                .to_ascii_lowercase(),
            auth_user: sender.map(String::from),
            auth_address: sender.unwrap_or("").to_string(),
            esmtp: true,
            ..SessionFacts::default()
        };
        let mut decider = Decider::new(evaluator, session, self.trace.is_some());
        let from = match self.parsed.get("from") {
            Given::Present(Some(from)) => from.clone(),
            Given::Negated => String::new(),
            _ => site
                .options
                .text("RETURN_ADDRESS", "postmaster@localhost")
                .to_string(),
        };
        let envelope = Envelope {
            from,
            source_channel: decider.facts.channel.clone(),
            ..Envelope::default()
        };
        let mut transaction = Transaction::default();
        transaction.envelope = envelope;
        decider.transaction = Some(transaction);
        decider.lenient = true;
        decider.users_unknown = self.users_unknown;
        decider
    }

    /// Tests an address and prints what came of it.
    fn test(&mut self, typed: &str, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let address = match unescape(typed.trim()) {
            Ok(address) => address,
            Err(why) => {
                let _ = writeln!(console.err, "imsimta: {why}: {typed}");
                return Ok(Exit::No);
            }
        };
        let mut decider = self.decider();
        let report = commands::block_on(self.report(&mut decider, &address))?;
        let site = Arc::clone(&self.configuration.site);
        let exit = match report.submitted.is_empty() {
            true => Exit::No,
            false => Exit::Ok,
        };
        let mut trace = String::new();
        for line in mta::explain::lines(
            &decider.records.take().unwrap_or_default(),
            &site,
            self.trace == Some(true),
        ) {
            trace.push_str(&line.text);
            trace.push('\n');
        }
        if self.parsed.is_set("json") {
            let _ = console.err.write_all(trace.as_bytes());
            let line = super::json_line(&report)?;
            super::put_line(&line, self.output.of(console))?;
            return Ok(exit);
        }
        let channel = report.forward_channel.as_deref().and_then(|c| site.channel(c));
        let official = channel.map_or("", |c| c.official_host.as_str());
        let block = channel.filter(|_| *self.parsed.get("channel") != Given::Negated);
        let text = trace + &report.text(official, block);
        self.output.of(console).write_all(text.as_bytes())?;
        Ok(exit)
    }

    async fn report(&self, decider: &mut Decider, address: &str) -> Report {
        let destination = self
            .parsed
            .value("destination_channel")
            .map(str::to_ascii_lowercase);
        let mut forms: Vec<Rewritten> = Vec::new();
        for (name, envelope, forward) in [
            ("envelope To", true, true),
            ("envelope From", true, false),
            ("header To", false, true),
            ("header From", false, false),
        ] {
            decider.say(|| format!("{name}:"));
            let request = Request {
                envelope,
                destination_channel: destination.clone(),
                ..decider.request(address, forward)
            };
            let mut form = decider.rewrite(request).await.unwrap_or_default();
            if form.channel.is_some() {
                let to = destination.as_deref().unwrap_or("");
                if let Ok(reversed) = decider.reverse(&form.address, envelope, forward, to).await {
                    form.address = reversed;
                }
            }
            form.address = self.local_alias(form.address);
            forms.push(form);
        }
        decider.say(|| "recipients:".into());
        let resolved = decider
            .resolve(&Rcpt {
                to: address.to_string(),
                ..Rcpt::default()
            })
            .await;
        let [to, from, header_to, header_from] = forms.try_into().unwrap_or_default();
        let submitted: Vec<Submitted> = resolved
            .accepted
            .into_iter()
            .map(|a| Submitted {
                channel: a.channel,
                address: a.recipient.address,
                host: a.host,
            })
            .collect();
        Report {
            address: address.to_string(),
            forward_channel: to.channel,
            backward_channel: from.channel,
            header_to: header_to.address,
            header_from: header_from.address,
            envelope_to: to.address,
            envelope_from: from.address,
            host: to.host,
            expanded: match resolved.expansions {
                0 => Vec::new(),
                _ => submitted.iter().map(|s| s.address.clone()).collect(),
            },
            submitted,
            errors: resolved
                .refused
                .into_iter()
                .map(|(_, reply)| status_first(&reply.summary()))
                .collect(),
        }
    }

    /// An address with the local host called as `-local_alias` says.
    fn local_alias(&self, address: String) -> String {
        let Some(alias) = self.parsed.value("local_alias") else {
            return address;
        };
        let Ok(mut parsed) = policy::address::Address::parse(&address) else {
            return address;
        };
        let local = self.configuration.site.host();
        match &mut parsed.domain {
            Some(domain) if domain.eq_ignore_ascii_case(local) => *domain = alias.to_string(),
            _ => return address,
        }
        parsed.to_string()
    }
}

/// A reply without its code: the enhanced status, then the text.
fn status_first(summary: &str) -> String {
    summary
        .split_once(' ')
        .map_or(summary, |(_, rest)| rest)
        .to_string()
}

/// The addresses of a list; commas in quotes and in source routes separate nothing.
fn list_of(list: &str) -> Vec<String> {
    policy::forward::split(list)
}

/// Puts the octets and characters of escapes in.
fn unescape(text: &str) -> Result<String, &'static str> {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['^', '&']) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let octets = rest[at..].starts_with('^');
        let tail = &rest[at + 1..];
        let (mark, close) = if octets { ('^', '^') } else { ('&', ';') };
        if let Some(after) = tail.strip_prefix(mark) {
            out.push(mark as u8);
            rest = after;
            continue;
        }
        let (body, after) = tail.split_once(close).ok_or(match octets {
            true => "`^` begins octets in hexadecimal, and no `^` ends them; write `^^` for the character",
            false => {
                "`&` begins a character in hexadecimal, and no `;` ends it; write `&&` for the character"
            }
        })?;
        if octets {
            for word in body.split_whitespace() {
                let octet = Some(word)
                    .filter(|w| w.len() == 2)
                    .and_then(|w| u8::from_str_radix(w, 16).ok());
                out.push(octet.ok_or("octets between `^` and `^` have two hexadecimal digits each")?);
            }
        } else {
            let c = u32::from_str_radix(body, 16).ok().and_then(char::from_u32);
            let c = c.ok_or("between `&` and `;` stands the hexadecimal number of a Unicode character")?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).map_err(|_| "the octets of the address are not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_escapes() {
        let cases = [
            ("a@b", Ok("a@b")),
            ("^c3 bc^@b", Ok("ü@b")),
            ("&fc;@b", Ok("ü@b")),
            ("a&ab;&ad;b@c", Ok("a\u{ab}\u{ad}b@c")),
            ("a^^b&&c@d", Ok("a^b&c@d")),
            ("^c3@b", Err("no `^` ends")),
            ("^c^@b", Err("two hexadecimal")),
            ("^ff^@b", Err("not UTF-8")),
            ("&fc@b", Err("no `;` ends")),
            ("&d800;@b", Err("number of a Unicode")),
        ];
        for (typed, expected) in cases {
            let got = unescape(typed);
            match expected {
                Ok(address) => assert_eq!(got.as_deref(), Ok(address), "{typed}"),
                Err(part) => assert!(got.unwrap_err().contains(part), "{typed}"),
            }
        }
    }
}
