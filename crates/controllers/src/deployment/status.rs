//! The status of a Deployment: counts, availability, progress.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use semantics::conditions::{self, Condition, find};

use super::revision;
use super::rollout::{Rollout, fenceposts, wanted};
use crate::framework::{Action, Plan, api_time};

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";

const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// The effect of a plan on the condition `Progressing`.
pub(super) enum Progress {
    /// Nothing: only the counts may differ.
    Unchanged,
    /// A rollout is in progress, or complete.
    Rolling,
    /// The rollout starts with this ReplicaSet.
    Created { name: String, revision: i64 },
}

/// Ends a plan: writes the status if it differs, and returns when a stalled rollout exceeds its deadline.
pub(super) fn finish(rollout: &Rollout<'_>, plan: &mut Plan, progress: Progress, now: Timestamp) {
    let mut changed = rollout.deployment.clone();
    let old = changed.status.clone().unwrap_or_default();
    let mut status = counts(rollout, &old, now);
    pause(rollout, &mut status, now);
    match progress {
        Progress::Unchanged => {}
        Progress::Rolling => {
            follow(rollout, &old, &mut status, now);
            replica_failure(rollout, &mut status);
        }
        Progress::Created { ref name, revision } => {
            revision::set_revision(&mut changed, revision);
            if deadline(rollout).is_some() {
                let message = format!("Created new replica set {name:?}");
                set(&mut status, condition(PROGRESSING, "True", "NewReplicaSetCreated", message, now));
            }
        }
    }
    if let Some(new) = &rollout.new {
        if revision::of(new) > 0 {
            revision::set_revision(&mut changed, revision::of(new));
        }
        if deadline(rollout).is_some() && find(&status.conditions, PROGRESSING).is_none() {
            let message =
                format!("Found new replica set {:?}", new.metadata.name.as_deref().unwrap_or_default());
            set(&mut status, condition(PROGRESSING, "True", "FoundNewReplicaSet", message, now));
        }
    }
    if let Some(after) = time_left(rollout, &status, now) {
        plan.requeue_after(after);
    }
    changed.status = Some(status);
    if changed.status.as_ref() != rollout.deployment.status.as_ref()
        || changed.metadata.annotations != rollout.deployment.metadata.annotations
    {
        plan.then(Action::update_status(changed));
    }
}

/// Reports that the new ReplicaSet could not be created.
pub(super) fn creation_failed(deployment: &Deployment, message: String, plan: &mut Plan, now: Timestamp) {
    if deployment.spec.progress_deadline_seconds.is_none_or(|seconds| seconds == i32::MAX) {
        return;
    }
    let mut changed = deployment.clone();
    let status = changed.status.get_or_insert_default();
    set(status, condition(PROGRESSING, "False", "ReplicaSetCreateError", message, now));
    if changed.status != deployment.status {
        plan.then(Action::update_status(changed));
    }
}

/// Whether all desired pods are new and available, and there are no others, according to the current status.
pub(super) fn is_complete(rollout: &Rollout<'_>) -> bool {
    rollout.deployment.status.as_ref().is_some_and(|status| complete(rollout, status))
}

fn complete(rollout: &Rollout<'_>, status: &DeploymentStatus) -> bool {
    let all = Some(rollout.replicas());
    let count = |count: Option<i32>| Some(count.unwrap_or(0));
    count(status.updated_replicas) == all
        && count(status.replicas) == all
        && count(status.available_replicas) == all
        && status.observed_generation >= rollout.deployment.metadata.generation
}

fn counts(rollout: &Rollout<'_>, old: &DeploymentStatus, now: Timestamp) -> DeploymentStatus {
    let sum = |count: fn(&ReplicaSet) -> i32| -> i32 { rollout.all().map(|rs| count(rs)).sum() };
    let available = sum(|rs| rs.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0));
    let terminating =
        sum(|rs| rs.status.as_ref().and_then(|status| status.terminating_replicas).unwrap_or(0));
    let told = rollout.all().all(|rs| rs.status.as_ref().is_some_and(|s| s.terminating_replicas.is_some()));
    let mut status = DeploymentStatus {
        observed_generation: rollout.deployment.metadata.generation,
        replicas: some(sum(|rs| rs.status.as_ref().map_or(0, |status| status.replicas))),
        updated_replicas: some(
            rollout.new.as_ref().and_then(|rs| Some(rs.status.as_ref()?.replicas)).unwrap_or(0),
        ),
        ready_replicas: some(sum(|rs| rs.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0))),
        available_replicas: some(available),
        unavailable_replicas: some((sum(wanted) - available).max(0)),
        terminating_replicas: told.then_some(terminating),
        collision_count: old.collision_count,
        conditions: old.conditions.clone(),
    };
    let available_min = rollout.replicas() - fenceposts(rollout.spec).unavailable;
    set(
        &mut status,
        if available >= available_min {
            let message = "Deployment has minimum availability.".into();
            condition(AVAILABLE, "True", "MinimumReplicasAvailable", message, now)
        } else {
            let message = "Deployment does not have minimum availability.".into();
            condition(AVAILABLE, "False", "MinimumReplicasUnavailable", message, now)
        },
    );
    status
}

/// Go omits zeros of these fields.
fn some(count: i32) -> Option<i32> {
    Some(count).filter(|count| *count != 0)
}

