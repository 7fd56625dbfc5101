//! swaks, STARTTLS, AUTH, and the channels that they switch to.

use std::net::SocketAddr;
use std::process::Command;

use tests::{Client, Ran, Server, Site, base64};

fn swaks(server: SocketAddr, from: &str, to: &str, args: &[&str]) -> Ran {
    let mut command = Command::new("swaks");
    command.args([
        "--server",
        &server.to_string(),
        "--helo",
        "swaks.example",
        "--from",
        from,
        "--to",
        to,
    ]);
    command.args(["--timeout", "60"]).args(args);
    Ran::of(&mut command)
}

#[test]
fn swaks_sends_plain_and_over_tls() {
    let site = Site::new();
    let server = Server::start(&site);
    let plain = swaks(
        server.smtp(),
        "x@one.example",
        "alice@example.com",
        &["--header", "Subject: plain", "--local-interface", "127.0.0.2"],
    );
    plain.expect(0);
    site.mail_with("alice", "Subject: plain");
    let refused = swaks(
        server.smtp(),
        "x@one.example",
        "x@two.example",
        &["--local-interface", "127.0.0.2"],
    );
    assert_eq!(refused.code, 24, "{refused:?}");
    assert!(
        refused
            .out
            .contains("550 5.7.1 Relaying not allowed: x@two.example"),
        "{}",
        refused.out
    );
    let alice = site.password("alice").to_string();
    let login = ["--auth-user", "alice", "--auth-password", &alice];
    let with = |more: &[&'static str]| -> Vec<String> {
        more.iter().copied().chain(login).map(str::to_string).collect()
    };
    let cases: [(&str, SocketAddr, Vec<String>); 4] = [
        ("starttls", server.smtp(), vec!["-tls".into()]),
        (
            "starttls and PLAIN",
            server.submission(),
            with(&["-tls", "-a", "PLAIN"]),
        ),
        (
            "starttls and LOGIN",
            server.submission(),
            with(&["-tls", "-a", "LOGIN"]),
        ),
        (
            "implicit TLS and PLAIN",
            server.submissions(),
            with(&["-tlsc", "-a", "PLAIN"]),
        ),
    ];
    for (name, address, args) in &cases {
        let header = format!("Subject: {name}");
        let args: Vec<&str> = args
            .iter()
            .map(String::as_str)
            .chain(["--header", &header])
            .collect();
        swaks(*address, "alice@example.com", "bob@example.com", &args).expect(0);
        let mail = site.mail_with("bob", &header);
        let with = if args.contains(&"-a") {
            " with ESMTPSA (TLS"
        } else {
            " with ESMTPS (TLS"
        };
        assert!(mail.contains(with), "{name}: {mail}");
    }
    let wrong = swaks(
        server.submission(),
        "alice@example.com",
        "bob@example.com",
        &[
            "-tls",
            "-a",
            "PLAIN",
            "--auth-user",
            "alice",
            "--auth-password",
            "no",
        ],
    );
    assert_eq!(wrong.code, 28, "{wrong:?}");
    assert!(wrong.out.contains(" 535 5.7.8"), "{}", wrong.out);
}

#[test]
fn submission_needs_tls_and_a_login() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut client = Client::greeted(server.submission(), "127.0.0.2");
    let offered = client.hello();
    assert!(offered.contains("STARTTLS"), "{offered}");
    client.say("MAIL FROM:<alice@example.com>").expect(530);
    let offered = client.start_tls();
    assert!(
        offered
            .lines()
            .any(|l| l.starts_with("AUTH ") && l.contains("PLAIN") && l.contains("LOGIN")),
        "{offered}"
    );
    assert!(!offered.contains("STARTTLS"), "{offered}");
    client.say("MAIL FROM:<alice@example.com>").expect(530);
    client.login("alice", "wrong").expect(535);
    client.say("MAIL FROM:<alice@example.com>").expect(530);
    // LOGIN, word by word
    client.say("AUTH LOGIN").expect(334);
    client.say(&base64("alice")).expect(334);
    client.say(&base64(site.password("alice"))).expect(235);
    client.say("AUTH LOGIN").expect(503);
    client
        .mail(
            "alice@example.com",
            &["bob@example.com"],
            "Subject: submitted\r\n\r\nx",
        )
        .expect(250);
    let mail = site.mail_with("bob", "Subject: submitted");
    assert!(mail.contains(" with ESMTPSA (TLS"), "{mail}");
}

