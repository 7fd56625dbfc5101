//! The tables of `examples/relay` as every recipient meets them.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use policy::site::{Site, Texts, load};

use crate::tables::Lookup;

/// The example site.
pub fn site() -> Site {
    let read = |name: &str| {
        let path = format!("{}/../examples/relay/{name}", env!("CARGO_MANIFEST_DIR"));
        Some((
            name.to_string(),
            std::fs::read_to_string(path).expect("an example file"),
        ))
    };
    let texts = Texts {
        imta: read("imta.cnf"),
        mappings: read("mappings"),
        host: Some("mail.example.com".into()),
        default_domain: Some("example.com".into()),
        ..Texts::default()
    };
    load(&texts, &|_: &str| Err("no includes".to_string())).expect("the example loads")
}

/// Name, table, probe, entries that match.
const PROBES: &[(&str, &str, &str, u32)] = &[
    ("INTERNAL_IP: a client outside", "INTERNAL_IP", "192.0.2.7", 1),
    ("INTERNAL_IP: a client inside", "INTERNAL_IP", "127.0.0.1", 1),
    (
        "ORIG_SEND_ACCESS: outside to outside, refused",
        "ORIG_SEND_ACCESS",
        "tcp_local|sender@remote.example|tcp_local|someone@other.example",
        1,
    ),
    (
        "ORIG_SEND_ACCESS: inside to outside",
        "ORIG_SEND_ACCESS",
        "tcp_intranet|alice@example.com|tcp_local|someone@other.example",
        0,
    ),
    (
        "ORIG_SEND_ACCESS: outside to a local user",
        "ORIG_SEND_ACCESS",
        "tcp_local|sender@remote.example|l|alice@example.com",
        0,
    ),
];

#[derive(Clone, Copy)]
struct Probe(usize);

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(PROBES[self.0].0)
    }
}

#[divan::bench(args = (0..PROBES.len()).map(Probe))]
fn default_tables(bencher: Bencher, probe: Probe) {
    let (_, table, subject, matched) = PROBES[probe.0];
    let mut lookup = Lookup::new(Arc::clone(&site().program), table);
    assert_eq!(lookup.run(subject), matched);
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| lookup.run(divan::black_box(subject)));
}
