//! Consults policy: runs the machine, answers what it asks, keeps what is needed to explain it later.
//!
//! Each consultation has one wall-clock budget. When it is spent, or the machine runs out of fuel, the
//! answer is [`NoVerdict`]: access points refuse for the time being and never accept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::mapping::{FlagSet, MappingResult};
use policy::rewrite::{Request, Rewritten};
use policy::site::Site;
use policy::trace::Event;
use policy::{Answer, Facts, Limits, Machine, Outcome, RunError, Step, Trace};

use crate::access::{Decision, PolicyPoint, ReplyFacts};
use crate::callout::Callouts;

/// Wall-clock time of one consultation.
pub const BUDGET: Duration = Duration::from_secs(20);

/// Policy came to no verdict.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoVerdict {
    /// Callouts took too long.
    #[error("policy took longer than {} seconds", BUDGET.as_secs())]
    Budget,
    /// The machine could not go on.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// What was evaluated, so that it can be run again.
#[derive(Debug, Clone)]
pub enum Question {
    /// A mapping.
    Mapping {
        /// Table name.
        table: &'static str,
        /// Input.
        input: String,
        /// Input flags.
        flags: FlagSet,
    },
    /// A rewriting.
    Rewrite(Request),
    /// A Sieve script, on a message small enough to keep.
    Sieve {
        /// The run.
        request: Box<policy::sieve::Request>,
        /// The texts of the script.
        sources: Arc<grammar::Sources>,
    },
}

/// Messages up to this size are kept with the record of a session, in octets.
const REPLAY_LIMIT: usize = 64 * 1024;

/// One evaluation: enough to run it again and get the same.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The policy it ran on.
    pub site: Arc<Site>,
    /// What was evaluated.
    pub question: Question,
    /// What the outside answered, in order.
    pub answers: Vec<Vec<Answer>>,
    /// Instant and seed.
    pub facts: Facts,
}

impl Evaluation {
    /// The texts that the places of its trace are in.
    pub fn sources(&self) -> &grammar::Sources {
        match &self.question {
            Question::Sieve { sources, .. } => sources,
            _ => &self.site.sources,
        }
    }

    /// Runs it again with the same answers and returns the trace.
    pub fn replay(&self, all: bool) -> Vec<Event> {
        let mut machine = Machine::new(Arc::clone(&self.site.program), Limits::default());
        machine.trace = Trace::on(all);
        if !begin(&mut machine, &self.question) {
            return Vec::new();
        }
        let mut answers = self.answers.iter();
        while let Step::Ask(asks) = machine.step(&self.facts) {
            let answer = answers
                .next()
                .cloned()
                .unwrap_or_else(|| vec![Answer::NotFound; asks.len()]);
            if machine.answer(answer).is_err() {
                break;
            }
        }
        machine.trace.take()
    }
}

fn begin(machine: &mut Machine, question: &Question) -> bool {
    match question {
        Question::Mapping { table, input, flags } => match machine.program().table(table) {
            Some(table) => machine.start_mapping(table, input, *flags),
            None => return false,
        },
        Question::Rewrite(request) => machine.start_rewrite(request.clone()),
        Question::Sieve { request, .. } => machine.start_sieve((**request).clone()),
    }
    true
}

/// Consults one policy, one question at a time.
#[derive(Debug)]
pub struct Evaluator {
    site: Arc<Site>,
    machine: Machine,
    callouts: Callouts,
    facts: Facts,
    /// Where evaluations go, where somebody wants them.
    pub record: Option<Vec<Evaluation>>,
}

impl Evaluator {
    /// An evaluator for a site.
    pub fn new(site: Arc<Site>, callouts: Callouts, facts: Facts) -> Self {
        let machine = Machine::new(Arc::clone(&site.program), Limits::default());
        Evaluator {
            site,
            machine,
            callouts,
            facts,
            record: None,
        }
    }

    /// The site in use.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The drivers in use.
    pub fn callouts(&self) -> &Callouts {
        &self.callouts
    }

    /// Goes over to another site, for the next transaction.
    pub fn set_site(&mut self, site: &Arc<Site>) {
        if !Arc::ptr_eq(&self.site, site) {
            self.site = Arc::clone(site);
            self.machine = Machine::new(Arc::clone(&site.program), Limits::default());
        }
    }

