//! Site policy: syntax trees to one [`Program`], run by one [`Machine`], to a verdict.
//!
//! Pure: no input or output, no clock, no threads, no async. The machine runs until it is done or needs
//! the outside world; then it returns [`Step::Ask`] and goes on with [`Machine::answer`]. So the same
//! program runs in the server, in a test tool with canned answers, in a fuzzer, and can be replayed.
//!
//! The crate never learns what SMTP is: it sees probes, addresses, messages and facts.

// Nothing that is read may end the process: a wrong input is an error that says so.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]

pub mod address;
pub mod alias;
pub mod ask;
pub mod channel;
mod dispatcher;
pub mod forward;
pub mod machine;
pub mod mapping;
pub mod message;
pub mod options;
pub mod pattern;
pub mod pattern_set;
pub mod program;
pub mod reverse;
pub mod rewrite;
pub mod sieve;
pub mod site;
pub mod spelling;
mod style;
pub mod trace;

pub use ask::{Answer, Ask, Effect, Read};
pub use machine::{Facts, Limits, Machine, Outcome, RunError, Step};
pub use trace::{Kind, Trace};
