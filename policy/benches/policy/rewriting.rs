//! Addresses through rewrite rules.

use std::fmt::Write as _;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use policy::rewrite::{Request, Rewritten};
use policy::site::{Texts, load};
use policy::{Answer, Ask, Facts, Limits, Machine, Outcome, Read, Step};

use crate::example::site;

const ADDRESSES: &[&str] = &[
    "alice@example.com",
    "alice@mail.example.com",
    "alice",
    "bob+lists@example.com",
    "someone@other.example",
    "a.long.name@deep.sub.domain.other.example",
    "x%other.example@example.com",
    "@example.com:x@other.example",
    "other.example!x@example.com",
    "\"x y\"@example.com",
    "a@host.example.com",
    "a@[192.0.2.1]",
    "alice@ims-ms-daemon",
];

fn rewrite(machine: &mut Machine, address: &str) -> Rewritten {
    machine.start_rewrite(Request {
        address: address.to_string(),
        envelope: true,
        forward: true,
        source_channel: "tcp_local".to_string(),
        ..Request::default()
    });
    loop {
        match machine.step(&Facts { now: 0, seed: 1 }) {
            Step::Done(Ok(Outcome::Address(result))) => return result,
            Step::Ask(asks) => {
                let answer = |ask: &Ask| match ask {
                    Ask::Read(Read::DomainIsLocal { domain }) if domain == "example.com" => {
                        Answer::Found(String::new())
                    }
                    _ => Answer::NotFound,
                };
                machine
                    .answer(asks.iter().map(answer).collect())
                    .expect("one answer each");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The rules of `examples/relay`; whether a domain is served here is answered at once.
#[divan::bench(args = ADDRESSES)]
fn example(bencher: Bencher, address: &str) {
    let mut machine = Machine::new(Arc::clone(&site().program), Limits::default());
    assert!(rewrite(&mut machine, address).channel.is_some());
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| rewrite(&mut machine, divan::black_box(address)));
}

/// All of those, one after another.
#[divan::bench]
fn example_mixed(bencher: Bencher) {
    let mut machine = Machine::new(Arc::clone(&site().program), Limits::default());
    let mut turn = ADDRESSES.iter().cycle();
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| rewrite(&mut machine, turn.next().unwrap_or(&"x")));
}

/// 50,000 domains with a rule each; another one at each rewriting.
#[divan::bench]
fn hosted_domains_50_000(bencher: Bencher) {
    let mut imta = String::new();
    for n in 0..50_000 {
        writeln!(imta, "dom{n}.example  $U%$D@l-daemon").expect("writing to a string");
    }
    imta.push_str(".  $U%$H@tcp_local-daemon\n\nl\nl-daemon\n\ntcp_local smtp\ntcp_local-daemon\n");
    let texts = Texts {
        imta: Some(("imta.cnf".into(), imta)),
        ..Texts::default()
    };
    let site = load(&texts, &|_: &str| Err("no includes".to_string())).expect("the rules load");
    let mut machine = Machine::new(Arc::clone(&site.program), Limits::default());
    let addresses: Vec<String> = (0..4096usize)
        .map(|n| format!("user@dom{}.example", n * 7919 % 50_000))
        .collect();
    for address in &addresses {
        assert_eq!(rewrite(&mut machine, address).channel.as_deref(), Some("l"));
    }
    let mut turn = addresses.iter().cycle();
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| rewrite(&mut machine, turn.next().map_or("x", |a| a)));
}
