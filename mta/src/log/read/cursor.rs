//! Taking fields off the front of a text line, and telling by their looks those at its end.

use super::super::field::{CHANNEL_WIDTH, Field};
use super::super::options::Format;
use super::super::record::Code;
use super::ReadError;

/// The rest of a text line. `None` after the last field: what follows is empty.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub rest: Option<&'a str>,
    pub format: Format,
}

impl<'a> Cursor<'a> {
    /// Takes `length` octets, and the blank behind them.
    pub fn take(&mut self, length: usize) -> &'a str {
        let Some(rest) = self.rest else { return "" };
        let (word, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        self.rest = after.get(1..);
        word
    }

    pub fn word(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        self.take(memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len()))
    }

    pub fn needed(&mut self, field: &'static str) -> Result<&'a str, ReadError> {
        match self.rest {
            Some(_) => Ok(self.word()),
            None => Err(ReadError::Ends(field)),
        }
    }

    /// A channel's name and the blanks that fill it up.
    pub fn channel(&mut self, field: &'static str) -> Result<&'a str, ReadError> {
        let name = self.needed(field)?;
        if let Some(rest) = self.rest {
            let most = CHANNEL_WIDTH.saturating_sub(name.chars().count());
            let blanks = rest.bytes().take(most).take_while(|b| *b == b' ').count();
            self.rest = rest.get(blanks..);
        }
        Ok(name)
    }

    /// Format 3: `length:text`.
    pub fn counted(&mut self, field: &'static str) -> Result<&'a str, ReadError> {
        let Some(rest) = self.rest else { return Ok("") };
        let error = ReadError::Count(field);
        let (digits, text) = rest.split_once(':').ok_or(error.clone())?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error);
        }
        let length: usize = digits.parse().map_err(|_| error.clone())?;
        let (value, after) = text.split_at_checked(length).ok_or(error.clone())?;
        match after.as_bytes().first() {
            None => self.rest = None,
            Some(b' ') => self.rest = after.get(1..),
            Some(_) => return Err(error),
        }
        Ok(value)
    }

    /// A word, or a quoted local part and the word it belongs to.
    pub fn address(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        let typed = rest
            .find([' ', ';', '"', '@'])
            .filter(|at| rest.get(*at..).is_some_and(|s| s.starts_with(';')));
        let start = typed.map_or(0, |at| at + 1);
        let mut end = 0;
        if rest.get(start..).is_some_and(|text| text.starts_with('"')) {
            let mut escaped = false;
            for (at, byte) in rest.bytes().enumerate().skip(start + 1) {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => {
                        end = at + 1;
                        break;
                    }
                    _ => {}
                }
            }
        }
        let tail = rest.get(end..).unwrap_or("");
        let address = self.take(end + tail.find(' ').unwrap_or(tail.len()));
        if self.format == Format::AngleText && address == "<>" {
            ""
        } else {
            address
        }
    }

    /// A word, and what stands in brackets after it.
    pub fn system(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        let word = rest.find(' ').unwrap_or(rest.len());
        let close = match rest.get(word..) {
            Some(after) if word > 0 && after.starts_with(" (") => after.find(')'),
            _ => None,
        };
        let end = match close {
            Some(at)
                if rest
                    .get(word + at + 1..)
                    .is_some_and(|s| s.is_empty() || s.starts_with(' ')) =>
            {
                word + at + 1
            }
            _ => word,
        };
        self.take(end)
    }

    /// Text between `'` and a `'` that ends the field.
    pub fn quoted(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        let Some(inner) = rest.strip_prefix('\'') else {
            return self.word();
        };
        let end = inner
            .find("' ")
            .or_else(|| inner.ends_with('\'').then(|| inner.len() - 1));
        match end {
            Some(end) => {
                self.take(end + 2);
                inner.get(..end).unwrap_or("")
            }
            None => self.word(),
        }
    }

    /// Text up to where a diagnostic seems to begin.
    pub fn reason(&mut self) -> &'a str {
        let rest = self.rest.unwrap_or("");
        if rest.is_empty() || rest.starts_with(' ') {
            return self.take(0);
        }
        if begins_diagnostic(rest) {
            return "";
        }
        let diagnostic = rest
            .match_indices(' ')
            .find(|(at, _)| rest.get(at + 1..).is_some_and(begins_diagnostic))
            .map_or(rest.len(), |(at, _)| at);
        self.take(diagnostic)
    }
}

pub(super) fn is_reply_code(word: &str) -> bool {
    word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit())
}

pub(super) fn begins_diagnostic(text: &str) -> bool {
    ["dns;", "smtp;", "lmtp;", "x-local;", "TCP active open:"]
        .iter()
        .any(|start| text.starts_with(start))
        || is_reply_code(text.split(' ').next().unwrap_or(""))
}

/// Does a word at the end of a line look like this field? Empty always does.
pub(super) fn looks_like(field: &Field, word: &str, code: Code) -> bool {
    if word.is_empty() {
        return true;
    }
    match field.attribute {
        "qt" => code.is_dequeue() && word.bytes().all(|b| b.is_ascii_digit()),
        "tr" => word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.matches('|').count() == 4,
        "ap" => {
            let protocol = word.split('/').next().unwrap_or("");
            protocol.ends_with("MTP")
                || (word.contains('/') && protocol.bytes().all(|b| b.is_ascii_uppercase()))
        }
        "rm" => !word.contains(['(', ')', '<', '>', ';', '|', ':']) && !word.ends_with('.'),
        "au" => word.contains('@'),
        "tm" => word.contains('='),
        _ => true,
    }
}
