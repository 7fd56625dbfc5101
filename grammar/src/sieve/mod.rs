//! Sieve scripts (RFC 5228): text to syntax tree.
//!
//! [`parse`] reads the *generic* grammar: commands, tests, blocks, arguments. It does not know which
//! commands exist; the compiler's command tables do, so a script may hold commands of extensions that this
//! build has never heard of (`ihave` needs that).
//!
//! The product's expressions, assignments among them, are read here too; an assignment is a command named
//! [`ASSIGNMENT`], a condition that is an expression a test named [`CONDITION`].
//!
//! Guarantees: every syntax error of a script is reported in one run (up to [`MAX_ERRORS`]), each at the
//! word with a way to mend it; a tree comes back in any case; no text overflows the stack, since nesting
//! is measured before the recursive grammar runs.
//!
//! Limits: [`MAX_SCRIPT`] bytes, [`MAX_NESTING`] nested blocks and tests, numbers below 2^63.

mod ast;
mod build;
mod expression;
mod format;
mod scan;

pub use ast::{Argument, Block, Command, Expression, Script, Step, Test, Tests, Text, Word};
pub use build::{MAX_ERRORS, MAX_SCRIPT, parse};
pub use expression::{ASSIGNMENT, CONDITION};
pub use format::{FormatError, WIDTH, format};
pub use scan::MAX_NESTING;
