//! A message with its recipients, and the notification about it taken apart.

use jiff::tz::TimeZone;
use mail_parser::{Message, MessageParser, MimeHeaders};
use mta::dsn::template::{Ages, Templates, Words};
use mta::dsn::{Built, CONTENT_LIMIT, Kind, Notification, Reported};
use store::envelope::{Envelope, Failure, Recipient};
use store::spool::Attempt;

pub const ORIGINAL: &[u8] = b"From: a@b.example\r\nTo: c@d.example\r\nSubject: Hello\r\n there\r\n\
    Message-ID: <m1@b.example>\r\nX-Other: not shown\r\n\r\nThe body.\r\n";

/// Everything a case may change.
pub struct Case {
    pub envelope: Envelope,
    pub recipients: Vec<(Recipient, Kind, Option<Failure>)>,
    pub history: Vec<Attempt>,
    pub original: Vec<u8>,
    pub templates: Templates,
    pub words: Words,
    pub banner: String,
    pub retry_until: Option<i64>,
    pub suppress_final: bool,
    pub content_limit: usize,
}

pub fn recipient(address: &str) -> Recipient {
    Recipient {
        address: address.into(),
        original: format!("rfc822;{address}"),
        ..Recipient::default()
    }
}

pub fn rejected() -> Failure {
    Failure {
        status: "5.1.1".into(),
        diagnostic: "550 5.1.1 No Such User Here".into(),
        remote: "mx.example.com".into(),
        transport: "TCP|192.0.2.1|41423|198.51.100.7|25".into(),
    }
}

pub fn case(recipients: Vec<(Recipient, Kind, Option<Failure>)>) -> Case {
    Case {
        envelope: Envelope {
            from: "a@b.example".into(),
            arrived: 1_000_000_000,
            message_id: "<m1@b.example>".into(),
            ..Envelope::default()
        },
        recipients,
        history: Vec::new(),
        original: ORIGINAL.to_vec(),
        templates: Templates::default(),
        words: Words::default(),
        banner: "mx.example.com ESMTP (fast)".into(),
        retry_until: None,
        suppress_final: false,
        content_limit: CONTENT_LIMIT,
    }
}

impl Case {
    pub fn build(&self) -> Built {
        let header_len = self
            .original
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .map_or(self.original.len(), |at| at + 4);
        Notification {
            envelope: &self.envelope,
            to: &self.envelope.from,
            recipients: self
                .recipients
                .iter()
                .map(|(recipient, kind, failure)| Reported {
                    recipient,
                    kind: *kind,
                    failure: failure.as_ref(),
                    banner: &self.banner,
                })
                .collect(),
            history: &self.history,
            original: &self.original,
            header_len,
            reporting_host: "host.example.com",
            reporting_channel: "tcp-daemon",
            return_address: "postmaster@host.example.com",
            now: 1_000_090_000,
            zone: TimeZone::UTC,
            retry_until: self.retry_until,
            ages: Ages {
                hours: false,
                queued: 1,
                allowed: 4,
            },
            unique: "0ABC123",
            templates: &self.templates,
            words: &self.words,
            suppress_final: self.suppress_final,
            content_limit: self.content_limit,
        }
        .build()
    }
}

/// Checks what holds for every notification, and takes it apart: text, status, type and body of the third.
pub fn read(built: &Built, name: &str) -> (String, String, String, Vec<u8>) {
    for line in built.content.split(|&b| b == b'\n') {
        assert!(line.len() <= 999, "{name}: a line of {} octets", line.len());
    }
    let text = String::from_utf8_lossy(&built.content).into_owned();
    assert!(
        !text.replace("\r\n", "").contains(['\r', '\n']),
        "{name}: bare line ends"
    );
    assert_eq!(
        &built.content[built.header_len - 4..built.header_len],
        b"\r\n\r\n",
        "{name}"
    );
    assert_eq!(built.eight_bit, !built.content.is_ascii(), "{name}");
    let message: Message<'_> = MessageParser::default().parse(&built.content).unwrap();
    let root = message.root_part();
    let kind = root.content_type().unwrap();
    assert_eq!(
        (kind.ctype(), kind.subtype()),
        ("multipart", Some("report")),
        "{name}"
    );
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"), "{name}");
    let parts = root.sub_parts().unwrap();
    assert_eq!(parts.len(), 3, "{name}: {text}");
    let part = |n: usize| message.part(parts[n]).unwrap();
    let raw = |n: usize| {
        let part = part(n);
        built.content[part.raw_body_offset() as usize..part.raw_end_offset() as usize].to_vec()
    };
    let kind_of = |n: usize| {
        let kind = part(n).content_type().unwrap();
        format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
    };
    assert_eq!(kind_of(0), "text/plain", "{name}");
    assert!(["message/delivery-status", "message/global-delivery-status"].contains(&kind_of(1).as_str()));
    let readable = part(0).text_contents().unwrap().to_string();
    (readable, String::from_utf8(raw(1)).unwrap(), kind_of(2), raw(2))
}
