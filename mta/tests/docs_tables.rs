//! The tables of docs/errors.md, docs/channels.md and docs/options.md say what the program says.
//!
//! Each page has a part between two marks that this test makes from the code. It fails where the page says
//! something else; `UPDATE_DOCS=1 cargo test -p sluice-mta --test docs_tables` writes the pages anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use policy::channel::{Arguments, Effect, KEYWORDS};
use policy::options::{EFFECTIVE, RECOGNISED};

const BEGIN: &str = "<!-- made from the code by mta/tests/docs_tables.rs; do not edit below -->\n";
const END: &str = "<!-- end of what is made from the code -->\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares the made part of a page, or writes it.
fn check(page: &str, made: &str) {
    let path = root().join("docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (head, rest) = text
        .split_once(BEGIN)
        .unwrap_or_else(|| panic!("{page} lacks the line {BEGIN}"));
    let (old, tail) = rest
        .split_once(END)
        .unwrap_or_else(|| panic!("{page} lacks the line {END}"));
    if old == made {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{made}{END}{tail}")).unwrap();
        return;
    }
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (old.lines().collect(), made.lines().collect());
    let missing: Vec<_> = new.difference(&old).collect();
    let stale: Vec<_> = old.difference(&new).collect();
    panic!(
        "docs/{page} is not what the code says; run with UPDATE_DOCS=1\nmissing: {missing:#?}\nstale: {stale:#?}"
    );
}

#[test]
fn channel_keywords() {
    let mut out = String::from("\n| keyword | followed by | |\n| --- | --- | --- |\n");
    for k in KEYWORDS {
        let arguments = match k.arguments {
            Arguments::None => "",
            Arguments::Word => "a word",
            Arguments::WordOptional => "a word, perhaps a second one",
            Arguments::Number => "a number",
            Arguments::NumberOptional => "a number, or nothing",
            Arguments::Ages => "1 to 5 increasing numbers",
            Arguments::Durations => "1 to 8 quoted durations, `\"pt30m\"`",
        };
        let effect = match k.effect {
            Effect::Works => "works",
            Effect::Always => "what is done on every channel",
            Effect::None => "accepted, no effect yet",
        };
        writeln!(out, "| `{}` | {arguments} | {effect} |", k.name).unwrap();
    }
    out.push('\n');
    check("channels.md", &out);
}

/// Name, default, meaning of the options that work.
const MEANINGS: &[(&str, &str, &str)] = &[
    (
        "ACCESS_COUNTS",
        "0",
        "1: recipient counts are appended to the probes of the recipient tables",
    ),
    (
        "ACCESS_ERRORS",
        "0",
        "1: refused recipients get the address's own error instead of the access text",
    ),
    (
        "ACCESS_ORCPT",
        "0",
        "1: the original recipient is appended to the probes of the recipient tables",
    ),
    (
        "ALIAS_DOMAINS",
        "6",
        "which forms of an address are looked up as aliases: bits 1 local part, 2 address, 4 `*@domain`",
    ),
    (
        "BLOCK_LIMIT",
        "none",
        "largest message, in blocks; larger ones are refused (104,857,600 octets where nothing says otherwise)",
    ),
    ("BLOCK_SIZE", "1024", "octets in a block"),
    (
        "CUSTOM_VERSION_STRING",
        "(Sluice VERSION)",
        "what the banner says after the host name",
    ),
    (
        "DOMAIN_FAILURE",
        "none",
        "template used when a domain look-up fails for the moment",
    ),
    (
        "ID_DOMAIN",
        "the host",
        "domain of the message identifiers that are made here",
    ),
    (
        "INCLUDE_CONVERSIONTAG",
        "0",
        "bits: conversion tags in the probes of access tables",
    ),
    (
        "LOG_CONNECTION",
        "0",
        "bits: connection entries and connection data, see [read the log](read-the-log.md)",
    ),
    (
        "INCLUDE_RETRIES",
        "0",
        "2: the number of attempts is appended to the probes of DEQUEUE_ACCESS",
    ),
    ("LOG_DIAGNOSTICS", "1", "dual: diagnostic text"),
    ("LOG_ENVELOPE_ID", "0", "dual: envelope identifier"),
    ("LOG_FILENAME", "0", "dual: name of the queue file"),
    ("LOG_FORMAT", "1", "1 to 3 text, 4 XML, 5 and 6 JSON"),
    (
        "LOG_INTERMEDIATE",
        "0",
        "dual: addresses between the original and the final one",
    ),
    ("LOG_MESSAGE_ID", "0", "dual: Message-ID"),
    ("LOG_NODE", "0", "1: name of the node"),
    ("LOG_NOTARY", "0", "dual: NOTARY flags"),
    ("LOG_PRIORITY", "0", "dual: priority"),
    ("LOG_PROCESS", "0", "1: process, thread and operation number"),
    (
        "LOG_QUEUE_TIME",
        "0",
        "dual: seconds in the queue, in dequeue entries",
    ),
    ("LOG_REASON", "0", "dual: reason, in `R` and `K` entries"),
    ("LOG_REMOTE_MTA", "0", "dual: host that was delivered to"),
    ("LOG_USERNAME", "0", "dual: authenticated user"),
    (
        "MAPPING_PARANOIA",
        "none",
        "character (or its number) that replaces `|` in what outsiders wrote before it goes into a probe",
    ),
    ("MAX_ALIAS_LEVELS", "10", "nesting of aliases"),
    (
        "MAX_LOCAL_RECEIVED_LINES",
        "10",
        "Received lines naming this host before a message is held as a loop",
    ),
    (
        "MAX_RECEIVED_LINES",
        "50",
        "Received lines before a message is held as a loop",
    ),
    (
        "MAX_TOTAL_RECEIVED_LINES",
        "100",
        "trace lines of all kinds before a message is held as a loop",
    ),
    (
        "MISSING_RECIPIENT_GROUP_TEXT",
        "Recipients not specified",
        "name of the empty group that MISSING_RECIPIENT_POLICY=4 puts in",
    ),
    (
        "MISSING_RECIPIENT_POLICY",
        "0",
        "a message without To, Cc and Bcc: 0 and 1 stays so, 2 gets all its recipients in To, 3 in Bcc, 4 an empty group in To, 5 an empty Bcc, 6 is refused; `missingrecipientpolicy` of the source channel comes first",
    ),
    ("RETURN_ADDRESS", "postmaster@host", "From of notifications"),
    (
        "RETURN_PERSONAL",
        "Internet Mail Delivery",
        "name in the From of notifications",
    ),
    ("RETURN_UNITS", "0", "unit of `notices`: 0 days, 1 hours"),
    (
        "SEPARATE_CONNECTION_LOG",
        "0",
        "1: connection entries go to `connection.log_current`",
    ),
    (
        "AUTOREPLY_TIMEOUT_DEFAULT",
        "168",
        "hours between two replies of a Sieve `vacation` that says nothing",
    ),
    ("LOG_CONVERSION_TAG", "0", "dual: conversion tags"),
    (
        "LOG_FILTER",
        "0",
        "dual: what Sieve scripts did, and where; on by default in XML",
    ),
    (
        "LOG_TRANSACTIONLOG",
        "0",
        "dual: text of the Sieve action `transactionlog`",
    ),
    ("MAX_ADDHEADERS", "15", "`addheader` actions of a user's script"),
    (
        "MAX_DUPLICATES",
        "10",
        "different `duplicate` tests of a user's script",
    ),
    ("MAX_FILEINTOS", "10", "`fileinto` actions of a user's script"),
    ("MAX_FORWARDS", "32", "old name of MAX_REDIRECTS"),
    ("MAX_NOTIFYS", "10", "`notify` actions of a script"),
    (
        "MAX_REDIRECTS",
        "32",
        "addresses that a user's script redirects to; wins over MAX_FORWARDS",
    ),
    ("MAX_SIEVE_LIST_SIZE", "64", "strings in a list of a script"),
    (
        "MAX_VACATIONS",
        "2",
        "`vacation` actions of a script; 0: the extension is not there",
    ),
    ("MAX_VARIABLES", "128", "variables of a script"),
    (
        "SIEVE_REDIRECT_ADD_RESENT",
        "1",
        "1: `redirect` adds Resent fields unless it says `:noresent`; 0: only with `:resent`",
    ),
    (
        "VACATION_MINIMUM_TIMEOUT",
        "0",
        "smallest number of seconds between two replies of a `vacation`",
    ),
    ("USE_TEXT_DATABASES", "0", "which text databases are used"),
    ("REVERSE_ENVELOPE", "1", "1: the envelope From is reversed, too"),
    (
        "USE_FORWARD_DATABASE",
        "0",
        "bits of FORWARD: 1 the forward database, 8 and 16 the long forms of keys and probes",
    ),
    (
        "USE_REVERSE_DATABASE",
        "5",
        "bits of address reversal, see docs/rewrite.md",
    ),
];

#[test]
fn options() {
    let mut out =
        String::from("\n## Options that work\n\n| option | default | meaning |\n| --- | --- | --- |\n");
    for (name, _) in EFFECTIVE {
        let (_, default, meaning) = MEANINGS
            .iter()
            .find(|m| m.0 == *name)
            .unwrap_or_else(|| panic!("option {name} has no meaning in MEANINGS of this test"));
        writeln!(out, "| `{name}` | {default} | {} |", meaning.replace('|', "\\|")).unwrap();
    }
    for (name, ..) in MEANINGS {
        assert!(
            EFFECTIVE.iter().any(|(known, _)| known == name),
            "MEANINGS has {name}, which is no option that works"
        );
    }
    out.push_str("\n## Options that are accepted and do nothing yet\n\n");
    for name in RECOGNISED {
        writeln!(out, "- `{name}`").unwrap();
    }
    out.push('\n');
    check("options.md", &out);
}

/// What the first letter of a code stands for.
const AREAS: &[(char, &str)] = &[
    ('A', "Aliases"),
    ('C', "Channels and the configuration as a whole"),
    ('D', "dispatcher.cnf"),
    ('G', "general.txt"),
    ('L', "Lines and included files"),
    ('M', "Mapping tables"),
    ('O', "Options"),
    ('P', "Patterns of mapping tables"),
    ('R', "Rewrite rules"),
    ('S', "Sieve scripts"),
    ('T', "Templates of mapping tables"),
    ('U', "The users file"),
];

/// Messages that are not written out beside their code.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "C009",
        "what follows a keyword cannot be used; the message says why",
    ),
    ("C020", "the compiled configuration cannot be used"),
    (
        "C030",
        "an open relay: a stranger may send to strangers; `sluice check` alone looks for it",
    ),
    ("M006", "this entry belongs to no table"),
    ("O013", "a logging option is no number or out of range"),
    (
        "S200",
        "the script stopped with an error; only `sluice sieve run` says it so",
    ),
    ("U011", "the password verifier cannot be used"),
];

