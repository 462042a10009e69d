//! The scheduler as one state machine without input or output: what happens goes in, what is to be done comes
//! out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use clock::Clock;
use k8s_openapi::api::core::v1::{Namespace, Node};
use object::Uid;
use tokio::time::Instant;

use crate::decide::Decider;
use crate::framework::{Event, EventKinds, Profile, Subject};
use crate::queue::{Queue, QueuedPod};
use crate::state::{Cache, PodInfo};

#[cfg(test)]
mod tests;

/// The scheduler without input or output.
#[derive(Debug)]
pub struct Scheduler {
    scheduler_name: String,
    profile: Profile,
    decider: Decider,
    cache: Cache,
    queue: Queue,
    /// Decided pods whose binding is under way, in case it fails.
    binding: HashMap<Uid, QueuedPod>,
    /// Pods that were newly found to be gated.
    gated: VecDeque<Outcome>,
}

/// Something to be done.
#[derive(Debug)]
pub enum Outcome {
    /// The pod is to be bound; the answer is to be told by [`Scheduler::bound`] or [`Scheduler::bind_failed`].
    Bind {
        /// The pod.
        pod: Arc<PodInfo>,
        /// The node's name.
        node: Arc<str>,
    },
    /// People are to be told that the pod fits nowhere.
    Unschedulable {
        /// The pod.
        pod: Arc<PodInfo>,
        /// Why.
        message: String,
    },
    /// People are to be told that the pod is not tried yet.
    Gated {
        /// The pod.
        pod: Arc<PodInfo>,
        /// What it waits for.
        message: String,
    },
}

impl Scheduler {
    /// A scheduler of an empty cluster. `percentage` is that of [`Decider::new`].
    pub fn new(scheduler_name: &str, profile: Profile, clock: Clock, percentage: u32) -> Scheduler {
        Scheduler {
            scheduler_name: scheduler_name.to_owned(),
            profile,
            decider: Decider::new(clock, percentage),
            cache: Cache::default(),
            queue: Queue::default(),
            binding: HashMap::new(),
            gated: VecDeque::new(),
        }
    }

    /// A node is there, or there in a newer version than `old`.
    pub fn set_node(&mut self, old: Option<&Node>, new: Arc<Node>, now: Instant) {
        let kinds = old.map_or(EventKinds::NODE_ADDED, |old| EventKinds::of_node_change(old, &new));
        let slot = self.cache.set_node(new);
        let event = Event { kinds, subject: Subject::Node(self.cache.view().node(slot)) };
        self.queue.happened(&event, &self.profile, now);
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &str, now: Instant) {
        self.cache.remove_node(name);
        let event = Event { kinds: EventKinds::NODE_REMOVED, subject: Subject::RemovedNode };
        self.queue.happened(&event, &self.profile, now);
    }

    /// A namespace is there (`new`), or gone.
    pub fn set_namespace(&mut self, old: Option<&Namespace>, new: Option<&Namespace>, now: Instant) {
        let Some(name) = new.or(old).and_then(|namespace| namespace.metadata.name.as_deref()) else { return };
        let labels = |namespace: &Namespace| namespace.metadata.labels.clone().unwrap_or_default();
        self.cache.set_namespace(name, new.map(labels));
        if new.map(labels) != old.map(labels) {
            let event = Event { kinds: EventKinds::NAMESPACE_LABELS, subject: Subject::Namespace };
            self.queue.happened(&event, &self.profile, now);
        }
    }

    /// A pod is there, or there in a newer version.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, now: Instant) {
        if pod.is_terminal() {
            self.remove_pod(&pod.uid, now);
        } else if let Some(node) = pod.node_name() {
            self.queue.remove(&pod.uid);
            self.binding.remove(&pod.uid);
            let old = self.cache.set_pod(Arc::clone(&pod), node);
            let kinds =
                old.as_ref().map_or(EventKinds::POD_ADDED, |old| EventKinds::of_bound_pod_change(old, &pod));
            self.pod_happened(kinds, old.as_deref(), Some(&pod), now);
        } else if pod.scheduler_name() == self.scheduler_name {
            self.set_waiting_pod(pod, now);
        }
    }

    fn set_waiting_pod(&mut self, pod: Arc<PodInfo>, now: Instant) {
        if let Some(decided) = self.binding.get_mut(&pod.uid) {
            decided.info = pod;
        } else if pod.is_deleting() {
            self.queue.remove(&pod.uid);
        } else if !self.cache.is_assumed(&pod.uid)
            && let Some(message) = self.queue.set(Arc::clone(&pod), &self.profile, now)
        {
            self.gated.push_back(Outcome::Gated { pod, message });
        }
    }

    /// A pod is gone, or has ended.
    pub fn remove_pod(&mut self, uid: &Uid, now: Instant) {
        self.queue.remove(uid);
        self.binding.remove(uid);
        if let Some(pod) = self.cache.remove_pod(uid) {
            self.pod_happened(EventKinds::POD_REMOVED, Some(&pod), None, now);
        }
    }

    fn pod_happened(
        &mut self,
        kinds: EventKinds,
        old: Option<&PodInfo>,
        new: Option<&PodInfo>,
        now: Instant,
    ) {
        let event = Event { kinds, subject: Subject::Pod(old, new) };
        self.queue.happened(&event, &self.profile, now);
    }

    /// Makes the next decision. `None` if there is none to make before [`Scheduler::next_wake`] or the next event.
    pub fn next(&mut self, now: Instant) -> Option<Outcome> {
        if let Some(gated) = self.gated.pop_front() {
            return Some(gated);
        }
        let queued = self.queue.pop(&self.profile, now)?;
        let pod = Arc::clone(&queued.info);
        let snapshot = self.cache.snapshot();
        match self.decider.decide(&self.profile, &pod, snapshot) {
            Ok(slot) => {
                let node = Arc::clone(&snapshot.node(slot).name);
                tracing::debug!(pod = %pod.key, %node, attempts = queued.attempts, "decided");
                self.cache.assume(Arc::clone(&pod), &node);
                self.binding.insert(pod.uid.clone(), queued);
                Some(Outcome::Bind { pod, node })
            }
            Err(unfit) => {
                self.queue.rejected(queued, unfit.rejected_by, now);
                Some(Outcome::Unschedulable { pod, message: unfit.message })
            }
        }
    }

    /// A binding was written.
    pub fn bound(&mut self, uid: &Uid) {
        self.binding.remove(uid);
    }

    /// A binding could not be written, as far as is known: the pod goes back to the queue, unless it was seen
    /// bound or gone meanwhile. Returns its newest version if it goes back.
    pub fn bind_failed(&mut self, uid: &Uid, now: Instant) -> Option<Arc<PodInfo>> {
        let queued = self.binding.remove(uid)?;
        let forgotten = self.cache.forget(uid)?;
        self.pod_happened(EventKinds::POD_REMOVED, Some(&forgotten), None, now);
        let pod = Arc::clone(&queued.info);
        if !pod.is_deleting() {
            self.queue.failed(queued, now);
        }
        Some(pod)
    }

    /// When [`Scheduler::next`] has to be asked again though nothing happens.
    pub fn next_wake(&self) -> Option<Instant> {
        self.queue.next_wake()
    }

    /// The pods that wait.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }
}
