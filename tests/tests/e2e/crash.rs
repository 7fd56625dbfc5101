//! kill -9 under load, and a disk that is full: nothing acknowledged is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tests::{Client, Ran, Server, Sink, Site, until};

/// Sends one numbered message; `Some(true)`: acknowledged, `Some(false)`: refused, `None`: nobody knows.
fn send(client: &mut Client, subject: &str, padding: usize) -> Option<bool> {
    client
        .send("MAIL FROM:<x@one.example>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n")
        .ok()?;
    for _ in 0..2 {
        if client.next_reply()?.code >= 400 {
            return Some(false);
        }
    }
    if client.next_reply()?.code != 354 {
        return Some(false);
    }
    let body = "0123456789abcdef\r\n".repeat(padding / 18);
    client
        .send(format!("Subject: {subject}\r\n\r\n{body}\r\n.\r\n"))
        .ok()?;
    Some(client.next_reply()?.code == 250)
}

fn subjects(site: &Site) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for mail in site.mail("alice") {
        if let Some(subject) = mail.lines().find_map(|l| l.strip_prefix("Subject: ")) {
            *found.entry(subject.to_string()).or_default() += 1;
        }
    }
    found
}

fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
        % below
}

#[test]
fn killed_under_load_it_loses_nothing_that_it_acknowledged() {
    const CLIENTS: usize = 4;
    let rounds: usize = std::env::var("SLUICE_KILL_ROUNDS")
        .ok()
        .and_then(|r| r.parse().ok())
        .unwrap_or(5);
    let site = Site::new();
    let acknowledged = Mutex::new(BTreeSet::new());
    for round in 0..rounds {
        let server = Server::start(&site);
        let (address, over) = (server.smtp(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (acknowledged, over) = (&acknowledged, &over);
                scope.spawn(move || {
                    let Ok(mut connection) = Client::connect(address, "127.0.0.1") else {
                        return;
                    };
                    let greeted = connection.next_reply().is_some() && connection.send("EHLO x\r\n").is_ok();
                    if !greeted || connection.next_reply().is_none() {
                        return;
                    }
                    for n in 0.. {
                        let subject = format!("round {round} client {client} message {n}");
                        // every tenth is too large for the log of the spool and gets a file of its own
                        let padding = if n % 10 == 9 { 100_000 } else { 500 };
                        match send(&mut connection, &subject, padding) {
                            Some(true) => {
                                acknowledged.lock().expect("the list").insert(subject);
                            }
                            Some(false) if over.load(Ordering::SeqCst) => return,
                            Some(false) => panic!("{subject} was refused"),
                            None => return,
                        }
                    }
                });
            }
            // killed at a moment of the load, which is under way when a few more are acknowledged
            let before = acknowledged.lock().expect("the list").len();
            let more = 1 + random(120) as usize;
            until("messages to be acknowledged", || {
                (acknowledged.lock().expect("the list").len() >= before + more).then_some(())
            });
            over.store(true, Ordering::SeqCst);
            server.kill();
        });
    }
    let _server = Server::start(&site);
    until("an empty queue", || site.queue().is_empty().then_some(()));
    let (acknowledged, found) = (acknowledged.into_inner().expect("the list"), subjects(&site));
    let lost: Vec<_> = acknowledged.iter().filter(|s| !found.contains_key(*s)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged messages are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    // at most the deliveries in flight at a kill are repeated: maxjobs 2 of ims-ms
    let twice: Vec<_> = found.iter().filter(|(_, n)| **n > 1).collect();
    assert!(
        twice.len() <= 2 * rounds && twice.iter().all(|(_, n)| **n <= 2),
        "{twice:?}"
    );
    // one that nobody acknowledged may be there: it was on its way; at most one a client and round
    let extra = found.keys().filter(|s| !acknowledged.contains(*s)).count();
    assert!(
        extra <= CLIENTS * rounds,
        "{extra} messages that nobody acknowledged"
    );
    eprintln!(
        "{rounds} kills, {} acknowledged, {} delivered twice, {extra} unacknowledged there",
        acknowledged.len(),
        twice.len()
    );
}