#[test]
fn only_this_machine_may_send_a_password_in_the_clear() {
    let site = Site::new();
    let server = Server::start(&site);
    let secret = base64(&format!("\0alice\0{}", site.password("alice")));
    let check = |from: &str, clear: bool| {
        let mut client = Client::greeted(server.submission(), from);
        let offered = client.hello();
        let wanted = if clear {
            "AUTH SCRAM-SHA-256 PLAIN LOGIN"
        } else {
            "AUTH SCRAM-SHA-256"
        };
        assert!(offered.lines().any(|l| l == wanted), "{from}: {offered}");
        let replies = [format!("AUTH PLAIN {secret}"), "AUTH LOGIN".to_string()].map(|c| client.say(&c));
        let needs = "538 5.7.11 Encryption required for requested authentication mechanism.";
        match clear {
            true => assert_eq!(replies[0].code, 235, "{from}: {replies:?}"),
            false => assert!(replies.iter().all(|r| r.line() == needs), "{from}: {replies:?}"),
        }
        let mut client = Client::connect(server.managesieve(), from).expect("a connection");
        let greeting: Vec<String> = std::iter::from_fn(|| client.next_line())
            .take_while(|line| !line.starts_with("OK"))
            .collect();
        let wanted = if clear {
            "\"SCRAM-SHA-256 PLAIN\""
        } else {
            "\"SCRAM-SHA-256\""
        };
        assert!(
            greeting.contains(&format!("\"SASL\" {wanted}")),
            "{from}: {greeting:?}"
        );
        client
            .send(format!("AUTHENTICATE \"PLAIN\" \"{secret}\"\r\n"))
            .expect("it is taken");
        let reply = client.next_line().expect("a reply");
        let wanted = if clear { "OK" } else { "NO (ENCRYPT-NEEDED)" };
        assert!(reply.starts_with(wanted), "{from}: {reply}");
    };
    check("127.0.0.1", true);
    check("127.0.0.2", false);
    // a proxy on this machine may speak for strangers: then it is not internal
    site.replace("mappings", "  127.0.0.1  $Y\n", "");
    site.imsimta(["reload"]).expect(0);
    check("127.0.0.1", false);
}

#[test]
fn login_and_tls_show_in_channel_and_flags() {
    let site = Site::new();
    // each flag is asked for by its own recipient
    site.replace(
        "mappings",
        "ORIG_SEND_ACCESS\n\n",
        "ORIG_SEND_ACCESS\n\n  *|*|l|a-*@*  $:A$NAUTH\n  *|*|l|t-*@*  $:T$NTLS\n  *|*|l|e-*@*  $:E$NESMTP\n",
    );
    let server = Server::start(&site);
    // connection, TLS, login; source channel, and which of the flags are set
    let cases = [
        (
            "plain, inside",
            server.smtp(),
            "127.0.0.1",
            false,
            false,
            "tcp_intranet",
            "E",
        ),
        (
            "plain, outside",
            server.smtp(),
            "127.0.0.2",
            false,
            false,
            "tcp_local",
            "E",
        ),
        (
            "TLS, inside",
            server.smtp(),
            "127.0.0.1",
            true,
            false,
            "tcp_intranet",
            "TE",
        ),
        (
            "TLS, outside",
            server.smtp(),
            "127.0.0.2",
            true,
            false,
            "tcp_local",
            "TE",
        ),
        (
            "login, inside",
            server.smtp(),
            "127.0.0.1",
            true,
            true,
            "tcp_auth",
            "ATE",
        ),
        (
            "login, submission",
            server.submission(),
            "127.0.0.2",
            true,
            true,
            "tcp_submit",
            "ATE",
        ),
    ];
    for (name, address, from, tls, login, channel, flags) in cases {
        let mut client = Client::greeted(address, from);
        client.hello();
        if tls {
            client.start_tls();
        }
        if login {
            client.login("alice", site.password("alice")).expect(235);
        }
        let sender = format!("{}@example.com", name.replace([' ', ','], "-"));
        client.say(&format!("MAIL FROM:<{sender}>")).expect(250);
        for (flag, text) in [('A', "AUTH"), ('T', "TLS"), ('E', "ESMTP")] {
            let to = format!("{}-x@example.com", flag.to_ascii_lowercase());
            let line = client.say(&format!("RCPT TO:<{to}>")).line();
            // who could still authenticate is told so by 530
            let code = if channel == "tcp_intranet" { 530 } else { 550 };
            let wanted = if flags.contains(flag) {
                format!("{code} 5.7.1 {text}")
            } else {
                "550 5.1.1".to_string()
            };
            assert!(line.starts_with(&wanted), "{name}: flag {flag}: {line}");
        }
        client.say("RCPT TO:<bob@example.com>").expect(250);
        client.data("Subject: x\r\n\r\nx").expect(250);
        let letters = format!(
            "E{}{}{}",
            "E",
            if tls { "S" } else { "" },
            if login { "A" } else { "" }
        );
        let line = site.log_line(&[&format!(" {letters} "), &sender, "bob@ims-ms-daemon"]);
        assert!(line.contains(&format!("{channel} ")), "{name}: {line}");
        client.say("QUIT").expect(221);
    }
    // an authenticated user may send out; the same user without the login may not
    let mut client = Client::connect_tls(server.submissions(), "127.0.0.2");
    client.hello();
    site.imsimta(["qm", "stop", "tcp_local"]).expect(0);
    client.say("AUTH PLAIN").expect(334);
    client
        .say(&base64(&format!("\0alice\0{}", site.password("alice"))))
        .expect(235);
    client
        .mail("alice@example.com", &["x@other.example"], "Subject: out\r\n\r\nx")
        .expect(250);
    assert_eq!(site.queue().len(), 1);
}

