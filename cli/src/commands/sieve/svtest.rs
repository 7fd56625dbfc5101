//! A runner for one `.svtest` file.
//!
//! The file is checked whole first, with the commands of the test suite taken out. Then it is walked:
//! commands of the suite and what contains them are done here; all the rest is cut out in pieces, each
//! compiled and run as a small script that begins with the variables and flags of the piece before and ends
//! with telling them. `test_fail` in a piece is an `error` of the same length, so places stay true.
//!
//! Match variables (`${1}`) live as long as a piece: they are gone behind a command of the suite.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grammar::sieve::{Argument, Block, Command, Test, Tests};
use grammar::{FileId, Sources, Span};
use policy::Facts;
use policy::message::edit::render;
use policy::message::{Message, Overlay};
use policy::sieve::{
    Action, ActionLimits, Envelope, Level, Mode, Options, Program, Request, SieveOutcome, compile,
};

use super::Folders;
use super::evaluate::{World, drive};
use super::run::{envelope, line};
use super::suite::{MARK, Scan, asks, closing, ours, quoted, strip_requires};

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passed: its name.
    Passed(String),
    /// It failed: its name and why.
    Failed(String, String),
}

/// What came of a file.
#[derive(Debug, Default)]
pub struct Report {
    /// Case by case, in order.
    pub verdicts: Vec<Verdict>,
    /// What `test_result_print` printed, and notes.
    pub printed: String,
    /// Why the file could not be run, or not to its end.
    pub broken: Option<String>,
}

/// Why a block was left.
enum Leave {
    /// `stop`.
    Stop,
    /// `test_fail`, or an error.
    Fail(String),
}

/// Runs a file; `name` is its path, beside which scripts are looked for.
pub fn run(name: &str, text: &str) -> Report {
    let mut report = Report::default();
    let mut sources = Sources::new();
    let file = sources.add(name, text);
    let (tree, errors) = grammar::sieve::parse(&sources, file);
    let draw = |all: &[grammar::Diagnostic], sources: &Sources| {
        all.iter()
            .map(|d| d.render(sources, false))
            .collect::<Vec<_>>()
            .join("\n\n")
    };
    if !errors.is_empty() {
        report.broken = Some(draw(&errors, &sources));
        return report;
    }
    let mut plain = text.as_bytes().to_vec();
    let mut facts = Scan::default();
    facts.commands(&tree.commands, &mut plain);
    let plain = String::from_utf8(plain).unwrap_or_default();
    let mut checked = Sources::new();
    let whole = checked.add(name, plain.as_str());
    let folder = Path::new(name).parent().unwrap_or(Path::new("")).to_path_buf();
    let library = Folders {
        personal: vec![folder.join("included"), folder.clone()],
        global: vec![folder.join("included-global"), folder.clone()],
    };
    let limits = ActionLimits {
        max_redirects: 4,
        max_fileintos: 1000,
        max_addheaders: 1000,
        max_sieve_list_size: 100_000,
        ..ActionLimits::strict()
    };
    let options = Options {
        mode: Mode::Strict,
        limits,
        ..Options::default()
    };
    if let Err(errors) = compile(&mut checked, whole, &library, &options) {
        report.broken = Some(draw(&errors, &checked));
        return report;
    }
    let mut runner = Runner {
        name: name.to_string(),
        plain,
        folder,
        library,
        options,
        max_actions: 32,
        scan: facts,
        sources,
        variables: BTreeMap::new(),
        flags: Vec::new(),
        message: Arc::new(Message::new(&b"\r\n"[..])),
        headers: None,
        envelope: envelope("sender@example.com".into(), "recipient@example.com".into()),
        environment: BTreeMap::from([("name".into(), "sluice".into())]),
        world: World::default(),
        boxes: BTreeMap::new(),
        sent: Vec::new(),
        program: None,
        saved: BTreeMap::new(),
        errors: Vec::new(),
        result: None,
        pending: Vec::new(),
        subaddress: '+',
        owner: None,
        replied: BTreeSet::new(),
        report,
    };
    match runner.block(&tree.commands, false) {
        Ok(()) | Err(Leave::Stop) => {}
        Err(Leave::Fail(why)) => runner.report.broken = Some(format!("{name}: {why}")),
    }
    runner.report
}

