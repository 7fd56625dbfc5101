//! `replace` and `enclose`: the text that is delivered changes, for that recipient alone.

use tests::{Server, Sink, Site, until};

const MESSAGE: &str = "From: x@one.example\r\nSubject: its subject\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
                       --b\r\nContent-Type: text/plain\r\n\r\nits text\r\n\
                       --b\r\nContent-Type: application/x-virus\r\n\r\nevil\r\n--b--\r\n";

/// The files of the queue that hold bodies of their own.
fn body_files(site: &Site) -> usize {
    let folder = site.root().join("queue/bodies");
    std::fs::read_dir(folder).map_or(0, |files| files.flatten().count())
}

#[test]
fn a_replaced_part_is_replaced_for_its_recipient_alone() {
    let site = Site::new();
    site.script(
        "alice",
        "require [\"foreverypart\", \"mime\", \"replace\", \"fileinto\", \"copy\"];\n\
         fileinto :copy \"Before\";\n\
         foreverypart { if header :mime :contenttype \"Content-Type\" \"application/x-virus\" {\n\
           replace :mime \"Content-Type: text/plain\r\n\r\nremoved\"; } }\n",
    );
    site.script(
        "bob",
        "require \"replace\";\nreplace :subject \"Another\" :from \"bob@example.com\" \"another text\";\n",
    );
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    let to = ["alice@example.com", "bob@example.com", "postmaster@example.com"];
    client.mail("x@one.example", &to[..2], MESSAGE).expect(250);
    let alice = site.mail_with("alice", "Subject: its subject");
    assert!(
        alice.contains("its text") && alice.contains("\nremoved\n"),
        "{alice}"
    );
    assert!(!alice.contains("evil"), "{alice}");
    let before = until("the copy taken before", || site.mail_in("alice", "Before").pop());
    assert!(
        before.contains("\nevil\n"),
        "each copy is as it was when its action ran: {before}"
    );
    let bob = site.mail_with("bob", "Subject: Another");
    for part in [
        "\nOriginal-Subject: its subject\n",
        "\nFrom: bob@example.com\n",
        "\nOriginal-From: x@one.example\n",
        "\nReceived: ",
    ] {
        assert!(bob.contains(part), "{part}\n{bob}");
    }
    assert!(bob.ends_with("\n\nanother text\n"), "{bob}");
}

#[test]
fn what_is_enclosed_is_delivered_so_and_redirected_as_it_came() {
    let site = Site::new();
    let sink = Sink::start();
    site.relay_to(sink.port(), "");
    site.script(
        "alice",
        "require [\"enclose\", \"editheader\", \"copy\"];\naddheader \"X-Seen\" \"yes\";\n\
         enclose :subject \"Warning\" \"be careful\";\nredirect :copy \"x@other.example\";\n",
    );
    let server = Server::start(&site);
    server.mail_outside("x@one.example", &["alice@example.com"], MESSAGE);
    let alice = site.mail_with("alice", "Subject: Warning");
    for part in [
        "be careful",
        "message/rfc822",
        "X-Seen: yes",
        "Subject: its subject",
        "evil",
    ] {
        assert!(alice.contains(part), "{part}\n{alice}");
    }
    let sent = until("the redirected copy", || sink.received().pop());
    assert!(sent.data.contains("X-Seen: yes\r\n"), "{}", sent.data);
    assert!(!sent.data.contains("be careful"), "{}", sent.data);
}

#[test]
fn those_who_share_a_large_text_share_it_and_the_others_keep_the_one_that_came() {
    let site = Site::new();
    let new = "0123456789abcdef\n".repeat(5_000);
    let filter = format!(
        "require [\"envelope\", \"replace\"];\n\
         if envelope :contains \"to\" \"new\" {{ replace text:\n{new}.\n;\n}}\n"
    );
    site.write("imta.filter", &filter);
    let sink = Sink::start();
    site.relay_to(sink.port(), "");
    let server = Server::start(&site);
    site.imsimta(["qm", "stop", "tcp_local"]).expect(0);
    let mut client = server.inside();
    client.hello();
    let old = "fedcba9876543210\r\n".repeat(5_000);
    let to = [
        "new1@one.example",
        "new2@two.example",
        "old1@one.example",
        "old2@two.example",
    ];
    client
        .mail("alice@example.com", &to, &format!("Subject: large\r\n\r\n{old}"))
        .expect(250);
    assert_eq!(site.queue().len(), 2, "one entry for each text");
    assert_eq!(body_files(&site), 2, "one body for each text");
    site.imsimta(["qm", "start", "tcp_local"]).expect(0);
    let received = until("two messages", || {
        let received = sink.received();
        (received.len() == 2).then_some(received)
    });
    for message in received {
        assert_eq!(message.rcpt.len(), 2, "{:?}", message.rcpt);
        let is_new = message.rcpt.iter().any(|r| r.contains("new"));
        assert_eq!(
            message.data.contains("0123456789abcdef"),
            is_new,
            "{:?}",
            message.rcpt
        );
        assert_eq!(
            message.data.contains("fedcba9876543210"),
            !is_new,
            "{:?}",
            message.rcpt
        );
        assert!(message.data.contains("Subject: large\r\n"));
    }
    until("an empty queue", || site.queue().is_empty().then_some(()));
    until("no bodies left", || (body_files(&site) == 0).then_some(()));
}

#[test]
fn the_addresses_of_a_replaced_message_are_rewritten_in_its_own_header() {
    let site = Site::new();
    site.script(
        "bob",
        "require \"replace\";\nreplace :subject \"Another\" \"another text\";\n",
    );
    let server = Server::start(&site);
    let mut client = server.inside();
    client.hello();
    let message =
        "From: alice@example.com\r\nTo: bob@example.com\r\nCc: carol (no domain)\r\nSubject: one\r\n\r\nx";
    client
        .mail(
            "alice@example.com",
            &["bob@example.com", "alice@example.com"],
            message,
        )
        .expect(250);
    let bob = site.mail_with("bob", "another text");
    for part in [
        "\nSubject: Another\n",
        "\nOriginal-Subject: one\n",
        "\nCc: carol@example.com (no domain)\n",
    ] {
        assert!(bob.contains(part), "{part}\n{bob}");
    }
    let alice = site.mail_with("alice", "Subject: one");
    assert!(alice.contains("\nCc: carol@example.com (no domain)\n"), "{alice}");
}
