//! `cargo +nightly fuzz run imta_cnf`; what it checks: `sluice_fuzz::targets::imta_cnf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| sluice_fuzz::targets::imta_cnf(octets));
