//! STARTTLS: offered, refused, broken, required.

use std::sync::Arc;

use mta::smtp::client::guard::{Candidate, Guard, Secured, TlsRefusal, Way};
use mta::smtp::client::{ClientOptions, Connection, Tls, Unguarded};
use mta::tls;

use crate::server::*;

fn verified_by_nobody() -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Arc::new(config)
}

#[tokio::test]
async fn start_tls() {
    let offered = || {
        script(
            &["STARTTLS"],
            vec![
                Hear("STARTTLS"),
                say("220 go"),
                Handshake,
                Hear("EHLO"),
                Say("250-x\r\n250 DSN\r\n".into()),
                Silence,
            ],
        )
    };
    let plain = || script(&[], vec![Silence]);
    let refuses = || {
        script(
            &["STARTTLS"],
            vec![Hear("STARTTLS"), say("454 4.7.0 not now"), Silence],
        )
    };
    let breaks = || script(&["STARTTLS"], vec![Hear("STARTTLS"), say("220 go"), Close]);
    let injects = || {
        script(
            &["STARTTLS"],
            vec![
                Hear("STARTTLS"),
                Say("220 go\r\n250 injected\r\n".into()),
                Handshake,
                Silence,
            ],
        )
    };
    let may = || Tls::May(tls::opportunistic_client().unwrap());
    let must = || Tls::Must(verified_by_nobody());
    let trusting = || Tls::Must(tls::opportunistic_client().unwrap());
    type Case = (&'static str, Vec<Vec<Step>>, Tls, Result<bool, &'static str>);
    let cases: Vec<Case> = vec![
        ("may, self-signed", vec![offered()], may(), Ok(true)),
        ("may, not offered", vec![plain()], may(), Ok(false)),
        ("may, refused", vec![refuses()], may(), Ok(false)),
        (
            "may, broken, then without",
            vec![breaks(), script(&["STARTTLS"], vec![Silence])],
            may(),
            Ok(false),
        ),
        ("must, trusted", vec![offered()], trusting(), Ok(true)),
        (
            "must, self-signed is not verified",
            vec![offered()],
            must(),
            Err("4.7.10"),
        ),
        ("must, not offered", vec![plain()], must(), Err("4.7.10")),
        ("must, refused", vec![refuses()], must(), Err("4.7.10")),
        ("must, broken", vec![breaks()], trusting(), Err("4.7.10")),
        (
            "data before the handshake",
            vec![injects()],
            trusting(),
            Err("4.5.0"),
        ),
    ];
    for (name, scripts, tls, expected) in cases {
        let server = Server::start(scripts).await;
        let options = ClientOptions { tls, ..options() };
        let got = Connection::open(&server.target(), &Arc::new(options), &mut Unguarded).await;
        match (&got, expected) {
            (Ok(connection), Ok(secured)) => {
                assert_eq!(connection.tls().is_some(), secured, "{name}");
                assert_eq!(
                    connection.offers().dsn,
                    secured,
                    "{name}: offers are those after TLS"
                );
                let diagnostic = connection.log_diagnostic("250 ok", false, false);
                let note = diagnostic.contains("(TLS failed, continued without: ");
                assert_eq!(note, name.contains("then without"), "{name}: {diagnostic}");
            }
            (Err(error), Err(status)) => {
                assert_eq!(error.status(), status, "{name}: {error}");
                assert!(!error.is_permanent(), "{name}");
            }
            _ => panic!("{name}: {:?}", got.err()),
        }
    }
}

#[tokio::test]
async fn mail_goes_through_tls() {
    let steps = script(
        &["STARTTLS"],
        vec![
            Hear("STARTTLS"),
            say("220 go"),
            Handshake,
            Hear("EHLO"),
            Say("250-x\r\n250 PIPELINING\r\n".into()),
            Hear("MAIL"),
            Hear("RCPT"),
            Hear("DATA"),
            Say("250 ok\r\n250 ok\r\n354 go\r\n".into()),
            Message,
            say("250 in"),
        ],
    );
    let server = Server::start(vec![steps]).await;
    let options = ClientOptions {
        tls: Tls::May(tls::opportunistic_client().unwrap()),
        ..options()
    };
    let mut connection = open(&server, options).await;
    let content = b"0123456789\r\n".repeat(100_000);
    let outcome = connection.send(&to(&["a@x"]), &content).await;
    assert_eq!(brief(&outcome), ["delivered 250 in"]);
    // a suite of TLS 1.3 only
    assert_eq!(connection.tls().unwrap(), "TLS-256-TLS_AES_256_GCM_SHA384");
}

/// Refuses every TLS session.
struct Refuses {
    fallback: bool,
    seen: Vec<String>,
}

impl Guard for Refuses {
    async fn before_connect(&mut self, _: &Candidate<'_>) -> Way {
        Way::Go
    }

    async fn tls_started(&mut self, session: &Secured<'_>) -> Result<(), TlsRefusal> {
        self.seen
            .push(format!("{} {} {}", session.helo, session.subject, session.issuer));
        assert!(session.tls.starts_with("TLS-") && session.ends.is_some());
        Err(TlsRefusal {
            text: "too weak".into(),
            fallback: self.fallback,
        })
    }
}

#[tokio::test]
async fn a_guard_can_refuse_tls() {
    let offered = || {
        script(
            &["STARTTLS"],
            vec![Hear("STARTTLS"), say("220 go"), Handshake, Close],
        )
    };
    let plain = || script(&["STARTTLS"], vec![Silence]);
    let any = || tls::opportunistic_client().unwrap();
    for (name, tls, fallback, expected) in [
        ("may, clear text instead", Tls::May(any()), true, Ok(())),
        ("may, nothing instead", Tls::May(any()), false, Err("4.7.0")),
        ("must", Tls::Must(any()), true, Err("4.7.0")),
    ] {
        let server = Server::start(vec![offered(), plain()]).await;
        let options = ClientOptions { tls, ..options() };
        let mut guard = Refuses {
            fallback,
            seen: Vec::new(),
        };
        let got = Connection::open(&server.target(), &Arc::new(options), &mut guard).await;
        match (got, expected) {
            (Ok(connection), Ok(())) => {
                assert_eq!(connection.tls(), None, "{name}");
                let said = connection.log_diagnostic("250 ok", false, false);
                let note = "(TLS failed, continued without: TLS_ACCESS refuses it: too weak)";
                assert!(said.contains(note), "{name}: {said}");
            }
            (Err(error), Err(status)) => {
                assert_eq!(error.status(), status, "{name}: {error}");
                assert!(!error.is_permanent(), "{name}");
            }
            (got, _) => panic!("{name}: {:?}", got.err()),
        }
        assert_eq!(guard.seen.len(), 1, "{name}");
        assert!(guard.seen[0].contains(" CN="), "{name}: {:?}", guard.seen);
    }
}
