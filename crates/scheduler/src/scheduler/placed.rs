//! Pods between the decision and the binding.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use object::{ObjectKey, Uid};
use tokio::time::Instant;

use super::{Outcome, Scheduler};
use crate::decide::explain;
use crate::framework::{EventKinds, Placement, PluginSet, Rejection};
use crate::queue::QueuedPod;
use crate::state::PodInfo;

/// The longest that a plugin may keep a pod waiting.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// A pod that has a node and is not known to be bound.
#[derive(Debug)]
pub(super) struct Placed {
    /// Its state in the queue, in case it goes back.
    pub(super) queued: QueuedPod,
    placement: Arc<Placement>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Plugins keep it waiting: their indices in the profile, when they must have decided, and after which time.
    Waiting(Vec<(usize, Instant, Duration)>),
    /// Its binding is being written.
    Binding,
    /// Its binding is being written, and it was seen bound.
    Bound,
    /// Its binding is being written, and it was seen gone.
    Gone,
}

impl Placed {
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_))
    }
}

impl Scheduler {
    /// Places a pod on a node: reserves, asks for permission, and has it bound or waits.
    pub(super) fn place(&mut self, queued: QueuedPod, node: &str, now: Instant) {
        let pod = Arc::clone(&queued.info);
        let profile = Arc::clone(queued.profile());
        self.cache.assume(Arc::clone(&pod), node);
        let snapshot = self.cache.view();
        let info = snapshot.node_named(node).expect("the node was just chosen");
        let placed =
            Placement::reserve(&profile, Arc::clone(&pod), info, snapshot).and_then(
                |placement| match profile.run_permit(&pod, info, snapshot) {
                    Ok(waits) => Ok((placement, waits)),
                    Err(denial) => {
                        placement.unreserve();
                        Err(denial)
                    }
                },
            );
        let (placement, waits) = match placed {
            Ok(placed) => placed,
            Err((by, rejection)) => return self.is_refused(queued, by, &rejection, now),
        };
        self.cache.nominations().remove(&pod.uid);
        let waits: Vec<_> = waits
            .into_iter()
            .map(|(plugin, most)| (plugin, now + most.min(WAIT_MAX), most.min(WAIT_MAX)))
            .collect();
        let waiting = !waits.is_empty();
        let placed = Placed { queued, placement: Arc::new(placement), stage: Stage::Waiting(waits) };
        let earlier = self.placed.insert(pod.uid.clone(), placed);
        assert!(earlier.is_none(), "a pod is placed once");
        debug_assert!(self.cache.is_assumed(&pod.uid) && self.queue.get(&pod.uid).is_none());
        if !waiting {
            self.begin_binding(&pod.uid);
        }
    }

    /// A plugin refused a pod after the decision.
    fn is_refused(&mut self, queued: QueuedPod, by: PluginSet, why: &Rejection, now: Instant) {
        let pod = Arc::clone(&queued.info);
        self.give_place_back(&pod.uid, now);
        self.queue.rejected(queued, by, now);
        let message = explain(1, why.reasons().map(|reason| (Cow::Borrowed(&**reason), 1)));
        self.is_unschedulable(pod, message);
    }

    fn is_unschedulable(&mut self, pod: Arc<PodInfo>, message: String) {
        let outcome = Outcome::Unschedulable { pod, message, preemption: None, gives_up_nomination: false };
        self.outcomes.push_back(outcome);
    }

    fn give_place_back(&mut self, uid: &Uid, now: Instant) {
        if let Some(forgotten) = self.cache.forget(uid) {
            self.pod_happened(EventKinds::POD_REMOVED, Some(&forgotten), None, now);
        }
    }

    fn begin_binding(&mut self, uid: &Uid) {
        let Some(placed) = self.placed.get_mut(uid) else { return };
        placed.stage = Stage::Binding;
        self.outcomes.push_back(Outcome::Bind {
            placement: Arc::clone(&placed.placement),
            attempts: placed.queued.attempts,
            queued: placed.queued.queued(),
        });
    }

    /// The pods that plugins keep waiting, with the names of the plugins.
    pub fn waiting(&self) -> impl Iterator<Item = (&Arc<PodInfo>, Vec<&'static str>)> {
        self.placed.values().filter_map(|placed| match &placed.stage {
            Stage::Waiting(plugins) => {
                let mut set = PluginSet::default();
                plugins.iter().for_each(|(plugin, ..)| set.insert(*plugin));
                Some((&placed.queued.info, placed.placement.profile().names(set)))
            }
            _ => None,
        })
    }

