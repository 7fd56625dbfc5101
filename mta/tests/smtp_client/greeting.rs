//! The beginning of a session: banner, EHLO or HELO, time-outs, a port that is closed.

use std::sync::Arc;
use std::time::Duration;

use mta::smtp::client::{Cause, ClientOptions, Connection, Hello, Target, Timeouts, Unguarded};
use tokio::net::TcpListener;

use crate::server::*;

#[tokio::test]
async fn greetings() {
    // each connection: the banner, then commands with their replies
    let with =
        |banner: &str, turns: &'static [&'static str]| [vec![say(banner)], self::turns(turns)].concat();
    let closes = |steps: Vec<Step>| [steps, vec![Close]].concat();
    let endless = |steps: Vec<Step>, text| [steps, vec![Endless(text)]].concat();
    let ehlo = || with("220 x", &["EHLO"]);
    let refused = |status, permanent| Err((status, permanent));
    type Case = (
        &'static str,
        Vec<Vec<Step>>,
        Hello,
        Result<(), (&'static str, bool)>,
    );
    let cases: Vec<Case> = vec![
        (
            "HELO on the same connection",
            vec![with("220 old", &["EHLO 502 what", "HELO 250 hi"])],
            Hello::Special,
            Ok(()),
        ),
        (
            "HELO on a new connection",
            vec![closes(ehlo()), with("220 x", &["HELO 250 hi"])],
            Hello::Special,
            Ok(()),
        ),
        (
            "fire away",
            vec![with("220 Fire Away", &["HELO 250 hi"])],
            Hello::Special,
            Ok(()),
        ),
        (
            "noehlo",
            vec![with("220 ESMTP", &["HELO 250 hi"])],
            Hello::Helo,
            Ok(()),
        ),
        (
            "checkehlo without",
            vec![with("220 x", &["HELO 250 hi"])],
            Hello::Check,
            Ok(()),
        ),
        ("checkehlo with", vec![hello(&[])], Hello::Check, Ok(())),
        (
            "EHLO 4yz",
            vec![with("220 x", &["EHLO 451 no"])],
            Hello::Ehlo,
            refused("4.0.0", false),
        ),
        (
            "HELO 5yz",
            vec![with("220 x", &["EHLO 500 no", "HELO 550 5.7.1 no"])],
            Hello::Ehlo,
            refused("5.7.1", true),
        ),
        (
            "our own mark",
            vec![hello(&["XLOOP me123"])],
            Hello::Ehlo,
            refused("5.4.6", true),
        ),
        ("another's mark", vec![hello(&["XLOOP you"])], Hello::Ehlo, Ok(())),
        (
            "no banner",
            vec![closes(vec![])],
            Hello::Ehlo,
            refused("4.4.2", false),
        ),
        (
            "endless reply",
            vec![endless(ehlo(), "250-x\r\n")],
            Hello::Ehlo,
            refused("4.5.0", false),
        ),
        (
            "endless line",
            vec![endless(vec![], "220 x")],
            Hello::Ehlo,
            refused("4.5.0", false),
        ),
    ];
    let banners = [
        ("554 5.7.1 go away", "5.7.1", true),
        ("421 4.3.2 busy", "4.3.2", false),
        ("250 hello", "4.5.0", false),
        ("HTTP/1.1 400 Bad", "4.5.0", false),
    ];
    let banners = banners.map(|(banner, status, permanent)| {
        let scripts = vec![with(banner, &[])];
        (banner, scripts, Hello::Ehlo, refused(status, permanent))
    });
    for (name, scripts, hello, expected) in cases.into_iter().chain(banners) {
        let server = Server::start(scripts).await;
        let options = ClientOptions {
            hello,
            loop_mark: Some("me123".into()),
            ..options()
        };
        let got = Connection::open(&server.target(), &Arc::new(options), &mut Unguarded).await;
        let got = got.map(|_| ()).map_err(|e| (e.status(), e.is_permanent()));
        assert_eq!(got, expected.map_err(|(s, p)| (s.to_string(), p)), "{name}");
        server.assert_as_written(name);
        let mut helos = server.heard().into_iter().filter(|line| line.starts_with("HELO"));
        assert!(helos.all(|line| line == "HELO me.test"), "{name}");
    }
}

#[tokio::test]
async fn a_slow_server_times_out() {
    let options = ClientOptions {
        timeouts: Timeouts::uniform(Duration::from_millis(200)),
        ..options()
    };
    let server = Server::start(vec![vec![Silence]]).await;
    let error = Connection::open(&server.target(), &Arc::new(options.clone()), &mut Unguarded)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error.cause, Cause::Timeout { during: "the banner" }),
        "{error}"
    );

    let server = Server::start(vec![script(&[], vec![Hear("MAIL"), Silence])]).await;
    let mut connection = open(&server, options).await;
    let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
    assert_eq!(brief(&outcome), ["deferred 4.4.2 timed out during MAIL FROM"]);
    assert!(!connection.is_usable());

    let mut session = self::options();
    session.timeouts.session = Some(Duration::from_millis(200));
    let server = Server::start(vec![script(&[], vec![Hear("MAIL"), Silence])]).await;
    let mut connection = open(&server, session).await;
    let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
    assert_eq!(brief(&outcome), ["deferred 4.4.2 timed out during MAIL FROM"]);
}

#[tokio::test]
async fn a_closed_port_is_a_connect_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target = Target {
        host: "mx.test".into(),
        address,
    };
    let error = Connection::open(&target, &Arc::new(options()), &mut Unguarded)
        .await
        .err()
        .unwrap();
    let expected = format!("TCP active open: Failed connect() {address}  Error: Connection refused");
    assert_eq!((error.to_string(), error.status().as_str()), (expected, "4.4.1"));
}
