//! Text to syntax trees: the languages an administrator or a Sieve author writes, parsed with spans.
//!
//! Everything here is pure: text in, trees and [`Diagnostic`]s out. Included files come through a
//! [`Reader`] that the caller supplies, so a server, a linter, a test and an editor share this code.
//! Parsers never stop at the first error: they report all of them.

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

pub mod aliases;
pub mod diagnostic;
pub mod imta;
pub mod lines;
mod macros;
pub mod mapping;
pub mod options;
pub mod sieve;
pub mod source;

pub use diagnostic::{Diagnostic, Severity};
pub use source::{FileId, Reader, Sources, Span};
