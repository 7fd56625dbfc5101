//! Notifications to the sender: queued before what they are about is forgotten.

use std::sync::Arc;

use bytes::Bytes;
use policy::site::Site;
use store::envelope::{Failure, Recipient, Time};
use store::spool::{Entry, EntryId, SpoolError};

use super::own_mail_channel;
use super::schedule::Schedule;
use crate::dsn::template::{Ages, Templates, Words};
use crate::dsn::{CONTENT_LIMIT, Kind, Notification, Reported, who_is_told};
use crate::server::{Server, now};
use crate::transaction::{Accepted, OwnMessage, Transaction, unique_id};

/// What is to be told of a recipient: its index, what happened, and why.
pub(super) type Report = (usize, Kind, Option<Failure>);

/// Tells the sender what became of recipients, in one notification, where the sender wants to know. On stable
/// storage when it returns.
pub(super) async fn notify(
    server: &Arc<Server>,
    site: &Arc<Site>,
    entry: &Entry,
    content: &Bytes,
    reports: &[Report],
    schedule: &Schedule,
    at: Time,
) -> Result<(), SpoolError> {
    let told: Vec<Reported<'_>> = reports
        .iter()
        .filter_map(|(n, kind, failure)| {
            let recipient = entry.recipients.get(*n)?;
            let report = who_is_told(&entry.envelope, recipient, *kind);
            report.sender.then_some(Reported {
                recipient,
                kind: *kind,
                failure: failure.as_ref(),
                banner: "",
            })
        })
        .collect();
    if told.is_empty() || entry.envelope.from.is_empty() {
        return Ok(());
    }
    let host = site.host();
    let default_address = format!("postmaster@{host}");
    let personal = site
        .options
        .text("RETURN_PERSONAL", "Internet Mail Delivery")
        .to_string();
    let words = Words {
        personal,
        ..Words::default()
    };
    let templates = Templates::default();
    let official = site
        .channel(&entry.channel)
        .map_or("", |c| c.official_host.as_str());
    let unique = unique_id();
    let built = Notification {
        envelope: &entry.envelope,
        to: &entry.envelope.from,
        recipients: told,
        history: &entry.history,
        original: content,
        header_len: entry.header_len().min(content.len()),
        reporting_host: host,
        reporting_channel: official,
        return_address: site.options.text("RETURN_ADDRESS", &default_address),
        now: at,
        zone: jiff::tz::TimeZone::system(),
        retry_until: Some(entry.envelope.arrived.saturating_add(schedule.return_after)),
        ages: Ages {
            hours: schedule.hours,
            queued: u32::try_from((at - entry.envelope.arrived) / schedule.unit).unwrap_or(0),
            allowed: schedule.ages.last().copied().unwrap_or(0),
        },
        unique: &unique,
        templates: &templates,
        words: &words,
        suppress_final: false,
        content_limit: CONTENT_LIMIT,
    }
    .build();
    let mut transaction = Transaction::default();
    transaction.envelope.arrived = at;
    transaction.envelope.source_channel = own_mail_channel(site).to_string();
    transaction.envelope.utf8 = built.utf8;
    transaction.take(Accepted::by_process(site, &entry.envelope.from));
    let message = OwnMessage {
        content: built.content.into(),
        header_len: built.header_len,
        message_id: built.message_id,
        eight_bit: built.eight_bit,
    };
    server.submit(site, transaction, message, &entry.channel).await
}

/// Tells the sender of recipients that are refused of a message that others get. `content` may be the header
/// alone, which is `header_len` long. On stable storage when it returns.
pub async fn refuse(
    server: &Arc<Server>,
    site: &Arc<Site>,
    transaction: &Transaction,
    (content, header_len): (Bytes, u32),
    refused: Vec<(Recipient, Failure)>,
) -> Result<(), SpoolError> {
    let mut envelope = transaction.envelope.clone();
    envelope.return_headers |= content.len() as u64 == u64::from(header_len);
    let (recipients, failures): (Vec<Recipient>, Vec<Failure>) = refused.into_iter().unzip();
    let entry = Entry {
        id: EntryId(0),
        channel: envelope.source_channel.clone(),
        host: String::new(),
        envelope: Arc::new(envelope),
        recipients,
        size: content.len() as u64,
        stored_header_len: header_len,
        overlay: None,
        attempts: 0,
        next_attempt: 0,
        held: false,
        warnings: 0,
        history: Vec::new(),
        log_tag: String::new(),
    };
    let failures = failures.into_iter().enumerate();
    let reports: Vec<Report> = failures
        .map(|(n, failure)| (n, Kind::Failed, Some(failure)))
        .collect();
    let schedule = Schedule::of(site, &entry);
    notify(server, site, &entry, &content, &reports, &schedule, now()).await
}
