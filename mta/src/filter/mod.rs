//! Sieve at enqueue: the system's script, those of the channels, the user's, and what they decide.
//!
//! Each recipient has a run of its own, in the order system (`imta.filter`), source channel
//! (`sourcefilter`), destination channel (`destinationfilter`), user (`sieve/USER.sieve` of the site). A
//! script of a user that does not compile, or stops with an error, means keep: mail is never lost to it, and
//! the operator is told. An error in a script of the site keeps the configuration from loading.
//!
//! Carried out here ([`carry_out`]): all actions, but for the deliver-by arguments of redirect. What changes of the
//! message for one recipient changes for that one alone.
//!
//! Limits: messages over [`MESSAGE_LIMIT`] are not filtered, and kept, which the operator is told; [`TEXTS_LIMIT`];
//! [`CACHE`] compiled user scripts.

mod carry_out;
mod effects;
pub mod library;
mod scripts;
mod texts;
pub mod trouble;
mod words;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Zoned;
use policy::message::{HeaderView, Message, RawValue};
use policy::sieve::{Action, ActionLimits, Envelope, Level, LevelResult, Program, Request, merge};
use policy::site::Site;

use crate::callout::duplicate_key;
use crate::capture::{self, Capture};
use crate::evaluate::Evaluator;
use crate::letter::Letter;
use crate::queue::mailbox;
use crate::transaction::{Accepted, Transaction};
use crate::vacation::Reply;

use carry_out::Scene;
use trouble::Trouble;
use words::Places;

pub use scripts::{Bad, CACHE, Owner, Script, SiteScripts, UserScripts, options};

/// Largest message that scripts see, in octets.
pub const MESSAGE_LIMIT: u64 = 32 << 20;

/// Octets of all the different texts that scripts make of one message; with more the message is refused for the time
/// being, so that it comes again for fewer recipients.
pub const TEXTS_LIMIT: usize = 8 * MESSAGE_LIMIT as usize;

/// What filtering a message came to.
#[derive(Debug, Default)]
pub struct Filtered {
    /// Recipients whose scripts refused, with the reason.
    pub refused: Vec<(Accepted, String)>,
    /// Vacation replies, to be sent once the message is safely queued.
    pub replies: Vec<Reply>,
    /// Other mail that scripts ask for, to be sent then, too.
    pub letters: Vec<Letter>,
    /// Scripts that do not work, of which their owners are told then.
    pub troubles: Vec<Trouble>,
    /// The texts that scripts made of the message: recipients with the same one share it.
    texts: Vec<Bytes>,
    /// Scripts made more of it than [`TEXTS_LIMIT`].
    pub too_much: bool,
    /// Copies for those who watch, which [`run`] makes letters of.
    captures: Vec<Capture>,
    /// Site counters and what is added to them (`adjustcounter`), once the message is safely queued.
    pub counted: Vec<(u64, i64)>,
    /// Keys of the duplicate memory and seconds to remember them, once the message is safely queued.
    pub remember: Vec<(String, u64)>,
}

impl Filtered {
    /// A text of the message, shared with those who have the same.
    fn text(&mut self, new: Vec<u8>) -> Bytes {
        self.text_within(new, TEXTS_LIMIT)
    }

    fn text_within(&mut self, new: Vec<u8>, limit: usize) -> Bytes {
        if let Some(old) = self.texts.iter().find(|t| **t == new) {
            return old.clone();
        }
        let held: usize = self.texts.iter().map(Bytes::len).sum();
        if held.saturating_add(new.len()) > limit {
            self.too_much = true;
            return Bytes::new();
        }
        let new = Bytes::from(new);
        self.texts.push(new.clone());
        new
    }
}

/// Whether any recipient of a transaction has a script that wants to see its message.
pub fn applies(site: &Site, scripts: &SiteScripts, users: &UserScripts, transaction: &Transaction) -> bool {
    let has_script = |a| {
        let (levels, bad) = levels(site, scripts, users, transaction, a);
        !levels.is_empty() || bad.is_some()
    };
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
    let at = Zoned::now();
    let mut counted = Vec::new();
    let mut filtered = Filtered::default();
    for accepted in std::mem::take(&mut transaction.recipients) {
        let (levels, bad) = levels(&site, scripts, users, transaction, &accepted);
        if levels.is_empty() && bad.is_none() {
            transaction.recipients.push(accepted);
            continue;
        }
        let to = accepted.recipient.address.clone();
        let owners = Owners::of(&site, users, &accepted);
        let mut runs = run_levels(evaluator, levels, transaction, (&accepted, &owners), &message).await;
        count_once(&mut runs, &mut counted);
        let places = Places::of(&runs);
        let mut faults = Vec::new();
        if let Some(bad) = bad {
            let owner = &owners.user.address;
            filtered.troubles.push(Trouble::compiling(owner, &bad.all));
            faults.push(bad.first.clone());
        }
        for Run { result, .. } in &runs {
            let owner = owners.of_level(result.level);
            if let Some(fault) = &result.outcome.error {
                let text = places.fault(result.level, fault);
                match result.level {
                    Level::User => filtered
                        .troubles
                        .push(Trouble::running(&owner.address, &text, &message)),
                    Level::System => {
                        crate::notice::send(&format!("Sieve for {to} stopped, the message is kept: {text}"));
                    }
                }
                faults.push(text);
            }
            for r in &result.outcome.remember {
                let key = duplicate_key(&owner.address, &r.handle, &r.id);
                filtered.remember.push((key, r.seconds));
            }
        }
        for fault in &faults {
            say(
                evaluator,
                format!("Sieve for {to} failed, the message is kept: {fault}"),
            );
        }
        let only = runs.first().map(|r| r.result.level).unwrap_or_default();
        let mut merged = merge(runs.into_iter().map(|r| r.result).collect());
        for performed in &mut merged.actions {
            // where there was but one level it goes without saying
            performed.level.get_or_insert(only);
        }
        if !merged.actions.is_empty() {
            say(
                evaluator,
                format!("Sieve for {to}: {}", places.tell(&merged.actions)),
            );
        }
        let mut accepted = accepted;
        accepted.noted.filter = places.log(&merged.actions);
        for fault in &faults {
            accepted.noted.filter.push_str(&format!(" error: {fault}"));
        }
        let scene = Scene {
            site: &site,
            owners: &owners,
            at: &at,
            message: &message,
        };
        carry_out::carry_out(&scene, accepted, merged, transaction, &mut filtered);
    }
    let id = HeaderView::message(&message, None)
        .values("Message-ID")
        .first()
        .map(RawValue::unfolded);
    for reply in &mut filtered.replies {
        reply.message_id = id.clone().unwrap_or_default();
    }
    let captures = std::mem::take(&mut filtered.captures);
    filtered.letters.extend(
        captures
            .iter()
            .map(|c| capture::letter(c, &transaction.envelope, site.host(), &at)),
    );
    filtered
}

