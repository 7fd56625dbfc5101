//! Everything that moves: listeners, sessions, the queue runner, channels, directory, callouts, logs.
//!
//! This crate alone opens sockets and files other than the spool's. It never parses a template and never
//! decides by itself: it builds probes, asks the policy program, and does what the answer says.

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

pub mod access;
mod afterwards;
pub mod callout;
pub mod capture;
pub mod configuration;
pub mod control;
pub mod directory;
pub mod dns;
pub mod dsn;
pub mod evaluate;
pub mod explain;
pub mod files;
pub mod filter;
pub mod journal;
pub mod letter;
pub mod log;
pub mod login;
pub mod managesieve;
pub mod memcache_url;
pub mod metermaid;
pub mod notice;
pub mod notification;
pub mod queue;
pub mod sasl;
pub mod server;
pub mod smtp;
pub mod tls;
pub mod transaction;
pub mod up;
pub mod vacation;
