//! The pods that are waiting for a node.
//!
//! | a pod is | until |
//! | --- | --- |
//! | active | its turn comes: by priority, then by age |
//! | in backoff | its time is over, or nothing else is active |
//! | unschedulable | an event that may help, or five minutes |
//! | gated | its gates are gone |
//!
//! The [`Backoff`] doubles with each failure. As upstream, a pod that was
//! unschedulable and was moved by an event need not wait for the end of its backoff while the scheduler is idle; one
//! that had an error must. Nothing here reads a clock or waits: [`Queue::next_wake`] says when to look again. See
//! upstream's `pkg/scheduler/backend/queue` and KEP-4247 (queueing hints).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use object::Uid;
use tokio::time::Instant;

use crate::framework::{Event, EventKinds, PluginSet, Profile, Subject};
use crate::state::PodInfo;

#[cfg(test)]
mod tests;

/// How long pods wait after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first.
    pub min: Duration,
    /// At most.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { min: Duration::from_secs(1), max: Duration::from_secs(10) }
    }
}

impl Backoff {
    /// After a number of failures, at least one.
    fn after(self, failures: u32) -> Duration {
        self.min.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.max)
    }
}

/// So long a pod stays unschedulable without any event, in case one was missed.
pub const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(300);

/// A pod and its history in the queue.
#[derive(Debug)]
pub struct QueuedPod {
    /// The pod.
    pub info: Arc<PodInfo>,
    /// How often it was tried.
    pub attempts: u32,
    /// Failures without an error.
    rejections: u32,
    /// Errors in a row.
    errors: u32,
    rejected_by: PluginSet,
    /// The events that may help it while it is unschedulable.
    waits_for: EventKinds,
    profile: Arc<Profile>,
    /// When it came first.
    queued: Instant,
    /// When it came, or came back.
    since: Instant,
    /// Tells pods apart that came at the same time, in their order.
    number: u64,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active {
        rank: i64,
    },
    Backoff {
        until: Instant,
    },
    Unschedulable,
    Gated,
    /// Taken out to be decided.
    Out,
}

impl QueuedPod {
    /// The plugins that decide about it.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// When it came first.
    pub fn queued(&self) -> Instant {
        self.queued
    }
}

/// The pods that are waiting for a node.
#[derive(Debug, Default)]
pub struct Queue {
    pods: HashMap<Uid, QueuedPod>,
    /// By rank, time and number.
    active: BTreeMap<(i64, Instant, u64), Uid>,
    /// By the end of the backoff; pods that met an error.
    backoff_errors: BTreeMap<(Instant, u64), Uid>,
    /// By the end of the backoff; all others.
    backoff: BTreeMap<(Instant, u64), Uid>,
    /// By the time since when.
    unschedulable: BTreeMap<(Instant, u64), Uid>,
    /// The unschedulable ones again, by the events that may help them.
    by_events: BTreeMap<EventKinds, BTreeMap<(Instant, u64), Uid>>,
    numbers: u64,
    wait: Backoff,
}

impl Queue {
    /// An empty queue.
    pub fn new(wait: Backoff) -> Queue {
        Queue { wait, ..Queue::default() }
    }

    /// Adds a new pod, or a newer version of a waiting one. Returns what a newly gated pod is waiting for.
    pub fn set(&mut self, info: Arc<PodInfo>, profile: &Arc<Profile>, now: Instant) -> Option<String> {
        match self.pods.get(&info.uid) {
            Some(_) => self.update(info, now),
            None => {
                self.numbers += 1;
                let pod = QueuedPod {
                    info,
                    attempts: 0,
                    rejections: 0,
                    errors: 0,
                    rejected_by: PluginSet::default(),
                    waits_for: EventKinds::ALL,
                    profile: Arc::clone(profile),
                    queued: now,
                    since: now,
                    number: self.numbers,
                    place: Place::Out,
                };
                self.admit(pod, now)
            }
        }
    }

    /// Removes a pod permanently.
    pub fn remove(&mut self, uid: &Uid) -> Option<QueuedPod> {
        let mut pod = self.pods.remove(uid)?;
        self.unlink(&pod);
        pod.place = Place::Out;
        Some(pod)
    }

