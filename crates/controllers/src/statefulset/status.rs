//! The status of a StatefulSet.

use std::sync::Arc;
use std::time::Duration;

use client::LeanPod;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};

use super::identity;
use super::replicas::{self, Revisions};
use crate::framework::{Action, Plan};
use crate::pods;

/// Counts the pods of a set.
pub(super) fn counts(
    set: &StatefulSet,
    owned: &[Arc<LeanPod>],
    revisions: &Revisions,
    now: Timestamp,
) -> StatefulSetStatus {
    let count = |matches: &dyn Fn(&LeanPod) -> bool| owned.iter().filter(|pod| matches(pod)).count() as i32;
    let ready = replicas::is_running_and_ready;
    let of = |pod: &LeanPod, name: &str| !replicas::is_deleting(pod) && identity::revision(pod) == name;
    let old = set.status.clone().unwrap_or_default();
    StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas: owned.len() as i32,
        ready_replicas: Some(count(&ready)),
        available_replicas: Some(count(&|pod| ready(pod) && replicas::is_available(set, pod, now))),
        current_replicas: Some(count(&|pod| of(pod, revisions.current()))),
        updated_replicas: Some(count(&|pod| of(pod, revisions.update()))),
        current_revision: Some(revisions.current().to_owned()),
        update_revision: Some(revisions.update().to_owned()),
        collision_count: Some(old.collision_count.unwrap_or(0)),
        conditions: old.conditions,
    }
}

/// Ends a plan: writes the status if it differs, and has the set looked at again when the next pod has been ready for
/// long enough.
pub(super) fn finish(
    set: &StatefulSet,
    owned: &[Arc<LeanPod>],
    mut status: StatefulSetStatus,
    plan: &mut Plan,
    now: Timestamp,
) {
    let available_at =
        owned.iter().filter_map(|pod| pods::available_at(&**pod, replicas::min_ready_seconds(set)));
    if let Some(next) = available_at.filter(|at| *at > now).min() {
        plan.requeue_after(Duration::try_from(next.duration_since(now)).unwrap_or_default());
    }
    complete(set, &mut status);
    if !set.status.as_ref().is_some_and(|old| says_the_same(old, &status)) {
        let mut changed = set.clone();
        changed.status = Some(status);
        plan.then(Action::update_status(changed));
    }
}

/// When all pods are updated, the new revision is the current one.
fn complete(set: &StatefulSet, status: &mut StatefulSetStatus) {
    let wanted = identity::wanted(set);
    if replicas::strategy(set) == Some("RollingUpdate")
        && [status.updated_replicas, status.ready_replicas, Some(status.replicas)] == [Some(wanted); 3]
    {
        status.current_replicas = status.updated_replicas;
        status.current_revision.clone_from(&status.update_revision);
    }
}

/// Whether a written status, from which zeros may be missing, says what a new one says.
fn says_the_same(old: &StatefulSetStatus, new: &StatefulSetStatus) -> bool {
    let counts = |status: &StatefulSetStatus| {
        [
            Some(status.replicas),
            status.ready_replicas,
            status.available_replicas,
            status.current_replicas,
            status.updated_replicas,
        ]
        .map(Option::unwrap_or_default)
    };
    counts(old) == counts(new)
        && old.observed_generation >= new.observed_generation
        && old.current_revision == new.current_revision
        && old.update_revision == new.update_revision
}
