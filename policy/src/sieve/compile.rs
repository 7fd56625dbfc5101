//! Syntax tree to program: every command checked against its form, all errors of a script at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use grammar::sieve::{Argument, Block, Command, Test, Tests as TestArgs, Text, Word};
use grammar::{Diagnostic, FileId, Sources, Span};

use super::capability::{self, CAPABILITIES, PRIVATE, Set, nearest};
use super::forms::{self, Form, Kind, Tag, Tests, Type};
use super::lower::Call;
use super::program::{Instruction, Op, Program, Script, Slot, Str};
use super::text::{BadText, decode_characters, split_variables};
use super::{Library, Mode, Options, Place};

/// Scripts of one program at most, the included ones counted once each.
pub const MAX_SCRIPTS: usize = 64;

/// Instructions of one program at most.
pub const MAX_INSTRUCTIONS: usize = 1 << 20;

/// Compiles a script that is already among the sources, with everything it includes; included scripts are
/// added to the sources. Returns the program and warnings, or every error of every script.
pub fn compile(
    sources: &mut Sources,
    file: FileId,
    library: &dyn Library,
    options: &Options,
) -> Result<(Program, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut session = Session {
        options,
        library,
        diagnostics: Vec::new(),
        globals: Vec::new(),
        included: HashMap::new(),
        waiting: VecDeque::new(),
        scripts: 1,
        instructions: 0,
        needs_tree: false,
        recipient_specific: false,
    };
    let mut scripts = vec![session.script(sources, file, "".into())];
    while let Some((name, text)) = session.waiting.pop_front() {
        let file = sources.add(&*name, text);
        scripts.push(session.script(sources, file, name));
    }
    if grammar::diagnostic::has_errors(&session.diagnostics) {
        return Err(session.diagnostics);
    }
    let program = Program {
        scripts,
        globals: session.globals,
        needs_tree: session.needs_tree,
        recipient_specific: session.recipient_specific,
    };
    Ok((program, session.diagnostics))
}

/// What all scripts of a program share while they are compiled.
pub(super) struct Session<'a> {
    pub options: &'a Options,
    library: &'a dyn Library,
    diagnostics: Vec<Diagnostic>,
    globals: Vec<String>,
    /// Script index by name; `None` where there is no such script.
    included: HashMap<String, Option<usize>>,
    waiting: VecDeque<(Arc<str>, String)>,
    scripts: usize,
    instructions: usize,
    pub needs_tree: bool,
    pub recipient_specific: bool,
}

impl Session<'_> {
    fn script(&mut self, sources: &Sources, file: FileId, name: Arc<str>) -> Script {
        let (tree, errors) = grammar::sieve::parse(sources, file);
        let broken = grammar::diagnostic::has_errors(&errors);
        self.diagnostics.extend(errors);
        if broken {
            // What could not be read would only be complained about again.
            return Script::default();
        }
        let mut compiler = Compiler {
            session: self,
            required: Set::default(),
            locals: Vec::new(),
            local_names: HashMap::new(),
            declared: HashSet::new(),
            code: Vec::new(),
            loops: Vec::new(),
            span: Span::new(file, 0, 0),
        };
        if compiler.session.options.glued {
            for command in tree.commands.iter().filter(|c| c.name.is("require")) {
                compiler.require(command);
            }
        }
        compiler.block(&tree.commands, true);
        compiler.emit(Op::Return, compiler.span);
        let (code, locals) = (compiler.code, compiler.locals);
        self.instructions += code.len();
        Script { name, code, locals }
    }

    /// The index of a script to include; reads it at the first mention.
    pub fn include(&mut self, place: Place, name: &str, at: Span) -> (Arc<str>, Option<usize>) {
        let full = format!("{}/{name}", place.word());
        if let Some(known) = self.included.get(&full) {
            return (full.into(), *known);
        }
        let index = match self.library.script(place, name) {
            Ok(Some(text)) if self.scripts < MAX_SCRIPTS => {
                self.waiting.push_back((full.as_str().into(), text));
                self.scripts += 1;
                Some(self.scripts - 1)
            }
            Ok(Some(_)) => {
                let message = format!("more than {MAX_SCRIPTS} scripts are included");
                self.diagnostics
                    .push(Diagnostic::error("S128", at, message).help("include fewer"));
                None
            }
            Ok(None) => None,
            Err(why) => {
                let message = format!("script \"{name}\" cannot be read: {why}");
                self.diagnostics
                    .push(Diagnostic::error("S128", at, message).help("repair the script's place"));
                None
            }
        };
        self.included.insert(full.clone(), index);
        (full.into(), index)
    }
}

