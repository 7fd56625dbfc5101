//! How many commits a second the spool makes durable, next to a bare loop of append and fdatasync.
//!
//! `cargo run --release -p sluice-store --example spool_bench -- [DIR [SECONDS]]`
//!
//! For each number of committers: the bare loop writes as many bytes a sync as the spool does with all of them
//! in one batch; then the committers enqueue messages of 1 KiB, each waiting for its commit; then the bare loop
//! once more, so that a disk that changes its mind is seen. The ratio is to the mean of both.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::disk::RealDisk;
use store::envelope::{Envelope, Recipient};
use store::spool::log::{Options, SegmentSpool};
use store::spool::{Content, NewEntry, NewMessage, Spool};

const SIZE: usize = 1024;

fn message(content: Bytes) -> NewMessage {
    NewMessage {
        envelope: Envelope {
            from: "sender@example.org".into(),
            source_channel: "tcp_local".into(),
            message_id: "<1234567890.ABCDEF@example.org>".into(),
            ..Envelope::default()
        },
        content: Content::Inline(content),
        header_len: 0,
        entries: vec![NewEntry {
            channel: "tcp_local".into(),
            host: "example.com".into(),
            recipients: vec![Recipient {
                address: "user@example.com".into(),
                original: "rfc822;user@example.com".into(),
                ..Recipient::default()
            }],
            overlay: None,
            next_attempt: 0,
            held: false,
            log_tag: String::new(),
        }],
    }
}

/// Records a second of a loop that appends `batch` records in one write and syncs.
fn bare(dir: &Path, batch: usize, record: usize, time: Duration) -> Result<f64, Box<dyn Error>> {
    let path = dir.join("bare");
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    let bytes = vec![b'x'; batch * record];
    let (started, mut syncs) = (Instant::now(), 0);
    while started.elapsed() < time {
        file.write_all(&bytes)?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = (syncs * batch) as f64 / started.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}

struct Figures {
    rate: f64,
    batch: f64,
    record: usize,
    median: Duration,
    worst_percent: Duration,
}

async fn spool(dir: &Path, committers: usize, time: Duration) -> Result<Figures, Box<dyn Error>> {
    let dir = dir.join("spool");
    let (spool, _) = SegmentSpool::open(Arc::new(RealDisk), &dir, Options::default())?;
    let spool = Arc::new(spool);
    let content = Bytes::from(vec![b'x'; SIZE]);
    let started = Instant::now();
    let tasks: Vec<_> = (0..committers)
        .map(|_| {
            let (spool, content) = (spool.clone(), content.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < time {
                    let begun = Instant::now();
                    spool.enqueue(message(content.clone())).await?;
                    times.push(begun.elapsed());
                }
                Ok::<_, store::spool::SpoolError>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let elapsed = started.elapsed();
    times.sort_unstable();
    let at = |share: f64| {
        times
            .get((times.len() as f64 * share) as usize)
            .copied()
            .unwrap_or_default()
    };
    let counters = spool.counters();
    let (batches, records) = (counters.batches.load(Relaxed), counters.records.load(Relaxed));
    let figures = Figures {
        rate: times.len() as f64 / elapsed.as_secs_f64(),
        batch: records as f64 / batches.max(1) as f64,
        record: (counters.bytes.load(Relaxed) / records.max(1)) as usize,
        median: at(0.5),
        worst_percent: at(0.99),
    };
    drop(spool);
    fs::remove_dir_all(dir)?;
    Ok(figures)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let time = Duration::from_secs_f64(arguments.next().map_or(Ok(3.0), |text| text.parse())?);
    let dir = parent.join(format!("spool-bench-{}", std::process::id()));
    fs::create_dir(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()?;
    println!("committers | spool/s | batch | median | 99% | bare/s before, after | ratio");
    for committers in [1, 8, 64] {
        let before = bare(&dir, committers, SIZE + 256, time)?;
        let figures = runtime.block_on(spool(&dir, committers, time))?;
        let after = bare(&dir, committers, figures.record, time)?;
        println!(
            "{committers:10} | {:7.0} | {:5.1} | {:?} | {:?} | {before:.0}, {after:.0} | {:.2}",
            figures.rate,
            figures.batch,
            figures.median,
            figures.worst_percent,
            2.0 * figures.rate / (before + after),
        );
    }
    fs::remove_dir_all(dir)?;
    Ok(())
}
