//! What the content needs of a server: eight bits, UTF-8, room in windows.

use crate::server::*;

#[tokio::test]
async fn one_utf8_recipient_does_not_hold_up_the_others() {
    let server = Server::start(vec![script(&[], turns(TAKEN))]).await;
    let mut connection = open(&server, options()).await;
    let outcome = connection.send(&to(&["gr\u{fc}n@x", "b@x"]), CONTENT).await;
    assert!(
        brief(&outcome)[0].starts_with("failed 5.6.7"),
        "{:?}",
        brief(&outcome)
    );
    assert_eq!(brief(&outcome)[1], "delivered 250 in");

    let server = Server::start(vec![script(&["SMTPUTF8", "8BITMIME"], turns(TAKEN))]).await;
    let mut connection = open(&server, options()).await;
    let outcome = connection
        .send(&to(&["gr\u{fc}n@x"]), "Subject: \u{fc}\r\n\r\n".as_bytes())
        .await;
    assert_eq!(brief(&outcome), ["delivered 250 in"]);
    assert_eq!(
        server.dialogue()[0],
        "MAIL FROM:<s@me.test> BODY=8BITMIME SMTPUTF8"
    );
}

#[tokio::test]
async fn eight_bits_are_converted_for_a_server_of_seven() {
    let server = Server::start(vec![script(&[], turns(TAKEN))]).await;
    let mut connection = open(&server, options()).await;
    let content = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngr\u{fc}n\r\n".as_bytes();
    let outcome = connection.send(&to(&["a@x"]), content).await;
    assert_eq!(brief(&outcome), ["delivered 250 in"]);
    assert!(outcome.converted);
    let heard = server.dialogue();
    assert_eq!(
        heard[3..],
        [
            "Subject: x",
            "Content-Type: text/plain; charset=utf-8",
            "MIME-Version: 1.0",
            "Content-Transfer-Encoding: quoted-printable",
            "",
            "gr=C3=BCn",
            "."
        ]
        .map(String::from)
    );
}

#[tokio::test]
async fn many_recipients_and_much_content_pass_in_windows() {
    let count = 3000;
    let mut steps = turns(&["MAIL 250 ok"]);
    for _ in 0..count {
        steps.extend(turns(&[
            "RCPT 250 2.1.5 recipient ok, and a reply long enough to fill a buffer soon",
        ]));
    }
    steps.extend(turns(&["DATA 354 go", ". 250 in"]));
    let server = Server::start(vec![script(&["PIPELINING"], steps)]).await;
    let mut connection = open(&server, options()).await;
    let addresses: Vec<String> = (0..count).map(|i| format!("recipient{i}@mx.test")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let content = b".line\r\n".repeat(200_000);
    let outcome = connection.send(&to(&addresses), &content).await;
    assert_eq!(outcome.recipients.len(), count);
    assert!(
        brief(&outcome).iter().all(|b| b == "delivered 250 in"),
        "{:?}",
        brief(&outcome).first()
    );
    assert_eq!(
        server.heard().iter().filter(|line| *line == "..line").count(),
        200_000
    );
}
