//! End to end: a real server, real sockets, real files.

mod auth;
mod delivery;
mod relay;
mod trace;
