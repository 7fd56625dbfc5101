//! `cargo +nightly fuzz run smtp_command`; what it checks: `sluice_fuzz::smtp::command`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sluice_fuzz::smtp::command(octets));
