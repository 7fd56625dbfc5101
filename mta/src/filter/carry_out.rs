//! What the scripts decided, carried out: each action becomes a copy for somebody, or a change of the copies.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Zoned;
use policy::message::edit::{edited_header, render};
use policy::message::{HeaderView, Message};
use policy::sieve::{Action, Fcc, Merged, Performed, Written};
use policy::site::Site;
use store::envelope::{Envelope, Notify, Recipient};

use super::effects::{self, Effects};
use super::{Filtered, Owner, Owners};
use crate::capture::{self, CAPTURED, Capture, Form};
use crate::notification::{self, About, Wanted};
use crate::queue::{PROCESS, mailbox};
use crate::transaction::{Accepted, Transaction, date};
use crate::vacation::Reply;

/// What is known beside the actions.
pub(super) struct Scene<'a> {
    pub site: &'a Site,
    pub owners: &'a Owners,
    pub at: &'a Zoned,
    /// The message as it came.
    pub message: &'a Arc<Message>,
}

/// Carries out what the scripts of one recipient decided.
pub(super) fn carry_out(
    scene: &Scene<'_>,
    accepted: Accepted,
    merged: Merged,
    transaction: &mut Transaction,
    filtered: &mut Filtered,
) {
    let keep_as_it_was = merged.actions.is_empty();
    let mut effects = Effects::of(&merged.actions, &transaction.envelope);
    effects.noted.filter.clone_from(&accepted.noted.filter);
    let mut bearer = Bearer {
        scene,
        accepted,
        effects,
        envelope: &transaction.envelope,
        filtered,
        copies: Vec::new(),
        told: Vec::new(),
        delivered: false,
    };
    for performed in merged.actions {
        bearer.perform(performed);
    }
    let Bearer {
        accepted,
        effects,
        mut copies,
        delivered,
        ..
    } = bearer;
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
    for copy in &mut copies {
        effects.apply(copy, scene.message, filtered);
    }
    transaction.recipients.append(&mut copies);
}

/// Carries actions out, one after the other.
struct Bearer<'a> {
    scene: &'a Scene<'a>,
    accepted: Accepted,
    effects: Effects,
    envelope: &'a Envelope,
    filtered: &'a mut Filtered,
    copies: Vec<Accepted>,
    /// Whom notifications went to.
    told: Vec<String>,
    delivered: bool,
}

