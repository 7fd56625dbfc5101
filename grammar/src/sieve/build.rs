//! pest's pairs to the tree, and its error productions to diagnostics.

use pest::Parser;
use pest::iterators::{Pair, Pairs};

use super::ast::{Argument, Block, Command, Script, Test, Tests, Text, Word};
use super::expression::ASSIGNMENT;
use super::scan::{MAX_NESTING, too_deep};
use crate::{Diagnostic, FileId, Sources, Span};

mod generated {
    #![allow(missing_docs)]
    #[derive(pest_derive::Parser)]
    #[grammar = "sieve/sieve.pest"]
    pub struct SieveParser;
}
pub(super) use generated::Rule;
use generated::SieveParser;

/// Bytes of a script at most.
pub const MAX_SCRIPT: usize = 1 << 20;

/// Errors reported at most; more are of no help to anybody.
pub const MAX_ERRORS: usize = 100;

/// Parses a file of `sources`. The tree holds whatever could be read; it may be used further only when
/// there is no error among the diagnostics.
pub fn parse(sources: &Sources, file: FileId) -> (Script, Vec<Diagnostic>) {
    let Some(source) = sources.file(file) else {
        return (Script::default(), Vec::new());
    };
    let text = &*source.text;
    if text.len() > MAX_SCRIPT {
        let message = format!(
            "this script has {} bytes, more than the limit of {MAX_SCRIPT}",
            text.len()
        );
        let d = Diagnostic::error("S013", Span::new(file, MAX_SCRIPT, MAX_SCRIPT), message)
            .help("split it and use `include`");
        return (Script::default(), vec![d]);
    }
    if let Some(span) = too_deep(text, file) {
        let message = format!("blocks and tests are nested more than {MAX_NESTING} deep here");
        let d = Diagnostic::error("S012", span, message).help("flatten it with `elsif`, `allof` or `anyof`");
        return (Script::default(), vec![d]);
    }
    let mut builder = Builder {
        file,
        errors: Vec::new(),
        swallowed: false,
    };
    let commands = match SieveParser::parse(Rule::script, text) {
        Ok(pairs) => {
            let inner = pairs.flat_map(Pair::into_inner);
            builder.commands(inner.filter(|pair| pair.as_rule() != Rule::mark))
        }
        Err(e) => {
            let at = match e.location {
                pest::error::InputLocation::Pos(p) => p,
                pest::error::InputLocation::Span((p, _)) => p,
            };
            builder.error(
                "S001",
                Span::new(file, at, at),
                "this cannot be read as Sieve",
                "look at this place",
            );
            Vec::new()
        }
    };
    (Script { commands }, builder.errors)
}

pub(super) struct Builder {
    file: FileId,
    errors: Vec<Diagnostic>,
    /// A string, comment or text block took the rest of the file; what seems missing behind it is not.
    swallowed: bool,
}

