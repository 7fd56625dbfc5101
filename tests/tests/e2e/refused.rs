//! Every refusal leaves its entry in the log, in the words that log watchers look for.

use tests::{Client, Server, Site, base64};

/// A site that logs connections and logins too.
fn site() -> Site {
    let site = Site::new();
    site.replace("option.dat", "LOG_CONNECTION=3", "LOG_CONNECTION=131");
    site
}

#[test]
fn a_wrong_password_is_logged_as_such() {
    let site = site();
    let server = Server::start(&site);
    let mut client = Client::connect_tls(server.submissions(), "127.0.0.2");
    client.hello();
    client.login("alice", "wrong").expect(535);
    let tail = "Bad password alice 535 5.7.8 Bad username or password (Authentication failed).";
    let line = site.log_line(&["tcp_submit ", " U TCP|127.0.0.1|", tail]);
    assert!(line.ends_with(tail), "{line}");
    client.login("alice", site.password("alice")).expect(235);
    let line = site.log_line(&["tcp_submit ", " U ", "Authentication successful"]);
    assert!(
        line.ends_with(" alice 235 2.7.0 PLAIN authentication successful."),
        "{line}"
    );
    // what is no guess is not blamed on the client
    let mut client = Client::connect_tls(server.submissions(), "127.0.0.2");
    client.hello();
    client.say("AUTH PLAIN ====").expect(501);
    site.log_line(&["tcp_submit ", " U ", "Authentication failed ", "501 5.5.2"]);

    let mut client = Client::connect(server.managesieve(), "127.0.0.1").expect("a connection");
    while !client.next_line().expect("the greeting").starts_with("OK") {}
    let secret = base64("\0bob\0wrong");
    client
        .send(format!("AUTHENTICATE \"PLAIN\" \"{secret}\"\r\n"))
        .expect("it is taken");
    assert!(client.next_line().expect("a reply").starts_with("NO"));
    site.log_line(&[
        "managesieve ",
        " U TCP|127.0.0.1|",
        "Bad password bob NO wrong user",
    ]);
}

#[test]
fn a_message_refused_after_its_recipients_is_logged_for_each() {
    let site = site();
    // one recipient of two can take only small messages; a third presented refuses the whole
    site.replace("imta.cnf", "ims-ms notices", "ims-ms blocklimit 2 notices");
    site.replace(
        "imta.cnf",
        "tcp_local smtp mx ",
        "tcp_local smtp mx recipientcutoff 2 ",
    );
    let server = Server::start(&site);
    let big = format!("Subject: big\r\n\r\n{}", "x\r\n".repeat(1000));
    let header = format!("Subject: {}\r\n\r\nx", "x\r\n ".repeat(300_000));
    let cases = [
        (
            "a destination's limit",
            "a@one.example",
            2,
            &big,
            "552 5.3.4 a destination",
        ),
        ("the header", "b@one.example", 2, &header, "552 5.3.4 the header"),
        (
            "recipientcutoff",
            "c@one.example",
            3,
            &big,
            "451 4.4.5 Error ending",
        ),
    ];
    for (name, from, recipients, message, text) in cases {
        let mut client = server.outside();
        client.hello();
        let to = ["alice@example.com", "bob@example.com", "nobody@example.com"];
        client.say(&format!("MAIL FROM:<{from}>")).expect(250);
        for to in &to[..recipients] {
            client.say(&format!("RCPT TO:<{to}>"));
        }
        let reply = client.data(message).line();
        assert!(reply.starts_with(text), "{name}: {reply}");
        for to in &to[..2] {
            site.log_line(&[" JE ", from, to, text]);
        }
    }
    assert!(site.queue().is_empty());
}

#[test]
fn the_tenth_rejection_says_that_it_is_the_last_one_logged() {
    let site = site();
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    client.say("MAIL FROM:<x@one.example>").expect(250);
    for n in 1..=12 {
        client
            .say(&format!(
                "RCPT TO:<nobody{n}@example.com> ORCPT=rfc822;first{n}@example.com"
            ))
            .expect(550);
    }
    let last = site.log_line(&[
        "nobody10@example.com",
        "further rejections of this session are not logged",
    ]);
    assert!(last.contains(" rfc822;first10@example.com "), "{last}");
    client.say("QUIT").expect(221);
    site.log_line(&[" C TCP|"]);
    assert!(!site.log().contains("nobody11@"), "{}", site.log());
}

#[test]
fn a_failed_handshake_is_logged() {
    let site = site();
    let server = Server::start(&site);
    let mut client = Client::connect(server.submissions(), "127.0.0.2").expect("a connection");
    client.send("EHLO client.example\r\n").expect("it is taken");
    while client.next_line().is_some() {}
    site.log_line(&["tcp_submit ", " Y TCP|127.0.0.1|", "TLS handshake failed: "]);
    let mut client = server.outside();
    client.hello();
    client.say("STARTTLS").expect(220);
    client.send("EHLO client.example\r\n").expect("it is taken");
    while client.next_line().is_some() {}
    site.log_line(&["tcp_local ", " C TCP|127.0.0.1|", "TLS handshake failed: "]);
}
