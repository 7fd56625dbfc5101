//! Edits of the header and of the message.

use crate::run_all;
use crate::sieve_common::{PLAIN, header, summary};

#[test]
fn header_edits() {
    let of = |script: &str, field: &str| {
        let outcome = run_all(script, PLAIN, |_| {});
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
    let outcome = run_all("fileinto \"A\"; addheader \"X-New\" \"x\"; keep;", PLAIN, |_| {});
    assert!(outcome.actions[0].headers.is_none() && outcome.actions[1].headers.is_some());
}
