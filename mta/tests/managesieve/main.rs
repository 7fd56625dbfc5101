//! ManageSieve over loopback sockets, against a whole server on a temporary site.

mod protocol;
mod site;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mta::managesieve::protocol::{Event, Protocol, Request};
use mta::managesieve::scripts::{MAX_SCRIPT, MAX_SCRIPTS};
use site::*;

#[test]
fn scripts_are_checked_with_those_that_they_include() {
    let site = Fixture::new();
    let mut client = site.alice();
    let main = |name: &str| put("main", &format!("require \"include\";\r\ninclude {name};\r\n"));
    std::fs::create_dir_all(site.root.join("sieve/global")).expect("a folder");
    std::fs::create_dir_all(site.root.join("sieve/bob")).expect("a folder");
    std::fs::write(site.root.join("sieve/global/broken.sieve"), "keep;\nnonsense;\n").expect("a script");
    std::fs::write(site.root.join("sieve/bob/broken.sieve"), "nonsense;\n").expect("a script");
    let check = "require \"include\"; include :global \"broken\";";
    for (name, request, reply) in [
        ("one that comes later", main("\"part\""), "OK "),
        ("the part", put("part", "keep;\r\n"), "OK "),
        ("both", main("\"part\""), "OK "),
        ("a broken one", main(":global \"broken\""), "global/broken:2:1"),
        ("another's", main("\"../bob/broken\""), "NO "),
        ("another's by place", main("\"broken\""), "OK "),
        (
            "CHECKSCRIPT",
            format!("CHECKSCRIPT {{{}+}}\r\n{check}\r\n", check.len()),
            "global/broken:2:1",
        ),
    ] {
        let said = client.ask(&request);
        assert!(said.contains(reply), "{name}: {said}");
    }
}

