//! Messages on their way: the next hop, retries, notifications, the operator's hands.

use std::process::Command;

use tests::{Ran, Server, Sink, Site, until};

const MESSAGE: &str = "From: <alice@example.com>\r\nSubject: a message\r\n\r\n.\r\nits text";

/// A site whose Internet mail goes to a sink, and a retry every second.
fn relayed_to(sink: &Sink) -> (Site, Server) {
    let site = Site::new();
    site.relay_to(sink.port(), "backoff \"pt1s\"");
    let server = Server::start(&site);
    (site, server)
}

fn wait_for_empty_queue(site: &Site) {
    until("an empty queue", || site.queue().is_empty().then_some(()));
}

#[test]
fn one_message_goes_to_every_recipient_once() {
    let sink = Sink::start();
    let (site, server) = relayed_to(&sink);
    let mut client = server.inside();
    client.hello();
    let to = [
        "x@one.example",
        "y@one.example",
        "z@two.example",
        "alice@example.com",
        "bob@example.com",
        "x@one.example",
    ];
    client.mail("alice@example.com", &to, MESSAGE).expect(250);
    wait_for_empty_queue(&site);
    let mut relayed: Vec<String> = sink.received().into_iter().flat_map(|m| m.rcpt).collect();
    relayed.sort();
    let bare: Vec<&str> = relayed
        .iter()
        .filter_map(|l| l.split(['<', '>']).nth(1))
        .collect();
    assert_eq!(bare, ["x@one.example", "y@one.example", "z@two.example"]);
    for message in sink.received() {
        assert!(
            message.mail.starts_with("MAIL FROM:<alice@example.com>"),
            "{message:?}"
        );
        assert!(message.data.ends_with("\r\n\r\n.\r\nits text\r\n"), "{message:?}");
        assert!(
            message
                .data
                .starts_with("Received: from client.example ([127.0.0.1])\r\n"),
            "{message:?}"
        );
    }
    assert_eq!((site.mail("alice").len(), site.mail("bob").len()), (1, 1));
    assert!(
        site.mail("bob")[0].ends_with("\n\n.\nits text\n"),
        "{}",
        site.mail("bob")[0]
    );
}

#[test]
fn what_is_deferred_is_tried_again() {
    let sink = Sink::with(&["PIPELINING"], |line, times| {
        (line.starts_with("RCPT TO:<slow@") && times < 2).then(|| "450 4.2.1 not yet".to_string())
    });
    let (site, server) = relayed_to(&sink);
    server.mail_inside(
        "alice@example.com",
        &["slow@one.example", "quick@one.example"],
        MESSAGE,
    );
    wait_for_empty_queue(&site);
    let mut relayed: Vec<String> = sink.received().into_iter().flat_map(|m| m.rcpt).collect();
    relayed.sort();
    assert_eq!(relayed.len(), 2, "each recipient got it once: {relayed:?}");
    site.log_line(&["tcp_local", " Q", "slow@one.example", "450 4.2.1 not yet"]);
    site.log_line(&["tcp_local", " D", "slow@one.example"]);
    assert!(
        site.mail("alice").is_empty(),
        "nobody is told of a delay of seconds"
    );
}

#[test]
fn who_is_refused_for_good_is_reported_to_the_sender() {
    let sink = Sink::with(&["PIPELINING", "DSN"], |line, _| {
        line.starts_with("RCPT TO:<no")
            .then(|| "550 5.1.1 no such user here".to_string())
    });
    let (site, server) = relayed_to(&sink);
    let mut client = server.inside();
    client.hello();
    // these two make no report; they come first, so that a report of theirs would be there when the third is
    client.mail("", &["nobody1@one.example"], MESSAGE).expect(250);
    client.say("MAIL FROM:<alice@example.com>").expect(250);
    client
        .say("RCPT TO:<nobody2@one.example> NOTIFY=NEVER")
        .expect(250);
    client.data(MESSAGE).expect(250);
    site.log_line(&[
        "tcp_local",
        " K",
        "nobody2@one.example",
        "550 5.1.1 no such user here",
    ]);
    wait_for_empty_queue(&site);
    client
        .say("MAIL FROM:<alice@example.com> RET=FULL ENVID=mine")
        .expect(250);
    client
        .say("RCPT TO:<nobody3@one.example> NOTIFY=FAILURE ORCPT=rfc822;other@one.example")
        .expect(250);
    client.say("RCPT TO:<yes@one.example>").expect(250);
    client.data(MESSAGE).expect(250);
    let report = site.mail_with("alice", "multipart/report");
    wait_for_empty_queue(&site);
    site.log_line(&[
        "tcp_local",
        " R",
        "nobody3@one.example",
        "550 5.1.1 no such user here",
    ]);
    let parts = [
        "Return-Path: <>\n",
        "report-type=delivery-status",
        "Content-Type: text/plain",
        "Content-Type: message/delivery-status",
        "Original-envelope-id: mine\n",
        "Reporting-MTA: dns;",
        "Original-recipient: rfc822;other@one.example\n",
        "Final-recipient: rfc822;nobody3@one.example\n",
        "Action: failed\n",
        "Status: 5.1.1",
        "Diagnostic-code: smtp;550 5.1.1 no such user here",
        "Content-Type: message/rfc822",
        "Subject: a message\n",
        "its text\n",
    ];
    let lower = report.to_lowercase();
    let missing: Vec<_> = parts
        .iter()
        .filter(|p| !lower.contains(&p.to_lowercase()))
        .collect();
    assert!(missing.is_empty(), "{missing:?} not in\n{report}");
    assert!(
        !lower.contains("yes@one.example"),
        "who was not refused is not reported:\n{report}"
    );
    assert_eq!(site.mail("alice").len(), 1, "one report only");
    assert_eq!(sink.received().len(), 1);
}

