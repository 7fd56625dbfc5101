//! Sieve (RFC 5228 and its extensions): compiled to flat programs, run by the policy machine.
//!
//! [`compile`] checks a script against one table of commands and reports every error at once, each at its
//! word with a way to mend it. A [`Program`] is a list of instructions; a run of it is one frame of the
//! [`Machine`](crate::Machine), begun with [`Machine::start_sieve`](crate::Machine::start_sieve) on a
//! [`Request`], and comes to a [`SieveOutcome`]: actions, each with the header it was taken with.
//!
//! Guarantees: a script ends, whatever it and the message hold (fuel, memory and the limits below); nothing
//! recurses on input; an error while running leaves the implicit keep alone, with the place in the script.
//!
//! Refuses: private extensions of other products, back references in `:regex`.
//!
//! Limits: [`ActionLimits`] (the MTA options `MAX_*`), [`MAX_VARIABLE_NAME`], [`MAX_INCLUDE_DEPTH`],
//! [`MAX_FLAGS`], [`MAX_LIST_LOOKUPS`], and those of [`grammar::sieve`] and [`crate::message::mime`].

mod adopt;
mod blocks;
mod callout;
mod capability;
mod check;
mod compare;
mod compile;
mod deliver;
mod edits;
mod encode;
mod evaluate;
mod expression;
mod filter_result;
mod forms;
mod frame;
mod levels;
mod listing;
mod lower;
mod matching;
mod outcome;
mod pattern;
mod perform;
mod private;
mod program;
mod request;
mod source;
mod spam;
mod text;
mod uri;
mod vacation;
mod values;

pub use capability::{CAPABILITIES, PRIVATE};
pub use compile::{MAX_INSTRUCTIONS, MAX_SCRIPTS, compile};
pub use filter_result::HeaderEdit;
pub(crate) use frame::Frame;
pub use frame::{MAX_INCLUDE_DEPTH, MAX_PASSES};
pub use levels::{LevelResult, Merged, merge};
pub use matching::MAX_LIST_LOOKUPS;
pub use outcome::{Action, Fault, Fcc, Performed, Remember, SieveOutcome, Verdict, Written};
pub use pattern::MAX_PATTERN_BYTES;
pub use perform::MAX_FLAGS;
pub use program::Program;
pub use request::{Envelope, Level, Request};
pub use spam::Spam;
pub use uri::decode as percent_decoded;

/// Characters in the name of a variable at most.
pub const MAX_VARIABLE_NAME: usize = 64;

/// Which rules of the product apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The MTA's own evaluation.
    #[default]
    Oms,
    /// The RFCs to the letter, as test suites expect.
    Strict,
}

/// Where an included script is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The user's own scripts.
    Personal,
    /// The site's.
    Global,
}

impl Place {
    /// `personal` or `global`.
    pub fn word(self) -> &'static str {
        match self {
            Place::Personal => "personal",
            Place::Global => "global",
        }
    }
}

/// Finds scripts to include.
pub trait Library {
    /// The text of a script; `None` where there is none of this name, or why it cannot be read.
    fn script(&self, place: Place, name: &str) -> Result<Option<String>, String>;
}

/// A library without scripts.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLibrary;

impl Library for NoLibrary {
    fn script(&self, _: Place, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }
}

/// What the compiler has to know of the site.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rules.
    pub mode: Mode,
    /// Capabilities that are not offered here, as by `ENABLE_SIEVE_BODY`.
    pub forbidden: Vec<String>,
    /// Limits that the compiler can check.
    pub limits: ActionLimits,
    /// Schemes of notification methods, in lower case.
    pub notify_methods: Vec<String>,
    /// Everything that a build has may be used without `require`, which changes how strings are read, too:
    /// variables and encoded characters are put in. For trying a line, never for mail.
    pub all_capabilities: bool,
    /// The script was glued from pieces, so that `require` may stand between them (specification B1.2).
    pub glued: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: Mode::Oms,
            forbidden: Vec::new(),
            limits: ActionLimits::default(),
            notify_methods: vec!["mailto".to_owned()],
            all_capabilities: false,
            glued: false,
        }
    }
}

/// The MTA options that bound what one script may do. Actions are counted after duplicates are removed;
/// 0 allows none. Those marked *user* do not bind scripts of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionLimits {
    /// `MAX_FILEINTOS`, user.
    pub max_fileintos: usize,
    /// `MAX_REDIRECTS` or `MAX_FORWARDS`, user; members of lists count.
    pub max_redirects: usize,
    /// `MAX_ADDHEADERS`, user.
    pub max_addheaders: usize,
    /// `MAX_NOTIFYS`.
    pub max_notifys: usize,
    /// `MAX_VACATIONS`; 0 switches the extension off.
    pub max_vacations: usize,
    /// `MAX_DUPLICATES`: different duplicate tests.
    pub max_duplicates: usize,
    /// `MAX_SIEVE_LIST_SIZE`: strings in a list.
    pub max_sieve_list_size: usize,
    /// `MAX_VARIABLES`: variables of one script.
    pub max_variables: usize,
    /// Characters that a variable holds; longer values are cut off.
    pub max_value: usize,
    /// `AUTOREPLY_TIMEOUT_DEFAULT`, in seconds: between two replies where a vacation says nothing.
    pub vacation_default: u64,
    /// `VACATION_MINIMUM_TIMEOUT`, in seconds.
    pub vacation_minimum: u64,
}

impl ActionLimits {
    /// Those that the options of a site set; the others as they are by default.
    pub fn of_site(options: &crate::options::Options) -> Self {
        let own = ActionLimits::default();
        let count = |name: &str, default: usize| {
            let default_value = i64::try_from(default).unwrap_or(i64::MAX);
            usize::try_from(options.number(name, default_value)).unwrap_or(default)
        };
        let seconds = |name: &str, unit: u64, default: u64| {
            let value = options.get(name).map(|_| options.number(name, 0));
            value
                .and_then(|v| u64::try_from(v).ok())
                .map_or(default, |v| v.saturating_mul(unit))
        };
        ActionLimits {
            max_fileintos: count("MAX_FILEINTOS", own.max_fileintos),
            max_redirects: count("MAX_REDIRECTS", count("MAX_FORWARDS", own.max_redirects)),
            max_addheaders: count("MAX_ADDHEADERS", own.max_addheaders),
            max_notifys: count("MAX_NOTIFYS", own.max_notifys),
            max_vacations: count("MAX_VACATIONS", own.max_vacations),
            max_duplicates: count("MAX_DUPLICATES", own.max_duplicates),
            max_sieve_list_size: count("MAX_SIEVE_LIST_SIZE", own.max_sieve_list_size),
            max_variables: count("MAX_VARIABLES", own.max_variables),
            vacation_default: seconds("AUTOREPLY_TIMEOUT_DEFAULT", 3600, own.vacation_default),
            vacation_minimum: seconds("VACATION_MINIMUM_TIMEOUT", 1, own.vacation_minimum),
            ..own
        }
    }

    /// The defaults of [`Mode::Strict`]: one vacation a script.
    pub fn strict() -> Self {
        ActionLimits {
            max_vacations: 1,
            ..Self::default()
        }
    }
}

impl Default for ActionLimits {
    fn default() -> Self {
        ActionLimits {
            max_fileintos: 10,
            max_redirects: 32,
            max_addheaders: 15,
            max_notifys: 10,
            max_vacations: 2,
            max_duplicates: 10,
            max_sieve_list_size: 64,
            max_variables: 128,
            max_value: 4000,
            vacation_default: 168 * 3600,
            vacation_minimum: 0,
        }
    }
}
