//! When entries are tried, and how many at once.
//!
//! Each channel has host queues. A host queue is served by jobs: one for each [`PER_JOB`] entries that wait,
//! up to `maxjobs` of the channel over all hosts. A job takes one entry after another of its host queue, so
//! that an SMTP connection can be used again. What is not ready waits in a heap by time. Memory holds an id
//! an entry; the entry itself is the spool's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store::envelope::Time;
use store::spool::{Entry, EntryId};
use tokio::sync::Notify;

/// Entries that wait for a host before a further job is started for it (`threaddepth`).
pub const PER_JOB: usize = 10;

/// Jobs of a channel that says nothing.
pub const MAX_JOBS: u32 = 20;

/// Names a host queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostQueue {
    /// The channel.
    pub channel: String,
    /// The host within it.
    pub host: String,
}

impl From<&Entry> for HostQueue {
    fn from(entry: &Entry) -> Self {
        HostQueue {
            channel: entry.channel.clone(),
            host: entry.host.clone(),
        }
    }
}

/// The entries that are ready or wait.
#[derive(Debug, Default)]
pub struct Scheduler {
    state: Mutex<State>,
    /// Something changed that may let a job start.
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: BTreeMap<HostQueue, VecDeque<EntryId>>,
    delayed: BinaryHeap<Reverse<(Time, EntryId)>>,
    /// Where a delayed entry will be ready, and when.
    places: HashMap<EntryId, (HostQueue, Time)>,
    /// Jobs that run, by host queue.
    jobs: HashMap<HostQueue, usize>,
    /// Jobs that run, by channel.
    channel_jobs: HashMap<String, usize>,
    /// Entries that a job has in hand.
    active: HashSet<EntryId>,
    /// The host queue that a job was last started for: the next one after it has its turn.
    last_started: Option<HostQueue>,
    /// Channels that an operator stopped.
    stopped: HashSet<String>,
    closed: bool,
}

/// Counts of a host queue, for `qm messages`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready or in hand.
    pub active: usize,
    /// Waiting for their time.
    pub delayed: usize,
}

impl Scheduler {
    /// An empty scheduler.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an entry in; it is ready at `entry.next_attempt`. Held entries are left out.
    pub fn add(&self, entry: &Entry, now: Time) {
        if entry.held {
            return;
        }
        self.put(entry.id, HostQueue::from(entry), entry.next_attempt, now);
    }

