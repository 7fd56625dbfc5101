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

/// Parses an `imta.cnf` that is `file` of `sources`.
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
        let mut words = words(line, diagnostics);
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
fn words(line: &LogicalLine, diagnostics: &mut Vec<Diagnostic>) -> Vec<Word> {
    let parsed = Grammar::parse(Rule::words, &line.text)
        .ok()
        .and_then(|mut p| p.next());
    // The grammar takes any line: a test gives it all sorts of them.
    let Some(parsed) = parsed else { return Vec::new() };
    parsed
        .into_inner()
        .filter(|pair| matches!(pair.as_rule(), Rule::quoted | Rule::plain))
        .map(|pair| {
            let quoted = pair.as_rule() == Rule::quoted;
            let span = line.span(pair.as_span().start()..pair.as_span().end());
            if !quoted && pair.as_str().starts_with('"') {
                diagnostics.push(
                    Diagnostic::error(
                        "R013",
                        span,
                        format!("the quotes of `{}` do not enclose the word", pair.as_str()),
                    )
                    .help("close them where the word ends, with a blank behind; or leave them out"),
                );
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn block(line: &str) -> (Vec<String>, Vec<&'static str>) {
        let mut sources = Sources::default();
        let file = sources.add("imta.cnf", format!("\n{line}\nhost.example\n"));
        let mut diagnostics = Vec::new();
        let parsed = parse(
            &mut sources,
            file,
            &|_: &str| Err("no includes".to_string()),
            &mut diagnostics,
        );
        let words = parsed.blocks.first().map(|b| &b.words).into_iter().flatten();
        (
            words.map(|w| w.text.clone()).collect(),
            diagnostics.iter().map(|d| d.code).collect(),
        )
    }

    #[test]
    fn no_word_of_a_channel_line_is_lost() {
        for (line, words, codes) in [
            (
                r#"tcp_x smtp backoff "pt5m" "pt 10m" mx"#,
                &["smtp", "backoff", "pt5m", "pt 10m", "mx"][..],
                &[][..],
            ),
            (r#"tcp_x "a"b mx"#, &[r#""a"b"#, "mx"], &["R013"]),
            (r#"tcp_x "a b"c mx"#, &[r#""a"#, r#"b"c"#, "mx"], &["R013"]),
            (
                r#"tcp_x "open to the end"#,
                &[r#""open"#, "to", "the", "end"],
                &["R013"],
            ),
            (r#"tcp_x "" mx"#, &["", "mx"], &[]),
            (r#"tcp_x a"b" mx"#, &[r#"a"b""#, "mx"], &[]),
            (r#"tcp_x """ mx"#, &[r#"""""#, "mx"], &["R013"]),
        ] {
            let (got, said) = block(line);
            assert_eq!(got, words, "{line}");
            assert_eq!(said, codes, "{line}");
        }
    }
}
