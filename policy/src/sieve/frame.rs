//! One run of a program: the loop over instructions and the state it keeps.

use std::borrow::Cow;
use std::sync::Arc;

use grammar::Span;

use super::expression::Value;
use super::filter_result::HeaderEdit;
use super::outcome::{Action, Fault, Performed, Remember, SieveOutcome, Verdict};
use super::program::{Include, Op, Piece, Program, Slot, Str};
use super::request::Request;
use super::source::Gathered;
use super::spam::Spam;
use crate::ask::{Answer, Ask};
use crate::machine::{Context, Outcome, Resume, RunError, Transfer};
use crate::message::mime::{Content, Part};
use crate::message::{HeaderView, Message, Overlay};
use crate::trace::Kind;

/// Scripts that include one another, nested at most.
pub const MAX_INCLUDE_DEPTH: usize = 10;

/// Passes of one `loop` at most.
pub const MAX_PASSES: usize = 10_000;

/// Why the loop stops before the script does.
#[derive(Debug)]
pub(super) enum Halt {
    /// These must be answered; the instruction is run again with the answers.
    Ask(Vec<Ask>),
    /// A run-time error of the script.
    Fault(Fault),
    /// Out of fuel or memory.
    Error(RunError),
}

impl From<RunError> for Halt {
    fn from(error: RunError) -> Self {
        Halt::Error(error)
    }
}

impl Halt {
    /// A run-time error at a place.
    pub fn fault(message: impl Into<String>, span: Span) -> Halt {
        Halt::Fault(Fault {
            message: message.into(),
            temporary: false,
            span: Some(span),
        })
    }

    /// One that may be gone later.
    pub fn temporary(message: impl Into<String>, span: Span) -> Halt {
        Halt::Fault(Fault {
            message: message.into(),
            temporary: true,
            span: Some(span),
        })
    }
}

/// A script on the call stack.
#[derive(Debug)]
struct Call {
    script: usize,
    pc: usize,
    locals: Vec<Value>,
    /// Loops that were open when it was called.
    loops: usize,
    /// The part that it sees as the message.
    root: Option<usize>,
    /// Capabilities that `ihave` has switched on.
    granted: u64,
}

#[derive(Debug)]
struct Loop {
    next: usize,
    end: usize,
    current: Option<usize>,
    /// Nested messages are leaves.
    retain: bool,
}

/// A test of the duplicate memory and its answer, which all tests of one run share.
#[derive(Debug)]
pub(super) struct Seen {
    pub handle: String,
    pub id: String,
    pub answer: bool,
}

/// The run.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(super) request: Request,
    calls: Vec<Call>,
    loops: Vec<Loop>,
    flag: bool,
    globals: Vec<Value>,
    included: Vec<usize>,
    /// Match variables, `${0}` first.
    pub(super) matched: Vec<String>,
    pub(super) flags: Vec<String>,
    pub(super) message: Arc<Message>,
    pub(super) headers: Option<Arc<Overlay>>,
    /// What tests have looked at, by source.
    pub(super) gathered: Vec<Option<Box<Gathered>>>,
    /// The message before it was enclosed, and its header then: what is redirected is not enclosed.
    pub(super) unenclosed: Option<(Arc<Message>, Option<Arc<Overlay>>)>,
    pub(super) actions: Vec<Performed>,
    pub(super) cancelled: bool,
    pub(super) rejected: bool,
    pub(super) vacations: usize,
    pub(super) added_headers: usize,
    pub(super) edits: Vec<HeaderEdit>,
    /// What the last command assigned.
    value: String,
    pub(super) seen: Vec<Seen>,
    pub(super) remember: Vec<Remember>,
    pub(super) tags: Vec<String>,
    pub(super) spam: Spam,
    pub(super) virus: Option<u8>,
}

enum Flow {
    Next,
    Done,
}

impl Frame {
    pub fn new(request: Request) -> Self {
        let script = Arc::clone(&request.script);
        let locals = script.scripts.first().map_or(0, |s| s.locals.len());
        Frame {
            calls: vec![Call {
                script: 0,
                pc: 0,
                locals: vec![Value::default(); locals],
                loops: 0,
                root: None,
                granted: 0,
            }],
            loops: Vec::new(),
            flag: false,
            globals: vec![Value::default(); script.globals.len()],
            included: Vec::new(),
            matched: Vec::new(),
            flags: Vec::new(),
            message: Arc::clone(&request.message),
            headers: request.headers.clone(),
            gathered: (0..script.shared.sources).map(|_| None).collect(),
            unenclosed: None,
            actions: Vec::new(),
            cancelled: false,
            rejected: false,
            vacations: 0,
            added_headers: 0,
            edits: Vec::new(),
            value: String::new(),
            seen: Vec::new(),
            remember: Vec::new(),
            tags: Vec::new(),
            spam: request.spam.clone(),
            virus: request.virus,
            request,
        }
    }

