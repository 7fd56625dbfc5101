use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;

/// A directory of a test, removed at its end.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new(name: &str) -> Dir {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sluice-log-{}-{number}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read(dir: &Dir, name: &str) -> String {
    fs::read_to_string(dir.path().join(name)).unwrap_or_else(|error| format!("{name}: {error}"))
}

fn start(dir: &Dir) -> LogWriter {
    LogWriter::start(dir.path(), WriterSettings::default()).unwrap()
}

#[tokio::test]
async fn lines_arrive_in_order_in_few_batches() {
    let dir = Dir::new("order");
    let writer = start(&dir);
    let mut want = String::new();
    for number in 0..5000 {
        assert_eq!(
            writer.write(LogName::Mail, format!("entry {number}")),
            Accepted::Queued
        );
        want.push_str(&format!("entry {number}\n"));
    }
    writer.flush().await;
    assert_eq!(read(&dir, "mail.log_current"), want);
    let counts = writer.counts();
    assert_eq!((counts.written, counts.failed, counts.dropped), (5000, 0, 0));
    assert!(counts.batches <= 5000);
    let mode = fs::metadata(dir.path().join("mail.log_current"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[tokio::test]
async fn each_family_has_its_file() {
    let dir = Dir::new("separate");
    let writer = start(&dir);
    writer.write(LogName::Mail, "one");
    writer.write(LogName::Connection, "two");
    writer.flush().await;
    assert_eq!(read(&dir, "mail.log_current"), "one\n");
    assert_eq!(read(&dir, "connection.log_current"), "two\n");
}

#[tokio::test]
async fn a_line_stays_a_line() {
    let dir = Dir::new("injection");
    let writer = start(&dir);
    writer.write(LogName::Mail, "a\nforged\r\nb\0c\n");
    writer.flush().await;
    assert_eq!(read(&dir, "mail.log_current"), "a forged  b c\n");
}

#[tokio::test]
async fn rotation_by_another_is_noticed() {
    let dir = Dir::new("rotation");
    let writer = start(&dir);
    writer.write(LogName::Mail, "one");
    writer.flush().await;
    rotate::rotate(dir.path()).unwrap();
    writer.write(LogName::Mail, "two");
    writer.flush().await;
    assert_eq!(read(&dir, "mail.log_yesterday"), "one\n");
    assert_eq!(read(&dir, "mail.log_current"), "two\n");
    writer.write(LogName::Mail, "three");
    writer.rotate().await.unwrap();
    writer.write(LogName::Mail, "four");
    writer.flush().await;
    assert_eq!(read(&dir, "mail.log"), "one\n");
    assert_eq!(read(&dir, "mail.log_yesterday"), "two\nthree\n");
    assert_eq!(read(&dir, "mail.log_current"), "four\n");
    fs::remove_file(dir.path().join("mail.log_current")).unwrap();
    writer.write(LogName::Mail, "five");
    writer.flush().await;
    assert_eq!(read(&dir, "mail.log_current"), "five\n");
}

#[tokio::test]
async fn a_cut_line_is_ended_first() {
    let dir = Dir::new("cut");
    fs::write(dir.path().join("mail.log_current"), "half a li").unwrap();
    let writer = start(&dir);
    writer.write(LogName::Mail, "whole");
    writer.flush().await;
    assert_eq!(read(&dir, "mail.log_current"), "half a li\nwhole\n");
}

#[tokio::test]
async fn a_full_disk_is_counted_reported_once_and_got_over() {
    let dir = Dir::new("full");
    let current = dir.path().join("mail.log_current");
    std::os::unix::fs::symlink("/dev/full", &current).unwrap();
    let (sender, reports) = mpsc::channel();
    let report: Report = Box::new(move |text| drop(sender.send(text.to_string())));
    let writer = LogWriter::start(
        dir.path(),
        WriterSettings {
            report,
            ..Default::default()
        },
    )
    .unwrap();
    for _ in 0..3 {
        assert_eq!(writer.write(LogName::Mail, "lost"), Accepted::Queued);
        writer.flush().await;
    }
    fs::remove_file(&current).unwrap();
    writer.write(LogName::Mail, "kept");
    writer.flush().await;
    let counts = writer.counts();
    assert_eq!((counts.written, counts.failed), (1, 3));
    assert_eq!(read(&dir, "mail.log_current"), "kept\n");
    drop(writer);
    let reports: Vec<String> = reports.iter().collect();
    assert_eq!(reports.len(), 2, "one at once, one at the end: {reports:?}");
    assert!(reports[0].contains("1 entries could not be written") && reports[0].contains("mail.log_current"));
    assert!(reports[1].contains("2 entries could not be written"));
}

#[tokio::test]
async fn a_missing_directory_does_not_matter_once_it_is_there() {
    let dir = Dir::new("missing");
    let inner = dir.path().join("log");
    let report: Report = Box::new(|_| {});
    let writer = LogWriter::start(
        &inner,
        WriterSettings {
            report,
            ..Default::default()
        },
    )
    .unwrap();
    writer.write(LogName::Mail, "lost");
    writer.flush().await;
    fs::create_dir(&inner).unwrap();
    writer.write(LogName::Mail, "kept");
    writer.flush().await;
    assert_eq!((writer.counts().failed, writer.counts().written), (1, 1));
    assert_eq!(read(&dir, "log/mail.log_current"), "kept\n");
}

#[test]
fn a_full_buffer_drops_and_counts() {
    for (name, lines, octets, fit) in [
        ("lines", 3, 1000, 3),
        ("octets", 1000, 12, 2),
        ("nothing", 0, 0, 0),
    ] {
        let queue = Queue::new(lines, octets);
        let accepted = (0..5)
            .filter(|_| queue.push(LogName::Mail, "12345") == Accepted::Queued)
            .count();
        assert_eq!(accepted, fit, "{name}");
        assert_eq!(queue.counts().dropped, 5 - fit as u64, "{name}");
        assert_eq!(queue.lock().batch.mail.text.len(), fit * 6, "{name}");
    }
}

#[test]
fn nobody_waits_for_a_writer_that_has_ended() {
    let queue = Queue::new(10, 1000);
    drop(Ending(&queue));
    assert!(!queue.ask(|state| state.closed = true));
    assert_eq!(queue.push(LogName::Mail, "late"), Accepted::Dropped);
}

#[test]
fn dropping_the_writer_writes_what_waits() {
    let dir = Dir::new("drop");
    let writer = start(&dir);
    for _ in 0..100 {
        writer.write(LogName::Mail, "x");
    }
    drop(writer);
    assert_eq!(read(&dir, "mail.log_current"), "x\n".repeat(100));
}

#[test]
fn reports_are_a_minute_apart() {
    let mut reporter = Reporter {
        error: "disk full".into(),
        ..Reporter::default()
    };
    let begin = Instant::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let counts = |failed, dropped| Counts {
        failed,
        dropped,
        ..Counts::default()
    };
    assert_eq!(reporter.due(at(0), counts(0, 0)), None);
    let first = reporter.due(at(0), counts(2, 0)).unwrap();
    assert!(
        first.contains("2 entries could not be written (disk full);"),
        "{first}"
    );
    assert_eq!(reporter.due(at(59), counts(3, 4)), None);
    assert!(reporter.owes(counts(3, 4)));
    let second = reporter.due(at(60), counts(3, 4)).unwrap();
    assert!(
        second.contains("1 entries") && second.contains("4 entries were dropped"),
        "{second}"
    );
    assert_eq!(reporter.due(at(200), counts(3, 4)), None);
}

/// Several threads write at once; each line is whole and each thread's lines are in order.
#[test]
fn many_writers() {
    let dir = Dir::new("many");
    let writer = start(&dir);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for number in 0..500 {
                    writer.write(LogName::Mail, format!("{thread} {number}"));
                }
            });
        }
    });
    let dropped = writer.counts().dropped;
    drop(writer);
    assert_eq!(dropped, 0);
    let mut next = [0; 4];
    for line in read(&dir, "mail.log_current").lines() {
        let (thread, number) = line.split_once(' ').unwrap();
        let place = &mut next[thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse::<i32>().unwrap(), *place);
        *place += 1;
    }
    assert_eq!(next, [500; 4]);
}