#[test]
fn errors() {
    let mut codes: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for folder in ["grammar/src", "policy/src", "mta/src", "cli/src"] {
        let mut files = Vec::new();
        collect(&root().join(folder), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            // tests stand at the end of a file
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            scan(text, &mut codes);
        }
    }
    assert!(
        codes.len() > 50,
        "only {} codes were found: the scan is broken",
        codes.len()
    );
    let mut out = String::new();
    for (letter, area) in AREAS {
        writeln!(
            out,
            "\n## {letter}: {area}\n\n| code | | message |\n| --- | --- | --- |"
        )
        .unwrap();
        for (code, (severities, messages)) in codes.iter().filter(|(c, _)| c.starts_with(*letter)) {
            let list = |set: &BTreeSet<String>, by: &str| set.iter().cloned().collect::<Vec<_>>().join(by);
            let message = list(messages, "; ").replace('|', "\\|");
            writeln!(out, "| {code} | {} | {message} |", list(severities, ", ")).unwrap();
        }
    }
    for code in codes.keys() {
        assert!(
            AREAS.iter().any(|(l, _)| code.starts_with(*l)),
            "{code} has a letter that AREAS lacks"
        );
    }
    out.push('\n');
    check("errors.md", &out);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "tests" {
            collect(&path, files);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// Finds `"X000"` where it is the first argument of a call.
fn scan(text: &str, codes: &mut BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>) {
    for (at, _) in text.match_indices('"') {
        let Some(code) = text.get(at + 1..at + 5).filter(|c| is_code(c)) else {
            continue;
        };
        if text.as_bytes().get(at + 5) != Some(&b'"')
            || text[..at].trim_end().as_bytes().last() != Some(&b'(')
        {
            continue;
        }
        let before = &text[..at];
        let call = before.trim_end().trim_end_matches('(');
        let severity = [
            ("error", "error"),
            ("warning", "warning"),
            ("warn", "warning"),
            ("note", "note"),
        ]
        .into_iter()
        .find(|(name, _)| call.ends_with(name));
        // helpers that make a report under another name make errors
        let severity = severity.map_or("error", |(_, severity)| severity);
        let arguments = arguments(&text[at..]);
        let message = ELSEWHERE
            .iter()
            .find(|(c, _)| *c == code)
            .map(|(_, m)| m.to_string());
        let message = message.or_else(|| arguments.get(2).and_then(|a| literal(a)));
        // `let message = ...;` stands right before the call
        let named = || literal(before.rsplit_once("let message = ")?.1);
        let any = || arguments.iter().skip(1).find_map(|a| literal(a));
        let message = message
            .or_else(named)
            .or_else(any)
            .unwrap_or_else(|| "names the word and what is wrong with it".to_string());
        let entry = codes.entry(code.to_string()).or_default();
        entry.0.insert(severity.to_string());
        entry.1.insert(message);
    }
}

fn is_code(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 4 && bytes[0].is_ascii_uppercase() && bytes[1..].iter().all(u8::is_ascii_digit)
}

/// The arguments of a call, from the first on.
fn arguments(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in text.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else {
            match c {
                '"' => quoted = true,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => break,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.push(String::new());
                    continue;
                }
                _ => {}
            }
        }
        if let Some(last) = found.last_mut() {
            last.push(c);
        }
    }
    found
}

/// The first string literal in a text, without its escapes.
fn literal(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.split_once('"')?.1.chars();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => out.push(chars.next()?),
            c => out.push(c),
        }
    }
}
