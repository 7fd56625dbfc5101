//! Text to syntax trees: the languages an administrator or a Sieve author writes, parsed with spans.
//!
//! Everything here is pure: text in, trees and [`Diagnostic`]s out. Included files come through a
//! [`Reader`] that the caller supplies, so a server, a linter, a test and an editor share this code.
//! Parsers never stop at the first error: they report all of them.

pub mod aliases;
pub mod diagnostic;
pub mod imta;
pub mod lines;
pub mod mapping;
pub mod options;
pub mod sieve;
pub mod source;

pub use diagnostic::{Diagnostic, Severity};
pub use source::{FileId, Reader, Sources, Span};
