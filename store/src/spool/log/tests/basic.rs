//! What each call does when nothing goes wrong.

use super::*;
use crate::disk::Disk;
use crate::envelope::{Failure, RecipientState};
use crate::spool::{Attempt, HISTORY_LIMIT};

#[test]
fn what_is_committed_is_there_after_a_crash() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let ids = rig
        .one(
            rig.spool
                .enqueue(message("a", inline_text("a", 500), &["tcp_local", "ims-ms"])),
        )
        .unwrap();
    assert_eq!(ids.len(), 2);
    let large = rig.stored(&text("large", 100_000)).unwrap();
    let large = rig
        .one(rig.spool.enqueue(message("b", large, &["tcp_local"])))
        .unwrap();
    for seed in 0..8 {
        let rig = Rig::open(&disk.crash(seed)).unwrap();
        assert_eq!(
            (rig.recovery.messages, rig.recovery.entries),
            (2, 3),
            "seed {seed}"
        );
        assert_eq!(rig.recovery.problems, [], "seed {seed}");
        assert_eq!(rig.spool.content(ids[1]).unwrap(), text("a", 500));
        assert_eq!(rig.spool.content(large[0]).unwrap(), text("large", 100_000));
        assert_eq!(rig.spool.entry(ids[1]).unwrap().channel, "ims-ms");
        assert_eq!(
            rig.spool.entry(ids[0]).unwrap().envelope.envelope_id.as_deref(),
            Some("a")
        );
    }
}

#[test]
fn a_lone_commit_costs_one_append_and_one_sync_and_so_do_many() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    rig.one(
        rig.spool
            .enqueue(message("first", inline_text("first", 10), &["a"])),
    )
    .unwrap();
    for count in [1, 2, 20] {
        let before = disk.calls();
        let commits = (0..count)
            .map(|_| rig.spool.enqueue(message("x", inline_text("x", 10), &["a"])))
            .collect();
        assert!(rig.batch(commits).iter().all(Result::is_ok));
        assert_eq!(disk.calls() - before, 2, "{count} commits");
    }
}

#[test]
fn changes_are_applied_and_last() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let id = rig
        .one(
            rig.spool
                .enqueue(message("a", inline_text("a", 5), &["tcp_local"])),
        )
        .unwrap()[0];
    let attempt = |n: usize| Attempt {
        at: n as i64,
        failure: Failure {
            status: "4.4.1".into(),
            ..Failure::default()
        },
    };
    for n in 0..HISTORY_LIMIT + 5 {
        let change = Change {
            attempt: Some(attempt(n)),
            ..Change::default()
        };
        rig.one(rig.spool.update(id, change)).unwrap();
    }
    let change = Change {
        states: vec![(0, RecipientState::Delivered)],
        next_attempt: Some(77),
        held: Some(true),
        warnings: Some(2),
        log_tag: Some("tag".into()),
        ..Change::default()
    };
    rig.one(rig.spool.update(id, change)).unwrap();
    let before = rig.spool.entry(id).unwrap();
    assert_eq!(before.attempts as usize, HISTORY_LIMIT + 5);
    assert_eq!(before.history.len(), HISTORY_LIMIT);
    assert_eq!(before.history[0].at, 5, "the oldest attempts are forgotten");
    assert_eq!(before.pending().count(), 0);
    let rig = Rig::open(&disk.crash(0)).unwrap();
    assert_eq!(rig.spool.entry(id).unwrap(), before);
}

#[test]
fn an_overlay_replaces_the_header_of_its_entry_only() {
    let mut rig = Rig::open(&SimDisk::new()).unwrap();
    let mut new = message("a", inline_text("a", 3), &["one", "two"]);
    new.entries[1].overlay = Some(Bytes::from_static(b"Subject: [list] test\r\nX: y\r\n\r\n"));
    let ids = rig.one(rig.spool.enqueue(new)).unwrap();
    assert_eq!(rig.spool.content(ids[0]).unwrap(), "Subject: test\r\n\r\na\r\n");
    assert_eq!(
        rig.spool.content(ids[1]).unwrap(),
        "Subject: [list] test\r\nX: y\r\n\r\na\r\n"
    );
}

