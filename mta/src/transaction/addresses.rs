//! Header addresses: rewritten and reversed for each channel that the message is queued to.
//!
//! Only the octets of an address that comes out as another are replaced; names, comments, folding and every other
//! field stay, so that a signature over what was not changed stays valid. An address that the rules refuse, and one
//! for which policy comes to no verdict, stays as it is.
//!
//! Limits: [`ADDRESSES`] of a message, and [`crate::evaluate::BUDGET`] for all of them; the rest stays as it is,
//! which the operator is told.
//!
//! Source: rewrite specification 6.3 and 9.1.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use policy::message::places::places;
use policy::rewrite::Request;
use policy::site::Site;

use super::header::{field_len, field_name};
use super::{Decider, Transaction};
use crate::evaluate::BUDGET;
use crate::smtp::protocol::Reply;

/// Addresses of one message that are looked at.
pub const ADDRESSES: usize = 10_000;

/// Fields with addresses of senders.
const BACKWARD: &[&str] = &[
    "From",
    "Sender",
    "Reply-To",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Return-Receipt-To",
    "Disposition-Notification-To",
    "Errors-To",
];

/// Fields with addresses of recipients.
const FORWARD: &[&str] = &[
    "To",
    "Cc",
    "Bcc",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Apparently-To",
];

