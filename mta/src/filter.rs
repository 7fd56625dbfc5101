//! Sieve at enqueue: the system's script, those of the channels, the user's, and what they decide.
//!
//! Each recipient has a run of its own, in the order system (`imta.filter`), source channel
//! (`sourcefilter`), destination channel (`destinationfilter`), user (`sieve/USER.sieve` of the site). A
//! script of a user that does not compile, or stops with an error, means keep: mail is never lost to it, and
//! the operator is told. An error in a script of the site keeps the configuration from loading.
//!
//! Carried out here: keep, fileinto, redirect, discard, jettison, reject, ereject, refuse, vacation, hold, addtag,
//! header edits, flags. Other actions are named in the trace and in a notice as not carried out.
//!
//! Limits: messages over [`MESSAGE_LIMIT`] are not filtered, and kept, which the operator is told; [`CACHE`]
//! compiled user scripts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use grammar::{Diagnostic, Sources};
use policy::message::edit::edited_header;
use policy::message::{HeaderView, Message, RawValue};
use policy::sieve::{
    Action, Envelope, Level, LevelResult, Merged, NoLibrary, Options, Program, Request, compile, merge,
};
use policy::site::Site;

use crate::callout::duplicate_key;
use crate::evaluate::Evaluator;
use crate::queue::{PROCESS, mailbox};
use crate::transaction::{Accepted, Transaction};
use crate::vacation::Reply;

/// Largest message that scripts see, in octets.
pub const MESSAGE_LIMIT: u64 = 32 << 20;

/// Compiled user scripts kept (FILTER_CACHE_SIZE).
pub const CACHE: usize = 1000;

/// Largest user script, in octets.
const SCRIPT_LIMIT: u64 = 1 << 20;

/// A compiled script with its text.
#[derive(Debug, Clone)]
pub struct Script {
    program: Arc<Program>,
    sources: Arc<Sources>,
}

/// The scripts of the site.
#[derive(Debug, Clone, Default)]
pub struct SiteScripts {
    /// `imta.filter`.
    system: Option<Script>,
    /// Those that channel keywords name, by their URL.
    by_url: HashMap<String, Script>,
}

impl SiteScripts {
    /// Compiles the scripts that a configuration names; what is wrong with them goes to `diagnostics`, with
    /// the texts in `sources`.
    pub fn load(
        site: &Site,
        system: Option<&(String, String)>,
        read: &dyn Fn(&str) -> Result<String, String>,
        sources: &mut Sources,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut scripts = SiteScripts::default();
        let mut add = |name: &str, text: &str| {
            let file = sources.add(name, text);
            match compile(sources, file, &NoLibrary, &Options::default()) {
                Ok((program, warnings)) => {
                    diagnostics.extend(warnings);
                    Some(Script {
                        program: Arc::new(program),
                        sources: Arc::new(sources.clone()),
                    })
                }
                Err(errors) => {
                    diagnostics.extend(errors);
                    None
                }
            }
        };
        if let Some((name, text)) = system {
            scripts.system = add(name, text);
        }
        let mut unread = Vec::new();
        for channel in &site.channels {
            let settings = &channel.settings;
            for url in [&settings.source_filter, &settings.destination_filter]
                .into_iter()
                .flatten()
            {
                if scripts.by_url.contains_key(url) {
                    continue;
                }
                match read(url.strip_prefix("file:").unwrap_or(url)) {
                    Ok(text) => {
                        if let Some(script) = add(url, &text) {
                            scripts.by_url.insert(url.clone(), script);
                        }
                    }
                    Err(why) => unread.push((channel.span, url.clone(), why)),
                }
            }
        }
        for (span, url, why) in unread {
            diagnostics.push(
                Diagnostic::error(
                    "C021",
                    span,
                    format!("the Sieve script `{url}` cannot be read: {why}"),
                )
                .help("name a file by its full path, as `file:IMTA_TABLE:name.filter`"),
            );
        }
        scripts
    }
}

/// The users' scripts: a file each, compiled when it changes.
#[derive(Debug)]
pub struct UserScripts {
    folder: PathBuf,
    cache: Mutex<HashMap<String, Cached>>,
}

#[derive(Debug, Clone)]
struct Cached {
    changed: Option<SystemTime>,
    len: u64,
    script: Option<Script>,
}

impl UserScripts {
    /// The scripts in a folder, `USER.sieve` each.
    pub fn new(folder: PathBuf) -> Self {
        UserScripts {
            folder,
            cache: Mutex::default(),
        }
    }

