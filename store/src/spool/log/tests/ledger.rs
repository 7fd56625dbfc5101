//! What a spool was asked and what it answered, and whether what is found later agrees.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::disk::Disk;
use crate::disk::sim::Chance;
use crate::envelope::Failure;
use crate::spool::Attempt;

/// What changes about an entry in these tests: attempts and time of the next.
type State = (u32, i64);

#[derive(Clone)]
struct Known {
    name: String,
    content: Vec<u8>,
    /// The state last acknowledged, and those of changes that were not answered.
    states: Vec<State>,
    /// Its removal was asked for and not answered.
    maybe_gone: bool,
}

/// A message whose enqueue was not answered: all of it or nothing.
#[derive(Clone)]
struct Doubt {
    content: Vec<u8>,
    entries: usize,
}

#[derive(Clone, Default)]
pub(super) struct Ledger {
    live: BTreeMap<EntryId, Known>,
    gone: BTreeSet<EntryId>,
    doubt: BTreeMap<String, Doubt>,
    /// Messages refused by a machine that went on running.
    refused: BTreeSet<String>,
    counter: u64,
    /// Answers by kind, so that a test can see that it tested something.
    pub(super) done: usize,
    pub(super) full: usize,
    pub(super) failed: usize,
}

enum Asked {
    Enqueue {
        name: String,
        content: Vec<u8>,
        entries: usize,
        commit: Commit<Vec<EntryId>>,
    },
    Update {
        id: EntryId,
        state: State,
        commit: Commit<()>,
    },
    Remove {
        id: EntryId,
        commit: Commit<()>,
    },
}

impl Ledger {
    pub(super) fn live(&self) -> usize {
        self.live.len()
    }

    /// One batch of up to `limit` requests, chosen by chance. False once the machine has stopped.
    pub(super) fn round(&mut self, rig: &mut Rig, disk: &SimDisk, chance: &mut Chance, limit: usize) -> bool {
        let mut asked = Vec::new();
        let mut touched = BTreeSet::new();
        for _ in 0..=chance.below(limit) {
            let pick = chance.below(self.live.len());
            let id = self
                .live
                .keys()
                .nth(pick)
                .copied()
                .filter(|id| touched.insert(*id));
            // With many live entries removals prevail, so that segments die and compaction has work.
            let removals = if self.live.len() > 12 { 3..=8 } else { 3..=5 };
            match (chance.below(10), id) {
                (0..=2, Some(id)) => asked.push(self.update(rig, id)),
                (kind, Some(id)) if removals.contains(&kind) => asked.push(Asked::Remove {
                    id,
                    commit: rig.spool.remove(id),
                }),
                (kind, _) => asked.extend(self.enqueue(rig, disk, chance, kind >= 9)),
            }
        }
        for request in &mut asked {
            let pending = match request {
                Asked::Enqueue { commit, .. } => poll(commit).is_none(),
                Asked::Update { commit, .. } | Asked::Remove { commit, .. } => poll(commit).is_none(),
            };
            assert!(pending, "a request was answered before it was written");
        }
        rig.writer.turn(false);
        let crashed = disk.crashed();
        asked
            .into_iter()
            .for_each(|request| self.answered(request, crashed));
        !crashed
    }

    fn update(&mut self, rig: &Rig, id: EntryId) -> Asked {
        self.counter += 1;
        let at = self.counter as i64;
        let attempts = self.live[&id].states[0].0;
        let change = Change {
            attempt: Some(Attempt {
                at,
                failure: Failure::default(),
            }),
            next_attempt: Some(at),
            ..Change::default()
        };
        Asked::Update {
            id,
            state: (attempts + 1, at),
            commit: rig.spool.update(id, change),
        }
    }

    fn enqueue(&mut self, rig: &Rig, disk: &SimDisk, chance: &mut Chance, large: bool) -> Option<Asked> {
        self.counter += 1;
        let name = format!("message {}", self.counter);
        let content = text(&name, if large { 3000 } else { chance.below(900) });
        let body = if large {
            match rig.stored(&content) {
                Ok(body) => body,
                Err(error) => {
                    self.count(&error);
                    assert!(disk.crashed() || matches!(error, SpoolError::Full | SpoolError::Io(_)));
                    return None;
                }
            }
        } else {
            Content::Inline(content.clone().into())
        };
        let entries = 1 + chance.below(3);
        let commit = rig
            .spool
            .enqueue(message(&name, body, &["a", "b", "c"][..entries]));
        Some(Asked::Enqueue {
            name,
            content,
            entries,
            commit,
        })
    }

