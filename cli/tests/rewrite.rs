//! `imsimta test -rewrite`: the rewrite vectors through the program, and its text form.

mod common;

use common::{imsimta, site};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let path = format!("{}/../tests/vectors/rewrite.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn the_vectors_through_the_program() {
    let vectors = vectors();
    assert!(vectors.len() >= 83);
    let mut problems = Vec::new();
    for v in &vectors {
        let text = |name: &str| v[name].as_str().unwrap_or("").to_string();
        let mut options = String::new();
        for (name, value) in v["options"].as_object().into_iter().flatten() {
            options.push_str(&format!("{name}={value}\n"));
        }
        let root = site(
            "rewrite_vectors",
            &[
                ("imta.cnf", &text("imta_cnf")),
                ("mappings", &text("mappings")),
                ("aliases", &text("aliases")),
                ("general.txt", &text("general_database")),
                ("option.dat", &options),
            ],
        );
        let mut args = vec![
            "test".to_string(),
            "-rewrite".into(),
            "--json".into(),
            "-noimage_file".into(),
        ];
        for (name, value) in [
            ("source_channel", text("source_channel")),
            ("destination_channel", text("destination_channel")),
        ] {
            if !value.is_empty() {
                args.push(format!("-{name}={value}"));
            }
        }
        args.push(text("address"));
        let ran = imsimta(&root, &args.join(" "), "");
        let got: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{v}: {e} {}", ran.err));
        let (address, channel) = match text("direction").as_str() {
            "envelope-to" => (&got["submitted"][0]["address"], &got["submitted"][0]["channel"]),
            "envelope-from" => (&got["envelope_from"], &got["backward_channel"]),
            "header-to" => (&got["header_to"], &Value::Null),
            _ => (&got["header_from"], &Value::Null),
        };
        let right = match v["error"].as_str() {
            Some(error) => {
                got["submitted"].as_array().unwrap().is_empty()
                    && got["errors"][0].as_str().is_some_and(|e| e.contains(error))
            }
            // the fields have no channel of a header address
            None => *address == v["result_address"] && (channel.is_null() || *channel == v["channel"]),
        };
        if !right {
            problems.push(format!("{v}\n  gave {got}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

const IMTA: &str = "\
local.example.com $U%$D@local.example.com
b.example $U%$D@b-daemon
. $U%$H@tcp_local-daemon

l
local.example.com

tcp_local smtp mx single_sys maytls logging description \"out\"
tcp_local-daemon

tcp_b smtp
b-daemon
";

const MAPPINGS: &str = "\
ORIG_SEND_ACCESS

  tcp_b|*|tcp_local|*  $N5.7.1|Go$ away!

FORWARD

  old@b.example   $Y$Dnew@c.example
  two@b.example   $Y$D$Pcopy@c.example
  turn@b.example  $Y$Dback@b.example
  back@b.example  $Y$Dturn@b.example
  bad@b.example   $Yx@nowhere.example
  fix@b.example   $Yy@b-daemon

REVERSE

  *@b.example  $Y$0@public.example
";

const ALIASES: &str = "staff@local.example.com: ann@b.example, bob@c.example\n";

/// Each case: arguments, exit code, parts of the output.
#[test]
fn the_text_form() {
    let root = site(
        "rewrite_text",
        &[("imta.cnf", IMTA), ("mappings", MAPPINGS), ("aliases", ALIASES)],
    );
    let cases: &[(&str, u8, &[&str])] = &[
        (
            "DAN@EXAMPLE.COM",
            0,
            &[
                "  forward channel        = tcp_local\n  channel description    = out\n",
                "  channel flags #0       = BIDIRECTIONAL SINGLE_SYSTEM IMMNONURGENT NOSERVICEALL\n",
                "  channel flags #1       = SMTP MX MAYTLS\n",
                "  envelope To: address   = DAN@EXAMPLE.COM  (route (tcp_local-daemon,tcp_local-daemon))\n",
                "Submitted address list:\n  tcp_local\n    DAN@EXAMPLE.COM (example.com) *NOTIFY FAILURES* *NOTIFY DELAYS*\n",
            ],
        ),
        (
            "-nochannel x@y.example",
            0,
            &["  forward channel        = tcp_local\n  backward channel       = tcp_local\n"],
        ),
        (
            "-nochannel staff@local.example.com",
            0,
            &[
                "2 expansion total.\nExpanded address:\n  ann@b.example\n  bob@c.example\n",
                "  tcp_b\n    ann@b.example",
            ],
        ),
        (
            "-source_channel=tcp_b u@out.example",
            1,
            &["Address list error -- 5.7.1", "Go away!"],
        ),
        ("old@b.example", 0, &["Expanded address:\n  new@c.example\n"]),
        (
            "two@b.example",
            0,
            &["  copy@c.example", "  tcp_b\n    two@b.example"],
        ),
        (
            "turn@b.example",
            1,
            &["Address list error -- 5.4.6 aliases are nested too deeply"],
        ),
        (
            "bad@b.example",
            1,
            &["Address list error -- 5.1.2 unknown host or domain"],
        ),
        ("fix@b.example", 0, &["  tcp_b\n    y@b-daemon"]),
        (
            "u@b.example",
            0,
            &[
                "header From: address   = u@public.example",
                "envelope To: address   = u@b.example",
            ],
        ),
        (
            "-nomapping_file old@b.example",
            0,
            &["  tcp_b\n    old@b.example"],
        ),
        (
            "-local_alias=public.example x@local.example.com",
            0,
            &["header To: address     = x@public.example"],
        ),
        (
            "-debug -nochannel u@b.example",
            0,
            &[
                "rewriting envelope forward-pointing address u@b.example",
                "reversal: u@b.example is u@public.example",
            ],
        ),
        ("&fc;@b.example", 0, &["ü@b.example"]),
        ("-source_channel=none u@b.example", 2, &[]),
    ];
    for (args, exit, parts) in cases {
        let ran = imsimta(&root, &format!("test -rewrite {args}"), "");
        assert_eq!(ran.exit.code(), *exit, "{args}: {}{}", ran.out, ran.err);
        for part in *parts {
            assert!(ran.out.contains(part), "{args}: no {part:?} in\n{}", ran.out);
        }
    }
    let ran = imsimta(&root, "test -rewrite -nochannel", "u@b.example\n^c^@b\n");
    assert!(ran.out.starts_with("Address:   forward channel"), "{}", ran.out);
    assert!(ran.err.contains("two hexadecimal digits"), "{}", ran.err);
}
