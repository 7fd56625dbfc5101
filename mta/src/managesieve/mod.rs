//! ManageSieve (RFC 5804): users edit their Sieve scripts with their mail client.
//!
//! [`protocol`] is the wire without sockets, [`session`] answers its requests, [`scripts`] keeps the scripts.
//! A service of the dispatcher named `MANAGESIEVE` is served here; it has no channel.

pub mod protocol;
pub mod scripts;
pub mod session;
