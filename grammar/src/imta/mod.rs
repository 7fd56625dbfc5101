//! `imta.cnf`: rewrite rules, a blank line, channel blocks.
//!
//! ```text
//! $*  $A$E$F$U%$H$V$H@mail.example.com
//! .   $U%$H@tcp_local-daemon
//!
//! l
//! mail.example.com
//!
//! tcp_local smtp mx switchchannel
//! tcp_local-daemon
//! ```
//!
//! Source: rewrite specification 1 and 5.

mod template;

use pest::Parser as _;

use crate::diagnostic::Diagnostic;
use crate::lines::{LogicalLine, Rules, logical_lines};
use crate::source::{FileId, Reader, Sources, Span};

pub use template::{Match, Part, PartKind, parse_template};

#[allow(missing_docs)]
mod syntax {
    #[derive(pest_derive::Parser)]
    #[grammar = "imta/imta.pest"]
    pub(crate) struct Grammar;
}
pub(crate) use syntax::{Grammar, Rule};

/// A parsed `imta.cnf`.
#[derive(Debug, Clone, Default)]
pub struct ImtaFile {
    /// Rewrite rules, in order.
    pub rules: Vec<RewriteRule>,
    /// Channel blocks, `defaults` and `nodefaults` among them, in order.
    pub blocks: Vec<Block>,
    /// Where the blank line stands that ended the rules.
    pub rules_end: Option<Span>,
}

/// One rewrite rule.
#[derive(Debug, Clone)]
pub struct RewriteRule {
    /// The pattern as written.
    pub pattern: String,
    /// The template as written.
    pub template_text: String,
    /// The template.
    pub template: Vec<Part>,
    /// Where the rule stands.
    pub span: Span,
    /// Where its pattern stands.
    pub pattern_span: Span,
}

/// One channel block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Channel name, `defaults` or `nodefaults`, in lower case.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// The words after the name.
    pub words: Vec<Word>,
    /// Host lines: a name and perhaps a second one each.
    pub hosts: Vec<Vec<Word>>,
}

/// One word, quotes removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// Its text.
    pub text: String,
    /// It stood in quotes.
    pub quoted: bool,
    /// Where it stands.
    pub span: Span,
}

/// Parses an `imta.cnf` that is `file` of `sources`; macros are to be replaced beforehand.
pub fn parse(
    sources: &mut Sources,
    file: FileId,
    reader: &dyn Reader,
    diagnostics: &mut Vec<Diagnostic>,
) -> ImtaFile {
    let rules = Rules {
        trim_continuation: true,
    };
    let lines = logical_lines(sources, file, rules, reader, diagnostics);
    let mut result = ImtaFile::default();
    let mut lines = lines.iter().peekable();
    while let Some(line) = lines.next_if(|l| !l.is_blank()) {
        result.rules.extend(rewrite_rule(line, diagnostics));
    }
    result.rules_end = lines.peek().map(|l| l.whole());
    let mut block: Option<Block> = None;
    for line in lines {
        if line.is_blank() {
            result.blocks.extend(block.take());
            continue;
        }
        let mut words = words(line);
        match &mut block {
            Some(block) => block.hosts.push(words),
            None if words.is_empty() => {}
            None => {
                let name = words.remove(0);
                let name_text = name.text.to_ascii_lowercase();
                block = Some(Block {
                    name: name_text,
                    span: name.span,
                    words,
                    hosts: Vec::new(),
                });
            }
        }
    }
    result.blocks.extend(block);
    result
}

fn rewrite_rule(line: &LogicalLine, diagnostics: &mut Vec<Diagnostic>) -> Option<RewriteRule> {
    let pairs = Grammar::parse(Rule::rule, &line.text).ok()?.next()?.into_inner();
    let (mut pattern, mut template) = (0..0, None);
    for pair in pairs {
        let range = pair.as_span().start()..pair.as_span().end();
        match pair.as_rule() {
            Rule::pattern => pattern = range,
            Rule::template => template = Some(range),
            _ => {}
        }
    }
    let pattern_span = line.span(pattern.clone());
    let Some(template) = template else {
        diagnostics.push(
            Diagnostic::error("R001", pattern_span, "this rewrite rule has no template")
                .help("write a template after the pattern, such as `$U%$H@tcp_local-daemon`"),
        );
        return None;
    };
    let at = |r: std::ops::Range<usize>| line.span(template.start + r.start..template.start + r.end);
    let text = &line.text[template.clone()];
    Some(RewriteRule {
        pattern: line.text[pattern.clone()].to_string(),
        template_text: text.to_string(),
        template: parse_template(text, &at, diagnostics),
        span: line.span(pattern.start..template.end),
        pattern_span,
    })
}

/// The words of a line; quotes group and are removed.
pub fn words(line: &LogicalLine) -> Vec<Word> {
    let parsed = Grammar::parse(Rule::words, &line.text)
        .ok()
        .and_then(|mut p| p.next());
    let Some(parsed) = parsed else { return Vec::new() };
    parsed
        .into_inner()
        .filter(|pair| matches!(pair.as_rule(), Rule::quoted | Rule::plain))
        .map(|pair| {
            let quoted = pair.as_rule() == Rule::quoted;
            let span = line.span(pair.as_span().start()..pair.as_span().end());
            let text = if quoted {
                pair.as_str().trim_matches('"')
            } else {
                pair.as_str()
            };
            Word {
                text: text.to_string(),
                quoted,
                span,
            }
        })
        .collect()
}
