//! Pieces: commands and tests that the suite has no part in, cut out of the file, compiled and run.
//!
//! Each piece is a small script of its own. It begins with the requirements, variables and flags of the pieces before
//! it, and ends with telling its own, in the transaction log, which no script of a user can write.

use std::sync::Arc;

use grammar::sieve::{Argument, Command, Test};
use grammar::{FileId, Sources, Span};
use policy::Facts;
use policy::sieve::{Action, Level, Program, Request, SieveOutcome, compile};

use super::suite::{MARK, closing, quoted, strip_requires};
use super::{Leave, Runner};
use crate::commands::sieve::evaluate::drive;

impl Runner {
    fn end(command: &Command, text: &str) -> usize {
        let Some(block) = &command.block else {
            return command.span.end as usize;
        };
        let inner = block
            .commands
            .last()
            .map_or(block.open.end as usize, |c| Self::end(c, text));
        // behind the last command there is only white space and comments before the brace
        closing(text, inner)
    }

    /// Runs commands of the file that the suite has no part in.
    pub(super) fn piece(&mut self, first: &Command, last: &Command) -> Result<(), Leave> {
        if first.span == last.span && ["require", "global"].iter().any(|n| first.name.is(n)) {
            return Ok(());
        }
        let start = first.span.start as usize;
        let end = Self::end(last, &self.plain);
        let text = self.plain.get(start..end).unwrap_or_default().to_string();
        // requirements and shared names are in the prelude of every piece
        let text = if first.name.is("require") {
            String::new() + &strip_requires(&text)
        } else {
            text
        };
        self.script(&text, Some(start), &[]).map(|_| ())
    }

    /// Runs a text; says what it logged.
    pub(super) fn script(
        &mut self,
        text: &str,
        at: Option<usize>,
        more: &[&str],
    ) -> Result<Vec<String>, Leave> {
        let has = |name: &str| self.scan.requires.iter().any(|r| r == name);
        let mut prelude = String::from("require [\"ihave\"");
        for name in self
            .scan
            .requires
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
        {
            prelude.push_str(&format!(", {}", quoted(name, false)));
        }
        prelude.push_str("];\n");
        let mut tail = String::from("\n");
        if has("include") {
            for name in &self.scan.globals {
                prelude.push_str(&format!("global {};\n", quoted(name, false)));
            }
        }
        if has("variables") {
            prelude.push_str("set \"svtest_dollar\" \"$\";\n");
            for (name, value) in &self.variables {
                prelude.push_str(&format!("set {} {};\n", quoted(name, false), quoted(value, true)));
            }
            for name in &self.scan.variables {
                tail.push_str(&format!("transactionlog \"{MARK}{name}=${{{name}}}\";\n"));
            }
        }
        if has("imap4flags") {
            let flags: Vec<String> = self.flags.iter().map(|f| quoted(f, false)).collect();
            if !flags.is_empty() {
                prelude.push_str(&format!("setflag [{}];\n", flags.join(", ")));
            }
        }
        let shift = prelude.len();
        let mut sources = Sources::new();
        let file = sources.add(self.name.as_str(), format!("{prelude}{text}{tail}"));
        let program = match compile(&mut sources, file, &self.library, &self.options) {
            Ok((program, _)) => Arc::new(program),
            Err(errors) => {
                let all: Vec<String> = errors.iter().map(|d| d.render(&sources, false)).collect();
                return Err(Leave::Fail(all.join("\n")));
            }
        };
        // at the level of the system, so that the tail may tell what it has to
        let outcome = self
            .evaluate(program, &sources, Level::System)
            .map_err(Leave::Fail)?;
        if let Some(fault) = &outcome.error {
            let span = fault.span.filter(|s| s.file == file).zip(at).map(|(s, at)| {
                let back = |n: u32| (n as usize).saturating_sub(shift) + at;
                Span::new(FileId(0), back(s.start), back(s.end))
            });
            let Some(span) = span else {
                return Err(Leave::Fail(fault.message.clone()));
            };
            return Err(Leave::Fail(format!("{} ({})", fault.message, self.place(span))));
        }
        self.headers = outcome.headers.clone();
        let mut logged = Vec::new();
        for performed in &outcome.actions {
            match &performed.action {
                Action::TransactionLog { text } => {
                    match text.strip_prefix(MARK).and_then(|t| t.split_once('=')) {
                        Some((name, value)) => {
                            self.variables.insert(name.to_string(), value.to_string());
                        }
                        None => logged.push(text.clone()),
                    }
                }
                Action::Keep {
                    flags,
                    implicit: true,
                } => self.flags.clone_from(flags),
                _ => {}
            }
        }
        Ok(logged)
    }

