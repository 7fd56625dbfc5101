//! What the fuzz targets run. Each function takes any octets; it must not panic, hang or grow, and what
//! it asserts must hold.
//!
//! `targets` needs no fuzzer: `policy/tests/fuzz_replay.rs` includes it and runs it on stable.

pub mod smtp;
pub mod targets;
