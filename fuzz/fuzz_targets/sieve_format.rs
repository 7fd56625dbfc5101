//! `cargo +nightly fuzz run sieve_format`; what it checks: `sluice_fuzz::targets::sieve_format`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sluice_fuzz::targets::sieve_format(octets));
