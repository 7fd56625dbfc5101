//! The fuzz targets, on stable: their corpora, and mutations of them that are the same at every run.
//!
//! `SLUICE_FUZZ_SECONDS=600 cargo test --release -p sluice-policy --test fuzz_replay` goes on with other
//! mutations for that long, keeps those that fail in `fuzz/artifacts`, and says which took long.

#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use targets::{TARGETS, Target};

/// Mutations of each corpus where no time is given.
const MUTATIONS: u64 = 2_000;

/// Longest input that mutation makes.
const LENGTH: usize = 8 << 10;

/// splitmix64: the same numbers at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(name)
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let path = directory("corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&path)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    let read = |f: &PathBuf| (f.display().to_string(), std::fs::read(f).unwrap());
    files.iter().map(read).collect()
}

/// What the languages give a meaning to, and what is easily cut in two.
const WORDS: &[&str] = &[
    "$",
    "$$",
    "*",
    "%",
    "$_*",
    "$@*",
    "$0*",
    "$[a-ü]*",
    "$[\\]%",
    "$(10.0.0.0/8)",
    "${::1/128}",
    "$A%",
    "|",
    "$C",
    "$L",
    "$R",
    "$E",
    "$|T;",
    "${",
    "}",
    "$]",
    "[",
    "$}",
    "{",
    "$[",
    "]",
    ",",
    "$?50?",
    "$.",
    "$#f|8|3|7#",
    "$&e9,20&",
    "$+1E",
    "$:A",
    "$;A",
    "$\\",
    "$^",
    "$_",
    "$=",
    "$0",
    "$U",
    "$1U",
    "$D",
    "$H",
    "$2H",
    "$L",
    "$&0",
    "$!1",
    "$V",
    "$Z",
    "$M",
    "$1M",
    "$N",
    "$Q",
    "$T",
    "$1~",
    "$,",
    "$?text",
    "$5001002?",
    "@",
    ":",
    "!",
    "<",
    "\"",
    "\\",
    "\n",
    "\r\n",
    "\n\n",
    "\\\n",
    "  ",
    "\t",
    "! ",
    "/*",
    "*/",
    "# x\n",
    "text:\n",
    "\n.\n",
    "not (",
    ")",
    "</plain\n",
    "</again\n",
    "=",
    ";",
    "+",
    "-",
    "é",
    "ß",
    "İ",
    "K",
    "😀",
    "\u{0}",
    "16%ff",
    "9999999999999999999",
    "1.2.3.4",
    "::ffff:1.2.3.4",
    "[192.0.2.1]",
    "..",
    "a",
];

fn mutate(r: &mut Random, seeds: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut input = seeds[r.below(seeds.len())].1.clone();
    for _ in 0..1 + r.below(6) {
        let at = r.below(input.len() + 1);
        let to = at + r.below((input.len() - at + 1).min(64));
        match r.below(9) {
            0 if at < input.len() => input[at] ^= 1 << r.below(8),
            1 if at < input.len() => input[at] = r.next() as u8,
            2 => input.truncate(at),
            3 => drop(input.drain(at..to)),
            4 => {
                let part: Vec<u8> = input[at..to].to_vec();
                for _ in 0..1 + r.below(8) {
                    input.splice(at..at, part.iter().copied());
                }
            }
            5 => {
                let other = &seeds[r.below(seeds.len())].1;
                let from = r.below(other.len() + 1);
                let end = from + r.below(other.len() - from + 1);
                input.splice(at..to, other[from..end].iter().copied());
            }
            _ => {
                let word = WORDS[r.below(WORDS.len())];
                input.splice(at..at, word.bytes());
            }
        }
    }
    input.truncate(LENGTH);
    input
}

/// Runs one input; one that fails is kept.
fn run(&(name, target): &Target, origin: &str, input: &[u8]) -> Duration {
    let start = Instant::now();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let kept = directory("artifacts").join(name);
        let _ = std::fs::create_dir_all(&kept);
        let _ = std::fs::write(kept.join("failed"), input);
        eprintln!("{name} fails for {origin}: {:?}", String::from_utf8_lossy(input));
        resume_unwind(panic);
    }
    start.elapsed()
}

fn replay(target: &Target) {
    let seeds = corpus(target.0);
    assert!(seeds.len() >= 5, "the corpus of {} is there", target.0);
    for (name, seed) in &seeds {
        run(target, name, seed);
    }
    for n in 0..MUTATIONS {
        let input = mutate(&mut Random(n), &seeds);
        run(target, &format!("mutation {n}"), &input);
    }
}

#[test]
fn mapping_file() {
    replay(&TARGETS[0]);
}

#[test]
fn pattern_match() {
    replay(&TARGETS[1]);
}

#[test]
fn template() {
    replay(&TARGETS[2]);
}

#[test]
fn imta_cnf() {
    replay(&TARGETS[3]);
}

#[test]
fn aliases() {
    replay(&TARGETS[4]);
}

#[test]
fn option_file() {
    replay(&TARGETS[5]);
}

#[test]
fn address() {
    replay(&TARGETS[6]);
}

#[test]
fn sieve_format() {
    replay(&TARGETS[7]);
}

/// The mutation after which the long run begins, `SLUICE_FUZZ_AFTER`.
fn first_mutation() -> u64 {
    let after = std::env::var("SLUICE_FUZZ_AFTER")
        .ok()
        .and_then(|n| n.parse().ok());
    after.unwrap_or(MUTATIONS)
}

#[test]
fn for_as_long_as_asked() {
    let seconds = std::env::var("SLUICE_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse::<u64>().ok());
    let Some(seconds) = seconds else { return };
    let end = Instant::now() + Duration::from_secs(seconds);
    let corpora: Vec<_> = TARGETS.iter().map(|t| corpus(t.0)).collect();
    let mut n = first_mutation();
    let first = n;
    let mut longest = vec![Duration::ZERO; TARGETS.len()];
    while Instant::now() < end {
        n += 1;
        for ((target, seeds), longest) in TARGETS.iter().zip(&corpora).zip(&mut longest) {
            let input = mutate(&mut Random(n), seeds);
            let took = run(target, &format!("mutation {n}"), &input);
            if took > *longest {
                *longest = took;
                if took > Duration::from_millis(50) {
                    println!("{} took {took:?} for mutation {n}", target.0);
                }
            }
        }
    }
    println!(
        "{} mutations of each corpus; the longest took {longest:?}",
        n - first
    );
}
