//! Decisions beyond the vectors: forms of refusals, bounds, arguments that must not get through.

use serde_json::{Value, json};

use super::*;

/// A result with these flags and this text, as a table leaves it.
fn result(flags: &str, text: &str) -> MappingResult {
    MappingResult {
        matched: 1,
        output: text.to_string(),
        flags: FlagSet::of(flags),
        ..MappingResult::default()
    }
}

fn decide(point: Point, flags: &str, text: &str) -> Decision {
    point.decide(Some(&result(flags, text)), &ReplyFacts::default())
}

fn effects(point: Point, flags: &str, text: &str) -> Value {
    let decision = decide(point, flags, text);
    let json = serde_json::to_value(decision.effects);
    json.expect("effects are JSON")
}

#[test]
fn names_of_points() {
    for point in Point::ALL {
        assert_eq!(Point::by_table(point.table()), Some(point));
        assert_eq!(Point::by_table(&point.table().to_lowercase()), Some(point));
    }
    assert_eq!(Point::by_table("SITE_TABLE"), None);
}

#[test]
fn nothing_found_allows_without_effect() {
    let no_match = MappingResult {
        matched: 0,
        ..result("NDJ", "30|x")
    };
    for point in Point::ALL {
        for found in [None, Some(&no_match), Some(&result("", "left over"))] {
            let expected = Decision {
                accepted: point != Point::InternalIp,
                ..Decision::default()
            };
            assert_eq!(
                point.decide(found, &ReplyFacts::default()),
                expected,
                "{point:?} {found:?}"
            );
        }
    }
}

#[test]
fn replies_of_refused_addresses() {
    let plain = ReplyFacts::default();
    let at = ReplyFacts {
        address: "a@b.example",
        ..plain
    };
    let offered = ReplyFacts {
        sasl_offered: true,
        ..at
    };
    let known = ReplyFacts {
        authenticated: true,
        ..offered
    };
    let errors = ReplyFacts {
        access_errors: true,
        ..at
    };
    let own = ReplyFacts {
        default_text: Some("go\r\naway"),
        ..errors
    };
    let forged = ReplyFacts {
        address: "a\r\n250 ok@b",
        ..plain
    };
    let cases = [
        ("no address", "N", "No", plain, "550 5.7.1 No"),
        ("an address", "N", "No", at, "550 5.7.1 No: a@b.example"),
        ("AUTH could help", "N", "No", offered, "530 5.7.1 No: a@b.example"),
        ("AUTH was done", "N", "No", known, "550 5.7.1 No: a@b.example"),
        ("$X given", "NX", "5.1.2|No", offered, "550 5.1.2 No: a@b.example"),
        (
            "$X for now",
            "NX",
            "4.2.3|No",
            offered,
            "452 4.2.3 No: a@b.example",
        ),
        ("$X empty", "NX", "|No", offered, "530 5.7.1 No: a@b.example"),
        (
            "$X of a success",
            "NX",
            "2.1.0|No",
            at,
            "550 5.7.1 No: a@b.example",
        ),
        ("$X no code", "NX", "5.7.1 b|No", at, "550 5.7.1 No: a@b.example"),
        ("lower case", "nx", "5.1.2|No", at, "550 5.1.2 No: a@b.example"),
        ("$F", "F", "No", at, "550 5.7.1 No: a@b.example"),
        ("$Y beside $N", "YN", "No", at, "550 5.7.1 No: a@b.example"),
        (
            "default text",
            "N",
            "",
            at,
            "550 5.7.1 unknown host or domain: a@b.example",
        ),
        (
            "default text of access",
            "N",
            " ",
            errors,
            "550 5.7.1 you are not allowed to send to this address: a@b.example",
        ),
        ("site's text", "N", "", own, "550 5.7.1 go  away: a@b.example"),
        ("text has bars", "ND", "3|a|b|", at, "550 5.7.1 a|b|: a@b.example"),
        (
            "a code in the text",
            "N",
            "450 4.7.1 later",
            plain,
            "550 5.7.1 450 4.7.1 later",
        ),
        (
            "control characters",
            "N",
            "a\r\n221 \0b\u{85}c",
            plain,
            "550 5.7.1 a  221  b c",
        ),
        ("a forged address", "N", "No", forged, "550 5.7.1 No: a  250 ok@b"),
    ];
    for (name, flags, text, facts, reply) in cases {
        for point in [Point::FromAccess, Point::OrigSendAccess, Point::MailAccess] {
            let decision = point.decide(Some(&result(flags, text)), &facts);
            assert!(!decision.accepted, "{name}");
            assert_eq!(decision.reply.as_deref(), Some(reply), "{name}");
            let sent = decision.to_reply().map(|reply| reply.summary());
            assert_eq!(sent.as_deref(), Some(reply), "{name}, as a reply");
        }
    }
}

