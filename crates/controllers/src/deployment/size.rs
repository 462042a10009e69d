//! The size of one ReplicaSet.

use client::EventType;
use k8s_openapi::api::apps::v1::ReplicaSet;

use super::revision;
use super::rollout::{Rollout, wanted};
use crate::framework::{Action, Plan};

/// Changes the size of a ReplicaSet; returns whether it changed.
pub(super) fn to(rollout: &Rollout<'_>, replica_set: &ReplicaSet, target: i32, plan: &mut Plan) -> bool {
    wanted(replica_set) != target && resize(rollout, replica_set, target, plan)
}

/// Sets a ReplicaSet's size and the matching annotations; returns whether anything has to be written.
pub(super) fn resize(rollout: &Rollout<'_>, replica_set: &ReplicaSet, target: i32, plan: &mut Plan) -> bool {
    let mut changed = replica_set.clone();
    changed.spec.replicas = Some(target);
    let annotated = revision::annotate_size(rollout, &mut changed);
    let resized = wanted(replica_set) != target;
    if annotated || resized {
        plan.then(Action::update(changed));
    }
    if resized {
        scaled(rollout, replica_set, target, plan);
    }
    annotated || resized
}

/// The event that reports a ReplicaSet's new size.
fn scaled(rollout: &Rollout<'_>, replica_set: &ReplicaSet, target: i32, plan: &mut Plan) {
    let present = wanted(replica_set);
    let direction = if present < target { "up" } else { "down" };
    let name = replica_set.metadata.name.as_deref().unwrap_or_default();
    let message = format!("Scaled {direction} replica set {name} from {present} to {target}");
    plan.record(rollout.note(EventType::Normal, "ScalingReplicaSet", message));
}