    /// Runs until the script ends or must ask.
    pub fn run(&mut self, cx: &mut Context<'_>, resume: Resume) -> Transfer {
        let mut answers = match resume {
            Resume::Answered(answers) => Some(answers),
            Resume::Start | Resume::Returned(_) => None,
        };
        let program = Arc::clone(&self.request.script);
        loop {
            match self.step(&program, cx, &mut answers) {
                Ok(Flow::Next) => answers = None,
                Ok(Flow::Done) => return self.finish(cx, None),
                Err(Halt::Ask(asks)) => return Transfer::Ask(asks),
                Err(Halt::Fault(fault)) => return self.finish(cx, Some(fault)),
                Err(Halt::Error(error)) => {
                    // Running out is an error of the script: the message must not be lost for it.
                    let span = match &error {
                        RunError::Fuel { span, .. } | RunError::Memory { span, .. } => *span,
                        RunError::Answers { .. } => None,
                    };
                    return self.finish(
                        cx,
                        Some(Fault {
                            message: error.to_string(),
                            temporary: false,
                            span,
                        }),
                    );
                }
            }
        }
    }

    fn step(
        &mut self,
        program: &Program,
        cx: &mut Context<'_>,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<Flow, Halt> {
        let Some(call) = self.calls.last_mut() else {
            return Ok(Flow::Done);
        };
        let Some(instruction) = program.scripts.get(call.script).and_then(|s| s.code.get(call.pc)) else {
            return Ok(Flow::Done);
        };
        let span = instruction.span;
        let pc = call.pc;
        cx.burn(1, Some(span))?;
        let mut next = pc + 1;
        match &instruction.op {
            Op::Jump(to) => next = *to,
            Op::Branch { when, to } => {
                if self.flag == *when {
                    next = *to;
                }
            }
            Op::Not => self.flag = !self.flag,
            Op::Flag(value) => self.flag = *value,
            Op::Test(test) => self.flag = self.evaluate(cx, test, span, answers)?,
            Op::Act(act) => {
                self.value.clear();
                self.perform(cx, act, span, answers)?
            }
            Op::Stop => {
                cx.trace.add(Kind::Control, Some(span), || "stop".to_owned());
                return Ok(Flow::Done);
            }
            Op::Return => {
                if let Some(done) = self.calls.pop() {
                    self.loops.truncate(done.loops);
                }
                return Ok(if self.calls.is_empty() {
                    Flow::Done
                } else {
                    Flow::Next
                });
            }
            Op::Error(message) => {
                let message = self.render(cx, message, span)?;
                return Err(Halt::fault(message, span));
            }
            Op::EnterLoop { retain } => self.enter_loop(*retain, span)?,
            Op::NextPart { exit } => {
                cx.burn(1, Some(span))?;
                let parts = self.loops.last_mut();
                match parts {
                    Some(parts) if parts.next < parts.end => {
                        let part = parts.next;
                        parts.current = Some(part);
                        parts.next += 1;
                        if parts.retain
                            && let Some(nested) = self.message.tree().parts.get(part)
                            && nested.content == Content::Message
                        {
                            parts.next = nested.end.min(parts.end);
                        }
                        cx.trace
                            .add(Kind::Control, Some(span), || format!("part {}", part + 1));
                    }
                    _ => {
                        self.loops.pop();
                        next = *exit;
                    }
                }
            }
            Op::EnterPasses => {
                self.system_only("`loop`", span)?;
                let current = self.loops.last().and_then(|l| l.current);
                self.loops.push(Loop {
                    next: 0,
                    end: MAX_PASSES,
                    current,
                    retain: false,
                });
            }
            Op::NextPass => {
                if let Some(passes) = self.loops.last_mut() {
                    passes.next += 1;
                    if passes.next > passes.end {
                        return Err(Halt::fault(
                            format!("this loop runs more than {MAX_PASSES} times"),
                            span,
                        ));
                    }
                }
            }
            Op::Grant(bits) => call.granted |= bits,
            Op::Need(bits) => {
                if call.granted & bits == 0 {
                    return Err(Halt::fault(
                        "this extension is used before `ihave` has found it",
                        span,
                    ));
                }
            }
            Op::LeaveLoops(n) => self.loops.truncate(self.loops.len().saturating_sub(*n)),
            Op::Include(include) => {
                if let Some(call) = self.calls.last_mut() {
                    call.pc = next;
                }
                self.include(cx, include, span)?;
                return Ok(Flow::Next);
            }
        }
        if let Some(call) = self.calls.last_mut() {
            call.pc = next;
        }
        Ok(Flow::Next)
    }

