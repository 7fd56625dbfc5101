//! The machine: one evaluation, run until it is done or must ask.
//!
//! A stack of frames, one language each. A frame runs until it has a value, calls another frame (a
//! mapping from a rewrite rule, say), or asks the outside. What the frames share is here: fuel, memory,
//! random numbers, calls across languages, the trace. What belongs to one language is in its module.
//!
//! Every evaluation ends: [`Limits::fuel`] counts work, [`Limits::memory`] bytes built,
//! [`Limits::depth`] nested calls. Running out is a [`RunError`] that names the place.

use std::sync::Arc;

use grammar::Span;

use crate::ask::{Answer, Ask};
use crate::mapping::{self, MappingResult};
use crate::program::{Program, TableId};
use crate::rewrite;
use crate::sieve;
use crate::trace::{Kind, Trace};

/// What is true for the whole evaluation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// The instant of the message, seconds since 1970.
    pub now: i64,
    /// The random seed of the message: the same seed draws the same numbers.
    pub seed: u64,
}

/// Bounds of one evaluation.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Units of work: about one an instruction, and one for every 16 bytes matched or built.
    pub fuel: u64,
    /// Bytes of text built, in total.
    pub memory: usize,
    /// Nested calls of tables.
    pub depth: usize,
    /// Times a table may be restarted with a string that does not get shorter.
    pub iterations: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            fuel: 10_000_000,
            memory: 16 << 20,
            depth: 10,
            iterations: 10,
        }
    }
}

/// Why an evaluation could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Too much work.
    #[error("this policy takes too many steps (limit {limit})")]
    Fuel {
        /// [`Limits::fuel`].
        limit: u64,
        /// Where it ran out.
        span: Option<Span>,
    },
    /// Too much text.
    #[error("this policy builds too much text (limit {limit} bytes)")]
    Memory {
        /// [`Limits::memory`].
        limit: usize,
        /// Where it ran out.
        span: Option<Span>,
    },
    /// [`Machine::answer`] was given something that was not asked for.
    #[error("the machine was answered {got} times for {asked} questions")]
    Answers {
        /// Questions open.
        asked: usize,
        /// Answers given.
        got: usize,
    },
}

/// What [`Machine::step`] came to.
#[derive(Debug)]
pub enum Step {
    /// The end.
    Done(Result<Outcome, RunError>),
    /// These questions, independent of one another, must be answered first, in this order.
    Ask(Vec<Ask>),
}

/// The value of an evaluation.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Of a mapping.
    Mapping(MappingResult),
    /// Of an address rewriting.
    Address(rewrite::Rewritten),
    /// Of a Sieve script.
    Sieve(Box<sieve::SieveOutcome>),
}

/// What a frame wants next.
#[derive(Debug)]
pub(crate) enum Transfer {
    /// It has its value.
    Done(Outcome),
    /// Run this mapping; resume with its result.
    Call {
        /// The table.
        table: TableId,
        /// The string to look up.
        input: String,
    },
    /// Ask; resume with the answers.
    Ask(Vec<Ask>),
    /// It cannot go on.
    Error(RunError),
}

/// What a frame is resumed with.
#[derive(Debug)]
pub(crate) enum Resume {
    /// The first run.
    Start,
    /// The value of the call; `None` where the call was refused because of [`Limits::depth`].
    Returned(Option<Outcome>),
    /// The answers, in the order of the questions.
    Answered(Vec<Answer>),
}

/// What all frames share.
pub(crate) struct Context<'a> {
    pub program: &'a Program,
    pub facts: &'a Facts,
    pub limits: &'a Limits,
    pub trace: &'a mut Trace,
    fuel: &'a mut u64,
    memory: &'a mut usize,
    random: &'a mut u64,
}

