//! A message for each stage: taken, refused, deferred, by SMTP and by LMTP.

use mta::smtp::client::{Again, ClientOptions, Protocol, RecipientOutcome};

use crate::server::*;

#[tokio::test]
async fn delivers_and_is_reused_without_reset() {
    let message = turns(&[
        "MAIL 250 2.1.0 ok",
        "RCPT 250 2.1.5 ok",
        "DATA 354 go",
        ". 250 2.0.0 taken",
    ]);
    let two = script(&[], [message.clone(), message, turns(&["QUIT 221 bye"])].concat());
    let server = Server::start(vec![two]).await;
    let mut connection = open(&server, options()).await;
    for _ in 0..2 {
        let outcome = connection.send(&to(&["a@mx.test"]), CONTENT).await;
        assert_eq!(brief(&outcome), ["delivered 250 2.0.0 taken"]);
        assert!(connection.is_usable() && !outcome.dsn_passed_on);
        assert_eq!(outcome.again, Again::No);
    }
    assert_eq!(
        (connection.transactions(), connection.banner()),
        (2, "mx.test ESMTP ready")
    );
    let transport = connection.transport().to_string();
    assert!(transport.starts_with("TCP|127.0.0.1|"), "{transport}");
    assert!(
        transport.ends_with(&format!("|127.0.0.1|{}", server.address.port())),
        "{transport}"
    );
    assert_eq!(
        connection.log_diagnostic("250 2.0.0 taken", true, true),
        format!("dns;mx.test ({transport}) (mx.test ESMTP ready) smtp;250 2.0.0 taken")
    );
    connection.quit().await;
    let heard = server.dialogue();
    assert_eq!(
        heard[..9],
        [
            "MAIL FROM:<s@me.test>",
            "RCPT TO:<a@mx.test>",
            "DATA",
            "Subject: x",
            "",
            "body",
            "..dot",
            ".",
            "MAIL FROM:<s@me.test>"
        ]
        .map(String::from)
    );
    assert_eq!(heard.last().unwrap(), "QUIT");
}

#[tokio::test]
async fn a_pipelined_envelope_is_one_write_and_the_content_another() {
    let steps = script(
        &["PIPELINING"],
        vec![
            Hear("MAIL"),
            Hear("RCPT"),
            Hear("RCPT"),
            Hear("DATA"),
            Say("250 ok\r\n250 ok\r\n550 5.1.1 who\r\n354 go\r\n".into()),
            Message,
            say("250 taken"),
        ],
    );
    let server = Server::start(vec![steps]).await;
    let mut connection = open(&server, options()).await;
    let content = [b"Subject: x\r\n\r\n".as_slice(), &b"0123456789\r\n".repeat(1000)].concat();
    let outcome = connection.send(&to(&["a@x", "b@x"]), &content).await;
    assert_eq!(
        brief(&outcome),
        ["delivered 250 taken", "failed 5.1.1 550 5.1.1 who"]
    );
    let envelope = "MAIL FROM:<s@me.test>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n".len();
    let reads = server.reads.lock().unwrap().clone();
    assert_eq!(
        reads,
        ["EHLO me.test\r\n".len(), envelope, content.len() + ".\r\n".len()]
    );
}

