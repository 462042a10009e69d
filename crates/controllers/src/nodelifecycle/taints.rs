//! The taints that a node's state requires.

use client::{Patch, ResourceType, key_of};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::json;

use super::snapshot::{Snapshot, condition};
use crate::framework::{Action, Plan, api_time};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that keep new pods away when they are true.
const BY_CONDITION: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

pub(super) fn plan(snapshot: &Snapshot, plan: &mut Plan, now: Timestamp) {
    let node = &*snapshot.node;
    let present = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let wanted = wanted(node);
    let kept = present.iter().filter(|taint| !is_ours(taint) || wanted.contains(&identity(taint)));
    let mut taints: Vec<Taint> = kept.cloned().collect();
    for (key, effect) in wanted {
        if taints.iter().all(|taint| identity(taint) != (key, effect)) {
            taints.push(Taint {
                key: key.into(),
                effect: effect.into(),
                time_added: Some(api_time(now)),
                value: None,
            });
        }
    }
    if taints != present {
        let meta = &node.metadata;
        plan.then(Action::Patch {
            resource: ResourceType::of::<Node>(),
            key: key_of(node),
            subresource: "",
            patch: Patch::Merge(json!({
                "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
                "spec": {"taints": if taints.is_empty() { None } else { Some(taints) }},
            })),
        });
    }
}

/// The taints that the node must have, as key and effect.
fn wanted(node: &Node) -> Vec<(&'static str, &'static str)> {
    let status = |kind: &str| condition(node, kind).map(|condition| condition.status.as_str());
    let mut taints = Vec::new();
    match status("Ready") {
        Some("False") => taints.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
        Some("Unknown") => taints.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
        _ => {}
    }
    for (kind, key) in BY_CONDITION {
        if status(kind) == Some("True") {
            taints.push((key, "NoSchedule"));
        }
    }
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) {
        taints.push((UNSCHEDULABLE, "NoSchedule"));
    }
    taints
}

/// Whether this controller sets and removes such a taint. A node that registers brings `not-ready` itself.
fn is_ours(taint: &Taint) -> bool {
    let (key, effect) = identity(taint);
    match effect {
        "NoExecute" => [NOT_READY, UNREACHABLE].contains(&key),
        "NoSchedule" => {
            [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&key)
                || BY_CONDITION.iter().any(|(_, ours)| *ours == key)
        }
        _ => false,
    }
}

fn identity(taint: &Taint) -> (&str, &str) {
    (&taint.key, &taint.effect)
}