#[test]
fn a_dialogue_edits_scripts() {
    let site = Fixture::new();
    let mut client = site.connect();
    for part in [
        "\"IMPLEMENTATION\" \"Sluice ",
        "\"SASL\" \"SCRAM-SHA-256 PLAIN\"\r\n",
        "\"SIEVE\" \"fileinto ",
        " include ",
        "\"STARTTLS\"\r\n",
        "\"MAXREDIRECTS\" \"32\"\r\n",
        "\"NOTIFY\" \"mailto\"\r\n",
        "\"VERSION\" \"1.0\"\r\n",
    ] {
        assert!(client.greeting.contains(part), "{part} in {}", client.greeting);
    }
    let plain = site.plain();
    let long = "x".repeat(MAX_SCRIPT + 1);
    let big = put("big", &long);
    let login = format!("AUTHENTICATE \"PLAIN\" {{{}+}}\r\n{plain}\r\n", plain.len());
    let put_a = put("a", "keep;\r\n");
    let put_ae = put("caf\u{e9} \\\"b\\\"", "discard;\r\n");
    let put_bad = put("bad", "nonsense;\r\nfileinto \"x\";\r\n");
    let check_bad = "CHECKSCRIPT {5+}\r\nkeep \r\n".to_string();
    let steps: &[(&str, &str, &str)] = &[
        ("scripts need a login", "LISTSCRIPTS\r\n", "NO \"log in first"),
        (
            "a script before login",
            "PUTSCRIPT \"a\" {5+}\r\nkeep;\r\n",
            "NO \"log in first",
        ),
        ("noop", "NOOP\r\n", "OK \"Done.\""),
        (
            "noop with tag",
            "noop \"t \\\"1\\\"\"\r\n",
            "OK (TAG \"t \\\"1\\\"\") ",
        ),
        (
            "unknown mechanism",
            "AUTHENTICATE \"GSSAPI\"\r\n",
            "NO \"this mechanism",
        ),
        (
            "LOGIN is not spoken",
            "AUTHENTICATE \"LOGIN\"\r\n",
            "NO \"this mechanism",
        ),
        ("login with a literal", &login, "OK \"Logged in.\""),
        ("once only", &login, "NO \"the user is logged in already"),
        (
            "no TLS after login",
            "STARTTLS\r\n",
            "NO \"the user is logged in already",
        ),
        ("owner", "CAPABILITY\r\n", "\"OWNER\" \"alice\"\r\n"),
        ("empty", "LISTSCRIPTS\r\n", "OK "),
        ("space", "HAVESPACE \"a\" 10\r\n", "OK "),
        ("no space", "HAVESPACE \"a\" 65537\r\n", "NO (QUOTA/MAXSIZE) "),
        ("no number", "HAVESPACE \"a\" ten\r\n", "NO "),
        ("put", &put_a, "OK "),
        ("put an odd name", &put_ae, "OK "),
        ("too large", &big, "NO (QUOTA/MAXSIZE) "),
        ("all errors: the first", &put_bad, "nonsense"),
        ("all errors: the second", &put_bad, "fileinto"),
        ("the script's name in the error", &put_bad, "bad:1"),
        ("check", &check_bad, "NO "),
        ("check right", "CHECKSCRIPT \"keep;\"\r\n", "OK "),
        (
            "list",
            "LISTSCRIPTS\r\n",
            "\"a\"\r\n\"caf\u{e9} \\\"b\\\"\"\r\nOK ",
        ),
        ("get", "GETSCRIPT \"a\"\r\n", "{7}\r\nkeep;\r\n\r\nOK "),
        ("get none", "GETSCRIPT \"b\"\r\n", "NO (NONEXISTENT) "),
        ("activate none", "SETACTIVE \"b\"\r\n", "NO (NONEXISTENT) "),
        ("activate", "SETACTIVE \"a\"\r\n", "OK "),
        ("list active", "LISTSCRIPTS\r\n", "\"a\" ACTIVE\r\n"),
        ("delete active", "DELETESCRIPT \"a\"\r\n", "NO (ACTIVE) "),
        (
            "rename to one that is there",
            "RENAMESCRIPT \"a\" \"caf\u{e9} \\\"b\\\"\"\r\n",
            "NO (ALREADYEXISTS) ",
        ),
        (
            "rename one that is not there",
            "RENAMESCRIPT \"b\" \"c\"\r\n",
            "NO (NONEXISTENT) ",
        ),
        ("rename", "RENAMESCRIPT \"a\" \"z\"\r\n", "OK "),
        ("it stays active", "LISTSCRIPTS\r\n", "\"z\" ACTIVE\r\n"),
        ("delete", "DELETESCRIPT \"caf\u{e9} \\\"b\\\"\"\r\n", "OK "),
        (
            "delete again",
            "DELETESCRIPT \"caf\u{e9} \\\"b\\\"\"\r\n",
            "NO (NONEXISTENT) ",
        ),
        ("out of the folder", "GETSCRIPT \"../bob\"\r\n", "NO "),
        (
            "out of the folder, writing",
            "PUTSCRIPT \"../bob\" \"keep;\"\r\n",
            "NO ",
        ),
        ("unknown", "DANCE\r\n", "NO \"unknown command"),
    ];
    for (name, command, part) in steps {
        let reply = client.ask(command);
        let whole_line = part.starts_with("OK") || part.starts_with("NO");
        let right = if whole_line {
            reply.starts_with(part)
        } else {
            reply.contains(part)
        };
        assert!(right, "{name}: {reply}");
    }
    assert_eq!(site.active_copy().as_deref(), Some("keep;\r\n"));
    assert!(client.ask(&put("z", "stop;\r\n")).starts_with("OK"));
    assert_eq!(
        site.active_copy().as_deref(),
        Some("stop;\r\n"),
        "an active script is in force at once"
    );
    assert!(
        !site.root.join("sieve/alice/bad.sieve").exists(),
        "a script with errors is not stored"
    );
    assert!(client.ask("SETACTIVE \"\"\r\n").starts_with("OK"));
    assert_eq!(site.active_copy(), None);
    assert!(!client.ask("LISTSCRIPTS\r\n").contains("ACTIVE"));
    assert!(client.ask("UNAUTHENTICATE\r\n").starts_with("OK"));
    assert!(client.ask("LISTSCRIPTS\r\n").starts_with("NO"));
    assert!(client.ask("LOGOUT\r\nNOOP\r\n").starts_with("OK"));
    assert_eq!(client.line(), "", "nothing comes after LOGOUT");
}

