//! Durability and nothing else: the queue's spool, small durable state, mailboxes.
//!
//! Rule of the house: nothing is acknowledged before it is on stable storage. Every file call goes
//! through [`disk`], whose simulated twin loses what was not synced, so the crash tests can stop the
//! world at every write and every sync.

pub mod disk;
pub mod envelope;
pub mod maildir;
pub mod memory;
pub mod spool;