    fn enter_loop(&mut self, retain: bool, span: Span) -> Result<(), Halt> {
        let message = Arc::clone(&self.message);
        let tree = message.tree();
        if tree.truncated {
            return Err(Halt::fault(
                "this message has too many or too deeply nested parts for a loop",
                span,
            ));
        }
        let outer = self.part();
        // A loop within a loop goes below the current part; an included script's part is its message.
        let skip = usize::from(self.looping());
        let (next, end) = match outer.and_then(|at| tree.parts.get(at).map(|p| (at + skip, p.end))) {
            Some(below) => below,
            None => (0, tree.parts.len()),
        };
        self.loops.push(Loop {
            next,
            end,
            current: outer,
            retain,
        });
        Ok(())
    }

    fn include(&mut self, cx: &mut Context<'_>, include: &Include, span: Span) -> Result<(), Halt> {
        let Some(script) = include.script else {
            if include.optional {
                cx.trace.add(Kind::Control, Some(span), || {
                    format!("no script {}", include.name)
                });
                return Ok(());
            }
            return Err(Halt::fault(format!("there is no script {}", include.name), span));
        };
        if include.once && self.included.contains(&script) {
            cx.trace.add(Kind::Control, Some(span), || {
                format!("{} has been included already", include.name)
            });
            return Ok(());
        }
        if self.calls.iter().any(|c| c.script == script) {
            return Err(Halt::fault(
                format!("script {} includes itself", include.name),
                span,
            ));
        }
        if self.calls.len() >= MAX_INCLUDE_DEPTH {
            let message = format!("scripts include one another more than {MAX_INCLUDE_DEPTH} deep");
            return Err(Halt::fault(message, span));
        }
        let locals = self
            .request
            .script
            .scripts
            .get(script)
            .map_or(0, |s| s.locals.len());
        cx.burn(locals as u64, Some(span))?;
        cx.trace
            .add(Kind::Control, Some(span), || format!("include {}", include.name));
        if !self.included.contains(&script) {
            self.included.push(script);
        }
        let root = self.part();
        let loops = self.loops.len();
        self.calls.push(Call {
            script,
            pc: 0,
            locals: vec![Value::default(); locals],
            loops,
            root,
            granted: 0,
        });
        Ok(())
    }

    /// The result: the actions and the implicit keep, or after an error the implicit keep alone.
    fn finish(&mut self, cx: &mut Context<'_>, error: Option<Fault>) -> Transfer {
        if let Some(fault) = &error {
            cx.trace
                .add(Kind::Fail, fault.span, || format!("run-time error: {fault}"));
            self.actions.clear();
            self.edits.clear();
            self.value.clear();
            self.remember.clear();
            self.tags.clear();
            self.flags.clear();
            self.headers = self.request.headers.clone();
            self.message = Arc::clone(&self.request.message);
            self.cancelled = false;
            (self.spam, self.virus) = (self.request.spam.clone(), self.request.virus);
        }
        if !self.cancelled {
            let flags = self.flags.clone();
            self.push(
                Action::Keep {
                    implicit: true,
                    flags,
                },
                None,
            );
            cx.trace.add(Kind::Decision, None, || "implicit keep".to_owned());
        }
        self.insert_tags();
        let explicit = self
            .actions
            .iter()
            .filter_map(|p| Verdict::of(&p.action))
            .next_back();
        let outcome = SieveOutcome {
            actions: std::mem::take(&mut self.actions),
            error,
            headers: self.headers.clone(),
            message: Arc::clone(&self.message),
            edits: std::mem::take(&mut self.edits),
            value: std::mem::take(&mut self.value),
            remember: std::mem::take(&mut self.remember),
            spam: self.spam.clone(),
            virus: self.virus,
            last_verdict: explicit.or(self.request.last_verdict),
        };
        Transfer::Done(Outcome::Sieve(Box::new(outcome)))
    }

    /// Adds an action with the header and message as they are now.
    pub(super) fn push(&mut self, action: Action, span: Option<Span>) {
        let (headers, message) = (self.headers.clone(), Arc::clone(&self.message));
        self.actions.push(Performed {
            action,
            level: None,
            headers,
            message,
            span,
        });
    }

    // What tests and actions look at.

