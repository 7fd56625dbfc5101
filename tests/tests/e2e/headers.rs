//! What becomes of the addresses in a header.

use tests::{Server, Sink, Site, until};

const MESSAGE: &str = "From: \"Alice (at work)\"\r\n <alice@example.com>\r\nTo: bob@example.com, x@far.example\r\n\
                       Cc: carol (no domain)\r\nReply-To: a b c\r\nSubject: addresses\r\n\r\nFrom: alice@example.com\r\n";

/// A site whose own addresses have another domain outside.
fn reversing(sink: &Sink) -> Site {
    let site = Site::new();
    site.relay_to(sink.port(), "");
    site.append("option.dat", "\nUSE_REVERSE_DATABASE=13\n");
    site.append(
        "mappings",
        "\nREVERSE\n\n  *|tcp_local|*@example.com  $1@out.example.com$Y\n",
    );
    site
}

#[test]
fn each_channel_has_its_own_addresses_and_nothing_else_changes() {
    let sink = Sink::start();
    let site = reversing(&sink);
    let server = Server::start(&site);
    let mut client = server.inside();
    client.hello();
    client
        .mail(
            "alice@example.com",
            &["bob@example.com", "x@far.example"],
            MESSAGE,
        )
        .expect(250);
    let local = site.mail_with("bob", "Subject: addresses");
    for part in [
        "From: \"Alice (at work)\"\n <alice@example.com>\n",
        "Cc: carol@example.com (no domain)\n",
        "Reply-To: a b c\n",
    ] {
        assert!(
            local.replace('\r', "").contains(part),
            "{part} is not in\n{local}"
        );
    }
    let sent = until("the message out", || sink.received().into_iter().next()).data;
    for part in [
        "From: \"Alice (at work)\"\n <alice@out.example.com>\n",
        "To: bob@out.example.com, x@far.example\n",
        "Cc: carol@out.example.com (no domain)\n",
        "\nFrom: alice@example.com\n",
    ] {
        assert!(sent.replace('\r', "").contains(part), "{part} is not in\n{sent}");
    }
    client.say("QUIT").expect(221);
    let trace = until("the session's record", || {
        let said = site.sluice(["explain", "--last"]).expect(0);
        said.contains("C: QUIT").then_some(said)
    });
    let said = "header for channel tcp_local: alice@example.com becomes alice@out.example.com";
    assert!(trace.contains(said), "{trace}");
    assert!(!trace.contains("x@far.example becomes"), "{trace}");
}

#[test]
fn a_message_without_recipient_fields_is_dealt_with_as_the_channel_says() {
    let site = Site::new();
    let keyword = |from: &str, to: &str| {
        site.replace(
            "imta.cnf",
            &format!("tcp_intranet {from}smtp"),
            &format!("tcp_intranet {to}smtp"),
        )
    };
    keyword("", "missingrecipientpolicy 4 ");
    let server = Server::start(&site);
    let send = |text: &str| {
        let mut client = server.inside();
        client.hello();
        let recipients = ["alice@example.com", "bob@example.com"];
        client.mail(
            "bob@example.com",
            &recipients,
            &format!("Subject: {text}\r\n\r\nits text"),
        )
    };
    send("group").expect(250);
    assert!(
        site.mail_with("alice", "Subject: group")
            .contains("\nTo: \"Recipients not specified\": ;")
    );
    let reload = |from: &str, to: &str| {
        keyword(from, to);
        site.imsimta(["reload"]).expect(0);
    };
    reload("missingrecipientpolicy 4 ", "missingrecipientpolicy 2 ");
    send("all").expect(250);
    let all = site.mail_with("alice", "Subject: all").replace('\r', "");
    assert!(
        all.contains("\nTo: <alice@example.com>,\n <bob@example.com>\n\n"),
        "{all}"
    );
    reload("missingrecipientpolicy 2 ", "missingrecipientpolicy 6 ");
    send("refused").expect(554);
    site.log_line(&[" J", "alice@example.com", "554 5.6.0"]);
    keyword("missingrecipientpolicy 6 ", "missingrecipientpolicy 7 ");
    let said = site.imsimta(["reload"]);
    assert_eq!(said.code, 3);
    assert!(
        said.err.contains("`missingrecipientpolicy` takes 0 to 6"),
        "{}",
        said.err
    );
}

#[test]
fn what_a_script_redirects_has_the_addresses_of_where_it_goes() {
    let sink = Sink::start();
    let site = reversing(&sink);
    let scripts = site.root().join("sieve");
    std::fs::create_dir_all(&scripts).expect("a folder");
    std::fs::write(scripts.join("bob.sieve"), "redirect \"x@far.example\";").expect("a script");
    let server = Server::start(&site);
    server.mail_inside("alice@example.com", &["bob@example.com"], MESSAGE);
    let sent = until("the message out", || sink.received().into_iter().next()).data;
    assert!(sent.contains("\r\n <alice@out.example.com>\r\n"), "{sent}");
}