    /// A plugin allows a pod that it kept waiting. Returns whether it kept it waiting.
    pub fn allow(&mut self, pod: &ObjectKey, plugin: &str) -> bool {
        let Some((uid, plugin)) = self.kept_waiting(pod, plugin) else { return false };
        let Some(Placed { stage: Stage::Waiting(plugins), .. }) = self.placed.get_mut(&uid) else {
            return false;
        };
        plugins.retain(|(kept_by, ..)| *kept_by != plugin);
        if plugins.is_empty() {
            self.begin_binding(&uid);
        }
        true
    }

    /// A plugin denies a pod that it kept waiting. Returns whether it did.
    pub fn reject(&mut self, pod: &ObjectKey, plugin: &str, why: &str, now: Instant) -> bool {
        let Some((uid, plugin)) = self.kept_waiting(pod, plugin) else { return false };
        self.deny(&uid, PluginSet::of(plugin), why.to_owned(), now)
    }

    fn kept_waiting(&self, pod: &ObjectKey, plugin: &str) -> Option<(Uid, usize)> {
        let mut placed = self.placed.iter().filter(|(_, placed)| placed.queued.info.key == *pod);
        placed.find_map(|(uid, placed)| {
            let place = placed.placement.profile().place(plugin)?;
            let Stage::Waiting(plugins) = &placed.stage else { return None };
            plugins.iter().any(|(kept_by, ..)| *kept_by == place).then(|| (uid.clone(), place))
        })
    }

    /// Denies a pod that waits.
    fn deny(&mut self, uid: &Uid, by: PluginSet, message: String, now: Instant) -> bool {
        if !self.placed.get(uid).is_some_and(Placed::is_waiting) {
            return false;
        }
        let Some(placed) = self.placed.remove(uid) else { return false };
        placed.placement.unreserve();
        self.give_place_back(uid, now);
        let pod = Arc::clone(&placed.queued.info);
        self.queue.rejected(placed.queued, by, now);
        self.is_unschedulable(pod, message);
        true
    }

    /// Rejects a waiting pod in favour of a more important one. Returns whether it was waiting.
    pub(super) fn preempt_waiting(&mut self, uid: &Uid, now: Instant) -> bool {
        self.deny(uid, PluginSet::default(), "preempted".to_owned(), now)
    }

    /// Denies the pods that waited too long.
    pub(super) fn end_waiting(&mut self, now: Instant) {
        if self.placed.is_empty() {
            return;
        }
        let late = self.placed.iter().filter_map(|(uid, placed)| {
            let Stage::Waiting(plugins) = &placed.stage else { return None };
            let (plugin, _, most) = plugins.iter().find(|(_, deadline, _)| *deadline <= now)?;
            let name = placed.placement.profile().names(PluginSet::of(*plugin)).join("");
            let seconds = most.as_secs_f64();
            let message = format!("rejected due to timeout after waiting {seconds}s at plugin {name}");
            Some((uid.clone(), PluginSet::of(*plugin), message))
        });
        for (uid, by, message) in late.collect::<Vec<_>>() {
            self.deny(&uid, by, message, now);
        }
    }

    /// When the first pod will have waited too long.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.placed.values().filter_map(|placed| match &placed.stage {
            Stage::Waiting(plugins) => plugins.iter().map(|(_, deadline, _)| *deadline).min(),
            _ => None,
        });
        waiting.min()
    }

    /// A binding was written.
    pub fn bound(&mut self, uid: &Uid) {
        self.placed.remove(uid);
    }

    /// A binding could not be written, as far as is known: the pod goes back to the queue, unless it was seen bound or
    /// gone in the meantime. Returns its newest version if it goes back.
    pub fn bind_failed(&mut self, uid: &Uid, now: Instant) -> Option<Arc<PodInfo>> {
        let placed = self.placed.remove(uid)?;
        if matches!(placed.stage, Stage::Bound) {
            return None;
        }
        placed.placement.unreserve();
        self.give_place_back(uid, now);
        if matches!(placed.stage, Stage::Gone) {
            return None;
        }
        let pod = Arc::clone(&placed.queued.info);
        if !pod.is_deleting() {
            self.queue.failed(placed.queued, now);
        }
        Some(pod)
    }

    pub(super) fn placed_was_seen_bound(&mut self, uid: &Uid) {
        self.leave(uid, Stage::Bound);
    }

    pub(super) fn placed_is_gone(&mut self, uid: &Uid) {
        self.leave(uid, Stage::Gone);
    }

    /// A pod was seen bound or gone. If its binding is being written, that has to end first.
    fn leave(&mut self, uid: &Uid, stage: Stage) {
        let Some(placed) = self.placed.get_mut(uid) else { return };
        if placed.is_waiting() {
            placed.placement.unreserve();
            self.placed.remove(uid);
        } else {
            placed.stage = stage;
        }
    }
}
