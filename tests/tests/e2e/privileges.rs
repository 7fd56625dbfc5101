//! A server that root starts.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use tests::{Server, Site};

const NOBODY: u32 = 65_534;

fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).expect("only root can give a site away, and this test does");
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder of the site") {
            give(&entry.expect("a file of the site").path());
        }
    }
}

#[test]
fn the_server_becomes_the_owner_of_its_site_in_all_threads() {
    let site = Site::new();
    give(site.root());
    let server = Server::start(&site);
    let mut threads = 0;
    for task in std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("the server's threads") {
        let status =
            std::fs::read_to_string(task.expect("a thread").path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|l| l.strip_prefix(name))
                .unwrap_or("")
                .trim()
                .to_string()
        };
        assert_eq!(field("Uid:"), vec![NOBODY.to_string(); 4].join("\t"));
        assert_eq!(field("Gid:"), vec![NOBODY.to_string(); 4].join("\t"));
        assert_eq!(field("Groups:"), NOBODY.to_string());
        assert_eq!(field("NoNewPrivs:"), "1");
        let kept = u64::from_str_radix(&field("CapEff:"), 16).expect("capabilities");
        assert_eq!(kept & !(1 << 10), 0, "nothing but CAP_NET_BIND_SERVICE: {kept:x}");
        threads += 1;
    }
    assert!(threads > 2, "{threads}");
    server.mail_outside("x@one.example", &["alice@example.com"], "Subject: owned\r\n\r\nx");
    site.mail_with("alice", "Subject: owned");
    let mailbox = site.root().join("store/alice/Maildir/new");
    let mail = std::fs::read_dir(mailbox)
        .expect("the mailbox")
        .next()
        .expect("a mail")
        .expect("a mail");
    assert_eq!(mail.metadata().expect("a mail").uid(), NOBODY);
    // root's tools go on working, and leave the site to its owner
    site.sluice(["status"]).expect(0);
    site.sluice(["user", "add", "carol"]).expect(0);
    site.imsimta(["cnbuild"]).expect(0);
    for name in ["users", "config_data"] {
        assert_eq!(
            std::fs::metadata(site.config(name)).expect("a file").uid(),
            NOBODY,
            "{name}"
        );
    }
    site.imsimta(["reload"]).expect(0);
    server.terminate();
}
