//! Notifications by mail: what the Sieve action `notify` sends (RFC 5435, and RFC 5436 for `mailto:`).
//!
//! That a message which was itself automatic notifies nobody was seen to by the script's run. Here: the sender is
//! the script's owner, whatever the script says that is not an address of the owner; a message with the null
//! sender notifies with the null sender; `Auto-Submitted: auto-notified` on top, so that no other system
//! notifies of the notification; the Received fields of the message, so that a loop is seen by its length.
//!
//! Refuses: fields of the URI that would make the message another's (`From`, `Received`, `Auto-Submitted` ...).
//! Limits: [`MAX_ADDRESSES`], [`MAX_FIELDS`].

use jiff::Zoned;
use policy::message::{HeaderView, address};
use policy::sieve::percent_decoded;

use crate::letter::{Letter, Text, bare};
use crate::transaction::{date, unique_id};

/// Addresses that one notification goes to; the others are left out.
pub const MAX_ADDRESSES: usize = 10;

/// Header fields that one URI adds; the others are left out.
pub const MAX_FIELDS: usize = 20;

/// What the action says.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A `mailto:` URI.
    pub method: &'a str,
    /// `:from`.
    pub from: Option<&'a str>,
    /// `:importance`: 1, 2 or 3.
    pub importance: Option<&'a str>,
    /// `:message`.
    pub message: Option<&'a str>,
}

/// What is known of the message and of the script that asks.
pub struct About<'a> {
    /// The script's owner.
    pub owner: &'a str,
    /// Other addresses of the owner.
    pub others: &'a [String],
    /// The message has the null sender.
    pub null_sender: bool,
    /// The header of the message.
    pub header: &'a HeaderView<'a>,
    /// This host.
    pub host: &'a str,
    /// Now.
    pub at: &'a Zoned,
}

/// A `mailto:` URI, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mailto {
    to: Vec<String>,
    cc: Vec<String>,
    subject: Option<String>,
    body: Option<String>,
    fields: Vec<(String, String)>,
}

/// Fields of a URI that are not taken over: who sends, when, through whom, and what the text is written in is not
/// for a URI to say.
const NOT_TAKEN: &[&str] = &[
    "from",
    "sender",
    "return-path",
    "auto-submitted",
    "received",
    "message-id",
    "date",
    "bcc",
    "references",
    "in-reply-to",
    "importance",
    "x-priority",
    "mime-version",
];

impl Mailto {
    fn parse(uri: &str) -> Mailto {
        let mut mailto = Mailto::default();
        let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
        let (to, fields) = rest.split_once('?').unwrap_or((rest, ""));
        addresses(to, &mut mailto.to);
        for field in fields.split('&') {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let name = percent_decoded(name).to_ascii_lowercase();
            match name.as_str() {
                "to" => addresses(value, &mut mailto.to),
                "cc" => addresses(value, &mut mailto.cc),
                "subject" => mailto.subject = Some(percent_decoded(value)),
                "body" => mailto.body = Some(percent_decoded(value)),
                _ if NOT_TAKEN.contains(&name.as_str()) || name.starts_with("resent-") => {}
                _ if name.starts_with("content-") || !is_field_name(&name) => {}
                _ if mailto.fields.len() < MAX_FIELDS => {
                    mailto.fields.push((capitalized(&name), percent_decoded(value)));
                }
                _ => {}
            }
        }
        mailto
    }
}

