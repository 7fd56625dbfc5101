//! REVERSE and FORWARD: what is asked, and what comes of the answers, for each option and flag.

use policy::forward::{Forwarded, Forwarding};
use policy::mapping::{FlagSet, MappingResult};
use policy::reverse::Reversal;
use policy::site::{Site, Texts, load};

fn site(options: &str) -> Site {
    let text = |name: &str, text: &str| Some((name.to_string(), text.to_string()));
    let texts = Texts {
        imta: text("imta.cnf", ". $U%$H@out\n\nl\nhere\n\ntcp_a noreverse\nout\n"),
        mappings: text("mappings", "REVERSE\n\n  *  $N\n\nFORWARD\n\n  *  $N\n"),
        options: text("option.dat", &format!("USE_TEXT_DATABASES=6\n{options}")),
        reverse: text("reverse.txt", "a@x  b@x\nl||c@x  d@x\nm@x  n@x\n"),
        forward: text("forward.txt", "a@x  b@x\nl|from@x|c@x  d@x, e@x\n"),
        ..Texts::default()
    };
    load(&texts, &|_: &str| Err("none".to_string())).unwrap_or_else(|e| panic!("{:?}", e.diagnostics))
}

fn said(output: &str, flags: &str) -> Option<MappingResult> {
    Some(MappingResult {
        matched: 1,
        output: output.to_string(),
        flags: FlagSet::of(flags),
        ..MappingResult::default()
    })
}

#[test]
fn reverses() {
    // options, address, envelope, forward, destination; the probe; the table's answer; the new address
    type Case<'a> = (
        &'a str,
        (&'a str, bool, bool, &'a str),
        Option<&'a str>,
        Option<MappingResult>,
        Option<&'a str>,
    );
    let cases: [Case<'_>; 13] = [
        ("", ("a@x", false, false, ""), None, None, Some("b@x")),
        (
            "",
            ("q@x", false, false, ""),
            Some("q@x"),
            said("r@x", "Y"),
            Some("r@x"),
        ),
        ("", ("q@x", false, false, ""), Some("q@x"), said("r@x", "N"), None),
        (
            "",
            ("q@x", false, false, ""),
            Some("q@x"),
            said("m@x", "YD"),
            Some("n@x"),
        ),
        ("", ("q@x", true, true, ""), None, None, None),
        ("REVERSE_ENVELOPE=0", ("a@x", true, false, ""), None, None, None),
        ("", ("a@x", false, false, "tcp_a"), None, None, None),
        (
            "USE_REVERSE_DATABASE=0",
            ("a@x", false, false, ""),
            None,
            None,
            None,
        ),
        (
            "USE_REVERSE_DATABASE=1",
            ("a@x", false, true, ""),
            None,
            None,
            None,
        ),
        (
            "USE_REVERSE_DATABASE=4",
            ("a@x", false, false, ""),
            Some("a@x"),
            None,
            None,
        ),
        (
            "USE_REVERSE_DATABASE=13",
            ("q@x", true, false, ""),
            Some("l||q@x"),
            None,
            None,
        ),
        (
            "USE_REVERSE_DATABASE=21",
            ("c@x", true, false, ""),
            None,
            None,
            Some("d@x"),
        ),
        (
            "USE_REVERSE_DATABASE=37",
            ("a@x", true, false, ""),
            Some("b@x"),
            said("z@x", "Y"),
            Some("z@x"),
        ),
    ];
    for (options, (address, envelope, forward, destination), probe, answer, expected) in cases {
        let site = site(options);
        let reversal = Reversal {
            site: &site,
            address,
            source_channel: "l",
            destination_channel: destination,
            envelope,
            forward,
        };
        let begun = reversal.begin();
        let asked = begun.lookup.as_ref().map(|l| l.probe.as_str());
        assert_eq!(asked, probe, "{options} {address}");
        let new = begun.finish(&reversal, answer.as_ref());
        assert_eq!(new.as_deref(), expected, "{options} {address}");
    }
}

#[test]
fn forwards() {
    let to = |addresses: &[&str]| Forwarded {
        addresses: addresses.iter().map(|a| a.to_string()).collect(),
        ..Forwarded::default()
    };
    let again = |addresses: &[&str]| Forwarded {
        again: true,
        ..to(addresses)
    };
    let cases = [
        ("", "a@x", "a@x", None, to(&[])),
        ("", "a@x", "a@x", said("q@x", "Y"), to(&["q@x"])),
        ("", "a@x", "a@x", said("q@x", "YD"), again(&["q@x"])),
        ("", "a@x", "a@x", said("A@X", "YD"), again(&[])),
        ("", "a@x", "a@x", said("q@x", "D"), to(&[])),
        (
            "",
            "a@x",
            "a@x",
            said("a@x", "I"),
            Forwarded {
                hold: true,
                ..to(&[])
            },
        ),
        ("", "a@x", "a@x", said("q@x", "YKP"), to(&["q@x"])),
        (
            "",
            "a@x",
            "a@x",
            said("q@x,r@x", "YDKPH"),
            Forwarded {
                keep: true,
                last: true,
                keep_intermediate: true,
                ..again(&["q@x", "r@x"])
            },
        ),
        ("USE_FORWARD_DATABASE=1", "A@x", "A@x", None, again(&["b@x"])),
        (
            "USE_FORWARD_DATABASE=1",
            "q@x",
            "q@x",
            said("a@x", "YG"),
            again(&["b@x"]),
        ),
        (
            "USE_FORWARD_DATABASE=9",
            "c@x",
            "c@x",
            None,
            again(&["d@x", "e@x"]),
        ),
        ("USE_FORWARD_DATABASE=16", "a@x", "l|from@x|a@x", None, to(&[])),
        ("INCLUDE_CONVERSIONTAG=4", "a@x", "t,u|a@x", None, to(&[])),
    ];
    for (options, address, probe, answer, expected) in cases {
        let site = site(options);
        let forwarding = Forwarding {
            site: &site,
            address,
            source_channel: "l",
            from: "from@x",
            flags: FlagSet::default(),
            tags: &["t".to_string(), "u".to_string()],
        };
        let asked = forwarding.begin().map(|l| l.probe);
        assert_eq!(asked.as_deref(), Some(probe), "{options} {address}");
        assert_eq!(
            forwarding.finish(answer.as_ref()),
            expected,
            "{options} {address} {answer:?}"
        );
    }
}