    /// Takes the next pod to decide on out of the queue. It comes back by [`Queue::rejected`] or [`Queue::failed`].
    pub fn pop(&mut self, now: Instant) -> Option<QueuedPod> {
        self.flush(now);
        let uid = self.active.values().next().or_else(|| self.backoff.values().next())?.clone();
        let mut pod = self.remove(&uid)?;
        pod.attempts += 1;
        Some(pod)
    }

    /// Takes a pod back that no node could take; these plugins said so.
    pub fn rejected(&mut self, mut pod: QueuedPod, rejected_by: PluginSet, now: Instant) {
        pod.rejections += 1;
        pod.errors = 0;
        pod.rejected_by = rejected_by;
        pod.waits_for = pod.profile.wakes_on(rejected_by, &pod.info);
        pod.since = now;
        self.link(pod, Place::Unschedulable);
    }

    /// Takes a pod back whose binding failed: it is tried again after its backoff whatever happens.
    pub fn failed(&mut self, mut pod: QueuedPod, now: Instant) {
        pod.errors += 1;
        pod.rejected_by = PluginSet::default();
        pod.since = now;
        let until = now + self.wait.after(pod.errors);
        self.link(pod, Place::Backoff { until });
    }

    /// Moves the pods for which an event may help.
    pub fn happened(&mut self, event: &Event<'_>, now: Instant) {
        if event.kinds.is_none() {
            return;
        }
        let waiting = self.by_events.iter().filter(|(kinds, _)| kinds.meets(event.kinds));
        let helped = waiting.flat_map(|(_, pods)| pods).filter(|(_, uid)| {
            let pod = self.pods.get(*uid);
            pod.is_some_and(|pod| pod.profile.may_help(pod.rejected_by, &pod.info, event))
        });
        let mut helped: Vec<_> = helped.map(|(key, uid)| (*key, uid.clone())).collect();
        helped.sort_unstable_by_key(|(key, _)| *key);
        for (_, uid) in helped {
            self.retry(&uid, now);
        }
    }

    /// What was done for an unschedulable pod failed: it is tried again after its backoff whatever happens.
    pub fn help_failed(&mut self, uid: &Uid, now: Instant) {
        let waits = self.pods.get(uid).is_some_and(|pod| pod.place == Place::Unschedulable);
        if waits && let Some(pod) = self.remove(uid) {
            self.failed(pod, now);
        }
    }

    /// A pod that waits.
    pub fn get(&self, uid: &Uid) -> Option<&Arc<PodInfo>> {
        self.pods.get(uid).map(|pod| &pod.info)
    }

    /// When the queue has to be looked at again though nothing happens.
    pub fn next_wake(&self) -> Option<Instant> {
        let backoff = [&self.backoff, &self.backoff_errors].map(|list| list.keys().next().map(|key| key.0));
        let flush = self.unschedulable.keys().next().map(|key| key.0 + UNSCHEDULABLE_MAX);
        backoff.into_iter().chain([flush]).flatten().min()
    }

    /// How many pods are active, in backoff, unschedulable and gated.
    pub fn counts(&self) -> [usize; 4] {
        let (active, unschedulable) = (self.active.len(), self.unschedulable.len());
        let backoff = self.backoff.len() + self.backoff_errors.len();
        [active, backoff, unschedulable, self.pods.len() - active - backoff - unschedulable]
    }

    /// Makes a pod active, unless a plugin holds it back.
    fn admit(&mut self, mut pod: QueuedPod, now: Instant) -> Option<String> {
        match pod.profile.run_pre_enqueue(&pod.info) {
            Ok(()) => {
                pod.since = now;
                let rank = pod.profile.rank(&pod.info);
                self.link(pod, Place::Active { rank });
                None
            }
            Err((by, why)) => {
                pod.rejected_by = by;
                self.link(pod, Place::Gated);
                Some(why)
            }
        }
    }

