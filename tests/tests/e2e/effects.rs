//! What scripts change of a message on its way: its envelope, its tags, the text around its content, copies for others.

use tests::{Server, Sink, Site, until};

fn sink() -> Sink {
    Sink::with(&["PIPELINING", "8BITMIME", "DSN", "MT-PRIORITY"], |_, _| None)
}

fn wait_for(sink: &Sink, n: usize) -> Vec<tests::Received> {
    until(&format!("{n} messages at the next hop"), || {
        let received = sink.received();
        (received.len() >= n).then_some(received)
    })
}

#[test]
fn the_envelope_is_changed_for_those_recipients_that_a_script_names() {
    let site = Site::new();
    let sink = sink();
    site.relay_to(sink.port(), "");
    site.append(
        "option.dat",
        "\nLOG_TRANSACTIONLOG=1\nLOG_CONVERSION_TAG=1\nLOG_PRIORITY=1\n",
    );
    site.write(
        "imta.filter",
        "require \"envelope\";\n\
         if envelope \"to\" \"changed@other.example\" {\n\
           setenvelopefrom \"bounce@example.com\"; setret \"HDRS\"; setnotify \"FAILURE\"; setmtpriority 3;\n\
           addconversiontag [\"vip\", \"big\"]; removeconversiontag \"big\";\n\
           transactionlog \"rule 1\"; transactionlog \"saw it\";\n\
         }\n",
    );
    let server = Server::start(&site);
    let mut client = server.inside();
    client.hello();
    let large = format!(
        "Subject: large\r\n\r\n{}end",
        "0123456789abcdef\r\n".repeat(10_000)
    );
    for (n, message) in ["Subject: small\r\n\r\nits text", &large].into_iter().enumerate() {
        client
            .mail(
                "alice@example.com",
                &[
                    "changed@other.example",
                    "as-it-was@other.example",
                    "bob@example.com",
                ],
                message,
            )
            .expect(250);
        let received = wait_for(&sink, 2 * (n + 1));
        let with = |to: &str| {
            let new = received.iter().skip(2 * n);
            let mut having = new.filter(|m| m.rcpt.iter().any(|r| r.contains(to)));
            having.next().expect("a message").clone()
        };
        let (changed, other) = (with("<changed@"), with("<as-it-was@"));
        for part in ["FROM:<bounce@example.com>", "RET=HDRS", "MT-PRIORITY=3"] {
            assert!(changed.mail.contains(part), "{part}: {}", changed.mail);
        }
        assert!(changed.rcpt[0].contains("NOTIFY=FAILURE"), "{:?}", changed.rcpt);
        assert!(other.mail.contains("FROM:<alice@example.com>"), "{}", other.mail);
        assert!(!other.mail.contains("MT-PRIORITY"), "{}", other.mail);
        assert_eq!(changed.data, other.data, "the text is the same");
        let last = message.lines().last().unwrap_or_default();
        assert!(changed.data.trim_end().ends_with(last), "the text is whole");
    }
    site.mail_with("bob", "its text");
    let line = site.log_line(&[" E", "changed@other.example", "bounce@example.com"]);
    for part in ["vip", "rule_1_saw_it"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("big"), "{line}");
}

#[test]
fn texts_go_around_the_content_of_those_copies_that_get_them() {
    let site = Site::new();
    site.write("imta.filter", "addsuffix \"-- \nfor all\n\";\n");
    site.script(
        "alice",
        "require [\"fileinto\", \"copy\"];\naddprefix \"[read this] \";\nfileinto :copy \"Two\";\n",
    );
    let server = Server::start(&site);
    server.mail_outside(
        "x@one.example",
        &["alice@example.com", "bob@example.com"],
        "Subject: texts\r\n\r\nits text",
    );
    let alice = site.mail_with("alice", "Subject: texts");
    assert!(
        alice.ends_with("\n\n[read this] its text\n-- \nfor all\n"),
        "{alice}"
    );
    until("the copy in a folder", || {
        let filed = site.mail_in("alice", "Two");
        filed
            .iter()
            .any(|m| m.contains("[read this] its text\n-- \n"))
            .then_some(())
    });
    let bob = site.mail_with("bob", "Subject: texts");
    assert!(bob.ends_with("\n\nits text\n-- \nfor all\n"), "{bob}");
}

