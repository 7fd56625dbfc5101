//! The tables of the sending side: what they let out, put off, refuse, and lead elsewhere.

use tests::{Server, Sink, Site, until};

const MESSAGE: &str = "From: <alice@example.com>\r\nSubject: a message\r\n\r\nits text";

/// A site whose Internet mail goes to a port, with a table.
fn site(port: u16, table: &str) -> Site {
    let site = Site::new();
    site.relay_to(port, "backoff \"pt1s\"");
    site.append("mappings", &format!("\n{table}"));
    site
}

/// A table that builds more text than it may, whatever it is asked.
fn endless(table: &str) -> String {
    format!("{table}\n\n{}", "  *  $C$0$0\n".repeat(30))
}

fn send(server: &Server, to: &str) {
    server.mail_inside("alice@example.com", &[to], MESSAGE);
}

fn wait_for_empty_queue(site: &Site) {
    until("an empty queue", || site.queue().is_empty().then_some(()));
}

#[test]
fn what_dequeue_access_puts_off_is_not_counted_as_tried() {
    let sink = Sink::start();
    let entry = "  tcp_local|ZZ*|*|alice@example.com|*|*|0|[127.0.0.1]  $N$S1|not$ before$ noon\n";
    let site = site(sink.port(), &format!("DEQUEUE_ACCESS\n\n{entry}"));
    let server = Server::start(&site);
    send(&server, "x@one.example");
    let put_off = "DEQUEUE_ACCESS puts this attempt off: not before noon";
    until("two attempts", || {
        let attempts = site.log().lines().filter(|l| l.contains(put_off)).count();
        (attempts >= 2).then_some(())
    });
    site.log_line(&["tcp_local", " Q ", "x@one.example", put_off]);
    assert_eq!(site.queue()[0]["attempts"], 0, "{:?}", site.queue());
    assert!(sink.lines().is_empty(), "{:?}", sink.lines());
    site.replace("mappings", entry, "  bitbucket|*  $N\n");
    site.imsimta(["reload"]).expect(0);
    wait_for_empty_queue(&site);
    assert_eq!(sink.received().len(), 1);
}

#[test]
fn a_dequeue_access_without_a_verdict_defers() {
    let sink = Sink::start();
    let site = site(sink.port(), &endless("DEQUEUE_ACCESS"));
    let server = Server::start(&site);
    send(&server, "x@one.example");
    site.log_line(&["tcp_local", " Q ", "DEQUEUE_ACCESS came to no verdict: "]);
    until("an attempt that counts", || {
        (site.queue()[0]["attempts"].as_u64() > Some(0)).then_some(())
    });
    assert!(sink.lines().is_empty(), "{:?}", sink.lines());
}

#[test]
fn ip_access_refuses_skips_and_leads_elsewhere() {
    let sink = Sink::start();
    // 127.0.0.2 has nobody at the sink's port
    let entries = "  tcp_local|1|1|127.0.0.1|[127.0.0.1]  $I\n";
    let site = site(sink.port(), &format!("IP_ACCESS\n\n{entries}"));
    let server = Server::start(&site);
    send(&server, "x@one.example");
    let skipped = "IP_ACCESS skips 127.0.0.1 of [127.0.0.1]";
    site.log_line(&["tcp_local", " Q ", "x@one.example", skipped]);
    assert!(sink.lines().is_empty(), "{:?}", sink.lines());

    site.replace("mappings", entries, "  *|127.0.0.1|*  $A127.0.0.2\n");
    let said = site.imsimta(["reload"]).expect(0);
    assert!(!said.contains("M020"), "it is asked: {said}");
    site.log_line(&["tcp_local", " Q ", "x@one.example", "connect() 127.0.0.2:"]);

    site.replace(
        "mappings",
        "  *|127.0.0.1|*  $A127.0.0.2\n",
        "  *|127.0.0.1|*  $NPrivate$ address\n",
    );
    site.imsimta(["reload"]).expect(0);
    let reason = "IP_ACCESS refuses 127.0.0.1: Private address";
    site.log_line(&["tcp_local", " R ", "x@one.example", reason]);
    let report = site.mail_with("alice", "multipart/report");
    assert!(report.contains("Status: 5.1.2"), "{report}");
    assert!(!report.contains("Private"), "{report}");
    wait_for_empty_queue(&site);
    assert!(sink.lines().is_empty(), "{:?}", sink.lines());
}

#[test]
fn an_ip_access_without_a_verdict_defers() {
    let sink = Sink::start();
    let site = site(sink.port(), &endless("IP_ACCESS"));
    let server = Server::start(&site);
    send(&server, "x@one.example");
    site.log_line(&["tcp_local", " Q ", "IP_ACCESS came to no verdict on 127.0.0.1"]);
    assert!(sink.lines().is_empty(), "{:?}", sink.lines());
}

#[test]
fn tls_access_sees_the_certificate_of_the_next_hop() {
    let next = Site::new();
    let next_server = Server::start(&next);
    let entry = "  TCP|*|SMTP/TLS-*/mail.example.com|tcp_local|CN=mail.example.com|CN=mail.example.com|";
    let site = site(
        next_server.smtp().port(),
        &format!("TLS_ACCESS\n\n{entry}  $Nself-signed\n"),
    );
    site.replace("imta.cnf", "tcp_local smtp ", "tcp_local smtp maytls ");
    let server = Server::start(&site);
    send(&server, "x@one.example");
    let note = "(TLS failed, continued without: TLS_ACCESS refuses it: self-signed)";
    site.log_line(&["tcp_local", " D", "x@one.example", note]);
    site.replace("mappings", "$Nself-signed", "$Fself-signed");
    site.imsimta(["reload"]).expect(0);
    send(&server, "x@two.example");
    let refused = "TLS_ACCESS refuses this session: self-signed";
    site.log_line(&["tcp_local", " Q ", "x@two.example", refused]);
}
