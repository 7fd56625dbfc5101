//! What a point decided: accepted or not, what to say, and what else to do.

use std::net::IpAddr;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::smtp::protocol::Reply;

use super::Point;

/// What came of consulting a point. As JSON it is what `sluice probe --json` prints.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Decision {
    /// Allowed. Of `INTERNAL_IP`: internal.
    pub accepted: bool,
    /// Three digits, where refused and a code is sent.
    pub smtp_code: Option<String>,
    /// Enhanced status code, where refused and there is one.
    pub enhanced: Option<String>,
    /// The text of the refusal, without codes and address; of `PORT_ACCESS`, the whole text as written.
    pub text: Option<String>,
    /// What else to do.
    pub effects: Effects,
    /// The whole reply of a refusal, without its end of line; several lines are separated by CRLF.
    /// `None` where nothing is sent.
    pub reply: Option<String>,
}

impl Decision {
    /// Allowed, with effects.
    pub(super) fn accept(effects: Effects) -> Self {
        Decision {
            accepted: true,
            effects,
            ..Decision::default()
        }
    }

    /// Refused with a reply `code enhanced text[: address]`.
    pub(super) fn refuse(code: &str, enhanced: &str, text: String, address: &str, effects: Effects) -> Self {
        let address = super::arguments::clean(address);
        let tail = if address.is_empty() { "" } else { ": " };
        Decision {
            accepted: false,
            smtp_code: Some(code.to_string()),
            enhanced: Some(enhanced.to_string()),
            reply: Some(format!("{code} {enhanced} {text}{tail}{address}")),
            text: Some(text),
            effects,
        }
    }

    /// The lines of the reply, as `PORT_ACCESS` sends them.
    pub fn reply_lines(&self) -> impl Iterator<Item = &str> {
        self.reply.iter().flat_map(|reply| reply.split("\r\n"))
    }

    /// The reply of a refusal, for a session; `None` where it has no code of its own.
    pub fn to_reply(&self) -> Option<Reply> {
        let (code, reply) = (self.smtp_code.as_deref()?, self.reply.as_deref()?);
        let number = code.parse().ok()?;
        let mut enhanced = None;
        let mut prefix = format!("{code} ");
        if let Some(text) = &self.enhanced {
            let mut parts = text.splitn(3, '.');
            let mut part = || parts.next()?.parse::<u16>().ok();
            let class = part().and_then(|class| u8::try_from(class).ok());
            enhanced = class.zip(part()).zip(part()).map(|((a, b), c)| (a, b, c));
            prefix.push_str(text);
            prefix.push(' ');
        }
        let text = reply.strip_prefix(&prefix)?;
        Some(Reply::new(number, enhanced, text))
    }
}

/// What else a result asks for; what is not asked for is `None` or false, and is not in the JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Effects {
    /// `$D`: delay replies, in 1/100 s, at most [`DELAY_LIMIT`](super::DELAY_LIMIT) either way. Positive:
    /// this and every later reply of the transaction; negative: only this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_cs: Option<i64>,
    /// `$<`: send to syslog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syslog: Option<String>,
    /// `$>`: send to syslog; only there where refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syslog_rejected: Option<String>,
    /// `$U`: debug level of the session, 0 to 255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<i64>,
    /// `$J`: replaces the envelope From; empty is the null return path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope_from: Option<String>,
    /// `$K`: replaces the authenticated address that goes into Sender (needs `authrewrite`).
    /// `AUTH_REWRITE`: address for an added Sender or Resent-Sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// `AUTH_REWRITE`: address for an added From or Resent-From.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `$I`: the user must be in the group; if not, take [`Point::refuse`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_check: Option<(String, String)>,
    /// `$T`: put in front of the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// `$A`: a header line to add, without its end of line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_header: Option<String>,
    /// `$G`: conversion tags, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion_tags: Option<String>,
    /// `$S` of `FROM_ACCESS`: limits of the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<TransactionLimits>,
    /// `$,`: adjust the spam score, `+n`, `-n` or `n`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spamadjust: Option<String>,
    /// `$(`: the postmaster address, whatever was set before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postmaster: Option<String>,
    /// `$)`: the postmaster address where none is set yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postmaster_default: Option<String>,
    /// `$B`: the copy for this recipient goes to the bitbucket.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bitbucket: bool,
    /// `$H`: queue the copy for this recipient held.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// `$V`: discard for all recipients.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub discard_all: bool,
    /// `$Z`: jettison for all recipients.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub jettison_all: bool,
    /// `$!`: no vacation reply to this message.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub novacation: bool,
    /// `PORT_ACCESS`: SASL rule set; empty: the default rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruleset: Option<String>,
    /// `PORT_ACCESS`: SASL realm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// `PORT_ACCESS`: text for C records of the connection log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_text: Option<String>,
    /// `PORT_ACCESS` `$T` where refused: write a T record, if `LOG_CONNECTION` asks for those.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub log_rejection: bool,
    /// `IP_ACCESS` `$I`: do not connect to this address.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip: bool,
    /// `IP_ACCESS` `$A`: connect to this address instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_ip: Option<IpAddr>,
    /// `DEQUEUE_ACCESS` `$N$S`: seconds until the next attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<u64>,
    /// `DEQUEUE_ACCESS`: whether an attempt that was refused counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_counted: Option<bool>,
    /// `TLS_ACCESS` `$S`: the source channel to go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch_channel: Option<String>,
    /// `TLS_ACCESS` `$B`: `tlsswitchchannel` does not apply.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_tls_switch: bool,
    /// `TLS_ACCESS`, refused: the client may try again without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_allowed: Option<bool>,
    /// `ETRN_ACCESS` `$D`: the channel to run, if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_channel: Option<String>,
}