#[tokio::test]
async fn every_stage_can_refuse() {
    type Case = (&'static str, &'static [&'static str], [&'static str; 2], bool);
    let cases: &[Case] = &[
        (
            "MAIL 4yz",
            &["MAIL 451 4.3.0 later"],
            ["deferred 4.3.0 451 4.3.0 later"; 2],
            true,
        ),
        (
            "MAIL 5yz",
            &["MAIL 550 5.7.1 no"],
            ["failed 5.7.1 550 5.7.1 no"; 2],
            true,
        ),
        (
            "MAIL 421",
            &["MAIL 421 4.3.2 bye"],
            ["deferred 4.3.2 421 4.3.2 bye"; 2],
            false,
        ),
        (
            "both RCPT refused",
            &["MAIL 250 ok", "RCPT 550 5.1.1 no", "RCPT 450 wait"],
            ["failed 5.1.1 550 5.1.1 no", "deferred 4.0.0 450 wait"],
            true,
        ),
        (
            "mixed, delivered",
            &[
                "MAIL 250 ok",
                "RCPT 450 wait",
                "RCPT 250 ok",
                "DATA 354 go",
                ". 250 in",
            ],
            ["deferred 4.0.0 450 wait", "delivered 250 in"],
            true,
        ),
        (
            "RCPT 552 is temporary",
            &[
                "MAIL 250 ok",
                "RCPT 250 ok",
                "RCPT 552 5.5.3 many",
                "DATA 354 go",
                ". 250 in",
            ],
            ["delivered 250 in", "deferred 4.5.3 552 5.5.3 many"],
            true,
        ),
        (
            "RCPT 552 with a known text",
            &[
                "MAIL 250 ok",
                "RCPT 250 ok",
                "RCPT 552 5.2.2 full",
                "DATA 354 go",
                ". 250 in",
            ],
            ["delivered 250 in", "failed 5.2.2 552 5.2.2 full"],
            true,
        ),
        (
            "RCPT 421",
            &["MAIL 250 ok", "RCPT 550 5.1.1 no", "RCPT 421 bye"],
            ["failed 5.1.1 550 5.1.1 no", "deferred 4.0.0 421 bye"],
            false,
        ),
        (
            "DATA 4yz",
            &["MAIL 250 ok", "RCPT 250 ok", "RCPT 550 no", "DATA 451 4.3.1 full"],
            ["deferred 4.3.1 451 4.3.1 full", "failed 5.0.0 550 no"],
            true,
        ),
        (
            "DATA 5yz",
            &["MAIL 250 ok", "RCPT 250 ok", "RCPT 250 ok", "DATA 554 5.6.0 no"],
            ["failed 5.6.0 554 5.6.0 no"; 2],
            true,
        ),
        (
            "message 4yz",
            &[
                "MAIL 250 ok",
                "RCPT 250 ok",
                "RCPT 250 ok",
                "DATA 354 go",
                ". 452 4.3.1 full",
            ],
            ["deferred 4.3.1 452 4.3.1 full"; 2],
            true,
        ),
        (
            "message 5yz",
            &[
                "MAIL 250 ok",
                "RCPT 250 ok",
                "RCPT 250 ok",
                "DATA 354 go",
                ". 554 5.7.1 spam",
            ],
            ["failed 5.7.1 554 5.7.1 spam"; 2],
            true,
        ),
        (
            "message 421",
            &[
                "MAIL 250 ok",
                "RCPT 250 ok",
                "RCPT 250 ok",
                "DATA 354 go",
                ". 421 4.3.2 bye",
            ],
            ["deferred 4.3.2 421 4.3.2 bye"; 2],
            false,
        ),
        (
            "a class that tells nothing",
            &["MAIL 354 what"],
            ["deferred 4.5.0 remote host broke the protocol during MAIL FROM: unexpected reply 354 what"; 2],
            false,
        ),
    ];
    for (name, steps, expected, usable) in cases {
        let server = Server::start(vec![script(&[], turns(steps))]).await;
        let mut options = options();
        options.permanent_552 = vec!["5.2.2 full".into()];
        let mut connection = open(&server, options).await;
        let outcome = connection.send(&to(&["a@x", "b@x"]), CONTENT).await;
        assert_eq!(brief(&outcome), *expected, "{name}");
        assert_eq!(connection.is_usable(), *usable, "{name}");
        let next = name.ends_with("421") && !name.starts_with("message");
        assert_eq!(
            outcome.again,
            if next { Again::NextHost } else { Again::No },
            "{name}"
        );
        if let RecipientOutcome::Failed(f) | RecipientOutcome::Deferred(f) = &outcome.recipients[0] {
            assert_eq!(
                (f.remote.as_str(), f.transport.as_str()),
                ("mx.test", connection.transport()),
                "{name}"
            );
        }
        server.assert_as_written(name);
    }
}

#[tokio::test]
async fn pipelined_data_without_recipients_ends_with_a_lone_dot() {
    let refused = |mail: &str, rcpt: &str, data: &str| {
        vec![
            Hear("MAIL"),
            Hear("RCPT"),
            Hear("DATA"),
            Say(format!("{mail}\r\n{rcpt}\r\n{data}\r\n")),
        ]
    };
    let good = vec![
        Hear("MAIL"),
        Hear("RCPT"),
        Hear("DATA"),
        Say("250 ok\r\n250 ok\r\n354 go\r\n".into()),
        Message,
        say("250 in"),
    ];
    let reset = || vec![Hear("RSET")];
    let answered = |mut steps: Vec<Step>| {
        // The reply to RSET comes together with those to the commands behind it.
        if let Some(Say(text)) = steps.iter_mut().find(|s| matches!(s, Say(_))) {
            text.insert_str(0, "250 reset\r\n");
        }
        steps
    };
    let steps = [
        refused("250 ok", "550 5.1.1 no", "354 go"),
        vec![Message, say("554 no valid recipients")],
        refused("550 5.7.1 you", "503 mail first", "354 go"),
        vec![Message, say("250 nothing")],
        refused("250 ok", "550 5.1.1 no", "554 none"),
        reset(),
        answered(good.clone()),
        good,
    ]
    .concat();
    let server = Server::start(vec![script(&["PIPELINING"], steps)]).await;
    let mut connection = open(&server, options()).await;
    let expected = [
        "failed 5.1.1 550 5.1.1 no",
        "failed 5.7.1 550 5.7.1 you",
        "failed 5.1.1 550 5.1.1 no",
        "delivered 250 in",
        "delivered 250 in",
    ];
    for (i, expected) in expected.iter().enumerate() {
        let outcome = connection.send(&to(&["a@x"]), CONTENT).await;
        assert_eq!(brief(&outcome), [*expected], "message {i}");
    }
    assert_eq!(server.heard().iter().filter(|line| *line == "RSET").count(), 1);
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let steps = vec![
        say("220 store LMTP"),
        Hear("LHLO me.test"),
        Say("250-store\r\n250 PIPELINING\r\n".into()),
        Hear("MAIL"),
        Hear("RCPT"),
        Hear("RCPT"),
        Hear("RCPT"),
        Hear("DATA"),
        Say("250 ok\r\n250 ok\r\n550 5.1.1 who\r\n250 ok\r\n354 go\r\n".into()),
        Message,
        Say("250 2.0.0 in\r\n452 4.2.2 over quota\r\n".into()),
    ];
    let server = Server::start(vec![steps]).await;
    let options = ClientOptions {
        protocol: Protocol::Lmtp,
        ..options()
    };
    let mut connection = open(&server, options).await;
    let outcome = connection.send(&to(&["a@x", "b@x", "c@x"]), CONTENT).await;
    let expected = [
        "delivered 250 2.0.0 in",
        "failed 5.1.1 550 5.1.1 who",
        "deferred 4.2.2 452 4.2.2 over quota",
    ];
    assert_eq!(brief(&outcome), expected);
    assert!(connection.is_usable());
}
