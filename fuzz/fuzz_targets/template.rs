//! `cargo +nightly fuzz run template`; what it checks: `sluice_fuzz::targets::template`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sluice_fuzz::targets::template(octets));