/// A small file system; unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(name: &str, megabytes: u32) -> Tmpfs {
        let path = std::env::temp_dir().join(format!("sluice-e2e-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory to mount on");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "sluice-e2e"])
            .arg(&path);
        let ran = Ran::of(&mut mount);
        assert_eq!(
            ran.code, 0,
            "a full disk is tested on a small file system, and only root can mount one: {}",
            ran.err
        );
        Tmpfs(path)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Ran::of(Command::new("umount").arg(&self.0));
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_full_disk_refuses_for_now_and_keeps_what_it_has() {
    let disk = Tmpfs::mount("full", 24);
    let site = Site::at(disk.0.join("site"));
    let server = Server::start(&site);
    let mut client = server.inside();
    client.hello();
    assert_eq!(send(&mut client, "before", 500), Some(true));
    site.mail_with("alice", "Subject: before");
    // what is queued cannot be delivered away while the disk fills
    site.imsimta(["qm", "stop", "ims-ms"]).expect(0);
    let mut acknowledged = vec!["before".to_string()];
    let mut refused = 0;
    for n in 0..2000 {
        let subject = format!("filling {n}");
        client.say("MAIL FROM:<x@one.example>").expect(250);
        client.say("RCPT TO:<alice@example.com>").expect(250);
        client.say("DATA").expect(354);
        // large ones in files of their own, small ones in the log, in turns
        let body = "0123456789abcdef\r\n".repeat(if n % 2 == 0 { 12_000 } else { 1_000 });
        client
            .send(format!("Subject: {subject}\r\n\r\n{body}\r\n.\r\n"))
            .expect("the message");
        let reply = client.reply();
        match reply.code {
            250 => acknowledged.push(subject),
            _ => {
                assert!(reply.line().starts_with("452 4.3.1 "), "{}", reply.line());
                refused += 1;
                if refused == 6 {
                    break;
                }
            }
        }
    }
    assert_eq!(refused, 6, "the disk never was full");
    // the connection, and the server, live on
    client.say("NOOP").expect(250);
    site.sluice(["status"]).expect(0);
    // a crash on a full disk, and a start on it
    server.kill();
    // room is made by the operator: something else was on this disk
    let files = std::fs::read_dir(site.root().join("log"))
        .into_iter()
        .flatten()
        .flatten();
    files.for_each(|f| {
        let _ = std::fs::remove_file(f.path());
    });
    let grown = Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(&disk.0)
        .status()
        .is_ok_and(|s| s.success());
    assert!(grown, "the file system grows");
    let server = Server::start(&site);
    until("all that was acknowledged to be delivered", || {
        site.queue().is_empty().then_some(())
    });
    let found = subjects(&site);
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|s| found.get(*s) != Some(&1))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged messages are lost or twice there: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert_eq!(
        found.len(),
        acknowledged.len(),
        "what was refused is not delivered"
    );
    let mut client = server.inside();
    client.hello();
    assert_eq!(send(&mut client, "after", 500), Some(true));
    site.mail_with("alice", "Subject: after");
    drop(server);
    drop(site);
}

#[test]
fn service_resumes_by_itself_when_there_is_room_again() {
    let disk = Tmpfs::mount("resume", 16);
    let site = Site::at(disk.0.join("site"));
    let server = Server::start(&site);
    // something else takes all of the disk
    let ballast = disk.0.join("ballast");
    let zeros = vec![0u8; 64 << 20];
    let _ = std::fs::write(&ballast, &zeros);
    let mut client = server.inside();
    client.hello();
    let full = until("a refusal", || {
        client.say("MAIL FROM:<x@one.example>").expect(250);
        client.say("RCPT TO:<alice@example.com>").expect(250);
        client.say("DATA").expect(354);
        let body = "0123456789abcdef\r\n".repeat(12_000);
        client
            .send(format!("Subject: full\r\n\r\n{body}\r\n.\r\n"))
            .expect("the message");
        Some(client.reply()).filter(|r| r.code != 250)
    });
    assert!(full.line().starts_with("452 4.3.1 "), "{}", full.line());
    std::fs::remove_file(&ballast).expect("the ballast goes");
    until("service to resume", || {
        (send(&mut client, "resumed", 500) == Some(true)).then_some(())
    });
    site.mail_with("alice", "Subject: resumed");
    drop(server);
    drop(site);
}

