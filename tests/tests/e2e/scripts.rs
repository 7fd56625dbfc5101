//! Scripts in a session: which ones see a message, and which message they see.

use tests::{Server, Site};

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