impl Builder {
    pub(super) fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        Span::new(self.file, pair.as_span().start(), pair.as_span().end())
    }

    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors
                .push(Diagnostic::error(code, span, message).help(help));
        }
    }

    fn commands<'i>(&mut self, pairs: impl Iterator<Item = Pair<'i, Rule>>) -> Vec<Command> {
        let mut out = Vec::new();
        for pair in pairs {
            match pair.as_rule() {
                Rule::command => out.push(self.command(pair)),
                Rule::stray | Rule::stray_in_block => out.extend(self.stray(pair)),
                _ => {}
            }
        }
        out
    }

    fn command(&mut self, pair: Pair<'_, Rule>) -> Command {
        let start = self.span(&pair);
        let mut parts = Parts::default();
        let mut block = None;
        let mut end = start.start;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::end => {
                    let Some(inner) = part.into_inner().next() else {
                        continue;
                    };
                    match inner.as_rule() {
                        Rule::block => block = Some(self.block(inner)),
                        Rule::semicolon => end = self.span(&inner).end,
                        _ if self.swallowed => {}
                        _ => {
                            let at = Span {
                                file: self.file,
                                start: end,
                                end,
                            };
                            let name = parts.name.as_ref().map_or("command", |n| n.text.as_str());
                            let message = format!("`{name}` is not ended");
                            self.error("S002", at, message, "write `;` here, or a block in `{` and `}`");
                        }
                    }
                }
                Rule::junk => {
                    end = self.span(&part).end;
                    self.junk(part, "does not belong here", "end the command before it with `;`");
                }
                _ => {
                    end = self.span(&part).end;
                    self.part(&mut parts, part);
                }
            }
        }
        let name = parts.name.unwrap_or_else(|| Word {
            text: String::new(),
            span: start,
        });
        let span = Span {
            file: self.file,
            start: start.start,
            end,
        };
        Command {
            name,
            arguments: parts.arguments,
            tests: parts.tests,
            block,
            span,
        }
    }

    fn test(&mut self, pair: Pair<'_, Rule>) -> Test {
        let span = self.span(&pair);
        let mut parts = Parts::default();
        for part in pair.into_inner() {
            self.part(&mut parts, part);
        }
        let name = parts.name.unwrap_or_else(|| Word {
            text: String::new(),
            span,
        });
        Test {
            name,
            arguments: parts.arguments,
            tests: parts.tests,
            span,
        }
    }

    fn part(&mut self, parts: &mut Parts, pair: Pair<'_, Rule>) {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::identifier => {
                parts.name = Some(Word {
                    text: pair.as_str().to_owned(),
                    span,
                })
            }
            Rule::tag => {
                let text = pair.as_str().trim_start_matches(':').to_owned();
                parts.arguments.push(Argument::Tag(Word { text, span }));
            }
            Rule::assignment_head => {
                let word = pair.into_inner().next();
                let at = word.as_ref().map_or(span, |w| self.span(w));
                let raw = word.map_or_else(String::new, |w| w.as_str().to_owned());
                parts.name = Some(Word {
                    text: ASSIGNMENT.to_owned(),
                    span: at,
                });
                let name = Text {
                    raw,
                    multiline: false,
                    span: at,
                    computed: None,
                };
                parts.arguments.push(Argument::String(name));
            }
            Rule::expression | Rule::operation | Rule::call => {
                let value = self.computed(pair);
                parts.arguments.push(Argument::String(value));
            }
            Rule::number => {
                let value = self.number(pair.as_str(), span);
                parts.arguments.push(Argument::Number(value, span));
            }
            Rule::quoted | Rule::multiline => parts.arguments.push(Argument::String(self.text(pair))),
            Rule::list => {
                let list = self.list(pair);
                parts.arguments.push(Argument::List(list, span));
            }
            Rule::test => parts.tests = Tests::One(Box::new(self.test(pair))),
            Rule::test_list => parts.tests = Tests::List(self.test_list(pair), span),
            _ => {}
        }
    }

    fn test_list(&mut self, pair: Pair<'_, Rule>) -> Vec<Test> {
        let whole = self.span(&pair);
        let mut tests = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::test => tests.push(self.test(part)),
                Rule::condition => tests.push(self.condition(part)),
                Rule::junk_in_parens => {
                    self.junk(
                        part,
                        "does not belong in a list of tests",
                        "put a comma between tests and none behind the last",
                    );
                }
                Rule::missing => self.unclosed("S004", whole, "(", ")"),
                _ => {}
            }
        }
        if tests.is_empty() && self.errors.last().is_none_or(|d| d.span().start < whole.start) {
            self.error(
                "S011",
                whole,
                "a list of tests is empty",
                "write at least one test, such as `true`",
            );
        }
        tests
    }

    pub(super) fn list(&mut self, pair: Pair<'_, Rule>) -> Vec<Text> {
        let whole = self.span(&pair);
        let mut strings = Vec::new();
        let before = self.errors.len();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::quoted | Rule::multiline => strings.push(self.text(part)),
                Rule::junk_in_brackets => {
                    self.junk(
                        part,
                        "does not belong in a list of strings",
                        "write quoted strings with a comma between two and none behind the last",
                    );
                }
                Rule::missing => self.unclosed("S005", whole, "[", "]"),
                _ => {}
            }
        }
        if strings.is_empty() && self.errors.len() == before {
            self.error(
                "S011",
                whole,
                "a list of strings is empty",
                "write at least one string, such as `\"\"`",
            );
        }
        strings
    }

    fn block(&mut self, pair: Pair<'_, Rule>) -> Block {
        let whole = self.span(&pair);
        let open = Span {
            file: self.file,
            start: whole.start,
            end: whole.start + 1,
        };
        let mut commands = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::command => commands.push(self.command(part)),
                Rule::stray_in_block => commands.extend(self.stray(part)),
                Rule::missing => self.unclosed("S003", whole, "{", "}"),
                _ => {}
            }
        }
        Block { commands, open }
    }

    fn unclosed(&mut self, code: &'static str, whole: Span, open: &str, close: &str) {
        if self.swallowed {
            return;
        }
        let at = Span {
            file: self.file,
            start: whole.start,
            end: whole.start + 1,
        };
        self.error(
            code,
            at,
            format!("`{open}` is not closed"),
            format!("write `{close}` where it ends"),
        );
    }

    pub(super) fn text(&mut self, pair: Pair<'_, Rule>) -> Text {
        let span = self.span(&pair);
        let multiline = pair.as_rule() == Rule::multiline;
        let inner = pair
            .into_inner()
            .find(|p| matches!(p.as_rule(), Rule::quoted_text | Rule::multi_text));
        let raw = inner.map_or_else(String::new, |p| p.as_str().to_owned());
        if let Some(at) = raw.find('\0') {
            let message = format!("this string holds a NUL at character {at}");
            self.error("S014", span, message, "remove it; Sieve strings cannot hold NUL");
        }
        Text {
            raw,
            multiline,
            span,
            computed: None,
        }
    }

    pub(super) fn number(&mut self, text: &str, span: Span) -> u64 {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let factor: u64 = match &text[digits_end..] {
            "" => 1,
            "k" | "K" => 1 << 10,
            "m" | "M" => 1 << 20,
            "g" | "G" => 1 << 30,
            suffix => {
                let message = format!("`{suffix}` is not a quantifier");
                self.error(
                    "S009",
                    span,
                    message,
                    "use K, M or G behind the digits, or nothing",
                );
                return 0;
            }
        };
        let value = digits.parse::<u64>().ok().and_then(|v| v.checked_mul(factor));
        match value.filter(|v| *v < 1 << 63) {
            Some(v) => v,
            None => {
                self.error(
                    "S009",
                    span,
                    "this number is too large",
                    "use a number below 2^63",
                );
                0
            }
        }
    }

    fn stray(&mut self, pair: Pair<'_, Rule>) -> Vec<Command> {
        let span = self.span(&pair);
        let Some(inner) = pair.into_inner().next() else {
            return Vec::new();
        };
        match inner.as_rule() {
            Rule::block => {
                let at = Span {
                    end: span.start + 1,
                    ..span
                };
                self.error(
                    "S010",
                    at,
                    "this `{` belongs to no command",
                    "write `if` and a test before it",
                );
                return self.block(inner).commands;
            }
            Rule::stray_words => {
                let help = "begin with a name such as `if`, `keep` or `fileinto`";
                self.junk(inner, "cannot begin a command", help);
            }
            _ if inner.as_str() == "}" => {
                self.error(
                    "S010",
                    span,
                    "this `}` closes nothing",
                    "remove it, or write the `{` it belongs to",
                );
            }
            _ => self.error(
                "S010",
                span,
                "this `;` ends nothing",
                "remove it; a block needs no `;` behind it",
            ),
        }
        Vec::new()
    }

    /// Reports text that did not fit, at its first token.
    fn junk(&mut self, pair: Pair<'_, Rule>, message: &str, help: &str) {
        let whole = self.span(&pair);
        let first_line = pair.as_str().lines().next().unwrap_or("").len();
        let word_end = pair.as_str().find(char::is_whitespace).unwrap_or(first_line);
        let mut inner: Pairs<'_, Rule> = pair.into_inner();
        let mut first = None;
        for token in inner.by_ref() {
            let span = self.span(&token);
            match token.as_rule() {
                Rule::open_quoted => {
                    self.swallowed = true;
                    let at = Span {
                        end: span.start + 1,
                        ..span
                    };
                    return self.error(
                        "S006",
                        at,
                        "this string is not closed",
                        "write `\"` where it ends",
                    );
                }
                Rule::open_comment => {
                    self.swallowed = true;
                    let at = Span {
                        end: span.start + 2,
                        ..span
                    };
                    return self.error(
                        "S007",
                        at,
                        "this comment is not closed",
                        "write `*/` where it ends",
                    );
                }
                Rule::open_multiline => {
                    self.swallowed = true;
                    let at = Span {
                        end: span.start + 5,
                        ..span
                    };
                    let help = "end the text with a line that holds a single `.`";
                    return self.error("S008", at, "this `text:` block is not ended", help);
                }
                _ if first.is_none() => {
                    first = Some(Span {
                        end: span.end.min(span.start + first_line.max(1) as u32),
                        ..span
                    });
                }
                _ => {}
            }
        }
        let at = first.unwrap_or(Span {
            end: whole.start + word_end as u32,
            ..whole
        });
        self.error("S001", at, format!("this {message}"), help);
    }
}

