//! The template language of mapping entries (mapping specification 4): one linear scanner.
//!
//! Used when a file is loaded, and again at run time for texts that the specification scans twice
//! (results of `$[...]` and `${...}`). Hostile input costs time proportional to its length.

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Deepest nesting of callouts in the arguments of callouts.
pub const NESTING_LIMIT: usize = 8;

/// One part of a template, with the place where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it does.
    pub kind: PartKind,
    /// Its place; the default span for text that was made at run time.
    pub span: Span,
}

/// What a part of a template does.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// Puts text in, as it is.
    Text(String),
    /// `$n`: puts a field in.
    Field(u8),
    /// `$\`, `$^`, `$_`: the case of the following text.
    Case(Case),
    /// `$=`: quotes following substituted text for an LDAP filter.
    QuoteLdap,
    /// `$:x`, `$;x`: goes on only if an input flag is set, or is not.
    Test {
        /// The flag.
        flag: char,
        /// Whether it must be set.
        set: bool,
    },
    /// `$?p?`: goes on with this probability, in percent.
    Random(f64),
    /// `$|table;argument|`.
    Table {
        /// Table name.
        name: String,
        /// What is looked up.
        argument: Vec<Part>,
    },
    /// `${text}`.
    General(Vec<Part>),
    /// `$]url[`.
    Url(Vec<Part>),
    /// `$}domain,attribute{`; the argument is `domain,attribute`.
    Attribute(Vec<Part>),
    /// `$[image,routine,argument]`.
    Routine {
        /// Image as written.
        image: String,
        /// Routine name.
        routine: String,
        /// Its argument.
        argument: Vec<Part>,
    },
    /// `$#file|radix|width|mod#`.
    Sequence {
        /// The file.
        file: String,
        /// How the number is put in.
        format: SequenceFormat,
    },
    /// `$.text.`: what stands for the result when a look-up fails for the time being; `None` clears it.
    Temporary(Option<String>),
    /// `$C`, `$L`, `$R`, `$E`.
    Control(Control),
    /// `$+1E`: as `$E`, and the rest of the template is not looked at.
    Stop,
    /// Sets an output flag.
    Flag(char),
}

/// The case of following text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    /// As it is.
    #[default]
    Same,
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
}

/// Where a table goes on after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// `$C`: with the next entry.
    Continue,
    /// `$L`: with the next entry, and once more from the top at the end.
    Loop,
    /// `$R`: with the first entry.
    Restart,
    /// `$E`: nowhere.
    End,
}

/// How a sequence number is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceFormat {
    /// 2 to 36, or negative: digits of the absolute value.
    pub radix: i32,
    /// Least number of digits.
    pub width: usize,
    /// The number is taken modulo this; 0: as it is.
    pub modulus: u64,
}

