//! The header of a message on its way in: what is there, what is added, what must not stay.
//!
//! Added: Received always; Date and Message-ID where they are missing (RFC 5321 6.4 allows it, and mail
//! without them does badly). Removed: Return-Path, which belongs to final delivery (RFC 5321 4.4). A line
//! that is no header field ends the header: a blank line is put before it.

use jiff::Zoned;

/// What is added to a header.
#[derive(Debug, Clone, Default)]
pub struct HeaderFacts {
    /// Name of this host.
    pub host: String,
    /// Name that the client gave, or its literal.
    pub helo: String,
    /// The client's address; empty where the message did not come by TCP.
    pub client: String,
    /// Protocol of RFC 3848: `ESMTP`, `ESMTPSA`, `SMTP`, `LMTP`.
    pub protocol: String,
    /// TLS description; empty without TLS.
    pub tls: String,
    /// The transaction's id.
    pub id: String,
    /// The one recipient, where there is one only.
    pub recipient: Option<String>,
    /// Right side of a generated Message-ID.
    pub id_domain: String,
}

/// What was found in a header, and the header as it is stored.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Processed {
    /// Header with its blank line.
    pub header: Vec<u8>,
    /// Octets of the input that belong to the body although they stood above the first blank line.
    pub body_start: Vec<u8>,
    /// `Received:` lines that were there.
    pub received: usize,
    /// Those of them that name this host.
    pub received_here: usize,
    /// Message-ID with its brackets.
    pub message_id: String,
}

/// The date form of RFC 5322.
pub fn date(now: &Zoned) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// Processes a header that ends before (or without) its blank line; lines end in CRLF.
pub fn process(raw: &[u8], facts: &HeaderFacts, now: &Zoned) -> Processed {
    let mut result = Processed::default();
    let mut kept: Vec<&[u8]> = Vec::new();
    let (mut has_date, mut has_id) = (false, false);
    let mut rest = raw;
    while !rest.is_empty() {
        let len = field_len(rest);
        let (field, after) = rest.split_at(len);
        let Some(name_len) = field_name(field) else {
            result.body_start = rest.to_vec();
            break;
        };
        let name = &field[..name_len];
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("Received") {
            result.received += 1;
            result.received_here += usize::from(names_host(field, &facts.host));
        }
        has_date |= is("Date");
        if is("Message-ID") && !has_id {
            has_id = true;
            let value = String::from_utf8_lossy(&field[name_len + 1..]);
            result.message_id = value
                .split_whitespace()
                .collect::<String>()
                .chars()
                .take(255)
                .collect();
        }
        if !is("Return-Path") {
            kept.push(field);
        }
        rest = after;
    }
    let mut header = received(facts, now).into_bytes();
    for field in kept {
        header.extend_from_slice(field);
    }
    if !header.ends_with(b"\r\n") {
        header.extend_from_slice(b"\r\n");
    }
    if !has_date {
        header.extend_from_slice(format!("Date: {}\r\n", date(now)).as_bytes());
    }
    if !has_id {
        result.message_id = format!("<{}@{}>", facts.id, facts.id_domain);
        header.extend_from_slice(format!("Message-ID: {}\r\n", result.message_id).as_bytes());
    }
    header.extend_from_slice(b"\r\n");
    result.header = header;
    result
}

/// How many `Received:` lines a header has, and how many of them name this host.
pub(super) fn received_lines(header: &[u8], host: &str) -> (usize, usize) {
    let (mut all, mut here) = (0, 0);
    let mut rest = header;
    while let (field, Some(name_len)) = (&rest[..field_len(rest)], field_name(rest)) {
        if rest[..name_len].eq_ignore_ascii_case(b"Received") {
            all += 1;
            here += usize::from(names_host(field, host));
        }
        rest = &rest[field.len()..];
    }
    (all, here)
}

fn names_host(field: &[u8], host: &str) -> bool {
    let text = String::from_utf8_lossy(field).to_lowercase();
    text.contains(&format!("by {}", host.to_lowercase()))
}

/// The `Received:` line of this host, with its line ends.
pub fn received(facts: &HeaderFacts, now: &Zoned) -> String {
    let mut text = String::from("Received: ");
    if !facts.client.is_empty() {
        let helo = if facts.helo.is_empty() {
            &facts.client
        } else {
            &facts.helo
        };
        text.push_str(&format!("from {} ([{}])\r\n ", clean(helo), facts.client));
    }
    text.push_str(&format!(
        "by {} (Sluice {})",
        facts.host,
        env!("CARGO_PKG_VERSION")
    ));
    if !facts.protocol.is_empty() {
        text.push_str(&format!("\r\n with {}", facts.protocol));
    }
    if !facts.tls.is_empty() {
        text.push_str(&format!(" ({})", facts.tls));
    }
    text.push_str(&format!(" id {}", facts.id));
    if let Some(recipient) = &facts.recipient {
        text.push_str(&format!("\r\n for <{}>", clean(recipient)));
    }
    text.push_str(&format!(";\r\n {}\r\n", date(now)));
    text
}