#[test]
fn effects_of_addresses() {
    let long = format!("X-A: {}", "x".repeat(HEADER_LIMIT));
    let cases = [
        ("delay bounded", "YD", "99999", json!({"delay_cs": 30000})),
        ("delay bounded below", "YD", "-99999", json!({"delay_cs": -30000})),
        (
            "delay beyond 64 bits",
            "YD",
            "99999999999999999999",
            json!({"delay_cs": 30000}),
        ),
        ("delay no number", "YD", "soon", json!({"delay_cs": 0})),
        ("delay missing", "Y<D", "s", json!({"syslog": "s", "delay_cs": 0})),
        ("debug bounded", "YU", "-4", json!({"debug": 0})),
        ("debug bounded above", "YU", "4000", json!({"debug": 255})),
        ("syslog of one line", "Y<", "a\nb", json!({"syslog": "a b"})),
        ("syslog empty", "Y<D", "|5", json!({"delay_cs": 5})),
        ("header", "YA", "X-A: b c ", json!({"add_header": "X-A: b c"})),
        (
            "header of one line",
            "YA",
            "X-A: b\r\nBcc: c",
            json!({"add_header": "X-A: b  Bcc: c"}),
        ),
        ("header without name", "YA", ": b", json!({})),
        ("header name with blank", "YA", "X A: b", json!({})),
        ("header name with line end", "YA", "X\r\nA: b", json!({})),
        (
            "header without colon",
            "YAG",
            "X-A|t",
            json!({"conversion_tags": "t"}),
        ),
        ("header too long", "YA", &long, json!({})),
        ("score", "Y,", "-2.5", json!({"spamadjust": "-2.5"})),
        ("score no number", "Y,", "5) discard(", json!({})),
        (
            "copies",
            "BHVZ",
            "",
            json!({
                "bitbucket": true, "hold": true, "discard_all": true, "jettison_all": true
            }),
        ),
        (
            "refused: notices, delay and debug only",
            "NBHVZU<>DTAG,",
            "1|a|b|2|t|X: y|g|+1|no",
            json!({"debug": 1, "syslog": "a", "syslog_rejected": "b", "delay_cs": 2}),
        ),
        (
            "flags of FROM_ACCESS take nothing",
            "YJKS!()D",
            "7|x",
            json!({"delay_cs": 7}),
        ),
    ];
    for (name, flags, text, expected) in cases {
        assert_eq!(effects(Point::SendAccess, flags, text), expected, "{name}");
    }
}

#[test]
fn effects_of_from_access() {
    let cases = [
        ("null return path", "YJ", "", json!({"envelope_from": ""})),
        (
            "brackets",
            "YJ",
            "<a@b.example>",
            json!({"envelope_from": "a@b.example"}),
        ),
        ("control character", "YJ", "a\r@b.example", json!({})),
        ("no address", "YJ", "a@b> SIZE=1", json!({})),
        ("empty sender", "YK", "", json!({})),
        ("one limit", "YS", "20", json!({"limits": [20]})),
        ("the last limit", "YS", ",,7", json!({"limits": [null, null, 7]})),
        ("limits that are none", "YS", "-1,x", json!({})),
        ("no vacation", "Y!", "", json!({"novacation": true})),
        (
            "in order",
            "YUJKI<>DTAGSX,()",
            "1|j@x|k@x|u|g|s|r|2|t|A: b|c|3|5.0.0|+4|p@x|q@x",
            json!({
                "debug": 1, "envelope_from": "j@x", "sender": "k@x", "group_check": ["u", "g"],
                "syslog": "s", "delay_cs": 2, "tag": "t", "add_header": "A: b", "conversion_tags": "c",
                "limits": [3], "spamadjust": "+4", "postmaster": "p@x", "postmaster_default": "q@x"
            }),
        ),
    ];
    for (name, flags, text, expected) in cases {
        assert_eq!(effects(Point::FromAccess, flags, text), expected, "{name}");
    }
}

