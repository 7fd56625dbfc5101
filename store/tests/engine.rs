//! The spool as a server uses it: its own thread, many tasks, the real disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use store::disk::RealDisk;
use store::disk::sim::SimDisk;
use store::envelope::{Envelope, Recipient};
use store::spool::log::{Options, Recovery, SegmentSpool};
use store::spool::{Change, Content, INLINE_LIMIT, NewEntry, NewMessage, Spool, SpoolError};

fn fresh(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("spool-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

fn open(path: &Path) -> Result<(Arc<SegmentSpool>, Recovery), SpoolError> {
    let options = Options {
        segment_size: 64 * 1024,
        ..Options::default()
    };
    SegmentSpool::open(Arc::new(RealDisk), path, options).map(|(spool, recovery)| (Arc::new(spool), recovery))
}

fn message(content: Content) -> NewMessage {
    let entry = NewEntry {
        channel: "tcp_local".into(),
        host: "example.com".into(),
        recipients: vec![Recipient {
            address: "user@example.com".into(),
            ..Recipient::default()
        }],
        overlay: None,
        next_attempt: 0,
        held: false,
        log_tag: String::new(),
    };
    let envelope = Envelope {
        from: "sender@example.org".into(),
        ..Envelope::default()
    };
    NewMessage {
        envelope,
        content,
        header_len: 0,
        entries: vec![entry.clone(), entry],
    }
}

fn text(task: usize, n: usize) -> Vec<u8> {
    let len = if n % 8 == 7 { INLINE_LIMIT + 1000 } else { 600 };
    format!("message {n} of task {task}\r\n")
        .bytes()
        .cycle()
        .take(len)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_one_spool() {
    let path = fresh("many");
    let (spool, _) = open(&path).unwrap();
    assert!(
        matches!(open(&path), Err(SpoolError::Unusable(_))),
        "one server a spool"
    );
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let spool = spool.clone();
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for n in 0..16 {
                    let content = text(task, n);
                    let body = if content.len() > INLINE_LIMIT {
                        let mut writer = spool.body_writer().unwrap();
                        content
                            .chunks(10_000)
                            .for_each(|piece| writer.write(piece).unwrap());
                        Content::Stored(writer.finish().await.unwrap())
                    } else {
                        Content::Inline(Bytes::from(content.clone()))
                    };
                    let ids = spool.enqueue(message(body)).await.unwrap();
                    let change = Change {
                        next_attempt: Some(n as i64),
                        ..Change::default()
                    };
                    spool.update(ids[1], change).await.unwrap();
                    spool.remove(ids[0]).await.unwrap();
                    assert_eq!(spool.content(ids[1]).unwrap(), content);
                    if n % 4 == 3 {
                        kept.push((ids[1], content));
                    } else {
                        spool.remove(ids[1]).await.unwrap();
                    }
                }
                kept
            })
        })
        .collect();
    let mut kept = Vec::new();
    for task in tasks {
        kept.extend(task.await.unwrap());
    }
    spool.close();
    assert!(matches!(spool.remove(kept[0].0).await, Err(SpoolError::Closed)));
    drop(spool);

    let (spool, recovery) = open(&path).unwrap();
    assert_eq!(
        (recovery.entries, recovery.problems.len(), recovery.orphan_bodies),
        (kept.len(), 0, 0)
    );
    assert_eq!(recovery.dropped_bytes, 0);
    for (id, content) in kept {
        assert_eq!(spool.content(id).unwrap(), content);
    }
    drop(spool);
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn closing_under_load_answers_everyone_on_one_thread() {
    // Tasks wait for room in the queue when the spool is closed on the only thread that could poll them.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let options = Options {
        queue: 2,
        ..Options::default()
    };
    let disk = SimDisk::new();
    let (spool, _) =
        SegmentSpool::open(Arc::new(disk.clone()), Path::new("/queue"), options.clone()).unwrap();
    let spool = Arc::new(spool);
    let done = runtime.block_on(async {
        let tasks: Vec<_> = (0..50)
            .map(|n| tokio::spawn(spool.enqueue(message(Content::Inline(Bytes::from(text(0, n % 7)))))))
            .collect();
        tokio::task::yield_now().await;
        spool.close();
        let mut done = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => done += 1,
                Err(error) => assert!(matches!(error, SpoolError::Closed), "{error}"),
            }
        }
        done
    });
    drop(spool);
    let (_, recovery) = SegmentSpool::open(Arc::new(disk), Path::new("/queue"), options).unwrap();
    assert_eq!(
        recovery.messages, done,
        "what was answered is there, and nothing else"
    );
}

#[cfg(unix)]
#[test]
fn others_cannot_read() {
    use std::os::unix::fs::PermissionsExt;
    let path = fresh("modes");
    let (spool, _) = open(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime
        .block_on(spool.enqueue(message(Content::Inline(Bytes::from_static(b"text")))))
        .unwrap();
    for dir in [path.clone(), path.join("segments"), path.join("bodies")] {
        assert_eq!(
            fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
            0o700,
            "{dir:?}"
        );
    }
    for file in [
        path.join("lock"),
        path.join("segments/000000000001.log"),
        path.join("reserve"),
    ] {
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{file:?}"
        );
    }
    drop(spool);
    fs::remove_dir_all(path).unwrap();
}
