//! When a node counts as silent, and the effect on its conditions and pods.

use std::time::Duration;

use client::{EventType, Identified, LeanPod, Patch, ResourceType, key_of, reference_to, version_of};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use semantics::conditions;
use serde_json::json;

use super::snapshot::{Snapshot, condition, is_silent};
use crate::framework::{Action, Note, Plan, api_time};
use crate::pods;

/// A node that has never reported gets this time since its creation.
const STARTUP_GRACE: SignedDuration = SignedDuration::from_secs(60);
/// The conditions that only the node can know.
const CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Returns whether the node's status changes.
pub(super) fn plan(snapshot: &Snapshot, plan: &mut Plan, now: Timestamp) -> bool {
    let grace = if condition(&snapshot.node, "Ready").is_some() { snapshot.grace } else { STARTUP_GRACE };
    let silent_for = now.duration_since(snapshot.alive_at);
    if silent_for <= grace {
        let left = grace - silent_for + SignedDuration::from_secs(1);
        plan.requeue_after(Duration::try_from(left).unwrap_or_default());
    } else {
        silence(snapshot, plan, now);
    }
    let changes = !plan.is_empty();
    // Also later: a pod may have been bound to the node since, or an earlier attempt failed.
    if is_silent(&snapshot.node) {
        let claims = snapshot.pods.iter().filter(|pod| pods::is_ready(pod) && !pods::is_terminal(pod));
        let claims: Vec<_> = claims.collect();
        plan.together(claims.iter().map(|pod| not_ready(pod, now)).collect());
        for pod in claims {
            plan.record(Note {
                about: reference_to(&**pod),
                kind: EventType::Warning,
                reason: "NodeNotReady",
                message: "Node is not ready".into(),
            });
        }
    }
    changes
}

/// The node's own conditions become unknown.
fn silence(snapshot: &Snapshot, plan: &mut Plan, now: Timestamp) {
    let mut node = (*snapshot.node).clone();
    let was_ready = condition(&node, "Ready").is_some_and(|ready| ready.status == "True");
    let created = node.metadata.creation_timestamp.clone();
    let status = node.status.get_or_insert_default();
    for kind in CONDITIONS {
        let silent = match conditions::find(&status.conditions, kind) {
            Some(known) if known.status == "Unknown" => continue,
            Some(known) => NodeCondition {
                status: "Unknown".into(),
                reason: Some("NodeStatusUnknown".into()),
                message: Some("Kubelet stopped posting node status.".into()),
                last_transition_time: Some(api_time(now)),
                ..known.clone()
            },
            None => NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: created.clone(),
                last_transition_time: Some(api_time(now)),
            },
        };
        conditions::set(&mut status.conditions, silent);
    }
    if node.status == snapshot.node.status {
        return;
    }
    let note = was_ready.then(|| not_ready_note(&node));
    plan.then(Action::update_status(node));
    note.into_iter().for_each(|note| plan.record(note));
}

fn not_ready_note(node: &Node) -> Note {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    Note {
        about: reference_to(node),
        kind: EventType::Normal,
        reason: "NodeNotReady",
        message: format!("Node {name} status is now: NodeNotReady"),
    }
}

/// Services must send traffic elsewhere, because it is unknown whether the pod is ready.
fn not_ready(pod: &LeanPod, now: Timestamp) -> Action {
    let condition = json!({
        "type": "Ready", "status": conditions::FALSE, "reason": "NodeNotReady", "lastTransitionTime": api_time(now),
    });
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
