//! Patterns and subjects made to take for ever.

use divan::Bencher;
use policy::pattern::{Pattern, Scratch};

#[divan::bench(args = [
    "*a*a*a*a*b",
    "*a*a*a*a*a*a*a*a*a*a*a*a*b",
    "*a*a*a*a*b*",
    "*%a%b%*%a%c%*",
    "*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab*",
    "$_*a$_*a$_*a$_*a$_*b",
    "$_*a$_*a$_*a$_*a$_*b*",
    "$A*$A*$A*$A*b*",
    "$[a-z]*a$_[a]*a*$H*b*",
])]
fn on_64_kib(bencher: Bencher, pattern: &str) {
    let elements = grammar::mapping::parse_pattern(pattern, &|_| grammar::Span::default(), &mut Vec::new());
    let pattern = Pattern::new(&elements);
    let subject = "a".repeat(64 * 1024);
    let mut scratch = Scratch::default();
    bencher.bench_local(|| {
        let mut fuel = u64::MAX;
        pattern.matches(
            divan::black_box(&subject),
            subject.as_bytes(),
            &mut scratch,
            &mut fuel,
        )
    });
}

/// Back matches are bounded by fuel: this is what the default limit lets them take.
#[divan::bench(args = ["*$0*$1*$0*b*", "$_*$0*$_*$1*b*"])]
fn back_matches_until_the_fuel_is_gone(bencher: Bencher, pattern: &str) {
    let elements = grammar::mapping::parse_pattern(pattern, &|_| grammar::Span::default(), &mut Vec::new());
    let pattern = Pattern::new(&elements);
    let subject = "a".repeat(64 * 1024);
    let mut scratch = Scratch::default();
    bencher.bench_local(|| {
        let mut fuel = policy::Limits::default().fuel;
        pattern.matches(
            divan::black_box(&subject),
            subject.as_bytes(),
            &mut scratch,
            &mut fuel,
        )
    });
}
