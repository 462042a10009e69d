//! The work queue: keys wait here until a worker takes them.
//!
//! The semantics are those of client-go's `util/workqueue`: a key that was added twice is processed once; a key that is
//! added while it is being processed waits until that is done; failures back off exponentially.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

mod metrics;

use metrics::Meter;
pub use metrics::QueueMetrics;

/// The delay after the first failure.
const BASE_DELAY: Duration = Duration::from_millis(5);
/// The longest delay, unless a queue has another: client-go's.
pub const RETRY_MAX: Duration = Duration::from_secs(1000);

/// Items of a [`WorkQueue`]: cheap to clone, as keys are.
pub trait Work: Clone + Eq + Hash + Ord + Send + fmt::Debug + 'static {}

impl<T: Clone + Eq + Hash + Ord + Send + fmt::Debug + 'static> Work for T {}

/// A queue of keys, shared by its clones.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let queue = client::WorkQueue::new();
/// queue.add("default/web");
/// queue.add("default/web");
/// let job = queue.next().await.expect("the queue is open");
/// assert_eq!((*job, queue.len()), ("default/web", 0));
/// queue.forget(&job); // it went well: the next failure starts with a short delay again
/// # });
/// ```
pub struct WorkQueue<T: Work> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    meter: Option<Meter>,
    /// The longest delay after a failure.
    retry_max: Duration,
}

struct State<T> {
    /// Waiting to be taken, in order, with the time at which each was added.
    ready: VecDeque<(T, Instant)>,
    /// Waiting, or will be when its worker is done.
    dirty: HashSet<T>,
    /// Being processed by a worker.
    processing: HashSet<T>,
    /// Becomes ready later; an entry counts only if `due` still names its time.
    delayed: BinaryHeap<Reverse<(Instant, T)>>,
    due: HashMap<T, Instant>,
    failures: HashMap<T, u32>,
    closed: bool,
}

impl<T: Work> WorkQueue<T> {
    /// An empty queue.
    pub fn new() -> WorkQueue<T> {
        WorkQueue::start(None, RETRY_MAX)
    }

    /// An empty queue that is counted under `name`, and whose keys wait no longer than `retry_max` after a failure.
    pub fn measured(name: &'static str, metrics: &QueueMetrics, retry_max: Duration) -> WorkQueue<T> {
        WorkQueue::start(Some(metrics.of(name)), retry_max)
    }

