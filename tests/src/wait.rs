//! Waiting for conditions.

use std::time::{Duration, Instant};

/// Longest wait for anything on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again and again until there is an answer; a test that waits longer than [`PATIENCE`] fails.
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, ask)
}

/// [`until`] with another end.
pub fn until_within<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < patience, "waited {patience:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(15));
    }
}
