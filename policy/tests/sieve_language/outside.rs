//! What is asked outside of the script: lists, mailboxes, counters, what was seen before.

use crate::sieve_common::PLAIN;
use crate::{check, run_all};

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
fn what_is_remembered() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "the message's identifier, for a week",
            "if duplicate { discard; }",
            &["/<m1@desert.example.org>/604800"],
        ),
        (
            "a field, with a handle and a time",
            r#"if duplicate :handle "h" :header "x-prio" :seconds 60 { discard; }"#,
            &["h/7/60"],
        ),
        (
            "seen, and not renewed",
            r#"if duplicate :uniqueid "seen" { discard; }"#,
            &[],
        ),
        (
            "seen, and renewed",
            r#"if duplicate :uniqueid "seen" :last { discard; }"#,
            &["/seen/604800"],
        ),
        (
            "no field can have this name",
            r#"if duplicate :header "bad name" { discard; }"#,
            &[],
        ),
        ("for no time", "if duplicate :seconds 0 { discard; }", &[]),
        ("not after an error", r#"if duplicate { keep; } error "x";"#, &[]),
    ];
    for (name, script, want) in cases {
        let remembered = run_all(script, PLAIN, |_| {}).remember.into_iter();
        let got: Vec<String> = remembered
            .map(|r| format!("{}/{}/{}", r.handle, r.id, r.seconds))
            .collect();
        assert_eq!(got, *want, "{name}");
    }
}
