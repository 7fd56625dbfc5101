//! End to end: a real server, real sockets, real files.

mod relay;
mod trace;
