//! What `sluice check` says of tables, flags and options that do not do what they seem to.

mod common;

use common::{new_site, sluice};
use serde_json::Value;

#[test]
fn what_does_nothing_is_named() {
    let site = new_site("lint");
    let mappings = std::fs::read_to_string(site.join("config/mappings")).expect("mappings");
    let options = std::fs::read_to_string(site.join("config/option.dat")).expect("option.dat");
    // name, added to mappings, added to option.dat, expected: code, part of message or help
    type Expected<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, &str, &str, Expected<'_>)] = &[
        ("nothing", "", "", &[]),
        (
            "probed tables",
            "FORWARD\n\n  *  $N\n\nREVERSE\n\n  *  $N\n\nLOG_ACTION\n\n  *  $N\n",
            "",
            &[],
        ),
        (
            "no reversal",
            "REVERSE\n\n  *  $N\n",
            "USE_REVERSE_DATABASE=0\n",
            &[("M022", "USE_REVERSE_DATABASE=0")],
        ),
        (
            "nobody calls it",
            "MINE\n\n  *  $Y\n",
            "",
            &[("M022", "call it from another table")],
        ),
        (
            "one calls the other",
            "MAIL_ACCESS\n\n  *  $C$|MINE;$0|$N\n\nMINE\n\n  *  $Y\n",
            "",
            &[],
        ),
        (
            "misspelt",
            "ORIG_MAIL_ACESS\n\n  *  $Y\n",
            "",
            &[("M022", "did you mean `ORIG_MAIL_ACCESS`?")],
        ),
        (
            "not asked",
            "AUTH_ACCESS\n\n  *  $N\n",
            "",
            &[("M020", "not probed in this version")],
        ),
        (
            "ends the look-up",
            "MAIL_ACCESS\n\n  *  $:A$N\n  *  $Nno\n",
            "",
            &[("M023", "write `$C` in front of it")],
        ),
        (
            "does nothing",
            "MAIL_ACCESS\n\n  *  $Ux$Y\n",
            "",
            &[("M024", "flag `$U` of MAIL_ACCESS")],
        ),
        (
            "no such flag",
            "PORT_ACCESS2\n\n  *  $Y\n\nMAIL_ACCESS\n\n  *  $W$Y\n",
            "",
            &[
                ("M022", "did you mean `PORT_ACCESS`?"),
                ("M021", "flag `$W` has no meaning in MAIL_ACCESS"),
            ],
        ),
    ];
    for (name, table, option, want) in cases {
        let write =
            |file: &str, text: String| std::fs::write(site.join("config").join(file), text).expect(file);
        write("mappings", format!("{mappings}\n{table}"));
        write("option.dat", format!("{options}\n{option}"));
        let ran = sluice(&site, &["check", "--json"], "");
        let said: Vec<Value> = ran
            .out
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        assert_eq!(said.len(), want.len(), "{name}: {said:#?}");
        for (said, (code, part)) in said.iter().zip(*want) {
            assert_eq!(said["code"], *code, "{name}");
            assert!(said.to_string().contains(part), "{name}: {said:#}");
        }
    }
}
