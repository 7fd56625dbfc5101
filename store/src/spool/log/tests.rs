//! The engine against the simulated disk. The writer is turned by hand, so that a batch is what the test says.

mod basic;
mod crash;
mod damage;
mod faults;
mod fuzz;
mod ledger;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::disk::sim::SimDisk;
use crate::envelope::{Envelope, Recipient};
use crate::spool::NewEntry;

const DIR: &str = "/queue";

/// Small sizes, so that segments roll and compaction happens within a hundred transactions.
fn small() -> Options {
    Options {
        segment_size: 1024,
        reserve: 2048,
        cache: 4096,
        queue: 64,
    }
}

struct Rig {
    spool: SegmentSpool,
    writer: Writer,
    recovery: Recovery,
}

impl Rig {
    fn open(disk: &SimDisk) -> Result<Self, SpoolError> {
        let (spool, writer, recovery) =
            SegmentSpool::open_idle(Arc::new(disk.clone()), Path::new(DIR), small())?;
        Ok(Self {
            spool,
            writer,
            recovery,
        })
    }

    /// Sends all of them, has the writer make one batch of them, and gives the answers.
    fn batch<T>(&mut self, mut commits: Vec<Commit<T>>) -> Vec<Result<T, SpoolError>> {
        for commit in &mut commits {
            assert!(
                poll(commit).is_none() || self.writer.shared.closing.load(Relaxed),
                "answered before any batch"
            );
        }
        self.writer.turn(false);
        commits
            .iter_mut()
            .map(|commit| poll(commit).expect("every request is answered"))
            .collect()
    }

    fn one<T>(&mut self, commit: Commit<T>) -> Result<T, SpoolError> {
        let mut commit = commit;
        match poll(&mut commit) {
            Some(answer) => answer,
            None => {
                self.writer.turn(false);
                poll(&mut commit).expect("answered")
            }
        }
    }

    fn stored(&self, content: &[u8]) -> Result<Content, SpoolError> {
        let mut writer = self.spool.body_writer()?;
        for piece in content.chunks(700) {
            writer.write(piece)?;
        }
        Ok(Content::Stored(wait(writer.finish())?))
    }
}

fn poll<T>(commit: &mut Commit<T>) -> Option<Result<T, SpoolError>> {
    match commit.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// Runs a future that other threads complete.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(pin!(future))
}

const HEADER: &str = "Subject: test\r\n\r\n";

/// A message named `name`, with one entry for each channel.
fn message(name: &str, content: Content, channels: &[&str]) -> NewMessage {
    NewMessage {
        envelope: Envelope {
            from: "sender@example.org".into(),
            envelope_id: Some(name.into()),
            ..Envelope::default()
        },
        content,
        header_len: HEADER.len() as u32,
        entries: channels.iter().map(|channel| entry(channel)).collect(),
    }
}

fn entry(channel: &str) -> NewEntry {
    NewEntry {
        channel: channel.into(),
        host: String::new(),
        recipients: vec![Recipient {
            address: "user@example.com".into(),
            ..Recipient::default()
        }],
        overlay: None,
        next_attempt: 0,
        held: false,
        log_tag: String::new(),
    }
}

/// Text of about `len` bytes that no other name has.
fn text(name: &str, len: usize) -> Vec<u8> {
    let line = format!("{name}\r\n");
    HEADER.bytes().chain(line.bytes().cycle().take(len)).collect()
}

fn inline_text(name: &str, len: usize) -> Content {
    Content::Inline(Bytes::from(text(name, len)))
}
