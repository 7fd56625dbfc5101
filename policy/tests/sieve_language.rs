//! What scripts mean, extension by extension: each case a script, a message and what comes of it.

mod sieve_common;

use policy::sieve::{Level, LevelResult, Options, merge};
use sieve_common::{MIME, PLAIN, Scripts, header, run, summary};

/// Capabilities that most cases need.
const ALL: &str = r#"require ["fileinto","envelope","variables","relational","subaddress","copy","imap4flags","body","date",
"index","editheader","reject","ereject","vacation","environment","ihave","include","mailbox","mboxmetadata","servermetadata",
"foreverypart","mime","extracttext","enotify","duplicate","extlists","regex","special-use","mailboxid","spamtestplus",
"virustest","envelope-dsn","replace","enclose","comparator-i;ascii-numeric","comparator-i;unicode-casemap"];
"#;

fn check(message: &str, cases: &[(&str, &str, &str)]) {
    let mut bad = Vec::new();
    for (name, script, want) in cases {
        let outcome = run(
            &format!("{ALL}{script}"),
            message,
            &Scripts(&[]),
            &Options::default(),
            |r| {
                r.environment.insert("name".into(), "sluice".into());
                r.envelope.notify = vec!["SUCCESS".into(), "FAILURE".into()];
                r.addresses.push("roadrunner@birds.example.com".into());
            },
        );
        let got = summary(&outcome);
        if got != *want {
            bad.push(format!("{name}: {got}\n    wanted {want}"));
        }
    }
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}

