//! What becomes of a message: copies, redirections, rejections, vacations.

use crate::sieve_common::{PLAIN, summary};
use crate::{check, run_all};

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
        let outcome = run_all("vacation \"away\";", &message(field), |r| {
            r.addresses.push("roadrunner@birds.example.com".into());
        });
        assert_eq!(summary(&outcome), want, "{name}");
    }
    for (sender, replies) in [
        ("owner-x@y.example", false),
        ("x-request@y.example", false),
        ("mailer-daemon@y.example", false),
        ("x@y.example", true),
    ] {
        let outcome = run_all("vacation \"away\";", &message(""), |r| {
            r.envelope.from = sender.into();
            r.envelope.to = "roadrunner@birds.example.com".into();
        });
        assert_eq!(summary(&outcome).contains("vacation"), replies, "{sender}");
    }
    let twice = |limits: usize| {
        run_all("vacation :handle \"a\" \"1\"; vacation \"2\";", PLAIN, |r| {
            r.limits.max_vacations = limits
        })
    };
    assert_eq!(summary(&twice(2)), "vacation 1; vacation 2; (keep)");
    assert_eq!(summary(&twice(1)), "error: too many vacations specified");
}