#[test]
fn captured_copies_and_counters_are_for_the_message_not_for_each_recipient() {
    let site = Site::new();
    let sink = sink();
    site.relay_to(sink.port(), "");
    site.write(
        "imta.filter",
        "capture \"watch@other.example\";\ncapture :journal \"journal@other.example\";\n\
         capture :message \"plain@other.example\";\n",
    );
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    client
        .mail(
            "x@one.example",
            &["alice@example.com", "bob@example.com"],
            "Subject: seen\r\n\r\nits text",
        )
        .expect(250);
    site.mail_with("alice", "Subject: seen");
    site.mail_with("bob", "Subject: seen");
    let received = wait_for(&sink, 3);
    until("an empty queue", || site.queue().is_empty().then_some(()));
    assert_eq!(sink.received().len(), 3, "one of each form");
    let to = |to: &str| {
        let mut having = received.iter().filter(|m| m.rcpt.iter().any(|r| r.contains(to)));
        having.next().expect("a copy").clone()
    };
    let report = to("watch@");
    assert!(report.mail.contains("FROM:<>"), "{}", report.mail);
    for part in [
        "report-type=delivery-status",
        "X-Envelope-From: <x@one.example>",
        "Original-Recipient: rfc822;alice@example.com",
        "Original-Recipient: rfc822;bob@example.com",
        "Subject: seen\r\n",
        "its text",
    ] {
        assert!(report.data.contains(part), "{part}\n{}", report.data);
    }
    let journal = to("journal@");
    for part in [
        "Sender: x@one.example\r\n",
        "Recipient: alice@example.com\r\n",
        "Recipient: bob@example.com\r\n",
        "its text",
    ] {
        assert!(journal.data.contains(part), "{part}\n{}", journal.data);
    }
    let plain = to("plain@");
    assert!(
        plain.mail.contains("FROM:<postmaster@mail.example.com>"),
        "{}",
        plain.mail
    );
    assert!(
        plain.data.contains("Subject: seen\r\n") && !plain.data.contains("Captured"),
        "{}",
        plain.data
    );
    // two recipients of one message count once
    let count = "Subject: count\r\n\r\nx";
    site.write(
        "imta.filter",
        "if header \"subject\" \"count\" { adjustcounter 2 \"-3\"; adjustcounter 8 5; }\n",
    );
    site.imsimta(["reload"]).expect(0);
    client
        .mail("x@one.example", &["alice@example.com", "bob@example.com"], count)
        .expect(250);
    let status = site.sluice(["status", "--json"]).expect(0);
    assert!(status.contains("[0,-3,0,0,0,0,0,5]"), "{status}");
}

#[test]
fn a_redirect_says_who_sends_it_on_and_what_is_to_be_told() {
    let site = Site::new();
    let sink = sink();
    site.relay_to(sink.port(), "");
    site.script(
        "alice",
        "redirect \"usual@other.example\";\n\
         redirect :noresent :resetmailfrom :notify \"SUCCESS,FAILURE\" \"own@other.example\";\n",
    );
    let server = Server::start(&site);
    server.mail_outside(
        "x@one.example",
        &["alice@example.com"],
        "Subject: on\r\n\r\nits text",
    );
    let received = wait_for(&sink, 2);
    let to = |to: &str| {
        let mut having = received.iter().filter(|m| m.rcpt.iter().any(|r| r.contains(to)));
        having.next().expect("a copy").clone()
    };
    let (usual, own) = (to("usual@"), to("own@"));
    assert!(usual.mail.contains("FROM:<x@one.example>"), "{}", usual.mail);
    for part in [
        "Resent-From: <alice@example.com>\r\n",
        "Resent-To: <usual@other.example>\r\n",
        "Resent-Date: ",
    ] {
        assert!(usual.data.contains(part), "{part}\n{}", usual.data);
    }
    assert!(own.mail.contains("FROM:<alice@example.com>"), "{}", own.mail);
    assert!(own.rcpt[0].contains("NOTIFY=SUCCESS,FAILURE"), "{:?}", own.rcpt);
    assert!(!own.data.contains("Resent-"), "{}", own.data);
}

#[test]
fn what_is_sent_is_filed_where_the_script_says() {
    let site = Site::new();
    site.script(
        "alice",
        "require [\"vacation\", \"enotify\", \"fcc\"];\nvacation :fcc \"Sent\" \"I am away.\";\n\
         notify :fcc \"Told\" \"mailto:bob@example.com\";\n",
    );
    let server = Server::start(&site);
    let mut client = server.inside();
    client.hello();
    for _ in 0..2 {
        client
            .mail(
                "bob@example.com",
                &["alice@example.com"],
                "Subject: hello\r\nTo: alice@example.com\r\n\r\nx",
            )
            .expect(250);
    }
    site.mail_with("bob", "I am away.");
    until("an empty queue", || site.queue().is_empty().then_some(()));
    assert_eq!(site.mail_in("alice", "Sent").len(), 1, "one reply, one copy");
    assert_eq!(site.mail_in("alice", "Told").len(), 2);
}

#[test]
fn several_tags_stand_in_front_of_the_subject_each_once() {
    let site = Site::new();
    site.write(
        "imta.filter",
        "addtag [\"[one]\", \"[two]\"];\naddtag \"[one]\";\n",
    );
    let server = Server::start(&site);
    server.mail_outside(
        "x@one.example",
        &["alice@example.com"],
        "Subject: tagged\r\n\r\nx",
    );
    let message = site.mail_with("alice", "tagged");
    assert!(message.contains("\nSubject: [one] [two] tagged\n"), "{message}");
}
