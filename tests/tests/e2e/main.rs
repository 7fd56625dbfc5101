//! End to end: a real server, real sockets, real files.

mod auth;
mod crash;
mod delivery;
mod relay;
mod reload;
mod trace;
