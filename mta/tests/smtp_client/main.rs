//! The SMTP client against a server that follows a script, on a loopback port of its own.

mod content;
mod delivery;
mod greeting;
mod hosts;
mod lost;
mod parameters;
mod server;
mod tls;
