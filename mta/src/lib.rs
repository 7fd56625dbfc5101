//! Everything that moves: listeners, sessions, the queue runner, channels, directory, callouts, logs.
//!
//! This crate alone opens sockets and files other than the spool's. It never parses a template and never
//! decides by itself: it builds probes, asks the policy program, and does what the answer says.

pub mod directory;
pub mod dns;
pub mod dsn;
pub mod log;
pub mod memcache_url;
pub mod metermaid;
pub mod sasl;
pub mod smtp;
pub mod tls;
