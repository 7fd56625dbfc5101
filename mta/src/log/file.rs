//! The log files, written by one thread that mail never waits for.
//!
//! [`LogWriter::write`] copies a line into a bounded buffer and returns; a thread takes all that has
//! gathered and appends it with one write. Under load a batch is large, alone a line is written at once.
//!
//! Guarantees:
//! - `write` neither blocks on the disk nor fails: when the buffer is full the line is dropped, which the
//!   answer says and a counter counts;
//! - one line stays one line: an end of line inside it becomes a blank;
//! - lines of one file appear in the order in which they were accepted, and begin in column one even after a
//!   write that failed half way or a file that was cut;
//! - before each batch the inode of the name is compared, so a rotation, by whatever process, is noticed;
//! - what could not be written or was dropped is reported on stderr, at most once a minute and at the end.
//!
//! Limits: lines of a batch that fails are lost (counted as `failed`); nothing is synced to the disk: the log
//! is not part of what a 250 promises. An entry that is written at the very moment of a rotation may stand
//! at the end of the renamed file. While the disk hangs, lines are dropped without a report until it is back;
//! [`LogWriter::counts`] shows them. Dropping the writer waits until the buffer is written.
//!
//! Source: logging specification 1.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::rotate::{self, LogName};

/// Least time between two reports of failures.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// A buffer grown beyond this is given back after its batch.
const KEEP_OCTETS: usize = 1 << 20;

/// Where reports of failures go.
pub type Report = Box<dyn FnMut(&str) + Send>;

/// Bounds of a [`LogWriter`], and its files.
pub struct WriterSettings {
    /// Greatest number of lines that wait to be written; default 16,384.
    pub lines: usize,
    /// Greatest number of octets that wait to be written; default 16 MiB.
    pub octets: usize,
    /// Where failures are reported; default stderr.
    pub report: Report,
}

impl Default for WriterSettings {
    fn default() -> WriterSettings {
        WriterSettings {
            lines: 16_384,
            octets: 16 << 20,
            report: Box::new(|text| crate::complain!("{text}")),
        }
    }
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accepted {
    /// It will be written.
    Queued,
    /// The buffer was full, or the writer has ended: it will not be written, and has been counted.
    Dropped,
}

/// Lines since the writer began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Written to a file.
    pub written: u64,
    /// Lost because a file could not be opened or written.
    pub failed: u64,
    /// Not accepted because the buffer was full.
    pub dropped: u64,
    /// Batches written; `written / batches` tells how well lines gather.
    pub batches: u64,
}

/// Owns `mail.log_current` and `connection.log_current` of a directory. Share it in an [`Arc`].
pub struct LogWriter {
    queue: Arc<Queue>,
    dir: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl LogWriter {
    /// Starts the writer's thread. The directory need not exist yet; files are made when there is a line.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn start(dir: impl Into<PathBuf>, settings: WriterSettings) -> io::Result<LogWriter> {
        let WriterSettings {
            lines,
            octets,
            report,
        } = settings;
        let queue = Arc::new(Queue::new(lines, octets));
        let dir = dir.into();
        let mut worker = Worker::new(&dir, report);
        let thread = std::thread::Builder::new().name("log-writer".into()).spawn({
            let queue = queue.clone();
            move || worker.run(&queue)
        })?;
        Ok(LogWriter {
            queue,
            dir,
            thread: Some(thread),
        })
    }

    /// Takes a line for one of the files. Never waits.
    pub fn write(&self, name: LogName, line: impl AsRef<str>) -> Accepted {
        self.queue.push(name, line.as_ref())
    }

    /// Waits until every line accepted before is written, or counted as failed.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.queue.ask(|state| state.flushes.push(done)) {
            let _ = wait.await;
        }
    }

    /// Writes what waits, then rotates the files of the directory (see [`rotate::rotate`]).
    ///
    /// The copying, which may take long, is done on a thread of its own, while the writer goes on.
    ///
    /// # Errors
    ///
    /// As [`rotate::rotate`].
    pub async fn rotate(&self) -> io::Result<()> {
        self.flush().await;
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || rotate::rotate(&dir))
            .await
            .map_err(io::Error::other)?
    }

    /// Lines written, failed and dropped so far.
    pub fn counts(&self) -> Counts {
        self.queue.counts()
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.queue.ask(|state| state.closed = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whole lines for one file.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    count: usize,
}

impl Lines {
    fn push(&mut self, line: &str) {
        let line = line.strip_suffix('\n').unwrap_or(line).as_bytes();
        if memchr::memchr3(b'\n', b'\r', 0, line).is_none() {
            self.text.extend_from_slice(line);
        } else {
            self.text.extend(
                line.iter()
                    .map(|b| if matches!(b, b'\n' | b'\r' | 0) { b' ' } else { *b }),
            );
        }
        self.text.push(b'\n');
        self.count += 1;
    }

    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEEP_OCTETS);
        self.count = 0;
    }
}

#[derive(Default)]
struct Batch {
    mail: Lines,
    connection: Lines,
}

#[derive(Default)]
struct State {
    batch: Batch,
    flushes: Vec<oneshot::Sender<()>>,
    /// No more work is taken; the thread ends when it has done what there is.
    closed: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.batch.mail.count == 0
            && self.batch.connection.count == 0
            && self.flushes.is_empty()
            && !self.closed
    }
}

/// The bounded buffer between mail and the thread.
struct Queue {
    lines: usize,
    octets: usize,
    state: Mutex<State>,
    wake: Condvar,
    written: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    batches: AtomicU64,
}

impl Queue {
    fn new(lines: usize, octets: usize) -> Queue {
        Queue {
            lines,
            octets,
            state: Mutex::default(),
            wake: Condvar::new(),
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        }
    }