struct Loop {
    name: Option<String>,
    start: usize,
    /// Jumps to patch with the place behind the loop.
    breaks: Vec<usize>,
}

/// One script being compiled.
pub(super) struct Compiler<'c, 'o> {
    pub session: &'c mut Session<'o>,
    pub required: Set,
    locals: Vec<String>,
    local_names: HashMap<String, usize>,
    declared: HashSet<String>,
    code: Vec<Instruction>,
    loops: Vec<Loop>,
    /// The command or test being lowered.
    pub span: Span,
}

impl Compiler<'_, '_> {
    /// Reports an error with a way to mend it.
    pub fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Diagnostic::error(code, span, message).help(help));
    }

    /// Reports something worth knowing.
    pub fn warn(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report(Diagnostic::warning(code, span, message).help(help));
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.session.diagnostics.len() < grammar::sieve::MAX_ERRORS {
            self.session.diagnostics.push(diagnostic);
        }
    }

    /// Adds an instruction for the command or test being lowered.
    pub fn emit(&mut self, op: Op, span: Span) -> usize {
        if self.code.len() + self.session.instructions >= MAX_INSTRUCTIONS {
            if self.code.len() + self.session.instructions == MAX_INSTRUCTIONS {
                let message = format!("this program has more than {MAX_INSTRUCTIONS} instructions");
                self.error("S013", span, message, "split it");
                self.session.instructions += 1;
            }
            return 0;
        }
        self.code.push(Instruction { op, span });
        self.code.len() - 1
    }

    /// Sets the target of a jump to the next instruction.
    fn patch(&mut self, at: usize) {
        let here = self.code.len();
        if let Some(instruction) = self.code.get_mut(at) {
            match &mut instruction.op {
                Op::Jump(to) | Op::Branch { to, .. } => *to = here,
                Op::NextPart { exit } => *exit = here,
                _ => {}
            }
        }
    }

    // Blocks and control.

    /// Compiles commands in order; says whether the end is never reached.
    pub fn block(&mut self, commands: &[Command], top: bool) -> bool {
        let mut only_requires = top;
        let mut at = 0;
        while let Some(command) = commands.get(at) {
            self.span = command.span;
            let is_require = command.name.is("require");
            let ended = if is_require {
                if !only_requires && !(self.session.options.glued && top) {
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

    fn require(&mut self, command: &Command) {
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
        self.session.needs_tree = true;
        let name = call
            .text("name")
            .and_then(|t| self.constant(t))
            .map(|n| n.to_ascii_lowercase());
        let span = command.span;
        self.emit(Op::EnterLoop, span);
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
                    for name in &names {
                        self.required.add(name);
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

    // Checking against the table.

    fn form(&mut self, name: &Word, test: bool) -> Option<&'static Form> {
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
        let kind = if test { "test" } else { "command" };
        let names = forms::FORMS
            .iter()
            .filter(|f| (f.kind == Kind::Test) == test)
            .map(|f| f.name);
        let help = match nearest(text, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("use a {kind} of this server; `ihave` guards those of others"),
        };
        self.error("S101", name.span, format!("there is no {kind} `{text}`"), help);
        None
    }

    fn check_command<'a>(&mut self, name: &str, command: &'a Command) -> Option<Call<'a>> {
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

    fn check<'a>(
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
        }
        let (tags, positional) = self.split_arguments(form, name, arguments);
        let params = self.positional(form, name, positional, span);
        self.shape(form, name, tests, block, span);
        let good = self.session.diagnostics[before.min(self.session.diagnostics.len())..]
            .iter()
            .all(|d| d.severity != grammar::Severity::Error);
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

    #[allow(clippy::type_complexity)]
    fn split_arguments<'a>(
        &mut self,
        form: &'static Form,
        name: &Word,
        arguments: &'a [Argument],
    ) -> (Vec<(&'static Tag, Span, Option<&'a Argument>)>, Vec<&'a Argument>) {
        let mut tags: Vec<(&'static Tag, Span, Option<&'a Argument>)> = Vec::new();
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
        let fits = match (ty, argument) {
            (Type::String | Type::Numeric | Type::Strings, Argument::String(_)) => true,
            (Type::Strings, Argument::List(..)) => true,
            (Type::Number | Type::Numeric, Argument::Number(..)) => true,
            _ => false,
        };
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

    // Strings.

    fn bad_text(&mut self, text: &Text, bad: BadText) {
        let start = text.raw.find(&bad.words).filter(|_| !bad.words.is_empty());
        // The raw text begins behind the quote, or somewhere behind `text:`.
        let span = match start {
            Some(at) if !text.multiline => {
                let start = text.span.start + 1 + at as u32;
                Span {
                    start,
                    end: start + bad.words.len() as u32,
                    ..text.span
                }
            }
            _ => text.span,
        };
        self.error("S122", span, bad.message, bad.help);
    }

    /// A string argument, its encoded characters decoded and its variables found.
    pub fn string(&mut self, text: &Text) -> Str {
        let encoded = self.required.has("encoded-character");
        let mut value = text.value(encoded && self.session.options.mode == Mode::Oms);
        if encoded {
            match decode_characters(&value) {
                Ok(decoded) => value = decoded,
                Err(bad) => self.bad_text(text, bad),
            }
        }
        if !self.required.has("variables") {
            return Str::Const(value.into());
        }
        let mut slot = |space: Option<&str>, name: &str| match space {
            None => Some(self.slot(name)),
            Some("global") if self.required.has("include") => Some(self.global(name)),
            Some(_) => None,
        };
        match split_variables(&value, &mut slot) {
            Ok(string) => string,
            Err(bad) => {
                self.bad_text(text, bad);
                Str::Const(value.into())
            }
        }
    }

    /// Several of them.
    pub fn strings(&mut self, texts: Vec<&Text>) -> Vec<Str> {
        texts.into_iter().map(|t| self.string(t)).collect()
    }

    /// A string that has to be constant.
    pub fn constant(&mut self, text: &Text) -> Option<String> {
        match self.string(text) {
            Str::Const(value) => Some(value.into()),
            Str::Template(_) => {
                self.error(
                    "S122",
                    text.span,
                    "this string must not hold variables",
                    "write it out",
                );
                None
            }
        }
    }

    // Variables.

    /// The slot of a variable without a namespace, its name in any case.
    pub fn slot(&mut self, name: &str) -> Slot {
        let name = name.to_ascii_lowercase();
        if self.declared.contains(&name) {
            return self.global(&name);
        }
        if let Some(at) = self.local_names.get(&name) {
            return Slot::Local(*at);
        }
        let most = self.session.options.limits.max_variables;
        if self.locals.len() >= most {
            let span = self.span;
            self.error(
                "S122",
                span,
                format!("this script uses more than MAX_VARIABLES {most} variables"),
                "use fewer",
            );
            return Slot::Local(0);
        }
        self.local_names.insert(name.clone(), self.locals.len());
        self.locals.push(name);
        Slot::Local(self.locals.len() - 1)
    }

    /// The slot of a variable that scripts share.
    pub fn global(&mut self, name: &str) -> Slot {
        let globals = &mut self.session.globals;
        match globals.iter().position(|g| g == name) {
            Some(at) => Slot::Global(at),
            None => {
                globals.push(name.to_owned());
                Slot::Global(globals.len() - 1)
            }
        }
    }

    /// Declares a shared name; `false` where the script has used it as its own already.
    pub fn declare_global(&mut self, name: &str) -> bool {
        self.declared.insert(name.to_owned());
        !self.local_names.contains_key(name)
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
