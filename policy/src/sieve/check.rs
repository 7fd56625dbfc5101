//! Commands and tests against the table of forms: names, tags, arguments, capabilities, shape.

use grammar::sieve::{Argument, Block, Command, Step, Tests as TestArgs, Text, Word};
use grammar::{Diagnostic, Span};

use super::compile::Compiler;
use super::forms::{self, Form, Kind, Tag, Tests, Type};
use super::lower::Call;
use super::program::Op;
use crate::spelling::nearest;

/// A tag as given, with its place and value.
type GivenTag<'a> = (&'static Tag, Span, Option<&'a Argument>);

impl Compiler<'_, '_> {
    pub fn form(&mut self, name: &Word, test: bool) -> Option<&'static Form> {
        if let Some(form) = forms::find(&name.text, test) {
            return Some(form);
        }
        let text = &name.text;
        if let Some(other) = forms::find(text, !test) {
            let (is, wants, help) = if test {
                (
                    other.kind.word(),
                    "a test",
                    "write a test such as `header` here; is a `;` or `{` missing before it?",
                )
            } else {
                ("test", "a command", "put it behind `if`")
            };
            self.error(
                "S102",
                name.span,
                format!("`{text}` is a {is}, and {wants} stands here"),
                help,
            );
            return None;
        }
        self.unknown(name, test);
        None
    }

    /// Reports a word that names nothing.
    fn unknown(&mut self, name: &Word, test: bool) {
        let text = &name.text;
        let kind = if test { "test" } else { "command" };
        let names = forms::FORMS
            .iter()
            .filter(|f| (f.kind == Kind::Test) == test)
            .map(|f| f.name)
            .filter(|n| !n.starts_with('('));
        let help = match nearest(text, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use a {kind} of this server; `ihave` guards those of others"),
        };
        self.error("S101", name.span, format!("there is no {kind} `{text}`"), help);
    }

    pub fn check_command<'a>(&mut self, name: &str, command: &'a Command) -> Option<Call<'a>> {
        let form = forms::find(name, false)?;
        self.check(
            form,
            &command.name,
            &command.arguments,
            &command.tests,
            command.block.as_ref(),
            command.span,
        )
    }

    pub fn check<'a>(
        &mut self,
        form: &'static Form,
        name: &'a Word,
        arguments: &'a [Argument],
        tests: &'a TestArgs,
        block: Option<&'a Block>,
        span: Span,
    ) -> Option<Call<'a>> {
        let before = self.session.diagnostics.len();
        if !self.required.has_any(form.capability) {
            self.missing_capability(form.name, form.capability, name.span);
        } else if form.capability.is_empty() && self.session.options.forbidden.iter().any(|f| f == form.name)
        {
            let message = format!("`{}` is not offered here", form.name);
            self.error(
                "S114",
                name.span,
                message,
                "remove it, or ask for it to be switched on",
            );
        }
        let (tags, positional) = self.split_arguments(form, name, arguments);
        if form.tests != Tests::None
            && let [
                Argument::String(Text {
                    computed: Some(expression),
                    ..
                }),
            ] = positional.as_slice()
            && let Some((Step::Call { name, .. }, _)) = expression.steps.last()
        {
            // A list of tests behind an unknown word reads as a call of a function.
            self.unknown(name, true);
            return None;
        }
        let params = self.positional(form, name, positional, span);
        self.shape(form, name, tests, block, span);
        let good = self.session.diagnostics[before.min(self.session.diagnostics.len())..]
            .iter()
            .all(|d| d.severity != grammar::Severity::Error);
        let used = tags
            .iter()
            .map(|(tag, ..)| tag.capability)
            .chain([form.capability]);
        for needed in used
            .map(|c| self.required.conditional(c))
            .filter(|bits| *bits != 0)
            .collect::<Vec<_>>()
        {
            self.emit(Op::Need(needed), span);
        }
        (good && before < grammar::sieve::MAX_ERRORS).then_some(Call {
            form,
            name,
            span,
            tags,
            params,
            tests,
            block,
        })
    }

    fn missing_capability(&mut self, what: &str, capability: &[&str], span: Span) {
        let Some(first) = capability.first() else { return };
        let message = format!("`{what}` is used without its capability \"{first}\"");
        if self.session.options.forbidden.iter().any(|f| f == first) {
            return self.error(
                "S103",
                span,
                message,
                "remove it; this server does not offer it here",
            );
        }
        self.error(
            "S103",
            span,
            message,
            format!("add `require \"{first}\";` at the top of the script"),
        );
    }

    fn split_arguments<'a>(
        &mut self,
        form: &'static Form,
        name: &Word,
        arguments: &'a [Argument],
    ) -> (Vec<GivenTag<'a>>, Vec<&'a Argument>) {
        let mut tags: Vec<GivenTag<'a>> = Vec::new();
        let mut positional = Vec::new();
        let mut left = arguments.iter().peekable();
        while let Some(argument) = left.next() {
            let Argument::Tag(word) = argument else {
                positional.push(argument);
                continue;
            };
            let Some(tag) = form.tag(&word.text) else {
                let help = match nearest(
                    &word.text,
                    form.tags.iter().flat_map(|s| s.iter()).map(|t| t.name),
                ) {
                    Some(near) => format!("did you mean `:{near}`?"),
                    None if form.tags.is_empty() => format!("`{}` takes no tags", form.name),
                    None => format!("`{}` knows {}", form.name, list_tags(form)),
                };
                self.error(
                    "S104",
                    word.span,
                    format!("`{}` has no tag `:{}`", form.name, word.text),
                    help,
                );
                // Its value, where tags of this name have one, is no argument of the command.
                let takes_value = forms::FORMS
                    .iter()
                    .filter_map(|f| f.tag(&word.text))
                    .any(|t| t.value.is_some());
                if takes_value && !matches!(left.peek(), None | Some(Argument::Tag(_))) {
                    left.next();
                }
                continue;
            };
            if let Some(first) = positional.first().map(|a: &&Argument| a.span()) {
                let diagnostic = Diagnostic::error(
                    "S110",
                    word.span,
                    format!("`:{}` stands behind an argument", tag.name),
                )
                .also(first, "this argument comes first")
                .help(format!("put the tag directly behind `{}`", name.text));
                self.report(diagnostic);
            }
            if !self.required.has_any(tag.capability) {
                self.missing_capability(&format!(":{}", tag.name), tag.capability, word.span);
            }
            let clash = tags
                .iter()
                .find(|(t, _, _)| t.name == tag.name || (!tag.group.is_empty() && t.group == tag.group));
            if let Some((other, at, _)) = clash {
                let message = if other.name == tag.name {
                    format!("`:{}` is given twice", tag.name)
                } else {
                    format!(
                        "`:{}` and `:{}` exclude each other: one {}",
                        other.name, tag.name, tag.group
                    )
                };
                let diagnostic = Diagnostic::error("S105", word.span, message)
                    .also(*at, "the first one")
                    .help("keep one of them");
                self.report(diagnostic);
            }
            let value = match tag.value {
                None => None,
                Some(ty) => match left.peek() {
                    Some(value) if !matches!(value, Argument::Tag(_)) => {
                        let value = *value;
                        left.next();
                        self.typed(ty, value, &format!("`:{}`", tag.name));
                        Some(value)
                    }
                    _ => {
                        let message = format!("`:{}` has no value", tag.name);
                        self.error(
                            "S106",
                            word.span,
                            message,
                            format!("write {} behind it", ty.words()),
                        );
                        None
                    }
                },
            };
            tags.push((tag, word.span, value));
        }
        (tags, positional)
    }

    /// Checks the type of an argument.
    fn typed(&mut self, ty: Type, argument: &Argument, of: &str) {
        let fits = matches!(
            (ty, argument),
            (Type::String | Type::Numeric | Type::Strings, Argument::String(_))
                | (Type::Strings, Argument::List(..))
                | (Type::Number | Type::Numeric, Argument::Number(..))
        );
        if let Argument::String(Text {
            computed: Some(_),
            span,
            ..
        }) = argument
        {
            if !self.required.has("variables") {
                let help = "add `require \"variables\";` at the top of the script";
                self.error(
                    "S103",
                    *span,
                    "an expression is used without its capability \"variables\"",
                    help,
                );
            } else if ty == Type::Number {
                self.error(
                    "S109",
                    *span,
                    format!("{of} takes a number that is written out"),
                    "write digits",
                );
            }
            return;
        }
        if !fits {
            let is = match argument {
                Argument::Tag(_) => "a tag",
                Argument::Number(..) => "a number",
                Argument::String(_) => "a string",
                Argument::List(..) => "a list",
            };
            let message = format!("{of} takes {}, and this is {is}", ty.words());
            let help = match (ty, argument) {
                (Type::Number, Argument::String(_)) => "write the number without quotes".to_owned(),
                (Type::String, Argument::List(..)) => {
                    "write one string; repeat the command for more".to_owned()
                }
                _ => format!("write {}", ty.words()),
            };
            self.error("S109", argument.span(), message, help);
        }
        let most = self.session.options.limits.max_sieve_list_size;
        if let Argument::List(list, span) = argument
            && list.len() > most
        {
            let message = format!(
                "this list has {} strings, more than MAX_SIEVE_LIST_SIZE {most}",
                list.len()
            );
            self.error("S130", *span, message, "split it over several tests in `anyof`");
        }
    }

    fn positional<'a>(
        &mut self,
        form: &'static Form,
        name: &Word,
        given: Vec<&'a Argument>,
        span: Span,
    ) -> Vec<Option<&'a Argument>> {
        let mut optional = given
            .len()
            .saturating_sub(form.params.iter().filter(|p| !p.optional).count());
        let mut left = given.into_iter();
        let mut out = Vec::with_capacity(form.params.len());
        for param in form.params {
            if param.optional && optional == 0 {
                out.push(None);
                continue;
            }
            optional -= usize::from(param.optional);
            let argument = left.next();
            match argument {
                Some(argument) => self.typed(
                    param.ty,
                    argument,
                    &format!("the argument \"{}\" of `{}`", param.what, form.name),
                ),
                None => {
                    let message = format!("`{}` lacks its argument \"{}\"", form.name, param.what);
                    let at = Span {
                        start: span.end.saturating_sub(1).max(name.span.start),
                        ..span
                    };
                    let at = if at.start >= at.end { name.span } else { at };
                    self.error("S107", at, message, format!("write {} here", param.ty.words()));
                }
            }
            out.push(argument);
        }
        if let Some(surplus) = left.next() {
            let takes = match form.params.len() {
                0 => "no arguments".to_owned(),
                1 => "one argument".to_owned(),
                n => format!("{n} arguments"),
            };
            let message = format!("`{}` takes {takes}, and this is one more", form.name);
            self.error(
                "S108",
                surplus.span(),
                message,
                "remove it; several strings go into a list, `[\"a\", \"b\"]`",
            );
        }
        out
    }

    /// Checks the tests and the block behind the arguments.
    fn shape(&mut self, form: &Form, name: &Word, tests: &TestArgs, block: Option<&Block>, span: Span) {
        let command = form.kind != Kind::Test;
        match (form.tests, tests) {
            (Tests::None, TestArgs::None)
            | (Tests::One, TestArgs::One(_))
            | (Tests::Many, TestArgs::List(..)) => {}
            (Tests::None, TestArgs::One(test)) => {
                let message = format!(
                    "`{}` takes no test, and `{}` follows it",
                    form.name, test.name.text
                );
                let help = if command {
                    "is a `;` missing between them?"
                } else {
                    "is a `{`, a comma or a `;` missing between them?"
                };
                self.error("S111", test.name.span, message, help);
            }
            (Tests::None, TestArgs::List(_, at)) => {
                self.error(
                    "S111",
                    *at,
                    format!("`{}` takes no tests", form.name),
                    "remove the parentheses",
                );
            }
            (Tests::One, TestArgs::List(list, at)) => {
                let help = format!("write `{} anyof (...)` or `allof (...)`", form.name);
                if list.len() != 1 || command {
                    self.error("S111", *at, format!("`{}` takes one test", form.name), help);
                } else {
                    self.error(
                        "S111",
                        *at,
                        format!("`{}` takes a test without parentheses", form.name),
                        "remove the parentheses",
                    );
                }
            }
            (Tests::One, TestArgs::None) => {
                self.error(
                    "S111",
                    name.span,
                    format!("`{}` has no test", form.name),
                    "write a test such as `true` behind it",
                );
            }
            (Tests::Many, TestArgs::One(_) | TestArgs::None) => {
                let message = format!("`{}` takes tests in parentheses", form.name);
                self.error("S111", name.span, message, "write `(test, test)` behind it");
            }
        }
        match (form.block, block) {
            (true, None) => {
                let at = Span {
                    start: span.end.saturating_sub(1).max(span.start),
                    ..span
                };
                self.error(
                    "S112",
                    at,
                    format!("`{}` has no block", form.name),
                    "write `{ ... }` behind it",
                );
            }
            (false, Some(block)) => {
                self.error(
                    "S112",
                    block.open,
                    format!("`{}` takes no block", form.name),
                    "end it with `;`",
                );
            }
            _ => {}
        }
    }
}

fn list_tags(form: &Form) -> String {
    let names: Vec<String> = form
        .tags
        .iter()
        .flat_map(|s| s.iter())
        .map(|t| format!("`:{}`", t.name))
        .collect();
    names.join(", ")
}
