//! The envelope of a message as the next hop gets it: addresses, and the MAIL and RCPT commands.
//!
//! Refuses: addresses that could end the path or the line they stand in. Parameters are only sent where the
//! server offers their extension; values are encoded as RFC 3461 and RFC 6533 say.

use std::fmt::Write as _;

use store::envelope::{Envelope, Notify, Recipient};

use super::Offers;

/// Longest address that is sent.
const MAX_ADDRESS: usize = 512;

/// A message's envelope as the next hop gets it.
#[derive(Debug, Clone, Default)]
pub struct Outgoing<'a> {
    /// Envelope From, without angle brackets; empty for the null sender.
    pub from: &'a str,
    /// ENVID, decoded.
    pub envelope_id: Option<&'a str>,
    /// RET=HDRS.
    pub return_headers: bool,
    /// MT-PRIORITY; 0 is not sent.
    pub priority: i8,
    /// The header or an address needs SMTPUTF8, whatever the addresses here look like.
    pub utf8: bool,
    /// Recipients; the results come in this order.
    pub recipients: Vec<OutgoingRecipient<'a>>,
}

/// A recipient as the next hop gets it.
#[derive(Debug, Clone, Default)]
pub struct OutgoingRecipient<'a> {
    /// Address, without angle brackets.
    pub address: &'a str,
    /// ORCPT, `rfc822;user@host`, decoded; empty if none.
    pub original: &'a str,
    /// NOTIFY.
    pub notify: Notify,
}

impl<'a> Outgoing<'a> {
    /// From what the queue remembers.
    pub fn new(envelope: &'a Envelope, recipients: impl IntoIterator<Item = &'a Recipient>) -> Outgoing<'a> {
        Outgoing {
            from: &envelope.from,
            envelope_id: envelope.envelope_id.as_deref(),
            return_headers: envelope.return_headers,
            priority: envelope.priority,
            utf8: envelope.utf8,
            recipients: recipients
                .into_iter()
                .map(|r| OutgoingRecipient {
                    address: &r.address,
                    original: &r.original,
                    notify: r.notify,
                })
                .collect(),
        }
    }
}

/// The MAIL command with the parameters that the server offers.
pub(super) fn mail_command(
    offers: &Offers,
    envelope: &Outgoing<'_>,
    size: usize,
    eight_bit: bool,
    utf8: bool,
) -> String {
    let mut line = format!("MAIL FROM:<{}>", envelope.from);
    if offers.size.is_some() {
        let _ = write!(line, " SIZE={size}");
    }
    if eight_bit && offers.eight_bit {
        line.push_str(" BODY=8BITMIME");
    }
    if utf8 {
        line.push_str(" SMTPUTF8");
    }
    if offers.dsn {
        if envelope.return_headers {
            line.push_str(" RET=HDRS");
        }
        if let Some(id) = envelope
            .envelope_id
            .map(xtext)
            .filter(|id| !id.is_empty() && id.len() <= 100)
        {
            let _ = write!(line, " ENVID={id}");
        }
    }
    if offers.priority && (-9..=9).contains(&envelope.priority) && envelope.priority != 0 {
        let _ = write!(line, " MT-PRIORITY={}", envelope.priority);
    }
    line.push_str("\r\n");
    line
}

/// The RCPT command with the parameters that the server offers.
pub(super) fn rcpt_command(offers: &Offers, recipient: &OutgoingRecipient<'_>, utf8: bool) -> String {
    let mut line = format!("RCPT TO:<{}>", recipient.address);
    if offers.dsn {
        let notify = recipient.notify;
        if notify.never() {
            line.push_str(" NOTIFY=NEVER");
        } else if notify.given {
            let words: Vec<&str> = [
                (notify.success, "SUCCESS"),
                (notify.failure, "FAILURE"),
                (notify.delay, "DELAY"),
            ]
            .into_iter()
            .filter_map(|(asked, word)| asked.then_some(word))
            .collect();
            let _ = write!(line, " NOTIFY={}", words.join(","));
        }
        if let Some(original) = original_recipient(recipient.original, utf8) {
            let _ = write!(line, " ORCPT={original}");
        }
    }
    line.push_str("\r\n");
    line
}

