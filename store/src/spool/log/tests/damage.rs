//! Bytes that change on the disk: reported, kept aside, and no harm to their neighbours.

use super::*;
use crate::disk::Disk;
use crate::spool::StoredBody;
use crate::spool::log::format::SEGMENT_HEADER;

/// Three messages, a batch each, and where the batches end.
fn three() -> (SimDisk, Vec<EntryId>, Vec<usize>, PathBuf) {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let path = Path::new(DIR).join("segments/000000000001.log");
    let (mut ids, mut ends) = (Vec::new(), Vec::new());
    for name in ["one", "two", "three"] {
        ids.extend(
            rig.one(rig.spool.enqueue(message(name, inline_text(name, 40), &["a"])))
                .unwrap(),
        );
        ends.push(disk.len(&path).unwrap() as usize);
    }
    (disk, ids, ends, path)
}

fn present(rig: &Rig, ids: &[EntryId]) -> Vec<bool> {
    ids.iter().map(|id| rig.spool.content(*id).is_ok()).collect()
}

#[test]
fn any_damaged_byte_is_found_and_costs_its_own_batch_only() {
    let (disk, ids, ends, path) = three();
    for offset in 0..ends[2] {
        let disk = disk.crash(0);
        disk.damage(&path, offset, 0x40);
        let rig = match Rig::open(&disk) {
            Ok(rig) => rig,
            Err(error) => {
                // The version field, where a changed bit makes another version.
                assert!((8..12).contains(&offset), "byte {offset}: {error}");
                continue;
            }
        };
        let found = present(&rig, &ids);
        let batch = ends.iter().position(|end| offset < *end).unwrap();
        if offset < SEGMENT_HEADER {
            assert_eq!(
                found, [true; 3],
                "byte {offset} is of the header, which no batch needs"
            );
            assert_eq!(rig.recovery.problems.len(), 1, "byte {offset}");
        } else if batch == 2 {
            // The last batch of the newest segment: nothing tells it from one that was never completed.
            assert_eq!(found, [true, true, false], "byte {offset}");
            assert_eq!(
                rig.recovery.dropped_bytes as usize,
                ends[2] - ends[1],
                "byte {offset}"
            );
        } else {
            let expected: Vec<bool> = (0..3).map(|n| n != batch).collect();
            // A damaged batch header costs the batch; its records may verify but their extent is unknown.
            assert_eq!(found, expected, "byte {offset}");
            let [problem] = &rig.recovery.problems[..] else {
                panic!("byte {offset}: {:?}", rig.recovery)
            };
            let copy = problem.preserved.as_ref().expect("a copy of the damaged bytes");
            let start = if batch == 0 {
                SEGMENT_HEADER
            } else {
                ends[batch - 1]
            };
            let lost = disk.read_at(&path, start as u64, ends[batch] - start).unwrap();
            assert_eq!(disk.read_at(copy, 0, lost.len()).unwrap(), lost, "byte {offset}");
            assert!(problem.to_string().contains("damaged/"), "{problem}");
        }
    }
}

#[test]
fn damage_in_a_batch_spares_the_other_records_of_it() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let names = ["one", "two", "three"];
    let commits = names.map(|name| rig.spool.enqueue(message(name, inline_text(name, 40), &["a"])));
    let ids: Vec<_> = rig
        .batch(commits.into())
        .into_iter()
        .map(|answer| answer.unwrap()[0])
        .collect();
    let last = rig
        .one(
            rig.spool
                .enqueue(message("last", inline_text("last", 40), &["a"])),
        )
        .unwrap()[0];
    let path = Path::new(DIR).join("segments/000000000001.log");
    let bytes = disk.read_at(&path, 0, disk.len(&path).unwrap() as usize).unwrap();
    let second = bytes.windows(5).position(|window| window == b"two\r\n").unwrap();
    disk.damage(&path, second, 1);
    let rig = Rig::open(&disk.crash(0)).unwrap();
    assert_eq!(
        present(&rig, &[ids[0], ids[1], ids[2], last]),
        [true, false, true, true]
    );
    assert!(
        rig.recovery.problems[0].what.contains("2 records"),
        "{:?}",
        rig.recovery.problems
    );
}

