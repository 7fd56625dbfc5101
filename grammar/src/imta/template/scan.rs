//! The scanner of rewrite templates: text to parts, in one pass.

use std::ops::Range;

use super::{Match, Part, PartKind};
use crate::diagnostic::Diagnostic;
use crate::mapping::{Case, find_unquoted};
use crate::source::Span;

/// Where the text that is scanned stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// In the template itself.
    Template,
    /// In the argument of a look-up, or what follows `$V` and `$Z`: substitutions only.
    Argument,
    /// In a URL, which has substitutions of its own (rewrite specification 5.6).
    Url,
}

pub(super) struct Scanner<'a, 'd> {
    pub(super) text: &'a str,
    pub(super) base: usize,
    pub(super) at: &'a dyn Fn(Range<usize>) -> Span,
    pub(super) diagnostics: &'d mut Vec<Diagnostic>,
    pub(super) within: Within,
}

impl Scanner<'_, '_> {
    fn span(&self, range: Range<usize>) -> Span {
        (self.at)(self.base + range.start..self.base + range.end)
    }

    pub(super) fn parts(&mut self) -> Vec<Part> {
        let structure = self.within == Within::Template;
        let mut parts = Vec::new();
        let mut pos = 0;
        while pos < self.text.len() {
            let rest = &self.text[pos..];
            let (kind, len) = match rest.as_bytes()[0] {
                b'$' => self.special(&rest[1..], pos),
                b'@' if structure => (Some(PartKind::At), 1),
                b'%' if structure => (Some(PartKind::Percent), 1),
                _ => {
                    let stop = |c| c == '$' || (structure && (c == '@' || c == '%'));
                    let len = rest.find(stop).unwrap_or(rest.len()).max(1);
                    (Some(PartKind::Text(rest[..len].to_string())), len)
                }
            };
            let span = self.span(pos..pos + len);
            pos += len;
            parts.extend(kind.map(|kind| Part { kind, span }));
        }
        parts
    }

