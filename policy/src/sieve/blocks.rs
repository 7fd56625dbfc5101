//! Blocks, branches, loops and the tests that combine tests: what shapes the code.

use grammar::sieve::{Argument, Command, Test, Tests as TestArgs};

use super::adopt;
use super::capability::{self, CAPABILITIES, PRIVATE};
use super::compile::{Compiler, Loop};
use super::lower::Call;
use super::program::Op;
use crate::spelling::nearest;

impl Compiler<'_, '_> {
    /// Compiles commands in order; says whether the end is never reached.
    pub fn block(&mut self, commands: &[Command], top: bool) -> bool {
        let mut only_requires = top;
        let mut at = 0;
        while let Some(command) = commands.get(at) {
            self.span = command.span;
            let is_require = command.name.is("require");
            let ended = if is_require {
                let hoisted = self.session.options.glued && top;
                if !only_requires && !hoisted {
                    let help = "move it to the top of the script, before every other command";
                    self.error(
                        "S113",
                        command.name.span,
                        "`require` stands behind other commands",
                        help,
                    );
                }
                self.require(command);
                false
            } else if command.name.is("if") {
                let (next, ended) = self.if_chain(commands, at);
                at = next - 1;
                ended
            } else if command.name.is("elsif") || command.name.is("else") {
                let message = format!("`{}` follows no `if`", command.name.text);
                self.error(
                    "S115",
                    command.name.span,
                    message,
                    "put it directly behind the block of an `if` or `elsif`",
                );
                self.inner(command);
                false
            } else if command.name.is("loop") {
                self.passes(command);
                false
            } else if command.name.is("foreverypart") {
                self.forever(command);
                false
            } else {
                self.command(command)
            };
            only_requires &= is_require;
            if ended {
                return true;
            }
            at += 1;
        }
        false
    }

    /// Compiles the block of a command that is wrong itself, for the errors in it.
    fn inner(&mut self, command: &Command) {
        if let Some(block) = &command.block {
            self.block(&block.commands, false);
        }
    }

    pub fn require(&mut self, command: &Command) {
        let Some(call) = self.check_command("require", command) else {
            return;
        };
        for text in call.texts(0) {
            let name = text.value(false);
            if name == "vacation" && self.session.options.limits.max_vacations == 0 {
                let message = "Vacation not listed in require clause prior to use: it is switched off here";
                self.error(
                    "S114",
                    text.span,
                    message,
                    "remove the vacation, or ask for MAX_VACATIONS above 0",
                );
            } else if !capability::is_known(&name, &self.session.options.forbidden) {
                let help = match nearest(&name, CAPABILITIES.iter().chain(PRIVATE).copied()) {
                    Some(near) if near != name => format!("did you mean \"{near}\"?"),
                    _ => "remove it; this server does not offer it here".to_owned(),
                };
                self.error(
                    "S114",
                    text.span,
                    format!("there is no capability \"{name}\""),
                    help,
                );
            }
            self.required.add(&name);
        }
    }

    /// Compiles an `if` with its `elsif`s and `else`; returns the index behind them and whether the end of
    /// the chain is never reached.
    fn if_chain(&mut self, commands: &[Command], from: usize) -> (usize, bool) {
        let mut ends = Vec::new();
        let mut at = from;
        let mut decided = false;
        let mut ended = false;
        while let Some(command) = commands.get(at) {
            let name = command.name.text.to_ascii_lowercase();
            let first = at == from;
            if !first && name != "elsif" && name != "else" {
                break;
            }
            at += 1;
            self.span = command.span;
            if decided {
                continue; // can never run: `ihave` has said so
            }
            let Some(call) = self.check_command(&name, command) else {
                self.inner(command);
                continue;
            };
            if name == "else" {
                if let Some(block) = call.block {
                    ended |= self.block(&block.commands, false) && ends.is_empty();
                }
                break;
            }
            let known = match call.tests {
                TestArgs::One(test) => self.test(test),
                TestArgs::List(tests, _) => tests.first().and_then(|t| self.test(t)),
                TestArgs::None => None,
            };
            let Some(block) = call.block else { continue };
            match known {
                Some(false) => {}
                Some(true) => {
                    ended |= self.block(&block.commands, false) && ends.is_empty();
                    decided = true;
                }
                None => {
                    let skip = self.emit(Op::Branch { when: false, to: 0 }, command.span);
                    self.block(&block.commands, false);
                    ends.push(self.emit(Op::Jump(0), command.span));
                    self.patch(skip);
                }
            }
        }
        for end in ends {
            self.patch(end);
        }
        (at, ended)
    }

