//! Physical lines to logical lines: comments dropped, includes put in place, continued lines joined.
//!
//! The mapping file, `imta.cnf` and the alias file share these rules (mapping specification 1.1, rewrite
//! specification 1.1). A logical line remembers which piece of it came from where, so that
//! [`LogicalLine::span`] points at what was typed even in the middle of a continued line.

use crate::diagnostic::Diagnostic;
use crate::macros;
use crate::source::{FileId, Reader, Sources, Span};

/// Deepest nesting of included files.
pub const INCLUDE_DEPTH: usize = 3;

/// Most bytes of text, includes counted each time: a file that includes itself twice cannot grow for ever.
pub const TOTAL_LIMIT: usize = 256 << 20;

/// How a language reads its lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// Leading blanks of a continuation line are dropped (`imta.cnf`).
    pub trim_continuation: bool,
}

/// One line as the language sees it.
#[derive(Debug, Clone)]
pub struct LogicalLine {
    /// Its text, without the line end.
    pub text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    at: u32,
    file: FileId,
    start: u32,
    /// The text was put in for so many bytes of the file; it has one place only.
    replaces: Option<u32>,
}

impl LogicalLine {
    /// The place of a byte range of [`LogicalLine::text`]. A range over several pieces goes as far as they
    /// follow one another in the file: up to the end of the physical line that it begins on.
    pub fn span(&self, range: std::ops::Range<usize>) -> Span {
        let first = self
            .pieces
            .partition_point(|p| p.at as usize <= range.start)
            .saturating_sub(1);
        let Some(piece) = self.pieces.get(first) else {
            return Span::default();
        };
        let start = match piece.replaces {
            Some(_) => piece.start as usize,
            None => piece.start as usize + (range.start - piece.at as usize),
        };
        let mut end = start;
        for (n, piece) in self.pieces.iter().enumerate().skip(first) {
            let at = piece.at as usize;
            let follows = n == first || (piece.start as usize == end && range.end > at);
            if piece.file != self.pieces[first].file || !follows {
                break;
            }
            let next = self.pieces.get(n + 1).map_or(self.text.len(), |p| p.at as usize);
            end = match piece.replaces {
                Some(len) if range.end > at => (piece.start + len) as usize,
                Some(_) => end,
                None => (piece.start as usize + range.end.min(next).saturating_sub(at)).max(start),
            };
            if range.end <= next {
                break;
            }
        }
        Span::new(piece.file, start, end)
    }

    /// The place of the whole line.
    pub fn whole(&self) -> Span {
        self.span(0..self.text.len())
    }

    fn push(&mut self, file: FileId, start: usize, text: &str, replaces: Option<u32>) {
        self.pieces.push(Piece {
            at: self.text.len() as u32,
            file,
            start: start as u32,
            replaces,
        });
        self.text.push_str(text);
    }

    /// Nothing but blanks.
    pub fn is_blank(&self) -> bool {
        self.text.trim_ascii().is_empty()
    }
}

/// Reads `file` of `sources` into logical lines; problems go to `diagnostics`.
pub fn logical_lines(
    sources: &mut Sources,
    file: FileId,
    rules: Rules,
    reader: &dyn Reader,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<LogicalLine> {
    let mut state = State {
        sources,
        rules,
        reader,
        diagnostics,
        lines: Vec::new(),
        total: 0,
    };
    state.file(file, 0);
    state.lines
}

struct State<'a> {
    sources: &'a mut Sources,
    rules: Rules,
    reader: &'a dyn Reader,
    diagnostics: &'a mut Vec<Diagnostic>,
    lines: Vec<LogicalLine>,
    total: usize,
}

