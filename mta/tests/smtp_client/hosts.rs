//! Which host is tried, and what it means that none takes the mail.

use std::sync::Arc;

use mta::dns::Canned;
use mta::dns::route::{MxUse, Rules};
use mta::smtp::client::Unguarded;
use mta::smtp::client::guard::{Candidate, Guard, Secured, TlsRefusal, Way};
use mta::smtp::client::reach::{Destination, reach};

use crate::server::*;

#[tokio::test]
async fn hosts_are_tried_in_order() {
    let good = Server::start(vec![hello(&[])]).await;
    let port = good.address.port();
    let zone = || {
        Canned::default()
            .with_mx("x.test", 20, "good.test")
            .with_mx("x.test", 10, "nowhere.test")
            .with_mx("x.test", 15, "dead.test")
            // Nothing listens on this loopback address: the server has its port on 127.0.0.1 only.
            .with_address("dead.test", [127, 0, 0, 2].into())
            .with_address("good.test", [127, 0, 0, 1].into())
            .with_mx("dead-only.test", 10, "dead.test")
            .with_mx("null.test", 0, ".")
            .failing("broken.test")
    };
    let rules = Rules {
        mx: MxUse::Received,
        own_names: &[],
    };
    type Case = (
        &'static str,
        &'static str,
        Option<&'static str>,
        Result<&'static str, (&'static str, bool)>,
    );
    let cases: [Case; 8] = [
        ("third host", "x.test", None, Ok("good.test")),
        ("literal", "[127.0.0.1]", None, Ok("[127.0.0.1]")),
        (
            "connect failures are temporary",
            "dead-only.test",
            None,
            Err(("4.4.1", false)),
        ),
        (
            "last resort",
            "dead-only.test",
            Some("good.test"),
            Ok("good.test"),
        ),
        (
            "last resort after a server failure",
            "broken.test",
            Some("good.test"),
            Ok("good.test"),
        ),
        (
            "null MX overrides the last resort",
            "null.test",
            Some("good.test"),
            Err(("5.1.10", true)),
        ),
        ("no such domain", "nobody.test", None, Err(("5.1.2", true))),
        ("server failure", "broken.test", None, Err(("4.4.3", false))),
    ];
    for (name, destination, last_resort, expected) in cases {
        let destination = Destination {
            name: destination,
            port,
            last_resort,
        };
        let got = reach(
            &destination,
            &rules,
            &zone(),
            &Arc::new(options()),
            &mut Unguarded,
        )
        .await;
        let got = got
            .map(|c| c.target().host.clone())
            .map_err(|e| (e.failure.status, e.permanent));
        let expected = expected.map(String::from).map_err(|(s, p)| (s.to_string(), p));
        assert_eq!(got, expected, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_is_permanent_only_if_every_host_answered() {
    let no = Server::start(vec![vec![say("554 5.7.1 not you")]]).await;
    let port = no.address.port();
    let zone = Canned::default()
        .with_mx("all.test", 10, "no.test")
        .with_mx("some.test", 10, "dead.test")
        .with_mx("some.test", 20, "no.test")
        .with_address("no.test", [127, 0, 0, 1].into())
        .with_address("dead.test", [127, 0, 0, 2].into());
    let rules = Rules {
        mx: MxUse::Received,
        own_names: &[],
    };
    for (name, status, permanent) in [("all.test", "5.7.1", true), ("some.test", "4.7.1", false)] {
        let destination = Destination {
            name,
            port,
            last_resort: None,
        };
        let error = reach(&destination, &rules, &zone, &Arc::new(options()), &mut Unguarded)
            .await
            .err()
            .unwrap();
        assert_eq!(
            (error.failure.status.as_str(), error.permanent),
            (status, permanent),
            "{name}"
        );
        assert_eq!(error.failure.remote, "no.test", "{name}");
    }
}

/// Says one thing of each address.
#[derive(Default)]
struct Says(Vec<(&'static str, Way)>, Vec<String>);

impl Guard for Says {
    async fn before_connect(&mut self, candidate: &Candidate<'_>) -> Way {
        let Candidate {
            current,
            count,
            address,
            host,
        } = candidate;
        self.1.push(format!("{current}/{count} {address} {host}"));
        let found = self.0.iter().find(|(a, _)| *a == address.to_string());
        found.map_or(Way::Go, |(_, way)| way.clone())
    }

    async fn tls_started(&mut self, _: &Secured<'_>) -> Result<(), TlsRefusal> {
        Ok(())
    }
}

#[tokio::test]
async fn a_guard_says_which_addresses_are_connected_to() {
    let good = Server::start(vec![hello(&[])]).await;
    let port = good.address.port();
    let zone = Canned::default()
        .with_mx("x.test", 10, "two.test")
        .with_mx("x.test", 20, "three.test")
        .with_address("two.test", [127, 0, 0, 2].into())
        .with_address("two.test", [127, 0, 0, 1].into())
        .with_address("three.test", [127, 0, 0, 3].into());
    let rules = Rules {
        mx: MxUse::Received,
        own_names: &[],
    };
    let here = || Way::Instead([127, 0, 0, 1].into());
    let skip = || Way::Skip("not there".into());
    type Case = (
        &'static str,
        Vec<(&'static str, Way)>,
        Result<&'static str, (&'static str, bool, Option<&'static str>)>,
        Vec<&'static str>,
    );
    let first = "1/2 127.0.0.2 two.test";
    let second = "2/2 127.0.0.1 two.test";
    let third = "1/1 127.0.0.3 three.test";
    let cases: [Case; 5] = [
        ("nothing said", vec![], Ok("two.test"), vec![first, second]),
        (
            "replaced",
            vec![("127.0.0.2", here())],
            Ok("two.test"),
            vec![first],
        ),
        (
            "all skipped",
            vec![
                ("127.0.0.1", skip()),
                ("127.0.0.2", skip()),
                ("127.0.0.3", skip()),
            ],
            Err(("4.4.1", false, None)),
            vec![first, second, third],
        ),
        (
            "refused: no other host is tried, nor the last resort",
            vec![("127.0.0.2", Way::Refuse("private".into()))],
            Err(("5.1.2", true, Some("private"))),
            vec![first],
        ),
        (
            "the one that works is skipped",
            vec![("127.0.0.1", skip())],
            Err(("4.4.1", false, None)),
            vec![first, second, third],
        ),
    ];
    for (name, says, expected, asked) in cases {
        let refused = name.starts_with("refused");
        let destination = Destination {
            name: "x.test",
            port,
            last_resort: refused.then_some("[127.0.0.1]"),
        };
        let mut guard = Says(says, Vec::new());
        let got = reach(&destination, &rules, &zone, &Arc::new(options()), &mut guard).await;
        let got = got
            .map(|c| {
                let diagnostic = c.log_diagnostic("250 ok", false, false);
                let replaced = diagnostic.contains("(127.0.0.1 in place of 127.0.0.2)");
                assert_eq!(replaced, name == "replaced", "{name}: {diagnostic}");
                c.target().host.clone()
            })
            .map_err(|e| (e.failure.status, e.permanent, e.refused));
        let expected = expected
            .map(String::from)
            .map_err(|(s, p, r)| (s.to_string(), p, r.map(String::from)));
        assert_eq!(got, expected, "{name}");
        assert_eq!(guard.1, asked, "{name}");
    }
}
