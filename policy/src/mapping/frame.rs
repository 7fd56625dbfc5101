//! One look-up in one table.

use std::sync::Arc;

use grammar::Span;
use grammar::mapping::{Control, SequenceFormat};

use super::compile::compile_text;
use super::{Call, Code, FlagSet, MappingResult, Op, Table};
use crate::ask::{Answer, Ask, Effect, Read, Routine};
use crate::machine::{Context, Outcome, Resume, RunError, Transfer};
use crate::pattern::Scratch;
use crate::pattern_set::Cursor;
use crate::program::TableId;
use crate::style::{Argument, Style};
use crate::trace::Kind;

/// Texts scanned again within texts scanned again; more is a failure of the entry.
const RESCAN_LIMIT: usize = 10;

/// The state of a look-up. Buffers are kept from one look-up to the next.
#[derive(Debug)]
pub(crate) struct Frame {
    table: TableId,
    input_flags: FlagSet,
    /// The string that entries are matched against.
    current: String,
    folded: Vec<u8>,
    cursor: Cursor,
    cursor_stale: bool,
    position: usize,
    /// Restarts with a string that did not get shorter.
    restarts: u32,
    /// Length of the string of this pass.
    pass_len: usize,
    /// `$L` was the last control: one more pass at the end.
    again: bool,
    extra_pass: bool,
    temporary: Option<Box<str>>,
    result: MappingResult,
    scratch: Scratch,
    // the entry that is being expanded
    entry: usize,
    output: String,
    arguments: Vec<Argument>,
    style: Style,
    control: Option<Control>,
    segments: Vec<Segment>,
    pending: Option<Call>,
}

/// Code being executed: the table's own, or a text that is scanned as a template.
#[derive(Debug)]
struct Segment {
    text: Option<Arc<Code>>,
    next: usize,
}

impl Default for Frame {
    fn default() -> Self {
        Frame {
            table: TableId(0),
            input_flags: FlagSet::default(),
            current: String::new(),
            folded: Vec::new(),
            cursor: Cursor::default(),
            cursor_stale: true,
            position: 0,
            restarts: 0,
            pass_len: 0,
            again: false,
            extra_pass: false,
            temporary: None,
            result: MappingResult::default(),
            scratch: Scratch::default(),
            entry: 0,
            output: String::new(),
            arguments: Vec::new(),
            style: Style::default(),
            control: None,
            segments: Vec::new(),
            pending: None,
        }
    }
}

impl Frame {
    /// Prepares for a new look-up.
    pub fn start(&mut self, table: TableId, input: &str, flags: FlagSet) {
        self.table = table;
        self.input_flags = flags;
        self.current.clear();
        self.current.push_str(input);
        self.cursor_stale = true;
        self.position = 0;
        self.restarts = 0;
        self.pass_len = input.len();
        self.again = false;
        self.extra_pass = false;
        self.temporary = None;
        self.result = MappingResult::default();
        self.arguments.clear();
        self.segments.clear();
        self.pending = None;
    }

    /// Runs until the look-up is done, or needs another table or the outside.
    pub fn run(&mut self, cx: &mut Context<'_>, resume: Resume) -> Transfer {
        let program = cx.program;
        let Some(table) = program.tables.get(self.table.0 as usize) else {
            return self.finish(cx);
        };
        let begun = match resume {
            Resume::Start => {
                let (current, flags) = (&self.current, self.input_flags);
                cx.trace.add(Kind::Probe, Some(table.span), || {
                    let flags = if flags.is_empty() {
                        String::new()
                    } else {
                        format!(", flags {flags}")
                    };
                    format!("{} applied to \"{current}\"{flags}", table.name)
                });
                Ok(None)
            }
            Resume::Returned(value) => self.returned(cx, value),
            Resume::Answered(answers) => self.answered(cx, answers),
        };
        let mut step = begun;
        loop {
            match step {
                Ok(None) => {}
                Ok(Some(transfer)) => return transfer,
                Err(error) => return Transfer::Error(error),
            }
            step = if self.segments.is_empty() {
                self.find(cx, table)
            } else {
                self.expand(cx, table)
            };
        }
    }