impl State<'_> {
    fn file(&mut self, file: FileId, depth: usize) {
        let Some(source) = self.sources.file(file) else {
            return;
        };
        let text = source.text.clone();
        self.total += text.len();
        let mut open: Option<LogicalLine> = None;
        let mut start = 0;
        while start < text.len() {
            let end = memchr(&text, start);
            let mut line = &text[start..end];
            line = line.strip_suffix('\r').unwrap_or(line);
            self.physical(file, line, start, depth, &mut open);
            start = end + 1;
        }
        if let Some(line) = open {
            let span = line.whole();
            self.diagnostics.push(
                Diagnostic::warning(
                    "L001",
                    span,
                    "the last line of the file ends in a continuation `\\`",
                )
                .help("remove the backslash, or add the line that is missing"),
            );
            self.lines.push(line);
        }
    }

    fn physical(
        &mut self,
        file: FileId,
        line: &str,
        start: usize,
        depth: usize,
        open: &mut Option<LogicalLine>,
    ) {
        if line.starts_with('!') {
            return; // a comment is not there, even between a line and its continuation
        }
        if open.is_none() && line.starts_with('<') {
            return self.include(file, line, start, depth);
        }
        let (body, continued) = match line.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (line, false),
        };
        let skip = if open.is_some() && self.rules.trim_continuation {
            body.len() - body.trim_ascii_start().len()
        } else {
            0
        };
        let logical = open.get_or_insert_with(|| LogicalLine {
            text: String::new(),
            pieces: Vec::new(),
        });
        let mut from = skip;
        for (range, name) in macros::find(body) {
            let span = Span::new(file, start + range.start, start + range.end);
            if let Some(value) = macros::value(name, self.reader, span, self.diagnostics) {
                logical.push(file, start + from, &body[from..range.start], None);
                logical.push(file, start + range.start, &value, Some(range.len() as u32));
                from = range.end;
            }
        }
        logical.push(file, start + from, &body[from..], None);
        if !continued {
            logical.text.shrink_to_fit();
            if let Some(line) = open.take() {
                self.lines.push(line);
            }
        }
    }

    fn include(&mut self, file: FileId, line: &str, start: usize, depth: usize) {
        let name = line[1..].trim_ascii();
        let at = Span::new(file, start, start + line.len());
        if name.is_empty() {
            self.diagnostics.push(
                Diagnostic::error(
                    "L002",
                    at,
                    "`<` in the first column includes a file, but no file is named",
                )
                .help("write the full path of the file after `<`"),
            );
        } else if depth >= INCLUDE_DEPTH {
            self.diagnostics.push(
                Diagnostic::error(
                    "L003",
                    at,
                    format!("files are included more than {INCLUDE_DEPTH} deep"),
                )
                .help("a file must not include itself; include deeper files from the main file"),
            );
        } else if self.total > TOTAL_LIMIT {
            self.diagnostics.push(Diagnostic::error(
                "L004",
                at,
                "the included files are too large in total",
            ));
        } else {
            match self.reader.read(name) {
                Ok(text) => {
                    let id = self.sources.add(name, text);
                    self.file(id, depth + 1);
                }
                Err(why) => self.diagnostics.push(
                    Diagnostic::error("L005", at, format!("cannot include `{name}`: {why}"))
                        .help("give the full path of a file that the mail user may read"),
                ),
            }
        }
    }
}

fn memchr(text: &str, start: usize) -> usize {
    text.as_bytes()[start..]
        .iter()
        .position(|&b| b == b'\n')
        .map_or(text.len(), |i| start + i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, rules: Rules) -> (Vec<LogicalLine>, Sources, Vec<Diagnostic>) {
        let mut sources = Sources::new();
        let file = sources.add("main", text);
        let mut diagnostics = Vec::new();
        let reader = |name: &str| match name {
            "/inc" => Ok("inner\n<main\n".to_string()),
            "main" => Ok("<main\n".to_string()),
            _ => Err("no such file".to_string()),
        };
        let lines = logical_lines(&mut sources, file, rules, &reader, &mut diagnostics);
        (lines, sources, diagnostics)
    }

    #[test]
    fn joins_continued_lines_and_keeps_places() {
        let (lines, sources, diagnostics) = read("a\\\n! comment\n  b c\n\nd\r\n", Rules::default());
        let texts: Vec<_> = lines.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(texts, ["a  b c", "", "d"]);
        assert_eq!(sources.place(lines[0].span(5..6)).to_string(), "main:3:5");
        assert!(diagnostics.is_empty());
        let (lines, ..) = read(
            "a\\\n  b\n",
            Rules {
                trim_continuation: true,
            },
        );
        assert_eq!(lines[0].text, "ab");
    }

    struct Values;

    impl Reader for Values {
        fn read(&self, _: &str) -> Result<String, String> {
            Ok("x &/HOST/ y\n".to_string())
        }

        fn value(&self, name: &str) -> Option<String> {
            (name == "HOST").then(|| "mail.example.com".to_string())
        }
    }

    #[test]
    fn macros_are_put_in_and_places_point_at_what_was_typed() {
        let mut sources = Sources::new();
        let file = sources.add("main", "a.&/HOST/.b  c\n</inc\n&/NONE/ &/HOST/\\\n&/HOST/\n");
        let mut diagnostics = Vec::new();
        let lines = logical_lines(&mut sources, file, Rules::default(), &Values, &mut diagnostics);
        let texts: Vec<_> = lines.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "a.mail.example.com.b  c",
                "x mail.example.com y",
                "&/NONE/ mail.example.commail.example.com"
            ]
        );
        let said: Vec<_> = diagnostics
            .iter()
            .map(|d| (d.code, sources.text(d.span())))
            .collect();
        assert_eq!(said, [("L006", "&/NONE/")]);
        for (line, range, text) in [
            (0, 0..20, "a.&/HOST/.b"),
            (0, 3..5, "&/HOST/"),
            (0, 2..18, "&/HOST/"),
            (0, 1..2, "."),
            (0, 18..20, ".b"),
            (0, 22..23, "c"),
            (1, 0..20, "x &/HOST/ y"),
            (2, 0..40, "&/NONE/ &/HOST/"),
        ] {
            let line: &LogicalLine = &lines[line];
            assert_eq!(sources.text(line.span(range.clone())), text, "{range:?}");
        }
    }

    #[test]
    fn includes_are_bounded_and_errors_named() {
        let (lines, _, diagnostics) = read("</inc\n<nope\n<\nend\\", Rules::default());
        let texts: Vec<_> = lines.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(texts, ["inner", "end"]);
        let codes: Vec<_> = diagnostics.iter().map(|d| d.code).collect();
        assert_eq!(codes, ["L003", "L005", "L002", "L001"]);
    }
}
