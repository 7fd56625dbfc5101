//! Tables of any size, and subjects that find their first entry, their last, none, or one anywhere.

use std::sync::Arc;

use policy::mapping::FlagSet;
use policy::program::{Program, TableId};
use policy::{Facts, Limits, Machine, Outcome, Step};

/// What the patterns of a table look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `userN@domN.example`.
    Literals,
    /// `*@domN.example`.
    Suffixes,
    /// `$(10.x.y.0/24)`.
    Networks,
    /// Texts at the beginning, texts within, classes and back matches, a third each.
    Globs,
}

/// All kinds.
pub const KINDS: [Kind; 4] = [Kind::Literals, Kind::Suffixes, Kind::Networks, Kind::Globs];

/// Which entry a subject finds.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// The first.
    First,
    /// The last.
    Last,
    /// None.
    Nowhere,
    /// Another at each look-up, so that caches do not help.
    Anywhere,
}

/// All places.
pub const PLACES: [Place; 4] = [Place::First, Place::Last, Place::Nowhere, Place::Anywhere];

/// Subjects for [`Place::Anywhere`].
const SUBJECTS: usize = 4096;

/// The pattern of entry `n`.
pub fn pattern(kind: Kind, n: usize) -> String {
    match kind {
        Kind::Literals => format!("user{n}@dom{n}.example"),
        Kind::Suffixes => format!("*@dom{n}.example"),
        Kind::Networks => format!("$({}.{}.{}.0/24)", 10 + (n >> 16), n >> 8 & 255, n & 255),
        Kind::Globs => match n % 3 {
            0 => format!("start{n}|*|*"),
            1 => format!("*|*word{n}.*|*"),
            _ => format!("$[a-z]*{n}|*@$D*|$0*"),
        },
    }
}

/// A subject that finds entry `n` and no other.
pub fn subject(kind: Kind, n: usize) -> String {
    match kind {
        Kind::Literals => format!("user{n}@DOM{n}.example"),
        Kind::Suffixes => format!("someone.else@dom{n}.example"),
        Kind::Networks => format!("{}.{}.{}.77", 10 + (n >> 16), n >> 8 & 255, n & 255),
        Kind::Globs => match n % 3 {
            0 => format!("start{n}|someone@dom.example|tcp_local"),
            1 => format!("tcp_local|someone@word{n}.example|tcp_local"),
            _ => format!("abc{n}|x@1234|abc"),
        },
    }
}

/// The text of a mapping file with one table.
pub fn text(kind: Kind, entries: usize) -> String {
    let mut text = String::from("TABLE\n\n");
    for n in 0..entries {
        text.push_str("  ");
        text.push_str(&pattern(kind, n));
        text.push_str("  $N$D30|Not$ here\n");
    }
    text
}

/// Parses and compiles a mapping file.
pub fn compile(text: &str) -> Program {
    let mut sources = grammar::Sources::new();
    let file = sources.add("mappings", text);
    let mut diagnostics = Vec::new();
    let reader = |_: &str| Err("no includes".to_string());
    let parsed = grammar::mapping::parse(&mut sources, file, &reader, &mut diagnostics);
    let program = Program::from_mappings(&parsed, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{:?}", diagnostics.first());
    program
}

/// The subjects of a place, to be used in turn.
pub fn subjects(kind: Kind, place: Place, entries: usize) -> Vec<String> {
    match place {
        Place::First => vec![subject(kind, 0)],
        Place::Last => vec![subject(kind, entries - 1)],
        Place::Nowhere if kind == Kind::Networks => vec!["192.0.2.77".to_string()],
        Place::Nowhere => vec![subject(kind, entries + 2)],
        Place::Anywhere => {
            let mut n = 1usize;
            let next = |_| {
                n = n
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                subject(kind, (n >> 33) % entries)
            };
            (0..SUBJECTS).map(next).collect()
        }
    }
}

/// A machine and the table that it looks things up in.
pub struct Lookup {
    machine: Machine,
    table: TableId,
}

impl Lookup {
    /// For a table of a program.
    pub fn new(program: Arc<Program>, table: &str) -> Self {
        let table = program.table(table).expect("the table is there");
        Lookup {
            machine: Machine::new(program, Limits::default()),
            table,
        }
    }

    /// One look-up; how many entries matched.
    pub fn run(&mut self, subject: &str) -> u32 {
        self.machine
            .start_mapping(self.table, subject, FlagSet::default());
        match self.machine.step(&Facts { now: 0, seed: 1 }) {
            Step::Done(Ok(Outcome::Mapping(result))) => result.matched,
            other => panic!("{other:?}"),
        }
    }
}