impl Context<'_> {
    /// Uses up fuel.
    pub fn burn(&mut self, units: u64, span: Option<Span>) -> Result<(), RunError> {
        match self.fuel.checked_sub(units) {
            Some(left) => {
                *self.fuel = left;
                Ok(())
            }
            None => {
                *self.fuel = 0;
                Err(RunError::Fuel {
                    limit: self.limits.fuel,
                    span,
                })
            }
        }
    }

    /// Counts text that is being built.
    pub fn build(&mut self, bytes: usize, span: Option<Span>) -> Result<(), RunError> {
        *self.memory += bytes;
        if *self.memory > self.limits.memory {
            return Err(RunError::Memory {
                limit: self.limits.memory,
                span,
            });
        }
        self.burn(bytes as u64 / 16, span)
    }

    /// Fuel left, for work that counts for itself; give back what is left with [`Context::set_fuel`].
    pub fn fuel(&self) -> u64 {
        *self.fuel
    }

    /// Sets the fuel left.
    pub fn set_fuel(&mut self, left: u64) {
        *self.fuel = left;
    }

    /// A random number from 0 up to 1.
    pub fn random(&mut self) -> f64 {
        (self.random_bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 64 random bits (splitmix64 over the facts' seed).
    pub fn random_bits(&mut self) -> u64 {
        *self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[derive(Debug)]
enum Frame {
    Mapping(Box<mapping::Frame>),
    Rewrite(Box<rewrite::Frame>),
    Sieve(Box<sieve::Frame>),
}

/// One evaluation at a time; [`Machine::start_mapping`] and its sisters begin a new one and keep buffers.
#[derive(Debug)]
pub struct Machine {
    program: Arc<Program>,
    limits: Limits,
    frames: Vec<Frame>,
    // Boxed as in a frame, so that reuse moves a pointer.
    #[allow(clippy::vec_box)]
    // the boxes are what is kept: a frame moves between here and `frames` without being copied
    #[allow(clippy::vec_box)]
    spare: Vec<Box<mapping::Frame>>,
    asked: usize,
    resume: Option<Resume>,
    fuel: u64,
    memory: usize,
    random: Option<u64>,
    /// The recording; replace it by [`Trace::on`] to listen.
    pub trace: Trace,
}

impl Machine {
    /// A machine for a program.
    pub fn new(program: Arc<Program>, limits: Limits) -> Self {
        Machine {
            program,
            limits,
            frames: Vec::new(),
            spare: Vec::new(),
            asked: 0,
            resume: None,
            fuel: limits.fuel,
            memory: 0,
            random: None,
            trace: Trace::off(),
        }
    }

    /// The program it runs.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    fn reset(&mut self) {
        while let Some(frame) = self.frames.pop() {
            self.retire(frame);
        }
        self.asked = 0;
        self.fuel = self.limits.fuel;
        self.memory = 0;
        self.random = None;
        self.resume = Some(Resume::Start);
    }

    fn retire(&mut self, frame: Frame) {
        if let Frame::Mapping(frame) = frame
            && self.spare.len() < 4
        {
            self.spare.push(frame);
        }
    }

    /// Begins to look `input` up in a table, with the caller's input flags.
    pub fn start_mapping(&mut self, table: TableId, input: &str, flags: mapping::FlagSet) {
        self.reset();
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.start(table, input, flags);
        self.frames.push(Frame::Mapping(frame));
    }

    /// Begins to rewrite an address.
    pub fn start_rewrite(&mut self, request: rewrite::Request) {
        self.reset();
        self.frames
            .push(Frame::Rewrite(Box::new(rewrite::Frame::new(request))));
    }

    /// Begins to run a Sieve script on a message.
    pub fn start_sieve(&mut self, request: sieve::Request) {
        self.reset();
        self.frames
            .push(Frame::Sieve(Box::new(sieve::Frame::new(request))));
    }

    /// Runs until the evaluation is done or must ask. After [`Step::Ask`], call [`Machine::answer`] and
    /// step again. After [`Step::Done`], start another evaluation; stepping on is a [`RunError`].
    pub fn step(&mut self, facts: &Facts) -> Step {
        if self.asked > 0 {
            return Step::Done(Err(RunError::Answers {
                asked: self.asked,
                got: 0,
            }));
        }
        let mut random = self.random.unwrap_or(facts.seed);
        let step = self.run(facts, &mut random);
        self.random = Some(random);
        if matches!(step, Step::Done(_)) {
            self.resume = None;
        }
        step
    }

    fn run(&mut self, facts: &Facts, random: &mut u64) -> Step {
        loop {
            let Some(resume) = self.resume.take() else {
                return Step::Done(Err(RunError::Answers { asked: 0, got: 0 }));
            };
            let Some(frame) = self.frames.last_mut() else {
                return Step::Done(Err(RunError::Answers { asked: 0, got: 0 }));
            };
            let mut context = Context {
                program: &self.program,
                facts,
                limits: &self.limits,
                trace: &mut self.trace,
                fuel: &mut self.fuel,
                memory: &mut self.memory,
                random,
            };
            let transfer = match frame {
                Frame::Mapping(frame) => frame.run(&mut context, resume),
                Frame::Rewrite(frame) => frame.run(&mut context, resume),
                Frame::Sieve(frame) => frame.run(&mut context, resume),
            };
            match transfer {
                Transfer::Done(value) => {
                    if let Some(frame) = self.frames.pop() {
                        self.retire(frame);
                    }
                    if self.frames.is_empty() {
                        return Step::Done(Ok(value));
                    }
                    self.trace.depth = self.trace.depth.saturating_sub(1);
                    self.resume = Some(Resume::Returned(Some(value)));
                }
                Transfer::Call { table, input } => {
                    if self.frames.len() > self.limits.depth {
                        let depth = self.limits.depth;
                        self.trace.add(Kind::Fail, None, || {
                            format!("tables call one another more than {depth} deep")
                        });
                        self.resume = Some(Resume::Returned(None));
                        continue;
                    }
                    let mut frame = self.spare.pop().unwrap_or_default();
                    frame.start(table, &input, mapping::FlagSet::default());
                    self.frames.push(Frame::Mapping(frame));
                    self.trace.depth += 1;
                    self.resume = Some(Resume::Start);
                }
                Transfer::Ask(asks) => {
                    self.asked = asks.len();
                    for ask in &asks {
                        self.trace.add(Kind::Ask, None, || format!("    asks: {ask}"));
                    }
                    return Step::Ask(asks);
                }
                Transfer::Error(error) => {
                    self.trace.add(Kind::Fail, None, || error.to_string());
                    self.frames.clear();
                    return Step::Done(Err(error));
                }
            }
        }
    }

    /// Gives the answers to [`Step::Ask`], in the order of the questions.
    pub fn answer(&mut self, answers: Vec<Answer>) -> Result<(), RunError> {
        if answers.len() != self.asked || self.asked == 0 {
            return Err(RunError::Answers {
                asked: self.asked,
                got: answers.len(),
            });
        }
        for answer in &answers {
            self.trace
                .add(Kind::Answer, None, || format!("    answer: {answer}"));
        }
        self.asked = 0;
        self.resume = Some(Resume::Answered(answers));
        Ok(())
    }
}