#[test]
fn a_group_that_does_not_fit_refuses() {
    let result = result("YI>DX", "joe|staff|joe tried|5|5.7.3|Staff only");
    let facts = ReplyFacts::default();
    let decision = Point::FromAccess.decide(Some(&result), &facts);
    assert!(decision.accepted);
    let group = ("joe".to_string(), "staff".to_string());
    assert_eq!(decision.effects.group_check, Some(group));
    let decision = Point::FromAccess.refuse(&result, &facts);
    assert_eq!(decision.reply.as_deref(), Some("550 5.7.3 Staff only"));
    assert_eq!(decision.effects.syslog_rejected.as_deref(), Some("joe tried"));
}

#[test]
fn the_input_of_a_failed_entry_is_no_argument() {
    let failed = |flags: &str| MappingResult {
        failed: true,
        ..result(flags, "TCP|192.0.2.1|25|203.0.113.9|40312")
    };
    let facts = ReplyFacts::default();
    let port = Point::PortAccess.decide(Some(&failed("Y<")), &facts);
    assert_eq!(
        port,
        Decision {
            accepted: true,
            ..Decision::default()
        }
    );
    let port = Point::PortAccess.decide(Some(&failed("N")), &facts);
    assert_eq!((port.accepted, port.text, port.reply), (false, None, None));
    let from = Point::FromAccess.decide(Some(&failed("N")), &facts);
    assert_eq!(from.text.as_deref(), Some(UNKNOWN_TEXT));
}

#[test]
fn refused_connections() {
    let cases = [
        ("nothing to say", "N", "", None, vec![]),
        (
            "as it is",
            "N",
            "500 Bulk mail not accepted",
            Some("500"),
            vec!["500 Bulk mail not accepted"],
        ),
        ("no code", "N", "go away", None, vec!["go away"]),
        ("a number that is no code", "N", "4210 x", None, vec!["4210 x"]),
        (
            "lines",
            "N",
            "421 a~b~c",
            Some("421"),
            vec!["421-a", "421-b", "421 c"],
        ),
        (
            "lines with codes",
            "N",
            "421-a~421 b",
            Some("421"),
            vec!["421-a", "421 b"],
        ),
        ("lines without codes", "N", "a~b", None, vec!["a", "b"]),
        (
            "line ends",
            "N",
            "421 a\r\n250 b",
            Some("421"),
            vec!["421 a  250 b"],
        ),
    ];
    for (name, flags, text, code, lines) in cases {
        let decision = decide(Point::PortAccess, flags, text);
        assert!(!decision.accepted, "{name}");
        assert_eq!(decision.smtp_code.as_deref(), code, "{name}");
        assert_eq!(decision.reply_lines().collect::<Vec<_>>(), lines, "{name}");
    }
    let logged = effects(Point::PortAccess, "NT", "421 no");
    assert_eq!(logged, json!({"log_rejection": true}));
    let accepted = effects(Point::PortAccess, "YT", "A|realm");
    assert_eq!(accepted, json!({"ruleset": "A", "realm": "realm"}));
}