    fn count(&mut self, error: &SpoolError) {
        match error {
            SpoolError::Full => self.full += 1,
            _ => self.failed += 1,
        }
    }

    fn answered(&mut self, request: Asked, crashed: bool) {
        match request {
            Asked::Enqueue {
                name,
                content,
                entries,
                mut commit,
            } => match poll(&mut commit).expect("answered") {
                Ok(ids) => {
                    self.done += 1;
                    assert_eq!(ids.len(), entries);
                    for id in ids {
                        let states = vec![(0, 0)];
                        let known = Known {
                            name: name.clone(),
                            content: content.clone(),
                            states,
                            maybe_gone: false,
                        };
                        assert!(!self.gone.contains(&id), "{id:?} was used before");
                        assert!(self.live.insert(id, known).is_none(), "{id:?} is in use");
                    }
                }
                Err(error) => {
                    self.count(&error);
                    if crashed {
                        self.doubt.insert(name, Doubt { content, entries });
                    } else {
                        self.refused.insert(name);
                    }
                }
            },
            Asked::Update {
                id,
                state,
                mut commit,
            } => {
                let answer = poll(&mut commit).expect("answered");
                let known = self.live.get_mut(&id).expect("updates are of live entries");
                match answer {
                    Ok(()) => {
                        known.states = vec![state];
                        self.done += 1;
                    }
                    Err(error) => {
                        if crashed {
                            known.states.push(state);
                        }
                        self.count(&error);
                    }
                }
            }
            Asked::Remove { id, mut commit } => match poll(&mut commit).expect("answered") {
                Ok(()) => {
                    self.live.remove(&id);
                    self.gone.insert(id);
                    self.done += 1;
                }
                Err(error) => {
                    if let Some(known) = self.live.get_mut(&id) {
                        known.maybe_gone |= crashed;
                    }
                    self.count(&error);
                }
            },
        }
    }

    /// Panics unless the spool holds what it must, all of it whole, and nothing that it must not.
    pub(super) fn check(&self, rig: &Rig, disk: &SimDisk, case: &str) {
        assert_eq!(rig.recovery.problems, [], "{case}");
        let mut unexpected: BTreeMap<String, usize> = BTreeMap::new();
        for entry in rig.spool.entries() {
            let content = rig
                .spool
                .content(entry.id)
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            let name = entry.envelope.envelope_id.clone().unwrap_or_default();
            assert!(
                !self.gone.contains(&entry.id),
                "{case}: {name} was removed and is back"
            );
            assert!(
                !self.refused.contains(&name),
                "{case}: {name} was refused and is here"
            );
            match self.live.get(&entry.id) {
                Some(known) => {
                    assert_eq!(name, known.name, "{case}");
                    assert_eq!(content, known.content, "{case}: {name}");
                    let state = (entry.attempts, entry.next_attempt);
                    assert!(
                        known.states.contains(&state),
                        "{case}: {name} {state:?} not of {:?}",
                        known.states
                    );
                }
                None => {
                    let doubt = self
                        .doubt
                        .get(&name)
                        .unwrap_or_else(|| panic!("{case}: what is {name}?"));
                    assert_eq!(content, doubt.content, "{case}: {name}");
                    *unexpected.entry(name).or_default() += 1;
                }
            }
        }
        for (name, entries) in unexpected {
            assert_eq!(
                entries, self.doubt[&name].entries,
                "{case}: {name} is there by half"
            );
        }
        for (id, known) in &self.live {
            let there = known.maybe_gone || rig.spool.entry(*id).is_some();
            assert!(there, "{case}: {id:?} of {} is lost", known.name);
        }
        let files = disk.list(&Path::new(DIR).join("bodies")).unwrap().len();
        let index = rig.writer.shared.index();
        let claimed = index
            .messages()
            .values()
            .filter(|message| matches!(message.body, BodyPlace::File { .. }))
            .count();
        assert_eq!(files, claimed, "{case}: body files and messages that claim them");
    }

    /// The spool works, and gives ids never given before.
    pub(super) fn check_service(&self, rig: &mut Rig, case: &str) -> EntryId {
        let new = message("later", inline_text("later", 50), &["a"]);
        let id = rig
            .one(rig.spool.enqueue(new))
            .unwrap_or_else(|error| panic!("{case}: {error}"))[0];
        let newest = self.live.keys().chain(&self.gone).max();
        assert!(
            newest.is_none_or(|newest| id > *newest),
            "{case}: {id:?} after {newest:?}"
        );
        id
    }
}