/// A message, what its MAIL asks for, what the next hop does not offer, and what the report says.
#[test]
fn a_next_hop_that_lacks_an_extension_gets_no_broken_mail() {
    let sink = Sink::with(&["PIPELINING"], |_, _| None);
    let (site, server) = relayed_to(&sink);
    let mut client = server.inside();
    client.hello();
    let utf8 = "Subject: grüße\r\n\r\ntext";
    client.say("MAIL FROM:<alice@example.com> SMTPUTF8").expect(250);
    client.say("RCPT TO:<x@utf8.example>").expect(250);
    client.say("RCPT TO:<jürgen@utf8.example>").expect(250);
    client.data(utf8).expect(250);
    wait_for_empty_queue(&site);
    let report = site.mail_with("alice", "multipart/report");
    assert!(
        report.contains("5.6.7"),
        "RFC 6531 3.4 names the status:\n{report}"
    );
    assert!(sink.received().is_empty(), "{:?}", sink.received());
    let eight = "Subject: eight\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngrüße";
    client
        .say("MAIL FROM:<bob@example.com> BODY=8BITMIME")
        .expect(250);
    client.say("RCPT TO:<x@eight.example>").expect(250);
    client.data(eight).expect(250);
    wait_for_empty_queue(&site);
    // RFC 6152 3: converted, or returned; never sent as it is to a host that did not offer it
    let converted = sink.received().iter().any(|m| m.data.is_ascii());
    let returned = site.mail("bob").iter().any(|m| m.contains("5.6.3"));
    assert!(
        converted != returned,
        "converted: {converted}, returned: {returned}; {:?}",
        sink.received()
    );
    assert!(
        sink.received().iter().all(|m| m.data.is_ascii()),
        "{:?}",
        sink.received()
    );
}

#[test]
fn a_message_that_went_in_circles_is_held() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    let hops = |n: usize| "Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n".repeat(n);
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            &format!("{}Subject: fifty\r\n\r\nx", hops(50)),
        )
        .expect(250);
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            &format!("{}Subject: sixty\r\n\r\nx", hops(60)),
        )
        .expect(250);
    site.mail_with("alice", "Subject: fifty");
    let queue = until("the held one alone in the queue", || {
        Some(site.queue()).filter(|q| q.len() == 1)
    });
    assert_eq!(queue[0]["held"], true, "{queue:?}");
    assert!(
        queue[0]["file"].as_str().is_some_and(|f| f.ends_with(".HELD")),
        "{queue:?}"
    );
    let held = site.imsimta(["qm", "directory", "-held"]).expect(0);
    assert!(held.contains(".HELD"), "{held}");
    // held entries stay held over a restart
    server.terminate();
    let _server = Server::start(&site);
    assert_eq!(site.queue()[0]["held"], true);
    let said = site
        .imsimta(["qm", "release", "-channel=ims-ms", "-all"])
        .expect(0);
    assert!(said.contains("%QM-I-RELEASED"), "{said}");
    site.mail_with("alice", "Subject: sixty");
}

