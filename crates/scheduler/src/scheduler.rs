//! The scheduler as one state machine without input or output: events go in, actions come out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use clock::Clock;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use object::{ObjectKey, Selector, Uid};
use tokio::time::Instant;

use crate::decide::{Decider, Unfit};
use crate::extender::{self, Extender, Question};
use crate::framework::{Event, EventKinds, Placement, Preemption, Profile, Subject};
use crate::queue::{Backoff, Queue, QueuedPod};
use crate::state::{Cache, PodInfo, Selecting, VolumeChange};

mod asking;
mod placed;
#[cfg(test)]
mod tests;

use asking::Asked;
use placed::Placed;

/// The scheduler without input or output.
#[derive(Debug)]
pub struct Scheduler {
    profiles: Vec<Arc<Profile>>,
    decider: Decider,
    cache: Cache,
    queue: Queue,
    /// Pods that have a node, until they are known to be bound.
    placed: HashMap<Uid, Placed>,
    /// The programs that take part in decisions.
    extenders: Vec<Arc<Extender>>,
    /// The decision that waits for the answer of extenders.
    asked: Option<Asked>,
    /// An action to start before the next decision.
    outcomes: VecDeque<Outcome>,
}

/// Something to be done.
#[derive(Debug)]
pub enum Outcome {
    /// Bind the pod, and report the result with [`Scheduler::bound`] or [`Scheduler::bind_failed`].
    Bind {
        /// The pod, its node and its reservations.
        placement: Arc<Placement>,
        /// How often it was tried.
        attempts: u32,
        /// When it was queued first.
        queued: Instant,
    },
    /// Report that the pod fits nowhere.
    Unschedulable {
        /// The pod.
        pod: Arc<PodInfo>,
        /// Why.
        message: String,
        /// Pods to preempt; a failure is reported with [`Scheduler::preemption_failed`].
        preemption: Option<Preemption>,
        /// Whether an earlier nomination is to be taken back.
        gives_up_nomination: bool,
    },
    /// Report that the decision failed; the pod is tried again.
    Failed {
        /// The pod.
        pod: Arc<PodInfo>,
        /// Why.
        message: String,
    },
    /// Ask the extenders, and call [`Scheduler::answer`] before anything else.
    Ask(Question),
    /// Report that the pod is not tried yet.
    Gated {
        /// The pod.
        pod: Arc<PodInfo>,
        /// What it is waiting for.
        message: String,
    },
}

impl Scheduler {
    /// A scheduler of an empty cluster. `percentage` is that of [`Decider::new`].
    ///
    /// # Panics
    /// If two profiles have one name.
    pub fn new(profiles: Vec<Arc<Profile>>, clock: Clock, percentage: u32) -> Scheduler {
        for (at, profile) in profiles.iter().enumerate() {
            let earlier = profiles[..at].iter().any(|other| other.name() == profile.name());
            assert!(!earlier, "two profiles are named {}", profile.name());
        }
        Scheduler {
            profiles,
            decider: Decider::new(clock, percentage),
            cache: Cache::default(),
            queue: Queue::default(),
            placed: HashMap::new(),
            extenders: Vec::new(),
            asked: None,
            outcomes: VecDeque::new(),
        }
    }

    /// The same scheduler with programs that take part in decisions.
    #[must_use]
    pub fn with_extenders(self, extenders: Vec<Arc<Extender>>) -> Scheduler {
        Scheduler { extenders, ..self }
    }

    /// The same scheduler, before it knows any pod, with other times of backoff.
    #[must_use]
    pub fn with_backoff(self, backoff: Backoff) -> Scheduler {
        Scheduler { queue: Queue::new(backoff), ..self }
    }

    /// A node was added or updated.
    pub fn set_node(&mut self, new: Arc<Node>, now: Instant) {
        let name = new.metadata.name.as_deref().unwrap_or_default();
        let old = self.cache.view().node_named(name).and_then(|node| node.node().cloned());
        let same = old.filter(|old| old.metadata.uid == new.metadata.uid);
        let kinds = same.map_or(EventKinds::NODE_ADDED, |old| EventKinds::of_node_change(&old, &new));
        let slot = self.cache.set_node(new);
        let event = Event { kinds, subject: Subject::Node(self.cache.view().node(slot)) };
        self.queue.happened(&event, now);
    }

    /// A node is gone.
    pub fn remove_node(&mut self, name: &str, now: Instant) {
        self.cache.remove_node(name);
        let event = Event { kinds: EventKinds::NODE_REMOVED, subject: Subject::RemovedNode };
        self.queue.happened(&event, now);
    }