impl Bearer<'_> {
    fn perform(&mut self, performed: Performed) {
        let owner = self.scene.owners.of_level(performed.level.unwrap_or_default());
        match &performed.action {
            Action::Keep { flags, .. } => self.store(&performed, None, flags),
            Action::FileInto { mailbox, flags, .. } => self.store(&performed, Some(mailbox), flags),
            Action::Redirect { .. } => self.redirect(&performed, owner),
            Action::Reject { reason } | Action::EReject { reason } | Action::Refuse { reason } => {
                self.filtered
                    .refused
                    .push((self.accepted.clone(), reason.clone()));
                self.delivered = true;
            }
            Action::Vacation { .. } => self.vacation(&performed, owner),
            Action::Notify { .. } => self.notify(&performed, owner),
            Action::Capture { .. } if self.envelope.application == CAPTURED => {}
            Action::Capture { address, format } => {
                let new = Capture {
                    address: address.clone(),
                    form: match *format {
                        "message" => Form::Message,
                        "journal" => Form::Journal,
                        _ => Form::Dsn,
                    },
                    owner: owner.address.clone(),
                    content: self.captured(&performed),
                    recipients: vec![self.accepted.recipient.clone()],
                };
                capture::add(&mut self.filtered.captures, new);
            }
            Action::AdjustCounter { counter, change } => self.filtered.counted.push((*counter, *change)),
            // done: by the merge of the levels, by the run itself, or to every copy
            Action::Discard
            | Action::Jettison
            | Action::NoVacation
            | Action::SpamAdjust { .. }
            | Action::VirusSet { .. }
            | Action::AddTag { .. }
            | Action::Replace { .. }
            | Action::Enclose { .. }
            | Action::Hold
            | Action::AddPrefix { .. }
            | Action::AddSuffix { .. }
            | Action::AddConversionTag { .. }
            | Action::SetConversionTag { .. }
            | Action::RemoveConversionTag { .. }
            | Action::SetEnvelopeFrom { .. }
            | Action::SetNotify { .. }
            | Action::SetRet { .. }
            | Action::SetMtPriority { .. }
            | Action::TransactionLog { .. } => {}
        }
    }

    /// The message as it was when an action was taken, for somebody who watches.
    fn captured(&mut self, performed: &Performed) -> Bytes {
        let text = render(&performed.message, performed.headers.as_ref());
        self.filtered.text(text)
    }

    /// A copy of the message as it was when an action was taken.
    fn copy(&mut self, performed: &Performed) -> Accepted {
        let mut copy = self.accepted.clone();
        copy.changed = self.effects.changed.clone();
        let headers = performed.headers.as_ref();
        if Arc::ptr_eq(&performed.message, self.scene.message) {
            copy.header = headers.map(|h| edited_header(&performed.message, h).into());
        } else {
            let text = render(&performed.message, headers);
            copy.set_message(self.filtered.text(text));
        }
        copy
    }

    fn store(&mut self, performed: &Performed, mailbox: Option<&str>, flags: &[String]) {
        let mut copy = self.copy(performed);
        copy.recipient.flags = flags.to_vec();
        copy.recipient.folder = match mailbox {
            Some(mailbox) => folder(mailbox),
            None => copy.recipient.folder,
        };
        self.effects.set_notify(&mut copy);
        self.copies.push(copy);
        self.delivered = true;
    }

    fn redirect(&mut self, performed: &Performed, owner: &Owner) {
        let Action::Redirect {
            address,
            notify,
            ret,
            resent,
            mailfrom,
            bytimerelative,
            bytimeabsolute,
            ..
        } = &performed.action
        else {
            return;
        };
        let mut copy = self.copy(performed);
        let own = match notify {
            Some(Written::One(value)) => Some(effects::notify(value)),
            Some(Written::Many(values)) => Some(effects::notify(&values.join(","))),
            None => None,
        };
        let never = copy.recipient.notify.never();
        // the next host tells of failures and delays, unless the sender wants to hear nothing at all
        copy.recipient.notify = own.unwrap_or_else(|| match never {
            true => copy.recipient.notify,
            false => Notify::default(),
        });
        if own.is_none() {
            self.effects.set_notify(&mut copy);
        }
        if let Some(ret) = ret {
            let headers = ret.eq_ignore_ascii_case("HDRS");
            copy.changed.return_headers = Some(headers).filter(|h| *h != self.envelope.return_headers);
        }
        if *mailfrom == "owner" {
            copy.changed.from = Some(owner.address.clone()).filter(|f| *f != self.envelope.from);
        }
        if *resent {
            copy.headers.extend([
                format!("Resent-Date: {}", date(self.scene.at)),
                format!("Resent-From: <{}>", owner.address),
                format!("Resent-To: <{address}>"),
            ]);
        }
        if bytimerelative.is_some() || bytimeabsolute.is_some() {
            crate::notice::send(&format!(
                "Sieve for {}: the message is redirected without a time to deliver by, which is not carried \
                 out in this version",
                self.accepted.recipient.address
            ));
        }
        copy.recipient.address.clone_from(address);
        copy.recipient.folder = None;
        copy.channel = PROCESS.to_string();
        copy.host = String::new();
        self.copies.push(copy);
        self.delivered = true;
    }

    fn vacation(&mut self, performed: &Performed, owner: &Owner) {
        let Action::Vacation {
            reason,
            subject,
            from,
            mime,
            to,
            key,
            interval,
            fcc,
            ..
        } = &performed.action
        else {
            return;
        };
        if self.envelope.no_vacation {
            return;
        }
        let filed = fcc.as_ref().and_then(|fcc| self.filed(fcc));
        self.filtered.replies.push(Reply {
            owner: owner.address.clone(),
            to: to.clone(),
            subject: subject.clone(),
            reason: reason.clone(),
            mime: *mime,
            from: from.clone(),
            key: key.clone(),
            interval: *interval,
            message_id: String::new(),
            filed,
        });
    }

    fn notify(&mut self, performed: &Performed, owner: &Owner) {
        let Action::Notify {
            method,
            message,
            importance,
            from,
            fcc,
            ..
        } = &performed.action
        else {
            return;
        };
        let wanted = Wanted {
            method,
            from: from.as_deref(),
            importance: importance.as_deref(),
            message: message.as_deref(),
        };
        let about = About {
            owner: &owner.address,
            others: &owner.others,
            null_sender: self.envelope.from.is_empty(),
            header: &HeaderView::message(&performed.message, performed.headers.as_ref()),
            host: self.scene.site.host(),
            at: self.scene.at,
        };
        if let Some(mut letter) = notification::letter(wanted, &about, &mut self.told) {
            letter.filed = fcc.as_ref().and_then(|fcc| self.filed(fcc)).map(Box::new);
            self.filtered.letters.push(letter);
        }
    }

    /// The recipient's mailbox as one that keeps a copy of what is sent; none where it is not here.
    fn filed(&self, fcc: &Fcc) -> Option<Accepted> {
        mailbox(
            self.scene.site,
            &self.accepted.channel,
            &self.accepted.recipient.address,
        )?;
        Some(Accepted {
            recipient: Recipient {
                address: self.accepted.recipient.address.clone(),
                original: self.accepted.recipient.original.clone(),
                intermediate: self.accepted.recipient.intermediate.clone(),
                notify: effects::notify("NEVER"),
                folder: folder(&fcc.mailbox),
                flags: fcc.flags.clone(),
                ..Recipient::default()
            },
            channel: self.accepted.channel.clone(),
            host: self.accepted.host.clone(),
            ..Accepted::default()
        })
    }
}

/// The folder that a mailbox name means; none for the inbox.
fn folder(mailbox: &str) -> Option<String> {
    (!mailbox.eq_ignore_ascii_case("INBOX")).then(|| mailbox.to_string())
}
