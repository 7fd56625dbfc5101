//! What the scripts decided, carried out: each action becomes a copy for somebody, or a change of the copies.

use bytes::Bytes;
use jiff::Zoned;
use policy::message::HeaderView;
use policy::message::edit::edited_header;
use policy::sieve::{Action, Merged};
use policy::site::Site;

use super::{Filtered, Owners};
use crate::notification::{self, About, Wanted};
use crate::queue::PROCESS;
use crate::transaction::{Accepted, Transaction};
use crate::vacation::Reply;

/// What is known beside the actions.
pub(super) struct Scene<'a> {
    pub site: &'a Site,
    pub owners: &'a Owners,
    pub at: &'a Zoned,
}

/// Carries out what the scripts of one recipient decided.
pub(super) fn carry_out(
    scene: &Scene<'_>,
    accepted: Accepted,
    merged: Merged,
    transaction: &mut Transaction,
    filtered: &mut Filtered,
) {
    let mut delivered = false;
    let keep_as_it_was = merged.actions.is_empty();
    let mut hold = false;
    let mut tag = None;
    let mut copies: Vec<Accepted> = Vec::new();
    let mut told = Vec::new();
    for performed in merged.actions {
        let header = performed
            .headers
            .as_ref()
            .map(|h| Bytes::from(edited_header(&performed.message, h)));
        let owner = scene.owners.of_level(performed.level.unwrap_or_default());
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
                        owner: owner.address.clone(),
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
            Action::Notify {
                method,
                message,
                importance,
                from,
                ..
            } => {
                let wanted = Wanted {
                    method: &method,
                    from: from.as_deref(),
                    importance: importance.as_deref(),
                    message: message.as_deref(),
                };
                let about = About {
                    owner: &owner.address,
                    others: &owner.others,
                    null_sender: transaction.envelope.from.is_empty(),
                    header: &HeaderView::message(&performed.message, performed.headers.as_ref()),
                    host: scene.site.host(),
                    at: scene.at,
                };
                filtered
                    .letters
                    .extend(notification::letter(wanted, &about, &mut told));
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
pub(super) fn action_text(action: &Action) -> String {
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
