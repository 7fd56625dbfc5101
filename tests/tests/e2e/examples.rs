//! The example sites run as they stand, but for ports and the servers that they relay to.

use std::path::Path;

use tests::{Server, Sink, Site, until};

/// A copy of an example site, on free ports.
fn example(name: &str) -> Site {
    let site = Site::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
        .join("config");
    std::fs::remove_dir_all(site.root().join("config")).expect("the new site");
    std::fs::create_dir(site.root().join("config")).expect("a folder");
    for entry in std::fs::read_dir(folder).expect("the example") {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("its name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a text");
        let fixed = |line: &str| match line.split_once("PORT=") {
            Some((before, _)) => format!("{before}PORT=0\n"),
            None => format!("{line}\n"),
        };
        site.write(&name, &text.lines().map(fixed).collect::<String>());
    }
    site
}

#[test]
fn hosted_takes_mail_for_all_its_domains() {
    let sink = Sink::start();
    let site = example("hosted");
    site.replace(
        "imta.cnf",
        "tcp_customer smtp nomx",
        &format!("tcp_customer smtp daemon [127.0.0.1] port {}", sink.port()),
    );
    let server = Server::start(&site);
    let send = |to: &str, subject: &str| {
        let mut client = server.outside();
        client.hello();
        client.mail(
            "x@far.example",
            &[to],
            &format!("Subject: {subject}\r\n\r\nits text"),
        )
    };
    send("sales@old-shop.example", "an old name").expect(250);
    assert!(
        site.mail_with("anna", "Subject: an old name")
            .contains("its text")
    );
    assert!(site.mail_with("ben", "Subject: an old name").contains("its text"));
    send("whoever@club.example", "for whom").expect(250);
    assert!(site.mail_with("dora", "Subject: for whom").contains("its text"));
    send("x@pc.factory.example", "elsewhere").expect(250);
    let sent = until("the customer's mail", || sink.received().into_iter().next());
    assert!(
        sent.rcpt[0].starts_with("RCPT TO:<x@pc.factory.example>"),
        "{:?}",
        sent.rcpt
    );
    let mut client = server.outside();
    client.hello();
    client.say("MAIL FROM:<x@far.example>").expect(250);
    for (to, reply) in [
        ("bob@gone.example", "550 5.1.2 This domain has moved"),
        ("nobody@shop.example", "550 5.1.1 "),
        ("x@elsewhere.example", "550 5.7.1 Relaying not allowed"),
    ] {
        let said = client.say(&format!("RCPT TO:<{to}>")).line();
        assert!(said.starts_with(reply), "{to}: {said}");
    }
}

#[test]
fn hub_hides_what_is_behind_it() {
    let sink = Sink::start();
    let site = example("hub");
    for (channel, host) in [
        ("tcp_local smtp mx", "tcp_local smtp"),
        ("daemon decnet-gateway.corp.example", ""),
    ] {
        let here = format!("{host} daemon [127.0.0.1] port {}", sink.port());
        site.replace("imta.cnf", channel, here.trim_start());
    }
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    client
        .mail(
            "x@far.example",
            &["alan.turing@corp.example"],
            "To: alan.turing@corp.example\r\n\r\nin",
        )
        .expect(250);
    let inbound = until("the mail for the VAX", || sink.received().into_iter().next());
    assert!(
        inbound.rcpt[0].starts_with("RCPT TO:<alan@vax1>"),
        "{:?}",
        inbound.rcpt
    );
    assert!(
        inbound.data.contains("To: alan.turing@corp.example\r\n"),
        "{}",
        inbound.data
    );
    let refused = |to: &str, reply: &str| {
        let mut client = server.outside();
        client.hello();
        client.say("MAIL FROM:<x@far.example>").expect(250);
        let said = client.say(&format!("RCPT TO:<{to}>")).line();
        assert!(said.starts_with(reply), "{to}: {said}");
    };
    refused("5551234@office.fax", "550 5.1.2 Faxes are sent");
    refused("joe@vax2.old", "550 5.1.2 vax2 was switched off");
    refused("a%b.example@corp.example", "550 5.7.1 Relaying not allowed");
    refused("site!joe@corp.example", "550 5.7.1 ");
    refused("nobody@corp.example", "550 5.1.1 ");
    let mut client = server.inside();
    client.hello();
    let text =
        "From: Alan <alan@vax1.decnet>\r\nCc: y@pc3.sales.corp.example\r\nTo: x@far.example\r\n\r\nout";
    client
        .mail("alan@vax1.decnet", &["x@far.example"], text)
        .expect(250);
    let outbound = until("the mail for the world", || sink.received().into_iter().nth(1));
    for part in [
        "From: Alan <alan.turing@corp.example>\r\n",
        "Cc: y@corp.example\r\n",
        "To: x@far.example\r\n",
    ] {
        assert!(
            outbound.data.contains(part),
            "{part} is not in\n{}",
            outbound.data
        );
    }
    assert!(
        outbound.mail.starts_with("MAIL FROM:<alan.turing@corp.example>"),
        "{}",
        outbound.mail
    );
}
