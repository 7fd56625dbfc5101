//! Compiled scripts: flat lists of instructions.

use std::collections::HashSet;
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use grammar::Span;
use memchr::memmem::Finder;

use super::compare::{Comparator, Glob, Match};
use super::expression::Step;
use super::matching::What;
use super::pattern::Pattern;
use super::source::Shared;

/// A compiled script with everything it includes. Build it with [`compile`](super::compile).
#[derive(Debug)]
pub struct Program {
    /// The main script first.
    pub(super) scripts: Vec<Script>,
    /// Names of the variables that scripts share, by slot.
    pub(super) globals: Vec<String>,
    /// What its tests look at, and what they have in common.
    pub(super) shared: Shared,
    /// Whether what it does may depend on the recipient.
    pub(super) recipient_specific: bool,
}

impl Program {
    /// Whether its outcome may differ between recipients of one message: it looks at envelope `to` or at
    /// the last verdict, or uses an action that looks at the recipient.
    pub fn is_recipient_specific(&self) -> bool {
        self.recipient_specific
    }
}

/// One script.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// `personal/name` or `global/name`; empty for the main script.
    pub name: Arc<str>,
    pub code: Vec<Instruction>,
    /// Names of its own variables, by slot.
    pub locals: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Instruction {
    pub op: Op,
    pub span: Span,
}

/// What to do next. Tests set the flag; branches look at it.
#[derive(Debug)]
pub(super) enum Op {
    Jump(usize),
    /// Jumps where the flag is `when`.
    Branch {
        when: bool,
        to: usize,
    },
    Not,
    Flag(bool),
    Test(Box<Test>),
    Act(Box<Act>),
    Stop,
    Return,
    Error(Str),
    /// Begins a loop over the parts below the current one; with `retain`, nested messages are leaves.
    EnterLoop {
        retain: bool,
    },
    /// Makes the next part the current one, or leaves the loop.
    NextPart {
        exit: usize,
    },
    /// Begins a loop that its conditions end.
    EnterPasses,
    /// Counts one more pass.
    NextPass,
    /// A true `ihave`: these capabilities are switched on.
    Grant(u64),
    /// One of these capabilities must have been switched on.
    Need(u64),
    /// Leaves this many loops.
    LeaveLoops(usize),
    Include(Box<Include>),
}

/// A string argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Str {
    Const(Box<str>),
    Template(Box<[Piece]>),
    /// Of an expression: steps over a stack of values.
    Computed(Box<[(Step, Span)]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Box<str>),
    Variable(Slot),
    /// `${0}`, `${1}` ...
    Match(usize),
}

/// Where a variable lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Local(usize),
    Global(usize),
}

/// Comparator, match type and keys of a test.
#[derive(Debug)]
pub(super) struct Matching {
    pub comparator: Comparator,
    pub how: Match,
    pub keys: Vec<Str>,
    pub ready: Ready,
    /// What it shares with other tests.
    pub asked: Option<Asked>,
}

/// What a test shares with others that look at the same.
#[derive(Debug)]
pub(super) struct Asked {
    /// The number of what it looks at.
    pub source: usize,
    /// The group of texts that are searched for together, and those of this test.
    pub together: Option<(usize, Box<[usize]>)>,
}

