//! The template language of rewrite rules (rewrite specification 5): one linear scanner.
//!
//! Used when a file is loaded, and at run time for results that are expanded again (general database,
//! mappings, DOMAIN_FAILURE).

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::mapping::Case;
use crate::source::Span;

/// Where the text that is scanned stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// In the template itself.
    Template,
    /// In the argument of a look-up, or what follows `$V` and `$Z`: substitutions only.
    Argument,
    /// In a URL, which has substitutions of its own (rewrite specification 5.6).
    Url,
}

/// One part of a rewrite template.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it does.
    pub kind: PartKind,
    /// Its place; the default span for text made at run time.
    pub span: Span,
}

/// Which condition a letter sets on the use of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// `$E`: envelope addresses only.
    Envelope,
    /// `$B`: header and body addresses only.
    Header,
    /// `$F`: forward-pointing addresses only.
    Forward,
    /// `$R`: backward-pointing addresses only.
    Backward,
    /// `$A`: the host was right of `@`.
    At,
    /// `$P`: the host was right of `%`.
    Percent,
    /// `$S`: the host came from a source route.
    Route,
    /// `$X`: the host was left of `!`.
    Bang,
}

/// What a part of a rewrite template does.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// Puts text in.
    Text(String),
    /// `@`: the next field begins.
    At,
    /// `%`: the next field begins.
    Percent,
    /// `$U`, `$0U`, `$1U`: local part, without subaddress, subaddress alone.
    Local(Option<u8>),
    /// `$D`, `$nD`: the part that matched, without its first n components.
    Domain(u8),
    /// `$H`, `$nH`: the part that did not match.
    Host(u8),
    /// `$L`: the part of a literal that did not match.
    Literal,
    /// `$&n`, from the left of the host part.
    HostFromLeft(u8),
    /// `$!n`, from the right of the host part.
    HostFromRight(u8),
    /// `$*n`, from the left of the domain part.
    DomainFromLeft(u8),
    /// `$#n`, from the right of the domain part.
    DomainFromRight(u8),
    /// `$nA`: a character of the address.
    AddressCharacter(u8),
    /// `$A` in a URL: the whole address.
    Address,
    /// `$S` in a URL: the subaddress.
    Subaddress,
    /// `$nX`: a component of the mail host.
    MailHost(u8),
    /// `$\`, `$^`, `$_`.
    Case(Case),
    /// `$=`.
    QuoteLdap,
    /// `$W`: a unique string.
    Unique,
    /// `$(key)`.
    General(Vec<Part>),
    /// `${table,argument}`.
    Mapping {
        /// The table.
        table: String,
        /// What is looked up.
        argument: Vec<Part>,
    },
    /// `$]url[`.
    Url(Vec<Part>),
    /// `$[image,routine,argument]`.
    Routine {
        /// Image.
        image: String,
        /// Routine.
        routine: String,
        /// Argument.
        argument: Vec<Part>,
    },
    /// `$.text`: what stands for the result of a look-up that fails for the time being.
    Temporary(String),
    /// `$,`: what follows up to `@` is the recorded destination host.
    DestinationHost,
    /// `$E $B $F $R $A $P $S $X`.
    When(Match),
    /// `$Mchan`, `$Nchan`: source channel is, is not.
    Source {
        /// Must be this channel.
        is: bool,
        /// The channel, may hold `*`.
        channel: String,
    },
    /// `$1M`, `$1N`: source channel is, is not, an internal reprocessing channel.
    Internal {
        /// Must be one.
        is: bool,
    },
    /// `$Qchan`, `$Cchan`: destination channel is, is not.
    Destination {
        /// Must be this channel.
        is: bool,
        /// The channel, may hold `*`.
        channel: String,
    },
    /// `$Vdomain`, `$Zdomain`: the domain is served here, is not.
    DomainCheck {
        /// Must be served here.
        is: bool,
        /// The domain.
        domain: Vec<Part>,
    },
    /// `$1~`: check now.
    CheckNow,
    /// `$Ttag`.
    Tag(String),
    /// `$?text`, `$n?text`.
    ErrorText {
        /// Status as class*1000000 + subject*1000 + detail, 0 where none is given.
        status: u32,
        /// The text.
        text: String,
    },
}

/// Scans a template; `at` turns byte ranges of `text` into places.
pub fn parse_template(
    text: &str,
    at: &dyn Fn(Range<usize>) -> Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Part> {
    if let Some(error) = text.strip_prefix("$?") {
        // the template that is an error text and nothing else runs to the end of the line
        let kind = PartKind::ErrorText {
            status: 0,
            text: error.to_string(),
        };
        return vec![Part {
            kind,
            span: at(0..text.len()),
        }];
    }
    let mut text_end = text.len();
    if let Some(blank) = text.find([' ', '\t'])
        && !text[..blank].contains('?')
    {
        diagnostics.push(
            Diagnostic::warning(
                "R002",
                at(blank..text.len()),
                "this text is ignored: the template ended at the blank before it",
            )
            .help("templates hold no blanks, except in the text of `$?`"),
        );
        text_end = blank;
    }
    Scanner {
        text: &text[..text_end],
        base: 0,
        at,
        diagnostics,
        within: Within::Template,
    }
    .parts()
}

struct Scanner<'a, 'd> {
    text: &'a str,
    base: usize,
    at: &'a dyn Fn(Range<usize>) -> Span,
    diagnostics: &'d mut Vec<Diagnostic>,
    within: Within,
}

impl Scanner<'_, '_> {
    fn span(&self, range: Range<usize>) -> Span {
        (self.at)(self.base + range.start..self.base + range.end)
    }

    fn parts(&mut self) -> Vec<Part> {
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
                let operand = operand_len(tail);
                let channel = tail[..operand].to_ascii_lowercase();
                (
                    Some(PartKind::Source {
                        is: c.eq_ignore_ascii_case(&'M'),
                        channel,
                    }),
                    len + operand,
                )
            }
            'Q' | 'C' => {
                let operand = operand_len(tail);
                let channel = tail[..operand].to_ascii_lowercase();
                (
                    Some(PartKind::Destination {
                        is: c.eq_ignore_ascii_case(&'Q'),
                        channel,
                    }),
                    len + operand,
                )
            }
            'V' | 'Z' => {
                let operand = operand_len(tail);
                let domain = self.argument(&tail[..operand], pos + len, Within::Argument);
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
                (Some(PartKind::Tag(tail[..operand].to_string())), len + operand)
            }
            '?' => {
                let operand = operand_len(tail);
                let kind = PartKind::ErrorText {
                    status: number.unwrap_or(0),
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
        let mut chars = tail.char_indices();
        let mut end = None;
        while let Some((i, c)) = chars.next() {
            if c == '$' {
                chars.next();
            } else if c == close {
                end = Some(i);
                break;
            }
        }
        let Some(end) = end else {
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
