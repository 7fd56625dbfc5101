//! `cargo +nightly fuzz run mapping_file`; what it checks: `sluice_fuzz::targets::mapping_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sluice_fuzz::targets::mapping_file(octets));
