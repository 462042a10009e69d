//! How a change of the Deployment's size is distributed over its ReplicaSets.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;

use super::revision::{self, DESIRED_REPLICAS, MAX_REPLICAS};
use super::rollout::{Rollout, wanted};
use super::status::{self, Progress};
use super::{new, size};
use crate::framework::{Plan, sort_by_age};

/// Whether the Deployment's size changed since its ReplicaSets were last scaled.
pub(super) fn is_due(rollout: &Rollout<'_>) -> bool {
    rollout.all().filter(|replica_set| wanted(replica_set) > 0).any(|replica_set| {
        let desired = revision::annotation::<i32>(replica_set, DESIRED_REPLICAS);
        desired.is_some_and(|desired| desired != rollout.replicas())
    })
}

/// Distributes a change of size without continuing the rollout; for a paused Deployment this is all.
pub(super) fn plan(rollout: &Rollout<'_>, plan: &mut Plan, now: Timestamp) {
    if let Some(new) = &rollout.new
        && new::update(rollout, new, plan)
    {
        return;
    }
    share_out(rollout, plan);
    if rollout.spec.paused == Some(true) {
        revision::clean_up(rollout, plan);
    }
    status::finish(rollout, plan, Progress::Unchanged, now);
}

fn share_out(rollout: &Rollout<'_>, plan: &mut Plan) {
    let mut active: Vec<Arc<ReplicaSet>> =
        rollout.all().filter(|replica_set| wanted(replica_set) > 0).cloned().collect();
    let only = match &active[..] {
        [] => rollout.new.as_ref().or(rollout.old.last()),
        [one] => Some(one),
        _ => None,
    };
    if let Some(only) = only {
        size::resize(rollout, only, rollout.replicas(), plan);
    } else if rollout.new.as_ref().is_some_and(|new| is_saturated(rollout, new)) {
        for old in rollout.old.iter().filter(|old| wanted(old) > 0) {
            size::resize(rollout, old, 0, plan);
        }
    } else if rollout.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) != Some("Recreate") {
        sort_by_age(&mut active);
        for (replica_set, target) in proportional(rollout, active) {
            size::resize(rollout, &replica_set, target, plan);
        }
    }
}

/// Whether the rollout is complete except for the old ReplicaSets' last pods.
fn is_saturated(rollout: &Rollout<'_>, new: &ReplicaSet) -> bool {
    let replicas = rollout.replicas();
    let available = new.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    let desired = revision::annotation::<i32>(new, DESIRED_REPLICAS);
    desired == Some(replicas) && wanted(new) == replicas && available == replicas
}

/// New sizes in proportion to the current ones; `active` is sorted by age. The largest gets what rounding
/// leaves over; of equally large ones the newest grows, the oldest shrinks.
pub(super) fn proportional(
    rollout: &Rollout<'_>,
    mut active: Vec<Arc<ReplicaSet>>,
) -> Vec<(Arc<ReplicaSet>, i32)> {
    let replicas = rollout.replicas();
    let allowed = if replicas > 0 { replicas + rollout.max_surge() } else { 0 };
    let to_add = allowed - active.iter().map(|replica_set| wanted(replica_set)).sum::<i32>();
    if to_add > 0 {
        active.reverse();
    }
    active.sort_by_key(|replica_set| -wanted(replica_set));
    let mut added = 0;
    let mut sizes: Vec<(Arc<ReplicaSet>, i32)> = Vec::with_capacity(active.len());
    for replica_set in active {
        let part = proportion(rollout, &replica_set, to_add - added, to_add);
        added += part;
        let size = wanted(&replica_set) + part;
        sizes.push((replica_set, size));
    }
    if let Some((_, size)) = sizes.first_mut() {
        *size = (*size + to_add - added).max(0);
    }
    sizes
}

/// The share of one ReplicaSet in `to_add` pods (which may be negative), of which `left` are left.
fn proportion(rollout: &Rollout<'_>, replica_set: &ReplicaSet, left: i32, to_add: i32) -> i32 {
    let present = wanted(replica_set);
    if present == 0 || left == 0 {
        return 0;
    }
    let fraction = if rollout.replicas() == 0 {
        -present
    } else {
        let allowed = f64::from(rollout.replicas() + rollout.max_surge());
        let status = rollout.deployment.status.as_ref();
        let before = revision::annotation::<i32>(replica_set, MAX_REPLICAS).filter(|max| *max != 0);
        let before = before.or(status.and_then(|status| status.replicas)).filter(|max| *max != 0);
        // Without an earlier size to compare with, this assumes that this ReplicaSet was the only one.
        let before = f64::from(before.unwrap_or(present));
        (f64::from(present) * allowed / before).round() as i32 - present
    };
    if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
}
