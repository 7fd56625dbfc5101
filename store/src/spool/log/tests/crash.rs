//! The contract: a machine that stops at any moment loses nothing that was acknowledged.

use super::ledger::Ledger;
use super::*;
use crate::disk::sim::Chance;

const ROUNDS: usize = 60;
const IN_FLIGHT: usize = 5;

/// Opens and works until the machine stops or all is done. `None`: it stopped while opening.
fn run(disk: &SimDisk, seed: u64) -> (Ledger, bool) {
    let mut ledger = Ledger::default();
    let mut chance = Chance(seed);
    let Ok(mut rig) = Rig::open(disk) else {
        return (ledger, false);
    };
    for _ in 0..ROUNDS {
        if !ledger.round(&mut rig, disk, &mut chance, IN_FLIGHT) {
            return (ledger, false);
        }
    }
    let counters = rig.spool.counters();
    assert!(
        counters.copied.load(Relaxed) > 0 && counters.segments_removed.load(Relaxed) > 1,
        "no compaction"
    );
    (ledger, true)
}

/// What is found after a crash agrees with the ledger, once, again after a second crash, and after new work.
fn examine(ledger: &Ledger, disk: &SimDisk, case: &str) {
    let mut rig = Rig::open(disk).unwrap_or_else(|error| panic!("{case}: {error}"));
    ledger.check(&rig, disk, case);
    let found = rig.spool.entries();
    let later = ledger.check_service(&mut rig, case);
    for seed in [1, 2] {
        let again = disk.crash(seed);
        let rig = Rig::open(&again).unwrap_or_else(|error| panic!("{case}, again: {error}"));
        let mut entries = rig.spool.entries();
        assert_eq!(entries.pop().map(|entry| entry.id), Some(later), "{case}");
        assert_eq!(entries, found, "{case}: recovery is durable");
    }
}

fn every_boundary(seed: u64) {
    let whole = SimDisk::new();
    let (ledger, finished) = run(&whole, seed);
    assert!(
        finished && ledger.done > 100 && ledger.live() > 3,
        "{} done, {} live",
        ledger.done,
        ledger.live()
    );
    examine(&ledger, &whole.crash(seed), "after the last");
    let mut torn = 0;
    for call in 0..whole.calls() {
        let disk = SimDisk::new();
        disk.crash_at(call);
        let (ledger, finished) = run(&disk, seed);
        assert!(!finished, "call {call} was never made");
        examine(
            &ledger,
            &disk.kill(),
            &format!("seed {seed}, process killed at call {call}"),
        );
        for outcome in 0..4 {
            let case = format!("seed {seed}, call {call}, outcome {outcome}");
            let found = disk.crash(seed * 1000 + call * 10 + outcome);
            examine(&ledger, &found.crash(0), &case);
            torn += Rig::open(&found).map_or(0, |rig| rig.recovery.dropped_bytes);
        }
    }
    assert!(torn > 0, "no crash tore a batch: the test tests nothing");
}

#[test]
fn every_boundary_seed_1() {
    every_boundary(1);
}

#[test]
fn every_boundary_seed_2() {
    every_boundary(2);
}

#[test]
fn every_boundary_seed_3() {
    every_boundary(3);
}

#[test]
fn a_crash_during_recovery_loses_nothing_either() {
    let whole = SimDisk::new();
    run(&whole, 4);
    let mut stopped = 0;
    for call in (0..whole.calls()).step_by(11) {
        let disk = SimDisk::new();
        disk.crash_at(call);
        let (ledger, _) = run(&disk, 4);
        let found = disk.crash(call);
        for second in 0.. {
            let disk = found.crash(0);
            disk.crash_at(second);
            let opened = Rig::open(&disk).is_ok();
            let case = format!("call {call}, then call {second} of recovery");
            examine(&ledger, &disk.crash(second), &case);
            if opened && !disk.crashed() {
                break;
            }
            stopped += 1;
        }
    }
    assert!(stopped > 50, "recovery was stopped {stopped} times");
}