    fn special(&mut self, after: &str, pos: usize) -> (Option<PartKind>, usize) {
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: Option<u32> = after[..digits].parse().ok();
        let n = number.unwrap_or(0).min(255) as u8;
        let Some(c) = after[digits..].chars().next() else {
            self.error(
                "R003",
                pos..pos + 1 + digits,
                "a `$` without a sequence after it",
                "write `$$` for a dollar sign",
            );
            return (None, 1 + digits);
        };
        let len = 1 + digits + c.len_utf8();
        let tail = &after[digits + c.len_utf8()..];
        self.number_has_meaning(c, &after[..digits], number, pos..pos + len);
        let one = |kind| (Some(kind), len);
        let when = |m| (Some(PartKind::When(m)), len);
        match (self.within, c.to_ascii_uppercase()) {
            (Within::Url, 'A') if number.is_none() => return one(PartKind::Address),
            (Within::Url, 'S') => return one(PartKind::Subaddress),
            (Within::Url, ',') => return one(PartKind::Text("+".into())),
            (Within::Template, _) => {}
            (_, 'A' | 'X') if number.is_some() => {}
            (_, 'A' | 'B' | 'C' | 'E' | 'F' | 'M' | 'N' | 'P' | 'Q' | 'R' | 'S' | 'T' | 'V' | 'X' | 'Z')
            | (_, '~' | '?' | '.' | ',' | '(' | '[' | ']' | '{') => {
                self.error(
                    "R014",
                    pos..pos + len,
                    &format!("`${c}` cannot stand in an argument, where only substitutions work"),
                    "put it before or behind, or let a mapping table make the look-up",
                );
                return (None, len);
            }
            _ => {}
        }
        match c.to_ascii_uppercase() {
            '$' | '%' | '@' => one(PartKind::Text(c.to_string())),
            'U' => one(PartKind::Local(number.map(|_| n))),
            'D' => one(PartKind::Domain(n)),
            'H' => one(PartKind::Host(n)),
            'L' => one(PartKind::Literal),
            '&' | '!' | '*' | '#' => match tail.bytes().next().filter(u8::is_ascii_digit) {
                Some(digit) => {
                    let d = digit - b'0';
                    let kind = match c {
                        '&' => PartKind::HostFromLeft(d),
                        '!' => PartKind::HostFromRight(d),
                        '*' => PartKind::DomainFromLeft(d),
                        _ => PartKind::DomainFromRight(d),
                    };
                    (Some(kind), len + 1)
                }
                None => {
                    self.error(
                        "R004",
                        pos..pos + len,
                        "a component number is missing",
                        "write a digit after it, as in `$&0`",
                    );
                    (None, len)
                }
            },
            'A' if number.is_some() => one(PartKind::AddressCharacter(n)),
            'X' if number.is_some() => one(PartKind::MailHost(n)),
            '\\' => one(PartKind::Case(Case::Lower)),
            '^' => one(PartKind::Case(Case::Upper)),
            '_' => one(PartKind::Case(Case::Same)),
            '=' => one(PartKind::QuoteLdap),
            'W' => one(PartKind::Unique),
            ',' => one(PartKind::DestinationHost),
            'E' => when(Match::Envelope),
            'B' => when(Match::Header),
            'F' => when(Match::Forward),
            'R' => when(Match::Backward),
            'A' => when(Match::At),
            'P' => when(Match::Percent),
            'S' => when(Match::Route),
            'X' => when(Match::Bang),
            '~' => one(PartKind::CheckNow),
            'M' | 'N' if number == Some(1) => one(PartKind::Internal {
                is: c.eq_ignore_ascii_case(&'M'),
            }),
            'M' | 'N' => {
                let (channel, len) = self.channel(tail, pos, len);
                let is = c.eq_ignore_ascii_case(&'M');
                (Some(PartKind::Source { is, channel }), len)
            }
            'Q' | 'C' => {
                let (channel, len) = self.channel(tail, pos, len);
                let is = c.eq_ignore_ascii_case(&'Q');
                (Some(PartKind::Destination { is, channel }), len)
            }
            'V' | 'Z' => {
                let operand = operand_len(tail);
                let domain = self.argument(&tail[..operand], pos + len, Within::Argument);
                if operand == 0 {
                    self.names_nothing(pos..pos + len, "domain");
                }
                (
                    Some(PartKind::DomainCheck {
                        is: c.eq_ignore_ascii_case(&'V'),
                        domain,
                    }),
                    len + operand,
                )
            }
            'T' => {
                let operand = operand_len(tail);
                self.literal(&tail[..operand], pos + len);
                (Some(PartKind::Tag(tail[..operand].to_string())), len + operand)
            }
            '?' => {
                let operand = operand_len(tail);
                self.literal(&tail[..operand], pos + len);
                let status = number.filter(|n| matches!(n / 1_000_000, 4 | 5));
                if digits > 0 && status.is_none() {
                    self.warning(
                        "R020",
                        pos..pos + len,
                        "this status is ignored: it is neither temporary nor permanent",
                        "write 4000000 plus 1000 times the subject plus the detail, or 5000000: `$5001002?` is 5.1.2",
                    );
                }
                let kind = PartKind::ErrorText {
                    status: status.unwrap_or(0),
                    text: tail[..operand].to_string(),
                };
                (Some(kind), len + operand)
            }
            '.' => {
                let operand = operand_len(tail);
                (
                    Some(PartKind::Temporary(tail[..operand].to_string())),
                    len + operand,
                )
            }
            '(' => self.delimited(tail, ')', pos, len, |s, body, start| {
                Some(PartKind::General(s.argument(body, start, Within::Argument)))
            }),
            ']' => self.delimited(tail, '[', pos, len, |s, body, start| {
                Some(PartKind::Url(s.argument(body, start, Within::Url)))
            }),
            '{' => self.delimited(tail, '}', pos, len, |s, body, start| match body.split_once(',') {
                Some((table, argument)) => {
                    let argument = s.argument(argument, start + table.len() + 1, Within::Argument);
                    Some(PartKind::Mapping {
                        table: table.trim().to_string(),
                        argument,
                    })
                }
                None => {
                    s.error(
                        "R005",
                        start..start + body.len(),
                        "the argument of the mapping is missing",
                        "write `${TABLE,argument}`",
                    );
                    None
                }
            }),
            '[' => self.delimited(tail, ']', pos, len, |s, body, start| {
                let mut columns = body.splitn(3, ',');
                let image = columns.next().unwrap_or("");
                let Some(routine) = columns.next() else {
                    s.error(
                        "R006",
                        start..start + body.len(),
                        "the routine is missing",
                        "write `$[image,routine,argument]`",
                    );
                    return None;
                };
                let at = start + image.len() + routine.len() + 2;
                let argument = columns
                    .next()
                    .map(|a| s.argument(a, at, Within::Argument))
                    .unwrap_or_default();
                Some(PartKind::Routine {
                    image: image.to_string(),
                    routine: routine.to_string(),
                    argument,
                })
            }),
            _ => {
                self.error(
                    "R007",
                    pos..pos + len,
                    &format!("`${c}` has no meaning in a rewrite template"),
                    "write `$$` for a dollar sign; see the table of substitutions in docs/rewrite.md",
                );
                (None, len)
            }
        }
    }

