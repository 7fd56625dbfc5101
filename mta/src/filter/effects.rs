//! What scripts change of every copy that they let go: envelope, conversion tags, text around the content.

use policy::message::Message;
use policy::sieve::{Action, Performed};
use store::envelope::{Envelope, Notify};

use super::Filtered;
use super::texts::with_texts;
use crate::transaction::{Accepted, Changed, Noted};

/// Changes of all copies for one recipient, of all levels in the order of execution.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub changed: Changed,
    notify: Option<Notify>,
    prefix: String,
    suffix: String,
    hold: bool,
    pub noted: Noted,
}

impl Effects {
    /// The changes that actions ask for of a message with this envelope.
    pub fn of(actions: &[Performed], envelope: &Envelope) -> Self {
        let mut effects = Effects::default();
        let changed = &mut effects.changed;
        for performed in actions {
            let mut tags = changed.tags.clone().unwrap_or_else(|| envelope.tags.clone());
            match &performed.action {
                Action::SetEnvelopeFrom { address } => changed.from = Some(address.clone()),
                Action::SetNotify { value } => effects.notify = Some(notify(value)),
                Action::SetRet { value } => changed.return_headers = Some(value.eq_ignore_ascii_case("HDRS")),
                Action::SetMtPriority { value } => changed.priority = Some(*value),
                Action::AddConversionTag { tags: new } => {
                    add(&mut tags, new);
                    changed.tags = Some(tags);
                }
                Action::SetConversionTag { tags: new } => {
                    tags.clear();
                    add(&mut tags, new);
                    changed.tags = Some(tags);
                }
                Action::RemoveConversionTag { tags: old } => {
                    tags.retain(|t| !old.iter().any(|o| o.eq_ignore_ascii_case(t)));
                    changed.tags = Some(tags);
                }
                Action::AddPrefix { text } => effects.prefix.push_str(text),
                Action::AddSuffix { text } => effects.suffix.push_str(text),
                Action::Hold => effects.hold = true,
                Action::TransactionLog { text } => {
                    let log = &mut effects.noted.transaction_log;
                    if !log.is_empty() {
                        log.push(' ');
                    }
                    log.push_str(text);
                }
                _ => {}
            }
        }
        // what comes to the same is no change: the recipient shares the message that came
        changed.from = changed.from.take().filter(|f| *f != envelope.from);
        changed.return_headers = changed.return_headers.filter(|r| *r != envelope.return_headers);
        changed.priority = changed.priority.filter(|p| *p != envelope.priority);
        changed.tags = changed.tags.take().filter(|t| *t != envelope.tags);
        effects
    }

    /// DSN conditions of a copy that keeps its recipient.
    pub fn set_notify(&self, copy: &mut Accepted) {
        if let Some(notify) = self.notify {
            copy.recipient.notify = notify;
        }
    }

    /// Makes the changes that every copy gets. `original` is the message as it came.
    pub fn apply(&self, copy: &mut Accepted, original: &Message, filtered: &mut Filtered) {
        copy.hold |= self.hold;
        copy.noted = self.noted.clone();
        if self.prefix.is_empty() && self.suffix.is_empty() {
            return;
        }
        let now = match (&copy.changed.message, &copy.header) {
            (Some(own), _) => Message::new(&own[..]),
            (None, Some(header)) => {
                let body = original.body().unwrap_or_default();
                Message::new([&header[..], body].concat())
            }
            (None, None) => Message::new(original.raw()),
        };
        if let Some(new) = with_texts(&now, &self.prefix, &self.suffix) {
            copy.set_message(filtered.text(new));
        }
    }
}

/// Adds tags, each once.
fn add(tags: &mut Vec<String>, new: &[String]) {
    for tag in new {
        if !tags.iter().any(|t| t.eq_ignore_ascii_case(tag)) {
            tags.push(tag.clone());
        }
    }
}

/// Conditions as DSN parameters have them, which the script's run has checked.
pub(super) fn notify(value: &str) -> Notify {
    let mut notify = Notify {
        given: true,
        ..Notify::default()
    };
    for word in value.split(',').map(str::trim) {
        notify.success |= word.eq_ignore_ascii_case("SUCCESS");
        notify.failure |= word.eq_ignore_ascii_case("FAILURE");
        notify.delay |= word.eq_ignore_ascii_case("DELAY");
    }
    notify
}