    /// Goes to the next entry that matches.
    fn find(&mut self, cx: &mut Context<'_>, table: &Table) -> Result<Option<Transfer>, RunError> {
        if self.cursor_stale {
            cx.burn(4 + self.current.len() as u64 / 16, Some(table.span))?;
            self.folded.clear();
            self.folded.extend_from_slice(self.current.as_bytes());
            self.folded.make_ascii_lowercase();
            table.patterns.cursor(&self.folded, &mut self.cursor);
            self.cursor_stale = false;
        }
        let mut fuel = cx.fuel();
        let from = self.position;
        let found = table.patterns.next(
            &self.current,
            &self.folded,
            &self.cursor,
            from,
            &mut self.scratch,
            &mut fuel,
        );
        cx.set_fuel(fuel);
        let Ok(found) = found else {
            return Err(RunError::Fuel {
                limit: cx.limits.fuel,
                span: Some(table.span),
            });
        };
        self.trace_skipped(cx, table, from, found.unwrap_or(table.len()));
        let Some(found) = found else {
            if self.again && !self.extra_pass {
                self.again = false;
                self.extra_pass = true;
                cx.trace.add(Kind::Control, None, || {
                    "$L: one more pass from the first entry".into()
                });
                if !self.restart(cx) {
                    return Ok(Some(self.finish(cx)));
                }
                return Ok(None);
            }
            return Ok(Some(self.finish(cx)));
        };
        let entry = &table.entries[found];
        let ordinal = self.result.matched;
        self.result.matched += 1;
        self.result.entry = Some(entry.span);
        cx.trace.add(Kind::Match, Some(entry.span), || {
            format!(
                "  entry #{} matched, match #{ordinal}: pattern \"{}\", template \"{}\"",
                found + 1,
                entry.pattern_text,
                entry.template_text
            )
        });
        if cx.trace.is_on() {
            for (n, &(a, b)) in self.scratch.captures.iter().enumerate() {
                let text = self.current.get(a as usize..b as usize).unwrap_or("");
                cx.trace
                    .add(Kind::Field, None, || format!("    field {n} = \"{text}\""));
            }
        }
        self.entry = found;
        self.output.clear();
        self.style = Style::default();
        self.control = None;
        self.segments.push(Segment {
            text: None,
            next: entry.start as usize,
        });
        Ok(None)
    }

    fn trace_skipped(&self, cx: &mut Context<'_>, table: &Table, from: usize, to: usize) {
        if !cx.trace.is_on() || to <= from {
            return;
        }
        if cx.trace.all {
            for (n, entry) in table.entries.iter().enumerate().take(to).skip(from) {
                cx.trace.add(Kind::Skip, Some(entry.span), || {
                    format!(
                        "  entry #{} does not match, pattern \"{}\"",
                        n + 1,
                        entry.pattern_text
                    )
                });
            }
        } else {
            cx.trace.add(Kind::Skip, None, || match to - from {
                1 => format!("  entry #{to} does not match"),
                n => format!("  entries #{} to #{to} do not match ({n})", from + 1),
            });
        }
    }

