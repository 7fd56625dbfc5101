//! The frame around every driver: a time limit, identical reads asked once, counters.
//!
//! Guarantees: a question is answered within the frame's time limit, whatever its driver does. An effect is
//! handed to its driver exactly once, never shared. A read joins an identical one that is
//! under way only where no effect of the same frame ended in between, so that whoever stores and then
//! fetches sees what was stored. The shared read runs in a task of its own: a caller who gives up does not
//! take the answer from the others.
//!
//! Nothing is cached: what another host counts must show at once.
//!
//! Limits: at most [`MAX_READS`] different reads are under way, further ones fail for the time being.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::Answer;
use tokio::sync::watch;

/// Different reads of one frame that may be under way at once.
pub const MAX_READS: usize = 16_384;

/// Why a driver has no answer. To policy all of these are a failed callout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer in time.
    #[error("no answer in time; is the server overloaded or hung?")]
    Timeout,
    /// It failed a moment ago and is not asked again yet.
    #[error("{0} failed a moment ago and is left alone for now")]
    Resting(String),
    /// It cannot be reached, or answered with an error.
    #[error("{0}")]
    Unavailable(String),
    /// The question cannot be asked here.
    #[error("{0}")]
    NotConfigured(String),
}

/// Counts of one frame since the start.
#[derive(Debug, Default, serde::Serialize)]
pub struct Counters {
    /// Questions.
    pub asked: AtomicU64,
    /// Questions with an answer, yes or no.
    pub answered: AtomicU64,
    /// Questions that failed.
    pub failed: AtomicU64,
    /// Of those, the ones without an answer in time.
    pub timed_out: AtomicU64,
    /// Of those, the ones that were not asked because the server failed a moment ago.
    pub breaker_open: AtomicU64,
    /// Answers that came from an identical question under way.
    pub shared: AtomicU64,
}

type Pending = watch::Receiver<Option<Answer>>;