#[test]
fn damage_in_an_older_segment_is_never_taken_for_a_torn_tail() {
    let (disk, ids, ends, path) = three();
    let mut rig = Rig::open(&disk.crash(0)).unwrap();
    let disk = disk.crash(0);
    drop(rig);
    rig = Rig::open(&disk).unwrap();
    let next = rig
        .one(
            rig.spool
                .enqueue(message("next", inline_text("next", 40), &["a"])),
        )
        .unwrap()[0];
    disk.damage(&path, ends[2] - 1, 1);
    let disk = disk.crash(0);
    let mut rig = Rig::open(&disk).unwrap();
    assert_eq!(
        present(&rig, &[ids[0], ids[1], ids[2], next]),
        [true, true, false, true]
    );
    assert_eq!(rig.recovery.dropped_bytes, 0);
    assert!(rig.recovery.problems[0].preserved.is_some());
    // What lives in the damaged segment moves out of it, and the next start has nothing to report.
    for _ in 0..3 {
        rig.writer.turn(false);
    }
    let rig = Rig::open(&disk.crash(0)).unwrap();
    assert_eq!(rig.recovery.problems, []);
    assert_eq!(present(&rig, &[ids[0], ids[1], next]), [true; 3]);
    assert_eq!(
        disk.list(&Path::new(DIR).join("damaged")).unwrap().len(),
        1,
        "the copy stays"
    );
}

#[test]
fn a_body_that_changed_is_not_delivered() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let content = rig.stored(&text("large", 3000)).unwrap();
    let Content::Stored(StoredBody { number, .. }) = &content else {
        panic!()
    };
    let path = Path::new(DIR).join("bodies").join(number.to_string());
    let id = rig
        .one(rig.spool.enqueue(message("large", content, &["a"])))
        .unwrap()[0];
    disk.damage(&path, 1500, 4);
    assert!(matches!(rig.spool.content(id), Err(SpoolError::Corrupt(_))));
    disk.remove(&path).unwrap();
    let rig = Rig::open(&disk.crash(0)).unwrap();
    assert!(
        rig.recovery
            .problems
            .iter()
            .any(|problem| problem.what.contains("missing"))
    );
    assert!(
        matches!(rig.spool.content(id), Err(SpoolError::Corrupt(_))),
        "the entry stays, to be looked at"
    );
}

#[test]
fn the_body_of_a_lost_message_is_kept() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let content = rig.stored(&text("large", 3000)).unwrap();
    let Content::Stored(StoredBody { number, .. }) = &content else {
        panic!()
    };
    let number = *number;
    let lost = rig
        .one(rig.spool.enqueue(message("large", content, &["a"])))
        .unwrap()[0];
    let segment = Path::new(DIR).join("segments/000000000001.log");
    let end = disk.len(&segment).unwrap() as usize;
    let other = rig
        .one(
            rig.spool
                .enqueue(message("other", inline_text("other", 40), &["a"])),
        )
        .unwrap()[0];
    let body = Path::new(DIR).join("bodies").join(number.to_string());
    let bytes = disk.read_at(&body, 0, disk.len(&body).unwrap() as usize).unwrap();
    disk.damage(&segment, end - 1, 1);
    let disk = disk.crash(0);
    let rig = Rig::open(&disk).unwrap();
    assert_eq!(present(&rig, &[lost, other]), [false, true]);
    let kept = Path::new(DIR).join("damaged").join(format!("body-{number}"));
    assert!(
        rig.recovery
            .problems
            .iter()
            .any(|p| p.preserved.as_ref() == Some(&kept)),
        "{:?}",
        rig.recovery.problems
    );
    assert_eq!(rig.recovery.orphan_bodies, 0);
    drop(rig);
    // whatever the crash: it is there
    assert_eq!(disk.crash(0).read_at(&kept, 0, bytes.len()).unwrap(), bytes);
}