#[test]
fn quotas_hold() {
    let site = Fixture::new();
    let mut client = site.alice();
    for n in 0..MAX_SCRIPTS {
        assert!(
            client.ask(&put(&format!("s{n}"), "keep;")).starts_with("OK"),
            "{n}"
        );
    }
    assert!(
        client
            .ask(&put("more", "keep;"))
            .starts_with("NO (QUOTA/MAXSCRIPTS)")
    );
    assert!(
        client.ask(&put("s0", "stop;")).starts_with("OK"),
        "one that is there may be replaced"
    );
    let full = format!("#{}\r\nkeep;", "x".repeat(MAX_SCRIPT - 20));
    let refused = (0..17)
        .map(|n| client.ask(&put(&format!("s{n}"), &full)))
        .find(|r| !r.starts_with("OK"));
    assert!(
        refused.is_some_and(|r| r.starts_with("NO (QUOTA) ")),
        "17 times 64 KiB are over the total"
    );
}

#[test]
fn an_operators_script_is_taken_over() {
    let site = Fixture::new();
    std::fs::create_dir_all(site.root.join("sieve")).expect("a folder");
    std::fs::write(site.root.join("sieve/alice.sieve"), "keep;").expect("a file");
    let mut client = site.alice();
    assert!(
        client
            .ask("LISTSCRIPTS\r\n")
            .starts_with("\"imported\" ACTIVE\r\nOK")
    );
    assert!(
        client
            .ask("GETSCRIPT \"imported\"\r\n")
            .starts_with("\"keep;\"\r\nOK")
    );
}

#[test]
fn tls_forgets_what_came_before_it() {
    let site = Fixture::new();
    let mut client = site.connect();
    client.send(b"STARTTLS\r\n");
    assert!(client.response().starts_with("OK"));
    let mut client = client.start_tls();
    let greeting = client.response();
    assert!(
        greeting.contains("\"SASL\" \"SCRAM-SHA-256 PLAIN\""),
        "{greeting}"
    );
    assert!(!greeting.contains("STARTTLS"), "{greeting}");
    assert!(client.ask("STARTTLS\r\n").starts_with("NO"));
    let login = format!("AUTHENTICATE \"PLAIN\" \"{}\"\r\n", site.plain());
    assert!(client.ask(&login).starts_with("OK"));

    // what somebody put behind STARTTLS must not be answered under TLS
    let mut protocol = Protocol::new();
    protocol.input(b"STARTTLS\r\nNOOP \"smuggled\"\r\n");
    assert_eq!(protocol.poll(), Event::Request(Request::StartTls));
    protocol.tls_established();
    assert_eq!(protocol.poll(), Event::NeedInput);
}

#[test]
fn scram_logs_in() {
    use rsasl::prelude::{Mechname, SASLClient, SASLConfig};
    let site = Fixture::new();
    let config = SASLConfig::with_credentials(None, "alice".into(), site.password.clone()).expect("a client");
    let offered = [Mechname::parse(b"SCRAM-SHA-256").expect("a name")];
    let mut sasl = SASLClient::new(config)
        .start_suggested(&offered)
        .expect("a client");
    let mut message = Vec::new();
    let mut client = site.connect();
    sasl.step(None, &mut message).expect("client-first");
    client.send(
        format!(
            "AUTHENTICATE \"SCRAM-SHA-256\" \"{}\"\r\n",
            STANDARD.encode(&message)
        )
        .as_bytes(),
    );
    let challenge = client.line();
    let challenge = STANDARD
        .decode(challenge.trim().trim_matches('"'))
        .expect("base64");
    message.clear();
    sasl.step(Some(&challenge), &mut message).expect("client-final");
    let reply = client.ask(&format!("\"{}\"\r\n", STANDARD.encode(&message)));
    let proof = reply
        .strip_prefix("OK (SASL \"")
        .and_then(|r| r.split('"').next())
        .expect("the server's proof");
    message.clear();
    sasl.step(Some(&STANDARD.decode(proof).expect("base64")), &mut message)
        .expect("the server knows the password");
    assert!(client.ask("LISTSCRIPTS\r\n").starts_with("OK"));
}

