//! Durability and nothing else: the queue's spool, small durable state, mailboxes.
//!
//! Rule of the house: nothing is acknowledged before it is on stable storage. Every file call of the spool and of
//! the mailboxes goes through [`disk`], whose simulated twin loses what was not synced, so the crash tests can stop
//! the world at every write and every sync. [`memory`] rests on a library that has such tests of its own.

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

pub mod disk;
pub mod envelope;
pub mod maildir;
pub mod memory;
pub mod spool;
