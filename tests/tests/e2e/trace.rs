//! One message through everything, and the trace that shows all of it.

use tests::{Client, Server, Site};

/// Connection with a throttle, rewriting with the domain check, INTERNAL_IP, a sequence number, the spool, the
/// mailbox, LOG_ACTION, and one trace of it with the places of the rules.
#[test]
fn one_message_through_every_part_is_explained_as_one_trace() {
    let site = Site::new();
    // two callouts with an effect: connections are counted, and so are messages to counted@example.com
    site.replace(
        "mappings",
        "  *|*|*|*|*  $C$|INTERNAL_IP;$3|$Y$E\n",
        "  TCP|*|*|*|*  $C$:A$[IMTA_LIB:conn_throttle.so,throttle,$2,2]$N421$ 4.7.0$ Too$ many$ connections$E\n\
         \x20 *|*|*|*|*  $C$|INTERNAL_IP;$3|$Y$E\n",
    );
    site.replace(
        "mappings",
        "ORIG_SEND_ACCESS\n\n",
        "ORIG_SEND_ACCESS\n\n  tcp_*|*|l|counted@*  $Y$AX-Count:$ $#IMTA_TABLE:count|10|4#\n",
    );
    site.write("count", "41");
    site.append(
        "aliases",
        "counted@&/IMTA_DEFAULTDOMAIN/: alice@&/IMTA_DEFAULTDOMAIN/\n",
    );
    // LOG_ACTION: the E entry names the group, the D entry of the group is not written
    site.append(
        "mappings",
        "\nLOG_ACTION\n\n  tcp_*|ims-ms|EE|*|*|*counted@*|*  $Tcounted\n  counted|ims-ms||D|*  $N\n",
    );
    let server = Server::start(&site);
    let mut client = server.inside();
    client.hello();
    client
        .mail(
            "bob@example.com",
            &["counted@example.com"],
            "Subject: counted\r\n\r\ntext",
        )
        .expect(250);
    client
        .mail(
            "bob@example.com",
            &["alice@example.com"],
            "Subject: plain\r\n\r\ntext",
        )
        .expect(250);
    client.say("QUIT").expect(221);
    // the spool, the mailbox
    let counted = site.mail_with("alice", "Subject: counted");
    assert!(
        counted.starts_with("Return-Path: <bob@example.com>\n"),
        "{counted}"
    );
    assert!(counted.contains("\nX-Count: 0042\n"), "{counted}");
    assert_eq!(
        std::fs::read_to_string(site.config("count"))
            .expect("the sequence")
            .trim(),
        "42"
    );
    site.mail_with("alice", "Subject: plain");
    // the log: E of both, D only of the message that LOG_ACTION left alone
    site.log_line(&[" EE ", "counted@example.com"]);
    let d = site.log_line(&["ims-ms", " D ", "alice@example.com"]);
    assert!(d.contains("rfc822;alice@example.com"), "{d}");
    assert!(
        !site
            .log()
            .lines()
            .any(|l| l.contains(" D ") && l.contains("counted@")),
        "{}",
        site.log()
    );
    // the throttle: the second connection of the minute passes, the third does not
    let mut second = server.inside();
    second.say("QUIT").expect(221);
    let mut third = Client::connect(server.smtp(), "127.0.0.1").expect("a connection");
    assert_eq!(third.reply().line(), "421 4.7.0 Too many connections");
    assert!(third.next_reply().is_none(), "the server closes");
    // one trace
    let trace = site.sluice(["explain", "--last", "3"]).expect(0);
    let first = trace.split("Session of ").nth(1).expect("three sessions");
    let wanted = [
        "PORT_ACCESS applied to \"TCP|127.0.0.1|",
        "conn_throttle.so,throttle,127.0.0.1,2",
        "INTERNAL_IP applied to \"127.0.0.1\"",
        "source channel: switched from tcp_local to tcp_intranet",
        "C: RCPT TO:<counted@example.com>",
        "asks: is domain example.com local?",
        "ORIG_SEND_ACCESS applied to \"tcp_intranet|bob@example.com|l|counted@example.com\"",
        "0042",
        "accepted: alice@ims-ms-daemon by channel ims-ms",
        "S: 250 2.5.0 Ok",
    ];
    let mut rest = first;
    for part in wanted {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part:?} is missing, or not in its order, in\n{first}"));
        rest = &rest[at..];
    }
    // places: the entry of the sequence, by its file and line
    let line = 1 + site
        .text("mappings")
        .lines()
        .position(|l| l.contains("counted@*  $Y$A"))
        .expect("the entry");
    let place = format!("{}:{line}:", site.config("mappings").display());
    assert!(first.contains(&place), "{place} in\n{first}");
    assert!(
        first.contains(&format!("{}:", site.config("imta.cnf").display())),
        "{first}"
    );
    assert!(trace.contains("421 4.7.0 Too many connections"), "{trace}");
}
