//! Option files: `option.dat`, `imta_tailor`, `dispatcher.cnf`, channel option files
//! (configuration specification 7).
//!
//! One `NAME=value` a line; comments begin with `!`, `#` or `;`; a trailing backslash continues the value,
//! leading blanks of the next line kept; `[SECTION=value]` lines begin a section.

use crate::diagnostic::Diagnostic;
use crate::lines::{INCLUDE_DEPTH, TOTAL_LIMIT};
use crate::macros;
use crate::source::{FileId, Reader, Sources, Span};

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The section it stands in, `NAME=value`; empty before the first.
    pub section: String,
    /// Name as written.
    pub name: String,
    /// Value, blanks around it removed.
    pub value: String,
    /// Where the name stands.
    pub span: Span,
    /// Where the value stands.
    pub value_span: Span,
}

impl Setting {
    /// The value as a number: decimal, or `base%digits`.
    pub fn number(&self) -> Option<i64> {
        number(&self.value)
    }
}

/// A number: decimal, or `base%digits` with the base in decimal.
pub fn number(text: &str) -> Option<i64> {
    match text.split_once('%') {
        Some((base, digits)) => {
            let base = base.trim().parse::<u32>().ok().filter(|b| (2..=36).contains(b))?;
            i64::from_str_radix(digits.trim(), base).ok()
        }
        None => text.trim().parse().ok(),
    }
}

/// Parses an option file that is `file` of `sources`.
pub fn parse(
    sources: &mut Sources,
    file: FileId,
    reader: &dyn Reader,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut total = 0;
    read(sources, file, reader, diagnostics, &mut settings, (0, &mut total));
    for setting in &mut settings {
        setting.value.truncate(setting.value.trim_ascii_end().len());
        if setting.value.contains("&/") {
            setting.value = expand(setting, reader, diagnostics);
        }
    }
    settings
}

/// The value with the site's own names put in.
fn expand(setting: &Setting, reader: &dyn Reader, diagnostics: &mut Vec<Diagnostic>) -> String {
    let (mut out, mut from) = (String::new(), 0);
    for (range, name) in macros::find(&setting.value) {
        if let Some(value) = macros::value(name, reader, setting.value_span, diagnostics) {
            out.push_str(&setting.value[from..range.start]);
            out.push_str(&value);
            from = range.end;
        }
    }
    out + &setting.value[from..]
}

fn read(
    sources: &mut Sources,
    file: FileId,
    reader: &dyn Reader,
    diagnostics: &mut Vec<Diagnostic>,
    settings: &mut Vec<Setting>,
    (depth, total): (usize, &mut usize),
) {
    let Some(source) = sources.file(file) else { return };
    let text = source.text.clone();
    *total += text.len();
    let mut section = settings.last().map(|s| s.section.clone()).unwrap_or_default();
    let mut start = 0;
    let mut open = false;
    for line in text.split('\n') {
        let at = start;
        start += line.len() + 1;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.starts_with(['!', '#', ';']) {
            continue;
        }
        let span = |a: usize, b: usize| Span::new(file, at + a, at + b);
        let (body, continued) = match line.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (line, false),
        };
        if open {
            if let Some(last) = settings.last_mut() {
                last.value.push_str(body);
            }
        } else if body.trim_ascii().is_empty() {
        } else if let Some(name) = line.strip_prefix('<') {
            if depth >= INCLUDE_DEPTH || *total > TOTAL_LIMIT {
                diagnostics.push(
                    Diagnostic::error(
                        "O003",
                        span(0, line.len()),
                        "files are included too deeply, or too much in total",
                    )
                    .help("a file must not include itself"),
                );
                continue;
            }
            match reader.read(name.trim_ascii()) {
                Ok(text) => {
                    let id = sources.add(name.trim_ascii(), text);
                    read(
                        sources,
                        id,
                        reader,
                        diagnostics,
                        settings,
                        (depth + 1, &mut *total),
                    );
                }
                Err(why) => diagnostics.push(
                    Diagnostic::error(
                        "O004",
                        span(0, line.len()),
                        format!("cannot include this file: {why}"),
                    )
                    .help("give the full path of a file that the mail user may read"),
                ),
            }
        } else if let Some(head) = body.trim_ascii().strip_prefix('[') {
            match head.strip_suffix(']') {
                Some(name) => section = name.trim_ascii().to_string(),
                None => diagnostics.push(
                    Diagnostic::error("O002", span(0, body.len()), "the section heading is not closed")
                        .help("write `]` at its end"),
                ),
            }
        } else if let Some(eq) = body.find('=').filter(|&eq| !body[..eq].trim_ascii().is_empty()) {
            let (name, value) = (&body[..eq], &body[eq + 1..]);
            let lead = name.len() - name.trim_ascii_start().len();
            let value_lead = value.len() - value.trim_ascii_start().len();
            settings.push(Setting {
                section: section.clone(),
                name: name.trim_ascii().to_string(),
                value: value.trim_ascii_start().to_string(),
                span: span(lead, name.trim_ascii_end().len()),
                value_span: span(eq + 1 + value_lead, body.len()),
            });
        } else {
            diagnostics.push(
                Diagnostic::error("O001", span(0, body.len()), "this line is not a setting")
                    .help("write `NAME=value`; a comment begins with `!`"),
            );
        }
        open = continued && settings.last().is_some();
    }
}