    fn start(meter: Option<Meter>, retry_max: Duration) -> WorkQueue<T> {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            processing: HashSet::new(),
            delayed: BinaryHeap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            closed: false,
        };
        let (state, changed) = (Mutex::new(state), Notify::new());
        WorkQueue { shared: Arc::new(Shared { state, changed, meter, retry_max }) }
    }

    /// Adds a key, unless it is already waiting.
    pub fn add(&self, key: T) {
        if self.shared.add(&mut self.shared.state.lock(), key) {
            self.shared.changed.notify_one();
        }
    }

    /// Adds a key after `delay`. If it is already scheduled, the earlier time applies.
    pub fn add_after(&self, key: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let at = Instant::now() + delay;
        let mut state = self.shared.state.lock();
        if state.closed || state.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        state.due.insert(key.clone(), at);
        state.delayed.push(Reverse((at, key)));
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Adds a key that failed, after a delay that doubles with each failure since the last
    /// [`WorkQueue::forget`]: 5 ms up to the queue's longest delay, mostly [`RETRY_MAX`].
    pub fn add_rate_limited(&self, key: T) {
        let failures = {
            let mut state = self.shared.state.lock();
            let count = state.failures.entry(key.clone()).or_insert(0);
            *count += 1;
            *count
        };
        self.shared.measure(Meter::retried);
        let factor = 2_u32.checked_pow(failures - 1).unwrap_or(u32::MAX);
        self.add_after(key, BASE_DELAY.saturating_mul(factor).min(self.shared.retry_max));
    }

    /// Forgets a key's failures.
    pub fn forget(&self, key: &T) {
        self.shared.state.lock().failures.remove(key);
    }

    /// How often a key failed since it was last forgotten.
    pub fn failures(&self, key: &T) -> u32 {
        self.shared.state.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// Takes the next key, as soon as there is one. After [`WorkQueue::close`] the waiting keys are still returned,
    /// then `None`. Dropping the future loses nothing.
    pub async fn next(&self) -> Option<Job<T>> {
        loop {
            let changed = self.shared.changed.notified();
            let wake_at = {
                let mut state = self.shared.state.lock();
                let now = Instant::now();
                let wake_at = self.shared.release_due(&mut state, now);
                if let Some((key, since)) = state.take() {
                    if !state.ready.is_empty() {
                        self.shared.changed.notify_one();
                    }
                    self.shared.measure(|meter| meter.taken(state.ready.len(), now - since));
                    return Some(Job { key, queue: self.clone(), since: now });
                }
                if state.closed {
                    // The other workers need to see it too.
                    self.shared.changed.notify_one();
                    return None;
                }
                wake_at
            };
            match wake_at {
                Some(at) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    /// How many keys wait to be taken; those that are to be added later do not count.
    pub fn len(&self) -> usize {
        self.shared.state.lock().ready.len()
    }

    /// Whether no key waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes no further keys, and drops those that are to be added later.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        state.delayed.clear();
        state.due.clear();
        drop(state);
        self.shared.changed.notify_one();
    }

    fn done(&self, key: &T, since: Instant) {
        let now = Instant::now();
        self.shared.measure(|meter| meter.done(now - since));
        let mut state = self.shared.state.lock();
        let was_taken = state.processing.remove(key);
        assert!(was_taken, "only what was taken is done");
        if state.dirty.contains(key) {
            self.shared.make_ready(&mut state, key.clone(), now);
            drop(state);
            self.shared.changed.notify_one();
        }
    }
}

impl<T: Work> Shared<T> {
    /// Adds a key; returns whether it is ready now.
    fn add(&self, state: &mut State<T>, key: T) -> bool {
        if state.closed || !state.dirty.insert(key.clone()) {
            return false;
        }
        self.measure(Meter::added);
        let free = !state.processing.contains(&key);
        if free {
            self.make_ready(state, key, Instant::now());
        }
        free
    }

    fn make_ready(&self, state: &mut State<T>, key: T, now: Instant) {
        state.ready.push_back((key, now));
        self.measure(|meter| meter.waits(state.ready.len()));
    }

    /// Adds the keys that are due, and returns when the next delayed key is due.
    fn release_due(&self, state: &mut State<T>, now: Instant) -> Option<Instant> {
        loop {
            let Reverse((at, key)) = state.delayed.peek()?;
            let stale = state.due.get(key) != Some(at);
            if *at > now && !stale {
                return Some(*at);
            }
            let Reverse((_, key)) = state.delayed.pop()?;
            if !stale {
                state.due.remove(&key);
                self.add(state, key);
            }
        }
    }

    fn measure(&self, what: impl FnOnce(&Meter)) {
        self.meter.as_ref().map(what);
    }
}

impl<T: Work> State<T> {
    fn take(&mut self) -> Option<(T, Instant)> {
        let (key, since) = self.ready.pop_front()?;
        let (was_dirty, is_free) = (self.dirty.remove(&key), self.processing.insert(key.clone()));
        assert!(was_dirty && is_free, "a key is with one worker at a time, and waits once");
        debug_assert!(self.ready.len() <= self.dirty.len(), "what is ready waits");
        Some((key, since))
    }
}

impl<T: Work> Clone for WorkQueue<T> {
    fn clone(&self) -> WorkQueue<T> {
        WorkQueue { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Work> Default for WorkQueue<T> {
    fn default() -> WorkQueue<T> {
        WorkQueue::new()
    }
}

/// A key that is being worked on, until this is dropped.
pub struct Job<T: Work> {
    key: T,
    queue: WorkQueue<T>,
    since: Instant,
}

impl<T: Work> Deref for Job<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.key
    }
}

impl<T: Work> Drop for Job<T> {
    fn drop(&mut self) {
        self.queue.done(&self.key, self.since);
    }
}

#[cfg(test)]
mod tests;
