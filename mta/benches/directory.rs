//! The users file of a large site, and the check of a password.
//!
//! `cargo bench -p sluice-mta`; a part of it: `cargo bench -p sluice-mta -- look_up`.

use std::sync::atomic::{AtomicUsize, Ordering};

use divan::Bencher;
use divan::counter::ItemsCount;
use grammar::FileId;
use mta::directory::{Directory, Verifier};

/// Users of the file.
const USERS: usize = 100_000;

fn main() {
    divan::main();
}

/// A users file in the form in which it is written.
fn text() -> String {
    let secret = Verifier::derive("x", b"sixteen octets..", 4096)
        .expect("a verifier")
        .to_text();
    let mut text = "secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\ndomain: example.com\n".to_string();
    for n in 0..USERS {
        text +=
            &format!("user: user{n} mail=user{n}@example.com aliases=u.{n}@example.com password={secret}\n");
    }
    text
}

fn parse(text: &str) -> Directory {
    let (directory, _) = Directory::parse(FileId(0), text).expect("the users file");
    directory
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn parse_the_file(bencher: Bencher) {
    let text = text();
    bencher.counter(ItemsCount::new(USERS)).bench(|| parse(&text));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn write_the_file(bencher: Bencher) {
    let text = text();
    let directory = parse(&text);
    assert_eq!(directory.to_text(), text, "it is written as it was read");
    bencher
        .counter(ItemsCount::new(USERS))
        .bench(|| directory.to_text());
}

/// An address in capitals with a subaddress, another user each time.
#[divan::bench]
fn look_up_an_address(bencher: Bencher) {
    let directory = parse(&text());
    let next = AtomicUsize::new(0);
    bencher
        .with_inputs(|| {
            let n = next.fetch_add(7919, Ordering::Relaxed) % USERS;
            format!("USER{n}+x@example.com")
        })
        .bench_refs(|address| directory.by_address(address).is_some());
}

/// What a new password costs.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn make_a_verifier() -> Verifier {
    Verifier::new("pencil").expect("a verifier")
}

/// What a login by PLAIN costs.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn check_a_password(bencher: Bencher) {
    let verifier = Verifier::new("pencil").expect("a verifier");
    bencher.bench(|| verifier.verify(divan::black_box("pencil")));
}