#[test]
fn the_body_goes_with_the_last_entry() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let content = rig.stored(&text("big", 5000)).unwrap();
    let ids = rig
        .one(rig.spool.enqueue(message("big", content, &["one", "two"])))
        .unwrap();
    let bodies = || disk.list(&Path::new(DIR).join("bodies")).unwrap().len();
    rig.one(rig.spool.remove(ids[0])).unwrap();
    assert_eq!(bodies(), 1);
    assert_eq!(rig.spool.content(ids[1]).unwrap(), text("big", 5000));
    rig.one(rig.spool.remove(ids[1])).unwrap();
    assert_eq!(bodies(), 0);
    assert!(rig.spool.entries().is_empty());
}

#[test]
fn an_unused_body_is_removed() {
    let disk = SimDisk::new();
    let rig = Rig::open(&disk).unwrap();
    let bodies = || disk.list(&Path::new(DIR).join("bodies")).unwrap().len();
    let mut unfinished = rig.spool.body_writer().unwrap();
    unfinished.write(b"half").unwrap();
    let finished = rig.stored(b"whole").unwrap();
    assert_eq!(bodies(), 2);
    drop(unfinished);
    assert_eq!(bodies(), 1);
    drop(finished);
    assert_eq!(bodies(), 0);
    let other = Rig::open(&SimDisk::new()).unwrap();
    let foreign = rig.stored(b"of this one").unwrap();
    let mut commit = other.spool.enqueue(message("x", foreign, &["a"]));
    assert!(
        matches!(poll(&mut commit), Some(Err(SpoolError::Io(_)))),
        "a body of another queue"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut rig = Rig::open(&SimDisk::new()).unwrap();
    let id = rig
        .one(rig.spool.enqueue(message("a", inline_text("a", 5), &["x"])))
        .unwrap()[0];
    let none = EntryId(999);
    let bad_state = Change {
        states: vec![(3, RecipientState::Delivered)],
        ..Change::default()
    };
    let mut header = message("a", inline_text("a", 5), &["x"]);
    header.header_len = 10_000;
    let huge = Content::Inline(Bytes::from(vec![b'x'; INLINE_LIMIT + 1]));
    let mut record = message("a", inline_text("a", 5), &["x"]);
    record.entries[0].overlay = Some(Bytes::from(vec![b'x'; MAX_RECORD]));
    let updates = [
        (
            "update of nothing",
            rig.spool.update(none, Change::default()),
            "NoEntry",
        ),
        ("removal of nothing", rig.spool.remove(none), "NoEntry"),
        ("state of no recipient", rig.spool.update(id, bad_state), "Io"),
    ];
    for (name, commit, kind) in updates {
        let error = rig.one(commit).expect_err(name);
        assert!(format!("{error:?}").starts_with(kind), "{name}: {error:?}");
    }
    let messages = [
        (
            "no entries",
            rig.spool.enqueue(message("a", inline_text("a", 5), &[])),
        ),
        ("header longer than the message", rig.spool.enqueue(header)),
        (
            "inline body over the limit",
            rig.spool.enqueue(message("a", huge, &["x"])),
        ),
        ("record over the limit", rig.spool.enqueue(record)),
    ];
    for (name, commit) in messages {
        assert!(matches!(rig.one(commit), Err(SpoolError::Io(_))), "{name}");
    }
    assert!(matches!(rig.spool.content(none), Err(SpoolError::NoEntry(_))));
    // In one batch: the second of two removals and a change behind a removal.
    let answers = rig.batch(vec![
        rig.spool.remove(id),
        rig.spool.remove(id),
        rig.spool.update(id, Change::default()),
    ]);
    assert!(answers[0].is_ok());
    assert!(
        answers[1..]
            .iter()
            .all(|answer| matches!(answer, Err(SpoolError::NoEntry(_))))
    );
}

#[test]
fn ids_are_never_used_twice() {
    let disk = SimDisk::new();
    let mut last = 0;
    for _ in 0..5 {
        let mut rig = Rig::open(&disk).unwrap();
        for _ in 0..3 {
            let id = rig
                .one(rig.spool.enqueue(message("a", inline_text("a", 9000), &["x"])))
                .unwrap()[0];
            assert!(id.0 > last, "{id:?} after {last}");
            last = id.0;
            rig.one(rig.spool.remove(id)).unwrap();
            rig.writer.turn(false);
        }
        assert!(rig.spool.entries().is_empty());
    }
    let segments = disk.list(&Path::new(DIR).join("segments")).unwrap();
    assert!(segments.len() <= 2, "dead segments go: {segments:?}");
}

#[test]
fn ids_of_segments_that_are_gone_are_not_used_again() {
    let disk = SimDisk::new();
    let dir = Path::new(DIR).join("segments");
    disk.create_dir(&dir).unwrap();
    // All that is left of a busy queue: a segment begun when 49 ids had been used.
    let header = format::SegmentHeader {
        number: 7,
        next_id: 50,
        salt: 1,
    }
    .encode();
    disk.create(&dir.join("000000000007.log"))
        .unwrap()
        .append(&header)
        .unwrap();
    let mut rig = Rig::open(&disk).unwrap();
    let id = rig
        .one(rig.spool.enqueue(message("c", inline_text("c", 10), &["x"])))
        .unwrap()[0];
    assert_eq!(id, EntryId(50));
    rig.one(rig.spool.remove(id)).unwrap();
    let written = disk
        .read_at(&dir.join("000000000008.log"), 0, format::SEGMENT_HEADER)
        .unwrap();
    assert_eq!(
        format::SegmentHeader::decode(&written).unwrap().next_id,
        51,
        "and the next one says so too"
    );
}

#[test]
fn long_lived_entries_are_copied_forward() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let old = rig
        .one(
            rig.spool
                .enqueue(message("old", inline_text("old", 100), &["x", "y"])),
        )
        .unwrap();
    rig.one(rig.spool.remove(old[0])).unwrap();
    rig.one(rig.spool.update(
        old[1],
        Change {
            next_attempt: Some(5),
            ..Change::default()
        },
    ))
    .unwrap();
    for _ in 0..40 {
        let id = rig
            .one(
                rig.spool
                    .enqueue(message("new", inline_text("new", 2000), &["x"])),
            )
            .unwrap()[0];
        rig.one(rig.spool.remove(id)).unwrap();
        assert!(disk.used() < 64 * 1024, "the log stays small");
    }
    assert!(rig.spool.counters().copied.load(Relaxed) > 0);
    for rig in [rig, Rig::open(&disk.crash(3)).unwrap()] {
        assert_eq!(rig.spool.entries().len(), 1);
        assert_eq!(rig.spool.entry(old[1]).unwrap().next_attempt, 5);
        assert_eq!(rig.spool.content(old[1]).unwrap(), text("old", 100));
    }
}