    fn put(&self, id: EntryId, queue: HostQueue, at: Time, now: Time) {
        let mut state = self.state();
        if at > now {
            state.places.insert(id, (queue, at));
            state.delayed.push(Reverse((at, id)));
        } else {
            state.ready.entry(queue).or_default().push_back(id);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Makes an entry ready now, ahead of others: released by an operator.
    pub fn hurry(&self, entry: &Entry) {
        let mut state = self.state();
        state.places.remove(&entry.id);
        if !state.active.contains(&entry.id) {
            let ready = state.ready.entry(HostQueue::from(entry)).or_default();
            ready.retain(|id| *id != entry.id);
            ready.push_front(entry.id);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Forgets an entry that an operator removed or held. `false`: a job has it in hand.
    pub fn forget(&self, entry: &Entry) -> bool {
        let mut state = self.state();
        if state.active.contains(&entry.id) {
            return false;
        }
        state.places.remove(&entry.id);
        if let Some(ready) = state.ready.get_mut(&HostQueue::from(entry)) {
            ready.retain(|id| *id != entry.id);
        }
        true
    }

    /// Stops or starts the processing of a channel.
    pub fn set_stopped(&self, channel: &str, stopped: bool) {
        let mut state = self.state();
        if stopped {
            state.stopped.insert(channel.to_string());
        } else {
            state.stopped.remove(channel);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Gives out no more work; [`Scheduler::next_job`] then ends.
    pub fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }

    /// Jobs that run now.
    pub fn running(&self) -> usize {
        self.state().jobs.values().sum()
    }

    /// Waits until a job is to be started for a host queue and returns it; `None` after
    /// [`Scheduler::close`]. `max_jobs` gives the limit of a channel.
    pub async fn next_job(
        &self,
        max_jobs: impl Fn(&str) -> u32,
        now: impl Fn() -> Time,
    ) -> Option<HostQueue> {
        loop {
            let wait = {
                let mut state = self.state();
                if state.closed {
                    return None;
                }
                let now = now();
                state.ripen(now);
                if let Some(queue) = state.startable(&max_jobs) {
                    state.last_started = Some(queue.clone());
                    *state.jobs.entry(queue.clone()).or_default() += 1;
                    *state.channel_jobs.entry(queue.channel.clone()).or_default() += 1;
                    return Some(queue);
                }
                match state.delayed.peek() {
                    Some(Reverse((at, _))) => Duration::from_secs(at.saturating_sub(now).clamp(1, 60) as u64),
                    None => Duration::from_secs(60),
                }
            };
            let _ = tokio::time::timeout(wait, self.wake.notified()).await;
        }
    }

    /// The next entry for a job of a host queue; `None`: the job is to end.
    pub fn take(&self, queue: &HostQueue) -> Option<EntryId> {
        let mut state = self.state();
        if state.closed || state.stopped.contains(&queue.channel) {
            return None;
        }
        let id = state.ready.get_mut(queue)?.pop_front();
        match id {
            Some(id) => _ = state.active.insert(id),
            None => _ = state.ready.remove(queue),
        }
        id
    }

    /// A job of a host queue has ended.
    pub fn end_job(&self, queue: &HostQueue) {
        self.state().end_job(queue);
        self.wake.notify_one();
    }

    /// A job is done with an entry; it comes back at `again`, if that is given.
    pub fn done(&self, id: EntryId, again: Option<(HostQueue, Time)>, now: Time) {
        self.state().active.remove(&id);
        if let Some((queue, at)) = again {
            self.put(id, queue, at, now);
        }
    }

    /// Entries by host queue.
    pub fn counts(&self) -> BTreeMap<HostQueue, Counts> {
        let state = self.state();
        let mut counts: BTreeMap<HostQueue, Counts> = BTreeMap::new();
        for (queue, ready) in &state.ready {
            counts.entry(queue.clone()).or_default().active += ready.len();
        }
        for (queue, jobs) in &state.jobs {
            counts.entry(queue.clone()).or_default().active += jobs;
        }
        for (queue, _) in state.places.values() {
            counts.entry(queue.clone()).or_default().delayed += 1;
        }
        counts
    }
}

impl State {
    /// Moves entries whose time has come.
    fn ripen(&mut self, now: Time) {
        while let Some(&Reverse((at, id))) = self.delayed.peek() {
            if at > now {
                break;
            }
            self.delayed.pop();
            // an entry that was released or removed meanwhile has no place any more, or waits for another time
            if self.places.get(&id).is_some_and(|(_, time)| *time == at)
                && let Some((queue, _)) = self.places.remove(&id)
            {
                self.ready.entry(queue).or_default().push_back(id);
            }
        }
    }

    fn startable(&self, max_jobs: &impl Fn(&str) -> u32) -> Option<HostQueue> {
        let can = |(queue, ready): &(&HostQueue, &VecDeque<EntryId>)| {
            let jobs = self.jobs.get(*queue).copied().unwrap_or(0);
            let channel_jobs = self.channel_jobs.get(&queue.channel).copied().unwrap_or(0);
            !ready.is_empty()
                && !self.stopped.contains(&queue.channel)
                && jobs < ready.len().div_ceil(PER_JOB).max(1)
                && (jobs == 0 || ready.len() > jobs)
                && channel_jobs < max_jobs(&queue.channel) as usize
        };
        let after = match &self.last_started {
            Some(last) => self
                .ready
                .range((Bound::Excluded(last), Bound::Unbounded))
                .find(can),
            None => None,
        };
        after
            .or_else(|| self.ready.iter().find(can))
            .map(|(queue, _)| queue.clone())
    }

    fn end_job(&mut self, queue: &HostQueue) {
        if let Some(jobs) = self.jobs.get_mut(queue) {
            *jobs = jobs.saturating_sub(1);
            if *jobs == 0 {
                self.jobs.remove(queue);
            }
        }
        if let Some(jobs) = self.channel_jobs.get_mut(&queue.channel) {
            *jobs = jobs.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(hosts: &[(&str, u64)]) -> Arc<Scheduler> {
        let scheduler = Scheduler::new();
        let mut id = 0;
        for (host, count) in hosts {
            for _ in 0..*count {
                id += 1;
                let queue = HostQueue {
                    channel: "tcp_local".into(),
                    host: (*host).into(),
                };
                scheduler.put(EntryId(id), queue, 0, 0);
            }
        }
        scheduler
    }

    #[tokio::test]
    async fn every_host_has_its_turn_within_the_limit_of_jobs() {
        let scheduler = scheduler(&[("a.example", 100), ("b.example", 1), ("c.example", 1)]);
        let mut started = Vec::new();
        for _ in 0..3 {
            started.push(scheduler.next_job(|_| 3, || 0).await.unwrap().host);
        }
        assert_eq!(started, ["a.example", "b.example", "c.example"]);
        // the limit of the channel is reached: nothing starts until a job ends
        let waiting = scheduler.next_job(|_| 3, || 0);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), waiting)
                .await
                .is_err()
        );
        let queue = HostQueue {
            channel: "tcp_local".into(),
            host: "b.example".into(),
        };
        let id = scheduler.take(&queue).unwrap();
        scheduler.done(id, None, 0);
        assert_eq!(scheduler.take(&queue), None, "the job ends with its queue");
        scheduler.end_job(&queue);
        assert_eq!(scheduler.next_job(|_| 3, || 0).await.unwrap().host, "a.example");
    }

    #[tokio::test]
    async fn delayed_entries_wait_and_operators_can_hurry_them() {
        let scheduler = scheduler(&[]);
        let queue = HostQueue {
            channel: "ims-ms".into(),
            host: String::new(),
        };
        scheduler.done(EntryId(7), Some((queue.clone(), 100)), 0);
        assert_eq!(
            scheduler.counts()[&queue],
            Counts {
                active: 0,
                delayed: 1
            }
        );
        assert!(
            tokio::time::timeout(Duration::from_millis(20), scheduler.next_job(|_| 1, || 99))
                .await
                .is_err()
        );
        assert_eq!(scheduler.next_job(|_| 1, || 100).await.unwrap(), queue);
        assert_eq!(scheduler.take(&queue), Some(EntryId(7)));
        scheduler.close();
        assert!(scheduler.next_job(|_| 1, || 0).await.is_none());
    }

    #[tokio::test]
    async fn an_entry_that_was_hurried_waits_for_its_new_time() {
        let scheduler = scheduler(&[]);
        let queue = HostQueue {
            channel: "tcp_local".into(),
            host: "a.example".into(),
        };
        scheduler.put(EntryId(7), queue.clone(), 100, 0);
        scheduler.state().places.remove(&EntryId(7));
        scheduler.put(EntryId(7), queue.clone(), 0, 0);
        assert_eq!(scheduler.take(&queue), Some(EntryId(7)));
        scheduler.done(EntryId(7), Some((queue.clone(), 500)), 50);
        let mut state = scheduler.state();
        state.ripen(100);
        assert_eq!(state.ready.get(&queue).map(VecDeque::len), Some(0));
        state.ripen(500);
        assert_eq!(state.ready.get(&queue).map(VecDeque::len), Some(1));
    }
}
