//! Failed syncs and full disks: what was refused leaves no trace, and service goes on.

use proptest::prelude::*;

use super::ledger::Ledger;
use super::*;
use crate::disk::Disk;
use crate::disk::sim::Chance;

fn segment_names(disk: &SimDisk) -> Vec<String> {
    let files = disk.list(&Path::new(DIR).join("segments")).unwrap();
    files
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_failed_sync_refuses_the_batch_for_good() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let kept = rig
        .one(rig.spool.enqueue(message("kept", inline_text("kept", 9), &["a"])))
        .unwrap()[0];
    let doomed = rig
        .one(
            rig.spool
                .enqueue(message("doomed", inline_text("doomed", 9), &["a"])),
        )
        .unwrap()[0];
    disk.fail_sync(0);
    let mut enqueue = rig
        .spool
        .enqueue(message("refused", inline_text("refused", 9), &["a"]));
    let mut removals = [rig.spool.remove(doomed), rig.spool.remove(doomed)];
    assert!(poll(&mut enqueue).is_none() && removals.iter_mut().all(|commit| poll(commit).is_none()));
    rig.writer.turn(false);
    assert!(matches!(poll(&mut enqueue), Some(Err(SpoolError::Io(_)))));
    for removal in &mut removals {
        // Also the second: that there is no such entry would have been true only after the first.
        assert!(matches!(poll(removal), Some(Err(SpoolError::Io(_)))));
    }
    assert_eq!(rig.spool.entries().len(), 2);
    for seed in 0..32 {
        let rig = Rig::open(&disk.crash(seed)).unwrap();
        let ids: Vec<_> = rig.spool.entries().iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [kept, doomed], "seed {seed}, before the next batch");
    }
    rig.one(rig.spool.remove(doomed)).unwrap();
    let next = rig
        .one(rig.spool.enqueue(message("next", inline_text("next", 9), &["a"])))
        .unwrap()[0];
    let names = segment_names(&disk);
    assert!(
        names[0].ends_with(".cut") && names[1].ends_with("2.log"),
        "{names:?}"
    );
    assert_eq!(disk.syncs_after_failure(), 0);
    for seed in 0..32 {
        let rig = Rig::open(&disk.crash(seed)).unwrap();
        let ids: Vec<_> = rig.spool.entries().iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [kept, next], "seed {seed}");
        assert_eq!(rig.recovery.problems, []);
        assert_eq!(rig.recovery.dropped_bytes, 0, "what was cut off is not torn");
        assert_eq!(rig.spool.content(kept).unwrap(), text("kept", 9));
    }
    assert_eq!(
        rig.spool.content(kept).unwrap(),
        text("kept", 9),
        "also where it is read from the renamed file"
    );
}

#[test]
fn a_failed_sync_of_a_body_refuses_it() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    disk.fail_sync(0);
    assert!(matches!(rig.stored(&text("large", 3000)), Err(SpoolError::Io(_))));
    assert_eq!(
        disk.list(&Path::new(DIR).join("bodies")).unwrap(),
        Vec::<PathBuf>::new()
    );
    let body = rig.stored(&text("again", 3000)).unwrap();
    // The body is fine, the record is not.
    disk.fail_sync(1);
    assert!(
        rig.one(rig.spool.enqueue(message("again", body, &["a"])))
            .is_err()
    );
    assert_eq!(
        disk.list(&Path::new(DIR).join("bodies")).unwrap(),
        Vec::<PathBuf>::new()
    );
    assert_eq!(disk.syncs_after_failure(), 0);
}

#[test]
fn while_a_failed_segment_cannot_be_cut_nothing_is_written() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let kept = rig
        .one(rig.spool.enqueue(message("kept", inline_text("kept", 9), &["a"])))
        .unwrap()[0];
    let body = rig.stored(&text("unsure", 3000)).unwrap();
    disk.fail_sync(0);
    disk.fail_renames(2);
    assert!(
        rig.one(rig.spool.enqueue(message("unsure", body, &["a"])))
            .is_err()
    );
    assert!(
        rig.one(rig.spool.remove(kept)).is_err(),
        "the second try to cut fails too"
    );
    for seed in 0..32 {
        // The refused message may be found now, and then it must be whole.
        let rig = Rig::open(&disk.crash(seed)).unwrap();
        assert_eq!(rig.recovery.problems, [], "seed {seed}");
        for entry in rig.spool.entries() {
            rig.spool.content(entry.id).unwrap();
        }
        assert!(rig.spool.entry(kept).is_some(), "seed {seed}");
    }
    rig.one(rig.spool.remove(kept)).unwrap();
    for seed in 0..32 {
        let rig = Rig::open(&disk.crash(seed)).unwrap();
        assert_eq!(
            (rig.recovery.entries, rig.recovery.problems.len()),
            (0, 0),
            "seed {seed}: the cut is made"
        );
    }
}

#[test]
fn a_cut_that_a_killed_process_left_unsynced_lasts() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    rig.one(rig.spool.enqueue(message("kept", inline_text("kept", 9), &["a"])))
        .unwrap();
    disk.fail_sync(0);
    // The append, the sync that fails, the rename, and then the sync of the directory.
    disk.crash_at(disk.calls() + 3);
    assert!(
        rig.one(
            rig.spool
                .enqueue(message("refused", inline_text("refused", 9), &["a"]))
        )
        .is_err()
    );
    assert!(disk.crashed() && segment_names(&disk.kill())[0].ends_with(".cut"));
    let disk = disk.kill();
    assert_eq!(Rig::open(&disk).unwrap().recovery.entries, 1);
    for seed in 0..32 {
        let rig = Rig::open(&disk.crash(seed)).unwrap();
        assert_eq!(
            (rig.recovery.entries, rig.recovery.problems.len()),
            (1, 0),
            "seed {seed}"
        );
    }
}