/// Adds the good addresses of a list whose commas are not encoded, and of each of its items.
fn addresses(list: &str, out: &mut Vec<String>) {
    for item in list.split(',') {
        for address in address::list(&percent_decoded(item)) {
            if let address::Address::Valid(mailbox) = address
                && !mailbox.domain.is_empty()
            {
                out.push(mailbox.all());
            }
        }
    }
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 60 && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

fn capitalized(name: &str) -> String {
    let mut name = name.to_string();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

/// The notification; `None` where everybody was told of this message already. `told` has those, in lower case.
pub fn letter(wanted: Wanted<'_>, about: &About<'_>, told: &mut Vec<String>) -> Option<Letter> {
    let mut mailto = Mailto::parse(wanted.method);
    let mut room = MAX_ADDRESSES;
    for list in [&mut mailto.to, &mut mailto.cc] {
        list.retain(|address| {
            let address = address.to_lowercase();
            let new = room > 0 && !told.contains(&address);
            if new {
                room -= 1;
                told.push(address);
            }
            new
        });
    }
    let to = [&mailto.to[..], &mailto.cc[..]].concat();
    if to.is_empty() {
        return None;
    }
    let from = sender(wanted.from, about);
    let id = format!("<{}@{}>", unique_id(), about.host);
    let mut text = Text::default();
    let owner = about.owner.replace('\\', "\\\\").replace('"', "\\\"");
    text.field(
        "Auto-Submitted",
        &format!("auto-notified; owner-email=\"{owner}\""),
    );
    let first = |name: &str| about.header.values(name).first().map(|v| v.decoded());
    for received in about.header.values("Received") {
        text.field("Received", received.unfolded().trim());
    }
    text.field("From", &format!("<{from}>"));
    for (name, list) in [("To", &mailto.to), ("Cc", &mailto.cc)] {
        if !list.is_empty() {
            let all: Vec<String> = list.iter().map(|a| format!("<{a}>")).collect();
            text.field(name, &all.join(", "));
        }
    }
    let subject = wanted.message.map(str::to_string).or(mailto.subject);
    text.field(
        "Subject",
        &subject.or_else(|| first("Subject")).unwrap_or_default(),
    );
    text.field("Date", &date(about.at));
    text.field("Message-ID", &id);
    let message_id = about.header.values("Message-ID").first().map(|v| v.unfolded());
    if let Some(message_id) = message_id {
        text.field("References", message_id.trim());
    }
    if let Some((word, number)) = match wanted.importance {
        Some("1") => Some(("high", "1")),
        Some("2") => Some(("normal", "3")),
        Some("3") => Some(("low", "5")),
        _ => None,
    } {
        text.field("Importance", word);
        text.field("X-Priority", number);
    }
    for (name, value) in &mailto.fields {
        text.field(name, value);
    }
    let body = mailto.body.unwrap_or_else(|| {
        let shown = |name: &str| format!("{name}: {}\n", first(name).unwrap_or_default());
        format!(
            "A message for {} has arrived.\n\n{}{}{}",
            about.owner,
            shown("From"),
            shown("Subject"),
            shown("Date")
        )
    });
    Some(Letter {
        from: if about.null_sender { String::new() } else { from },
        to,
        content: text.plain(&body),
        message_id: id,
        filed: None,
        captured: false,
    })
}

/// Who notifies: `:from`, where that is an address of the owner; else the owner.
fn sender(from: Option<&str>, about: &About<'_>) -> String {
    let same = |a: &str, b: &str| {
        address::single(a).is_some_and(|a| {
            address::single(b).is_some_and(|b| {
                a.subaddress('+').0.eq_ignore_ascii_case(b.subaddress('+').0)
                    && a.domain.eq_ignore_ascii_case(&b.domain)
            })
        })
    };
    let own = |a: &str| same(a, about.owner) || about.others.iter().any(|o| same(a, o));
    let from = from.map(bare).filter(|from| own(from));
    from.unwrap_or(about.owner).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::message::Message;

    #[test]
    fn a_uri_is_taken_apart() {
        let uri = "mailto:a%2Bb@x.example,%22c d%22@x.example?to=e@y.example&cc=f@y.example&SUBJECT=a%20b%26c\
                   &body=line%0D%0Atwo&from=evil@z.example&x-tag=1%0D%0ABcc:%20g@y.example&received=x&bcc=h@y.example";
        let mailto = Mailto::parse(uri);
        assert_eq!(mailto.to.first().map(String::as_str), Some("a+b@x.example"));
        assert!(mailto.to.contains(&"e@y.example".to_string()), "{mailto:?}");
        assert_eq!(mailto.cc, ["f@y.example"]);
        assert_eq!(mailto.subject.as_deref(), Some("a b&c"));
        assert_eq!(mailto.body.as_deref(), Some("line\r\ntwo"));
        assert_eq!(mailto.fields.len(), 1, "{mailto:?}");
        assert_eq!(Mailto::parse("mailto:"), Mailto::default());
    }

    #[test]
    fn nobody_is_told_twice_and_only_the_owner_tells() {
        let message = Message::new(&b"Subject: s\r\nReceived: one\r\nMessage-ID: <1@x>\r\n\r\nx"[..]);
        let header = HeaderView::message(&message, None);
        let at = Zoned::now();
        let others = ["al@example.com".to_string()];
        let about = About {
            owner: "alice@example.com",
            others: &others,
            null_sender: false,
            header: &header,
            host: "mail.example.com",
            at: &at,
        };
        let mut told = Vec::new();
        let mut notify = |from, method: &str| {
            let wanted = Wanted {
                method,
                from,
                importance: Some("1"),
                message: Some("New\r\nBcc: evil@z.example"),
            };
            letter(wanted, &about, &mut told)
        };
        let many: Vec<String> = (0..20).map(|n| format!("u{n}@y.example")).collect();
        let sent = notify(None, "mailto:a@x.example?x-a=1%0D%0ABcc:%20g@y.example").unwrap();
        let text = String::from_utf8(sent.content).unwrap();
        assert!(
            text.starts_with(
                "Auto-Submitted: auto-notified; owner-email=\"alice@example.com\"\r\nReceived: one\r\n"
            ),
            "{text}"
        );
        assert!(!text.contains("\r\nBcc:"), "{text}");
        assert!(notify(None, "mailto:A@x.example").is_none(), "told already");
        for (from, sender) in [
            ("al+x@example.com", "al+x@example.com"),
            ("Al <AL@example.com>", "AL@example.com"),
            ("evil@example.com", "alice@example.com"),
            ("nonsense", "alice@example.com"),
        ] {
            let sent = notify(Some(from), &format!("mailto:{}", many.join(",")));
            if let Some(sent) = sent {
                assert_eq!(sent.from, sender, "{from}");
                assert!(sent.to.len() <= MAX_ADDRESSES);
            }
        }
    }
}