/// The direction of the addresses of a field; `None`: it has none.
fn is_forward(name: &[u8]) -> Option<bool> {
    let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    match (FORWARD.iter().any(is), BACKWARD.iter().any(is)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// The fields of a header that hold addresses: whether of recipients, and where the body is.
fn address_fields(header: &[u8]) -> Vec<(bool, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < header.len() {
        let len = field_len(&header[at..]);
        let field = &header[at..at + len];
        if let Some(name_len) = field_name(field)
            && let Some(forward) = is_forward(&field[..name_len])
            && let Some(colon) = memchr::memchr(b':', field)
        {
            found.push((forward, at + colon + 1..at + len));
        }
        at += len;
    }
    found
}

/// Channel and header of a copy.
type Wanted = (String, Option<Bytes>);

/// What became of the addresses of a message so far.
struct Known {
    began: Instant,
    /// By destination channel, direction and address; `None`: it stays.
    by_address: HashMap<(String, bool, String), Option<String>>,
}

impl Known {
    fn is_full(&self) -> bool {
        self.by_address.len() >= ADDRESSES || self.began.elapsed() > BUDGET
    }
}

impl Decider {
    /// Gives each recipient of a transaction the header that its channel is to have, where that is another than the
    /// message's; `field` is added to all of them.
    pub async fn rewrite_headers(
        &mut self,
        transaction: &mut Transaction,
        header: &[u8],
        field: Option<&str>,
    ) {
        if transaction.discard {
            return;
        }
        let mut known = Known {
            began: Instant::now(),
            by_address: HashMap::new(),
        };
        let mut done: HashMap<Wanted, Option<Bytes>> = HashMap::new();
        for accepted in &mut transaction.recipients {
            let key = (accepted.channel.clone(), accepted.header.take());
            if !done.contains_key(&key) {
                let base = key.1.as_deref().unwrap_or(header);
                let longer = field.map(|field| Bytes::from(with_field(base, field)));
                let base = longer.as_deref().unwrap_or(base);
                let new = self.rewrite_header(base, &key.0, &mut known).await;
                done.insert(
                    key.clone(),
                    new.map(Bytes::from).or(longer).or_else(|| key.1.clone()),
                );
            }
            accepted.header = done.get(&key).cloned().flatten();
        }
        if known.is_full() {
            let from = &transaction.envelope.from;
            let text = format!(
                "of a message from <{from}> only {} header addresses were rewritten: that many, or {} seconds, is the limit",
                known.by_address.len(),
                BUDGET.as_secs()
            );
            self.say(|| format!("* {text}"));
            crate::notice::send(&text);
        }
    }

    /// A header with its addresses as a channel is to have them; `None`: it stays as it is.
    async fn rewrite_header(&mut self, header: &[u8], channel: &str, known: &mut Known) -> Option<Vec<u8>> {
        let mut new: Vec<u8> = Vec::new();
        let mut copied = 0;
        for (forward, range) in address_fields(header) {
            let Ok(body) = std::str::from_utf8(&header[range.clone()]) else {
                continue;
            };
            for place in places(body) {
                let Some(address) = self
                    .rewrite_header_address(&place.address, forward, channel, known)
                    .await
                else {
                    continue;
                };
                let at = range.start + place.range.start;
                new.extend_from_slice(&header[copied..at]);
                // a route needs brackets
                let bare_route = !place.angle && address.starts_with('@');
                match bare_route {
                    true => new.extend_from_slice(format!("<{address}>").as_bytes()),
                    false => new.extend_from_slice(address.as_bytes()),
                }
                copied = range.start + place.range.end;
            }
        }
        if copied == 0 {
            return None;
        }
        new.extend_from_slice(&header[copied..]);
        Some(new)
    }

    async fn rewrite_header_address(
        &mut self,
        address: &str,
        forward: bool,
        channel: &str,
        known: &mut Known,
    ) -> Option<String> {
        let key = (channel.to_string(), forward, address.to_string());
        if let Some(new) = known.by_address.get(&key) {
            return new.clone();
        }
        if known.is_full() {
            return None;
        }
        self.drain();
        let said = self.records.as_ref().map_or(0, Vec::len);
        let new = self.header_address(address, forward, channel).await;
        match &new {
            Some(new) => self.note(|| format!("header for channel {channel}: {address} becomes {new}")),
            // what changes nothing is not worth the room in a record
            None => {
                self.drain();
                if let Some(records) = &mut self.records {
                    records.truncate(said);
                }
            }
        }
        known.by_address.insert(key, new.clone());
        new
    }

    /// What a header address is on a channel; `None`: it stays.
    async fn header_address(&mut self, address: &str, forward: bool, channel: &str) -> Option<String> {
        let request = Request {
            envelope: false,
            destination_channel: Some(channel.to_string()),
            ..self.request(address, forward)
        };
        let rewritten = self.rewrite(request).await.ok()?;
        rewritten.channel.as_ref()?;
        let new = self
            .reverse(&rewritten.address, false, forward, channel)
            .await
            .ok()?;
        let usable = !new.is_empty() && !new.chars().any(char::is_control);
        (usable && !new.eq_ignore_ascii_case(address)).then_some(new)
    }
}

/// The field that a message without To, Cc and Bcc is given by `missingrecipientpolicy`, if it is given one. The
/// fields of 2 and 3 name all recipients, those too that were to be secret.
pub fn missing_recipients(
    site: &Site,
    transaction: &Transaction,
    header: &[u8],
) -> Result<Option<String>, Reply> {
    let source = site.channel(&transaction.envelope.source_channel);
    let policy = match source.and_then(|c| c.settings.missing_recipients) {
        None | Some(0) => site.options.number("MISSING_RECIPIENT_POLICY", 0),
        Some(policy) => policy.into(),
    };
    if !(2..=6).contains(&policy) || address_fields(header).iter().any(|(forward, _)| *forward) {
        return Ok(None);
    }
    let all = || {
        let mut addresses: Vec<String> = Vec::new();
        for accepted in &transaction.recipients {
            let original = &accepted.recipient.original;
            let address = format!("<{}>", original.strip_prefix("rfc822;").unwrap_or(original));
            if addresses.last() != Some(&address) {
                addresses.push(address);
            }
        }
        addresses.join(",\r\n ")
    };
    match policy {
        2 => Ok(Some(format!("To: {}\r\n", all()))),
        3 => Ok(Some(format!("Bcc: {}\r\n", all()))),
        4 => {
            let group = site
                .options
                .text("MISSING_RECIPIENT_GROUP_TEXT", "Recipients not specified");
            let group: String = group
                .chars()
                .filter(|c| !c.is_control() && !matches!(c, '"' | '\\'))
                .collect();
            Ok(Some(format!("To: \"{group}\": ;\r\n")))
        }
        5 => Ok(Some("Bcc:\r\n".into())),
        _ => Err(Reply::new(
            554,
            (5, 6, 0),
            "the message has no To, Cc or Bcc field; such mail is not taken here",
        )),
    }
}

/// A header with one more field at its end.
fn with_field(header: &[u8], field: &str) -> Vec<u8> {
    let end = header.len().saturating_sub(b"\r\n".len());
    [&header[..end], field.as_bytes(), b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_addresses() {
        let header =
            b"Received: from a@b\r\nFROM: a\r\n b\r\nto : c\r\nSubject: To: x\r\nResent-cc: d\r\n\r\n";
        let found: Vec<(bool, &[u8])> = address_fields(header)
            .into_iter()
            .map(|(forward, range)| (forward, &header[range]))
            .collect();
        let want: &[(bool, &[u8])] = &[(false, b" a\r\n b\r\n"), (true, b" c\r\n"), (true, b" d\r\n")];
        assert_eq!(found, want);
        assert_eq!(with_field(b"A: b\r\n\r\n", "C: d\r\n"), b"A: b\r\nC: d\r\n\r\n");
    }
}
