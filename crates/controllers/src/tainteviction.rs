//! The taint eviction controller: deletes pods from nodes whose `NoExecute` taints they do not tolerate, at once
//! or when their toleration runs out.
//!
//! It follows upstream's `pkg/controller/tainteviction`.

use std::sync::Arc;
use std::time::Duration;

use client::{
    EventType, Identified, Informer, LeanPod, Patch, ResourceType, key_of, reference_to, version_of,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;
use semantics::{Effect, Taint, Toleration};
use serde_json::json;

use crate::framework::{Action, Controller, Look, Note, Plan, Wiring};
use crate::pods;

#[cfg(test)]
mod tests;

pub(crate) struct TaintEviction {
    pods: Arc<Informer<LeanPod>>,
    nodes: Arc<Informer<Node>>,
}

/// The inputs of a decision about one pod.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pod: Arc<LeanPod>,
    /// The node's `NoExecute` taints.
    taints: Vec<Taint>,
    since: Timestamp,
}

impl Controller for TaintEviction {
    const NAME: &'static str = "taint-eviction-controller";
    const ACCOUNT: &'static str = "node-controller";
    const QUEUE: &'static str = "noexec_taint_pod";
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    /// Since when the pod is known to stand on a node with such taints.
    type Memory = Option<Timestamp>;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> TaintEviction {
        let pods = wiring.informer::<LeanPod>();
        let nodes = wiring.informer::<Node>();
        pods.add_index(pods::BY_NODE, pods::node);
        let tainted = Arc::clone(&nodes);
        wiring.wake(&pods, move |change| {
            let node = tainted.get(&ObjectKey::cluster(pods::node_name(change.object())));
            let matters = node.is_some_and(|node| !no_execute(&node).is_empty());
            (matters || change.new.is_none()).then(|| change.key.clone())
        });
        let on_node = Arc::clone(&pods);
        wiring.wake(&nodes, move |change| {
            let before = change.old.as_ref().map(|node| no_execute(node)).unwrap_or_default();
            let after = change.new.as_ref().map(|node| no_execute(node)).unwrap_or_default();
            let pods =
                if before == after { vec![] } else { on_node.indexed(pods::BY_NODE, &change.key.name) };
            pods.into_iter().map(|pod| key_of(&*pod)).collect::<Vec<_>>()
        });
        TaintEviction { pods, nodes }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, Option<Timestamp>>) -> Option<Snapshot> {
        let pod = self.pods.get(key)?;
        let node = self.nodes.get(&ObjectKey::cluster(pods::node_name(&pod)))?;
        let taints = no_execute(&node);
        let since = *look.memory.get_or_insert(look.now);
        (!taints.is_empty()).then_some(Snapshot { pod, taints, since })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan(snapshot, now)
    }
}

fn no_execute(node: &Node) -> Vec<Taint> {
    let mut taints = semantics::taints(node);
    taints.retain(|taint| taint.effect == Effect::NoExecute);
    taints
}

fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let pod = &*snapshot.pod;
    if pod.metadata.deletion_timestamp.is_some() || pods::is_terminal(pod) {
        return plan;
    }
    let left = match tolerated(pod, &snapshot.taints) {
        Tolerated::Forever => return plan,
        Tolerated::No => SignedDuration::ZERO,
        Tolerated::For(time) => time - now.duration_since(snapshot.since),
    };
    if left > SignedDuration::ZERO {
        plan.requeue_after(Duration::try_from(left).unwrap_or_default());
        return plan;
    }
    plan.record(Note {
        about: reference_to(pod),
        kind: EventType::Normal,
        reason: "TaintManagerEviction",
        message: format!("Marking for deletion Pod {}", pod.metadata.key),
    });
    plan.then(disrupted(pod, now));
    plan.then(Action::delete(pod));
    plan
}

/// How long a pod tolerates taints.
#[derive(Debug, PartialEq, Eq)]
enum Tolerated {
    No,
    For(SignedDuration),
    Forever,
}

/// All taints must be tolerated; the shortest of the tolerations that do so counts.
fn tolerated(pod: &LeanPod, taints: &[Taint]) -> Tolerated {
    let tolerations = semantics::tolerations(pod);
    let mut shortest: Option<i64> = None;
    for taint in taints {
        let mut matching = tolerations.iter().filter(|toleration| toleration.tolerates(taint)).peekable();
        if matching.peek().is_none() {
            return Tolerated::No;
        }
        let seconds = matching.filter_map(Toleration::seconds).min();
        shortest = [shortest, seconds].into_iter().flatten().min();
    }
    match shortest {
        None => Tolerated::Forever,
        Some(seconds) => Tolerated::For(SignedDuration::from_secs(seconds.max(0))),
    }
}

/// Shows users of the pod that it did not fail by itself.
fn disrupted(pod: &LeanPod, now: Timestamp) -> Action {
    let message = "Taint manager: deleting due to NoExecute taint";
    let condition = pods::disruption(pod, "DeletionByTaintManager", message, now);
    Action::Patch {
        resource: ResourceType::of::<LeanPod>(),
        key: key_of(pod),
        subresource: "status",
        patch: Patch::Strategic(json!({
            "metadata": {"uid": pod.uid(), "resourceVersion": version_of(pod)},
            "status": {"conditions": [condition]},
        })),
    }
}
