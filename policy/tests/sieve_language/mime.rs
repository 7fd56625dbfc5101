//! Bodies and the parts of a message.

use crate::check;
use crate::sieve_common::MIME;

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