#[test]
fn who_cannot_be_told_on_a_full_disk_is_told_later() {
    let disk = Tmpfs::mount("untold", 16);
    let sink = Sink::with(&["PIPELINING"], |line, _| {
        line.starts_with("RCPT TO:")
            .then(|| "550 5.1.1 no such user here".to_string())
    });
    let site = Site::at(disk.0.join("site"));
    site.relay_to(sink.port(), "backoff \"pt1s\"");
    let server = Server::start(&site);
    site.imsimta(["qm", "stop", "tcp_local"]).expect(0);
    let mut client = server.inside();
    client.hello();
    // larger than what the queue keeps in reserve, so that its notification finds no room
    let body = "0123456789abcdef\r\n".repeat(3_000);
    let message = format!("Subject: untold\r\n\r\n{body}");
    client
        .mail("alice@example.com", &["x@one.example"], &message)
        .expect(250);
    let ballast = disk.0.join("ballast");
    let _ = std::fs::write(&ballast, vec![0u8; 64 << 20]);
    site.imsimta(["qm", "start", "tcp_local"]).expect(0);
    until("the server to say so", || {
        server
            .errors()
            .contains("its sender cannot be told now")
            .then_some(())
    });
    assert_eq!(site.queue().len(), 1, "it is still there");
    assert!(site.mail("alice").is_empty());
    std::fs::remove_file(&ballast).expect("the ballast goes");
    let report = site.mail_with("alice", "multipart/report");
    assert!(report.contains("550 5.1.1 no such user here"), "{report}");
    until("an empty queue", || site.queue().is_empty().then_some(()));
    drop(server);
    drop(site);
}

/// One request to the control socket of a site, and the answer.
fn ask(site: &Site, request: &str) -> String {
    let mut stream = UnixStream::connect(site.root().join("run/control")).expect("the control socket");
    writeln!(stream, "{request}").expect("the request is written");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    answer
}

#[test]
fn what_cannot_be_written_leaves_a_message_its_turn() {
    let disk = Tmpfs::mount("turn", 16);
    let site = Site::at(disk.0.join("site"));
    let server = Server::start(&site);
    site.imsimta(["qm", "stop", "ims-ms"]).expect(0);
    let mut client = server.inside();
    client.hello();
    for subject in ["taking room", "turn"] {
        assert_eq!(send(&mut client, subject, 500), Some(true));
    }
    let [first, second] = [0, 1].map(|n| site.queue()[n]["id"].to_string());
    // something else takes all of the disk, and changes of one entry what the queue has in reserve
    let ballast = disk.0.join("ballast");
    let _ = std::fs::write(&ballast, vec![0u8; 64 << 20]);
    let many = vec![first.as_str(); 1000].join(",");
    until("a change that cannot be written", || {
        let said = ask(&site, &format!("{{\"do\": \"hold\", \"ids\": [{many}]}}"));
        said.contains("%QM-E-FAILED").then_some(())
    });
    let held = site.imsimta(["qm", "hold", &format!("-id={second}")]);
    assert!(held.code == 1 && held.err.contains("%QM-E-FAILED"), "{held:?}");
    std::fs::remove_file(&ballast).expect("the ballast goes");
    site.imsimta(["qm", "start", "ims-ms"]).expect(0);
    site.mail_with("alice", "Subject: turn");
    drop(server);
    drop(site);
}