/// Pausing stops the clock of the deadline; resuming restarts it.
fn pause(rollout: &Rollout<'_>, status: &mut DeploymentStatus, now: Timestamp) {
    if deadline(rollout).is_none() || rollout.deployment.metadata.deletion_timestamp.is_some() {
        return;
    }
    let reason = find(&status.conditions, PROGRESSING).and_then(|condition| condition.reason.as_deref());
    match (rollout.spec.paused == Some(true), reason) {
        (_, Some(TIMED_OUT)) | (true, Some(PAUSED)) => {}
        (true, _) => {
            set(status, condition(PROGRESSING, "Unknown", PAUSED, "Deployment is paused".into(), now));
        }
        (false, Some(PAUSED)) => {
            let message = "Deployment is resumed".into();
            set(status, condition(PROGRESSING, "Unknown", "DeploymentResumed", message, now));
        }
        (false, _) => {}
    }
}

/// Updates `Progressing` for a rollout that is in progress, complete or past its deadline.
fn follow(rollout: &Rollout<'_>, old: &DeploymentStatus, status: &mut DeploymentStatus, now: Timestamp) {
    if deadline(rollout).is_none() {
        return conditions::remove(&mut status.conditions, PROGRESSING);
    }
    let was_done = find(&status.conditions, PROGRESSING).map(Condition::reason) == Some(NEW_AVAILABLE);
    if was_done && status.replicas == status.updated_replicas {
        return;
    }
    let name = match &rollout.new {
        Some(new) => format!("ReplicaSet {:?}", new.metadata.name.as_deref().unwrap_or_default()),
        None => format!("Deployment {:?}", rollout.deployment.metadata.name.as_deref().unwrap_or_default()),
    };
    if complete(rollout, status) {
        let message = format!("{name} has successfully progressed.");
        set(status, condition(PROGRESSING, "True", NEW_AVAILABLE, message, now));
    } else if has_progressed(old, status) {
        let message = format!("{name} is progressing.");
        let progressing = condition(PROGRESSING, "True", "ReplicaSetUpdated", message, now);
        // Even if only the time differs: any progress restarts the deadline.
        conditions::set_last(&mut status.conditions, progressing);
    } else if has_timed_out(rollout, status, now) {
        let message = format!("{name} has timed out progressing.");
        set(status, condition(PROGRESSING, "False", TIMED_OUT, message, now));
    }
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let count = |count: Option<i32>| count.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(new.updated_replicas) > count(old.updated_replicas)
        || outdated(new) < outdated(old)
        || count(new.ready_replicas) > count(old.ready_replicas)
        || count(new.available_replicas) > count(old.available_replicas)
}

fn has_timed_out(rollout: &Rollout<'_>, status: &DeploymentStatus, now: Timestamp) -> bool {
    let (Some(deadline), Some(condition)) = (deadline(rollout), find(&status.conditions, PROGRESSING)) else {
        return false;
    };
    match condition.reason.as_deref() {
        Some(NEW_AVAILABLE) => false,
        Some(TIMED_OUT) => true,
        _ => condition.last_update_time.as_ref().is_some_and(|time| now.duration_since(time.0) > deadline),
    }
}

/// How long until a rollout without progress exceeds its deadline; `None` if it is complete or has exceeded it.
fn time_left(rollout: &Rollout<'_>, status: &DeploymentStatus, now: Timestamp) -> Option<Duration> {
    let (deadline, condition) = (deadline(rollout)?, find(&status.conditions, PROGRESSING)?);
    let over = complete(rollout, status) || condition.reason.as_deref() == Some(TIMED_OUT);
    if over || rollout.spec.paused == Some(true) {
        return None;
    }
    let left = deadline - now.duration_since(condition.last_update_time.as_ref()?.0);
    // Conditions have whole seconds: one more makes sure that the deadline is past.
    Duration::try_from(left.max(SignedDuration::ZERO) + SignedDuration::from_secs(1)).ok()
}

/// Shows the first failure of a ReplicaSet to create or delete pods; the new one's before the others'.
fn replica_failure(rollout: &Rollout<'_>, status: &mut DeploymentStatus) {
    let failures = rollout
        .new
        .iter()
        .chain(&rollout.old)
        .filter_map(|replica_set| find(&replica_set.status.as_ref()?.conditions, REPLICA_FAILURE));
    match failures.into_iter().next() {
        None => conditions::remove(&mut status.conditions, REPLICA_FAILURE),
        Some(failure) => set(
            status,
            DeploymentCondition {
                type_: failure.type_.clone(),
                status: failure.status.clone(),
                reason: failure.reason.clone(),
                message: failure.message.clone(),
                last_update_time: failure.last_transition_time.clone(),
                last_transition_time: failure.last_transition_time.clone(),
            },
        ),
    }
}

/// The progress deadline, if there is one.
fn deadline(rollout: &Rollout<'_>) -> Option<SignedDuration> {
    let seconds = rollout.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)?;
    Some(SignedDuration::from_secs(seconds.into()))
}

fn condition(kind: &str, status: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: Some(kind.into()),
        status: Some(status.into()),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: Some(api_time(now)),
        last_transition_time: Some(api_time(now)),
    }
}

/// Sets a condition. One with the same status and reason is not changed.
fn set(status: &mut DeploymentStatus, condition: DeploymentCondition) {
    let current = find(&status.conditions, condition.kind());
    if current.is_none_or(|old| old.status != condition.status || old.reason != condition.reason) {
        conditions::set_last(&mut status.conditions, condition);
    }
}