#[test]
fn base_tests() {
    check(
        PLAIN,
        &[
            (
                "contains the empty string",
                r#"if header :contains "x-empty" "" { discard; }"#,
                "discard",
            ),
            (
                "absent header holds nothing",
                r#"if header :contains "x-none" "" { discard; }"#,
                "(keep)",
            ),
            (
                "many keys of :is",
                r#"if header :is "x-multi" ["a","b","c","d","TWO"] { discard; }"#,
                "discard",
            ),
            (
                "many keys of :contains",
                r#"if header :contains "x-multi" ["xx","yy","zz","vv","HRE"] { discard; }"#,
                "discard",
            ),
            (
                "octet",
                r#"if header :comparator "i;octet" :is "x-multi" "TWO" { discard; }"#,
                "(keep)",
            ),
            (
                "address ignores the phrase",
                r#"if address :contains "from" "wile" { discard; }"#,
                "(keep)",
            ),
            (
                "address domain",
                r#"if address :domain :is ["cc","to"] "c.example" { discard; }"#,
                "discard",
            ),
            ("exists all", r#"if exists ["from","to"] { discard; }"#, "discard"),
            (
                "exists not all",
                r#"if exists ["from","x-none"] { discard; }"#,
                "(keep)",
            ),
            (
                "size is strict",
                "if anyof(size :over 1K, size :under 100) { discard; }",
                "(keep)",
            ),
            (
                "nested",
                "if allof(not false, anyof(false, not not true)) { discard; } else { keep; }",
                "discard",
            ),
            (
                "elsif",
                "if false { keep; } elsif true { discard; } else { stop; }",
                "discard",
            ),
            ("stop", "discard; stop; keep;", "discard"),
            (
                "unicode",
                r#"if header :comparator "i;unicode-casemap" :matches "subject" "*CAFÉ*" { fileinto "${2}"; }"#,
                " order for you",
            ),
            ("inbox is keep", r#"keep; fileinto "inbox";"#, "keep"),
            (
                "names of a computed header",
                r#"set "n" "X-Prio"; if header "${n}" "7" { discard; }"#,
                "discard",
            ),
            (
                "a key that is computed",
                r#"set "k" "tw"; if header :contains "x-multi" ["none","${k}"] { discard; }"#,
                "discard",
            ),
        ],
    );
}

#[test]
fn envelope_and_subaddress() {
    check(
        PLAIN,
        &[
            (
                "to",
                r#"if envelope :is "to" "roadrunner+acme@birds.example.com" { discard; }"#,
                "discard",
            ),
            (
                "detail",
                r#"if envelope :detail "to" "acme" { discard; }"#,
                "discard",
            ),
            (
                "user",
                r#"if address :user "to" "roadrunner" { discard; }"#,
                "discard",
            ),
            (
                "no detail",
                r#"if envelope :detail "from" "" { discard; }"#,
                "(keep)",
            ),
            (
                "no detail counts nothing",
                r#"if envelope :detail :count "eq" "from" "0" { discard; }"#,
                "discard",
            ),
            (
                "dsn",
                r#"if envelope :is "notify" "FAILURE" { discard; }"#,
                "discard",
            ),
            (
                "dsn absent",
                r#"if envelope :contains "orcpt" "" { discard; }"#,
                "(keep)",
            ),
        ],
    );
}

#[test]
fn relational() {
    check(
        PLAIN,
        &[
            (
                "count of fields",
                r#"if header :count "eq" :comparator "i;ascii-numeric" ["x-multi","x-prio"] "4" { discard; }"#,
                "discard",
            ),
            (
                "count of addresses",
                r#"if address :count "ge" :comparator "i;ascii-numeric" ["cc","to"] "3" { discard; }"#,
                "discard",
            ),
            (
                "count of strings",
                r#"if string :count "eq" ["a","","b"] "2" { discard; }"#,
                "discard",
            ),
            (
                "value",
                r#"if header :value "gt" :comparator "i;ascii-numeric" "x-prio" "10" { discard; }"#,
                "(keep)",
            ),
            (
                "value of words",
                r#"if header :value "ne" "x-multi" "one" { discard; }"#,
                "discard",
            ),
        ],
    );
}

#[test]
fn variables() {
    let set = |modifiers: &str| {
        format!(r#"set "a" "juMBlEd lETteRS"; set {modifiers} "b" "${{a}}"; fileinto "${{b}}";"#)
    };
    let cases = [
        ("length", set(":length"), "15"),
        ("lower", set(":lower"), "jumbled letters"),
        ("upperfirst", set(":upperfirst"), "JuMBlEd lETteRS"),
        ("both", set(":upperfirst :lower"), "Jumbled letters"),
        (
            "quotewildcard",
            r#"set :quotewildcard "b" "Rock*\\?"; fileinto "${b}";"#.to_owned(),
            r"Rock\*\\\?",
        ),
        (
            "quoteregex",
            r#"set :quoteregex "b" "a.b*"; fileinto "${b}";"#.to_owned(),
            r"a\.b\*",
        ),
        (
            "encodeurl",
            r#"set :encodeurl "b" "a b/é-_.~"; fileinto "${b}";"#.to_owned(),
            "a%20b%2F%C3%A9-_.~",
        ),
        (
            "quoted captures",
            r#"if string :matches "a*b" "?\\*?" { fileinto "${1}-${2}"; }"#.to_owned(),
            "a-b",
        ),
        (
            "long values are cut",
            format!(
                r#"set "a" "{}"; set "b" "${{a}}${{a}}"; set :length "c" "${{b}}"; fileinto "${{c}}";"#,
                "é".repeat(3000)
            ),
            "4000",
        ),
        ("unset", r#"fileinto "x${nothing}y";"#.to_owned(), "xy"),
        (
            "regex groups",
            r#"if header :regex "subject" "^(caf.) (order|none)" { fileinto "${1}/${2}/${3}"; }"#.to_owned(),
            "Café/order/",
        ),
        (
            "set then test",
            r#"set "dollar" "$"; fileinto "${dollar}{x}";"#.to_owned(),
            "${x}",
        ),
    ];
    let cases: Vec<(&str, &str, &str)> = cases.iter().map(|(n, s, w)| (*n, s.as_str(), *w)).collect();
    check(PLAIN, &cases);
}

#[test]
fn flags() {
    check(
        PLAIN,
        &[
            (
                "each word a flag",
                r#"setflag "\\Seen $a $A"; keep;"#,
                "keep [\\Seen $a]",
            ),
            (
                "the value when it runs",
                r#"addflag "a"; fileinto "X"; addflag "b"; keep;"#,
                "X [a]; keep [a b]",
            ),
            (
                "at the end for the implicit keep",
                r#"addflag "a"; removeflag "A"; addflag "b";"#,
                "(keep [b])",
            ),
            (":flags wins", r#"addflag "a"; keep :flags "b";"#, "keep [b]"),
            (
                "the last list wins",
                r#"keep :flags "a"; fileinto :flags "b" "INBOX";"#,
                "keep [b]",
            ),
            (
                "hasflag",
                r#"setflag ["a","b"]; if hasflag "B" { discard; }"#,
                "discard",
            ),
            (
                "hasflag of two words",
                r#"setflag ["a"]; if hasflag :is "x A" { discard; }"#,
                "discard",
            ),
            (
                "hasflag contains",
                r#"setflag "MyFlag"; if hasflag :contains "flag" { discard; }"#,
                "discard",
            ),
            (
                "hasflag count",
                r#"setflag ["a","b"]; if hasflag :count "eq" "2" { discard; }"#,
                "discard",
            ),
            (
                "in a variable",
                r#"setflag "v" ["x","y"]; if hasflag :is "v" "y" { fileinto "${v}"; }"#,
                "x y",
            ),
            (
                "unknown system flags",
                r#"setflag ["\\Strange","\\Deleted"]; keep;"#,
                "keep [\\Deleted]",
            ),
        ],
    );
}

#[test]
fn copy_and_duplicates() {
    check(
        PLAIN,
        &[
            (
                "copy keeps",
                r#"fileinto :copy "A"; redirect :copy "a@x.example";"#,
                "A copy; to a@x.example; (keep)",
            ),
            ("a plain one later", r#"fileinto :copy "A"; fileinto "A";"#, "A"),
            (
                "domains without case",
                r#"redirect "a@x.example"; redirect "a@X.EXAMPLE";"#,
                "to a@x.example",
            ),
            (
                "a list",
                r#"redirect :list ":friends";"#,
                "to a@x.example; to b@x.example",
            ),
            ("special use", r#"fileinto :specialuse "\\Junk" "Other";"#, "Spam"),
            (
                "no such special use",
                r#"fileinto :specialuse "\\Sent" "Other";"#,
                "Other",
            ),
            ("mailbox id", r#"fileinto :mailboxid "F1" "Other";"#, "Byid"),
        ],
    );
}

#[test]
fn rejections() {
    check(
        PLAIN,
        &[
            ("reject", r#"reject "no";"#, "reject no"),
            (
                "keep first",
                r#"keep; reject "no";"#,
                "error: `reject` cannot follow a delivery of the message",
            ),
            (
                "keep later",
                r#"reject "no"; keep;"#,
                "error: `keep` cannot follow a rejection",
            ),
            (
                "fileinto later",
                r#"ereject "no"; fileinto "A";"#,
                "error: `fileinto` cannot follow a rejection",
            ),
            (
                "twice",
                r#"reject "no"; ereject "no";"#,
                "error: `ereject` follows another rejection",
            ),
            (
                "with discard and notify",
                r#"discard; notify "mailto:a@x.example"; ereject "no";"#,
                "discard; notify mailto:a@x.example; ereject no",
            ),
            (
                "vacation later",
                r#"reject "no"; vacation "x";"#,
                "error: `vacation` cannot follow a rejection",
            ),
        ],
    );
}

#[test]
fn bodies() {
    check(
        MIME,
        &[
            (
                "text is decoded",
                r#"if body :contains "pläin" { discard; }"#,
                "discard",
            ),
            (
                "markup is no text",
                r#"if body :text :contains "Hello html" { discard; }"#,
                "discard",
            ),
            (
                "raw is not decoded",
                r#"if body :raw :contains "pl=E4in" { discard; }"#,
                "discard",
            ),
            (
                "content of a subtype",
                r#"if body :content "text/html" :contains "<b>" { discard; }"#,
                "discard",
            ),
            (
                "content of any text",
                r#"if body :content "text" :contains "nested body" { discard; }"#,
                "discard",
            ),
            (
                "content of a message is its header",
                r#"if body :content "message/rfc822" :contains "nested body" { discard; }"#,
                "(keep)",
            ),
            (
                "header of a message",
                r#"if body :content "message/rfc822" :contains "inner subject" { discard; }"#,
                "discard",
            ),
            (
                "binary",
                r#"if body :content "application" :contains "%PDF" { discard; }"#,
                "discard",
            ),
            (
                "all",
                r#"if body :content "" :contains "epilogue" { discard; }"#,
                "discard",
            ),
            (
                "malformed types",
                r#"if body :content ["/", "text/", "/plain", "a/b/c"] :contains "" { discard; }"#,
                "(keep)",
            ),
            (
                "part headers are no body",
                r#"if body :content "text" :contains "iso-8859-1" { discard; }"#,
                "(keep)",
            ),
        ],
    );
}

#[test]
fn dates() {
    check(
        PLAIN,
        &[
            (
                "zone",
                r#"if date :zone "+0000" "date" "hour" "17" { discard; }"#,
                "discard",
            ),
            (
                "local zone",
                r#"if date "date" "iso8601" "1997-04-01T17:06:31Z" { discard; }"#,
                "discard",
            ),
            (
                "original",
                r#"if date :originalzone "date" "zone" "-0800" { discard; }"#,
                "discard",
            ),
            (
                "julian after the shift",
                r#"if date :zone "-1800" "date" "julian" "50538" { discard; }"#,
                "discard",
            ),
            (
                "weekday",
                r#"if currentdate :is "weekday" ["0"] { discard; }"#,
                "discard",
            ),
            (
                "now",
                r#"if currentdate :value "ge" "date" "2026-03-15" { discard; }"#,
                "discard",
            ),
            (
                "count",
                r#"if currentdate :count "eq" "year" "1" { discard; }"#,
                "discard",
            ),
            (
                "matches",
                r#"if currentdate :matches "iso8601" "*T*" { fileinto "${1}"; }"#,
                "2026-03-15",
            ),
        ],
    );
}

#[test]
fn header_edits() {
    let of = |script: &str, field: &str| {
        let outcome = run(
            &format!("{ALL}{script}"),
            PLAIN,
            &Scripts(&[]),
            &Options::default(),
            |_| {},
        );
        (summary(&outcome), header(&outcome, field))
    };
    let cases: &[(&str, &str, &str, &str, &[&str])] = &[
        (
            "first",
            r#"addheader "X-Multi" "new";"#,
            "(keep)",
            "X-Multi",
            &["new", "one", "two", "three"],
        ),
        (
            "last",
            r#"addheader :last "X-Multi" "new";"#,
            "(keep)",
            "X-Multi",
            &["one", "two", "three", "new"],
        ),
        (
            "delete all",
            r#"deleteheader "x-multi";"#,
            "(keep)",
            "X-Multi",
            &[],
        ),
        (
            "delete by index",
            r#"deleteheader :index 2 "x-multi";"#,
            "(keep)",
            "X-Multi",
            &["one", "three"],
        ),
        (
            "delete from the end",
            r#"deleteheader :index 1 :last "x-multi";"#,
            "(keep)",
            "X-Multi",
            &["one", "two"],
        ),
        (
            "index and pattern",
            r#"deleteheader :index 1 :is "x-multi" "two";"#,
            "(keep)",
            "X-Multi",
            &["one", "two", "three"],
        ),
        (
            "index counts the edited header",
            r#"addheader "X-Multi" "new"; deleteheader :index 1 "X-Multi";"#,
            "(keep)",
            "X-Multi",
            &["one", "two", "three"],
        ),
        (
            "replace keeps the place",
            r#"replaceheader :newvalue "2" :is "x-multi" "two";"#,
            "(keep)",
            "X-Multi",
            &["one", "2", "three"],
        ),
        (
            "replace the name",
            r#"replaceheader :index 2 :newname "X-Other" "x-multi";"#,
            "(keep)",
            "X-Other",
            &["two"],
        ),
        (
            "auto-submitted stays",
            r#"addheader "Auto-Submitted" "no"; deleteheader "Auto-Submitted";"#,
            "(keep)",
            "Auto-Submitted",
            &["no"],
        ),
        (
            "tags",
            r#"addtag ["[a]","[b]"]; addtag "[a]";"#,
            "addtag; addtag; addtag; (keep)",
            "Subject",
            &["[a] [b] Café order for you"],
        ),
        (
            "an error undoes",
            r#"addheader "X-New" "x"; error "stop";"#,
            "error: stop",
            "X-New",
            &[],
        ),
        (
            "replace the message",
            r#"addheader "X-New" "y"; replace :subject "New" "text"; addheader "X-Newer" "z";"#,
            "replace; (keep)",
            "Original-Subject",
            &["Café order for you"],
        ),
        (
            "edits survive a replacement",
            r#"addheader "X-New" "y"; replace "text";"#,
            "replace; (keep)",
            "X-New",
            &["y"],
        ),
        (
            "enclose",
            r#"enclose :subject "Outer" "see"; "#,
            "enclose; (keep)",
            "Subject",
            &["Outer"],
        ),
    ];
    for (name, script, actions, field, want) in cases {
        let (got, values) = of(script, field);
        assert_eq!(got, *actions, "{name}");
        assert_eq!(values, *want, "{name}");
    }
    // A delivery keeps the header it was made with.
    let outcome = run(
        &format!("{ALL}fileinto \"A\"; addheader \"X-New\" \"x\"; keep;"),
        PLAIN,
        &Scripts(&[]),
        &Options::default(),
        |_| {},
    );
    assert!(outcome.actions[0].headers.is_none() && outcome.actions[1].headers.is_some());
}

#[test]
fn vacations() {
    let message =
        |field: &str| format!("To: roadrunner@birds.example.com\r\nSubject: hi\r\n{field}\r\nx\r\n");
    let cases = [
        ("replies", "", "vacation away; (keep)"),
        ("to a list", "List-Post: <mailto:x>\r\n", "(keep)"),
        ("automatic", "Auto-Submitted: auto-replied\r\n", "(keep)"),
        ("not automatic", "Auto-Submitted: no\r\n", "vacation away; (keep)"),
        ("bulk", "Precedence: bulk\r\n", "(keep)"),
    ];
    for (name, field, want) in cases {
        let script = format!("{ALL}vacation \"away\";");
        let outcome = run(
            &script,
            &message(field),
            &Scripts(&[]),
            &Options::default(),
            |r| {
                r.addresses.push("roadrunner@birds.example.com".into());
            },
        );
        assert_eq!(summary(&outcome), want, "{name}");
    }
    for (sender, replies) in [
        ("owner-x@y.example", false),
        ("x-request@y.example", false),
        ("mailer-daemon@y.example", false),
        ("x@y.example", true),
    ] {
        let outcome = run(
            &format!("{ALL}vacation \"away\";"),
            &message(""),
            &Scripts(&[]),
            &Options::default(),
            |r| {
                r.envelope.from = sender.into();
                r.envelope.to = "roadrunner@birds.example.com".into();
            },
        );
        assert_eq!(summary(&outcome).contains("vacation"), replies, "{sender}");
    }
    let twice = |limits: usize| {
        run(
            &format!("{ALL}vacation :handle \"a\" \"1\"; vacation \"2\";"),
            PLAIN,
            &Scripts(&[]),
            &Options::default(),
            |r| r.limits.max_vacations = limits,
        )
    };
    assert_eq!(summary(&twice(2)), "vacation 1; vacation 2; (keep)");
    assert_eq!(summary(&twice(1)), "error: too many vacations specified");
}

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
fn parts() {
    check(
        MIME,
        &[
            (
                "all, depth first",
                r#"set "t" ""; foreverypart { if header :mime :contenttype :matches "content-type" "*/*" { set "t" "${t} ${2}"; } } fileinto "${t}";"#,
                " mixed alternative plain html pdf rfc822 plain",
            ),
            (
                "nested messages as leaves",
                r#"foreverypart :retainnestedmessages { if header :mime :subtype :matches "content-type" "*" { set "t" "${t} ${1}"; } } fileinto "${t}";"#,
                " mixed alternative plain html pdf rfc822",
            ),
            (
                "nested loops go below",
                r#"foreverypart { if header :mime :subtype "content-type" "alternative" { foreverypart { extracttext "t"; set "all" "${all}[${t}]"; } } } fileinto "${all}";"#,
                "[Hello pläin][<p>Hello <b>html</b></p>]",
            ),
            (
                "named break",
                r#"foreverypart :name "o" { foreverypart { discard; break :name "o"; } keep; }"#,
                "discard",
            ),
            (
                "continue",
                r#"foreverypart { if header :mime :type "content-type" "multipart" { continue; } extracttext :first 5 "t"; fileinto "${t}"; break; }"#,
                "Hello",
            ),
            (
                "any child",
                r#"if header :mime :anychild :param "charset" "content-type" "iso-8859-1" { discard; }"#,
                "discard",
            ),
            (
                "address of a child",
                r#"if address :mime :anychild :localpart "from" "nested" { discard; }"#,
                "discard",
            ),
            (
                "exists in a child",
                r#"if exists :mime :anychild "content-disposition" { discard; }"#,
                "discard",
            ),
            (
                "not at the top",
                r#"if exists "content-disposition" { discard; }"#,
                "(keep)",
            ),
            (
                "replace a part",
                r#"foreverypart { if header :mime :type "content-type" "application" { replace "gone"; } } if body :contains "gone" { fileinto "A"; }"#,
                "replace; A",
            ),
            (
                "the text of a binary part",
                r#"foreverypart { if header :mime :type "content-type" "application" { extracttext "t"; fileinto "x${t}"; } }"#,
                "x",
            ),
        ],
    );
}

#[test]
fn notifications_lists_and_stores() {
    check(
        PLAIN,
        &[
            (
                "notify",
                r#"notify :message "m" "mailto:a@x.example"; notify "mailto:a@x.example";"#,
                "notify mailto:a@x.example; (keep)",
            ),
            (
                "valid method",
                r#"if valid_notify_method ["mailto:a@x.example"] { discard; }"#,
                "discard",
            ),
            (
                "invalid methods",
                r#"if valid_notify_method ["mailto:a@x.example","frob:x"] { discard; }"#,
                "(keep)",
            ),
            (
                "online",
                r#"if notify_method_capability "mailto:a@x.example" "Online" ["maybe"] { discard; }"#,
                "discard",
            ),
            (
                "list",
                r#"if address :list "from" ":friends" { fileinto "${0}/${1}/${2}"; }"#,
                "coyote@desert.example.org/Wile E./genius",
            ),
            (
                "not in the list",
                r#"if address :list "to" ":friends" { discard; }"#,
                "(keep)",
            ),
            (
                "lists that exist",
                r#"if valid_ext_list [":friends",":none"] { discard; }"#,
                "(keep)",
            ),
            (
                "a list that is down",
                r#"if address :list "from" ":down" { discard; }"#,
                "error: the list :down cannot be read: no server",
            ),
            (
                "mailboxes",
                r#"if mailboxexists ["INBOX","Have"] { discard; }"#,
                "discard",
            ),
            (
                "metadata",
                r#"if metadata :matches "Have" "/private/x" "*" { fileinto "${1}"; }"#,
                "Have",
            ),
            (
                "no metadata",
                r#"if metadata :contains "Have" "/private/y" "" { discard; }"#,
                "(keep)",
            ),
            (
                "server metadata",
                r#"if servermetadata "/private/x" "server" { discard; }"#,
                "discard",
            ),
            (
                "metadata exists",
                r#"if metadataexists "Have" ["/private/x","/private/y"] { discard; }"#,
                "(keep)",
            ),
            (
                "environment",
                r#"if environment "name" "sluice" { discard; }"#,
                "discard",
            ),
            (
                "environment count",
                r#"if environment :count "eq" "nothing" "0" { discard; }"#,
                "discard",
            ),
            ("spam untested", r#"if spamtest :is "0" { discard; }"#, "discard"),
            (
                "spam adjusted",
                r#"spamadjust "4.6"; if spamtest :percent :value "ge" :comparator "i;ascii-numeric" "46" { discard; }"#,
                "discard",
            ),
            (
                "duplicate",
                r#"if duplicate :uniqueid "seen" { discard; }"#,
                "discard",
            ),
        ],
    );
}

#[test]
fn shared_counters() {
    check(
        PLAIN,
        &[
            (
                "fetch",
                r#"if memcache :fetch :tableprefix "p:" "k" { fileinto "${0}"; }"#,
                "value",
            ),
            (
                "nothing to fetch",
                r#"if memcache :fetch "k" { discard; }"#,
                "(keep)",
            ),
            (
                "throttle",
                r#"if memcache :throttle :penalize "k" 10 60 { discard; }"#,
                "discard",
            ),
            (
                "as an action",
                r#"memcache :store :timeout 60 :host ["h1","h2:1"] "k" "v"; keep;"#,
                "keep",
            ),
            (
                "store",
                r#"if memcache :store :timeout 60 :host ["h1","h2:1"] "k" "v" { discard; }"#,
                "discard",
            ),
            (
                "metermaid",
                r#"if metermaid :adjust_and_test :table "t" "k" "-5" ">=5" { discard; }"#,
                "discard",
            ),
            (
                "another server",
                r#"if metermaid :query :host "h" :port 7 :table "t" "k" { discard; }"#,
                "discard",
            ),
            (
                "a comma would split",
                r#"if memcache :fetch "p:k,x" { discard; }"#,
                "(keep)",
            ),
            (
                "a bad delta at run time",
                r#"set "d" "x"; memcache :adjust "k" "${d}";"#,
                "error: \"x\" is no delta: write a number, as in 5, \"+5\" or \"-5\"",
            ),
        ],
    );
}

#[test]
fn expressions() {
    check(
        PLAIN,
        &[
            ("assignment", r#"n := 1 + 2 * 3; fileinto "${n}";"#, "7"),
            (
                "no semicolon before a brace",
                r#"if true { n = "a" . 1 } fileinto n;"#,
                "a1",
            ),
            (
                "a name among arguments",
                r#"n = "x-prio"; k = ["1","7"]; if header :is n k { discard; }"#,
                "discard",
            ),
            (
                "names in a test list",
                r#"n = 3; if allof(true, n > 2, n) { discard; }"#,
                "discard",
            ),
            (
                "a condition",
                r#"n = 3; if n >= 3 && !(n == 4) { discard; }"#,
                "discard",
            ),
            ("a false condition", r#"n = 0; if n { discard; }"#, "(keep)"),
            ("negation", r#"n = -2; if not n + 2 { discard; }"#, "discard"),
            (
                "functions",
                r#"fileinto upper("ab") . length("äöü") . integer("7") . lower("C");"#,
                "AB37c",
            ),
            (
                "encode",
                r#"fileinto encode("Az") . encode("a b", :url) . decode("QXo=", :base64);"#,
                "417aa%20bAz",
            ),
            (
                "find",
                r#"fileinto find("b","abc") . find("x","abc") . find("b",["a","b"]) . find("a","aba",2,3);"#,
                "2023",
            ),
            (
                "positions",
                r#"s = "abcdef"; fileinto s(1) . s(-1) . s(2:4) . s(9);"#,
                "afbcd",
            ),
            (
                "positions of a list",
                r#"l = ["x","y","z"]; fileinto l(2) . length(l(2:3));"#,
                "y2",
            ),
            ("lists in strings", r#"l = ["x","y"]; fileinto "${l}";"#, "x y"),
            (
                "numbers compare as numbers",
                r#"a = "9"; b = "10"; if a < b { discard; }"#,
                "discard",
            ),
            ("size", "if size() > 100 { discard; }", "discard"),
            (
                "overflow",
                "n = 9223372036854775807; n = n + 1;",
                "error: this number grows beyond 64 bits",
            ),
            (
                "division by zero",
                "n = 0; n = 1 / n;",
                "error: this divides by zero",
            ),
            ("no number", r#"n = "x" * 2;"#, "error: \"x\" is not a number"),
        ],
    );
}

#[test]
fn levels() {
    // Scripts from the most general level to the most specific, and what is done.
    type Case = (&'static str, &'static [(Level, &'static str)], &'static str);
    let cases: &[Case] = &[
        (
            "the user decides",
            &[(Level::System, "discard;"), (Level::User, "keep;")],
            "keep",
        ),
        (
            "nobody decides",
            &[
                (Level::System, "addtag \"[x]\";"),
                (Level::User, "if false { keep; }"),
            ],
            "addtag; (keep)",
        ),
        (
            "the system alone",
            &[(Level::System, "fileinto \"A\";"), (Level::User, "stop;")],
            "A",
        ),
        (
            "jettison",
            &[(Level::System, "jettison;"), (Level::User, "keep; addtag \"x\";")],
            "jettison; addtag",
        ),
        (
            "refuse is final",
            &[(Level::System, "refuse \"no\";"), (Level::User, "keep;")],
            "refuse",
        ),
        (
            "reject is not",
            &[(Level::System, "reject \"no\";"), (Level::User, "keep;")],
            "keep",
        ),
        (
            "copies are side effects",
            &[
                (Level::System, "fileinto :copy \"A\";"),
                (Level::User, "fileinto \"B\";"),
            ],
            "A copy; B",
        ),
        (
            "the verdict is seen",
            &[
                (Level::System, "discard;"),
                (
                    Level::User,
                    "if environment \"vnd.oracle.last-verdict\" \"discard\" { fileinto \"J\"; }",
                ),
            ],
            "J",
        ),
        (
            "no vacation",
            &[(Level::System, "novacation;"), (Level::User, "vacation \"x\";")],
            "novacation; (keep)",
        ),
        (
            "no vacation when discarded",
            &[(Level::System, "discard;"), (Level::User, "vacation \"x\";")],
            "discard",
        ),
        (
            "a broken system script",
            &[(Level::System, "discard; error \"x\";"), (Level::User, "stop;")],
            "(keep)",
        ),
        (
            "a score that is handed on",
            &[
                (Level::System, "spamadjust \"7\";"),
                (Level::User, "if spamtest :is \"7 7\" { discard; }"),
            ],
            "discard",
        ),
    ];
    for (name, scripts, want) in cases {
        let mut results: Vec<LevelResult> = Vec::new();
        for (level, script) in *scripts {
            let outcome = run(
                &format!("{ALL}{script}"),
                PLAIN,
                &Scripts(&[]),
                &Options::default(),
                |r| {
                    r.level = *level;
                    if let Some(before) = results.last() {
                        r.follow(&before.outcome);
                    }
                },
            );
            results.push(LevelResult {
                level: *level,
                outcome,
            });
        }
        let mut outcome = results[0].outcome.clone();
        outcome.error = None;
        outcome.actions = merge(results).actions;
        assert_eq!(summary(&outcome), *want, "{name}");
    }
}

#[test]
fn loops_of_the_system() {
    let of = |level: Level, script: &str| {
        let outcome = run(
            &format!("{ALL}{script}"),
            PLAIN,
            &Scripts(&[]),
            &Options::default(),
            |r| r.level = level,
        );
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
            r#"n = 0; loop exitif n >= 5 nextif bump { n = n + 1; s = s . n; } fileinto s;"#,
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
        let script = script.replace("nextif bump", "nextif n == 9");
        assert_eq!(of(Level::System, &script), want, "{name}");
    }
    assert_eq!(
        of(Level::User, "loop { }"),
        "error: `loop` is for scripts of the system only"
    );
}

#[test]
fn what_is_remembered() {
    let of = |script: &str| {
        let outcome = run(
            &format!("{ALL}{script}"),
            PLAIN,
            &Scripts(&[]),
            &Options::default(),
            |_| {},
        );
        outcome
            .remember
            .into_iter()
            .map(|r| format!("{}/{}/{}", r.handle, r.id, r.seconds))
            .collect::<Vec<_>>()
    };
    let test = |arguments: &str| of(&format!("if duplicate {arguments} {{ discard; }}"));
    assert_eq!(test(""), ["/<m1@desert.example.org>/604800"]);
    assert_eq!(test(r#":handle "h" :header "x-prio" :seconds 60"#), ["h/7/60"]);
    assert_eq!(
        test(r#":uniqueid "seen""#),
        Vec::<String>::new(),
        "seen, and not renewed"
    );
    assert_eq!(test(r#":uniqueid "seen" :last"#), ["/seen/604800"]);
    assert_eq!(test(r#":header "bad name""#), Vec::<String>::new());
    assert_eq!(test(":seconds 0"), Vec::<String>::new());
    assert_eq!(
        of(r#"if duplicate { keep; } error "x";"#),
        Vec::<String>::new(),
        "not after an error"
    );
}

#[test]
fn limits_of_users_and_rights_of_the_system() {
    let of = |level: Level, script: &str| {
        let outcome = run(
            &format!("{ALL}{script}"),
            PLAIN,
            &Scripts(&[]),
            &Options::default(),
            |r| {
                r.level = level;
                r.limits.max_fileintos = 2;
                r.limits.max_redirects = 2;
                r.limits.max_addheaders = 1;
                r.limits.max_notifys = 1;
                r.limits.max_duplicates = 1;
            },
        );
        summary(&outcome)
    };
    use Level::{System, User};
    let cases = [
        (User, r#"fileinto "A"; fileinto "B"; fileinto "A";"#, "A; B"),
        (
            User,
            r#"fileinto "A"; fileinto "B"; fileinto "C";"#,
            "error: more than MAX_FILEINTOS 2 actions",
        ),
        (System, r#"fileinto "A"; fileinto "B"; fileinto "C";"#, "A; B; C"),
        (
            User,
            r#"redirect "a@x.example"; redirect :list ":friends"; redirect "c@x.example";"#,
            "error: more than MAX_REDIRECTS 2 actions",
        ),
        (
            User,
            r#"addheader "A" "b"; addheader "A" "b";"#,
            "error: more than MAX_ADDHEADERS 1 addheader actions",
        ),
        (
            User,
            r#"notify "mailto:a@x.example"; notify "mailto:b@x.example";"#,
            "error: more than MAX_NOTIFYS 1 notifications",
        ),
        (
            User,
            r#"if duplicate :handle "a" {} if duplicate :handle "b" {}"#,
            "error: more than MAX_DUPLICATES 1 duplicate tests",
        ),
        (
            User,
            "jettison;",
            "error: `jettison` is for scripts of the system only",
        ),
        (
            User,
            "novacation;",
            "error: `novacation` is for scripts of the system only",
        ),
        (
            System,
            r#"hold; transactionlog "x"; setmtpriority "-3";"#,
            "hold; transactionlog; setmtpriority; (keep)",
        ),
        (
            System,
            r#"vacation "x";"#,
            "error: `vacation` is for scripts of users only",
        ),
        (System, r#"refuse "no";"#, "refuse"),
    ];
    for (level, script, want) in cases {
        assert_eq!(of(level, script), want, "{level:?} {script}");
    }
}

#[test]
fn the_trace_says_what_was_compared_and_decided() {
    let script = "require [\"fileinto\", \"variables\"];\nif header :matches [\"x-none\", \"subject\"] \"* order*\" { fileinto \"${1}\"; }";
    let want = "header x-none,subject :matches \"* order*\": \"Café order for you\": true  [s:2:4]";
    let trace = sieve_common::trace(script, PLAIN);
    assert!(trace.contains(want), "{trace}");
    assert!(trace.contains("${1} = \"Café\"  [s:2:4]"), "{trace}");
    assert!(trace.contains("fileinto \"Café\"  [s:2:"), "{trace}");
}
