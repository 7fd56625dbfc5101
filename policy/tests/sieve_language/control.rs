//! What runs, and when: `ihave`, `include`, loops.

use policy::sieve::{Level, Options};

use crate::sieve_common::{MIME, PLAIN, Scripts, run, summary};
use crate::{ALL, check, run_all};

#[test]
fn ihave() {
    check(
        PLAIN,
        &[
            (
                "unknown commands",
                r#"if ihave "x-none" { frob :a 1 { grob; } } else { discard; }"#,
                "discard",
            ),
            (
                "within allof",
                r#"if allof(ihave "x-none", frob :a "b") { frob; } else { discard; }"#,
                "discard",
            ),
            (
                "not",
                r#"if not ihave "x-none" { discard; stop; } frobnicate;"#,
                "discard",
            ),
            ("several", r#"if ihave ["fileinto","x-none"] { frob; }"#, "(keep)"),
        ],
    );
    let late = r#"require "ihave"; if anyof(true, ihave "fileinto") {} fileinto "A";"#;
    let late = run(late, PLAIN, &Scripts(&[]), &Options::default(), |_| {});
    assert_eq!(
        summary(&late),
        "error: this extension is used before `ihave` has found it"
    );
    let own = run(
        r#"require "ihave"; if ihave "fileinto" { fileinto "A"; } fileinto "B";"#,
        PLAIN,
        &Scripts(&[]),
        &Options::default(),
        |_| {},
    );
    assert_eq!(summary(&own), "A; B");
}

#[test]
fn includes() {
    const LIBRARY: Scripts = Scripts(&[
        (
            "personal/set",
            "require [\"include\",\"variables\"]; global \"g\"; set \"g\" \"shared\"; set \"own\" \"hidden\";",
        ),
        (
            "personal/return",
            "require [\"include\",\"fileinto\"]; fileinto \"before\"; return; fileinto \"after\";",
        ),
        (
            "global/set",
            "require [\"include\",\"variables\"]; set \"global.g\" \"from global\";",
        ),
        (
            "personal/edit",
            "require \"editheader\"; addheader \"X-Sub\" \"y\";",
        ),
        (
            "personal/part",
            "require [\"variables\",\"fileinto\",\"mime\"]; if header :matches \"content-type\" \"*\" { fileinto \"${1}\"; }",
        ),
        ("personal/discard", "discard;"),
    ]);
    let cases = [
        (
            "shared",
            r#"global "g"; include "set"; fileinto "${g}|${own}";"#,
            "shared|",
        ),
        ("namespace", r#"include "set"; fileinto "${global.g}";"#, "shared"),
        (
            "global place",
            r#"include :global "set"; fileinto "${global.g}";"#,
            "from global",
        ),
        ("return", r#"include "return"; fileinto "then";"#, "before; then"),
        ("return at the top", r#"discard; return; keep;"#, "discard"),
        (
            "edits are seen",
            r#"include "edit"; if exists "x-sub" { discard; }"#,
            "discard",
        ),
        ("twice", r#"include "discard"; include "discard";"#, "discard"),
        (
            "missing",
            r#"include "nope";"#,
            "error: there is no script personal/nope",
        ),
    ];
    for (name, script, want) in cases {
        let outcome = run(
            &format!("{ALL}{script}"),
            PLAIN,
            &LIBRARY,
            &Options::default(),
            |_| {},
        );
        assert_eq!(summary(&outcome), want, "{name}");
    }
    let script = format!(
        "{ALL}foreverypart {{ if header :mime :type \"content-type\" \"application\" {{ include \"part\"; }} }}"
    );
    let outcome = run(&script, MIME, &LIBRARY, &Options::default(), |_| {});
    assert_eq!(summary(&outcome), "application/pdf; name=\"doc.pdf\"");
}

#[test]
fn loops_of_the_system() {
    let of = |level: Level, script: &str| {
        let outcome = run_all(script, PLAIN, |r| r.level = level);
        summary(&outcome)
    };
    for (name, script, want) in [
        (
            "exitif",
            r#"n = 0; loop exitif n >= 3 { n = n + 1; } fileinto "${n}";"#,
            "3",
        ),
        (
            "nextif",
            r#"n = 0; loop exitif n >= 5 nextif n == 9 { n = n + 1; s = s . n; } fileinto s;"#,
            "12345",
        ),
        (
            "a test",
            r#"n = 0; loop exitif header :is "x-prio" "${n}" { n = n + 1; } fileinto "${n}";"#,
            "7",
        ),
        (
            "a test and nextif",
            r#"n = 0; m = 0; loop exitif string "${n}" "4" nextif m { n = n + 1; } fileinto "${n}";"#,
            "4",
        ),
        (
            "break",
            r#"n = 0; loop { n = n + 1; if n == 4 { break; } } fileinto "${n}";"#,
            "4",
        ),
        (
            "continue",
            r#"n = 0; loop exitif n > 3 { n = n + 1; if n == 2 { continue; } s = s . n; } fileinto s;"#,
            "134",
        ),
        (
            "without end",
            "loop { }",
            "error: this loop runs more than 10000 times",
        ),
    ] {
        assert_eq!(of(Level::System, script), want, "{name}");
    }
    assert_eq!(
        of(Level::User, "loop { }"),
        "error: `loop` is for scripts of the system only"
    );
}