    fn forever(&mut self, command: &Command) {
        let Some(call) = self.check_command("foreverypart", command) else {
            self.loops.push(Loop {
                name: None,
                start: 0,
                breaks: Vec::new(),
            });
            self.inner(command);
            self.loops.pop();
            return;
        };
        let name = call
            .text("name")
            .and_then(|t| self.constant(t))
            .map(|n| n.to_ascii_lowercase());
        let span = command.span;
        let retain = call.has("retainnestedmessages").is_some();
        self.emit(Op::EnterLoop { retain }, span);
        let start = self.emit(Op::NextPart { exit: 0 }, span);
        self.loops.push(Loop {
            name,
            start,
            breaks: Vec::new(),
        });
        if let Some(block) = call.block {
            self.block(&block.commands, false);
        }
        self.emit(Op::Jump(start), span);
        self.patch(start);
        for jump in self.loops.pop().map(|l| l.breaks).unwrap_or_default() {
            self.patch(jump);
        }
    }

    /// `loop` with its conditions: `exitif` leaves it, `nextif` skips a pass; all exits are looked at first.
    fn passes(&mut self, command: &Command) {
        let span = command.span;
        let mut exits = Vec::new();
        let mut skips = Vec::new();
        let mut rest = match &command.tests {
            TestArgs::None => None,
            TestArgs::One(test) => Some(&**test),
            TestArgs::List(_, at) => {
                self.error(
                    "S111",
                    *at,
                    "`loop` takes no list of tests",
                    "write `exitif` or `nextif` before a condition",
                );
                None
            }
        };
        while let Some(word) = rest {
            let target = if word.name.is("exitif") {
                &mut exits
            } else if word.name.is("nextif") {
                &mut skips
            } else {
                let message = format!("`{}` stands where `exitif` or `nextif` has to", word.name.text);
                self.error(
                    "S111",
                    word.name.span,
                    message,
                    "write one of them before each condition",
                );
                break;
            };
            let next;
            match (word.arguments.as_slice(), &word.tests) {
                ([Argument::String(value)], tests) => {
                    target.push(adopt::condition(value.clone()));
                    next = tests;
                }
                ([], TestArgs::One(test)) => {
                    // The condition is a test; the next word stands behind its arguments.
                    let mut own = (**test).clone();
                    let follows =
                        matches!(&own.tests, TestArgs::One(t) if t.name.is("exitif") || t.name.is("nextif"));
                    if follows {
                        own.tests = TestArgs::None;
                    }
                    target.push(own);
                    next = if follows { &test.tests } else { &TestArgs::None };
                }
                _ => {
                    let message = format!("`{}` has no condition", word.name.text);
                    self.error(
                        "S111",
                        word.name.span,
                        message,
                        "write an expression or a test behind it",
                    );
                    next = &word.tests;
                }
            }
            rest = match next {
                TestArgs::One(test) => Some(test),
                _ => None,
            };
        }
        let Some(block) = &command.block else {
            return self.error(
                "S112",
                command.name.span,
                "`loop` has no block",
                "write `{ ... }` behind it",
            );
        };
        self.emit(Op::EnterPasses, span);
        let start = self.emit(Op::NextPass, span);
        let mut breaks = Vec::new();
        for test in &exits {
            self.test(test);
            let skip = self.emit(Op::Branch { when: false, to: 0 }, test.span);
            self.emit(Op::LeaveLoops(1), test.span);
            breaks.push(self.emit(Op::Jump(0), test.span));
            self.patch(skip);
        }
        for test in &skips {
            self.test(test);
            self.emit(
                Op::Branch {
                    when: true,
                    to: start,
                },
                test.span,
            );
        }
        self.loops.push(Loop {
            name: None,
            start,
            breaks,
        });
        self.block(&block.commands, false);
        self.emit(Op::Jump(start), span);
        for jump in self.loops.pop().map(|l| l.breaks).unwrap_or_default() {
            self.patch(jump);
        }
    }

