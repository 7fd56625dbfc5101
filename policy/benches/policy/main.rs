//! What a look-up, a rewriting, a filter and a load cost: `cargo bench -p sluice-policy`.
//!
//! A part of them: `cargo bench -p sluice-policy -- lookup`. Figures and what they mean:
//! `docs/performance.md`. Allocations are counted; of times, the fastest is the one to compare, because
//! everything else that the machine does only adds to it.

mod example;
mod filters;
mod hostile;
mod load;
mod lookup;
mod rewriting;
mod tables;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}
