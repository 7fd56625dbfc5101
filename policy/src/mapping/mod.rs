//! Mapping tables: an ordered list of pattern/template entries that turns a probe into a result.
//!
//! A table is a small program: entries are tried from the top; the template of the first that matches
//! is expanded; control letters (`$C`, `$L`, `$R`, `$E`) say where to go on; callouts and flag tests can
//! make an entry fail, and then its input stays what it was. [`compile`] turns a parsed file into tables,
//! the [`Frame`] runs one look-up.
//!
//! Guarantees: the result is that of the linear scan the manual describes, at any table size; evaluation
//! ends (see [`Limits`](crate::Limits)); nothing here does I/O.
//!
//! Choices where the specification leaves one: fields beyond the last are empty; flags set by a table
//! that was called do not reach the caller; results of `$|...|`, `$]...[` and `$}...{` are put in as they
//! are, those of `$[...]` and `${...}` are scanned again as templates; a network counts as a field.
//!
//! Source: mapping specification 2 to 6.

mod compile;
mod frame;
mod lint;

use std::fmt;
use std::sync::Arc;

use grammar::Span;
use grammar::mapping::{Case, Control, SequenceFormat};

use crate::pattern_set::PatternSet;
use crate::program::TableId;

pub use compile::compile;
pub(crate) use frame::Frame;

/// A set of one-character flags, printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FlagSet(u128);

impl FlagSet {
    /// The flags that the characters of a string name; others than ASCII are left out.
    pub fn of(flags: &str) -> Self {
        let mut set = FlagSet::default();
        flags.chars().for_each(|c| set.insert(c));
        set
    }

    /// Adds a flag.
    pub fn insert(&mut self, flag: char) {
        if flag.is_ascii() {
            self.0 |= 1 << flag as u32;
        }
    }

    /// Whether exactly this flag is set.
    pub fn contains(self, flag: char) -> bool {
        flag.is_ascii() && self.0 >> (flag as u32) & 1 == 1
    }

    /// Whether a flag is set in either case, as the callers of tables ask.
    pub fn has(self, flag: char) -> bool {
        self.contains(flag.to_ascii_uppercase()) || self.contains(flag.to_ascii_lowercase())
    }

    /// The flags in ascending order of their codes.
    pub fn iter(self) -> impl Iterator<Item = char> {
        (0..128u8).filter(move |c| self.0 >> c & 1 == 1).map(char::from)
    }

    /// No flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for FlagSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|c| write!(f, "{c}"))
    }
}

/// What a look-up came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MappingResult {
    /// How many entries matched; 0: no result at all, and `output` is the input.
    pub matched: u32,
    /// The final string.
    pub output: String,
    /// Flags set by all templates together.
    pub flags: FlagSet,
    /// The template of the last entry that matched failed: `output` is what that entry was given, and
    /// callers must not read arguments from it.
    pub failed: bool,
    /// Where the last entry that matched stands.
    pub entry: Option<Span>,
}

impl MappingResult {
    /// The output as arguments of flags: empty where nothing matched or the last entry failed.
    pub fn arguments(&self) -> &str {
        if self.matched == 0 || self.failed {
            ""
        } else {
            &self.output
        }
    }

    /// Whether a table that was called says yes: `$Y` or `$T`, in either case.
    pub fn accepted(&self) -> bool {
        self.matched > 0 && (self.flags.has('Y') || self.flags.has('T'))
    }
}

/// One compiled table.
#[derive(Debug)]
pub struct Table {
    /// Its name as written.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    pub(crate) patterns: PatternSet,
    pub(crate) entries: Vec<Entry>,
    pub(crate) code: Code,
}

impl Table {
    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The flags that its templates set, each with its place.
    pub fn flags(&self) -> impl Iterator<Item = (char, Span)> {
        self.code
            .ops
            .iter()
            .zip(&self.code.spans)
            .filter_map(|(op, span)| match op {
                Op::Flag(flag) => Some((*flag, *span)),
                _ => None,
            })
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    /// First instruction of its template in the table's code.
    pub start: u32,
    pub span: Span,
    pub pattern_text: Arc<str>,
    pub template_text: Arc<str>,
}

/// Instructions of one or many templates, with the place of each.
#[derive(Debug, Default)]
pub(crate) struct Code {
    pub ops: Vec<Op>,
    pub spans: Vec<Span>,
}

/// One instruction of a template.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Text(Box<str>),
    Field(u8),
    Case(Case),
    QuoteLdap,
    Test {
        flag: char,
        set: bool,
    },
    Random(f64),
    Temporary(Option<Box<str>>),
    Control(Control),
    /// `$+1E`: as `$E`, and nothing more of the template, of results put into it or of an argument.
    Stop,
    Flag(char),
    /// What follows, up to the call, is the argument of a callout.
    Argument,
    Call(Call),
    /// The template is at its end.
    End,
}

/// A callout; its argument has been built by the instructions since [`Op::Argument`].
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Table { name: Box<str>, table: Option<TableId> },
    General,
    Url,
    Attribute,
    Routine { image: Box<str>, routine: Box<str> },
    Sequence { file: Box<str>, format: SequenceFormat },
}