    fn update(&mut self, info: Arc<PodInfo>, now: Instant) -> Option<String> {
        let uid = info.uid.clone();
        let pod = self.pods.get_mut(&uid)?;
        let event = Event { kinds: EventKinds::of_own_change(&pod.info, &info), subject: Subject::Own };
        let (place, rejected_by) = (pod.place, pod.rejected_by);
        match place {
            Place::Gated => {
                let mut pod = self.remove(&uid)?;
                pod.info = info;
                // That it is waiting was reported when it was added.
                self.admit(pod, now);
            }
            Place::Unschedulable => {
                let helps = !event.kinds.is_none() && pod.profile.may_help(rejected_by, &info, &event);
                pod.info = info;
                if helps {
                    self.retry(&uid, now);
                }
            }
            // Its rank cannot change: priorities are immutable.
            Place::Active { .. } | Place::Backoff { .. } | Place::Out => pod.info = info,
        }
        None
    }

    /// Makes an unschedulable pod active, or lets it wait for the end of its backoff first.
    fn retry(&mut self, uid: &Uid, now: Instant) {
        let Some(pod) = self.remove(uid) else { return };
        let until = pod.since + self.wait.after(pod.rejections);
        if until > now {
            self.link(pod, Place::Backoff { until });
        } else {
            self.admit(pod, now);
        }
    }

    /// Moves the pods whose time is over.
    fn flush(&mut self, now: Instant) {
        let due = |list: &BTreeMap<(Instant, u64), Uid>, wait: Duration| -> Vec<Uid> {
            list.iter().take_while(|(key, _)| key.0 + wait <= now).map(|(_, uid)| uid.clone()).collect()
        };
        let mut over = due(&self.backoff, Duration::ZERO);
        over.extend(due(&self.backoff_errors, Duration::ZERO));
        over.extend(due(&self.unschedulable, UNSCHEDULABLE_MAX));
        for uid in over {
            if let Some(pod) = self.remove(&uid) {
                self.admit(pod, now);
            }
        }
    }

    fn link(&mut self, mut pod: QueuedPod, place: Place) {
        let uid = pod.info.uid.clone();
        pod.place = place;
        match place {
            Place::Active { rank } => put(&mut self.active, (rank, pod.since, pod.number), &uid),
            Place::Backoff { until } => {
                let list = if pod.errors > 0 { &mut self.backoff_errors } else { &mut self.backoff };
                put(list, (until, pod.number), &uid);
            }
            Place::Unschedulable => {
                let key = (pod.since, pod.number);
                put(&mut self.unschedulable, key, &uid);
                put(self.by_events.entry(pod.waits_for).or_default(), key, &uid);
            }
            Place::Gated | Place::Out => {}
        }
        let earlier = self.pods.insert(uid, pod);
        assert!(earlier.is_none(), "a pod waits in one place");
    }

    fn unlink(&mut self, pod: &QueuedPod) {
        match pod.place {
            Place::Active { rank } => take(&mut self.active, &(rank, pod.since, pod.number), pod),
            Place::Backoff { until } => {
                let list = if pod.errors > 0 { &mut self.backoff_errors } else { &mut self.backoff };
                take(list, &(until, pod.number), pod);
            }
            Place::Unschedulable => {
                let key = (pod.since, pod.number);
                take(&mut self.unschedulable, &key, pod);
                let pods = self.by_events.get_mut(&pod.waits_for);
                let pods = pods.expect("what waits for events is listed by them");
                take(pods, &key, pod);
                if pods.is_empty() {
                    self.by_events.remove(&pod.waits_for);
                }
            }
            Place::Gated | Place::Out => {}
        }
        debug_assert_eq!(
            self.unschedulable.len(),
            self.by_events.values().map(BTreeMap::len).sum::<usize>(),
            "what is unschedulable waits for events, once"
        );
    }
}

/// Puts a pod in a list.
fn put<K: Ord>(list: &mut BTreeMap<K, Uid>, key: K, uid: &Uid) {
    let other = list.insert(key, uid.clone());
    assert!(other.is_none(), "numbers tell pods apart");
}

/// Takes a pod out of the list that its place says it is in.
fn take<K: Ord>(list: &mut BTreeMap<K, Uid>, key: &K, pod: &QueuedPod) {
    let found = list.remove(key);
    assert!(found.is_some_and(|found| found == pod.info.uid), "a pod is where its place says");
}