#[test]
fn one_server_a_spool() {
    let disk = SimDisk::new();
    let rig = Rig::open(&disk).unwrap();
    assert!(matches!(Rig::open(&disk), Err(SpoolError::Unusable(_))));
    drop(rig);
    assert!(Rig::open(&disk).is_ok());
}

#[test]
fn another_version_is_a_clear_error() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    rig.one(rig.spool.enqueue(message("a", inline_text("a", 5), &["x"])))
        .unwrap();
    drop(rig);
    disk.damage(&Path::new(DIR).join("segments/000000000001.log"), 8, 3);
    let error = Rig::open(&disk).err().expect("refused").to_string();
    assert!(
        error.contains("version 2") && error.contains("version 1"),
        "{error}"
    );
}

#[test]
fn a_closed_spool_answers_what_waits_and_nothing_more() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let mut waiting = rig.spool.enqueue(message("a", inline_text("a", 5), &["x"]));
    assert!(poll(&mut waiting).is_none());
    rig.spool.close();
    let mut late = rig.spool.enqueue(message("b", inline_text("b", 5), &["x"]));
    assert!(matches!(poll(&mut late), Some(Err(SpoolError::Closed))));
    while rig.writer.turn(true) {}
    let id = poll(&mut waiting).expect("answered").unwrap()[0];
    assert!(matches!(rig.spool.content(id), Err(SpoolError::Closed)));
    assert!(matches!(rig.spool.body_writer(), Err(SpoolError::Closed)));
    drop(rig);
    assert_eq!(Rig::open(&disk).unwrap().recovery.entries, 1);
}

#[test]
fn callers_wait_when_the_queue_is_full() {
    let mut rig = Rig::open(&SimDisk::new()).unwrap();
    let count = small().queue + 10;
    let mut commits: Vec<_> = (0..count)
        .map(|_| rig.spool.enqueue(message("a", inline_text("a", 5), &["x"])))
        .collect();
    let mut answered = Vec::new();
    for _ in 0..3 {
        let before = commits.len();
        commits.retain_mut(|commit| poll(commit).is_none());
        answered.push(before - commits.len());
        rig.writer.turn(false);
    }
    assert_eq!(
        answered,
        [0, small().queue, 10],
        "the first batch is what the queue holds, the rest comes next"
    );
    assert_eq!(rig.spool.entries().len(), count);
}