#[test]
fn a_full_disk_refuses_messages_takes_removals_and_recovers() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.extend(
            rig.one(rig.spool.enqueue(message("a", inline_text("a", 1000), &["a"])))
                .unwrap(),
        );
    }
    let large = rig.stored(&text("large", 20_000)).unwrap();
    let large = rig
        .one(rig.spool.enqueue(message("large", large, &["a"])))
        .unwrap()[0];
    disk.set_capacity(Some(disk.used() + 100));
    let enqueue = |rig: &mut Rig| rig.one(rig.spool.enqueue(message("b", inline_text("b", 1000), &["a"])));
    for _ in 0..3 {
        assert!(matches!(enqueue(&mut rig), Err(SpoolError::Full)));
    }
    assert!(matches!(rig.stored(b"body").map(|_| ()), Err(SpoolError::Full)));
    let (last, others) = ids.split_last().unwrap();
    for id in others {
        rig.one(rig.spool.update(
            *id,
            Change {
                held: Some(true),
                ..Change::default()
            },
        ))
        .unwrap();
        rig.one(rig.spool.remove(*id)).unwrap();
    }
    assert!(rig.spool.entry(large).is_some());
    rig.one(rig.spool.remove(large)).unwrap();
    enqueue(&mut rig).expect("the body's room was given back");
    assert!(rig.writer.shared.reserve.held(), "the reserve is there again");
    let rig = Rig::open(&disk.crash(1)).unwrap();
    assert_eq!(rig.recovery.entries, 2);
    assert!(rig.spool.entry(*last).is_some());
}

#[test]
fn a_batch_that_does_not_fit_lets_its_removals_through() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let id = rig
        .one(rig.spool.enqueue(message("a", inline_text("a", 100), &["a"])))
        .unwrap()[0];
    disk.set_capacity(Some(disk.used() + 600));
    let mut enqueue = rig.spool.enqueue(message("b", inline_text("b", 5000), &["a"]));
    let mut remove = rig.spool.remove(id);
    assert!(poll(&mut enqueue).is_none() && poll(&mut remove).is_none());
    rig.writer.turn(false);
    assert!(matches!(poll(&mut enqueue), Some(Err(SpoolError::Full))));
    assert!(matches!(poll(&mut remove), Some(Ok(()))));
    for seed in 0..8 {
        assert_eq!(Rig::open(&disk.crash(seed)).unwrap().recovery.entries, 0);
    }
}

#[test]
fn a_full_disk_can_be_opened() {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let id = rig
        .one(rig.spool.enqueue(message("a", inline_text("a", 100), &["a"])))
        .unwrap()[0];
    drop(rig);
    let disk = disk.crash(0);
    disk.set_capacity(Some(disk.used()));
    let mut rig = Rig::open(&disk).unwrap();
    assert_eq!(rig.spool.content(id).unwrap(), text("a", 100));
    rig.one(rig.spool.remove(id)).unwrap();
}

/// Something that befalls the disk before a round.
#[derive(Debug, Clone)]
enum Fault {
    None,
    /// So much room is left.
    Room(u64),
    /// Room again.
    Empty,
    /// The sync after so many fails.
    Sync(u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => (0u64..6000).prop_map(Fault::Room),
        2 => Just(Fault::Empty),
        2 => (0u64..3).prop_map(Fault::Sync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_fault_loses_or_brings_back_anything(
        seed: u64,
        faults in prop::collection::vec(fault(), 1..50),
        outcomes in prop::collection::vec(any::<u64>(), 3),
        stop in prop::option::of(0u64..400),
    ) {
        let disk = SimDisk::new();
        let mut rig = Rig::open(&disk).unwrap();
        if let Some(call) = stop {
            disk.crash_at(disk.calls() + call);
        }
        let mut ledger = Ledger::default();
        let mut chance = Chance(seed);
        for fault in &faults {
            match fault {
                Fault::None => {}
                Fault::Room(left) => disk.set_capacity(Some(disk.used() + left)),
                Fault::Empty => disk.set_capacity(None),
                Fault::Sync(nth) => disk.fail_sync(*nth),
            }
            if !ledger.round(&mut rig, &disk, &mut chance, 6) {
                break;
            }
        }
        prop_assert_eq!(disk.syncs_after_failure(), 0);
        if !disk.crashed() {
            ledger.check(&rig, &disk, "still running");
        }
        // A process that was only killed, then a power failure under its successor.
        let killed = disk.kill();
        killed.set_capacity(None);
        let mut next = Rig::open(&killed).unwrap();
        ledger.check(&next, &killed, "killed");
        let later = ledger.check_service(&mut next, "killed");
        let entries = next.spool.entries();
        // Killed between a failed sync and the cut, the successor cannot know that its own sync saves nothing.
        let known = killed.syncs_after_failure() == 0;
        for seed in outcomes.iter().filter(|_| known) {
            let rig = Rig::open(&killed.crash(*seed)).unwrap();
            prop_assert!(rig.spool.entry(later).is_some());
            prop_assert_eq!(rig.spool.entries(), entries.clone());
        }
        for seed in outcomes {
            let found = disk.crash(seed);
            found.set_capacity(None);
            let mut rig = Rig::open(&found).unwrap();
            ledger.check(&rig, &found, "after the crash");
            ledger.check_service(&mut rig, "after the crash");
        }
    }
}
