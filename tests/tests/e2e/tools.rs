//! What scripts may rely on: exit codes and JSON of the tools.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use tests::{Server, Site};

#[test]
fn exit_codes_say_what_happened() {
    let site = Site::new();
    let server = Server::start(&site);
    let refused = "tcp_local|a@b.example|tcp_local|c@d.example";
    let allowed = "tcp_local|a@b.example|l|alice@example.com";
    let explain = [
        "explain",
        "--client-ip",
        "192.0.2.1",
        "--mail-from",
        "a@b.example",
        "--rcpt-to",
    ];
    let with = |to: &'static str| explain.iter().copied().chain([to]).collect::<Vec<_>>();
    let cases: Vec<(&str, Vec<&str>, i32)> = vec![
        ("probe, allowed", vec!["probe", "ORIG_SEND_ACCESS", allowed], 0),
        ("probe, refused", vec!["probe", "ORIG_SEND_ACCESS", refused], 1),
        ("probe, no such table", vec!["probe", "NO_ACCESS", allowed], 2),
        ("probe, too few arguments", vec!["probe", "ORIG_SEND_ACCESS"], 2),
        ("explain, accepted", with("alice@example.com"), 0),
        ("explain, refused", with("c@d.example"), 1),
        ("explain, no client", vec!["explain"], 2),
        ("explain, last", vec!["explain", "--last"], 0),
        ("status", vec!["status"], 0),
        ("send, accepted", vec!["send", "--to", "alice@example.com"], 0),
        (
            "send, refused",
            vec!["send", "--client-ip", "127.0.0.2", "--to", "c@d.example"],
            1,
        ),
        ("no such command", vec!["flush"], 2),
    ];
    for (name, args, code) in cases {
        let ran = site.sluice(&args);
        assert_eq!(ran.code, code, "{name}: {ran:?}");
        assert!(
            code != 1 || !format!("{}{}", ran.out, ran.err).is_empty(),
            "{name} says why"
        );
    }
    drop(server);
    // without a server, and with a broken configuration
    let nobody = site.sluice(["explain", "--last"]);
    assert!(
        nobody.code == 1 && nobody.err.contains("no server runs on"),
        "{nobody:?}"
    );
    let nobody = site.imsimta(["reload"]);
    assert!(
        nobody.code == 1 && nobody.err.contains("no server runs on"),
        "{nobody:?}"
    );
    site.append("mappings", "\nBROKEN\n\n  a*  $[unterminated\n");
    for args in [
        vec!["probe", "ORIG_SEND_ACCESS", allowed],
        with("alice@example.com"),
        vec!["up"],
    ] {
        let ran = site.sluice(&args);
        assert_eq!(ran.code, 3, "{args:?}: {ran:?}");
        assert!(
            ran.err.contains("mappings:") && ran.err.contains('^'),
            "{args:?}: {ran:?}"
        );
    }
}

#[test]
fn json_has_the_keys_that_scripts_read() {
    let site = Site::new();
    let server = Server::start(&site);
    let parse = |text: &str| -> serde_json::Value {
        serde_json::from_str(text.trim()).unwrap_or_else(|e| panic!("{e}: {text}"))
    };
    let out = site
        .sluice([
            "probe",
            "--json",
            "ORIG_SEND_ACCESS",
            "tcp_local|a@b.example|tcp_local|c@d.example",
        ])
        .expect(1);
    let refused = parse(&out);
    assert_eq!(refused["accepted"], false);
    assert_eq!(refused["smtp_code"], "550");
    assert_eq!(refused["enhanced"], "5.7.1");
    assert_eq!(refused["text"], "Relaying not allowed");
    assert_eq!(refused["reply"], "550 5.7.1 Relaying not allowed: c@d.example");
    assert_eq!(refused["effects"]["delay_cs"], 30);
    let out = site
        .sluice([
            "probe",
            "--json",
            "ORIG_SEND_ACCESS",
            "tcp_local|a@b.example|l|c@d.example",
        ])
        .expect(0);
    assert_eq!(parse(&out)["accepted"], true);
    // explain: a step a line
    let out = site
        .sluice([
            "explain",
            "--json",
            "--client-ip",
            "192.0.2.1",
            "--mail-from",
            "a@b.example",
            "--rcpt-to",
            "c@d.example",
        ])
        .expect(1);
    let steps: Vec<_> = out.lines().map(parse).collect();
    assert!(
        steps
            .iter()
            .all(|s| s["depth"].is_u64() && s["kind"].is_string() && s["text"].is_string()),
        "{out}"
    );
    let place = site.config("mappings").display().to_string();
    let relaying = steps
        .iter()
        .find(|s| s["kind"] == "match" && s["text"].as_str().is_some_and(|t| t.contains("Relaying")));
    let at = relaying
        .and_then(|s| s["at"].as_str())
        .unwrap_or_else(|| panic!("no place in {out}"));
    let line = 1 + site
        .text("mappings")
        .lines()
        .position(|l| l.contains("|Relaying$"))
        .expect("the entry");
    assert_eq!(at, format!("{place}:{line}:3"));
    // the same of the running server: a session a line
    let mut client = server.outside();
    client.hello();
    client.say("MAIL FROM:<a@b.example>").expect(250);
    client.say("RCPT TO:<c@d.example>").expect(550);
    client.say("QUIT").expect(221);
    let sessions = tests::until("the session in the server's memory", || {
        let out = site.sluice(["explain", "--last", "1", "--json"]).expect(0);
        Some(out).filter(|o| o.contains("c@d.example"))
    });
    let session = parse(&sessions);
    assert!(
        session["client"]
            .as_str()
            .is_some_and(|c| c.starts_with("127.0.0.2:")),
        "{sessions}"
    );
    assert!(
        session["began"].is_string() && session["steps"].is_array(),
        "{sessions}"
    );
    assert!(
        session["steps"]
            .as_array()
            .is_some_and(|s| s.iter().any(|s| s["at"] == at)),
        "{sessions}"
    );
    // the others
    let status = parse(&site.sluice(["status", "--json"]).expect(0));
    for key in [
        "sessions",
        "accepted",
        "refused",
        "queued",
        "full",
        "queue_errors",
    ] {
        assert!(status[key].is_u64(), "{key} in {status}");
    }
    let sent = parse(
        &site
            .sluice(["send", "--json", "--to", "alice@example.com"])
            .expect(0),
    );
    assert!(
        sent["accepted"] == true && sent["to"] == "alice@example.com" && sent["reply"].is_string(),
        "{sent}"
    );
}

#[test]
fn the_control_socket_reads_any_number_of_requests() {
    let site = Site::new();
    let _server = Server::start(&site);
    let mut stream = UnixStream::connect(site.root().join("run/control")).expect("the control socket");
    let mut answers = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut ask = |request: &str| {
        writeln!(stream, "{request}").expect("the request is written");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("an answer");
        answer
    };
    // each of them is within the limit, all of them are not
    let ids = vec!["18446744073709551615"; 1000].join(",");
    for _ in 0..9 {
        let said = ask(&format!("{{\"do\": \"release\", \"ids\": [{ids}]}}"));
        assert!(said.contains("%QM-E-NOFILE"), "{said}");
    }
    let long = ask(&format!(
        "{{\"do\": \"release\", \"ids\": [{}]}}",
        vec![ids; 4].join(",")
    ));
    assert!(long.contains("longer than 65536 octets"), "{long}");
}
