//! End to end: a real server, real sockets, real files.

mod auth;
mod bodies;
mod certificate;
mod crash;
mod delivery;
mod effects;
mod examples;
mod expiry;
mod headers;
mod hostile;
mod includes;
mod notifications;
mod privileges;
mod readdress;
mod refused;
mod relay;
mod reload;
mod scripts;
mod sending;
mod tools;
mod trace;
mod troubles;