/// A frame; see the module's page.
#[derive(Debug)]
pub struct Frame {
    /// Longest wait for one answer.
    timeout: Duration,
    pending: Mutex<HashMap<(u64, String), Pending>>,
    /// Counts effects, so that reads before and after one are told apart.
    effects: AtomicU64,
    /// Its counts.
    pub counters: Counters,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Frame {
    /// A frame that waits so long for an answer at most.
    pub fn new(timeout: Duration) -> Arc<Self> {
        Arc::new(Frame {
            timeout,
            pending: Mutex::default(),
            effects: AtomicU64::new(0),
            counters: Counters::default(),
        })
    }

    /// Answers a question that changes nothing. `key` names it: equal keys must mean equal questions.
    pub async fn read<F>(self: &Arc<Self>, key: &str, ask: F) -> Answer
    where
        F: Future<Output = Result<Answer, Failure>> + Send + 'static,
    {
        add(&self.counters.asked);
        let id = (self.effects.load(Ordering::Acquire), key.to_string());
        let (mut receiver, ours) = {
            let mut pending = lock(&self.pending);
            match pending.get(&id) {
                Some(receiver) => (receiver.clone(), None),
                None if pending.len() >= MAX_READS => {
                    add(&self.counters.failed);
                    return Answer::Temporary("too many different questions at once".into());
                }
                None => {
                    let (sender, receiver) = watch::channel(None);
                    pending.insert(id.clone(), receiver.clone());
                    (receiver, Some(sender))
                }
            }
        };
        match ours {
            None => add(&self.counters.shared),
            Some(sender) => {
                let frame = Arc::clone(self);
                tokio::spawn(async move {
                    // whatever becomes of the driver, the question does not stay under way
                    let _gone = Gone {
                        frame: &frame,
                        id: &id,
                    };
                    let answer = frame.limited(ask).await;
                    sender.send_replace(Some(frame.counted(answer)));
                });
            }
        }
        let answer = receiver.wait_for(Option::is_some).await;
        match answer {
            Ok(answer) => answer.clone().unwrap_or(Answer::NotFound),
            Err(_) => Answer::Temporary("the driver gave up".into()),
        }
    }

    /// Performs a question that changes something, once.
    pub async fn effect<F>(&self, ask: F) -> Answer
    where
        F: Future<Output = Result<Answer, Failure>>,
    {
        add(&self.counters.asked);
        let answer = self.limited(ask).await;
        self.effects.fetch_add(1, Ordering::AcqRel);
        self.counted(answer)
    }

    async fn limited(&self, ask: impl Future<Output = Result<Answer, Failure>>) -> Result<Answer, Failure> {
        tokio::time::timeout(self.timeout, ask)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    fn counted(&self, answer: Result<Answer, Failure>) -> Answer {
        let failure = match answer {
            Ok(answer) => {
                add(&self.counters.answered);
                return answer;
            }
            Err(failure) => failure,
        };
        add(&self.counters.failed);
        match &failure {
            Failure::Timeout => add(&self.counters.timed_out),
            Failure::Resting(_) => add(&self.counters.breaker_open),
            _ => {}
        }
        match failure {
            Failure::NotConfigured(why) => Answer::NotConfigured(why),
            other => Answer::Temporary(other.to_string()),
        }
    }
}

struct Gone<'a> {
    frame: &'a Frame,
    id: &'a (u64, String),
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        lock(&self.frame.pending).remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn found(text: &str) -> Result<Answer, Failure> {
        Ok(Answer::Found(text.into()))
    }

    #[tokio::test]
    async fn nothing_is_kept() {
        let frame = Frame::new(PATIENCE);
        for n in ["1", "2"] {
            let answer = frame.read("a", async { found(n) }).await;
            assert_eq!(answer, Answer::Found(n.into()));
            let answer = frame.effect(async { found(n) }).await;
            assert_eq!(answer, Answer::Found(n.into()));
        }
    }

    #[tokio::test]
    async fn identical_reads_under_way_are_asked_once_unless_an_effect_came_between() {
        let frame = Frame::new(PATIENCE);
        let (go, wait) = watch::channel(false);
        let asked = Arc::new(AtomicU64::new(0));
        let ask = || {
            let (mut wait, asked) = (wait.clone(), Arc::clone(&asked));
            async move {
                asked.fetch_add(1, Ordering::Relaxed);
                let _ = wait.wait_for(|go| *go).await;
                found("x")
            }
        };
        let mut reads = Vec::new();
        for _ in 0..50 {
            reads.push(Box::pin(frame.read("k", ask())));
        }
        for read in &mut reads {
            assert!(
                std::future::poll_fn(|cx| std::task::Poll::Ready(read.as_mut().poll(cx)))
                    .await
                    .is_pending()
            );
        }
        frame.effect(async { Ok(Answer::Found(String::new())) }).await;
        let mut late = Box::pin(frame.read("k", ask()));
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(late.as_mut().poll(cx)))
                .await
                .is_pending()
        );
        go.send_replace(true);
        for read in reads {
            assert_eq!(read.await, Answer::Found("x".into()));
        }
        assert_eq!(late.await, Answer::Found("x".into()));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert_eq!(frame.counters.shared.load(Ordering::Relaxed), 49);
        assert!(lock(&frame.pending).is_empty());
    }

    #[tokio::test]
    async fn a_hung_driver_fails_within_the_limit() {
        let frame = Frame::new(Duration::from_millis(20));
        let hung = || std::future::pending::<Result<Answer, Failure>>();
        assert!(matches!(frame.read("a", hung()).await, Answer::Temporary(_)));
        assert!(matches!(
            frame.effect(std::future::pending()).await,
            Answer::Temporary(_)
        ));
        assert_eq!(frame.counters.timed_out.load(Ordering::Relaxed), 2);
        assert_eq!(
            frame.read("a", async { found("1") }).await,
            Answer::Found("1".into()),
            "a failure is not kept"
        );
    }
}
