//! Scripts of the system and of users: how they combine, and what each may do.

use policy::sieve::{Level, LevelResult, merge};

use crate::run_all;
use crate::sieve_common::{PLAIN, summary};

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
            let outcome = run_all(script, PLAIN, |r| {
                r.level = *level;
                if let Some(before) = results.last() {
                    r.follow(&before.outcome);
                }
            });
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
fn limits_of_users_and_rights_of_the_system() {
    let of = |level: Level, script: &str| {
        let outcome = run_all(script, PLAIN, |r| {
            r.level = level;
            r.limits.max_fileintos = 2;
            r.limits.max_redirects = 2;
            r.limits.max_addheaders = 1;
            r.limits.max_notifys = 1;
            r.limits.max_duplicates = 1;
        });
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