    /// The state is whole between any two statements under the lock, so a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, name: LogName, line: &str) -> Accepted {
        let mut state = self.lock();
        let Batch { mail, connection } = &mut state.batch;
        let full = mail.count + connection.count >= self.lines
            || mail.text.len() + connection.text.len() + line.len() + 1 > self.octets;
        if full || state.closed {
            drop(state);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Accepted::Dropped;
        }
        let first = state.is_idle();
        match name {
            LogName::Mail => state.batch.mail.push(line),
            LogName::Connection => state.batch.connection.push(line),
        }
        drop(state);
        if first {
            self.wake.notify_one();
        }
        Accepted::Queued
    }

    /// Adds a request for the thread; false if there is no thread any more.
    fn ask(&self, request: impl FnOnce(&mut State)) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        request(&mut state);
        drop(state);
        self.wake.notify_one();
        true
    }

    fn counts(&self) -> Counts {
        Counts {
            written: self.written.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
        }
    }
}

/// Closes the queue when the thread ends, also by a panic: nobody waits for an answer that cannot come.
struct Ending<'q>(&'q Queue);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.flushes.clear();
    }
}

/// The thread's side.
struct Worker {
    mail: LogFile,
    connection: LogFile,
    reporter: Reporter,
    report: Report,
}

impl Worker {
    fn new(dir: &Path, report: Report) -> Worker {
        Worker {
            mail: LogFile::new(LogName::Mail.current(dir)),
            connection: LogFile::new(LogName::Connection.current(dir)),
            reporter: Reporter::default(),
            report,
        }
    }

    fn run(&mut self, queue: &Queue) {
        let _ending = Ending(queue);
        let mut batch = Batch::default();
        loop {
            let mut state = queue.lock();
            while state.is_idle() {
                if !self.reporter.owes(queue.counts()) {
                    state = queue.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                let waited = queue.wake.wait_timeout(state, REPORT_EVERY);
                let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                state = again;
                if timeout.timed_out() {
                    break;
                }
            }
            std::mem::swap(&mut state.batch, &mut batch);
            let flushes = std::mem::take(&mut state.flushes);
            let closed = state.closed;
            drop(state);

            for (file, lines) in [
                (&mut self.mail, &mut batch.mail),
                (&mut self.connection, &mut batch.connection),
            ] {
                if lines.count == 0 {
                    continue;
                }
                let (failed, error) = file.append(&lines.text);
                if let Some(error) = error {
                    self.reporter.error = error.to_string();
                }
                let written = (lines.count as u64).saturating_sub(failed);
                queue.written.fetch_add(written, Ordering::Relaxed);
                queue.failed.fetch_add(failed, Ordering::Relaxed);
                queue.batches.fetch_add(1, Ordering::Relaxed);
                lines.clear();
            }
            for done in flushes {
                let _ = done.send(());
            }
            if closed {
                self.reporter.last = None;
            }
            if let Some(text) = self.reporter.due(Instant::now(), queue.counts()) {
                (self.report)(&text);
            }
            if closed {
                return;
            }
        }
    }
}

/// One file that is being appended to, by its name.
struct LogFile {
    path: PathBuf,
    /// The open file, with the device and inode it had.
    open: Option<(File, u64, u64)>,
}

impl LogFile {
    fn new(path: PathBuf) -> LogFile {
        LogFile { path, open: None }
    }

    /// Appends whole lines; tells how many of them are lost, and why.
    fn append(&mut self, lines: &[u8]) -> (u64, Option<io::Error>) {
        let mut rest = lines;
        match self.append_all(&mut rest) {
            Ok(()) => (0, None),
            Err(error) => {
                // Opened anew, a half-written line is seen and ended before the next batch.
                self.open = None;
                (memchr::memchr_iter(b'\n', rest).count() as u64, Some(error))
            }
        }
    }

    fn append_all(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        let mut file = current(&self.path, &mut self.open)?;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let text = format!("{}: {error}", self.path.display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
        }
        Ok(())
    }
}

/// The file that has this name now: the open one, if it still has it.
fn current<'f>(path: &Path, open: &'f mut Option<(File, u64, u64)>) -> io::Result<&'f File> {
    let named = fs::metadata(path).ok();
    let same =
        matches!((&*open, &named), (Some((_, dev, ino)), Some(m)) if m.dev() == *dev && m.ino() == *ino);
    if !same {
        let file = rotate::open(path)?;
        rotate::end_line(&file)?;
        let metadata = file.metadata()?;
        *open = Some((file, metadata.dev(), metadata.ino()));
    }
    match open {
        Some((file, _, _)) => Ok(file),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Says once a minute what was lost.
#[derive(Default)]
struct Reporter {
    last: Option<Instant>,
    reported: Counts,
    error: String,
}

impl Reporter {
    fn owes(&self, counts: Counts) -> bool {
        counts.failed > self.reported.failed || counts.dropped > self.reported.dropped
    }

    fn due(&mut self, now: Instant, counts: Counts) -> Option<String> {
        let early = self
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < REPORT_EVERY);
        if early || !self.owes(counts) {
            return None;
        }
        let failed = counts.failed - self.reported.failed;
        let dropped = counts.dropped - self.reported.dropped;
        self.last = Some(now);
        self.reported = counts;
        let mut text = "transaction log:".to_string();
        if failed > 0 {
            text.push_str(&format!(
                " {failed} entries could not be written ({})",
                self.error
            ));
        }
        if dropped > 0 {
            text.push_str(if failed > 0 { ";" } else { "" });
            text.push_str(&format!(
                " {dropped} entries were dropped because the buffer was full"
            ));
        }
        text.push_str("; mail goes on, look at the disk of the log directory");
        Some(text)
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
pub(super) mod tests;
