//! One run of a compiled script outside the server, with a small world that answers what it asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use grammar::Sources;
use policy::message::{HeaderView, Message, Overlay};
use policy::sieve::{Request, SieveOutcome};
use policy::{Answer, Ask, Facts, Limits, Machine, Outcome, Read, Step, Trace};
use serde_json::{Map, Value, json};

use crate::Failure;

/// What a script can ask about. What is not known here is not configured, which fails as it would on a site
/// that has nothing set up for it.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Mailboxes that exist.
    pub mailboxes: BTreeSet<String>,
    /// Special uses by mailbox.
    pub special_uses: BTreeMap<String, Vec<String>>,
    /// Mailboxes by identifier.
    pub mailbox_ids: BTreeMap<String, String>,
    /// Members by list.
    pub lists: BTreeMap<String, Vec<String>>,
    /// Annotations by mailbox (`None`: the server's) and name.
    pub metadata: BTreeMap<(Option<String>, String), String>,
    /// Handles and identifiers that were seen before.
    pub duplicates: BTreeSet<(String, String)>,
}

fn yes(is: bool) -> Answer {
    if is {
        Answer::Found(String::new())
    } else {
        Answer::NotFound
    }
}

fn found(value: Option<&String>) -> Answer {
    value.map_or(Answer::NotFound, |v| Answer::Found(v.clone()))
}

impl World {
    /// The answer to a question.
    pub fn answer(&self, ask: &Ask) -> Answer {
        let Ask::Read(read) = ask else {
            return Answer::NotConfigured("this tool asks no servers".into());
        };
        match read {
            Read::Mailbox { name } => {
                yes(name.eq_ignore_ascii_case("INBOX") || self.mailboxes.contains(name))
            }
            Read::SpecialUse { mailbox, flag } => found(
                self.special_uses
                    .iter()
                    .filter(|(name, _)| mailbox.as_ref().is_none_or(|m| m == *name))
                    .find(|(_, flags)| flags.iter().any(|f| f.eq_ignore_ascii_case(flag)))
                    .map(|(name, _)| name),
            ),
            Read::MailboxId { id } => found(self.mailbox_ids.get(id)),
            Read::Metadata { mailbox, annotation } => found(
                self.metadata
                    .get(&(mailbox.clone(), annotation.to_ascii_lowercase())),
            ),
            Read::ListMember { list, value } => yes(self
                .lists
                .get(list)
                .is_some_and(|all| all.iter().any(|m| m.eq_ignore_ascii_case(value)))),
            Read::ListExists { list } => yes(self.lists.contains_key(list)),
            Read::ListMembers { list } => self
                .lists
                .get(list)
                .map_or(Answer::NotFound, |all| Answer::Found(all.join("\n"))),
            Read::Duplicate { handle, id, .. } => {
                yes(self.duplicates.contains(&(handle.clone(), id.clone())))
            }
            _ => Answer::NotConfigured("this tool asks no directory".into()),
        }
    }
}

/// Runs a script to its end; the trace as text where `trace` asks for one.
pub fn drive(
    request: Request,
    facts: Facts,
    world: &World,
    sources: &Sources,
    trace: bool,
) -> Result<(SieveOutcome, String), Failure> {
    let mut machine = Machine::new(Arc::default(), Limits::default());
    if trace {
        machine.trace = Trace::on(true);
    }
    machine.start_sieve(request);
    loop {
        match machine.step(&facts) {
            Step::Done(Ok(Outcome::Sieve(outcome))) => {
                let text = policy::trace::render(machine.trace.events(), sources);
                return Ok((*outcome, text));
            }
            Step::Done(Ok(_)) => return Err(Failure::Failed("the script came to no outcome".into())),
            Step::Done(Err(error)) => return Err(Failure::Failed(error.to_string())),
            Step::Ask(asks) => {
                let answers = asks.iter().map(|ask| world.answer(ask)).collect();
                machine
                    .answer(answers)
                    .map_err(|error| Failure::Failed(error.to_string()))?;
            }
        }
    }
}

/// The header at the end: values by name as first written, and the subject, all decoded.
pub fn header_json(message: &Message, headers: Option<&Arc<Overlay>>) -> (Value, Value) {
    let view = HeaderView::message(message, headers);
    let mut all: Map<String, Value> = Map::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for at in 0..view.len() {
        let Some((name, value)) = view.get(at) else {
            continue;
        };
        let name = names
            .entry(name.to_ascii_lowercase())
            .or_insert_with(|| name.to_string());
        let values = all.entry(name.clone()).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(value.decoded().into());
        }
    }
    let subject = view.values("subject").first().map(|v| v.decoded());
    (Value::Object(all), subject.map_or(Value::Null, Value::from))
}
