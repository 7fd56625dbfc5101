//! What tests look at, gathered once a run however many look at it, and tests of it answered together.
//!
//! A script of a thousand rules looks at a handful of fields. A [`Source`] is what a test looks at, where that can
//! be told at compile time and only an edit of the message changes it. [`share`] numbers the sources of a program;
//! a run gathers the values of each once. Tests that search one source for fixed text also share one automaton:
//! the first of them to run finds out for all which texts are there.
//!
//! Guarantees: results, traces and the fuel that a test takes are those of a test that stands alone, but that
//! `:matches` and `:regex` take less where a text that they need is not there.

use std::collections::HashMap;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use grammar::Span;

use super::compare::{Comparator, Match};
use super::frame::{Frame, Halt};
use super::matching::Values;
use super::pattern::needed_text;
use super::program::{AddressPart, Asked, Index, Matching, Op, Ready, Script, Str, Test, Transform};
use crate::ask::Answer;
use crate::machine::Context;

/// Texts from which on one search for all of them is quicker than one for each, in a field.
const MANY_IN_FIELD: usize = 8;

/// The same in a body, where a search for one text is quickest.
const MANY_IN_BODY: usize = 64;

/// Hits of one search at most, for each text and each octet: texts that overlap can be found without end.
const HITS: usize = 4;

/// What a test looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    Header(Vec<String>, Option<Index>),
    Address(Vec<String>, AddressPart, Option<Index>),
    Envelope(Vec<String>, AddressPart),
    RawBody,
    TextBody,
    BodyOf(Vec<String>),
}

/// Names in lower case; `None` where some is not constant.
fn constants(names: &[Str]) -> Option<Vec<String>> {
    let one = |name: &Str| match name {
        Str::Const(text) => Some(text.to_ascii_lowercase()),
        Str::Template(_) | Str::Computed(_) => None,
    };
    names.iter().map(one).collect()
}

impl Source {
    fn of(test: &Test) -> Option<Source> {
        Some(match test {
            Test::Header {
                names,
                index,
                mime: None,
                ..
            } => Source::Header(constants(names)?, *index),
            Test::Address {
                names,
                part,
                index,
                mime: None,
                ..
            } => Source::Address(constants(names)?, *part, *index),
            Test::Envelope { parts, part, .. } => Source::Envelope(constants(parts)?, *part),
            Test::Body { transform, .. } => match transform {
                Transform::Raw => Source::RawBody,
                Transform::Text => Source::TextBody,
                Transform::Content(types) => Source::BodyOf(constants(types)?),
            },
            _ => return None,
        })
    }

    /// How many texts make a group.
    fn many(&self) -> usize {
        match self {
            Source::Header(..) | Source::Address(..) | Source::Envelope(..) => MANY_IN_FIELD,
            Source::RawBody | Source::TextBody | Source::BodyOf(_) => MANY_IN_BODY,
        }
    }
}

/// Texts that are searched for in one source, folded by one comparator.
#[derive(Debug)]
struct Group {
    comparator: Comparator,
    texts: usize,
    all: AhoCorasick,
}

impl Group {
    /// `texts` have the numbers that they are given.
    fn new(comparator: Comparator, texts: &HashMap<String, usize>) -> Option<Group> {
        let mut all: Vec<(&String, &usize)> = texts.iter().collect();
        all.sort_unstable_by_key(|(_, number)| **number);
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(all.iter().map(|(text, _)| text.as_bytes()));
        Some(Group {
            comparator,
            texts: texts.len(),
            // too many texts for one automaton: each test stands alone
            all: automaton.ok()?,
        })
    }

    /// Which texts are in the values, a bit each; `None` where there were too many hits to tell.
    fn search(&self, values: &Values) -> Option<Box<[u64]>> {
        let mut bits = vec![0_u64; self.texts.div_ceil(64)];
        for value in values.folded(self.comparator) {
            let most = HITS * (self.texts + value.len());
            for (n, hit) in self.all.find_overlapping_iter(value.as_bytes()).enumerate() {
                if n > most {
                    return None;
                }
                let text = hit.pattern().as_usize();
                if let Some(word) = bits.get_mut(text / 64) {
                    *word |= 1 << (text % 64);
                }
            }
        }
        Some(bits.into())
    }
}

/// What the tests of a program share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// How many sources there are.
    pub sources: usize,
    groups: Vec<Group>,
}

/// The text that a value must hold to meet each key; `None` where some key needs none.
fn needles(matching: &Matching) -> Option<Vec<String>> {
    let all: Vec<String> = match (&matching.ready, matching.how) {
        (Ready::No, _) => return None,
        (_, Match::Contains) => {
            let fold = |key: &Str| match key {
                Str::Const(text) => matching.comparator.fold(text).into_owned(),
                Str::Template(_) | Str::Computed(_) => String::new(),
            };
            matching.keys.iter().map(fold).collect()
        }
        // there, values are folded in another way
        (_, Match::Matches) if matching.comparator == Comparator::UnicodeCasemap => return None,
        (Ready::Regexes(_), _) => {
            let text = |key: &Str| match key {
                Str::Const(pattern) => needed_text(pattern, matching.comparator),
                Str::Template(_) | Str::Computed(_) => String::new(),
            };
            matching.keys.iter().map(text).collect()
        }
        (Ready::Globs(globs), _) => globs.iter().map(|g| g.longest_text().to_owned()).collect(),
        _ => return None,
    };
    all.iter().all(|text| !text.is_empty()).then_some(all)
}

