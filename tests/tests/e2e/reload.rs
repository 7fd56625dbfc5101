//! A changed policy: tried without sending, put in force as a whole, or not at all.

use tests::{Server, Site, until};

const CLOSED: &str = "ORIG_SEND_ACCESS\n\n  *|*|l|alice@*  $X4.7.1|$NClosed$ today\n";

#[test]
fn a_changed_entry_is_tried_then_put_in_force() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut open = server.outside();
    open.hello();
    open.say("MAIL FROM:<x@one.example>").expect(250);
    site.replace("mappings", "ORIG_SEND_ACCESS\n\n", CLOSED);
    // what it would do; nothing is in force yet
    let probe = "tcp_local|x@one.example|l|alice@example.com";
    let out = site
        .imsimta(["test", "-mapping", "-table=ORIG_SEND_ACCESS", probe])
        .expect(0);
    assert!(out.contains("Output string: 4.7.1|Closed today\n"), "{out}");
    let out = site.sluice(["probe", "ORIG_SEND_ACCESS", probe]);
    assert!(
        out.code == 1 && out.out.starts_with("refused\n") && out.out.contains("Closed today"),
        "{out:?}"
    );
    let mut client = server.outside();
    client.hello();
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            "Subject: before\r\n\r\nx",
        )
        .expect(250);
    site.imsimta(["reload"]).expect(0);
    // the same connection: its next transaction has the new answer
    let reply = client.mail("x@one.example", &["alice@example.com"], "Subject: after\r\n\r\nx");
    assert_eq!(reply.line(), "452 4.7.1 Closed today: alice@example.com");
    // the transaction that was open keeps the policy that it began with
    open.say("RCPT TO:<alice@example.com>").expect(250);
    open.data("Subject: open\r\n\r\nx").expect(250);
    site.mail_with("alice", "Subject: before");
    site.mail_with("alice", "Subject: open");
    assert_eq!(site.mail("alice").len(), 2);
    // and back
    site.replace("mappings", CLOSED, "ORIG_SEND_ACCESS\n\n");
    site.imsimta(["reload"]).expect(0);
    client
        .mail("x@one.example", &["alice@example.com"], "Subject: again\r\n\r\nx")
        .expect(250);
}

#[test]
fn what_does_not_load_changes_nothing_and_shows_every_error() {
    let site = Site::new();
    let server = Server::start(&site);
    let (mappings, rules) = (site.text("mappings"), site.text("imta.cnf"));
    // a good change beside bad ones: none of them comes into force
    site.replace("mappings", "ORIG_SEND_ACCESS\n\n", CLOSED);
    site.append(
        "mappings",
        "\nBROKEN\n\n  a*  $[unterminated\n  b*  $Y$|NOT_CLOSED\n",
    );
    site.append("imta.cnf", "\ntcp_local smtp\ntcp_again-daemon\n");
    let ran = site.imsimta(["reload"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let errors = ran.err.matches("error[").count();
    assert!(errors >= 3, "three mistakes, {errors} errors:\n{}", ran.err);
    let shown = |part: &str| {
        let after = ran
            .err
            .split(part)
            .nth(1)
            .unwrap_or_else(|| panic!("{part:?} is not shown in\n{}", ran.err));
        assert!(
            after.lines().nth(1).is_some_and(|l| l.contains('^')),
            "{part:?} is not underlined in\n{}",
            ran.err
        );
    };
    shown("$[unterminated");
    shown("$|NOT_CLOSED");
    assert!(ran.err.contains("the running one stays in force"), "{}", ran.err);
    server.mail_outside(
        "x@one.example",
        &["alice@example.com"],
        "Subject: as before\r\n\r\nx",
    );
    site.mail_with("alice", "Subject: as before");
    // the same faults stop a start
    server.terminate();
    let up = site.sluice(["up", "--dir", &site.root().display().to_string()]);
    assert_eq!(up.code, 3, "{up:?}");
    site.write("mappings", &mappings);
    site.write("imta.cnf", &rules);
    let _server = Server::start(&site);
}

#[test]
fn a_compiled_configuration_is_used_until_it_is_compiled_again() {
    let site = Site::new();
    let out = site.imsimta(["cnbuild"]).expect(0);
    assert!(out.contains("mapping tables with"), "{out}");
    let server = Server::start(&site);
    until("a text that is newer than the image", || {
        site.replace("mappings", "ORIG_SEND_ACCESS\n\n", CLOSED);
        let modified = |name: &str| {
            std::fs::metadata(site.config(name))
                .and_then(|m| m.modified())
                .expect("a file")
        };
        let newer = modified("mappings") > modified("config_data");
        if !newer {
            site.replace("mappings", CLOSED, "ORIG_SEND_ACCESS\n\n");
        }
        newer.then_some(())
    });
    let probe = "tcp_local|x@one.example|l|alice@example.com";
    for (name, ran) in [
        ("reload", site.imsimta(["reload"])),
        ("probe", site.sluice(["probe", "ORIG_SEND_ACCESS", probe])),
        (
            "test -mapping",
            site.imsimta(["test", "-mapping", "-table=ORIG_SEND_ACCESS", probe]),
        ),
    ] {
        assert_eq!(ran.code, 0, "{name} uses the image: {ran:?}");
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(
            said.matches("mappings is newer than the compiled configuration")
                .count(),
            1,
            "{name} warns once: {ran:?}"
        );
    }
    let mut client = server.outside();
    client.hello();
    client
        .mail("x@one.example", &["alice@example.com"], "Subject: image\r\n\r\nx")
        .expect(250);
    // an image is not replaced by a broken one
    let text = site.text("mappings");
    site.append("mappings", "\nBROKEN\n\n  a*  $[unterminated\n");
    assert_eq!(site.imsimta(["cnbuild"]).code, 3);
    site.imsimta(["reload"]).expect(0);
    site.write("mappings", &text);
    site.imsimta(["cnbuild"]).expect(0);
    site.imsimta(["reload"]).expect(0);
    client
        .mail(
            "x@one.example",
            &["alice@example.com"],
            "Subject: new image\r\n\r\nx",
        )
        .expect(452);
    // a damaged image is no configuration
    let image = std::fs::read(site.config("config_data")).expect("the image");
    for (name, damaged) in [
        ("cut", image[..image.len() / 2].to_vec()),
        ("changed", {
            let mut d = image.clone();
            d[image.len() / 2] ^= 1;
            d
        }),
    ] {
        std::fs::write(site.config("config_data"), damaged).expect("the image");
        let ran = site.imsimta(["reload"]);
        assert_eq!(ran.code, 3, "{name}: {ran:?}");
    }
    client
        .mail("x@one.example", &["alice@example.com"], "Subject: still\r\n\r\nx")
        .expect(452);
}
