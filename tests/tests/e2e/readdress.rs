//! Recipients that stand for others, wait for their mailbox, or are addressed anew.

use tests::{Server, Site, until};

const MESSAGE: &str = "Subject: a message\r\n\r\nits text";

fn wait_for_empty_queue(site: &Site) {
    until("an empty queue", || site.queue().is_empty().then_some(()));
}

/// The one entry of a channel, once it is there and has had its attempt.
fn entry(site: &Site, channel: &str) -> u64 {
    until(&format!("an entry of {channel}"), || {
        let queue = site.queue();
        let entry = queue.iter().find(|e| e["channel"] == channel)?;
        let waits = entry["held"] == true || entry["attempts"].as_u64() > Some(0);
        waits.then(|| entry["id"].as_u64()).flatten()
    })
}

fn set_status(site: &Site, user: &str, status: &str) {
    let users = site.text("users");
    let line = users
        .lines()
        .find(|l| l.starts_with(&format!("user: {user} ")))
        .expect("the user");
    let bare: Vec<&str> = line
        .split(' ')
        .filter(|word| !word.starts_with("status="))
        .collect();
    let new = format!("{} status={status}", bare.join(" "));
    site.replace("users", line, &new);
}

fn release(site: &Site, channel: &str) {
    entry(site, channel);
    site.imsimta(["reload"]).expect(0);
    let of = format!("-channel={channel}");
    site.imsimta(["qm", "release", &of, "-all"]).expect(0);
}

#[test]
fn a_list_with_a_member_that_nobody_is_goes_to_the_others_and_the_sender_is_told() {
    let site = Site::new();
    site.append(
        "aliases",
        "\nstaff@example.com: alice@example.com, nobody.here@example.com\n",
    );
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    client
        .mail("bob@example.com", &["staff@example.com"], MESSAGE)
        .expect(250);
    assert!(site.mail_with("alice", "Subject: a message").contains("its text"));
    let report = site.mail_with("bob", "multipart/report");
    for part in [
        "nobody.here@",
        "Status: 5.1.1",
        "550 5.1.1 unknown or illegal alias",
        "its text",
    ] {
        assert!(report.contains(part), "{part} is not in\n{report}");
    }
    assert!(!report.contains("Final-recipient: rfc822;alice"), "{report}");
    site.log_line(&[" J", "nobody.here@", "550 5.1.1"]);
    wait_for_empty_queue(&site);
    // a large message is told of by its header
    let body = "0123456789abcdef\r\n".repeat(10_000);
    let large = format!("Subject: large\r\n\r\n{body}");
    client
        .mail("bob@example.com", &["staff@example.com"], &large)
        .expect(250);
    let report = site.mail_with("bob", "Subject: large");
    assert!(
        report.contains("Content-type: text/rfc822-headers")
            || report.contains("Content-Type: text/rfc822-headers"),
        "{report}"
    );
    assert!(!report.contains("0123456789abcdef"), "{report}");
}

#[test]
fn an_inactive_member_waits_and_the_list_does_not() {
    let site = Site::new();
    site.append(
        "aliases",
        "\nstaff@example.com: alice@example.com, bob@example.com\n",
    );
    set_status(&site, "bob", "inactive");
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    // alone it is refused, for the time being
    client.say("MAIL FROM:<alice@example.com>").expect(250);
    let reply = client.say("RCPT TO:<bob@example.com>");
    assert!(reply.line().starts_with("452 4.2.1 "), "{}", reply.line());
    client
        .say("RCPT TO:<staff@example.com> NOTIFY=SUCCESS")
        .expect(250);
    client.data(MESSAGE).expect(250);
    site.mail_with("alice", "Subject: a message");
    entry(&site, "reprocess");
    set_status(&site, "bob", "active");
    release(&site, "reprocess");
    site.mail_with("bob", "Subject: a message");
    wait_for_empty_queue(&site);
    // each of the two is told of once, when the mailbox has it
    let reports = || {
        site.mail("alice")
            .iter()
            .filter(|m| m.contains("Action: delivered"))
            .count()
    };
    until("two reports", || (reports() >= 2).then_some(()));
    wait_for_empty_queue(&site);
    assert_eq!(reports(), 2);
    site.log_line(&["reprocess", " D", "bob@"]);
}

#[test]
fn what_is_on_hold_is_delivered_once_it_is_released() {
    let site = Site::new();
    set_status(&site, "bob", "hold");
    let server = Server::start(&site);
    server.mail_outside("x@one.example", &["bob@example.com"], MESSAGE);
    entry(&site, "hold");
    // released too early it is held again
    release(&site, "hold");
    entry(&site, "hold");
    assert!(site.mail("bob").is_empty());
    set_status(&site, "bob", "active");
    release(&site, "hold");
    site.mail_with("bob", "Subject: a message");
    wait_for_empty_queue(&site);
}

#[test]
fn the_header_that_a_table_added_is_returned_whole_and_alone() {
    let site = Site::new();
    let added = "X-Marked:$ a$ rather$ long$ line$ that$ moves$ the$ body";
    site.append(
        "mappings",
        &format!("\nMAIL_ACCESS\n\n  *|*|*|*|tcp_local|*  $Y$A{added}\n"),
    );
    // nothing listens there: the operator returns it
    site.relay_to(1, "backoff \"pt1h\"");
    let server = Server::start(&site);
    let mut client = server.inside();
    client.hello();
    client.say("MAIL FROM:<alice@example.com> RET=HDRS").expect(250);
    client.say("RCPT TO:<x@one.example>").expect(250);
    client.data(MESSAGE).expect(250);
    entry(&site, "tcp_local");
    site.imsimta(["qm", "return", "-channel=tcp_local", "-all"])
        .expect(0);
    let report = site.mail_with("alice", "multipart/report");
    assert!(
        report.contains("X-Marked: a rather long line that moves the body\n"),
        "{report}"
    );
    assert!(report.contains("Subject: a message\n"), "{report}");
    assert!(!report.contains("its text"), "{report}");
}

#[test]
fn without_a_process_channel_reprocess_takes_the_notifications() {
    // what is left of the channels that address anew, and which one has the notification
    for (gone, takes) in [
        (&["process"][..], "reprocess"),
        (&["process", "reprocess"], "process"),
    ] {
        let site = Site::new();
        for channel in gone {
            site.replace("imta.cnf", &format!("\n{channel}\n{channel}-daemon\n"), "");
        }
        site.append(
            "aliases",
            "\nstaff@example.com: alice@example.com, nobody.here@example.com\n",
        );
        let server = Server::start(&site);
        server.mail_outside("bob@example.com", &["staff@example.com"], MESSAGE);
        let report = site.mail_with("bob", "multipart/report");
        assert!(report.contains("nobody.here@"), "{report}");
        site.log_line(&[&format!(" {takes} "), " E", "rfc822;bob@example.com"]);
        wait_for_empty_queue(&site);
    }
}
