//! The disruption controller: the status of a PodDisruptionBudget shows how many of its pods may be evicted now.
//!
//! | module | decides |
//! | --- | --- |
//! | `scales` | how many pods there should be |
//! | `status` | how many of them are healthy, must be, and may be disrupted |
//! | `events` | (texts) the events |
//! | `plan` | what is written |
//!
//! Each uses only those above it. It follows upstream's `pkg/controller/disruption`. The API server takes from the number
//! what it evicts, and notes the pods; until these are in deletion, they are not counted as healthy.

use std::sync::Arc;

use client::{Change, Identified, Informer, LeanPod, Object, key_of};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use object::{ObjectKey, Selector};

use crate::framework::{Controller, Failure, Look, Note, Plan, Wiring};

mod events;
mod plan;
mod scales;
mod status;
#[cfg(test)]
mod tests;

use plan::Snapshot;
use scales::{Scales, Sum};

/// The key that wakes the controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A budget.
    Budget(ObjectKey),
    /// A pod that is the target of a disruption, or that several budgets cover.
    Pod(ObjectKey),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Budget(key) => write!(f, "budget {key}"),
            Key::Pod(key) => write!(f, "pod {key}"),
        }
    }
}

pub(crate) struct DisruptionController {
    budgets: Arc<Informer<PodDisruptionBudget>>,
    pods: Arc<Informer<LeanPod>>,
    scales: Scales,
}

impl Controller for DisruptionController {
    /// Upstream's events name the process that its controllers run in.
    const NAME: &'static str = "controllermanager";
    const ACCOUNT: &'static str = "disruption-controller";
    const QUEUE: &'static str = "disruption";
    type Key = Key;
    type Snapshot = Snapshot;
    /// The text of the last event.
    type Memory = Option<String>;

    fn wire(wiring: &mut Wiring<Key>) -> DisruptionController {
        let budgets = wiring.informer::<PodDisruptionBudget>();
        let pods = wiring.informer::<LeanPod>();
        wiring.wake(&budgets, |change| [Key::Budget(change.key.clone())]);
        let covering = Arc::clone(&budgets);
        wiring.wake(&pods, move |change| woken_by_pod(&covering, change));
        let scales = Scales {
            replication_controllers: wiring.informer(),
            deployments: wiring.informer(),
            replica_sets: wiring.informer(),
            stateful_sets: wiring.informer(),
        };
        let of = |object: &ReplicationController| object.spec.as_ref().and_then(|spec| spec.replicas);
        wake_by_scale(wiring, &scales.replication_controllers, &budgets, of);
        wake_by_scale(wiring, &scales.deployments, &budgets, |object: &Deployment| object.spec.replicas);
        wake_by_scale(wiring, &scales.replica_sets, &budgets, |object: &ReplicaSet| object.spec.replicas);
        wake_by_scale(wiring, &scales.stateful_sets, &budgets, |object: &StatefulSet| object.spec.replicas);
        DisruptionController { budgets, pods, scales }
    }

    fn observe(&self, key: &Key, look: &mut Look<'_, Option<String>>) -> Option<Snapshot> {
        let key = match key {
            Key::Budget(key) => key,
            Key::Pod(key) => return self.observe_pod(key, look),
        };
        let budget = self.budgets.get(key)?;
        let selector = selector(&budget);
        let mut pods = self.pods.in_namespace(key.namespace());
        pods.retain(|pod| selector.matches(&pod.metadata.labels));
        let expected = match status::needs_scales(&budget) {
            true => self.scales.sum(&pods, look.live)?,
            false => Ok(Sum::default()),
        };
        let news = unsaid(look.memory, events::remark(&budget, pods.len(), &expected));
        Some(Snapshot::Budget { budget, pods, expected, news })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        plan::recover(snapshot, failures, now)
    }
}

impl DisruptionController {
    fn observe_pod(&self, key: &ObjectKey, look: &mut Look<'_, Option<String>>) -> Option<Snapshot> {
        let pod = self.pods.get(key)?;
        let covering = covering(&self.budgets, &pod);
        let several = match covering.as_slice() {
            [first, _, ..] => Some(events::several(&pod, &first.name)),
            _ => None,
        };
        Some(Snapshot::Pod { news: unsaid(look.memory, several), pod })
    }
}

/// The event, unless it was the last one about this key; it is from now on.
fn unsaid(last: &mut Option<String>, note: Option<Note>) -> Option<Note> {
    let said = std::mem::replace(last, note.as_ref().map(|note| note.message.clone()));
    note.filter(|note| said.as_ref() != Some(&note.message))
}

/// The pods of a budget: all of the namespace if the selector is empty, none if it is missing.
fn selector(budget: &PodDisruptionBudget) -> Selector {
    semantics::selector(&budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()))
}

/// The budgets that select a pod.
fn covering(budgets: &Informer<PodDisruptionBudget>, pod: &LeanPod) -> Vec<ObjectKey> {
    let all = budgets.in_namespace(pod.metadata.namespace());
    let covering = all.iter().filter(|budget| selector(budget).matches(&pod.metadata.labels));
    covering.map(|budget| key_of(&**budget)).collect()
}

fn woken_by_pod(budgets: &Informer<PodDisruptionBudget>, change: &Change<LeanPod>) -> Vec<Key> {
    let mut keys = Vec::new();
    for state in change.states() {
        keys.extend(covering(budgets, state).into_iter().map(Key::Budget));
    }
    let is_rival = |pod: &LeanPod| covering(budgets, pod).len() > 1;
    if change.new.as_ref().is_some_and(|pod| plan::stale_at(pod).is_some() || is_rival(pod)) {
        keys.push(Key::Pod(change.key.clone()));
    }
    keys
}

/// A controller of another scale wakes the budgets of its namespace. Upstream leaves this to the pods, but these may be
/// seen before the scale that made them.
fn wake_by_scale<K: Object + Identified>(
    wiring: &mut Wiring<Key>,
    controllers: &Informer<K>,
    budgets: &Arc<Informer<PodDisruptionBudget>>,
    replicas: fn(&K) -> Option<i32>,
) {
    let budgets = Arc::clone(budgets);
    wiring.wake(controllers, move |change| {
        let replicas = |state: &Option<Arc<K>>| state.as_ref().and_then(|object| replicas(object));
        let woken = match replicas(&change.old) == replicas(&change.new) {
            true => Vec::new(),
            false => budgets.in_namespace(change.key.namespace()),
        };
        woken.into_iter().map(|budget| Key::Budget(key_of(&*budget))).collect::<Vec<_>>()
    });
}
