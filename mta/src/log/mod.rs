//! The transaction log: one line for every thing that happens to a message or a connection.
//!
//! - [`options`]: the `LOG_*` settings, typed.
//! - [`record`]: what an entry says, as a value that is cheap to build.
//! - [`describe`]: the texts of transport, source system and diagnostics.
//! - [`mod@write`]: an entry as a line, in the text (1 to 3), XML (4) and JSON (5, 6) formats.
//! - [`read`]: a line as an entry again, for tools and tests.
//! - [`probe`]: an entry as the probe of the `LOG_ACTION` mapping, and the meaning of its answer.
//! - [`mod@file`]: a writer of the files that never holds up mail; [`rotate`]: their rotation.
//!
//! Guarantees: an entry is one line whatever the data in it (no log injection: CR, LF and NUL never reach
//! the file); a full disk, a missing directory or a full buffer never fail a mail transaction, but are
//! counted and reported.
//!
//! Limits: the text formats 1 and 2 quote nothing, so a field with blanks in it can be taken apart in more
//! than one way (see [`read`]); formats 3 to 6 are exact. Nothing here sends to syslog: the options and the
//! answer of `LOG_ACTION` say what the caller has to send.
//!
//! Source: logging specification 1 to 6.
//!
//! ```
//! use mta::log::options::LogOptions;
//! use mta::log::record::{Action, Code, MessageRecord, Modifiers};
//!
//! let record = MessageRecord {
//!     time: jiff::civil::date(2007, 2, 16).at(14, 54, 13, 720_000_000),
//!     source_channel: "tcp_local".into(),
//!     destination_channel: "ims-ms".into(),
//!     code: Code::new(Action::Enqueue, Modifiers { esmtp: true, ..Modifiers::default() }),
//!     size: 1,
//!     sender: "adam@sesta.com".into(),
//!     original_recipient: "rfc822;marlowe@siroe.com".into(),
//!     recipient: "marlowe@ims-ms-daemon".into(),
//!     ..MessageRecord::default()
//! };
//! let mut line = String::new();
//! mta::log::write::message(&mut line, &record, &LogOptions::default());
//! assert_eq!(
//!     line,
//!     "16-Feb-2007 14:54:13.72 tcp_local    ims-ms       EE 1 adam@sesta.com \
//!      rfc822;marlowe@siroe.com marlowe@ims-ms-daemon"
//! );
//! ```

pub mod describe;
mod field;
pub mod file;
pub mod options;
pub mod probe;
pub mod read;
pub mod record;
pub mod rotate;
pub mod write;

#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod sequence_tests;
#[cfg(test)]
mod write_tests;
