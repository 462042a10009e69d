//! How far a rollout may proceed in one step.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;

use super::rollout::{Rollout, fenceposts, wanted};
use super::status::{self, Progress};
use super::{new, revision, size};
use crate::framework::{Plan, controller_of};
use crate::pods;

/// One step of a rolling update: first the new ReplicaSet grows, then the old ones shrink.
pub(super) fn roll(rollout: &Rollout<'_>, plan: &mut Plan, now: Timestamp) {
    let Some(new) = &rollout.new else { return new::create(rollout, plan, now) };
    if new::update(rollout, new, plan) {
        return;
    }
    let present = wanted(new);
    let target = match present.cmp(&rollout.replicas()) {
        std::cmp::Ordering::Less => new::replicas(rollout),
        _ => rollout.replicas(),
    };
    let mut moved = size::to(rollout, new, target, plan);
    if !moved {
        moved = shrink_old(rollout, new, plan);
    }
    if !moved && status::is_complete(rollout) {
        revision::clean_up(rollout, plan);
    }
    status::finish(rollout, plan, Progress::Rolling, now);
}

/// Removes pods from old ReplicaSets: first those that are unavailable anyway, then as many as the new ones compensate
/// for.
fn shrink_old(rollout: &Rollout<'_>, new: &ReplicaSet, plan: &mut Plan) -> bool {
    let mut old: Vec<(&Arc<ReplicaSet>, i32)> =
        rollout.old.iter().map(|replica_set| (replica_set, wanted(replica_set))).collect();
    let total: i32 = rollout.all().map(|replica_set| wanted(replica_set)).sum();
    let available_min = rollout.replicas() - fenceposts(rollout.spec).unavailable;
    let new_unavailable = wanted(new) - available(new);
    let mut broken_max = total - available_min - new_unavailable;
    if broken_max <= 0 {
        return false;
    }
    for (replica_set, target) in &mut old {
        let broken = (*target - available(replica_set)).clamp(0, broken_max);
        *target -= broken;
        broken_max -= broken;
    }
    let mut spare = rollout.all().map(|replica_set| available(replica_set)).sum::<i32>() - available_min;
    for (_, target) in &mut old {
        let taken = (*target).min(spare).max(0);
        *target -= taken;
        spare -= taken;
    }
    let mut moved = false;
    for (replica_set, target) in old {
        moved |= target != wanted(replica_set) && size::to(rollout, replica_set, target, plan);
    }
    moved
}

/// The number of available pods of a ReplicaSet, as far as is known. Its status may still count pods that it is about
/// to delete: upstream's arithmetic considers them available, and goes below the required minimum when a rollout is
/// scaled down.
fn available(replica_set: &ReplicaSet) -> i32 {
    let told = replica_set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    told.min(wanted(replica_set))
}

/// One step of a Recreate rollout: all old pods end before the first new one starts.
pub(super) fn recreate(rollout: &Rollout<'_>, plan: &mut Plan, now: Timestamp) {
    if let Some(new) = &rollout.new
        && new::update(rollout, new, plan)
    {
        return;
    }
    let mut moved = false;
    for old in &rollout.old {
        moved |= size::to(rollout, old, 0, plan);
    }
    if moved || old_pods_run(rollout) {
        return status::finish(rollout, plan, Progress::Rolling, now);
    }
    let Some(new) = &rollout.new else { return new::create(rollout, plan, now) };
    let grown = size::to(rollout, new, rollout.replicas(), plan);
    if !grown && status::is_complete(rollout) {
        revision::clean_up(rollout, plan);
    }
    status::finish(rollout, plan, Progress::Rolling, now);
}

fn old_pods_run(rollout: &Rollout<'_>) -> bool {
    let counted = rollout.old.iter().any(|old| old.status.as_ref().is_some_and(|status| status.replicas > 0));
    let new = rollout.new.as_ref().and_then(|new| new.metadata.uid.as_deref());
    counted
        || rollout.snapshot.pods.iter().any(|pod| {
            let owner = controller_of(&pod.metadata).map(|owner| owner.uid);
            owner != new && !pods::is_terminal(pod)
        })
}