/// Limits that `FROM_ACCESS` sets for a transaction: `b[,r[,c]]`, a list in JSON. They count where they are
/// lower than the others that apply (choice).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionLimits {
    /// Size of the message, in blocks.
    pub blocks: Option<u64>,
    /// Recipients; those beyond are refused.
    pub recipients: Option<u64>,
    /// Recipients; beyond, all are refused.
    pub cutoff: Option<u64>,
}

impl TransactionLimits {
    /// Reads `b[,r[,c]]`; what is no number is no limit. `None` where nothing is left.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text
            .splitn(3, ',')
            .map(|part| super::arguments::number(part).and_then(|n| u64::try_from(n).ok()));
        let limits = TransactionLimits {
            blocks: parts.next().flatten(),
            recipients: parts.next().flatten(),
            cutoff: parts.next().flatten(),
        };
        (limits != TransactionLimits::default()).then_some(limits)
    }
}

impl Serialize for TransactionLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = [self.blocks, self.recipients, self.cutoff];
        let count = all.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let mut list = serializer.serialize_seq(Some(count))?;
        for limit in all.iter().take(count) {
            list.serialize_element(limit)?;
        }
        list.end()
    }
}

/// The text of [`Point::unavailable`].
const UNAVAILABLE: &str = "Temporary trouble here, please try again later.";

/// The answer of a point whose table could not be run to its end.
pub(super) fn unavailable(point: Point) -> Decision {
    let mut effects = Effects::default();
    match point {
        Point::InternalIp => Decision::default(),
        // all addresses skipped: the message is tried again later
        Point::IpAccess => {
            effects.skip = true;
            Decision::accept(effects)
        }
        // an attempt that counts: the waiting time grows, and the message can grow too old
        Point::DequeueAccess => Decision {
            text: Some(UNAVAILABLE.to_string()),
            effects: Effects {
                retry_counted: Some(true),
                ..effects
            },
            ..Decision::default()
        },
        Point::AuthAccess => Decision {
            enhanced: Some("4.3.0".to_string()),
            text: Some(UNAVAILABLE.to_string()),
            ..Decision::default()
        },
        Point::TlsAccess => {
            effects.fallback_allowed = Some(false);
            Decision::refuse("421", "4.3.0", UNAVAILABLE.to_string(), "", effects)
        }
        Point::PortAccess => Decision::refuse("421", "4.3.0", UNAVAILABLE.to_string(), "", effects),
        Point::FromAccess
        | Point::OrigSendAccess
        | Point::SendAccess
        | Point::OrigMailAccess
        | Point::MailAccess
        | Point::EtrnAccess
        | Point::AuthRewrite => Decision::refuse("451", "4.3.0", UNAVAILABLE.to_string(), "", effects),
    }
}
