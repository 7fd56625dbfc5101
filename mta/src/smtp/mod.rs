//! SMTP: the server's protocol machine and session, and the client.

pub mod client;
pub mod command;
pub mod listener;
pub mod protocol;
pub mod session;
pub mod wire;