#[test]
fn the_operator_holds_releases_returns_and_deletes() {
    let sink = Sink::start();
    let (site, server) = relayed_to(&sink);
    site.imsimta(["qm", "stop", "tcp_local"]).expect(0);
    let mut client = server.inside();
    client.hello();
    for (n, host) in ["hold", "return", "delete"].iter().enumerate() {
        client
            .mail(
                "alice@example.com",
                &[&format!("x@{host}.example")],
                &format!("Subject: number {n}\r\n\r\nx"),
            )
            .expect(250);
    }
    let listed = site
        .imsimta(["qm", "directory", "-envelope", "tcp_local"])
        .expect(0);
    for host in ["hold", "return", "delete"] {
        assert!(
            listed.contains(&format!("Envelope To: x@{host}.example")),
            "{listed}"
        );
    }
    let summary = site.imsimta(["qm", "summarize"]).expect(0);
    assert!(
        summary
            .lines()
            .any(|l| l.starts_with("tcp_local ") && l.contains(" 3 ")),
        "{summary}"
    );
    let id = |host: &str| {
        let queue = site.queue();
        let found = queue.iter().find(|e| e["to"][0] == format!("x@{host}.example"));
        found.expect("the entry is in the queue")["id"].to_string()
    };
    let cases = [
        ("hold", "%QM-I-HELD"),
        ("return", "%QM-I-RETURNED"),
        ("delete", "%QM-I-DELETED"),
    ];
    for (action, said) in cases {
        let id = id(action);
        let out = site
            .imsimta(["qm", action, &format!("-id={id}"), "-json"])
            .expect(0);
        let done: serde_json::Value = serde_json::from_str(&out).expect("a JSON object");
        assert_eq!(done["id"].to_string(), id, "{out}");
        assert_eq!(
            (&done["ok"], &done["code"]),
            (&true.into(), &said.into()),
            "{out}"
        );
    }
    let report = site.mail_with("alice", "multipart/report");
    assert!(
        report.contains("x@return.example") && report.contains("number 1"),
        "{report}"
    );
    site.log_line(&["tcp_local", " R", "x@return.example"]);
    site.log_line(&["tcp_local", " K", "x@delete.example"]);
    assert_eq!(site.queue().len(), 1);
    // started again, the held one waits; released, it goes
    site.imsimta(["qm", "start", "tcp_local"]).expect(0);
    assert_eq!(site.queue()[0]["held"], true);
    site.imsimta(["qm", "release", "-all"]).expect(0);
    wait_for_empty_queue(&site);
    let sent = sink.received();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].data.contains("Subject: number 0"), "{sent:?}");
    // what is not there
    let none = site.imsimta(["qm", "release", "-all"]);
    assert_ne!(none.code, 0, "{none:?}");
}

#[test]
fn entries_of_a_channel_that_a_reload_removed_find_another() {
    let sink = Sink::start();
    let site = Site::new();
    site.relay_to(sink.port(), "");
    site.append(
        "imta.cnf",
        "\ntcp_extra smtp daemon [127.0.0.1] port 1 backoff \"pt1s\" logging\ntcp_extra-daemon\n",
    );
    site.replace(
        "imta.cnf",
        "! Everything else",
        "extra.example  $U%$D@tcp_extra-daemon\n! Everything else",
    );
    // the server complains of it, and nobody listens
    let server = Server::start_unheard(&site);
    server.mail_inside("alice@example.com", &["x@extra.example"], MESSAGE);
    site.log_line(&["tcp_extra", " Q", "x@extra.example"]);
    assert_eq!(site.queue()[0]["channel"], "tcp_extra");
    site.replace("imta.cnf", "extra.example  $U%$D@tcp_extra-daemon\n", "");
    site.replace(
        "imta.cnf",
        "\ntcp_extra smtp daemon [127.0.0.1] port 1 backoff \"pt1s\" logging\ntcp_extra-daemon\n",
        "",
    );
    site.imsimta(["reload"]).expect(0);
    wait_for_empty_queue(&site);
    assert_eq!(sink.received().len(), 1);
}

#[test]
fn what_would_be_addressed_anew_for_ever_comes_back() {
    let site = Site::new();
    site.replace("mappings", "  tcp_*|*|process|*                 $N\n", "");
    let server = Server::start(&site);
    server.mail_inside("alice@example.com", &["x%other.example@process"], MESSAGE);
    let report = site.mail_with("alice", "multipart/report");
    assert!(report.contains("5.4.6"), "{report}");
    wait_for_empty_queue(&site);
}

/// Postfix's own tools at both ends.
#[test]
fn postfix_sends_and_receives() {
    const MESSAGES: usize = 200;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("its address")
        .port();
    struct Guard(std::process::Child);
    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let tool = |name: &str| {
        let sbin = format!("/usr/sbin/{name}");
        Command::new(if std::path::Path::new(&sbin).exists() {
            &sbin
        } else {
            name
        })
    };
    let mut sink = tool("smtp-sink");
    // as root it wants somebody else to be
    if Ran::of(Command::new("id").arg("-u")).out.trim() == "0" {
        sink.args(["-u", "nobody"]);
    }
    let _sink = Guard(
        sink.arg(format!("127.0.0.1:{free}"))
            .arg("100")
            .spawn()
            .expect("smtp-sink; `tests/run --prepare` installs it"),
    );
    let site = Site::new();
    site.relay_to(free, "backoff \"pt1s\"");
    let server = Server::start(&site);
    let target = server.smtp().to_string();
    let count = MESSAGES.to_string();
    for to in ["x@other.example", "alice@example.com"] {
        let args = [
            "-s",
            "10",
            "-m",
            &count,
            "-l",
            "2000",
            "-f",
            "bob@example.com",
            "-t",
            to,
            &target,
        ];
        Ran::of(tool("smtp-source").args(args)).expect(0);
    }
    wait_for_empty_queue(&site);
    until("all in the mailbox", || {
        (site.mail("alice").len() == MESSAGES).then_some(())
    });
    let sent = || {
        site.log()
            .lines()
            .filter(|l| l.contains("tcp_local ") && l.contains(" DE") && l.contains("x@other.example"))
            .count()
    };
    until("all at the sink", || (sent() == MESSAGES).then_some(()));
}
