//! Nobody outside may send to somebody outside, however the address is written.

use tests::{Server, Site, until};

/// What a stranger must be told.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// 550 5.7.1: policy.
    Relaying,
    /// 550 5.1.1: the address names nobody.
    NoSuchAddress,
    /// Either: what matters is that the address leads nowhere.
    Nowhere,
}
use Told::{NoSuchAddress, Nowhere, Relaying};

/// Ways to write an address that should lead to `other.example`, or into a channel behind policy's back.
const TRICKS: &[(&str, &str, Told)] = &[
    ("plain", "x@other.example", Relaying),
    ("percent hack", "x%other.example@example.com", Relaying),
    (
        "percent hack on the host name",
        "x%other.example@mail.example.com",
        Relaying,
    ),
    (
        "two percents",
        "x%other.example%example.com@example.com",
        Relaying,
    ),
    (
        "percent hack to an internal literal",
        "x%[127.0.0.1]@example.com",
        Nowhere,
    ),
    ("source route", "@example.com:x@other.example", Relaying),
    (
        "source route of two",
        "@example.com,@mail.example.com:x@other.example",
        Relaying,
    ),
    (
        "source route by a stranger",
        "@other.example:x@example.com",
        Relaying,
    ),
    (
        "source route and percent",
        "@example.com:x%other.example@example.com",
        Relaying,
    ),
    ("bang path", "other.example!x@example.com", Relaying),
    (
        "bang path of two",
        "example.com!other.example!x@example.com",
        Relaying,
    ),
    (
        "bang and percent",
        "other.example!x%other.example@example.com",
        Relaying,
    ),
    (
        "quoted local part",
        "\"x@other.example\"@example.com",
        NoSuchAddress,
    ),
    ("quoted percent", "\"x%other.example\"@example.com", Nowhere),
    (
        "quoted source route",
        "\"@example.com:x@other.example\"@example.com",
        NoSuchAddress,
    ),
    ("two at signs", "x@other.example@example.com", NoSuchAddress),
    ("at, then percent", "x@other.example%example.com", Nowhere),
    ("domain literal", "x@[192.0.2.1]", Relaying),
    (
        "domain literal behind percent",
        "x%[192.0.2.1]@example.com",
        Nowhere,
    ),
    ("loopback literal", "x@[127.0.0.1]", Nowhere),
    (
        "loopback literal of a relay",
        "x%other.example@[127.0.0.1]",
        Nowhere,
    ),
    ("IPv6 literal", "x@[IPv6:2001:db8::1]", Relaying),
    ("trailing dot", "x@other.example.", Nowhere),
    ("trailing dot here", "x%other.example@example.com.", Nowhere),
    ("capitals", "X@OTHER.EXAMPLE", Relaying),
    (
        "percent hack in capitals",
        "X%OTHER.EXAMPLE@EXAMPLE.COM",
        Relaying,
    ),
    ("store channel", "x@ims-ms-daemon", Nowhere),
    ("store channel, a user", "alice@ims-ms-daemon", Nowhere),
    (
        "store channel behind percent",
        "alice%ims-ms-daemon@example.com",
        Nowhere,
    ),
    ("subdomain of the store channel", "x@other.ims-ms-daemon", Nowhere),
    ("Internet channel", "x@tcp_local-daemon", Nowhere),
    (
        "Internet channel, with a target",
        "x%other.example@tcp_local-daemon",
        Nowhere,
    ),
    (
        "Internet channel, routed",
        "@tcp_local-daemon:x@other.example",
        Nowhere,
    ),
    ("its second name", "x%other.example@tcp-daemon", Nowhere),
    ("intranet channel", "x%other.example@tcp_intranet-daemon", Nowhere),
    ("process channel", "x%other.example@process-daemon", Nowhere),
    ("process by name", "x%other.example@process", Nowhere),
    (
        "process by host",
        "x%other.example@process.mail.example.com",
        Nowhere,
    ),
    ("reprocess channel", "x@other.example%reprocess-daemon", Nowhere),
    ("reprocess by name", "x%other.example@reprocess", Nowhere),
    ("bitbucket", "x%other.example@bitbucket-daemon", Nowhere),
    ("hold", "x%other.example@hold-daemon", Nowhere),
    ("UTF-8", "x@öther.example", Nowhere),
    ("UTF-8 percent", "x%öther.example@example.com", Nowhere),
    ("no domain", "x", NoSuchAddress),
    ("empty domain", "x@", Nowhere),
    ("only a domain", "@other.example", Nowhere),
    ("blank", "x y@other.example", Nowhere),
];