#[test]
fn the_limits_are_those_of_the_channel_that_the_login_leads_to() {
    let site = Site::new();
    site.replace(
        "imta.cnf",
        "mustsaslserver maytlsserver\ntcp_submit-daemon",
        "mustsaslserver maytlsserver saslswitchchannel tcp_auth\ntcp_submit-daemon",
    );
    site.replace(
        "imta.cnf",
        "mustsaslserver maytlsserver\ntcp_auth-daemon",
        "mustsaslserver maytlsserver recipientlimit 130 disconnectbadcommandlimit 2\ntcp_auth-daemon",
    );
    let server = Server::start(&site);
    let accepted = |client: &mut Client, from: &str| {
        client.say(&format!("MAIL FROM:<{from}>")).expect(250);
        let mut replies = (0..140).map(|_| client.say("RCPT TO:<bob@example.com>").line());
        let accepted = replies.by_ref().take_while(|r| r.starts_with("250 ")).count();
        (accepted, replies.next().expect("a reply"))
    };
    let over = "452 4.2.3 too many recipients specified".to_string();
    let mut client = Client::connect_tls(server.submissions(), "127.0.0.2");
    client.hello();
    client.login("alice", site.password("alice")).expect(235);
    assert_eq!(accepted(&mut client, "alice@example.com"), (130, over.clone()));
    client.say("WHAT").expect(500);
    client.say("WHAT").expect(421);
    // where nothing is said, 128 and 20
    let mut client = server.outside();
    client.hello();
    assert_eq!(accepted(&mut client, "x@one.example"), (128, over));
    for _ in 1..20 {
        client.say("WHAT").expect(500);
    }
    client.say("WHAT").expect(421);
}

#[test]
fn a_key_that_others_can_read_is_named_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let key = site.root().join("tls").join(mta::tls::KEY_FILE);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("the key");
    let server = Server::start(&site);
    let wanted = format!(
        "warning: other users of this machine have access to the key file {}",
        key.display()
    );
    assert!(server.errors().contains(&wanted), "{}", server.errors());
}

#[test]
fn a_new_password_is_known_at_once_and_nothing_else_is_loaded() {
    let site = Site::new();
    let server = Server::start(&site);
    let log_in = |password: &str| {
        let login = [
            "-tls",
            "-a",
            "PLAIN",
            "--auth-user",
            "alice",
            "--auth-password",
            password,
            "-q",
            "AUTH",
        ];
        let ran = swaks(
            server.submission(),
            "alice@example.com",
            "bob@example.com",
            &login,
        );
        ran.out.contains("235 2.7.0")
    };
    let old = site.password("alice").to_string();
    assert!(log_in(&old), "the password of the site");
    // an administrator is in the middle of a change
    site.append("mappings", "\nHALF\n\n  *  $[unfinished\n");
    let said = site.sluice(["user", "password", "alice"]).expect(0);
    assert!(said.contains("The running server knows."), "{said}");
    let new = said.split_whitespace().nth(5).unwrap_or_default();
    assert!(!log_in(&old) && log_in(new), "{said}");
    site.sluice(["user", "status", "alice", "disabled"]).expect(0);
    assert!(!log_in(new), "a disabled user");
}
