//! `cargo +nightly fuzz run address`; what it checks: `sluice_fuzz::targets::address`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sluice_fuzz::targets::address(octets));
