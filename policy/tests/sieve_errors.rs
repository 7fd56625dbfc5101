//! Every mistake of a script is reported in one run, each at its word.

mod sieve_common;

use policy::sieve::{ActionLimits, Mode, Options};
use sieve_common::{errors, warnings};

#[test]
fn mistakes() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "nothing wrong",
            "require \"fileinto\"; if true { fileinto \"a\"; } else { keep; }",
            &[],
        ),
        ("unknown command", "kep;", &["S101 1:1"]),
        ("unknown test", "if heder \"a\" \"b\" { keep; }", &["S101 1:4"]),
        ("test as command", "header \"a\" \"b\";", &["S102 1:1"]),
        ("action as test", "if keep { keep; }", &["S102 1:4"]),
        (
            "errors in an unknown command's block",
            "frob { grob; }",
            &["S101 1:1", "S101 1:8"],
        ),
        ("missing semicolon", "keep discard;", &["S111 1:6"]),
        (
            "missing require of a tag",
            "require \"fileinto\"; fileinto :copy \"a\";",
            &["S103 1:30"],
        ),
        (
            "unknown tag with its value",
            "keep :subject \"x\";",
            &["S104 1:6"],
        ),
        (
            "tag twice",
            "if header :is :is \"a\" \"b\" { keep; }",
            &["S105 1:15"],
        ),
        (
            "two match types",
            "if header :is :contains \"a\" \"b\" { keep; }",
            &["S105 1:15"],
        ),
        (
            "tag without value",
            "if header :comparator :is \"a\" \"b\" { keep; }",
            &["S106 1:11"],
        ),
        (
            "tag behind an argument",
            "if header \"a\" :is \"b\" { keep; }",
            &["S110 1:15"],
        ),
        ("no argument", "redirect;", &["S107 1:9"]),
        ("number for a string", "redirect 17;", &["S109 1:10"]),
        ("size without direction", "if size 100 { keep; }", &["S106 1:4"]),
        (
            "size both ways",
            "if size :over :under 100 { keep; }",
            &["S105 1:15"],
        ),
        (
            "allof without parentheses",
            "if allof true { keep; }",
            &["S111 1:4"],
        ),
        (
            "else twice",
            "if true { keep; } else { keep; } else { keep; }",
            &["S115 1:34"],
        ),
        (
            "elsif behind a command",
            "if true { keep; } keep; elsif true { keep; }",
            &["S115 1:25"],
        ),
        ("block of an action", "keep { stop; }", &["S112 1:6"]),
        (
            "numeric comparator cannot contain",
            "require \"comparator-i;ascii-numeric\"; if header :contains :comparator \"i;ascii-numeric\" \"a\" \"1\" { keep; }",
            &["S118 1:71"],
        ),
        (
            "address of a field without addresses",
            "if address \"subject\" \"x\" { keep; }",
            &["S120 1:12"],
        ),
        (
            "envelope part",
            "require \"envelope\"; if envelope [\"from\",\"orcpt\"] \"x\" { keep; }",
            &["S103 1:41"],
        ),
        (
            "variable names",
            "require \"variables\"; set \"a.b\" \"x\"; set :lower :upper \"a\" \"x\"; set \"a\" \"${100}\";",
            &["S122 1:26", "S105 1:48", "S122 1:73"],
        ),
        (
            "constant names",
            "require [\"variables\",\"include\"]; set \"${a}\" \"x\"; include \"${a}\";",
            &["S122 1:38", "S122 1:58"],
        ),
        (
            "flag variable without variables",
            "require \"imap4flags\"; addflag \"v\" \"x\";",
            &["S103 1:31"],
        ),
        (
            "vacation",
            "require \"vacation\"; vacation :days 1 :hours 2 :from \"nobody\" \"x\"; vacation :reply :echo \"x\";",
            &["S105 1:38", "S105 1:83"],
        ),
        (
            "vacation from",
            "require \"vacation\"; vacation :from \"nobody\" :addresses [\"a@b.example\",\"c\"] \"x\";",
            &["S121 1:36", "S121 1:71"],
        ),
        (
            "date",
            "require \"date\"; if date :zone \"x\" \"date\" \"era\" \"1\" { keep; }",
            &["S125 1:31", "S125 1:42"],
        ),
        (
            "index",
            "require \"index\"; if header :index 0 \"a\" \"b\" { keep; }",
            &["S126 1:28"],
        ),
        (
            "header names",
            "require \"editheader\"; addheader \"a b\" \"x\"; deleteheader \"a:\"; addheader \"a\" \"x\r\ny\";",
            &["S129 1:33", "S129 1:57", "S129 1:77"],
        ),
        (
            "replaceheader of nothing",
            "require \"editheader\"; replaceheader \"a\";",
            &["S106 1:23"],
        ),
        (
            "notify",
            "require \"enotify\"; notify :importance \"4\" :options [\"x\"] \"frob:x\";",
            &["S129 1:39", "S129 1:53", "S129 1:58"],
        ),
        (
            "redirect",
            "require [\"redirect-dsn\"]; redirect :ret \"ALL\" :notify \"NEVER,DELAY\" \"a@b.example\";",
            &["S129 1:41", "S129 1:55"],
        ),
        (
            "list names",
            "require \"extlists\"; if header :list \"a\" \"plain\" { redirect :list \"x\"; }",
            &["S129 1:41", "S129 1:66"],
        ),
        (
            "regex",
            "require \"regex\"; if header :regex \"a\" [\"ok\",\"(\"] { keep; }",
            &["S124 1:45"],
        ),
        (
            "include both",
            "require \"include\"; include :personal :global \"x\"; include \"a/b\";",
            &["S105 1:38", "S128 1:59"],
        ),
        (
            "global without variables",
            "require \"include\"; global \"x\";",
            &["S103 1:20"],
        ),
        (
            "global too late",
            "require [\"include\",\"variables\"]; set \"g\" \"1\"; global [\"g\",\"2\"];",
            &["S128 1:55", "S122 1:59"],
        ),
        (
            "loops",
            "require [\"foreverypart\",\"extracttext\"]; foreverypart { break :name \"x\"; } extracttext \"t\"; continue;",
            &["S127 1:56", "S127 1:75", "S127 1:92"],
        ),
        (
            "extracttext without variables",
            "require [\"foreverypart\",\"extracttext\"]; foreverypart { extracttext \"t\"; }",
            &["S103 1:56"],
        ),
        (
            "mime",
            "require \"mime\"; if header :type \"a\" \"b\" { keep; }",
            &["S129 1:27"],
        ),
        (
            "two transforms",
            "require \"body\"; if body :raw :text \"x\" { keep; }",
            &["S105 1:30"],
        ),
        (
            "mailbox found two ways",
            "require [\"special-use\",\"mailboxid\",\"fileinto\"]; fileinto :specialuse \"\\\\Sent\" :mailboxid \"F\" \"x\";",
            &["S105 1:79"],
        ),
        (
            "impossible mailbox",
            "require \"fileinto\"; fileinto \"\";",
            &["S129 1:30"],
        ),
        (
            "private values",
            "addtag \"a|b\"; virusset \"9\"; setmtpriority 12; adjustcounter 9 1; capture \"x\";",
            &["S129 1:8", "S129 1:24", "S129 1:29", "S129 1:47", "S129 1:74"],
        ),
        (
            "spamadjust",
            "require \"spamtest\"; spamadjust \"much\"; ",
            &["S129 1:32"],
        ),
        (
            "glob is refused",
            "if header :glob \"a\" \"b\" { keep; }",
            &["S104 1:11"],
        ),
        ("unknown product actions", "warn \"x\";", &["S101 1:1"]),
        (
            "memcache",
            "memcache \"k\"; memcache :fetch :store \"k\"; memcache :store \"k\"; memcache :test \"k\" \"5\"; memcache :fetch :timeout 5 \"k\";",
            &["S106 1:1", "S105 1:31", "S107 1:43", "S129 1:83", "S105 1:104"],
        ),
        (
            "metermaid",
            "metermaid :throttle \"k\"; metermaid :append :table \"t\" \"k\" \"v\";",
            &["S106 1:1", "S104 1:36"],
        ),
        (
            "expression without variables",
            "fileinto \"a\" . \"b\"; n = 1;",
            &["S103 1:1", "S103 1:10", "S103 1:25"],
        ),
        (
            "functions",
            "require \"variables\"; a = frob(1); b = uper(\"x\"); c = find(\"x\"); d = encode(\"x\", :rot13);",
            &["S131 1:26", "S131 1:39", "S131 1:54", "S131 1:81"],
        ),
        (
            "fraction",
            "require \"variables\"; if size :over 1.5 { keep; }",
            &["S109 1:36"],
        ),
        (
            "misspelt test beside variables",
            "require \"variables\"; n = 1; if heder \"a\" \"b\" { keep; }",
            &["S101 1:32"],
        ),
        (
            "misspelt list of tests",
            "if alof(true, false) { keep; }",
            &["S101 1:4"],
        ),
        (
            "loop",
            "loop exitif { keep; } loop foo { keep; }",
            &["S111 1:6", "S111 1:28"],
        ),
        (
            "ihave must be constant",
            "require [\"ihave\",\"variables\"]; if ihave \"${x}\" { keep; }",
            &["S122 1:41"],
        ),
        ("error without ihave", "error \"x\";", &["S103 1:1"]),
        ("syntax first", "keep; \"x\"; frob;", &["S001 1:7"]),
        (
            "a missing semicolon hides nothing",
            "if true { fileinto \"a\" }\nkep;",
            &["S103 1:11", "S002 1:23", "S101 2:1"],
        ),
        (
            "all at once",
            "require [\"fileinto\", \"nope\"];\nif heder \"a\" \"b\" {\n  fileinto :copy \"x\";\n}\nredirect \"bad\";\nkeep 1;\n",
            &["S114 1:22", "S101 2:4", "S103 3:12", "S121 5:10", "S108 6:6"],
        ),
    ];
    let mut bad = Vec::new();
    for (name, script, want) in cases {
        let got = errors(
            script,
            &Options {
                mode: Mode::Strict,
                ..Options::default()
            },
        );
        if got != *want {
            bad.push(format!("{name}: {got:?}\n   wanted {want:?}"));
        }
    }
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}

