//! Mapping files from text to tables.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

use crate::tables::{self, KINDS, Kind};

#[derive(Clone, Copy)]
struct Case(Kind);

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Parsing, compiling and indexing.
#[divan::bench(args = KINDS.map(Case), sample_count = 5, sample_size = 1)]
fn entries_100_000(bencher: Bencher, Case(kind): Case) {
    let text = tables::text(kind, 100_000);
    bencher
        .counter(ItemsCount::new(100_000u32))
        .counter(BytesCount::of_str(&text))
        .bench_local(|| tables::compile(divan::black_box(&text)));
}