/// One script's run.
struct Run {
    script: Script,
    result: LevelResult,
}

/// Lets a script that does not depend on the recipient count a message once, not for each recipient. `counted` has
/// the scripts that have counted.
fn count_once(results: &mut [Run], counted: &mut Vec<Arc<Program>>) {
    for run in results {
        let program = &run.script.program;
        if program.is_recipient_specific() {
            continue;
        }
        if counted.iter().any(|c| Arc::ptr_eq(c, program)) {
            let actions = &mut run.result.outcome.actions;
            actions.retain(|p| !matches!(p.action, Action::AdjustCounter { .. }));
        } else {
            counted.push(Arc::clone(program));
        }
    }
}

/// Whose the scripts of one recipient are.
struct Owners {
    /// Of those of the site: the postmaster.
    system: Owner,
    /// Of the recipient's own.
    user: Owner,
}

impl Owners {
    fn of(site: &Site, users: &UserScripts, accepted: &Accepted) -> Self {
        let postmaster = format!("postmaster@{}", site.host());
        let system = Owner {
            address: site.options.text("RETURN_ADDRESS", &postmaster).to_string(),
            others: Vec::new(),
        };
        let known = mailbox(site, &accepted.channel, &accepted.recipient.address);
        let user = users.owner(&known.unwrap_or_default(), &accepted.recipient.intermediate);
        Owners { system, user }
    }

    fn of_level(&self, level: Level) -> &Owner {
        match level {
            Level::System => &self.system,
            Level::User => &self.user,
        }
    }
}

/// The scripts of one recipient, the least specific first, and what is wrong with the recipient's own.
fn levels(
    site: &Site,
    scripts: &SiteScripts,
    users: &UserScripts,
    transaction: &Transaction,
    accepted: &Accepted,
) -> (Vec<(Level, Script)>, Option<Arc<Bad>>) {
    let named = |url: Option<&String>| url.and_then(|u| scripts.by_url.get(u)).cloned();
    let source = site.channel(&transaction.envelope.source_channel);
    let destination = site.channel(&accepted.channel);
    let mut levels: Vec<(Level, Script)> = Vec::new();
    levels.extend(scripts.system.clone().map(|s| (Level::System, s)));
    levels.extend(named(source.and_then(|c| c.settings.source_filter.as_ref())).map(|s| (Level::System, s)));
    levels.extend(
        named(destination.and_then(|c| c.settings.destination_filter.as_ref())).map(|s| (Level::System, s)),
    );
    let mut bad = None;
    if let Some(uid) = mailbox(site, &accepted.channel, &accepted.recipient.address) {
        match users.of(&uid, ActionLimits::of_site(&site.options)) {
            Some(Ok(script)) => levels.push((Level::User, script)),
            Some(Err(why)) => bad = Some(why),
            None => {}
        }
    }
    (levels, bad)
}

async fn run_levels(
    evaluator: &mut Evaluator,
    levels: Vec<(Level, Script)>,
    transaction: &Transaction,
    (accepted, owners): (&Accepted, &Owners),
    message: &Arc<Message>,
) -> Vec<Run> {
    let site = Arc::clone(evaluator.site());
    let options = &site.options;
    let mut results: Vec<Run> = Vec::new();
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
        request.limits = ActionLimits::of_site(options);
        request.redirect_add_resent = options.number("SIEVE_REDIRECT_ADD_RESENT", 1) != 0;
        let owner = owners.of_level(level);
        request.owner.clone_from(&owner.address);
        request.addresses.clone_from(&owner.others);
        if let Some(last) = results.last() {
            request.follow(&last.result.outcome);
        }
        match evaluator.sieve(request, Arc::clone(&script.sources)).await {
            Ok(outcome) => results.push(Run {
                script,
                result: LevelResult {
                    level,
                    outcome: *outcome,
                },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shared_and_all_together_bounded() {
        let mut filtered = Filtered::default();
        let first = filtered.text_within(b"0123".to_vec(), 10);
        let again = filtered.text_within(b"0123".to_vec(), 10);
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!(filtered.text_within(b"456789".to_vec(), 10), &b"456789"[..]);
        assert!(!filtered.too_much);
        assert!(filtered.text_within(b"x".to_vec(), 10).is_empty());
        assert!(filtered.too_much);
    }
}
