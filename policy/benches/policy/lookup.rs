//! Look-ups in tables of 10, 1,000 and 100,000 entries, and the plain scan beside them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use divan::Bencher;
use divan::counter::ItemsCount;
use policy::pattern::{Pattern, Scratch};
use policy::pattern_set::PatternSet;
use policy::program::Program;

use crate::tables::{self, KINDS, Kind, Lookup, PLACES, Place};

type Programs = HashMap<(Kind, usize), Arc<Program>>;

static PROGRAMS: LazyLock<Mutex<Programs>> = LazyLock::new(Mutex::default);

fn program(kind: Kind, entries: usize) -> Arc<Program> {
    let mut programs = PROGRAMS.lock().expect("no bench failed");
    let make = || Arc::new(tables::compile(&tables::text(kind, entries)));
    programs.entry((kind, entries)).or_insert_with(make).clone()
}

#[derive(Clone, Copy)]
struct Case(Kind, Place);

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, {:?}", self.0, self.1)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    KINDS
        .into_iter()
        .flat_map(|kind| PLACES.into_iter().map(move |place| Case(kind, place)))
}

/// Through the machine, template and result included.
#[divan::bench(consts = [10, 1_000, 100_000], args = cases())]
fn table<const ENTRIES: usize>(bencher: Bencher, Case(kind, place): Case) {
    let subjects = tables::subjects(kind, place, ENTRIES);
    let mut lookup = Lookup::new(program(kind, ENTRIES), "TABLE");
    let expected = u32::from(!matches!(place, Place::Nowhere));
    for subject in &subjects {
        assert_eq!(lookup.run(subject), expected, "{subject}");
    }
    let mut turn = subjects.iter().cycle();
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| lookup.run(turn.next().map_or("", |s| s)));
}

/// The meaning of a table: each pattern in turn.
#[divan::bench(consts = [10, 1_000], args = cases())]
fn scan<const ENTRIES: usize>(bencher: Bencher, Case(kind, place): Case) {
    let compile = |n| {
        let text = tables::pattern(kind, n);
        let elements = grammar::mapping::parse_pattern(&text, &|_| grammar::Span::default(), &mut Vec::new());
        Pattern::new(&elements)
    };
    let set = PatternSet::new((0..ENTRIES).map(compile).collect());
    let subjects = tables::subjects(kind, place, ENTRIES);
    let mut scratch = Scratch::default();
    let mut turn = subjects.iter().cycle();
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| set.scan(turn.next().map_or("", |s| s), 0, &mut scratch));
}
