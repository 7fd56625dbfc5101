//! `sluice log` finds the entries that it is asked for.

mod common;

use common::*;

const YESTERDAY: &str = "\
23-Nov-2026 10:00:00.00 tcp_local    ims-ms       EE 1 carol@one.example rfc822;alice@example.com alice@ims-ms-daemon
";

const CURRENT: &str = "\
24-Nov-2026 10:00:00.00 tcp_intranet +            O TCP|127.0.0.1|2525|127.0.0.1|33376 SMTP
24-Nov-2026 10:00:01.00 tcp_intranet tcp_local    EE 1 Alice@example.com rfc822;x@one.example x@one.example
24-Nov-2026 10:00:02.00 tcp_local                 Q 1 Alice@example.com rfc822;x@one.example x@one.example 450 4.2.1 not yet
this is no entry
24-Nov-2026 11:00:00.00 tcp_local                 R 1 Alice@example.com rfc822;x@one.example x@one.example 550 5.1.1 nobody here
24-Nov-2026 11:00:01.00 process      ims-ms       E 2  rfc822;alice@example.com alice@ims-ms-daemon
24-Nov-2026 12:00:00.00 tcp_local    -            Y  SMTP/[192.0.2.77] TCP active open: Failed connect() 192.0.2.77:25  Error: No route to host
";

#[test]
fn entries_are_found_by_time_channel_address_and_action() {
    let site = new_site("log");
    let log = site.join("log");
    std::fs::create_dir_all(&log).unwrap();
    // as much as these lines have
    std::fs::write(site.join("config/option.dat"), "LOG_CONNECTION=2\n").unwrap();
    std::fs::write(log.join("mail.log_yesterday"), YESTERDAY).unwrap();
    std::fs::write(log.join("mail.log_current"), CURRENT).unwrap();
    // the arguments, the exit code, the times of what is found
    let cases: &[(&str, u8, &[&str])] = &[
        (
            "",
            0,
            &[
                "10:00:00", "10:00:01", "10:00:02", "11:00:00", "11:00:01", "12:00:00",
            ],
        ),
        ("--action R", 0, &["11:00:00"]),
        ("--action qr", 0, &["10:00:02", "11:00:00"]),
        (
            "--address ALICE@EXAMPLE",
            0,
            &["10:00:01", "10:00:02", "11:00:00", "11:00:01"],
        ),
        ("--address x@one --action E", 0, &["10:00:01"]),
        ("--channel IMS-MS", 0, &["11:00:01"]),
        ("--channel process --action D", 1, &[]),
        (
            "--since 2026-11-24T11:00",
            0,
            &["11:00:00", "11:00:01", "12:00:00"],
        ),
        (
            "--since 2026-11-23 --channel ims-ms",
            0,
            &["10:00:00", "11:00:01"],
        ),
    ];
    for (arguments, code, times) in cases {
        let words: Vec<&str> = ["log"].into_iter().chain(arguments.split_whitespace()).collect();
        let ran = sluice(&site, &words, "");
        assert_eq!(ran.exit.code(), *code, "{arguments}: {}{}", ran.out, ran.err);
        let found: Vec<&str> = ran.out.lines().map(|line| &line[12..20]).collect();
        assert_eq!(found, *times, "{arguments}: {}", ran.out);
        assert!(
            ran.err.contains("1 line(s) are no entries") && ran.err.contains("mail.log_current:4: "),
            "{arguments}: {}",
            ran.err
        );
    }
    let ran = sluice(&site, &["log", "--json", "--action", "R", "-"], CURRENT);
    let entry: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let expected = serde_json::json!({
        "kind": "message", "time": "2026-11-24T11:00:00", "action": "R", "size": 1,
        "source_channel": "tcp_local", "from": "Alice@example.com",
        "original_recipient": "rfc822;x@one.example", "recipient": "x@one.example",
        "diagnostic": "550 5.1.1 nobody here",
    });
    assert_eq!(entry, expected);
    let ran = sluice(&site, &["log", "--json", "--action", "Y"], "");
    let entry: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&entry["direction"], &entry["channel"]),
        (&"outbound".into(), &"tcp_local".into())
    );
    for (arguments, said) in [
        (["--since", "soon"], "soon is no time"),
        (["--action", "RH"], "RH is no letters of codes"),
    ] {
        let ran = sluice(&site, &[&["log"], &arguments[..]].concat(), "");
        assert_eq!(ran.exit.code(), 2, "{}", ran.err);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    let ran = sluice(&site, &["log", "nowhere"], "");
    assert_eq!(ran.exit.code(), 1, "{}", ran.err);
    assert!(ran.err.contains("there is no file nowhere"), "{}", ran.err);
}