    pub(super) fn evaluate(
        &self,
        program: Arc<Program>,
        sources: &Sources,
        level: Level,
    ) -> Result<SieveOutcome, String> {
        let mut request = Request::new(program, Arc::clone(&self.message), self.envelope.clone());
        request.level = level;
        request.limits = self.options.limits;
        request.headers.clone_from(&self.headers);
        request.environment.clone_from(&self.environment);
        request.subaddress = self.subaddress;
        if let Some(owner) = &self.owner {
            request.owner.clone_from(owner);
        }
        let facts = Facts {
            now: mta::server::now(),
            seed: 7,
        };
        drive(request, facts, &self.world, sources, false)
            .map(|(outcome, _)| outcome)
            .map_err(|e| e.to_string())
    }

    /// The strings of an argument list, variables in place.
    pub(super) fn strings(&self, arguments: &[Argument]) -> Vec<String> {
        let texts = arguments.iter().flat_map(|a| match a {
            Argument::String(t) => vec![t],
            Argument::List(l, _) => l.iter().collect(),
            _ => Vec::new(),
        });
        texts.map(|t| self.expand(t.value(false))).collect()
    }

    fn expand(&self, mut text: String) -> String {
        if text.contains("${") {
            for (name, value) in &self.variables {
                text = text.replace(&format!("${{{name}}}"), value);
            }
        }
        text
    }

    pub(super) fn number(arguments: &[Argument], tag: &str) -> Option<usize> {
        let at = arguments
            .iter()
            .position(|a| matches!(a, Argument::Tag(w) if w.is(tag)))?;
        arguments.iter().skip(at).find_map(|a| match a {
            Argument::Number(n, _) => usize::try_from(*n).ok(),
            _ => None,
        })
    }

    /// Compares items with the keys of a test, by the `string` test.
    pub(super) fn compare(&mut self, items: Vec<String>, test: &Test) -> Result<bool, Leave> {
        let items = match Self::number(&test.arguments, "index") {
            Some(n) => items.into_iter().skip(n.saturating_sub(1)).take(1).collect(),
            None => items,
        };
        let list: Vec<String> = items.iter().map(|i| quoted(i, true)).collect();
        let list = if list.is_empty() {
            "\"\"".to_string()
        } else {
            format!("[{}]", list.join(", "))
        };
        let mut arguments = Vec::new();
        let mut skip = false;
        let written: Vec<&Argument> = test.arguments.iter().collect();
        for (n, argument) in written.iter().enumerate() {
            if matches!(argument, Argument::Tag(w) if w.is("index")) {
                skip = true;
                continue;
            }
            if std::mem::take(&mut skip) {
                continue;
            }
            if n + 1 == written.len() {
                arguments.push(list.clone());
            }
            arguments.push(self.sources.text(argument.span()).to_string());
        }
        let text = format!(
            "set \"svtest_dollar\" \"$\"; if string {} {{ transactionlog \"yes\"; }}",
            arguments.join(" ")
        );
        let logged = self.script(&text, None, &["variables"])?;
        Ok(logged.iter().any(|l| l == "yes"))
    }
}
