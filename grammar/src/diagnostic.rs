//! One kind of message for every language: a numbered, labelled, helpful report.
//!
//! A [`Diagnostic`] names its code (`M014`), says what is wrong in one sentence, points at the words, and
//! tells how to mend it. [`Diagnostic::render`] draws the source line with the word underlined.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::source::{SourceFile, Sources, Span};

/// Labels further apart than this many bytes are drawn as pieces of their own.
const DISTANCE_LIMIT: usize = 8 << 10;

/// How bad it is. A configuration with an [`Severity::Error`] does not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Loads, but probably does not do what was meant.
    Warning,
    /// Does not load.
    Error,
}

/// A place that a diagnostic points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The words.
    pub span: Span,
    /// What to say of them; may be empty.
    pub text: String,
}

/// One report about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable number, a letter for the language and three digits.
    pub code: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// The first label is the place; others give context.
    pub labels: Vec<Label>,
    /// How to mend it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span, message)
    }

    /// A warning at `span`.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span, message)
    }

    /// A note at `span`.
    pub fn note(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, span, message)
    }

    fn new(severity: Severity, code: &'static str, span: Span, message: impl Into<String>) -> Self {
        let labels = vec![Label {
            span,
            text: String::new(),
        }];
        Diagnostic {
            severity,
            code,
            message: message.into(),
            labels,
            help: None,
        }
    }

    /// Says something of the main place.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.labels[0].text = text.into();
        self
    }

    /// Points at a second place.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Says how to mend it.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// The main place.
    pub fn span(&self) -> Span {
        self.labels[0].span
    }

    /// Draws the message with the source lines, coloured where `colour` says so.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()).id(self.code));
        for (n, label) in self.labels.iter().enumerate() {
            let Some(file) = sources.file(label.span.file) else {
                continue;
            };
            if self.labels[..n].iter().any(|l| l.span.file == label.span.file) {
                continue; // drawn with the first label of that file
            }
            let len = file.text.len();
            let range = |l: &Label| (l.span.start as usize).min(len)..(l.span.end as usize).min(len);
            let here: Vec<(usize, &Label)> = self
                .labels
                .iter()
                .enumerate()
                .filter(|(_, l)| l.span.file == label.span.file)
                .collect();
            // only the lines between the labels: drawing takes time in proportion to the text it is given
            let start = here.iter().map(|(_, l)| range(l).start).min().unwrap_or(0);
            let end = here.iter().map(|(_, l)| range(l).end).max().unwrap_or(start);
            if end - start > DISTANCE_LIMIT {
                for (m, l) in here {
                    group = group.element(snippet_of(file, range(l), [(m, l, range(l))]));
                }
                continue;
            }
            let labels = here.into_iter().map(|(m, l)| (m, l, range(l)));
            let snippet = snippet_of(file, start..end, labels);
            group = group.element(snippet);
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }

    /// The machine-readable form that `--json` tools print.
    pub fn to_json<'a>(&'a self, sources: &'a Sources) -> JsonDiagnostic<'a> {
        let place = sources.place(self.span());
        JsonDiagnostic {
            severity: self.severity,
            code: self.code,
            message: &self.message,
            file: place.file,
            line: place.line,
            column: place.column,
            word: sources.text(self.span()),
            help: self.help.as_deref(),
        }
    }
}

/// The lines of a range with labels in them.
fn snippet_of<'a>(
    file: &'a SourceFile,
    range: Range<usize>,
    labels: impl IntoIterator<Item = (usize, &'a Label, Range<usize>)>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let (line, lines) = file.lines(range);
    let text = file.text.get(lines.clone()).unwrap_or("");
    let mut snippet = Snippet::source(text).path(&*file.name).line_start(line);
    for (m, label, span) in labels {
        let kind = if m == 0 {
            AnnotationKind::Primary
        } else {
            AnnotationKind::Context
        };
        let within = |at: usize| at.saturating_sub(lines.start).min(text.len());
        snippet = snippet.annotation(
            kind.span(within(span.start)..within(span.end))
                .label(&*label.text),
        );
    }
    snippet
}

/// A diagnostic as `--json` prints it.
#[derive(Debug, serde::Serialize)]
pub struct JsonDiagnostic<'a> {
    severity: Severity,
    code: &'static str,
    message: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
    word: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

/// Whether any of them keeps the configuration from loading.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_the_word_underlined() {
        let mut sources = Sources::new();
        let file = sources.add("mappings", "T\n\n  foo  $[bad\n");
        let d = Diagnostic::error("M003", Span::new(file, 10, 15), "`$[` is not closed")
            .label("opened here")
            .help("write `]` after the argument");
        let text = d.render(&sources, false);
        assert!(text.contains("error[M003]: `$[` is not closed"), "{text}");
        assert!(text.contains("mappings:3:8"), "{text}");
        assert!(text.contains("^^^^^ opened here"), "{text}");
        assert!(text.contains("help: write `]`"), "{text}");
    }
}