    /// `break` and `continue`: leaves the loop of that name, or the innermost one.
    pub fn leave_loop(&mut self, call: &Call<'_>, again: bool) {
        let span = self.span;
        let wanted = call
            .text("name")
            .and_then(|t| self.constant(t))
            .map(|n| n.to_ascii_lowercase());
        let found = match &wanted {
            None => self.loops.len().checked_sub(1),
            Some(name) => self.loops.iter().rposition(|l| l.name.as_ref() == Some(name)),
        };
        let Some(found) = found else {
            let (message, help) = match wanted {
                None => (
                    format!("`{}` stands outside every loop", call.form.name),
                    "put it into a `foreverypart` block",
                ),
                Some(n) => (
                    format!("no loop around this is named \"{n}\""),
                    "use the `:name` of a `foreverypart` around it",
                ),
            };
            return self.error("S127", call.name.span, message, help);
        };
        let depth = self.loops.len() - found;
        let start = self.loops.get(found).map_or(0, |l| l.start);
        if again {
            if depth > 1 {
                self.emit(Op::LeaveLoops(depth - 1), span);
            }
            self.emit(Op::Jump(start), span);
        } else {
            self.emit(Op::LeaveLoops(depth), span);
            let jump = self.emit(Op::Jump(0), span);
            if let Some(target) = self.loops.get_mut(found) {
                target.breaks.push(jump);
            }
        }
    }

    /// Whether the code is inside a loop over parts.
    pub fn in_loop(&self) -> bool {
        !self.loops.is_empty()
    }

    /// Compiles any other command; says whether the script ends with it.
    fn command(&mut self, command: &Command) -> bool {
        let name = &command.name;
        let Some(form) = self.form(name, false) else {
            self.inner(command);
            return false;
        };
        let Some(call) = self.check(
            form,
            name,
            &command.arguments,
            &command.tests,
            command.block.as_ref(),
            command.span,
        ) else {
            self.inner(command);
            return false;
        };
        self.span = command.span;
        (form.lower)(self, &call);
        matches!(form.name, "stop" | "return" | "error")
    }

    // Tests.

    /// Compiles a test; its value, where `ihave` makes it certain.
    fn test(&mut self, test: &Test) -> Option<bool> {
        let form = self.form(&test.name, true)?;
        let call = self.check(form, &test.name, &test.arguments, &test.tests, None, test.span)?;
        self.span = test.span;
        match form.name {
            "true" | "false" => {
                self.emit(Op::Flag(form.name == "true"), test.span);
                None
            }
            "not" => {
                let known = match call.tests {
                    TestArgs::One(inner) => self.test(inner),
                    TestArgs::List(tests, _) => tests.first().and_then(|t| self.test(t)),
                    TestArgs::None => None,
                };
                self.emit(Op::Not, test.span);
                known.map(|k| !k)
            }
            "allof" | "anyof" => {
                let tests = match call.tests {
                    TestArgs::One(one) => std::slice::from_ref(&**one),
                    TestArgs::List(tests, _) => tests,
                    TestArgs::None => &[],
                };
                // The value that ends the evaluation.
                let ends_with = form.name == "anyof";
                let mut jumps = Vec::new();
                let mut all_known = true;
                let mut known = None;
                for (n, inner) in tests.iter().enumerate() {
                    let value = self.test(inner);
                    all_known &= value.is_some();
                    if value == Some(ends_with) {
                        known = value;
                        break;
                    }
                    if n + 1 < tests.len() {
                        jumps.push(self.emit(
                            Op::Branch {
                                when: ends_with,
                                to: 0,
                            },
                            inner.span,
                        ));
                    }
                }
                for jump in jumps {
                    self.patch(jump);
                }
                // A later test that is certain decides only where those before it did not fail to run.
                known.or(all_known.then_some(!ends_with))
            }
            "ihave" => {
                let names: Option<Vec<String>> =
                    call.texts(0).into_iter().map(|t| self.constant(t)).collect();
                let names = names?;
                let forbidden = &self.session.options.forbidden;
                let value = names
                    .iter()
                    .all(|n| self.required.has(n) || capability::may_switch_on(n, forbidden));
                if value {
                    let granted = names.iter().map(|n| self.required.grant(n)).fold(0, |a, b| a | b);
                    if granted != 0 {
                        self.emit(Op::Grant(granted), test.span);
                    }
                }
                self.emit(Op::Flag(value), test.span);
                Some(value)
            }
            _ => {
                (form.lower)(self, &call);
                None
            }
        }
    }
}