#[test]
fn failed_logins_end_the_connection() {
    let site = Fixture::new();
    let mut client = site.connect();
    client.send(b"AUTHENTICATE \"PLAIN\"\r\n");
    assert_eq!(client.line(), "\"\"\r\n");
    assert!(client.ask("\"*\"\r\n").starts_with("NO \"the client cancelled"));
    assert!(
        client
            .ask("AUTHENTICATE \"PLAIN\" \"!\"\r\n")
            .starts_with("NO \"the line is not valid base64")
    );
    let wrong = STANDARD.encode("\0alice\0wrong");
    let reply = client.ask(&format!("AUTHENTICATE \"PLAIN\" \"{wrong}\"\r\n"));
    assert!(reply.starts_with("NO \"wrong user name or password\""), "{reply}");
    assert!(client.response().starts_with("BYE"));
    assert_eq!(client.line(), "");
}

#[test]
fn mail_is_filed_by_an_uploaded_script() {
    let site = Fixture::new();
    let mut client = site.alice();
    let script =
        "require \"fileinto\";\r\nif header :contains \"Subject\" \"list\" { fileinto \"Lists\"; }\r\n";
    assert!(client.ask(&put("main", script)).starts_with("OK"));
    assert!(client.ask("SETACTIVE \"main\"\r\n").starts_with("OK"));
    let tcp = TcpStream::connect(site.address("SMTP")).expect("a connection");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut smtp = BufReader::new(tcp);
    let message = "From: x@example.net\r\nSubject: the list\r\n\r\nHello.\r\n.\r\n";
    for (send, code) in [
        ("", "220"),
        ("HELO client.example.net\r\n", "250"),
        ("MAIL FROM:<x@example.net>\r\n", "250"),
        ("RCPT TO:<alice@example.com>\r\n", "250"),
        ("DATA\r\n", "354"),
        (message, "250"),
        ("QUIT\r\n", "221"),
    ] {
        smtp.get_mut().write_all(send.as_bytes()).expect("it is taken");
        let mut line = String::new();
        smtp.read_line(&mut line).expect("a reply");
        assert!(line.starts_with(code), "{send}: {line}");
    }
    let folder = site.root.join("store/alice/Maildir/.Lists/new");
    let filed = until("the mail in Lists", || {
        let file = std::fs::read_dir(&folder).ok()?.flatten().next()?;
        std::fs::read_to_string(file.path()).ok()
    });
    assert!(filed.contains("Subject: the list"), "{filed}");
}

#[test]
fn sieve_connect_uploads_and_activates() {
    let sieve_connect = |args: &[&str]| {
        Command::new("sieve-connect")
            .args(args)
            .stdin(Stdio::null())
            .output()
    };
    let version = sieve_connect(&["--version"]);
    assert!(
        version.is_ok(),
        "no sieve-connect; `tests/run --prepare` installs it: {version:?}"
    );
    let site = Fixture::new();
    let file = site.root.join("vacation.sieve");
    std::fs::write(&file, "require \"fileinto\";\nfileinto \"Lists\";\n").expect("a file");
    let port = site.address("MANAGESIEVE").port().to_string();
    let run = |mechanism: &str, action: &[&str]| {
        let mut child = Command::new("sieve-connect")
            .args([
                "--server",
                "127.0.0.1",
                "--nosrv",
                "--port",
                &port,
                "--user",
                "alice",
                "--passwordfd",
                "0",
            ])
            .args(["--notlsverify", "--authmech", mechanism])
            .args(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sieve-connect");
        let mut stdin = child.stdin.take().expect("a pipe");
        writeln!(stdin, "{}", site.password).expect("it is taken");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{action:?}: {text}");
        text
    };
    let path = file.display().to_string();
    run(
        "PLAIN",
        &["--localsieve", &path, "--remotesieve", "lists", "--upload"],
    );
    run("PLAIN", &["--remotesieve", "lists", "--activate"]);
    let listed = run("PLAIN", &["--list"]);
    assert!(listed.contains("\"lists\" ACTIVE"), "{listed}");
    assert_eq!(site.active_copy(), std::fs::read_to_string(&file).ok());
}
