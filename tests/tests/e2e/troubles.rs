//! Scripts that do not work lose no mail and their owners hear of it; what scripts did is in the log, with its place.

use tests::{Client, Server, Site, until};

const TOLD: &str = "Subject: Your mail filter has an error";

fn send(client: &mut Client, subject: &str) {
    let message = format!("Subject: {subject}\r\n\r\nx");
    client
        .mail("x@one.example", &["alice@example.com"], &message)
        .expect(250);
}

fn told(site: &Site) -> Vec<String> {
    let mail = site.mail("alice");
    mail.into_iter().filter(|m| m.contains(TOLD)).collect()
}

fn wait_for_empty_queue(site: &Site) {
    until("an empty queue", || site.queue().is_empty().then_some(()));
}

#[test]
fn the_owner_of_a_broken_script_is_told_once_a_day_also_over_restarts() {
    let site = Site::new();
    site.append("option.dat", "\nLOG_FILTER=1\n");
    site.script("alice", "discard;\nnonsense;\nfileinto \"x\";\n");
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    send(&mut client, "first");
    site.mail_with("alice", "Subject: first");
    let mail = site.mail_with("alice", TOLD);
    for part in [
        "Return-Path: <>\n",
        "From: <postmaster@mail.example.com>\nTo: <alice@example.com>\n",
        "Auto-Submitted: auto-generated\n",
        "sieve/alice.sieve:2:1",
        "sieve/alice.sieve:3:1",
    ] {
        assert!(mail.contains(part), "{part}\n{mail}");
    }
    let line = site.log_line(&[" E", "alice@", "sieve/alice.sieve:2:1: "]);
    assert!(line.contains("'[] error: sieve/alice.sieve:2:1: "), "{line}");
    client.say("QUIT").expect(221);
    site.explained("failed, the message is kept: sieve/alice.sieve:2:1");
    // another error, and another start: the same day
    let mut client = server.outside();
    client.hello();
    site.script("alice", "more nonsense");
    send(&mut client, "second");
    site.mail_with("alice", "Subject: second");
    server.terminate();
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    send(&mut client, "third");
    site.mail_with("alice", "Subject: third");
    wait_for_empty_queue(&site);
    assert_eq!(told(&site).len(), 1);
}

#[test]
fn a_script_that_stops_with_an_error_does_nothing_and_its_owner_is_told_where() {
    let site = Site::new();
    site.script(
        "alice",
        "require [\"variables\", \"fileinto\"];\nset \"to\" \"no address\";\nfileinto \"Lists\";\ndiscard;\n\
         redirect \"${to}\";\n",
    );
    let server = Server::start(&site);
    let mut client = server.outside();
    client.hello();
    send(&mut client, "first");
    site.mail_with("alice", "Subject: first\n");
    let mail = site.mail_with("alice", TOLD);
    for part in [
        "sieve/alice.sieve:5:1: ",
        "no address",
        "\nSubject: first\n",
        "stopped with an error",
    ] {
        assert!(mail.contains(part), "{part}\n{mail}");
    }
    send(&mut client, "second");
    site.mail_with("alice", "Subject: second");
    wait_for_empty_queue(&site);
    assert_eq!(told(&site).len(), 1);
    assert!(site.mail_in("alice", "Lists").is_empty(), "all or nothing");
}

#[test]
fn the_log_names_script_line_and_action_of_what_became_of_a_message() {
    let site = Site::new();
    site.append("option.dat", "\nLOG_FILTER=1\n");
    site.script(
        "alice",
        "require [\"fileinto\", \"reject\", \"copy\"];\n\
         if header \"subject\" \"file\" { fileinto \"Lists\"; }\n\
         if header \"subject\" \"redirect\" { redirect \"bob@example.com\"; }\n\
         if header \"subject\" \"refuse\" { reject \"it's not wanted\"; }\n\
         if header \"subject\" \"discard\" { discard; }\n",
    );
    site.write(
        "imta.filter",
        "if header \"subject\" \"site\" { addtag \"[x]\"; }\n",
    );
    let server = Server::start(&site);
    for (subject, log, trace) in [
        (
            "file",
            vec![
                " E",
                "ims-ms",
                "alice@",
                "'[ fileinto \"Lists\" ] sieve/alice.sieve:2:30'",
            ],
            "fileinto \"Lists\" at sieve/alice.sieve:2:30",
        ),
        (
            "redirect",
            vec![
                " E",
                " process ",
                "bob@",
                "'[ redirect \"bob@example.com\" ] sieve/alice.sieve:3:34'",
            ],
            "redirect \"bob@example.com\" at sieve/alice.sieve:3:34",
        ),
        (
            "refuse",
            vec![
                " J",
                "alice@",
                "550 5.7.1 it's not wanted",
                "'[ reject \"it's not wanted\" ] sieve/alice.sieve:4:32'",
            ],
            "reject \"it's not wanted\" at sieve/alice.sieve:4:32",
        ),
        (
            "discard",
            vec![
                " E",
                "bitbucket",
                "alice@",
                "'[ discard ] sieve/alice.sieve:5:33'",
            ],
            "discard at sieve/alice.sieve:5:33",
        ),
        (
            "site",
            vec![
                " E",
                "ims-ms",
                "alice@",
                "'[ addtag \"[x]\" ] ",
                "imta.filter:1:30'",
            ],
            "keep (implicit)",
        ),
        (
            "nothing",
            vec![" E", "ims-ms", "alice@", "'[]'"],
            "keep (implicit)",
        ),
    ] {
        let mut client = server.outside();
        client.hello();
        client.mail(
            "x@one.example",
            &["alice@example.com"],
            &format!("Subject: {subject}\r\n\r\nx"),
        );
        site.log_line(&log);
        client.say("QUIT").expect(221);
        site.explained(trace);
    }
    // a recipient that is refused while another is not
    let mut client = server.outside();
    client.hello();
    let message = "Subject: refuse\r\nX: 2\r\n\r\nx";
    client
        .mail(
            "y@one.example",
            &["alice@example.com", "bob@example.com"],
            message,
        )
        .expect(250);
    site.log_line(&[" J", "y@one.example", "alice@", "sieve/alice.sieve:4:32'"]);
}
