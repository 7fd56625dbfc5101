//! Connections that end too early, or say too much.

use mta::smtp::client::{Again, RecipientOutcome};

use crate::server::*;

#[tokio::test]
async fn a_dropped_connection_defers() {
    type Case = (&'static str, &'static [&'static str], &'static str, &'static str);
    let cases: &[Case] = &[
        ("after MAIL", &["MAIL"], "", "MAIL FROM"),
        ("after RCPT", &["MAIL 250 ok", "RCPT"], "", "RCPT TO"),
        ("after DATA", &["MAIL 250 ok", "RCPT 250 ok", "DATA"], "", "DATA"),
        (
            "after the dot",
            &["MAIL 250 ok", "RCPT 250 ok", "DATA 354 go", "."],
            "",
            "the reply to the message",
        ),
        ("in the middle of a reply", &["MAIL"], "250-ok\r\n25", "MAIL FROM"),
    ];
    for &(name, heard, said, during) in cases {
        let steps = [turns(heard), vec![Say(said.into()), Close]].concat();
        let server = Server::start(vec![script(&[], steps)]).await;
        let mut connection = open(&server, options()).await;
        let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
        let text = format!("deferred 4.4.2 remote host closed the connection during {during}");
        assert_eq!(brief(&outcome), [text], "{name}");
        assert!(!connection.is_usable(), "{name}");
        let early = during == "MAIL FROM" || during == "RCPT TO";
        assert_eq!(
            outcome.again,
            if early { Again::NextHost } else { Again::No },
            "{name}"
        );
        let again = connection.send(&to(&["a@x"]), CONTENT).await;
        assert_eq!(again.again, Again::Reconnect, "{name}");
    }
}

#[tokio::test]
async fn an_idle_connection_that_went_away_is_untried() {
    let first = turns(&["MAIL 250 ok", "RCPT 250 ok", "DATA 354 go", "."]);
    for (name, last) in [
        ("closed", "250 in\r\n"),
        ("421", "250 in\r\n421 4.4.2 idle too long\r\n"),
    ] {
        let steps = script(&[], [first.clone(), vec![Say(last.into()), Close]].concat());
        let server = Server::start(vec![steps]).await;
        let mut connection = open(&server, options()).await;
        assert_eq!(
            brief(&connection.send(&to(&["a@x"]), CONTENT).await),
            ["delivered 250 in"],
            "{name}"
        );
        let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
        assert_eq!(outcome.again, Again::Reconnect, "{name}: {:?}", brief(&outcome));
        assert!(
            matches!(outcome.recipients[0], RecipientOutcome::Deferred(_)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_reply_too_many_ends_the_session() {
    let steps = [
        turns(&["MAIL 250 ok", "RCPT 250 ok", "DATA 354 go", "."]),
        vec![Say("250 in\r\n250 one too many\r\n".into()), Silence],
    ]
    .concat();
    let server = Server::start(vec![script(&[], steps)]).await;
    let mut connection = open(&server, options()).await;
    assert_eq!(
        brief(&connection.send(&to(&["a@x"]), CONTENT).await),
        ["delivered 250 in"]
    );
    let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
    assert!(
        brief(&outcome)[0].ends_with("unasked reply 250 one too many"),
        "{:?}",
        brief(&outcome)
    );
    assert!(!connection.is_usable());
}
