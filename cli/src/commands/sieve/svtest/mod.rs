//! A runner for one `.svtest` file.
//!
//! The file is checked whole first, with the commands of the test suite taken out. Then it is walked:
//! commands of the suite and what contains them are done here; all the rest is cut out in pieces, each
//! compiled and run as a small script that begins with the variables and flags of the piece before and ends
//! with telling them. `test_fail` in a piece is an `error` of the same length, so places stay true.
//!
//! Match variables (`${1}`) live as long as a piece: they are gone behind a command of the suite.

mod current;
mod piece;
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use current::{Sent, action_name, implicit};
use grammar::sieve::{Argument, Block, Command, Test, Tests};
use grammar::{Sources, Span};
use policy::message::{Message, Overlay};
use policy::sieve::{ActionLimits, Envelope, Mode, Options, Program, SieveOutcome, compile};
use suite::{Scan, asks, ours};

use super::Folders;
use super::evaluate::World;
use super::run::{envelope, line};

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
}
