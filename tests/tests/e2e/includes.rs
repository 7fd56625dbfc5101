//! `include` at delivery: where scripts are found, and that a change of one is seen.

use tests::{Server, Site, until};

const MAIN: &str = "require [\"include\", \"fileinto\"];\n";

/// Sends a message and gives the mailbox of alice that it went to.
fn delivered(site: &Site, server: &Server, subject: &str) -> String {
    server.mail_outside(
        "x@one.example",
        &["alice@example.com"],
        &format!("Subject: {subject}\r\n\r\nx"),
    );
    until(&format!("{subject} in a mailbox of alice"), || {
        let folders = ["", "Own", "Shared", "New"].iter();
        let mut having = folders.filter(|f| site.mail_in("alice", f).iter().any(|m| m.contains(subject)));
        having.next().map(|f| f.to_string())
    })
}

#[test]
fn scripts_include_their_own_and_the_shared_ones_and_see_changes() {
    let site = Site::new();
    let server = Server::start(&site);
    let file = |into: &str| {
        format!(
            "require \"fileinto\"; if header :contains \"subject\" \"{into}\" {{ fileinto \"{into}\"; }}\n"
        )
    };
    site.script(
        "alice",
        &format!("{MAIN}include :personal \"own\";\ninclude :global \"shared\";\n"),
    );
    site.script("alice/own", &file("Own"));
    site.script("bob/shared", "discard;\n");
    // what is not there is an error while the script runs: the message is kept, and the log says why
    assert_eq!(delivered(&site, &server, "Shared 1"), "");
    site.explained("there is no script global/shared");
    // it is found once it is there
    site.script("global/shared", &file("Shared"));
    assert_eq!(delivered(&site, &server, "Shared 2"), "Shared");
    assert_eq!(delivered(&site, &server, "Own 3"), "Own");
    // and its changes are seen, those of the same length too
    site.script("alice/own", &file("New"));
    assert_eq!(delivered(&site, &server, "New 4"), "New");
    assert_eq!(delivered(&site, &server, "Own 5"), "");
}

#[test]
fn no_include_leaves_its_folder_and_optional_ones_may_be_missing() {
    let site = Site::new();
    let server = Server::start(&site);
    site.script(
        "alice",
        &format!("{MAIN}include :optional :personal \"none\";\nfileinto \"Own\";\n"),
    );
    assert_eq!(delivered(&site, &server, "optional 6"), "Own");
    site.script("bob/secret", "discard;\n");
    site.script("alice", &format!("{MAIN}include :personal \"../bob/secret\";\n"));
    assert_eq!(delivered(&site, &server, "outside 7"), "");
    site.script("alice", &format!("{MAIN}include :personal \"loop\";\n"));
    site.script("alice/loop", &format!("{MAIN}include :personal \"loop\";\n"));
    assert_eq!(delivered(&site, &server, "loop 8"), "");
    site.explained("script personal/loop includes itself");
    // an error in an included script is named with its place
    site.script(
        "alice",
        &format!("{MAIN}include :personal \"bad\";\nfileinto \"Own\";\n"),
    );
    site.script("alice/bad", "keep;\nnonsense;\n");
    assert_eq!(delivered(&site, &server, "bad 9"), "");
    until("the complaint", || {
        server.errors().contains("personal/bad:2:1").then_some(())
    });
}

#[test]
fn a_script_of_the_site_includes_the_shared_ones() {
    let site = Site::new();
    site.script("global/shared", "require \"fileinto\"; fileinto \"Shared\";\n");
    site.write(
        "imta.filter",
        "require \"include\"; include :global \"shared\";\n",
    );
    let server = Server::start(&site);
    assert_eq!(delivered(&site, &server, "first 10"), "Shared");
    // with a compiled configuration it is the one that was compiled
    site.imsimta(["cnbuild"]).expect(0);
    site.script("global/shared", "require \"fileinto\"; fileinto \"New\";\n");
    let out = site.imsimta(["reload"]).expect(0);
    assert_eq!(delivered(&site, &server, "second 11"), "Shared", "{out}");
    site.imsimta(["cnbuild"]).expect(0);
    site.imsimta(["reload"]).expect(0);
    assert_eq!(delivered(&site, &server, "third 12"), "New");
    // a broken one, or a personal one, keeps the configuration from loading
    for broken in ["nonsense;\n", "require \"include\"; include :personal \"x\";\n"] {
        site.script("global/shared", broken);
        let ran = site.imsimta(["cnbuild"]);
        assert_ne!(ran.code, 0, "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("global/shared"), "{}{}", ran.out, ran.err);
    }
}