/// Text from outside in a structured field: no control characters, no parentheses or semicolons.
fn clean(text: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '(' | ')' | ';' | '\\');
    text.chars()
        .map(|c| if odd(c) { '?' } else { c })
        .take(255)
        .collect()
}

/// Length of the first field with its folded lines and line ends.
pub(super) fn field_len(raw: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at = memchr::memchr(b'\n', &raw[at..]).map_or(raw.len(), |i| at + i + 1);
        if !matches!(raw.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

/// Length of a field's name; `None` where this is no field.
pub(super) fn field_name(field: &[u8]) -> Option<usize> {
    let colon = memchr::memchr(b':', field)?;
    let name = &field[..colon];
    let trimmed = name.trim_ascii_end();
    (!trimmed.is_empty() && trimmed.iter().all(|b| b.is_ascii_graphic())).then_some(trimmed.len())
}

/// A header with lines added at its top (below the first Received) and a tag in front of its subject.
pub fn with_additions(header: &[u8], lines: &[String], subject_tag: Option<&str>) -> Vec<u8> {
    let first = field_len(header);
    let mut out = header[..first].to_vec();
    for line in lines {
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        out.extend_from_slice(line.trim_end().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let mut rest = &header[first..];
    let mut tagged = false;
    while !rest.is_empty() {
        let len = field_len(rest);
        let (field, after) = rest.split_at(len);
        match (subject_tag, field_name(field)) {
            (Some(tag), Some(n)) if !tagged && field[..n].eq_ignore_ascii_case(b"Subject") => {
                tagged = true;
                let value = field[n..].strip_prefix(b":").unwrap_or(&field[n..]);
                let value = value.strip_prefix(b" ").unwrap_or(value);
                out.extend_from_slice(b"Subject: ");
                if !value.starts_with(tag.as_bytes()) {
                    out.extend_from_slice(clean_tag(tag).as_bytes());
                    out.push(b' ');
                }
                out.extend_from_slice(value);
            }
            (Some(tag), _) if !tagged && field == b"\r\n" => {
                tagged = true;
                out.extend_from_slice(format!("Subject: {}\r\n\r\n", clean_tag(tag)).as_bytes());
            }
            _ => out.extend_from_slice(field),
        }
        rest = after;
    }
    out
}

fn clean_tag(tag: &str) -> String {
    tag.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> HeaderFacts {
        HeaderFacts {
            host: "mail.example.com".into(),
            helo: "client (x)\r\n".into(),
            client: "192.0.2.1".into(),
            protocol: "ESMTP".into(),
            id: "ID1".into(),
            recipient: Some("a@b.example".into()),
            id_domain: "mail.example.com".into(),
            ..HeaderFacts::default()
        }
    }

    #[test]
    fn completes_a_header() {
        let now = Zoned::now();
        let raw = b"Return-Path: <x@y>\r\nReceived: from a by MAIL.example.com; x\r\n y\r\nSubject: hi\r\nnot a field\r\nmore\r\n";
        let done = process(raw, &facts(), &now);
        let text = String::from_utf8(done.header.clone()).unwrap();
        assert!(
            text.starts_with("Received: from client ?x??? ([192.0.2.1])\r\n by mail.example.com (Sluice"),
            "{text}"
        );
        assert!(text.contains(" id ID1\r\n for <a@b.example>;"), "{text}");
        assert!(!text.contains("Return-Path"));
        assert!(
            text.contains("\r\nDate: ") && text.contains("\r\nMessage-ID: <ID1@mail.example.com>\r\n\r\n"),
            "{text}"
        );
        assert_eq!(done.body_start, b"not a field\r\nmore\r\n");
        assert_eq!((done.received, done.received_here), (1, 1));
    }

    #[test]
    fn counts_the_hosts_that_a_message_went_through() {
        let header = b"Received: from a by MAIL.example.com; x\r\n y\r\nSubject: Received: hi\r\nreceived: x\r\n\r\nReceived: z\r\n";
        assert_eq!(received_lines(header, "mail.example.com"), (2, 1));
        for header in [&b""[..], b"\r\n", b"Received", b"\r\nReceived: x\r\n"] {
            assert_eq!(received_lines(header, "mail.example.com"), (0, 0));
        }
    }

    #[test]
    fn adds_lines_and_tags() {
        let header = b"Received: x\r\nSubject: hello\r\n\r\n";
        let out = with_additions(header, &["X-A: b\r\nX-Evil: c".into()], Some("LIST"));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Received: x\r\nX-A: b  X-Evil: c\r\nSubject: LIST hello\r\n\r\n"
        );
        let out = with_additions(b"Received: x\r\n\r\n", &[], Some("T"));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Received: x\r\nSubject: T\r\n\r\n"
        );
    }
}
