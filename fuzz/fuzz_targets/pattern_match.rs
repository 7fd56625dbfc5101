//! `cargo +nightly fuzz run pattern_match`; what it checks: `sluice_fuzz::targets::pattern_match`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sluice_fuzz::targets::pattern_match(octets));
