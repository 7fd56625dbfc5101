//! The harness of the end-to-end tests: real servers on temporary sites, and peers to talk to them.
//!
//! - [`Site`]: a site folder of its own, made from the relay-blocking example; tools run on it.
//! - [`Server`]: `sluice up` on a site, as a process; ended when dropped, whatever a test did.
//! - [`Client`]: an SMTP client that shows every octet; it can come from any loopback address, so that
//!   127.0.0.1 is internal and 127.0.0.2 a stranger.
//! - [`Sink`]: the next hop, which answers as a test tells it to.
//! - [`until`]: waits for a condition, never for a time.
//!
//! Every wait has an end ([`PATIENCE`]): a test fails, it does not hang.

mod binary;
mod client;
mod server;
mod sink;
mod site;
mod wait;

pub use binary::sluice;
pub use client::{Client, Reply, base64};
pub use server::Server;
pub use sink::{Answers, Received, Sink};
pub use site::{Ran, Site, Template};
pub use wait::{PATIENCE, until, until_within};