#[derive(Default)]
struct Parts {
    name: Option<Word>,
    arguments: Vec<Argument>,
    tests: Tests,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let mut sources = Sources::new();
        let file = sources.add("t", text);
        let (_, errors) = parse(&sources, file);
        errors
            .iter()
            .map(|d| format!("{} {}", d.code, &sources.place(d.span()).to_string()[2..]))
            .collect()
    }

    #[test]
    fn reports_every_syntax_error_at_its_word() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("empty", "", &[]),
            (
                "plain",
                "require \"fileinto\"; if header :is \"a\" [\"b\", \"c\"] { fileinto \"x\"; } else { keep; }",
                &[],
            ),
            ("comments", "# one\r\n/* two /* */ keep; # three", &[]),
            (
                "tests",
                "if allof(not true, anyof(true, size :over 1K)) { stop; }",
                &[],
            ),
            ("text block", "x text: # hi\r\n..a\r\nb\r\n.\r\n;", &[]),
            ("text block at the end", "x text:\na\n.\n;keep;", &[]),
            ("no semicolon", "if true { keep }", &["S002 1:15"]),
            ("no brace", "if true { keep;", &["S003 1:9"]),
            ("stray brace", "keep; }\nstop;", &["S010 1:7"]),
            ("semicolon behind a block", "if true { keep; };", &["S010 1:18"]),
            ("semicolon in a block", "if true { ; keep; }", &["S010 1:11"]),
            ("block of nothing", "keep; { stop }", &["S010 1:7", "S002 1:13"]),
            (
                "string as a command",
                "keep; \"x\" 17; stop",
                &["S001 1:7", "S002 1:19"],
            ),
            ("open string", "keep;\nredirect \"a@b\n", &["S006 2:10"]),
            ("open comment", "keep; /* never", &["S007 1:7"]),
            ("open text", "x text:\nabc\n", &["S008 1:3"]),
            ("quantifier", "if size :over 1T { keep; }", &["S009 1:15"]),
            ("large", "if size :over 99999999999G { keep; }", &["S009 1:15"]),
            ("empty list", "if header [] \"x\" { keep; }", &["S011 1:11"]),
            (
                "trailing comma",
                "if header [\"a\",] \"x\" { keep; }",
                &["S001 1:15"],
            ),
            ("unclosed list", "if header [\"a\" { keep; }", &["S005 1:11"]),
            ("unclosed tests", "if anyof(true { keep; }", &["S004 1:9"]),
            ("empty tests", "if anyof() { keep; }", &["S011 1:9"]),
            (
                "several",
                "if size :over 1T { keep }\n}\nstop;\nfoo @;",
                &["S009 1:15", "S002 1:24", "S010 2:1", "S001 4:5"],
            ),
        ];
        for (name, text, want) in cases {
            assert_eq!(&errors(text), want, "{name}");
        }
    }

    #[test]
    fn undoes_quoting() {
        let mut sources = Sources::new();
        let file = sources.add("t", "x \"a\\\"b\\\\c\\d\\n\" text:\n..dot\nplain\n.\n;");
        let (script, errors) = parse(&sources, file);
        assert!(errors.is_empty(), "{errors:?}");
        let value = |n: usize, controls| match &script.commands[0].arguments[n] {
            Argument::String(t) => t.value(controls),
            other => panic!("{other:?}"),
        };
        assert_eq!(value(0, false), "a\"b\\cdn");
        assert_eq!(value(0, true), "a\"b\\cd\n");
        assert_eq!(value(1, false), ".dot\r\nplain\r\n");
    }

    #[test]
    fn nesting_is_bounded_without_recursion() {
        for (name, text) in [
            ("blocks", "if true {".repeat(100_000)),
            ("tests", format!("if {}", "not ".repeat(100_000))),
            ("lists", format!("if {}", "anyof(".repeat(100_000))),
        ] {
            let found = errors(&text);
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].starts_with("S012"), "{name}: {found:?}");
        }
        let groups = format!("x = {}1{};", "(".repeat(40), ")".repeat(40));
        assert_eq!(errors(&groups), Vec::<String>::new());
        let calls = format!("x = {}1{};", "f(".repeat(25), ")".repeat(25));
        assert_eq!(errors(&calls), Vec::<String>::new());
        assert_eq!(
            errors(&format!("fileinto {}1{};", "f(".repeat(25), ")".repeat(25))),
            Vec::<String>::new()
        );
        assert!(!errors(&format!("if {}1{} {{ stop; }}", "(".repeat(40), ")".repeat(40))).is_empty());
        let deep = format!("{}keep;{}", "if not true {".repeat(30), "}".repeat(30));
        assert_eq!(errors(&deep), Vec::<String>::new());
        let wide = "if allof(not true, not not false) { keep; } ".repeat(500);
        assert_eq!(errors(&wide), Vec::<String>::new());
    }
}