struct Sent {
    from: String,
    to: String,
    message: Vec<u8>,
}

struct Runner {
    name: String,
    plain: String,
    folder: PathBuf,
    library: Folders,
    options: Options,
    max_actions: usize,
    scan: Scan,
    sources: Sources,
    variables: BTreeMap<String, String>,
    flags: Vec<String>,
    message: Arc<Message>,
    headers: Option<Arc<Overlay>>,
    envelope: Envelope,
    environment: BTreeMap<String, String>,
    world: World,
    boxes: BTreeMap<String, Vec<Vec<u8>>>,
    sent: Vec<Sent>,
    program: Option<(Arc<Program>, Arc<Sources>)>,
    saved: BTreeMap<String, (Arc<Program>, Arc<Sources>)>,
    errors: Vec<String>,
    result: Option<(SieveOutcome, Arc<Sources>)>,
    pending: Vec<(String, Option<String>)>,
    subaddress: char,
    owner: Option<String>,
    replied: BTreeSet<(String, String)>,
    report: Report,
}

impl Runner {
    fn place(&self, span: Span) -> String {
        self.sources.place(span).to_string()
    }

    fn block(&mut self, commands: &[Command], inside: bool) -> Result<(), Leave> {
        let mut at = 0;
        while let Some(command) = commands.get(at) {
            // an `if` and what follows it belong together
            let more = |c: &&Command| c.name.is("elsif") || c.name.is("else");
            let chain = 1 + commands.iter().skip(at + 1).take_while(more).count();
            let group = commands.get(at..at + chain).unwrap_or_default();
            at += chain;
            if !group.iter().any(ours) {
                let mut last = group.last();
                while let Some(next) = commands.get(at).filter(|c| !ours(c)) {
                    let chain = 1 + commands.iter().skip(at + 1).take_while(more).count();
                    let group = commands.get(at..at + chain).unwrap_or_default();
                    if next.name.is("if") && group.iter().any(ours) {
                        break;
                    }
                    last = group.last();
                    at += chain;
                }
                self.piece(command, last.unwrap_or(command))?;
                continue;
            }
            if command.name.is("if") {
                for branch in group {
                    let taken = match &branch.tests {
                        Tests::One(test) => self.truth(test)?,
                        _ => true,
                    };
                    if taken {
                        if let Some(block) = &branch.block {
                            self.block(&block.commands, inside)?;
                        }
                        break;
                    }
                }
            } else {
                self.command(command, inside)?;
            }
        }
        Ok(())
    }

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
    fn piece(&mut self, first: &Command, last: &Command) -> Result<(), Leave> {
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
    fn script(&mut self, text: &str, at: Option<usize>, more: &[&str]) -> Result<Vec<String>, Leave> {
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

    fn evaluate(
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

    fn truth(&mut self, test: &Test) -> Result<bool, Leave> {
        if !asks(test) {
            let (start, end) = (test.span.start as usize, test.span.end as usize);
            let text = self.plain.get(start..end).unwrap_or_default();
            let text = format!("if {text} {{ transactionlog \"yes\"; }}");
            let logged = self.script(&text, Some(start.saturating_sub(3)), &[])?;
            return Ok(logged.iter().any(|l| l == "yes"));
        }
        let all: &[Test] = match &test.tests {
            Tests::None => &[],
            Tests::One(test) => std::slice::from_ref(&**test),
            Tests::List(tests, _) => tests,
        };
        match test.name.text.to_ascii_lowercase().as_str() {
            "not" => Ok(!all.first().map_or(Ok(false), |t| self.truth(t))?),
            "allof" => {
                for test in all {
                    if !self.truth(test)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            "anyof" => {
                for test in all {
                    if self.truth(test)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => self.ask(test),
        }
    }

    /// The strings of an argument list, variables in place.
    fn strings(&self, arguments: &[Argument]) -> Vec<String> {
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

    fn number(arguments: &[Argument], tag: &str) -> Option<usize> {
        let at = arguments
            .iter()
            .position(|a| matches!(a, Argument::Tag(w) if w.is(tag)))?;
        arguments.iter().skip(at).find_map(|a| match a {
            Argument::Number(n, _) => usize::try_from(*n).ok(),
            _ => None,
        })
    }

    /// A test of the suite.
    fn ask(&mut self, test: &Test) -> Result<bool, Leave> {
        let strings = self.strings(&test.arguments);
        let first = strings.first().cloned().unwrap_or_default();
        match test.name.text.to_ascii_lowercase().as_str() {
            "test_script_compile" => Ok(self.load(&first)),
            "test_script_run" => {
                let append = test
                    .arguments
                    .iter()
                    .any(|a| matches!(a, Argument::Tag(w) if w.is("append_result")));
                Ok(self.run_current(append))
            }
            "test_multiscript" => {
                let mut going = true;
                for (n, script) in strings.iter().enumerate() {
                    if going {
                        if !self.load(script) || !self.run_current(n > 0) {
                            return Ok(false);
                        }
                        going = self
                            .result
                            .as_ref()
                            .is_some_and(|(r, _)| r.actions.iter().any(|p| implicit(&p.action)));
                    }
                }
                Ok(true)
            }
            "test_result_execute" => Ok(self.execute()),
            "test_result_action" => {
                let actions = self.result.iter().flat_map(|(r, _)| &r.actions);
                let names: Vec<String> = actions.map(|p| action_name(&p.action)).collect();
                self.compare(names, test)
            }
            "test_error" => self.compare(self.errors.clone(), test),
            "test_message" => Ok(self.choose(&test.arguments, &first)),
            other => Err(Leave::Fail(format!(
                "there is no test `{other}` ({})",
                self.place(test.span)
            ))),
        }
    }

    /// Compares items with the keys of a test, by the `string` test.
    fn compare(&mut self, items: Vec<String>, test: &Test) -> Result<bool, Leave> {
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

    fn load(&mut self, script: &str) -> bool {
        self.errors.clear();
        self.program = None;
        let path = self.folder.join(script);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                self.errors.push(format!("{}: {error}", path.display()));
                return false;
            }
        };
        let mut sources = Sources::new();
        let file = sources.add(path.display().to_string(), text);
        match compile(&mut sources, file, &self.library, &self.options) {
            Ok((program, _)) => {
                self.program = Some((Arc::new(program), Arc::new(sources)));
                true
            }
            Err(all) => {
                let errors = all.iter().filter(|d| d.severity == grammar::Severity::Error);
                self.errors = errors.map(|d| d.message.clone()).collect();
                false
            }
        }
    }

    fn run_current(&mut self, append: bool) -> bool {
        let Some((program, sources)) = self.program.clone() else {
            self.errors = vec!["there is no current script".into()];
            return false;
        };
        self.errors.clear();
        let mut outcome = match self.evaluate(program, &sources, Level::User) {
            Ok(outcome) => outcome,
            Err(why) => {
                self.errors.push(why);
                return false;
            }
        };
        let count = outcome.actions.iter().filter(|p| !implicit(&p.action)).count();
        if self.max_actions > 0 && count > self.max_actions {
            self.errors
                .push(format!("{count} actions are more than {}", self.max_actions));
            return false;
        }
        self.errors
            .extend(outcome.error.as_ref().map(|f| f.message.clone()));
        if append && let Some((before, _)) = self.result.take() {
            let mut actions = before.actions;
            actions.retain(|p| !implicit(&p.action));
            actions.append(&mut outcome.actions);
            outcome.actions = actions;
        }
        let ran = outcome.error.is_none();
        self.result = Some((outcome, sources));
        ran
    }

    fn execute(&mut self) -> bool {
        let Some((outcome, _)) = &self.result else {
            return false;
        };
        let mut done = true;
        for id in &outcome.remember {
            self.world.duplicates.insert((id.handle.clone(), id.id.clone()));
        }
        let from = self.envelope.from.clone();
        let to = self.envelope.to.clone();
        for performed in &outcome.actions {
            let bytes = render(&performed.message, performed.headers.as_ref());
            let mut send = |from: &str, to: &str, message: Vec<u8>| {
                self.sent.push(Sent {
                    from: from.into(),
                    to: to.into(),
                    message,
                });
            };
            let letter = |from: &str, to: &str, subject: &str, text: &str| {
                format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nAuto-Submitted: auto-replied\r\n\r\n{text}")
                    .into_bytes()
            };
            match &performed.action {
                Action::Keep { .. } => self.boxes.entry("INBOX".into()).or_default().push(bytes),
                Action::FileInto { mailbox, create, .. } => {
                    let there = *create
                        || mailbox.eq_ignore_ascii_case("INBOX")
                        || self.world.mailboxes.contains(mailbox);
                    done &= there;
                    let name = if there { mailbox.clone() } else { "INBOX".into() };
                    self.world.mailboxes.insert(name.clone());
                    self.boxes.entry(name).or_default().push(bytes);
                }
                Action::Redirect { address, .. } => send(&from, address, bytes),
                Action::Vacation {
                    reason,
                    subject,
                    from: own,
                    to: sender,
                    key,
                    ..
                } => {
                    let first = self.replied.insert((key.clone(), sender.clone()));
                    let own = own.as_deref().unwrap_or(&to);
                    let text = first.then(|| letter(own, sender, subject, reason));
                    text.into_iter().for_each(|text| send("", sender, text));
                }
                Action::Reject { reason } | Action::EReject { reason } if !from.is_empty() => {
                    send("", &from, letter(&to, &from, "Message rejected", reason));
                }
                Action::Notify { method, message, .. } => {
                    let target = method.strip_prefix("mailto:").unwrap_or(method);
                    let target = target.split('?').next().unwrap_or(target);
                    let text = message.clone().unwrap_or_default();
                    send("", target, letter(&to, target, &text, &text));
                }
                _ => {}
            }
        }
        done
    }

    fn choose(&mut self, arguments: &[Argument], folder: &str) -> bool {
        let message = match Self::number(arguments, "smtp") {
            Some(n) => {
                let Some(sent) = self.sent.get(n) else {
                    return false;
                };
                self.envelope = envelope(sent.from.clone(), sent.to.clone());
                Some(sent.message.clone())
            }
            None => Self::number(arguments, "folder").and_then(|n| self.boxes.get(folder)?.get(n).cloned()),
        };
        let Some(message) = message else { return false };
        self.message = Arc::new(Message::new(message));
        self.headers = None;
        true
    }

    /// A command of the suite, or one that holds some.
    fn command(&mut self, command: &Command, inside: bool) -> Result<(), Leave> {
        let strings = self.strings(&command.arguments);
        let first = strings.first().cloned().unwrap_or_default();
        let second = strings.get(1).cloned().unwrap_or_default();
        let fail = |why: String| Err(Leave::Fail(why));
        match command.name.text.to_ascii_lowercase().as_str() {
            "stop" => return Err(Leave::Stop),
            "test" if inside => return fail(format!("`test` in a `test` ({})", self.place(command.span))),
            "test" => {
                let empty = Block {
                    commands: Vec::new(),
                    open: command.span,
                };
                let block = command.block.as_ref().unwrap_or(&empty);
                let verdict = match self.block(&block.commands, true) {
                    Ok(()) => Verdict::Passed(first),
                    Err(Leave::Fail(why)) => Verdict::Failed(first, why),
                    Err(Leave::Stop) => {
                        self.report.verdicts.push(Verdict::Passed(first));
                        return Err(Leave::Stop);
                    }
                };
                self.report.verdicts.push(verdict);
            }
            "test_set" => match first.to_ascii_lowercase().as_str() {
                "message" => {
                    self.message = Arc::new(Message::new(second.into_bytes()));
                    self.headers = None;
                }
                "envelope.from" => self.envelope.from = second,
                "envelope.to" => self.envelope.to = second,
                "envelope.orig_to" => self.envelope.orcpt = Some(second),
                "envelope.auth" => self.envelope.auth = Some(second),
                other => {
                    return fail(format!(
                        "test_set knows no `{other}` ({})",
                        self.place(command.span)
                    ));
                }
            },
            "test_config_set" => self.pending.push((first, Some(second))),
            "test_config_unset" => self.pending.push((first, None)),
            "test_config_reload" => {
                for (name, value) in std::mem::take(&mut self.pending) {
                    if !self.configure(&name, value.as_deref()) {
                        return fail(format!(
                            "the setting `{name}` has no counterpart here ({})",
                            self.place(command.span)
                        ));
                    }
                }
            }
            "test_mailbox_create" => {
                self.world.mailboxes.insert(first);
            }
            "test_mailbox_delete" => {
                self.world.mailboxes.remove(&first);
                self.boxes.remove(&first);
            }
            "test_imap_metadata_set" => {
                let mailbox = (strings.len() > 2).then(|| first.clone());
                let mut rest = strings.into_iter().skip(usize::from(mailbox.is_some()));
                let name = rest.next().unwrap_or_default().to_ascii_lowercase();
                self.world
                    .metadata
                    .insert((mailbox, name), rest.next().unwrap_or_default());
            }
            "test_message" => {
                if !self.choose(&command.arguments, &first) {
                    return fail(format!("there is no such message ({})", self.place(command.span)));
                }
            }
            "test_result_reset" => {
                self.result = None;
                self.sent.clear();
            }
            "test_result_print" => {
                if let Some((outcome, sources)) = &self.result {
                    for performed in &outcome.actions {
                        self.report
                            .printed
                            .push_str(&format!("  {}\n", line(performed, sources)));
                    }
                }
            }
            "test_binary_save" => {
                if let Some(program) = self.program.clone() {
                    self.saved.insert(first, program);
                }
            }
            "test_binary_load" => match self.saved.get(&first) {
                Some(program) => self.program = Some(program.clone()),
                None => return fail(format!("nothing was saved as `{first}`")),
            },
            other => {
                return fail(format!(
                    "`{other}` cannot hold commands of the test suite here ({})",
                    self.place(command.span)
                ));
            }
        }
        Ok(())
    }

    /// Applies a setting; `false` where there is none like it.
    fn configure(&mut self, name: &str, value: Option<&str>) -> bool {
        let number = |default: usize| {
            value
                .and_then(|v| v.trim().parse::<usize>().ok())
                .unwrap_or(default)
        };
        let most = |n: usize| if n == 0 { usize::MAX } else { n };
        match name {
            "sieve_max_actions" => self.max_actions = number(32),
            "sieve_max_redirects" => self.options.limits.max_redirects = most(number(4)),
            "sieve_variables_max_value_size" | "sieve_variables_max_variable_size" => {
                self.options.limits.max_value = number(4000);
            }
            "recipient_delimiter" => self.subaddress = value.and_then(|v| v.chars().next()).unwrap_or('+'),
            "sieve_user_email" => self.owner = value.map(str::to_owned),
            "sieve_vacation_min_period" => {
                let text = value.unwrap_or("0");
                let (digits, unit) =
                    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
                let factor = match unit.trim() {
                    "d" => 86_400,
                    "h" => 3600,
                    "m" => 60,
                    _ => 1,
                };
                self.options.limits.vacation_minimum =
                    digits.parse::<u64>().unwrap_or(0).saturating_mul(factor);
            }
            _ => match name.strip_prefix("sieve_environment/") {
                Some(item) => {
                    let value = value.unwrap_or_default().to_string();
                    self.environment.insert(item.to_ascii_lowercase(), value);
                }
                None => return false,
            },
        }
        true
    }
}

/// The name by which test suites know an action.
fn action_name(action: &Action) -> String {
    let value = serde_json::to_value(action).unwrap_or_default();
    match value["action"].as_str().unwrap_or_default() {
        "fileinto" => "store".into(),
        other => other.into(),
    }
}

fn implicit(action: &Action) -> bool {
    matches!(action, Action::Keep { implicit: true, .. })
}
