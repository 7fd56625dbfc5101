//! The reader of segments takes any bytes: no panic, no hang, no memory beyond a small multiple of them.

use proptest::prelude::*;

use super::format::{BATCH_HEADER, SegmentHeader, scan, seal_batch};
use super::*;
use crate::disk::Disk;

/// A real segment with a few batches of everything.
fn segment() -> Vec<u8> {
    let disk = SimDisk::new();
    let mut rig = Rig::open(&disk).unwrap();
    let ids: Vec<_> = (0..2)
        .flat_map(|n| {
            let name = format!("message {n}");
            rig.one(
                rig.spool
                    .enqueue(message(&name, inline_text(&name, 60), &["a", "b"])),
            )
            .unwrap()
        })
        .collect();
    rig.one(rig.spool.update(
        ids[0],
        Change {
            held: Some(true),
            ..Change::default()
        },
    ))
    .unwrap();
    rig.one(rig.spool.remove(ids[1])).unwrap();
    let path = Path::new(DIR).join("segments/000000000001.log");
    disk.read_at(&path, 0, disk.len(&path).unwrap() as usize).unwrap()
}

fn read(bytes: &[u8]) -> usize {
    let mut records = 0;
    for torn in [true, false] {
        let result = scan(bytes, torn, &mut |record| {
            assert!(record.len <= bytes.len() && record.body.end <= bytes.len());
            if let Head::Message(head) = record.head {
                head.into_entries();
            }
            records += 1;
        });
        assert!(result.end <= bytes.len());
        assert!(result.faults.iter().all(|fault| fault.range.end <= bytes.len()));
    }
    records
}

/// A record whose checksum is right, whatever it says: what a bug or another version could have written.
fn record(head: &[u8], claimed_head_len: u32) -> Vec<u8> {
    let len = (head.len() as u32 + 4).to_le_bytes();
    let rest = [&claimed_head_len.to_le_bytes(), head].concat();
    let crc = crc32fast::hash(&[&len[..], &rest].concat());
    [&len[..], &crc.to_le_bytes(), &rest].concat()
}

fn sealed(records: &[u8]) -> Vec<u8> {
    let mut batch = vec![0; BATCH_HEADER];
    batch.extend_from_slice(records);
    seal_batch(&mut batch, 7, 0);
    [
        SegmentHeader {
            number: 1,
            next_id: 1,
            salt: 7,
        }
        .encode(),
        batch,
    ]
    .concat()
}

#[test]
fn a_real_segment_reads() {
    assert_eq!(read(&segment()), 8, "four records, read twice");
}

#[test]
fn every_prefix_reads() {
    let bytes = segment();
    for len in 0..bytes.len() {
        read(&bytes[..len]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read(&bytes);
        let header = SegmentHeader { number: 1, next_id: 1, salt: 7 }.encode();
        read(&[header, bytes].concat());
    }

    #[test]
    fn random_heads_under_a_right_checksum(head in prop::collection::vec(any::<u8>(), 0..200), len: u32, honest: bool) {
        let claimed = if honest { head.len() as u32 } else { len };
        read(&sealed(&record(&head, claimed)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_segments(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = segment();
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read(&bytes);
    }
}

#[test]
fn lengths_that_lie_cost_no_memory() {
    // A postcard head of a message whose vectors claim four thousand million elements.
    let mut head = vec![0, 1, 1, 0, 0, 0];
    head.extend([0xFF, 0xFF, 0xFF, 0xFF, 0x0F].repeat(8));
    let bytes = sealed(&record(&head, head.len() as u32));
    assert_eq!(read(&bytes), 0);
}
