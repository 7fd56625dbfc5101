//! Mail that waits too long: the sender is warned, then gets it back.

use std::sync::Arc;

use store::disk::RealDisk;
use store::envelope::{Envelope, Recipient};
use store::spool::log::{Options, SegmentSpool};
use store::spool::{Content, NewEntry, NewMessage, Spool};
use tests::{Server, Sink, Site, until};

/// Puts a message into the queue of a site whose server does not run, as if it had come some minutes ago.
fn queue_old(site: &Site, to: &str, minutes: i64) {
    let header = format!("From: <alice@example.com>\r\nSubject: for {to}\r\n\r\n");
    let arrived = mta::server::now() - minutes * 60;
    let message = NewMessage {
        envelope: Envelope {
            from: "alice@example.com".into(),
            arrived,
            source_channel: "tcp_intranet".into(),
            message_id: format!("<{to}>"),
            ..Envelope::default()
        },
        header_len: header.len() as u32,
        content: Content::Inline(format!("{header}its text\r\n").into()),
        entries: vec![NewEntry {
            channel: "tcp_local".into(),
            host: "[127.0.0.1]".into(),
            recipients: vec![Recipient {
                address: to.into(),
                original: format!("rfc822;{to}"),
                intermediate: to.into(),
                ..Recipient::default()
            }],
            overlay: None,
            next_attempt: arrived,
            held: false,
            log_tag: String::new(),
        }],
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let path = site.root().join("queue");
        let (spool, _) =
            SegmentSpool::open(Arc::new(RealDisk), &path, Options::default()).expect("the queue opens");
        spool.enqueue(message).await.expect("the queue takes it");
        spool.close();
    });
}

#[test]
fn mail_grows_old_in_the_unit_of_return_units() {
    let sink = Sink::with(&[], |line, _| {
        line.starts_with("RCPT TO:")
            .then(|| "450 4.2.1 not today".to_string())
    });
    let site = Site::new();
    site.relay_to(sink.port(), "backoff \"pt1s\" notices 1 2 ");
    site.append("option.dat", "\nRETURN_UNITS=1\n");
    for (to, minutes) in [
        ("young@one.example", 50),
        ("older@one.example", 110),
        ("old@one.example", 121),
    ] {
        queue_old(&site, to, minutes);
    }
    let server = Server::start(&site);
    let returned = site.mail_with("alice", "Action: failed");
    for part in [
        "Final-recipient: rfc822;old@one.example",
        "Status: 5.4.7",
        "not today",
        "2 hours",
        "its text",
    ] {
        assert!(returned.contains(part), "{part} is not in\n{returned}");
    }
    let warning = site.mail_with("alice", "Action: delayed");
    for part in [
        "Final-recipient: rfc822;older@one.example",
        "Status: 4.2.1",
        "1 hour",
        "Will-retry-until: ",
    ] {
        assert!(warning.contains(part), "{part} is not in\n{warning}");
    }
    site.log_line(&["tcp_local", " R ", "old@one.example", "450 4.2.1 not today"]);
    site.log_line(&["tcp_local", " W ", "older@one.example", "450 4.2.1 not today"]);
    // each is told of once, however often what is left is tried
    until("more attempts", || {
        let tried = |e: &serde_json::Value| e["attempts"].as_u64() > Some(2);
        let queue = site.queue();
        (queue.len() == 2 && queue.iter().all(tried)).then_some(())
    });
    let mail = site.mail("alice");
    assert_eq!(mail.len(), 2, "{mail:?}");
    drop(server);

    // the same ages are nothing where the unit is days
    let site = Site::new();
    site.relay_to(sink.port(), "backoff \"pt1s\" notices 1 2 ");
    queue_old(&site, "old@one.example", 121);
    let _server = Server::start(&site);
    until("more attempts", || {
        (site.queue()[0]["attempts"].as_u64() > Some(1)).then_some(())
    });
    assert!(site.mail("alice").is_empty());
}