    /// The labels of a namespace; `None` if it is gone.
    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>, now: Instant) {
        if self.cache.set_namespace(name, labels) {
            let event = Event { kinds: EventKinds::NAMESPACE_LABELS, subject: Subject::Namespace };
            self.queue.happened(&event, now);
        }
    }

    /// A claim, a volume, a storage class or a node's drivers came, changed or went.
    pub fn set_volume(&mut self, key: &ObjectKey, change: VolumeChange, now: Instant) {
        self.cache.set_volume(key, change.clone());
        let event = Event { kinds: EventKinds::STORAGE, subject: Subject::Storage(&change) };
        self.queue.happened(&event, now);
    }

    /// A PodDisruptionBudget was added, updated or deleted. It helps no waiting pod: it only says which victims to
    /// spare.
    pub fn set_budget(&mut self, key: &ObjectKey, budget: Option<&PodDisruptionBudget>) {
        self.cache.set_budget(key, budget);
    }

    /// A Service or a controller selects other pods than before, or none any more. It wakes no waiting pod, as in
    /// upstream: such constraints usually only decide which node is best.
    pub fn set_selector(&mut self, kind: Selecting, key: &ObjectKey, selector: Option<&Arc<Selector>>) {
        self.cache.set_selector(kind, key, selector);
    }

    /// A pod was added or updated.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, now: Instant) {
        if pod.is_terminal() {
            self.remove_pod(&pod.uid, now);
        } else if let Some(node) = pod.node_name() {
            self.queue.remove(&pod.uid);
            self.placed_was_seen_bound(&pod.uid);
            self.cache.nominations().remove(&pod.uid);
            if pod.is_deleting() {
                self.cache.nominations().victim_is_gone(&pod.uid);
            }
            let old = self.cache.set_pod(Arc::clone(&pod), node);
            let kinds =
                old.as_ref().map_or(EventKinds::POD_ADDED, |old| EventKinds::of_bound_pod_change(old, &pod));
            self.pod_happened(kinds, old.as_deref(), Some(&pod), now);
        } else if let Some(profile) = self.profile(pod.scheduler_name()) {
            let profile = Arc::clone(profile);
            self.set_waiting_pod(pod, &profile, now);
        }
    }

    fn profile(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.iter().find(|profile| profile.name() == name)
    }

    fn set_waiting_pod(&mut self, pod: Arc<PodInfo>, profile: &Arc<Profile>, now: Instant) {
        if let Some(placed) = self.placed.get_mut(&pod.uid)
            && !(pod.is_deleting() && placed.is_waiting())
        {
            placed.queued.info = pod;
        } else if pod.is_deleting() {
            self.remove_pod(&pod.uid, now);
        } else if !self.cache.is_assumed(&pod.uid) {
            self.follow_nomination(&pod);
            if let Some(message) = self.queue.set(Arc::clone(&pod), profile, now) {
                self.outcomes.push_back(Outcome::Gated { pod, message });
            }
        }
    }

    /// A nomination is written by this scheduler as a rule, so that it is known before it is seen; but it may have
    /// been written by an earlier one, or been taken back by others.
    fn follow_nomination(&mut self, pod: &Arc<PodInfo>) {
        let known = self.cache.view().nominations().node_of(&pod.uid).cloned();
        let seen_before = self.queue.get(&pod.uid).is_some_and(|old| old.nominated_node_name().is_some());
        match (pod.nominated_node_name(), known) {
            (Some(node), _) => self.cache.nominations().set(Arc::clone(pod), node),
            (None, Some(_)) if seen_before => self.cache.nominations().remove(&pod.uid),
            (None, Some(node)) => self.cache.nominations().set(Arc::clone(pod), &node),
            (None, None) => {}
        }
    }

    /// A pod is gone, or has ended.
    pub fn remove_pod(&mut self, uid: &Uid, now: Instant) {
        self.queue.remove(uid);
        self.cache.nominations().remove(uid);
        self.cache.nominations().victim_is_gone(uid);
        self.placed_is_gone(uid);
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
        self.queue.happened(&event, now);
    }

    /// Makes decisions until there is an action. `None` if there is nothing to decide before [`Scheduler::next_wake`]
    /// or the next event.
    pub fn next(&mut self, now: Instant) -> Option<Outcome> {
        assert!(self.asked.is_none(), "a question is answered before the next decision");
        self.end_waiting(now);
        loop {
            if let Some(outcome) = self.outcomes.pop_front() {
                return Some(outcome);
            }
            let queued = self.queue.pop(now)?;
            self.decide(queued, now);
        }
    }

    fn decide(&mut self, queued: QueuedPod, now: Instant) {
        let pod = Arc::clone(&queued.info);
        if extender::any_takes_part(&self.extenders, &pod) {
            return self.find(queued, true, now);
        }
        let snapshot = self.cache.snapshot();
        match self.decider.decide(queued.profile(), &pod, snapshot) {
            Ok(slot) => {
                let node = Arc::clone(&snapshot.node(slot).name);
                tracing::debug!(pod = %pod.key, %node, attempts = queued.attempts, "decided");
                self.place(queued, &node, now);
            }
            Err(unfit) => self.is_unfit(queued, unfit, now),
        }
    }

    fn is_unfit(&mut self, queued: QueuedPod, mut unfit: Unfit, now: Instant) {
        let pod = Arc::clone(&queued.info);
        self.queue.rejected(queued, unfit.rejected_by, now);
        if let Some(preemption) = &mut unfit.preemption {
            let nominations = self.cache.nominations();
            nominations.set(Arc::clone(&pod), &preemption.nominated);
            preemption.displaced.iter().for_each(|other| nominations.remove(&other.uid));
            // A pod that waits for leave is not running yet: it only loses its place. That may wake this one.
            preemption.victims.retain(|victim| !self.preempt_waiting(&victim.uid, now));
            let victims = preemption.victims.iter().map(|victim| victim.uid.clone());
            self.cache.nominations().expect_victims(victims);
        } else if unfit.gives_up_nomination {
            self.cache.nominations().remove(&pod.uid);
        }
        let Unfit { message, preemption, gives_up_nomination, .. } = unfit;
        self.outcomes.push_back(Outcome::Unschedulable { pod, message, preemption, gives_up_nomination });
    }

    /// Victims of a pod's preemption could not be deleted: they may be chosen again, and the pod is tried again soon, as
    /// nothing else might wake it.
    pub fn preemption_failed(&mut self, pod: &Uid, victims: &[Uid], now: Instant) {
        victims.iter().for_each(|victim| self.cache.nominations().victim_is_gone(victim));
        self.queue.help_failed(pod, now);
    }

    /// When [`Scheduler::next`] has to be asked again though nothing happens.
    pub fn next_wake(&self) -> Option<Instant> {
        self.queue.next_wake().into_iter().chain(self.next_deadline()).min()
    }

    /// The pods that wait.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The cluster as it is known.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }
}