/// Every test that has a source, with it.
fn each(scripts: &mut [Script], mut with: impl FnMut(Source, &mut Matching)) {
    for instruction in scripts.iter_mut().flat_map(|s| s.code.iter_mut()) {
        if let Op::Test(test) = &mut instruction.op
            && let Some(source) = Source::of(test)
            && let Some(matching) = test.matching_mut()
        {
            with(source, matching);
        }
    }
}

/// Finds what the tests of a program share, and tells them.
pub(super) fn share(scripts: &mut [Script]) -> Shared {
    let mut sources: HashMap<Source, usize> = HashMap::new();
    let mut texts: HashMap<(usize, Comparator), (usize, HashMap<String, usize>)> = HashMap::new();
    each(scripts, |source, matching| {
        let (next, many) = (sources.len(), source.many());
        let source = *sources.entry(source).or_insert(next);
        for needle in needles(matching).unwrap_or_default() {
            let (_, texts) = texts
                .entry((source, matching.comparator))
                .or_insert_with(|| (many, HashMap::new()));
            let next = texts.len();
            texts.entry(needle).or_insert(next);
        }
    });
    let mut groups = Vec::new();
    let mut places: HashMap<(usize, Comparator), usize> = HashMap::new();
    for (key, (many, texts)) in &texts {
        if texts.len() >= *many
            && let Some(group) = Group::new(key.1, texts)
        {
            places.insert(*key, groups.len());
            groups.push(group);
        }
    }
    each(scripts, |source, matching| {
        let Some(&source) = sources.get(&source) else {
            return;
        };
        let key = (source, matching.comparator);
        let together = places.get(&key).zip(texts.get(&key)).zip(needles(matching));
        let together = together.map(|((group, (_, texts)), needles)| {
            let numbers = needles.iter().filter_map(|needle| texts.get(needle).copied());
            (*group, numbers.collect())
        });
        matching.asked = Some(Asked { source, together });
    });
    Shared {
        sources: sources.len(),
        groups,
    }
}

/// The values of a source in this run.
#[derive(Debug)]
pub(super) struct Gathered {
    values: Values,
    /// The fuel that gathering them took: each test takes it anew.
    cost: u64,
    /// What the searches of groups found.
    found: Vec<(usize, Option<Box<[u64]>>)>,
}

impl Gathered {
    /// Whether any of these texts of a group is there.
    fn holds(&mut self, groups: &[Group], group: usize, texts: &[usize]) -> Option<bool> {
        let at = match self.found.iter().position(|(g, _)| *g == group) {
            Some(at) => at,
            None => {
                let found = groups.get(group).and_then(|g| g.search(&self.values));
                self.found.push((group, found));
                self.found.len() - 1
            }
        };
        let bits = self.found.get(at)?.1.as_ref()?;
        let is = |text: &usize| bits.get(text / 64).is_some_and(|b| b & 1 << (text % 64) != 0);
        Some(texts.iter().any(is))
    }
}

impl Frame {
    /// A test of a source that others may look at, too.
    pub(super) fn shared(
        &mut self,
        cx: &mut Context<'_>,
        test: &Test,
        (matching, asked): (&Matching, &Asked),
        span: Span,
        answers: &mut Option<Vec<Answer>>,
    ) -> Result<bool, Halt> {
        let kept = self.gathered.get_mut(asked.source).and_then(Option::take);
        let mut gathered = match kept {
            Some(gathered) => {
                cx.burn(gathered.cost, Some(span))?;
                gathered
            }
            None => {
                let before = cx.fuel();
                let values = self.gather(cx, test, span)?;
                Box::new(Gathered {
                    values,
                    cost: before.saturating_sub(cx.fuel()),
                    found: Vec::new(),
                })
            }
        };
        let holds = asked.together.as_ref().and_then(|(group, texts)| {
            let script = Arc::clone(&self.request.script);
            gathered.holds(&script.shared.groups, *group, texts)
        });
        let what = test.what();
        let found = match holds {
            Some(holds) if matching.how == Match::Contains || !holds => {
                self.known(cx, matching, &gathered.values, what, holds, span)
            }
            _ => self.compare(cx, matching, &gathered.values, what, span, answers),
        };
        if let Some(place) = self.gathered.get_mut(asked.source) {
            *place = Some(gathered);
        }
        found
    }

    /// Forgets what was gathered: the message is another one now.
    pub(super) fn forget(&mut self) {
        for gathered in &mut self.gathered {
            *gathered = None;
        }
    }
}