    /// The script of a user; `None` where there is none, or none that compiles.
    pub fn of(&self, uid: &str) -> Option<Script> {
        // a user name may not leave the folder
        crate::directory::user::check_uid(uid).ok()?;
        let path = self.folder.join(format!("{uid}.sieve"));
        let facts = std::fs::metadata(&path).ok()?;
        let (changed, len) = (facts.modified().ok(), facts.len());
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cache.get(uid).filter(|c| c.changed == changed && c.len == len) {
            return cached.script.clone();
        }
        let script = read_script(&path, len);
        if cache.len() >= CACHE {
            cache.clear();
        }
        let script = match script {
            Ok(script) => Some(script),
            Err(why) => {
                // once for each change of the script, not for each message
                crate::notice::send(&format!(
                    "the Sieve script of {uid} does not compile, mail is kept: {why}"
                ));
                None
            }
        };
        cache.insert(
            uid.to_string(),
            Cached {
                changed,
                len,
                script: script.clone(),
            },
        );
        script
    }
}

fn read_script(path: &std::path::Path, len: u64) -> Result<Script, String> {
    if len > SCRIPT_LIMIT {
        return Err(format!("it is larger than {SCRIPT_LIMIT} octets"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let mut sources = Sources::new();
    let file = sources.add(path.display().to_string(), text);
    match compile(&mut sources, file, &NoLibrary, &Options::default()) {
        Ok((program, _)) => Ok(Script {
            program: Arc::new(program),
            sources: Arc::new(sources),
        }),
        Err(errors) => {
            let first = errors
                .first()
                .map(|d| format!("{}: {}", sources.place(d.span()), d.message));
            Err(first.unwrap_or_default())
        }
    }
}

/// What filtering a message came to.
#[derive(Debug, Default)]
pub struct Filtered {
    /// Recipients whose scripts refused, with the reason.
    pub refused: Vec<(Accepted, String)>,
    /// Vacation replies, to be sent once the message is safely queued.
    pub replies: Vec<Reply>,
    /// Keys of the duplicate memory and seconds to remember them, once the message is safely queued.
    pub remember: Vec<(String, u64)>,
}

/// Whether any recipient of a transaction has a script that wants to see its message.
pub fn applies(site: &Site, scripts: &SiteScripts, users: &UserScripts, transaction: &Transaction) -> bool {
    let has_script = |a| !levels(site, scripts, users, transaction, a).is_empty();
    transaction.recipients.iter().any(has_script)
}

/// Runs the scripts for all recipients of a transaction; its recipients are afterwards what they decided.
pub async fn run(
    evaluator: &mut Evaluator,
    scripts: &SiteScripts,
    users: &UserScripts,
    transaction: &mut Transaction,
    raw: Arc<[u8]>,
    mut say: impl FnMut(&mut Evaluator, String),
) -> Filtered {
    let message = Arc::new(Message::new(raw));
    let site = Arc::clone(evaluator.site());
    let mut filtered = Filtered::default();
    for accepted in std::mem::take(&mut transaction.recipients) {
        let levels = levels(&site, scripts, users, transaction, &accepted);
        if levels.is_empty() {
            transaction.recipients.push(accepted);
            continue;
        }
        let results = run_levels(evaluator, levels, transaction, &accepted, &message).await;
        for result in &results {
            if let Some(fault) = &result.outcome.error {
                let to = &accepted.recipient.address;
                say(
                    evaluator,
                    format!("Sieve for {to} stopped: {fault}; the message is kept"),
                );
            }
        }
        for result in &results {
            for r in &result.outcome.remember {
                let key = duplicate_key(&accepted.recipient.intermediate, &r.handle, &r.id);
                filtered.remember.push((key, r.seconds));
            }
        }
        let merged = merge(results);
        let words: Vec<String> = merged.actions.iter().map(|p| action_text(&p.action)).collect();
        say(
            evaluator,
            format!("Sieve for {}: {}", accepted.recipient.address, words.join(", ")),
        );
        carry_out(accepted, merged, transaction, &mut filtered);
    }
    let id = HeaderView::message(&message, None)
        .values("Message-ID")
        .first()
        .map(RawValue::unfolded);
    for reply in &mut filtered.replies {
        reply.message_id = id.clone().unwrap_or_default();
    }
    filtered
}

/// The scripts of one recipient, the least specific first.
fn levels(
    site: &Site,
    scripts: &SiteScripts,
    users: &UserScripts,
    transaction: &Transaction,
    accepted: &Accepted,
) -> Vec<(Level, Script)> {
    let named = |url: Option<&String>| url.and_then(|u| scripts.by_url.get(u)).cloned();
    let source = site.channel(&transaction.envelope.source_channel);
    let destination = site.channel(&accepted.channel);
    let mut levels: Vec<(Level, Script)> = Vec::new();
    levels.extend(scripts.system.clone().map(|s| (Level::System, s)));
    levels.extend(named(source.and_then(|c| c.settings.source_filter.as_ref())).map(|s| (Level::System, s)));
    levels.extend(
        named(destination.and_then(|c| c.settings.destination_filter.as_ref())).map(|s| (Level::System, s)),
    );
    if let Some(uid) = mailbox(site, &accepted.channel, &accepted.recipient.address) {
        levels.extend(users.of(&uid).map(|s| (Level::User, s)));
    }
    levels
}

async fn run_levels(
    evaluator: &mut Evaluator,
    levels: Vec<(Level, Script)>,
    transaction: &Transaction,
    accepted: &Accepted,
    message: &Arc<Message>,
) -> Vec<LevelResult> {
    let mut results: Vec<LevelResult> = Vec::new();
    for (level, script) in levels {
        let envelope = Envelope {
            from: transaction.envelope.from.clone(),
            to: accepted.recipient.intermediate.clone(),
            auth: transaction.envelope.auth_user.clone(),
            orcpt: Some(accepted.recipient.original.clone()),
            envid: transaction.envelope.envelope_id.clone(),
            conversion_tags: transaction.envelope.tags.clone(),
            ..Envelope::default()
        };
        let mut request = Request::new(Arc::clone(&script.program), Arc::clone(message), envelope);
        request.level = level;
        if let Some(last) = results.last() {
            request.follow(&last.outcome);
        }
        match evaluator.sieve(request, Arc::clone(&script.sources)).await {
            Ok(outcome) => results.push(LevelResult {
                level,
                outcome: *outcome,
            }),
            Err(error) => {
                let to = &accepted.recipient.address;
                crate::notice::send(&format!(
                    "Sieve for {to} came to no end, the message is kept: {error}"
                ));
            }
        }
    }
    results
}

fn carry_out(accepted: Accepted, merged: Merged, transaction: &mut Transaction, filtered: &mut Filtered) {
    let mut delivered = false;
    let keep_as_it_was = merged.actions.is_empty();
    let mut hold = false;
    let mut tag = None;
    let mut copies: Vec<Accepted> = Vec::new();
    for performed in merged.actions {
        let header = performed
            .headers
            .as_ref()
            .map(|h| Bytes::from(edited_header(&performed.message, h)));
        let copy = || Accepted {
            header: header.clone(),
            ..accepted.clone()
        };
        match performed.action {
            Action::Keep { flags, .. } => {
                let mut copy = copy();
                copy.recipient.flags = flags;
                copies.push(copy);
                delivered = true;
            }
            Action::FileInto { mailbox, flags, .. } => {
                let mut copy = copy();
                copy.recipient.flags = flags;
                copy.recipient.folder = (!mailbox.eq_ignore_ascii_case("INBOX")).then_some(mailbox);
                copies.push(copy);
                delivered = true;
            }
            Action::Redirect { address, .. } => {
                let mut copy = copy();
                copy.recipient.address = address;
                copy.recipient.folder = None;
                copy.channel = PROCESS.to_string();
                copy.host = String::new();
                copies.push(copy);
                delivered = true;
            }
            Action::Reject { reason } | Action::EReject { reason } | Action::Refuse { reason } => {
                filtered.refused.push((accepted.clone(), reason));
                delivered = true;
            }
            Action::Vacation {
                reason,
                subject,
                from,
                mime,
                to,
                key,
                interval,
                ..
            } => {
                if !transaction.envelope.no_vacation {
                    filtered.replies.push(Reply {
                        owner: accepted.recipient.intermediate.clone(),
                        to,
                        subject,
                        reason,
                        mime,
                        from,
                        key,
                        interval,
                        message_id: String::new(),
                    });
                }
            }
            Action::Discard | Action::Jettison => {}
            Action::Hold => hold = true,
            Action::AddTag { tag: text } => tag = Some(text),
            Action::NoVacation => transaction.envelope.no_vacation = true,
            Action::SpamAdjust { .. } | Action::VirusSet { .. } => {}
            other => {
                let to = &accepted.recipient.address;
                crate::notice::send(&format!(
                    "Sieve for {to}: {} is not carried out in this version",
                    action_text(&other)
                ));
            }
        }
    }
    if keep_as_it_was {
        copies.push(accepted);
    } else if !delivered {
        // discarded: the log shows it by way of the bit bucket
        copies.push(Accepted {
            channel: crate::queue::BITBUCKET.to_string(),
            host: String::new(),
            ..accepted
        });
    }
    for mut copy in copies {
        copy.hold |= hold;
        if tag.is_some() {
            copy.subject_tag = tag.clone();
        }
        transaction.recipients.push(copy);
    }
}

/// An action in words.
fn action_text(action: &Action) -> String {
    let value = serde_json::to_value(action).unwrap_or_default();
    let name = value["action"].as_str().unwrap_or("?").to_string();
    let detail = ["mailbox", "address", "reason", "tag"]
        .iter()
        .find_map(|k| value[k].as_str());
    match (detail, value["implicit"].as_bool()) {
        (Some(detail), _) => format!("{name} {detail}"),
        (None, Some(true)) => format!("{name} (implicit)"),
        _ => name,
    }
}