#[test]
fn strangers_cannot_relay_by_any_address() {
    let site = Site::new();
    let server = Server::start(&site);
    // two senders: an ordinary one, and the null sender of notifications
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let each = |from: &'static str| {
            let server = &server;
            scope.spawn(move || {
                let mut wrong = Vec::new();
                for (name, address, told) in TRICKS {
                    let mut client = server.outside();
                    client.hello();
                    client.say(&format!("MAIL FROM:<{from}> SMTPUTF8")).expect(250);
                    let reply = client.say(&format!("RCPT TO:<{address}>"));
                    let line = reply.line();
                    let relaying = line.starts_with("550 5.7.1");
                    let nowhere = (550..=559).contains(&reply.code) || reply.code == 501;
                    let right = match told {
                        Relaying => relaying,
                        NoSuchAddress => line.starts_with("550 5.1.1 "),
                        Nowhere => relaying || (nowhere && line.get(4..6) == Some("5.")),
                    };
                    if !right {
                        wrong.push(format!(
                            "{name}: from <{from}> to <{address}>: {line}, wanted {told:?}"
                        ));
                    }
                    // the refusal must stand when the client goes on as if there had been none
                    let data = client.say("DATA");
                    if data.code < 500 {
                        wrong.push(format!("{name}: DATA after the refusal: {}", data.line()));
                    }
                }
                wrong
            })
        };
        let senders = [
            each("sender@stranger.example"),
            each(""),
            each("alice@example.com"),
        ];
        senders
            .into_iter()
            .flat_map(|t| t.join().expect("a sender"))
            .collect()
    });
    assert!(
        wrong.is_empty(),
        "{} wrong answers:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(
        site.queue(),
        Vec::<serde_json::Value>::new(),
        "nothing was queued"
    );
}

#[test]
fn those_inside_may_send_out_and_strangers_may_send_in() {
    let site = Site::new();
    let server = Server::start(&site);
    site.imsimta(["qm", "stop", "tcp_local"]).expect(0);
    // to whom, and where it must be queued to: channel and host
    let inside = [
        ("x@other.example", "other.example"),
        ("x%other2.example@example.com", "other2.example"),
        ("@example.com:x@other3.example", "other3.example"),
        ("x@[192.0.2.1]", "[192.0.2.1]"),
    ];
    let mut client = server.inside();
    client.hello();
    for (to, host) in inside {
        client
            .mail("alice@example.com", &[to], "Subject: out\r\n\r\nout")
            .expect(250);
        let queue = site.queue();
        let entry = queue
            .iter()
            .find(|e| e["host"] == host)
            .unwrap_or_else(|| panic!("{to}: no {host} in {queue:?}"));
        assert_eq!(entry["channel"], "tcp_local", "{to}");
    }
    assert_eq!(site.queue().len(), inside.len());
    let mut stranger = server.outside();
    stranger.hello();
    stranger
        .mail(
            "x@other.example",
            &["alice@example.com", "postmaster@mail.example.com"],
            "Subject: in\r\n\r\nin",
        )
        .expect(250);
    // alice is postmaster, too: one recipient after expansion, one copy
    until("the mail to arrive", || {
        (!site.mail("alice").is_empty()).then_some(())
    });
    assert_eq!(site.mail("alice").len(), 1);
}