#[test]
fn other_tables() {
    let cases = [
        (
            "originators, other letters",
            Point::AuthRewrite,
            "kt",
            "a@x|b@x",
            json!({"envelope_from": "a@x", "sender": "b@x"}),
        ),
        (
            "notices, TLS accepted",
            Point::TlsAccess,
            "<>S",
            "a|b|c",
            json!({"syslog": "a", "switch_channel": "c"}),
        ),
        (
            "notices, connection accepted",
            Point::PortAccess,
            "Y<>",
            "a|b|c",
            json!({"syslog": "a", "ruleset": "c"}),
        ),
        (
            "replaced",
            Point::IpAccess,
            "A",
            "[2001:db8::1]",
            json!({"replace_ip": "2001:db8::1"}),
        ),
        (
            "replaced by no address",
            Point::IpAccess,
            "A",
            "none",
            json!({"skip": true}),
        ),
        (
            "backoff bounded",
            Point::DequeueAccess,
            "NS",
            "99999999999999999999",
            json!({"retry_counted": false, "backoff": BACKOFF_LIMIT}),
        ),
        (
            "backoff negative",
            Point::DequeueAccess,
            "NS",
            "-5",
            json!({"retry_counted": false}),
        ),
        (
            "backoff without refusal",
            Point::DequeueAccess,
            "YS",
            "5",
            json!({}),
        ),
        (
            "fallback",
            Point::TlsAccess,
            "N",
            "no",
            json!({"fallback_allowed": true}),
        ),
        (
            "no fallback",
            Point::TlsAccess,
            "NF",
            "no",
            json!({"fallback_allowed": false}),
        ),
        (
            "no switch",
            Point::TlsAccess,
            "B",
            "",
            json!({"no_tls_switch": true}),
        ),
        (
            "channel in lower case",
            Point::TlsAccess,
            "S",
            "TCP_X",
            json!({"switch_channel": "tcp_x"}),
        ),
        ("channel needs $S", Point::EtrnAccess, "YD", "tcp_x", json!({})),
        (
            "originators",
            Point::AuthRewrite,
            "JYZ",
            "a@x|b@x|c@x",
            json!({"envelope_from": "a@x", "sender": "b@x", "from": "c@x"}),
        ),
        (
            "originator forged",
            Point::AuthRewrite,
            "T",
            "a@x>\r\nBcc: b",
            json!({}),
        ),
    ];
    for (name, point, flags, text, expected) in cases {
        assert_eq!(effects(point, flags, text), expected, "{name}");
    }
    let replies = [
        (Point::EtrnAccess, "N", "", Some("459 4.5.0 ETRN not allowed")),
        (Point::EtrnAccess, "SDN", "tcp_x|no", Some("459 4.5.0 no")),
        (
            Point::TlsAccess,
            "F",
            "",
            Some("421 4.7.0 TLS session not accepted"),
        ),
        (Point::TlsAccess, "FS", "no|tcp_x", Some("421 4.7.0 no")),
        (Point::TlsAccess, "F", "554 no", Some("554 no")),
        (
            Point::AuthRewrite,
            "N",
            "",
            Some("550 5.7.1 invalid originator address used"),
        ),
        (Point::AuthAccess, "N", "no", None),
        (Point::IpAccess, "N", "no", None),
        (Point::DequeueAccess, "N", "no", None),
    ];
    for (point, flags, text, reply) in replies {
        let decision = decide(point, flags, text);
        assert!(!decision.accepted, "{point:?}");
        assert_eq!(decision.reply.as_deref(), reply, "{point:?}");
    }
    assert_eq!(
        decide(Point::IpAccess, "N", "no").enhanced.as_deref(),
        Some("5.1.2")
    );
}

#[test]
fn a_table_that_cannot_be_run_is_never_a_yes_and_never_a_permanent_no() {
    for point in Point::ALL {
        let decision = point.unavailable();
        assert!(!decision.accepted || decision.effects.skip, "{point:?}");
        for code in [&decision.smtp_code, &decision.enhanced].into_iter().flatten() {
            assert!(code.starts_with('4'), "{point:?}: {code}");
        }
    }
}

/// Whatever a template or a sender puts into a result, nothing that leaves can end a line.
#[test]
fn no_result_ends_a_line() {
    let texts = [
        "a\r\nb|c\nd: e\r\n|\0|x@y\r\n|1\n|1,2\n|\u{7f}\u{85}",
        "421 a~421 b\r\n250 c",
        "X: y\rZ: w|X: y\rZ: w|X: y\rZ: w",
        "|||||||||||||||||||\r\n",
    ];
    let flags: Vec<String> = (b'!'..=b'~').map(|b| char::from(b).to_string()).collect();
    let all = flags.concat();
    for point in Point::ALL {
        let without = all.replace(['N', 'n', 'F', 'f'], "");
        for flags in flags.iter().chain([&all, &without]) {
            for text in texts {
                let mut decision = decide(point, flags, text);
                for line in decision.reply_lines() {
                    assert!(
                        !line.chars().any(char::is_control),
                        "{point:?} ${flags}: {line:?}"
                    );
                }
                decision.reply = None;
                let strings = format!("{decision:?}");
                let ends = ["\\r", "\\n", "\\0", "\\u{"];
                assert!(
                    !ends.iter().any(|end| strings.contains(end)),
                    "{point:?} ${flags}: {strings}"
                );
            }
        }
    }
}

#[test]
fn long_texts_are_cut() {
    let text = "\u{e9}".repeat(TEXT_LIMIT);
    let decision = decide(Point::SendAccess, "N", &text);
    assert_eq!(decision.text.map(|text| text.len()), Some(TEXT_LIMIT));
}

#[test]
fn flags_without_meaning() {
    let cases = [
        ("PORT_ACCESS", "YNt<>D", "D"),
        ("from_access", "YNJKS!()@", "@"),
        ("SEND_ACCESS", "yJ!*", "!*J"),
        ("SITE_TABLE", "QW", ""),
    ];
    for (table, flags, unknown) in cases {
        let got: String = unknown_flags(table, FlagSet::of(flags)).into_iter().collect();
        assert_eq!(got, unknown, "{table}");
    }
}