    /// Executes instructions of the template up to a callout or its end.
    fn expand(&mut self, cx: &mut Context<'_>, table: &Table) -> Result<Option<Transfer>, RunError> {
        loop {
            let Some(segment) = self.segments.last_mut() else {
                return Ok(None);
            };
            let held = segment.text.clone();
            let code: &Code = held.as_deref().unwrap_or(&table.code);
            let span = code.spans.get(segment.next).copied();
            let op = code.ops.get(segment.next);
            segment.next += 1;
            let place = span.filter(|s| *s != Span::default());
            cx.burn(1, place)?;
            match op {
                None | Some(Op::End) => {
                    self.segments.pop();
                    if self.segments.is_empty() {
                        return Ok(self.next_entry(cx, true));
                    }
                }
                Some(Op::Text(text)) => self.put(cx, text, false, place)?,
                Some(Op::Field(n)) => {
                    let range = self.scratch.captures.get(*n as usize).copied();
                    // the field's text is part of `current`, which stays as it is while the template runs
                    let current = std::mem::take(&mut self.current);
                    let text = range
                        .and_then(|(a, b)| current.get(a as usize..b as usize))
                        .unwrap_or("");
                    cx.trace
                        .add(Kind::Substitute, place, || format!("    ${n} puts in \"{text}\""));
                    let done = self.put(cx, text, true, place);
                    self.current = current;
                    done?;
                }
                Some(Op::Case(case)) => self.style.set_case(*case),
                Some(Op::QuoteLdap) => self.style.quote_ldap(),
                Some(Op::Test { flag, set }) => {
                    let is = self.input_flags.contains(*flag);
                    cx.trace.add(Kind::Test, place, || {
                        let wanted = if *set { "set" } else { "clear" };
                        format!(
                            "    flag {flag} must be {wanted}: {}",
                            if is == *set { "yes" } else { "no" }
                        )
                    });
                    if is != *set {
                        return Ok(self.fail(cx, place, "the flag test failed"));
                    }
                }
                Some(Op::Random(percent)) => {
                    let drawn = cx.random() * 100.0;
                    cx.trace.add(Kind::Test, place, || {
                        format!("    drew {drawn:.2} of 100, needs less than {percent}")
                    });
                    if drawn >= *percent {
                        return Ok(self.fail(cx, place, "the entry lost the draw"));
                    }
                }
                Some(Op::Temporary(text)) => self.temporary = text.clone(),
                Some(Op::Control(control)) => {
                    self.control = Some(*control);
                    cx.trace
                        .add(Kind::Control, place, || format!("    {}", control_text(*control)));
                }
                Some(Op::Stop) => {
                    self.control = Some(Control::End);
                    cx.trace
                        .add(Kind::Control, place, || "    $+1E: stop here, at once".into());
                    self.arguments.clear();
                    self.segments.clear();
                    return Ok(self.next_entry(cx, true));
                }
                Some(Op::Flag(flag)) => {
                    self.result.flags.insert(*flag);
                    cx.trace
                        .add(Kind::Flag, place, || format!("    sets flag {flag}"));
                }
                Some(Op::Argument) => self.arguments.push(Argument::default()),
                Some(Op::Call(call)) => {
                    let call = call.clone();
                    if let Some(transfer) = self.call(cx, call, place) {
                        return Ok(Some(transfer));
                    }
                    if self.segments.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Appends to the argument being built, or to the output.
    fn put(
        &mut self,
        cx: &mut Context<'_>,
        text: &str,
        substituted: bool,
        place: Option<Span>,
    ) -> Result<(), RunError> {
        cx.build(text.len(), place)?;
        match self.arguments.last_mut() {
            Some(argument) => self.style.write_argument(argument, text, substituted),
            None => self.style.write(&mut self.output, text, substituted),
        }
        Ok(())
    }

    /// Performs a callout whose argument has been built; `None` where the entry failed at once.
    fn call(&mut self, cx: &mut Context<'_>, call: Call, place: Option<Span>) -> Option<Transfer> {
        let argument = self.arguments.pop().unwrap_or_default();
        let transfer = match &call {
            Call::Table { name, table } => {
                let Some(table) = *table else {
                    let why = format!("there is no table {name}");
                    return self.fail(cx, place, &why);
                };
                Transfer::Call {
                    table,
                    input: argument.plain,
                }
            }
            Call::General => Transfer::Ask(vec![Ask::Read(Read::General { key: argument.plain })]),
            Call::Url => Transfer::Ask(vec![Ask::Read(Read::Url { url: argument.plain })]),
            Call::Attribute => {
                let (domain, attribute) = argument.plain.rsplit_once(',').unwrap_or((&argument.plain, ""));
                let (domain, attribute) = (domain.to_string(), attribute.to_string());
                Transfer::Ask(vec![Ask::Read(Read::DomainAttribute { domain, attribute })])
            }
            Call::Routine { image, routine } => {
                let routine = Routine {
                    image: image.to_string(),
                    routine: routine.to_string(),
                    argument: argument.plain,
                    quoted: argument.quoted,
                };
                Transfer::Ask(vec![if routine.is_read() {
                    Ask::Read(Read::Routine(routine))
                } else {
                    Ask::Effect(Effect::Routine(routine))
                }])
            }
            Call::Sequence { file, .. } => Transfer::Ask(vec![Ask::Effect(Effect::Sequence {
                file: file.to_string(),
            })]),
        };
        self.pending = Some(call);
        Some(transfer)
    }

    fn returned(
        &mut self,
        cx: &mut Context<'_>,
        value: Option<Outcome>,
    ) -> Result<Option<Transfer>, RunError> {
        self.pending = None;
        match value {
            Some(Outcome::Mapping(result)) if result.accepted() => {
                cx.trace.add(Kind::Substitute, None, || {
                    format!("    the table says yes: puts in \"{}\"", result.output)
                });
                self.put(cx, &result.output, true, None)?;
                Ok(None)
            }
            Some(_) => Ok(self.fail(cx, None, "the table did not set $Y")),
            None => Ok(self.fail(cx, None, "tables call one another too deeply")),
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, answers: Vec<Answer>) -> Result<Option<Transfer>, RunError> {
        let (Some(call), Some(answer)) = (self.pending.take(), answers.into_iter().next()) else {
            return Ok(self.fail(cx, None, "no answer"));
        };
        let temporary = matches!(call, Call::Url | Call::Attribute)
            && matches!(answer, Answer::Temporary(_) | Answer::NotConfigured(_));
        match (answer, &self.temporary) {
            (Answer::Found(text), _) => {
                match call {
                    Call::General | Call::Routine { .. } => return Ok(self.rescan(cx, &text)),
                    Call::Sequence { format, .. } => match text.trim().parse::<u64>() {
                        Ok(number) => self.put(cx, &format_number(number, format), true, None)?,
                        Err(_) => return Ok(self.fail(cx, None, "the sequence file holds no number")),
                    },
                    _ => self.put(cx, &text, true, None)?,
                }
                Ok(None)
            }
            (_, Some(text)) if temporary => {
                let text = text.clone();
                cx.trace.add(Kind::Note, None, || {
                    format!("    the `$.` text stands for the result: \"{text}\"")
                });
                self.output.clear();
                self.arguments.clear();
                self.segments.clear();
                Ok(self.rescan(cx, &text))
            }
            (Answer::NotFound, _) => Ok(self.fail(cx, None, "the callout says no")),
            (Answer::Temporary(why) | Answer::NotConfigured(why), _) => Ok(self.fail(cx, None, &why)),
        }
    }

    /// Scans a text as a template, at this point of the current one.
    fn rescan(&mut self, cx: &mut Context<'_>, text: &str) -> Option<Transfer> {
        if self.segments.len() > RESCAN_LIMIT {
            return self.fail(cx, None, "results are scanned again too deeply");
        }
        let (code, problems) = compile_text(text, &cx.program.names);
        for problem in problems {
            cx.trace.add(Kind::Note, None, || {
                format!("    in the result: {}", problem.message)
            });
        }
        self.segments.push(Segment {
            text: Some(Arc::new(code)),
            next: 0,
        });
        None
    }

    /// Fails the entry and says where to go on.
    fn fail(&mut self, cx: &mut Context<'_>, place: Option<Span>, why: &str) -> Option<Transfer> {
        cx.trace
            .add(Kind::Fail, place, || format!("    entry fails: {why}"));
        self.segments.clear();
        self.arguments.clear();
        self.next_entry(cx, false)
    }

    /// After an entry: takes its output where it succeeded, and follows its control.
    fn next_entry(&mut self, cx: &mut Context<'_>, succeeded: bool) -> Option<Transfer> {
        self.result.failed = !succeeded;
        if succeeded {
            cx.trace
                .add(Kind::Note, None, || format!("    new string \"{}\"", self.output));
            self.cursor_stale |= self.current != self.output;
            std::mem::swap(&mut self.current, &mut self.output);
        }
        match self.control {
            None | Some(Control::End) => return Some(self.finish(cx)),
            Some(Control::Continue) => {
                self.again = false;
                self.position = self.entry + 1;
            }
            Some(Control::Loop) => {
                self.again = true;
                self.position = self.entry + 1;
            }
            Some(Control::Restart) => {
                self.again = false;
                self.extra_pass = false;
                if !self.restart(cx) {
                    return Some(self.finish(cx));
                }
            }
        }
        None
    }

    /// Goes back to the first entry, unless that was done too often without getting shorter.
    fn restart(&mut self, cx: &mut Context<'_>) -> bool {
        self.restarts = if self.current.len() < self.pass_len {
            0
        } else {
            self.restarts + 1
        };
        self.pass_len = self.current.len();
        self.position = 0;
        let honoured = self.restarts <= cx.limits.iterations;
        if !honoured {
            let limit = cx.limits.iterations;
            cx.trace.add(Kind::Choice, None, || {
                format!("  not restarted: the string did not get shorter in {limit} restarts")
            });
        }
        honoured
    }

    fn finish(&mut self, cx: &mut Context<'_>) -> Transfer {
        let mut result = std::mem::take(&mut self.result);
        result.output = std::mem::take(&mut self.current);
        cx.trace.add(Kind::Result, None, || match result.matched {
            0 => "  no entry matched: no result".into(),
            _ => format!("  result \"{}\", flags [{}]", result.output, result.flags),
        });
        Transfer::Done(Outcome::Mapping(result))
    }
}

fn control_text(control: Control) -> &'static str {
    match control {
        Control::Continue => "$C: go on with the next entry",
        Control::Loop => "$L: go on with the next entry, then once more from the top",
        Control::Restart => "$R: go on from the first entry",
        Control::End => "$E: stop after this entry",
    }
}

fn format_number(number: u64, format: SequenceFormat) -> String {
    let mut number = if format.modulus > 0 {
        number % format.modulus
    } else {
        number
    };
    let radix = u64::from(format.radix.unsigned_abs().clamp(2, 36));
    let mut digits = Vec::new();
    loop {
        let digit = char::from_digit((number % radix) as u32, radix as u32).unwrap_or('0');
        digits.push(digit.to_ascii_uppercase());
        number /= radix;
        if number == 0 {
            break;
        }
    }
    while digits.len() < format.width {
        digits.push('0');
    }
    digits.iter().rev().collect()
}