    /// The part of the innermost loop, or the one that an included script sees as the message.
    pub(super) fn part(&self) -> Option<usize> {
        let root = self.root();
        let open = self.calls.last().map_or(0, |c| c.loops);
        self.loops
            .get(open..)
            .and_then(|l| l.last())
            .and_then(|l| l.current)
            .or(root)
    }

    /// The part that this script sees as the message; `None` for the message itself.
    pub(super) fn root(&self) -> Option<usize> {
        self.calls.last().and_then(|c| c.root)
    }

    /// Whether this script has a loop open.
    pub(super) fn looping(&self) -> bool {
        self.loops.len() > self.calls.last().map_or(0, |c| c.loops)
    }

    /// The header of a part; of the message, edits included, for `None` and the first part.
    pub(super) fn header<'a>(
        message: &'a Message,
        headers: Option<&'a Arc<Overlay>>,
        part: Option<usize>,
    ) -> HeaderView<'a> {
        let fields = part
            .filter(|p| *p > 0)
            .and_then(|p| message.tree().parts.get(p))
            .map(|p: &Part| &p.header);
        match fields {
            Some(fields) => HeaderView::part(message, fields),
            None => HeaderView::message(message, headers),
        }
    }

    /// Ends running loops: the parts they would enter are gone.
    pub(super) fn abandon_parts(&mut self) {
        for l in &mut self.loops {
            l.next = l.end;
        }
    }

    // Strings and variables.

    /// The value of a string argument.
    pub(super) fn render(&self, cx: &mut Context<'_>, string: &Str, span: Span) -> Result<String, Halt> {
        let pieces = match string {
            Str::Const(text) => {
                cx.burn(text.len() as u64 / 16, Some(span))?;
                return Ok(text.to_string());
            }
            Str::Template(pieces) => pieces,
            Str::Computed(_) => return Ok(self.value(cx, string, span)?.text().into_owned()),
        };
        let mut out = String::new();
        for piece in pieces {
            let text: Cow<'_, str> = match piece {
                Piece::Text(text) => (&**text).into(),
                Piece::Variable(slot) => self.variable(*slot),
                Piece::Match(n) => self.matched.get(*n).map_or("", String::as_str).into(),
            };
            cx.build(text.len(), Some(span))?;
            out.push_str(&text);
        }
        Ok(out)
    }

    /// The values of several; a computed list counts as its strings.
    pub(super) fn render_all(
        &self,
        cx: &mut Context<'_>,
        all: &[Str],
        span: Span,
    ) -> Result<Vec<String>, Halt> {
        let mut out = Vec::with_capacity(all.len());
        for string in all {
            match string {
                Str::Computed(_) => match self.value(cx, string, span)? {
                    Value::List(list) => out.extend(list),
                    other => out.push(other.text().into_owned()),
                },
                other => out.push(self.render(cx, other, span)?),
            }
        }
        Ok(out)
    }

    pub(super) fn render_option(
        &self,
        cx: &mut Context<'_>,
        string: Option<&Str>,
        span: Span,
    ) -> Result<Option<String>, Halt> {
        string.map(|s| self.render(cx, s, span)).transpose()
    }

    /// The text of a variable.
    pub(super) fn variable(&self, slot: Slot) -> Cow<'_, str> {
        self.variable_value(slot).text()
    }

    /// The value of a variable.
    pub(super) fn variable_value(&self, slot: Slot) -> &Value {
        static UNSET: Value = Value::Text(String::new());
        let value = match slot {
            Slot::Local(at) => self.calls.last().and_then(|c| c.locals.get(at)),
            Slot::Global(at) => self.globals.get(at),
        };
        value.unwrap_or(&UNSET)
    }

    /// Sets a variable to a text, cut to what it may hold.
    pub(super) fn assign(&mut self, cx: &mut Context<'_>, slot: Slot, value: String, span: Span) {
        self.assign_value(cx, slot, Value::Text(value), span);
    }

    /// Sets a variable.
    pub(super) fn assign_value(&mut self, cx: &mut Context<'_>, slot: Slot, mut value: Value, span: Span) {
        if let Value::Text(text) = &mut value
            && let Some((at, _)) = text.char_indices().nth(self.request.limits.max_value)
        {
            text.truncate(at);
        }
        cx.trace.add(Kind::Substitute, Some(span), || {
            format!("set to \"{}\"", super::matching::shorten(&value.text()))
        });
        self.value.push_str(&value.text());
        let place = match slot {
            Slot::Local(at) => self.calls.last_mut().and_then(|c| c.locals.get_mut(at)),
            Slot::Global(at) => self.globals.get_mut(at),
        };
        if let Some(place) = place {
            *place = value;
        }
    }
}
