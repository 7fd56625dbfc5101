//! `cargo +nightly fuzz run aliases`; what it checks: `sluice_fuzz::targets::aliases`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sluice_fuzz::targets::aliases(octets));
