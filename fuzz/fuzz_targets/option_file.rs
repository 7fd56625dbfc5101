//! `cargo +nightly fuzz run option_file`; what it checks: `sluice_fuzz::targets::option_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sluice_fuzz::targets::option_file(octets));
