//! Deliveries into real Maildirs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::disk::{Disk, RealDisk, sim::SimDisk};
use store::maildir::{Maildir, MaildirError};

const TEXT: &[&[u8]] = &[b"text\r\n"];

fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("maildir-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_message_arrives_with_unix_line_ends() {
    let path = fresh("lines");
    let maildir = Maildir::open(Arc::new(RealDisk), &path).unwrap();
    // A CRLF at the border of two pieces, and line ends that are none.
    let long = "x".repeat(256 * 1024 - 1);
    let cases = [
        (
            "plain",
            "Subject: a\r\n\r\nb\r\n".to_string(),
            "Subject: a\n\nb\n".to_string(),
        ),
        ("no end", "a\r\nb".into(), "a\nb".into()),
        ("lone", "a\rb\nc\r\n\r".into(), "a\rb\nc\n\r".into()),
        ("empty", String::new(), String::new()),
        ("long", format!("{long}\r\nend\r\n"), format!("{long}\nend\n")),
        (
            "longer",
            format!("{long}{long}\r\nend\r\n"),
            format!("{long}{long}\nend\n"),
        ),
    ];
    for (name, content, expected) in cases {
        let file = maildir.deliver(name, &[content.as_bytes()], None, &[]).unwrap();
        assert!(file.starts_with(path.join("new")), "{name}");
        assert!(fs::read(&file).unwrap() == expected.as_bytes(), "{name}");
    }
    assert_eq!(names(&path.join("tmp")), [""; 0]);
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_repeated_delivery_makes_no_second_copy() {
    let path = fresh("repeat");
    let maildir = Maildir::open(Arc::new(RealDisk), &path).unwrap();
    let deliver = |key: &str| maildir.deliver(key, TEXT, None, &[]).unwrap();
    let first = deliver("12-user@example.org");
    assert_eq!(deliver("12-user@example.org"), first);
    // A reader that has seen it moves it to cur/ and marks it.
    let seen = path
        .join("cur")
        .join(format!("{}:2,S", first.file_name().unwrap().to_str().unwrap()));
    fs::rename(&first, &seen).unwrap();
    assert_eq!(deliver("12-user@example.org"), seen);
    for other in [
        "2-user@example.org",
        "12-user@example.or",
        "12-user@example.org.uk",
        "112-user@example.org",
    ] {
        assert_ne!(deliver(other), seen, "{other}");
    }
    assert_eq!(names(&path.join("new")).len(), 4);
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn folders_are_made_and_flags_kept() {
    let path = fresh("folders");
    let maildir = Maildir::open(Arc::new(RealDisk), &path).unwrap();
    let flags = ["\\Seen".to_string(), "\\Flagged".to_string()];
    let file = maildir.deliver("1", TEXT, Some("Lists.Rust"), &flags).unwrap();
    assert_eq!(file.parent().unwrap(), path.join(".Lists.Rust/cur"));
    assert!(file.to_str().unwrap().ends_with(":2,FS"), "{file:?}");
    assert_eq!(
        names(&path.join(".Lists.Rust")),
        ["cur", "maildirfolder", "new", "tmp"]
    );
    let inbox = maildir.deliver("2", TEXT, Some("Inbox"), &[]).unwrap();
    assert_eq!(inbox.parent().unwrap(), path.join("new"));
    for folder in ["..", "../x", "a/b", "/etc", "a\0", "", ".", "a..b"] {
        let answer = maildir.deliver("3", TEXT, Some(folder), &[]);
        assert!(
            matches!(answer, Err(MaildirError::Folder { .. })),
            "{folder:?}: {answer:?}"
        );
    }
    assert_eq!(
        names(&path),
        [".Lists.Rust", "cur", "new", "tmp"],
        "nothing was made for a refused folder"
    );
    fs::remove_dir_all(path).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_apart() {
    // /dev/full fails every write for want of room; in the place of tmp/'s files nothing can be made at all.
    let error = std::io::Error::from(fs::write("/dev/full", b"x").unwrap_err().kind());
    assert!(store::disk::is_full(&error));
    let path = fresh("broken");
    let maildir = Maildir::open(Arc::new(RealDisk), &path).unwrap();
    fs::remove_dir(path.join("tmp")).unwrap();
    let answer = maildir.deliver("1", TEXT, None, &[]);
    assert!(matches!(answer, Err(MaildirError::Io { .. })), "{answer:?}");
    assert_eq!(names(&path.join("new")), [""; 0], "nothing was delivered");
    fs::remove_dir_all(path).unwrap();
}

#[cfg(unix)]
#[test]
fn others_cannot_read() {
    use std::os::unix::fs::PermissionsExt;
    let path = fresh("modes");
    let maildir = Maildir::open(Arc::new(RealDisk), &path).unwrap();
    let file = maildir.deliver("1", TEXT, Some("Private"), &[]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&path), mode(&path.join(".Private/new")), mode(&file)),
        (0o700, 0o700, 0o600)
    );
    fs::remove_dir_all(path).unwrap();
}

/// Every file below `dir` of a Maildir that is a message, with its content.
fn messages(disk: &SimDisk, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = ["new", "cur"]
        .iter()
        .flat_map(|sub| disk.list(&dir.join(sub)).unwrap_or_default());
    files
        .map(|path| {
            let len = disk.len(&path).unwrap() as usize;
            let bytes = disk.read_at(&path, 0, len).unwrap();
            (path, bytes)
        })
        .collect()
}

#[test]
fn a_crash_at_any_call_loses_nothing_delivered_and_shows_no_half() {
    let root = Path::new("/store/alice/Maildir");
    let parts: &[&[u8]] = &[b"Return-Path: <>\r\n", b"Subject: a\r\n\r\nb\r\n"];
    let whole = b"Return-Path: <>\nSubject: a\n\nb\n".to_vec();
    let deliveries = [("1", None), ("2", Some("Lists.Rust")), ("3", None)];
    let folder = |name: Option<&str>| name.map_or(root.to_path_buf(), |n| root.join(format!(".{n}")));
    let deliver_all = |disk: &SimDisk| -> Vec<(&str, Option<&str>)> {
        let Ok(maildir) = Maildir::open(Arc::new(disk.clone()), root) else {
            return Vec::new();
        };
        let done = |(key, folder): &(&str, Option<&str>)| maildir.deliver(key, parts, *folder, &[]).is_ok();
        deliveries.into_iter().take_while(done).collect()
    };
    let calls = {
        let disk = SimDisk::new();
        assert_eq!(deliver_all(&disk).len(), deliveries.len());
        disk.calls()
    };
    assert!(calls > 15, "{calls}");
    for call in 0..calls {
        let disk = SimDisk::new();
        disk.crash_at(call);
        let done = deliver_all(&disk);
        assert!(disk.crashed(), "call {call}");
        for seed in 0..40 {
            let after = disk.crash(seed);
            for (_, name) in &deliveries {
                for (path, bytes) in messages(&after, &folder(*name)) {
                    assert_eq!(bytes, whole, "call {call}, seed {seed}: {}", path.display());
                }
            }
            // the queue tries all of them again
            assert_eq!(
                deliver_all(&after).len(),
                deliveries.len(),
                "call {call}, seed {seed}"
            );
            for (key, name) in deliveries {
                let marker = format!(".K{key},");
                let copies = messages(&after, &folder(name));
                let copies = copies
                    .iter()
                    .filter(|(path, _)| path.to_string_lossy().contains(&marker))
                    .count();
                assert_eq!(
                    copies, 1,
                    "call {call}, seed {seed}, key {key}, acknowledged: {done:?}"
                );
            }
        }
        for seed in 40..80 {
            let after = disk.crash(seed);
            for (key, name) in &done {
                let there = messages(&after, &folder(*name));
                let there = there
                    .iter()
                    .any(|(path, _)| path.to_string_lossy().contains(&format!(".K{key},")));
                assert!(there, "call {call}, seed {seed}: {key} was delivered and is lost");
            }
        }
    }
}
