//! Scripts in a session: which ones see a message, and which message they see.

use tests::{Server, Site, until};

/// 70 octets and CRLF.
fn line() -> String {
    format!("{}\r\n", "0123456789".repeat(7))
}

fn big(subject: &str, mebibytes: usize) -> String {
    let line = line();
    let lines = mebibytes * 1024 * 1024 / line.len();
    format!("Subject: {subject}\r\n\r\n{}end", line.repeat(lines))
}

#[test]
fn a_transaction_keeps_the_scripts_that_it_began_with() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut open = server.outside();
    open.hello();
    open.say("MAIL FROM:<x@one.example>").expect(250);
    open.say("RCPT TO:<alice@example.com>").expect(250);
    site.write("imta.filter", "require \"reject\";\nreject \"not today\";\n");
    site.imsimta(["reload"]).expect(0);
    open.data("Subject: open\r\n\r\nx").expect(250);
    let reply = open.mail("x@one.example", &["alice@example.com"], "Subject: next\r\n\r\nx");
    assert_eq!(reply.line(), "550 5.7.1 not today");
    site.mail_with("alice", "Subject: open");
    site.log_line(&[" JE ", "alice@", "550 5.7.1 not today"]);
}

#[test]
fn a_message_too_large_for_scripts_is_kept_and_says_so() {
    let site = Site::new();
    site.write("imta.filter", "discard;\n");
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    for (subject, mebibytes) in [("small", 1), ("large", 33)] {
        client
            .mail("x@one.example", &["alice@example.com"], &big(subject, mebibytes))
            .expect(250);
    }
    client.say("QUIT").expect(221);
    site.mail_with("alice", "Subject: large");
    assert_eq!(site.mail("alice").len(), 1, "what scripts could see is discarded");
    let trace = site.sluice(["explain", "--last"]).expect(0);
    let said = trace.matches("was not filtered: scripts see messages up to 33554432 octets");
    assert_eq!(said.count(), 1, "{trace}");
}

#[test]
fn a_large_message_without_a_script_takes_little_memory() {
    let site = Site::new();
    // somebody has a script; the recipient of the message has none
    std::fs::create_dir_all(site.root().join("sieve")).expect("a folder");
    std::fs::write(site.root().join("sieve/bob.sieve"), "keep;\n").expect("a script");
    let server = Server::start(&site);
    site.imsimta(["qm", "stop", "tcp_local"]).expect(0);
    let mut client = server.inside();
    client.hello();
    let before = server.memory("VmRSS");
    client
        .mail("alice@example.com", &["x@other.example"], &big("large", 30))
        .expect(250);
    let more = server.memory("VmHWM").saturating_sub(before);
    assert!(more < 12 * 1024, "{more} KiB more for 30 MiB");
    // a script sees the whole of a message that went to a file
    std::fs::write(
        site.root().join("sieve/bob.sieve"),
        "require [\"body\", \"reject\"];\nif body :contains \"789\\r\\nend\" { reject \"read to the end\"; }\n"
            .replace("\\r\\n", "\r\n"),
    )
    .expect("a script");
    let reply = client.mail("alice@example.com", &["bob@example.com"], &big("read", 1));
    assert_eq!(reply.line(), "550 5.7.1 read to the end");
}

/// Gives a user a script.
fn script(site: &Site, user: &str, text: &str) {
    let folder = site.root().join("sieve");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{user}.sieve")), text).expect("a script");
}

#[test]
fn who_gets_mail_by_redirect_has_a_script_that_sees_it() {
    let site = Site::new();
    script(&site, "alice", "redirect \"bob@example.com\";\n");
    let bobs = "require [\"editheader\", \"reject\"];\n\
        if header :contains \"subject\" \"offer\" { reject \"bob wants no offers\"; stop; }\n\
        addheader \"X-Seen-By\" \"bob\";\n";
    script(&site, "bob", bobs);
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    client
        .mail("x@one.example", &["alice@example.com"], "Subject: news\r\n\r\nx")
        .expect(250);
    let mail = site.mail_with("bob", "Subject: news");
    assert!(mail.contains("X-Seen-By: bob\n"), "{mail}");
    assert!(
        !mail.contains("X-Sieve-Redirected-From") && mail.matches("Received: ").count() == 2,
        "{mail}"
    );
    // bob's own mail is refused in the session; what comes by way of alice is returned
    let offer = "Subject: an offer\r\n\r\nx";
    let reply = client.mail("alice@example.com", &["bob@example.com"], offer);
    assert_eq!(reply.line(), "550 5.7.1 bob wants no offers");
    script(
        &site,
        "alice",
        "if header :contains \"subject\" \"offer\" { redirect \"bob@example.com\"; }\n",
    );
    client
        .mail("alice@example.com", &["alice@example.com"], offer)
        .expect(250);
    let report = site.mail_with("alice", "multipart/report");
    for part in ["Status: 5.7.1", "bob wants no offers", "Subject: an offer"] {
        assert!(report.contains(part), "{part} is not in\n{report}");
    }
    site.log_line(&["process ", " J", "bob@", "550 5.7.1 bob wants no offers"]);
    until("an empty queue", || site.queue().is_empty().then_some(()));
    assert_eq!(site.mail("bob").len(), 1);
}

#[test]
fn scripts_that_redirect_to_each_other_make_no_loop() {
    let site = Site::new();
    script(&site, "alice", "redirect \"bob@example.com\";\n");
    script(
        &site,
        "bob",
        "redirect \"alice@example.com\";\nredirect \"bob+again@example.com\";\n",
    );
    let server = Server::start(&site);
    server.mail_outside("x@one.example", &["alice@example.com"], "Subject: round\r\n\r\nx");
    site.mail_with("bob", "Subject: round");
    until("an empty queue", || site.queue().is_empty().then_some(()));
    let (alices, bobs) = (site.mail("alice"), site.mail("bob"));
    assert!(alices.len() <= 2 && bobs.len() <= 4, "{alices:?}\n{bobs:?}");
    for mail in alices.iter().chain(&bobs) {
        assert!(mail.matches("X-Sieve-Redirected-From: ").count() <= 2, "{mail}");
    }
}
