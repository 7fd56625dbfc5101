//! `notify`: what is sent, to whom, and what is not so that nothing loops.

use tests::{Server, Sink, Site, until};

const NOTIFY: &str = "require [\"enotify\", \"variables\"];\n";

fn wait_for_empty_queue(site: &Site) {
    until("an empty queue", || site.queue().is_empty().then_some(()));
}

#[test]
fn a_notification_is_sent_as_its_owner_and_marked_as_automatic() {
    let site = Site::new();
    let sink = Sink::start();
    site.relay_to(sink.port(), "");
    site.script(
        "alice",
        &format!(
            "{NOTIFY}notify :importance \"1\" :message \"Mail!\" \"mailto:pager@other.example?cc=bob@example.com\
             &body=line%20one%0D%0Aline%20two&from=evil@one.example&x-why=rule%207\";\n\
             notify \"mailto:PAGER@other.example\";\nnotify :from \"bob@example.com\" \"mailto:bob@example.com?to=second@other.example\";\n"
        ),
    );
    let server = Server::start(&site);
    server.mail_outside(
        "x@one.example",
        &["alice@example.com"],
        "Subject: a message\r\nMessage-ID: <7@one.example>\r\n\r\nits text",
    );
    site.mail_with("alice", "Subject: a message");
    let first = site.mail_with("bob", "Subject: Mail!");
    for part in [
        "Auto-Submitted: auto-notified; owner-email=\"alice@example.com\"\n",
        "\nFrom: <alice@example.com>\nTo: <pager@other.example>\nCc: <bob@example.com>\n",
        "\nReferences: <7@one.example>\n",
        "\nImportance: high\n",
        "\nX-why: rule 7\n",
        "\n\nline one\nline two\n",
        "Return-Path: <alice@example.com>\n",
    ] {
        assert!(first.contains(part), "{part}\n{first}");
    }
    assert!(!first.contains("evil@"), "{first}");
    let received = until("two messages at the next hop", || {
        let received = sink.received();
        (received.len() >= 2).then_some(received)
    });
    wait_for_empty_queue(&site);
    let to: Vec<String> = received.iter().flat_map(|m| m.rcpt.clone()).collect();
    assert!(to.iter().any(|t| t.contains("pager@other.example")), "{to:?}");
    assert!(to.iter().any(|t| t.contains("second@other.example")), "{to:?}");
    assert_eq!(sink.received().len(), 2, "nobody is told twice of a message");
    assert_eq!(site.mail("bob").len(), 1, "nobody is told twice of a message");
    let second = received
        .iter()
        .find(|m| m.rcpt.iter().any(|t| t.contains("second@")))
        .expect("the second");
    assert!(second.mail.contains("alice@example.com"), "{}", second.mail);
    // without a text of the script it is about the message
    for part in [
        "Subject: a message",
        "A message for alice@example.com has arrived.",
    ] {
        assert!(second.data.contains(part), "{part}\n{}", second.data);
    }
}

#[test]
fn what_could_loop_does_not_notify() {
    let site = Site::new();
    // two who notify each other
    site.script("alice", &format!("{NOTIFY}notify \"mailto:bob@example.com\";\n"));
    site.script("bob", &format!("{NOTIFY}notify \"mailto:alice@example.com\";\n"));
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    client
        .mail("", &["alice@example.com"], "Subject: from nobody\r\n\r\nx")
        .expect(250);
    let told = site.mail_with("bob", "Subject: from nobody");
    assert!(told.contains("Return-Path: <>\n"), "{told}");
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            "Subject: by a machine\r\nAuto-Submitted: auto-generated\r\n\r\nx",
        )
        .expect(250);
    site.mail_with("alice", "Subject: by a machine");
    wait_for_empty_queue(&site);
    assert_eq!((site.mail("alice").len(), site.mail("bob").len()), (2, 1));
}

#[test]
fn more_notifications_than_allowed_are_an_error_and_the_message_is_kept() {
    let site = Site::new();
    site.append("option.dat", "\nMAX_NOTIFYS=2\n");
    let notify = |n| format!("notify \"mailto:bob+{n}@example.com\";\n");
    let script = |n: u32| format!("{NOTIFY}{}discard;\n", (0..n).map(notify).collect::<String>());
    site.script("alice", &script(3));
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    client
        .mail("x@one.example", &["alice@example.com"], "Subject: three\r\n\r\nx")
        .expect(250);
    site.mail_with("alice", "Subject: three");
    wait_for_empty_queue(&site);
    assert!(site.mail("bob").is_empty(), "all or nothing");
    site.script("alice", &script(2));
    client
        .mail("x@one.example", &["alice@example.com"], "Subject: two\r\n\r\nx")
        .expect(250);
    until("two notifications", || {
        (site.mail("bob").len() == 2).then_some(())
    });
}
