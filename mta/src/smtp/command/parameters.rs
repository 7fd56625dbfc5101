//! The parameters of MAIL and RCPT.
//!
//! Those of SIZE, BODY, SMTPUTF8, DSN and AUTH are typed; the others are kept as words for the session, if
//! the extension they belong to is offered. None may be given twice.

use store::envelope::Notify;

use super::{CommandError, Mail, Rcpt};

/// BODY= of RFC 6152 and 3030.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// 7BIT.
    SevenBit,
    /// 8BITMIME.
    EightBitMime,
    /// BINARYMIME.
    BinaryMime,
}

/// RET= of RFC 3461.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// FULL: return the whole message.
    Full,
    /// HDRS: return the headers.
    Headers,
}

/// A parameter of an extension that has no type here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Keyword in capitals.
    pub keyword: String,
    /// What follows the `=`.
    pub value: Option<String>,
}

impl Parameter {
    pub(super) fn is_ascii(&self) -> bool {
        self.value.as_ref().is_none_or(|value| value.is_ascii())
    }
}

/// Reads the parameters of MAIL into `mail`.
pub(super) fn mail(rest: &str, mail: &mut Mail) -> Result<(), CommandError> {
    for word in Word::all(rest) {
        let word = word?;
        match word.keyword.as_str() {
            "SIZE" => {
                let size = word
                    .value
                    .and_then(number)
                    .ok_or_else(|| word.wants("SIZE=octets"))?;
                word.once(&mut mail.size, size)?;
            }
            "BODY" => {
                let body = match word.value.unwrap_or_default().to_ascii_uppercase().as_str() {
                    "7BIT" => Body::SevenBit,
                    "8BITMIME" => Body::EightBitMime,
                    "BINARYMIME" => Body::BinaryMime,
                    _ => return Err(word.wants("BODY=7BIT, 8BITMIME or BINARYMIME")),
                };
                word.once(&mut mail.body, body)?;
            }
            "SMTPUTF8" if word.value.is_some() => return Err(word.wants("SMTPUTF8 without a value")),
            "SMTPUTF8" if mail.smtputf8 => return Err(word.twice()),
            "SMTPUTF8" => mail.smtputf8 = true,
            "RET" => {
                let ret = match word.value.unwrap_or_default().to_ascii_uppercase().as_str() {
                    "FULL" => Ret::Full,
                    "HDRS" => Ret::Headers,
                    _ => return Err(word.wants("RET=FULL or HDRS")),
                };
                word.once(&mut mail.ret, ret)?;
            }
            "ENVID" => {
                let encoded = word.value.filter(|value| (1..=100).contains(&value.len()));
                let envid = encoded
                    .and_then(xtext)
                    .filter(|text| text.bytes().all(|c| c == b' ' || c.is_ascii_graphic()))
                    .ok_or_else(|| word.wants("ENVID=xtext of printable ASCII, at most 100 octets"))?;
                word.once(&mut mail.envid, envid)?;
            }
            "AUTH" => {
                let auth = match word.value {
                    Some("<>") => Some(String::new()),
                    Some(value) if (1..=500).contains(&value.len()) => {
                        xtext(value).filter(|text| is_text(text))
                    }
                    _ => None,
                };
                let auth = auth.ok_or_else(|| word.wants("AUTH=<> or an address as xtext"))?;
                word.once(&mut mail.auth, auth)?;
            }
            _ => word.other(&mut mail.other)?,
        }
    }
    Ok(())
}

/// Reads the parameters of RCPT into `rcpt`.
pub(super) fn rcpt(rest: &str, rcpt: &mut Rcpt) -> Result<(), CommandError> {
    for word in Word::all(rest) {
        let word = word?;
        match word.keyword.as_str() {
            "NOTIFY" => {
                let wanted = "NOTIFY=NEVER, or a list of SUCCESS, FAILURE, DELAY";
                let notify = word.value.and_then(notify).ok_or_else(|| word.wants(wanted))?;
                if rcpt.notify.given {
                    return Err(word.twice());
                }
                rcpt.notify = notify;
            }
            "ORCPT" => {
                let encoded = word.value.filter(|value| value.len() <= 500);
                let wanted = "ORCPT=type;address with the address as xtext, at most 500 octets";
                let orcpt = encoded.and_then(orcpt).ok_or_else(|| word.wants(wanted))?;
                word.once(&mut rcpt.orcpt, orcpt)?;
            }
            _ => word.other(&mut rcpt.other)?,
        }
    }
    Ok(())
}

/// One parameter as sent.
struct Word<'a> {
    text: &'a str,
    keyword: String,
    value: Option<&'a str>,
}

impl<'a> Word<'a> {
    fn all(rest: &'a str) -> impl Iterator<Item = Result<Word<'a>, CommandError>> {
        rest.split([' ', '\t'])
            .filter(|word| !word.is_empty())
            .map(Word::parse)
    }

    fn parse(text: &'a str) -> Result<Word<'a>, CommandError> {
        let (keyword, value) = match text.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (text, None),
        };
        let word = Word {
            text,
            keyword: keyword.to_ascii_uppercase(),
            value,
        };
        let mut octets = keyword.bytes();
        if !octets.next().is_some_and(|c| c.is_ascii_alphanumeric())
            || !octets.all(|c| c.is_ascii_alphanumeric() || c == b'-')
        {
            return Err(word.wants("a keyword of letters, digits and hyphens, then perhaps = and a value"));
        }
        if value.is_some_and(|value| value.is_empty() || value.chars().any(char::is_control)) {
            return Err(word.wants("a value after the =, without control characters"));
        }
        Ok(word)
    }

    fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<(), CommandError> {
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.twice()),
        }
    }

    fn other(self, list: &mut Vec<Parameter>) -> Result<(), CommandError> {
        if list.iter().any(|one| one.keyword == self.keyword) {
            return Err(self.twice());
        }
        list.push(Parameter {
            keyword: self.keyword,
            value: self.value.map(str::to_owned),
        });
        Ok(())
    }

    fn wants(&self, wanted: &'static str) -> CommandError {
        CommandError::Parameter {
            word: self.short(),
            wanted,
        }
    }

    fn twice(&self) -> CommandError {
        CommandError::Duplicate { word: self.short() }
    }

    /// The word for a reply; a long one would push the rest of the text out of the line.
    fn short(&self) -> String {
        self.text.chars().take(64).collect()
    }
}

/// A decimal number of 1 to 20 digits; one too large for the type is its maximum.
pub(super) fn number(text: &str) -> Option<u64> {
    if !(1..=20).contains(&text.len()) || !text.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

fn is_text(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn notify(value: &str) -> Option<Notify> {
    let mut notify = Notify {
        given: true,
        ..Notify::default()
    };
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(notify);
    }
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            _ => return None,
        }
    }
    Some(notify)
}

fn orcpt(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';')?;
    if kind.is_empty() || address.is_empty() || !kind.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    {
        return None;
    }
    let address = if kind.eq_ignore_ascii_case("utf-8") {
        address.to_owned()
    } else {
        xtext(address).filter(|text| is_text(text))?
    };
    Some(format!("{kind};{address}"))
}

/// Decodes xtext (RFC 3461 4): `+` and two hex digits stand for an octet. The result must be UTF-8.
fn xtext(text: &str) -> Option<String> {
    let mut octets = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(octet) = octets.next() {
        decoded.push(match octet {
            b'+' => {
                let high = char::from(octets.next()?).to_digit(16)?;
                let low = char::from(octets.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            octet => octet,
        });
    }
    String::from_utf8(decoded).ok()
}