    fn delimited(
        &mut self,
        tail: &str,
        close: char,
        pos: usize,
        len: usize,
        make: impl FnOnce(&mut Self, &str, usize) -> Option<PartKind>,
    ) -> (Option<PartKind>, usize) {
        let Some(end) = find_unquoted(tail, close) else {
            let open = &self.text[pos..pos + len];
            self.error(
                "R008",
                pos..self.text.len(),
                &format!("`{open}` is not closed"),
                &format!("write `{close}` after its argument"),
            );
            return (None, self.text.len() - pos);
        };
        let kind = make(self, &tail[..end], pos + len);
        (kind, len + end + close.len_utf8())
    }

    fn argument(&mut self, body: &str, start: usize, within: Within) -> Vec<Part> {
        let mut inner = Scanner {
            text: body,
            base: self.base + start,
            at: self.at,
            diagnostics: self.diagnostics,
            within,
        };
        inner.parts()
    }

    /// Warns of a number before a sequence that takes none, or not this one.
    fn number_has_meaning(&mut self, c: char, digits: &str, number: Option<u32>, range: Range<usize>) {
        let takes = match c.to_ascii_uppercase() {
            _ if digits.is_empty() => c != '~',
            // a number of its own, see there
            '?' => true,
            'U' => matches!(number, Some(0 | 1)),
            'M' | 'N' | '~' => number == Some(1),
            'D' | 'H' | 'A' | 'X' => number.is_some(),
            _ => false,
        };
        if takes {
            return;
        }
        let (message, help) = match c.to_ascii_uppercase() {
            '~' => ("only `$1~` is known; this means the same", "write `$1~`"),
            'U' => ("only `$U`, `$0U` and `$1U` are known", "write one of them"),
            'D' | 'H' | 'A' | 'X' => ("this number is too large, and ignored", "write one digit"),
            _ => ("the number before this sequence is ignored", "remove the number"),
        };
        self.warning("R019", range, message, help);
    }

    /// The channel that follows a condition, and the length of the whole.
    fn channel(&mut self, tail: &str, pos: usize, len: usize) -> (String, usize) {
        let operand = &tail[..operand_len(tail)];
        self.literal(operand, pos + len);
        if operand.is_empty() {
            self.names_nothing(pos..pos + len, "channel");
        }
        (operand.to_ascii_lowercase(), len + operand.len())
    }

    /// Warns of a sequence in an operand that is taken as it is written.
    fn literal(&mut self, operand: &str, start: usize) {
        let mut from = 0;
        while let Some(at) = operand[from..].find('$').map(|i| from + i) {
            let word = &operand[at..];
            let sequence = word[1..].trim_start_matches(|c: char| c.is_ascii_digit());
            if sequence.starts_with(|c: char| c.is_ascii_alphabetic()) {
                let end = start + at + (word.len() - sequence.len()) + 1;
                self.warning(
                    "R021",
                    start + at..end,
                    "this belongs to the operand before it, and is taken as it is written",
                    "an operand goes up to `@`, `%` or the next condition: put conditions last",
                );
                return;
            }
            from = at + 1;
        }
    }

    fn names_nothing(&mut self, range: Range<usize>, what: &str) {
        self.warning(
            "R022",
            range,
            &format!("this condition names no {what}"),
            &format!("write the {what} right after it"),
        );
    }

    fn warning(&mut self, code: &'static str, range: Range<usize>, message: &str, help: &str) {
        let d = Diagnostic::warning(code, self.span(range), message).help(help);
        self.diagnostics.push(d);
    }

    fn error(&mut self, code: &'static str, range: Range<usize>, message: &str, help: &str) {
        let d = Diagnostic::error(code, self.span(range), message).help(help);
        self.diagnostics.push(d);
    }
}

/// Length of the operand of a control: up to `@`, `%`, or the next control that has one.
fn operand_len(tail: &str) -> usize {
    let bytes = tail.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'@' | b'%' => return i,
            b'$' => {
                let mut j = i + 1;
                while j < bytes.len() && bytes[j].is_ascii_digit() {
                    j += 1;
                }
                match bytes.get(j).map(u8::to_ascii_uppercase) {
                    Some(b'N' | b'M' | b'Q' | b'C' | b'T' | b'?' | b'V' | b'Z' | b'~') => return i,
                    // the sequence belongs to the operand, whatever its second character is
                    Some(b) if b.is_ascii() => i = j + 1,
                    _ => i = j,
                }
            }
            _ => i += 1,
        }
    }
    tail.len()
}
