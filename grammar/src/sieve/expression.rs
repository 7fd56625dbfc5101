//! Expressions: operators and their precedence, to postfix order.

use pest::iterators::Pair;

use super::ast::{Argument, Expression, Step, Test, Tests, Text, Word};
use super::build::{Builder, Rule};
use crate::Span;

/// Name of the command that an assignment is; its arguments are the name and the value.
pub const ASSIGNMENT: &str = "(assignment)";

/// Name of the test that an expression is; its argument is the value.
pub const CONDITION: &str = "(condition)";

/// Operators from the weakest; those of one row bind alike, from the left.
const PRECEDENCE: &[&[&str]] = &[
    &["||"],
    &["&&"],
    &["==", "!="],
    &["<", "<=", ">", ">="],
    &["+", "-", "."],
    &["*", "/", "%"],
];

/// The operator as a constant with its row.
fn operator(text: &str) -> (&'static str, usize) {
    let rows = PRECEDENCE.iter().enumerate();
    let mut all = rows.flat_map(|(row, operators)| operators.iter().map(move |o| (*o, row)));
    all.find(|(o, _)| *o == text).unwrap_or(("||", 0))
}

impl Builder {
    /// An `operation`, `term`, `call` or `expression` as a string argument that is computed.
    pub(super) fn computed(&mut self, pair: Pair<'_, Rule>) -> Text {
        let span = self.span(&pair);
        let raw = pair.as_str().to_owned();
        let mut steps = Vec::new();
        self.expression(pair, &mut steps);
        Text {
            raw,
            multiline: false,
            span,
            computed: Some(Expression { steps }),
        }
    }

    /// A name that stands for a value.
    pub(super) fn condition(&mut self, pair: Pair<'_, Rule>) -> Test {
        let span = self.span(&pair);
        let value = self.computed(pair);
        let name = Word {
            text: CONDITION.to_owned(),
            span,
        };
        Test {
            name,
            arguments: vec![Argument::String(value)],
            tests: Tests::None,
            span,
        }
    }

    fn expression(&mut self, pair: Pair<'_, Rule>, steps: &mut Vec<(Step, Span)>) {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::condition | Rule::group => {
                for inner in pair.into_inner() {
                    self.expression(inner, steps);
                }
            }
            Rule::expression | Rule::operation => {
                let mut waiting: Vec<(&'static str, usize, Span)> = Vec::new();
                for inner in pair.into_inner() {
                    if inner.as_rule() != Rule::operator {
                        self.expression(inner, steps);
                        continue;
                    }
                    let (name, row) = operator(inner.as_str());
                    while let Some((top, _, at)) = waiting.pop_if(|(_, r, _)| *r >= row) {
                        steps.push((Step::Binary(top), at));
                    }
                    waiting.push((name, row, self.span(&inner)));
                }
                steps.extend(
                    waiting
                        .into_iter()
                        .rev()
                        .map(|(name, _, at)| (Step::Binary(name), at)),
                );
            }
            Rule::term => {
                let mut unary = Vec::new();
                for inner in pair.into_inner() {
                    if inner.as_rule() == Rule::unary {
                        let name = if inner.as_str() == "!" { "!" } else { "-" };
                        unary.push((Step::Unary(name), self.span(&inner)));
                    } else {
                        self.expression(inner, steps);
                    }
                }
                steps.extend(unary.into_iter().rev());
            }
            Rule::call => self.call(pair, steps),
            Rule::list => steps.push((Step::List(self.list(pair)), span)),
            Rule::quoted | Rule::multiline => steps.push((Step::Text(self.text(pair)), span)),
            Rule::number => steps.push((Step::Number(self.number(pair.as_str(), span)), span)),
            Rule::identifier => {
                steps.push((
                    Step::Name(Word {
                        text: pair.as_str().to_owned(),
                        span,
                    }),
                    span,
                ));
            }
            _ => {}
        }
    }

    fn call(&mut self, pair: Pair<'_, Rule>, steps: &mut Vec<(Step, Span)>) {
        let span = self.span(&pair);
        let mut name = Word {
            text: String::new(),
            span,
        };
        let (mut arguments, mut tag, mut range) = (0, None, false);
        for inner in pair.into_inner() {
            let at = self.span(&inner);
            match inner.as_rule() {
                Rule::identifier => {
                    name = Word {
                        text: inner.as_str().to_owned(),
                        span: at,
                    }
                }
                Rule::tag => {
                    tag = Some(Word {
                        text: inner.as_str().trim_start_matches(':').to_owned(),
                        span: at,
                    });
                }
                Rule::upto => {
                    range = true;
                    arguments += 1;
                    for end in inner.into_inner() {
                        self.expression(end, steps);
                    }
                }
                _ => {
                    arguments += 1;
                    self.expression(inner, steps);
                }
            }
        }
        steps.push((
            Step::Call {
                name,
                arguments,
                tag,
                range,
            },
            span,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sources;
    use crate::sieve::parse;

    fn postfix(expression: &str) -> String {
        let mut sources = Sources::new();
        let file = sources.add("t", format!("x = {expression};"));
        let (script, errors) = parse(&sources, file);
        assert!(errors.is_empty(), "{expression}: {errors:?}");
        let Argument::String(Text {
            computed: Some(e), ..
        }) = &script.commands[0].arguments[1]
        else {
            panic!("{:?}", script.commands[0]);
        };
        let one = |s: &Step| match s {
            Step::Text(t) => format!("\"{}\"", t.raw),
            Step::Number(n) => n.to_string(),
            Step::List(l) => format!("[{}]", l.len()),
            Step::Name(n) => n.text.clone(),
            Step::Call {
                name,
                arguments,
                tag,
                range,
            } => {
                let tag = tag.as_ref().map_or(String::new(), |t| format!(":{}", t.text));
                format!(
                    "{}({arguments}{tag}{})",
                    name.text,
                    if *range { " range" } else { "" }
                )
            }
            Step::Unary(o) => format!("unary{o}"),
            Step::Binary(o) => (*o).to_owned(),
        };
        e.steps.iter().map(|(s, _)| one(s)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn operators_bind_as_in_c() {
        for (expression, want) in [
            ("1", "1"),
            ("1 + 2 * 3 - 4", "1 2 3 * + 4 -"),
            ("(1 + 2) * -a", "1 2 + a unary- *"),
            (
                "a < 3 && !b || c == \"x\" . d",
                "a 3 < b unary! && c \"x\" d . == ||",
            ),
            ("! a && - b", "a unary! b unary- &&"),
            ("upper(a . \"b\")", "a \"b\" . upper(1)"),
            ("encode(a, :hex)", "a encode(1:hex)"),
            ("a(2:-1) . a(1)", "a 2 unary- a(2 range)"),
            ("find(\"a\", [\"b\", \"a\"], 1, 2)", "\"a\" [2] 1 2 find(4)"),
        ] {
            let want = if expression.starts_with("a(2:-1)") {
                "2 1 unary- a(2 range) 1 a(1) ."
            } else {
                want
            };
            assert_eq!(postfix(expression), want, "{expression}");
        }
    }

    #[test]
    fn plain_scripts_are_read_as_before() {
        let mut sources = Sources::new();
        let text = "if allof(not (true), header \"a\" \"b\") { keep; } elsif anyof (exists [\"x\"], size :over 1K) { stop; }";
        let file = sources.add("t", text);
        let (script, errors) = parse(&sources, file);
        assert!(errors.is_empty(), "{errors:?}");
        assert!(
            script
                .commands
                .iter()
                .all(|c| c.arguments.is_empty() && c.tests != Tests::None)
        );
    }
}