/// Constant keys, prepared at compile time.
#[derive(Debug)]
pub(super) enum Ready {
    /// Some key is not constant.
    No,
    /// Folded keys of `:is`, few of them.
    Folded(Vec<String>),
    /// Folded keys of `:contains`, searched for one by one.
    Finders(Vec<Finder<'static>>),
    /// Folded keys of `:is`, all asked at once.
    Equal(HashSet<String>),
    /// Folded keys of `:contains`, all searched at once.
    Contains(Box<AhoCorasick>),
    Globs(Vec<Glob>),
    Regexes(Vec<Pattern>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AddressPart {
    All,
    Local,
    Domain,
    User,
    Detail,
}

/// `:index`, from 1, and `:last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Index {
    pub at: u64,
    pub last: bool,
}

/// `:mime` and what goes with it.
#[derive(Debug)]
pub(super) struct Mime {
    pub anychild: bool,
    pub aspect: Aspect,
}

#[derive(Debug)]
pub(super) enum Aspect {
    Whole,
    Type,
    Subtype,
    ContentType,
    Parameters(Vec<Str>),
}

#[derive(Debug)]
pub(super) enum Zone {
    Local,
    Original,
    Given(Str),
}

#[derive(Debug)]
pub(super) enum Transform {
    Raw,
    Text,
    Content(Vec<Str>),
}

#[derive(Debug)]
pub(super) enum Test {
    /// Whether a value counts as true.
    Truth(Str),
    Callout(Callout),
    Header {
        names: Vec<Str>,
        matching: Matching,
        index: Option<Index>,
        mime: Option<Mime>,
    },
    Address {
        names: Vec<Str>,
        part: AddressPart,
        matching: Matching,
        index: Option<Index>,
        mime: Option<Mime>,
    },
    Envelope {
        parts: Vec<Str>,
        part: AddressPart,
        matching: Matching,
    },
    Exists {
        names: Vec<Str>,
        mime: Option<Mime>,
    },
    Size {
        over: bool,
        limit: u64,
    },
    String {
        sources: Vec<Str>,
        matching: Matching,
    },
    HasFlag {
        variables: Option<Vec<Slot>>,
        matching: Matching,
    },
    Body {
        transform: Transform,
        matching: Matching,
    },
    Date {
        field: Str,
        zone: Zone,
        part: Str,
        matching: Matching,
        index: Option<Index>,
    },
    CurrentDate {
        zone: Zone,
        part: Str,
        matching: Matching,
    },
    Environment {
        item: Str,
        matching: Matching,
    },
    Spam {
        percent: bool,
        matching: Matching,
    },
    Virus {
        matching: Matching,
    },
    Duplicate {
        handle: Str,
        source: DuplicateId,
        seconds: Option<u64>,
        last: bool,
    },
    MailboxExists {
        names: Vec<Str>,
    },
    Metadata {
        mailbox: Option<Str>,
        annotation: Str,
        matching: Matching,
    },
    MetadataExists {
        mailbox: Option<Str>,
        annotations: Vec<Str>,
    },
    SpecialUseExists {
        mailbox: Option<Str>,
        flags: Vec<Str>,
    },
    MailboxIdExists {
        ids: Vec<Str>,
    },
    ValidNotifyMethod {
        uris: Vec<Str>,
    },
    NotifyCapability {
        uri: Str,
        capability: Str,
        matching: Matching,
    },
    ValidList {
        uris: Vec<Str>,
    },
}

impl Test {
    /// Keys and comparator of a test of header, addresses, envelope or body.
    pub fn matching(&self) -> Option<&Matching> {
        match self {
            Test::Header { matching, .. }
            | Test::Address { matching, .. }
            | Test::Envelope { matching, .. }
            | Test::Body { matching, .. } => Some(matching),
            _ => None,
        }
    }

    /// The same, to be told what is shared.
    pub fn matching_mut(&mut self) -> Option<&mut Matching> {
        match self {
            Test::Header { matching, .. }
            | Test::Address { matching, .. }
            | Test::Envelope { matching, .. }
            | Test::Body { matching, .. } => Some(matching),
            _ => None,
        }
    }

    /// Such a test for the trace.
    pub fn what(&self) -> What<'_> {
        match self {
            Test::Header { names, .. } => What("header", names),
            Test::Address { names, .. } => What("address", names),
            Test::Envelope { parts, .. } => What("envelope", parts),
            _ => What("body", &[]),
        }
    }
}

#[derive(Debug)]
pub(super) enum DuplicateId {
    MessageId,
    Header(Str),
    Unique(Str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlagChange {
    Set,
    Add,
    Remove,
}

/// A modifier of `set`, the one applied first being the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modifier {
    Lower,
    Upper,
    LowerFirst,
    UpperFirst,
    QuoteWildcard,
    QuoteRegex,
    EncodeUrl,
    Length,
}

/// `:fcc` with its own arguments.
#[derive(Debug)]
pub(super) struct Fcc {
    pub mailbox: Str,
    pub create: bool,
    pub flags: Option<Vec<Str>>,
    pub specialuse: Option<Str>,
    pub mailboxid: Option<Str>,
}

#[derive(Debug)]
pub(super) enum Target {
    Address(Str),
    List(Str),
}

#[derive(Debug)]
pub(super) struct Redirect {
    pub target: Target,
    pub copy: bool,
    /// The strings as written, and whether they were a list.
    pub notify: Option<(Vec<Str>, bool)>,
    pub ret: Option<Str>,
    pub by_time: Option<ByTime>,
    pub by_mode: Option<Str>,
    pub by_trace: bool,
    pub resent: Option<bool>,
    /// Whether the owner becomes the envelope sender.
    pub reset_from: Option<bool>,
}

#[derive(Debug)]
pub(super) enum ByTime {
    Relative(u64),
    Absolute(Str),
}

#[derive(Debug)]
pub(super) struct Vacation {
    pub period: Option<Period>,
    pub subject: Option<Str>,
    pub from: Option<Str>,
    pub addresses: Vec<Str>,
    pub mime: bool,
    pub handle: Option<Str>,
    pub reply: bool,
    pub echo: bool,
    pub reason: Str,
    pub fcc: Option<Fcc>,
    /// What the reply is remembered by where there is no `:handle`: its parameters as written.
    pub fingerprint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Days(u64),
    Hours(u64),
    Seconds(u64),
}

#[derive(Debug)]
pub(super) enum Act {
    Assign {
        slot: Slot,
        value: Str,
    },
    Callout(Callout),
    Keep {
        flags: Option<Vec<Str>>,
    },
    FileInto {
        mailbox: Str,
        copy: bool,
        create: bool,
        flags: Option<Vec<Str>>,
        specialuse: Option<Str>,
        mailboxid: Option<Str>,
    },
    Redirect(Redirect),
    Discard,
    Reject {
        reason: Str,
        extended: bool,
    },
    Set {
        slot: Slot,
        modifiers: Vec<Modifier>,
        value: Str,
    },
    ChangeFlags {
        change: FlagChange,
        variable: Option<Slot>,
        flags: Vec<Str>,
    },
    Vacation(Vacation),
    AddHeader {
        last: bool,
        name: Str,
        value: Str,
    },
    DeleteHeader {
        index: Option<Index>,
        name: Str,
        matching: Option<Matching>,
    },
    ReplaceHeader {
        index: Option<Index>,
        name: Str,
        matching: Option<Matching>,
        new_name: Option<Str>,
        new_value: Option<Str>,
    },
    Notify {
        from: Option<Str>,
        importance: Option<Str>,
        options: Vec<Str>,
        message: Option<Str>,
        method: Str,
        fcc: Option<Fcc>,
    },
    ExtractText {
        first: Option<u64>,
        slot: Slot,
        modifiers: Vec<Modifier>,
    },
    Replace {
        mime: bool,
        subject: Option<Str>,
        from: Option<Str>,
        text: Str,
    },
    Enclose {
        subject: Option<Str>,
        headers: Vec<Str>,
        text: Str,
    },
    /// The product's own actions that only leave a mark on the outcome.
    Private {
        action: Private,
        strings: Vec<Str>,
        number: Option<u64>,
    },
}

/// A call of memcache or MeterMaid.
#[derive(Debug)]
pub(super) struct Callout {
    pub memcache: bool,
    pub operation: &'static str,
    pub server: Server,
    /// What is put before a memcache key, or the MeterMaid table.
    pub prefix: Option<Str>,
    pub key: Str,
    pub rest: Vec<Str>,
    pub timeout: Option<u64>,
    pub penalize: bool,
    /// Whether `${0}` becomes the value.
    pub captures: bool,
}

/// Where to call; empty for the site's server.
#[derive(Debug)]
pub(super) struct Server {
    pub hosts: Vec<Str>,
    pub port: Option<u64>,
    pub secret: Option<Str>,
}

/// The product's own actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Private {
    Jettison,
    AddTag,
    AddPrefix,
    AddSuffix,
    SpamAdjust,
    VirusSet,
    CaptureDsn,
    CaptureMessage,
    CaptureJournal,
    Hold,
    AddConversionTag,
    SetConversionTag,
    RemoveConversionTag,
    NoVacation,
    SetEnvelopeFrom,
    SetNotify,
    SetRet,
    SetMtPriority,
    TransactionLog,
    AdjustCounter,
    Refuse,
}

#[derive(Debug)]
pub(super) struct Include {
    /// `personal/name` or `global/name`.
    pub name: Arc<str>,
    /// Index in [`Program::scripts`]; `None` where there is no such script.
    pub script: Option<usize>,
    pub once: bool,
    pub optional: bool,
}