/// Refuses whatever could end the path or the line; the text completes a sentence.
pub(super) fn check_address(address: &str, may_be_empty: bool) -> Result<(), &'static str> {
    if address.is_empty() && !may_be_empty {
        return Err("is empty");
    }
    if address.len() > MAX_ADDRESS {
        return Err("is too long");
    }
    if address.chars().any(char::is_control) {
        return Err("contains control characters");
    }
    let mut quoted = false;
    let mut escaped = false;
    for c in address.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '<' | '>' if !quoted => return Err("contains blanks or angle brackets outside quotes"),
            _ => {}
        }
    }
    if quoted { Err("has an open quote") } else { Ok(()) }
}

/// RFC 3461, 4: octets outside `!` to `~`, and `+` and `=`, as `+XX`.
fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'+' | b'=' => {}
            b'!'..=b'~' => {
                out.push(char::from(byte));
                continue;
            }
            _ => {}
        }
        let _ = write!(out, "+{byte:02X}");
    }
    out
}

/// The value of ORCPT; `None` if there is none or it is longer than RFC 3461 allows. A non-ASCII address
/// takes the forms of RFC 6533.
fn original_recipient(original: &str, utf8: bool) -> Option<String> {
    let (kind, address) = original.split_once(';')?;
    let token = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if kind.is_empty() || address.is_empty() || !kind.chars().all(token) {
        return None;
    }
    let value = if address.is_ascii() && !kind.eq_ignore_ascii_case("utf-8") {
        format!("{kind};{}", xtext(address))
    } else {
        let mut value = String::from("utf-8;");
        for c in address.chars() {
            match c {
                '+' | '=' | '\\' => {
                    let _ = write!(value, "\\x{{{:02X}}}", u32::from(c));
                }
                '!'..='~' => value.push(c),
                _ if utf8 && !c.is_ascii() => value.push(c),
                _ => {
                    let _ = write!(value, "\\x{{{:02X}}}", u32::from(c));
                }
            }
        }
        value
    };
    (value.len() <= 500).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("a@b.example", true, true),
            ("", true, true),
            ("", false, false),
            ("a@b\r\nRCPT TO:<x@y>", false, false),
            ("a@b> SIZE=0", false, false),
            ("<a@b", false, false),
            ("\"a b\"@c", false, true),
            ("\"a>b\"@c", false, true),
            ("\"a\\\"> x@c", false, false),
            ("a@b\u{85}", false, false),
            ("grün@bücher.example", false, true),
        ];
        for (address, empty, good) in cases {
            assert_eq!(check_address(address, empty).is_ok(), good, "{address:?}");
        }
        assert!(check_address(&"a".repeat(MAX_ADDRESS + 1), false).is_err());
    }

    #[test]
    fn original_recipients() {
        let cases = [
            ("rfc822;a+b@c", false, Some("rfc822;a+2Bb@c")),
            ("rfc822;a b=@c", false, Some("rfc822;a+20b+3D@c")),
            ("rfc822;grün@c", true, Some("utf-8;grün@c")),
            ("rfc822;grün+x@c", false, Some("utf-8;gr\\x{FC}n\\x{2B}x@c")),
            ("a@c", false, None),
            ("rfc 822;a@c", false, None),
            ("", false, None),
        ];
        for (original, utf8, expected) in cases {
            assert_eq!(
                original_recipient(original, utf8).as_deref(),
                expected,
                "{original}"
            );
        }
        assert_eq!(
            original_recipient(&format!("rfc822;{}", "x".repeat(600)), false),
            None
        );
    }
}
