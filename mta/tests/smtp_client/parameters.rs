//! Parameters of MAIL and RCPT, and messages that a server cannot take.

use mta::smtp::client::{ClientOptions, EightBit, Outgoing, OutgoingRecipient};
use store::envelope::Notify;

use crate::server::*;

#[tokio::test]
async fn parameters_follow_the_offers() {
    let outgoing = Outgoing {
        envelope_id: Some("id=1"),
        return_headers: true,
        priority: 3,
        recipients: vec![OutgoingRecipient {
            address: "a@x",
            original: "rfc822;o+1@x",
            notify: Notify {
                given: true,
                success: true,
                failure: false,
                delay: true,
            },
        }],
        ..to(&[])
    };
    let cases: &[(&str, &[&str], [&str; 2])] = &[
        ("nothing offered", &[], ["MAIL FROM:<s@me.test>", "RCPT TO:<a@x>"]),
        (
            "SIZE",
            &["SIZE"],
            ["MAIL FROM:<s@me.test> SIZE=26", "RCPT TO:<a@x>"],
        ),
        (
            "8BITMIME, content of 7 bits",
            &["8BITMIME"],
            ["MAIL FROM:<s@me.test>", "RCPT TO:<a@x>"],
        ),
        (
            "DSN",
            &["dsn"],
            [
                "MAIL FROM:<s@me.test> RET=HDRS ENVID=id+3D1",
                "RCPT TO:<a@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2B1@x",
            ],
        ),
        (
            "MT-PRIORITY",
            &["MT-PRIORITY MIXER"],
            ["MAIL FROM:<s@me.test> MT-PRIORITY=3", "RCPT TO:<a@x>"],
        ),
    ];
    for (name, offers, expected) in cases {
        let steps = turns(&["MAIL 250 ok", "RCPT 550 no"]);
        let server = Server::start(vec![script(offers, steps)]).await;
        let mut connection = open(&server, options()).await;
        let outcome = connection.send(&outgoing, CONTENT).await;
        assert_eq!(server.dialogue(), expected.map(String::from), "{name}");
        assert_eq!(outcome.dsn_passed_on, *name == "DSN", "{name}");
    }
}

#[tokio::test]
async fn what_the_server_cannot_take_is_not_sent() {
    let eight = "Subject: x\r\n\r\ngr\u{fc}n\r\n".as_bytes();
    let utf8 = Outgoing {
        utf8: true,
        ..to(&["a@x", "b@x"])
    };
    let strict = ClientOptions {
        eight_bit: EightBit::Strict,
        ..options()
    };
    type Case<'a> = (
        &'a str,
        ClientOptions,
        &'a [&'a str],
        Outgoing<'a>,
        &'a [u8],
        [&'a str; 2],
    );
    let cases: Vec<Case<'_>> = vec![
        (
            "too large",
            options(),
            &["SIZE 10"],
            to(&["a@x", "b@x"]),
            CONTENT,
            ["failed 5.3.4"; 2],
        ),
        (
            "eightstrict",
            strict,
            &[],
            to(&["a@x", "b@x"]),
            eight,
            ["failed 5.6.3"; 2],
        ),
        (
            "UTF-8 header",
            options(),
            &["8BITMIME"],
            utf8,
            eight,
            ["failed 5.6.7"; 2],
        ),
        (
            "UTF-8 addresses",
            options(),
            &[],
            to(&["gr\u{fc}n@x", "gr\u{fc}ner@x"]),
            CONTENT,
            ["failed 5.6.7"; 2],
        ),
        (
            "injection",
            options(),
            &[],
            to(&["a@x>\r\nRSET", "a@x> X=<"]),
            CONTENT,
            ["failed 5.1.3"; 2],
        ),
        (
            "sender",
            options(),
            &[],
            Outgoing {
                from: "s\n@x",
                ..to(&["a@x", "b@x"])
            },
            CONTENT,
            ["failed 5.1.7"; 2],
        ),
    ];
    for (name, options, offers, outgoing, content, expected) in cases {
        let server = Server::start(vec![script(offers, vec![Silence])]).await;
        let mut connection = open(&server, options).await;
        let outcome = connection.send(&outgoing, content).await;
        let got: Vec<String> = brief(&outcome)
            .iter()
            .map(|b| b.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(got, expected, "{name}");
        assert!(connection.is_usable(), "{name}");
        assert_eq!(server.dialogue(), Vec::<String>::new(), "{name}");
    }
}