#[test]
fn what_a_site_forbids() {
    let options = Options {
        forbidden: vec!["body".into()],
        ..Options::default()
    };
    assert_eq!(
        errors("require \"body\"; if body \"x\" { keep; }", &options),
        ["S114 1:9"]
    );
    assert_eq!(
        errors("require \"ihave\"; if ihave \"body\" { frob; }", &options),
        Vec::<String>::new()
    );
    let limits = ActionLimits {
        max_vacations: 0,
        max_sieve_list_size: 2,
        ..ActionLimits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    assert_eq!(errors("require \"vacation\";", &options), ["S114 1:9"]);
    assert_eq!(
        errors("if header \"a\" [\"1\",\"2\",\"3\"] { keep; }", &options),
        ["S130 1:15"]
    );
}

#[test]
fn glued_scripts_may_require_in_the_middle() {
    let script =
        "require \"fileinto\"; fileinto \"a\"; require [\"fileinto\", \"copy\"]; fileinto :copy \"b\";";
    assert_eq!(errors(script, &Options::default()), ["S113 1:35"]);
    assert_eq!(
        errors(
            script,
            &Options {
                glued: true,
                ..Options::default()
            }
        ),
        Vec::<String>::new()
    );
}

#[test]
fn patterns_are_weighed() {
    let script = |pattern: &str, n: usize| {
        let rule = format!("if header :regex \"a\" \"{pattern}\" {{ keep; }}\n");
        format!("require \"regex\";\n{}", rule.repeat(n))
    };
    // a pattern, and how many of it one program may have
    for (name, pattern, most) in [("usual", "x{9}", 1600), ("large", "\\\\w{2}[a-z]{99}", 200)] {
        let found = errors(&script(pattern, most), &Options::default());
        assert_eq!(found, Vec::<String>::new(), "{name}");
        let found = errors(&script(pattern, most + 1), &Options::default());
        assert_eq!(found, [format!("S124 {}:22", most + 2)], "{name}");
    }
}

#[test]
fn no_more_errors_than_help() {
    let many = "frob;\n".repeat(5000);
    assert_eq!(errors(&many, &Options::default()).len(), 100);
}

#[test]
fn what_does_nothing_is_a_warning() {
    let cases: &[(&str, &[&str])] = &[
        (
            "deleteheader :matches \"Subject\";",
            &["S132 1:14 add the patterns"],
        ),
        (
            "deleteheader :index 1 :comparator \"i;octet\" \"Subject\";",
            &["S132 1:23 add the"],
        ),
        ("deleteheader :matches \"Subject\" \"*x*\";", &[]),
        ("deleteheader :index 1 :last \"Subject\";", &[]),
        (
            "replaceheader :newvalue \"x\" :contains \"Subject\";",
            &["S132 1:29 add the"],
        ),
        ("setflag \"\\\\Seeen\";", &["S133 1:9 did you mean \"\\\\Seen\"?"]),
        (
            "addflag [\"\\\\Seen $label\", \"a(b\"];",
            &["S133 1:27 a flag is"],
        ),
        ("removeflag \"\\\\deleted\";", &[]),
        ("keep :flags \"\\\\Xyzzy\";", &["S133 1:13 a flag is"]),
        (
            "fileinto :flags \"\\\\flaged\" \"a\";",
            &["S133 1:17 did you mean \"\\\\Flagged\"?"],
        ),
        ("if hasflag \"\\\\Seeen\" { stop; }", &["S133 1:12 did you"]),
        ("if hasflag :contains \"\\\\S\" { stop; }", &[]),
        (
            "if environment \"remote_ip\" \"1\" { stop; }",
            &["S134 1:16 did you mean \"remote-ip\"?"],
        ),
        ("if environment \"Remote-IP\" \"1\" { stop; }", &[]),
        (
            "if environment \"weather\" \"1\" { stop; }",
            &["S134 1:16 known are domain"],
        ),
    ];
    let required = "require [\"editheader\", \"imap4flags\", \"fileinto\", \"environment\"];";
    for (script, expected) in cases {
        let said = warnings(script, required);
        assert_eq!(said.len(), expected.len(), "{script}: {said:?}");
        for (said, expected) in said.iter().zip(*expected) {
            assert!(said.starts_with(expected), "{script}: {said}");
        }
    }
}

#[test]
fn warnings_do_not_crowd_errors_out() {
    let many = "setflag \"\\\\Seeen\";\n".repeat(200);
    let script = format!("require \"imap4flags\";{many}frob;");
    assert_eq!(errors(&script, &Options::default()).last().unwrap(), "S101 201:1");
}