    /// Instant and seed of the next message.
    pub fn set_facts(&mut self, facts: Facts) {
        self.facts = facts;
    }

    /// Looks a string up in a table; `None` where there is no such table.
    pub async fn map(
        &mut self,
        table: &'static str,
        input: &str,
        flags: FlagSet,
    ) -> Result<Option<MappingResult>, NoVerdict> {
        let Some(id) = self.site.program.table(table) else {
            return Ok(None);
        };
        self.machine.start_mapping(id, input, flags);
        let (outcome, answers) = self.run().await;
        if self.record.is_some() {
            self.remember(
                Question::Mapping {
                    table,
                    input: input.to_string(),
                    flags,
                },
                answers,
            );
        }
        match outcome? {
            Outcome::Mapping(result) => Ok(Some(result)),
            _ => Ok(None),
        }
    }

    /// Asks a policy point, and sends the notices of its answer; `None` where the site has no such table.
    pub async fn consult<P: PolicyPoint>(
        &mut self,
        point: &P,
        reply: &ReplyFacts<'_>,
    ) -> Result<Option<Decision>, NoVerdict> {
        let table = P::POINT.table();
        if self.site.program.table(table).is_none() {
            return Ok(None);
        }
        let mut probe = String::with_capacity(160);
        point.probe(&self.site.options, &mut probe);
        let result = self.map(table, &probe, point.flags()).await?;
        let decision = P::POINT.decide(result.as_ref(), reply);
        let notices = [&decision.effects.syslog, &decision.effects.syslog_rejected];
        for notice in notices.into_iter().flatten() {
            crate::notice::send(notice);
        }
        Ok(Some(decision))
    }

    /// Rewrites an address.
    pub async fn rewrite(&mut self, request: Request) -> Result<Rewritten, NoVerdict> {
        let again = self.record.is_some().then(|| request.clone());
        self.machine.start_rewrite(request);
        let (outcome, answers) = self.run().await;
        if let Some(request) = again {
            self.remember(Question::Rewrite(request), answers);
        }
        match outcome? {
            Outcome::Address(rewritten) => Ok(rewritten),
            _ => Ok(Rewritten::default()),
        }
    }

    /// Runs a Sieve script.
    pub async fn sieve(
        &mut self,
        request: policy::sieve::Request,
        sources: Arc<grammar::Sources>,
    ) -> Result<Box<policy::sieve::SieveOutcome>, NoVerdict> {
        let keep = self.record.is_some() && request.message.raw().len() <= REPLAY_LIMIT;
        let again = keep.then(|| Box::new(request.clone()));
        self.machine.start_sieve(request);
        let (outcome, answers) = self.run().await;
        if let Some(request) = again {
            self.remember(Question::Sieve { request, sources }, answers);
        }
        match outcome? {
            Outcome::Sieve(outcome) => Ok(outcome),
            _ => Err(NoVerdict::Budget),
        }
    }

    fn remember(&mut self, question: Question, answers: Vec<Vec<Answer>>) {
        let evaluation = Evaluation {
            site: Arc::clone(&self.site),
            question,
            answers,
            facts: self.facts,
        };
        if let Some(record) = &mut self.record {
            record.push(evaluation);
        }
    }

    async fn run(&mut self) -> (Result<Outcome, NoVerdict>, Vec<Vec<Answer>>) {
        let mut log = Vec::new();
        let mut deadline = None;
        loop {
            match self.machine.step(&self.facts) {
                Step::Done(done) => return (done.map_err(NoVerdict::from), log),
                Step::Ask(asks) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + BUDGET);
                    let perform = self.callouts.perform(&asks, &self.site);
                    let Ok(answers) = tokio::time::timeout_at(deadline.into(), perform).await else {
                        return (Err(NoVerdict::Budget), log);
                    };
                    if self.record.is_some() {
                        log.push(answers.clone());
                    }
                    if let Err(error) = self.machine.answer(answers) {
                        return (Err(error.into()), log);
                    }
                }
            }
        }
    }
}
