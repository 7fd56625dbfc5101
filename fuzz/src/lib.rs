//! What the fuzz targets run. Each function takes any octets; it must not panic, hang or grow, and what
//! it asserts must hold.
//!
//! With a fuzzer: `cargo install cargo-fuzz`, then `cargo +nightly fuzz run pattern_match` for one target.
//! `targets` needs no fuzzer: `policy/tests/fuzz_replay.rs` includes it and runs it on stable.

pub mod smtp;
pub mod targets;
