//! The pod garbage collector: deletes pods whose node is gone, pods that were deleted before they had a node, and the
//! oldest of too many finished pods.
//!
//! It follows upstream's `pkg/controller/podgc`.

use std::sync::Arc;

use client::{DeleteOptions, Identified, Informer, LeanPod, Patch, ResourceType, key_of};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, PodCondition};
use object::ObjectKey;
use serde_json::json;
use std::time::Duration;

use crate::framework::{Action, Controller, Look, Plan, Wiring, sort_by_age};
use crate::pods;

#[cfg(test)]
mod tests;

/// How long a node must be missing before its pods are deleted.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);
/// The number of finished pods that are kept for inspection.
const ENDED_MAX: usize = 12_500;

/// The key that wakes the collector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The pods of a node that is missing.
    Node(ObjectKey),
    /// A pod without a node.
    Unscheduled(ObjectKey),
    /// There are many ended pods.
    Ended,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Node(key) => write!(f, "node {key}"),
            Key::Unscheduled(key) => write!(f, "pod {key}"),
            Key::Ended => f.write_str("ended pods"),
        }
    }
}

pub(crate) struct PodGc {
    pods: Arc<Informer<LeanPod>>,
    nodes: Arc<Informer<Node>>,
}

/// The inputs of a decision.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// The pods of a node that has been missing since then; `confirmed` if the server says so too.
    Orphans { since: Timestamp, confirmed: bool, pods: Vec<Arc<LeanPod>> },
    /// A pod without a node.
    Unscheduled(Arc<LeanPod>),
    /// All pods that have ended.
    Ended(Vec<Arc<LeanPod>>),
}

impl Controller for PodGc {
    const NAME: &'static str = "pod-garbage-collector";
    const ACCOUNT: &'static str = "pod-garbage-collector";
    const QUEUE: &'static str = "orphaned_pods_nodes";
    const WORKERS: usize = 1;
    type Key = Key;
    type Snapshot = Snapshot;
    /// Since when a node has been known to be missing.
    type Memory = Option<Timestamp>;

    fn wire(wiring: &mut Wiring<Key>) -> PodGc {
        let pods = wiring.informer::<LeanPod>();
        let nodes = wiring.informer::<Node>();
        pods.add_index(pods::BY_NODE, pods::node);
        let known = Arc::clone(&nodes);
        wiring.wake(&pods, move |change| {
            let pod = change.new.as_ref()?;
            let node = ObjectKey::cluster(pods::node_name(pod));
            if node.name.is_empty() {
                pods::is_terminating(pod).then(|| Key::Unscheduled(change.key.clone()))
            } else if pods::is_terminal(pod) {
                Some(Key::Ended)
            } else {
                // Also at the start, before the nodes are known: the plan looks again.
                known.get(&node).is_none().then_some(Key::Node(node))
            }
        });
        wiring.wake(&nodes, |change| change.new.is_none().then(|| Key::Node(change.key.clone())));
        PodGc { pods, nodes }
    }

    fn observe(&self, key: &Key, look: &mut Look<'_, Option<Timestamp>>) -> Option<Snapshot> {
        let node = match key {
            Key::Node(node) => node,
            Key::Unscheduled(pod) => return self.pods.get(pod).map(Snapshot::Unscheduled),
            Key::Ended => {
                let mut ended = Vec::new();
                self.pods.for_each(|pod| ended.extend(pods::is_terminal(pod).then(|| Arc::clone(pod))));
                return Some(Snapshot::Ended(ended));
            }
        };
        let pods = self.pods.indexed(pods::BY_NODE, &node.name);
        if self.nodes.get(node).is_some() || pods.is_empty() {
            return None;
        }
        let since = *look.memory.get_or_insert(look.now);
        let confirmed = look.now.duration_since(since) >= QUARANTINE
            && look.live.metadata(&ResourceType::of::<Node>(), node)?.is_none();
        Some(Snapshot::Orphans { since, confirmed, pods })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan(snapshot, now)
    }
}

fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match snapshot {
        Snapshot::Unscheduled(pod) => {
            if semantics::pods::is_deleting(&**pod) && pods::node_name(&**pod).is_empty() {
                if !pods::is_terminal(&**pod) {
                    plan.then(fail(pod, None));
                }
                plan.then(end(pod));
            }
        }
        Snapshot::Orphans { confirmed: true, pods, .. } => {
            let running = pods.iter().filter(|pod| !pods::is_terminal(pod));
            plan.together(running.map(|pod| fail(pod, lost_its_node(pod, now))).collect());
            plan.together(pods.iter().map(|pod| end(pod)).collect());
        }
        Snapshot::Orphans { since, confirmed: false, .. } => {
            let left = QUARANTINE - now.duration_since(*since);
            // The node may have come back and be missing only from the cache: that needs another check too.
            plan.requeue_after(Duration::try_from(left).unwrap_or_default().max(Duration::from_secs(1)));
        }
        Snapshot::Ended(ended) => {
            let mut ended = ended.clone();
            ended.retain(|pod| pod.metadata.deletion_timestamp.is_none());
            let excess = ended.len().saturating_sub(ENDED_MAX);
            sort_by_age(&mut ended);
            plan.together(ended.iter().take(excess).map(|pod| end(pod)).collect());
        }
    }
    plan
}

/// Deletes a pod immediately: there is no node that would terminate it gracefully.
fn end(pod: &LeanPod) -> Action {
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::of_uid(pod.uid()) };
    let resource = ResourceType::of::<LeanPod>();
    Action::Delete { resource, key: key_of(pod), options, announcement: None }
}

/// Marks a pod as failed for those who wait for it, and shows why if it was disrupted.
fn fail(pod: &LeanPod, disruption: Option<PodCondition>) -> Action {
    let mut status = json!({"phase": "Failed"});
    if let Some(condition) = disruption {
        status["conditions"] = json!([condition]);
    }
    Action::Patch {
        resource: ResourceType::of::<LeanPod>(),
        key: key_of(pod),
        subresource: "status",
        patch: Patch::Strategic(json!({"metadata": {"uid": pod.uid()}, "status": status})),
    }
}

fn lost_its_node(pod: &LeanPod, now: Timestamp) -> Option<PodCondition> {
    Some(pods::disruption(pod, "DeletionByPodGC", "PodGC: node no longer exists", now))
}