/// Scans a template; `at` turns byte ranges of `text` into places. What is wrong goes to `diagnostics`,
/// and the part that is wrong is left out.
pub fn parse_template(
    text: &str,
    at: &dyn Fn(Range<usize>) -> Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Part> {
    Scanner {
        text,
        base: 0,
        at,
        diagnostics,
        depth: 0,
    }
    .parts()
}

struct Scanner<'a, 'd> {
    text: &'a str,
    base: usize,
    at: &'a dyn Fn(Range<usize>) -> Span,
    diagnostics: &'d mut Vec<Diagnostic>,
    depth: usize,
}

impl Scanner<'_, '_> {
    fn span(&self, range: Range<usize>) -> Span {
        (self.at)(self.base + range.start..self.base + range.end)
    }

    fn parts(&mut self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut pos = 0;
        while pos < self.text.len() {
            let rest = &self.text[pos..];
            let (kind, len) = match rest.strip_prefix('$') {
                None => {
                    let len = rest.find('$').unwrap_or(rest.len());
                    (Some(PartKind::Text(rest[..len].to_string())), len)
                }
                Some(after) => self.special(after, pos),
            };
            let span = self.span(pos..pos + len);
            pos += len;
            match (kind, parts.last_mut()) {
                (
                    Some(PartKind::Text(more)),
                    Some(Part {
                        kind: PartKind::Text(last),
                        span: s,
                    }),
                ) => {
                    last.push_str(&more);
                    *s = s.to(span);
                }
                (Some(kind), _) => parts.push(Part { kind, span }),
                (None, _) => {}
            }
        }
        parts
    }

    /// What follows a `$` at `pos`; the length includes the `$`.
    fn special(&mut self, after: &str, pos: usize) -> (Option<PartKind>, usize) {
        let Some(c) = after.chars().next() else {
            let d = Diagnostic::warning(
                "T002",
                self.span(pos..pos + 1),
                "a `$` at the end of a template stands for itself",
            )
            .help("write `$$`; for a blank at the end write `$ `");
            self.diagnostics.push(d);
            return (Some(PartKind::Text("$".into())), 1);
        };
        let len = 1 + c.len_utf8();
        let tail = &after[c.len_utf8()..];
        let one = |kind| (Some(kind), len);
        match c {
            '$' | ' ' | '\t' => one(PartKind::Text(c.to_string())),
            '0'..='9' => one(PartKind::Field(c as u8 - b'0')),
            '\\' => one(PartKind::Case(Case::Lower)),
            '^' => one(PartKind::Case(Case::Upper)),
            '_' => one(PartKind::Case(Case::Same)),
            '=' => one(PartKind::QuoteLdap),
            'C' | 'c' => one(PartKind::Control(Control::Continue)),
            'L' | 'l' => one(PartKind::Control(Control::Loop)),
            'R' | 'r' => one(PartKind::Control(Control::Restart)),
            'E' | 'e' => one(PartKind::Control(Control::End)),
            ':' | ';' => match tail.chars().next() {
                Some(flag) => (
                    Some(PartKind::Test { flag, set: c == ':' }),
                    len + flag.len_utf8(),
                ),
                None => {
                    self.error(
                        "T003",
                        pos..pos + len,
                        "a flag test names no flag",
                        "write the flag's letter after it",
                    );
                    (None, len)
                }
            },
            '+' => self.numbered(tail, pos, len),
            '&' => self.delimited(tail, '&', pos, len, Self::code_points),
            '?' => self.delimited(tail, '?', pos, len, |s, body, range| {
                let percent = body.trim().parse::<f64>().ok().filter(|p| p.is_finite());
                if percent.is_none() {
                    s.error(
                        "T005",
                        range,
                        "the chance between `$?` and `?` is not a number",
                        "write a percentage, as in `$?25?`",
                    );
                }
                percent.map(PartKind::Random)
            }),
            '.' => self.delimited(tail, '.', pos, len, |_, body, _| {
                Some(PartKind::Temporary((!body.is_empty()).then(|| body.to_string())))
            }),
            '#' => self.delimited(tail, '#', pos, len, Self::sequence),
            '|' => self.delimited(tail, '|', pos, len, Self::table),
            '[' => self.delimited(tail, ']', pos, len, Self::routine),
            '{' => self.delimited(tail, '}', pos, len, |s, body, range| {
                Some(PartKind::General(s.argument(body, range.start + 2)))
            }),
            ']' => self.delimited(tail, '[', pos, len, |s, body, range| {
                Some(PartKind::Url(s.argument(body, range.start + 2)))
            }),
            '}' => self.delimited(tail, '{', pos, len, |s, body, range| {
                if !body.contains(',') {
                    s.error(
                        "T006",
                        range,
                        "the attribute is missing",
                        "write `$}domain,attribute{`",
                    );
                    return None;
                }
                Some(PartKind::Attribute(s.argument(body, range.start + 2)))
            }),
            flag if flag.is_ascii_graphic() => one(PartKind::Flag(flag)),
            _ => {
                self.error(
                    "T007",
                    pos..pos + len,
                    "only printable ASCII characters can be flags",
                    "remove the `$`",
                );
                (None, len)
            }
        }
    }

    /// `$+nX`.
    fn numbered(&mut self, tail: &str, pos: usize, len: usize) -> (Option<PartKind>, usize) {
        let digits = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Some(letter) = tail[digits..].chars().next().filter(|_| digits > 0) else {
            return (Some(PartKind::Flag('+')), len);
        };
        let len = len + digits + letter.len_utf8();
        if letter.eq_ignore_ascii_case(&'E') && &tail[..digits] == "1" {
            return (Some(PartKind::Stop), len);
        }
        let d = Diagnostic::warning(
            "T008",
            self.span(pos..pos + len),
            "the number is ignored: only `$+1E` is known",
        )
        .help(format!("write `${letter}`"));
        self.diagnostics.push(d);
        let kind = match letter.to_ascii_uppercase() {
            'C' => PartKind::Control(Control::Continue),
            'L' => PartKind::Control(Control::Loop),
            'R' => PartKind::Control(Control::Restart),
            'E' => PartKind::Control(Control::End),
            _ => PartKind::Flag(letter),
        };
        (Some(kind), len)
    }

    /// A part that ends at an unquoted `close`; `make` gets its body and the range of the whole part.
    fn delimited(
        &mut self,
        tail: &str,
        close: char,
        pos: usize,
        len: usize,
        make: impl FnOnce(&mut Self, &str, Range<usize>) -> Option<PartKind>,
    ) -> (Option<PartKind>, usize) {
        let Some(end) = find_unquoted(tail, close) else {
            let open = &self.text[pos..pos + len];
            self.error(
                "T001",
                pos..self.text.len(),
                &format!("`{open}` is not closed"),
                &format!("write `{close}` after its argument; a blank inside must be written `$ `"),
            );
            return (None, self.text.len() - pos);
        };
        let whole = len + end + close.len_utf8();
        (make(self, &tail[..end], pos..pos + whole), whole)
    }

    fn argument(&mut self, body: &str, start: usize) -> Vec<Part> {
        if self.depth >= NESTING_LIMIT {
            self.error(
                "T009",
                start..start + body.len(),
                "callouts are nested too deeply",
                "use tables that call one another",
            );
            return Vec::new();
        }
        let mut inner = Scanner {
            text: body,
            base: self.base + start,
            at: self.at,
            diagnostics: self.diagnostics,
            depth: self.depth + 1,
        };
        inner.parts()
    }

    fn code_points(&mut self, body: &str, range: Range<usize>) -> Option<PartKind> {
        let text: Option<String> = body
            .split(',')
            .map(|h| u32::from_str_radix(h.trim(), 16).ok().and_then(char::from_u32))
            .collect();
        if text.is_none() {
            self.error(
                "T010",
                range,
                "this is not a list of hexadecimal code points",
                "write for example `$&e9,20&`",
            );
        }
        text.map(PartKind::Text)
    }

    fn table(&mut self, body: &str, range: Range<usize>) -> Option<PartKind> {
        let Some((name, argument)) = body.split_once(';') else {
            self.error(
                "T011",
                range,
                "the argument of the table is missing",
                "write `$|TABLE;argument|`",
            );
            return None;
        };
        let argument = self.argument(argument, range.start + 2 + name.len() + 1);
        Some(PartKind::Table {
            name: name.trim().to_string(),
            argument,
        })
    }

    fn routine(&mut self, body: &str, range: Range<usize>) -> Option<PartKind> {
        let mut columns = body.splitn(3, ',');
        let image = columns.next().unwrap_or("");
        let Some(routine) = columns.next().filter(|_| !image.is_empty()) else {
            self.error(
                "T012",
                range,
                "image and routine are missing",
                "write `$[image,routine,argument]`",
            );
            return None;
        };
        let start = range.start + 2 + image.len() + 1 + routine.len() + 1;
        let argument = columns
            .next()
            .map(|a| self.argument(a, start))
            .unwrap_or_default();
        Some(PartKind::Routine {
            image: unquote(image),
            routine: unquote(routine),
            argument,
        })
    }

    fn sequence(&mut self, body: &str, range: Range<usize>) -> Option<PartKind> {
        let mut columns = body.split('|');
        let file = unquote(columns.next().unwrap_or(""));
        let mut number = |default: i64| match columns.next().map(str::trim) {
            None | Some("") => Some(default),
            Some(text) => text.parse::<i64>().ok(),
        };
        let (radix, width, modulus) = (number(10), number(0), number(0));
        let format = match (radix, width, modulus) {
            (Some(radix @ (2..=36 | -36..=-2)), Some(width @ 0..=252), Some(modulus @ 0..)) => {
                Some(SequenceFormat {
                    radix: radix as i32,
                    width: width as usize,
                    modulus: modulus as u64,
                })
            }
            _ => None,
        };
        let Some(format) = format.filter(|_| !file.is_empty()) else {
            self.error(
                "T013",
                range,
                "this is not a sequence number",
                "write `$#file|radix|width|mod#`, radix 2 to 36, width at most 252",
            );
            return None;
        };
        Some(PartKind::Sequence { file, format })
    }

    fn error(&mut self, code: &'static str, range: Range<usize>, message: &str, help: &str) {
        let d = Diagnostic::error(code, self.span(range), message).help(help);
        self.diagnostics.push(d);
    }
}

/// Position of the first `close` that is not the second character of a `$` pair: where the argument of a callout
/// ends, in rewrite templates as here.
pub(crate) fn find_unquoted(text: &str, close: char) -> Option<usize> {
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        if c == '$' {
            chars.next();
        } else if c == close {
            return Some(i);
        }
    }
    None
}

/// Text with `$` pairs reduced to their second character.
fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '$' { chars.next().unwrap_or('$') } else { c });
    }
    out
}
