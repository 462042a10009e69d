//! The status of a ReplicaSet or ReplicationController.

use std::sync::Arc;
use std::time::Duration;

use client::LeanPod;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use object::Selector;
use semantics::conditions;

use super::replicated::Replicated;
use crate::framework::{Action, Plan, api_time};
use crate::pods;

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Pods could not be created or deleted.
pub(super) struct ReplicaFailure {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Ends a plan: writes the status if it differs, and returns when the next pod has been ready for long enough.
pub(super) fn finish<K: Replicated>(
    owner: &K,
    owned: &[Arc<LeanPod>],
    failure: Option<ReplicaFailure>,
    plan: &mut Plan,
    now: Timestamp,
) {
    let min_ready_seconds = owner.min_ready_seconds();
    let active: Vec<&LeanPod> = owned.iter().map(|pod| &**pod).filter(|pod| pods::is_active(pod)).collect();
    let available_at = active.iter().filter_map(|pod| pods::available_at(pod, min_ready_seconds));
    if let Some(next) = available_at.filter(|at| *at > now).min() {
        plan.requeue_after(Duration::try_from(next.duration_since(now)).unwrap_or_default());
    }
    let mut status = counts(owner, owned, &active, min_ready_seconds, now);
    set_failure(&mut status, failure, now);
    if Some(&status) != owner.status().as_ref() {
        let mut changed = owner.clone();
        changed.set_status(status);
        plan.then(Action::update_status(changed));
    }
}

fn counts<K: Replicated>(
    owner: &K,
    owned: &[Arc<LeanPod>],
    active: &[&LeanPod],
    min_ready_seconds: i32,
    now: Timestamp,
) -> ReplicaSetStatus {
    let labels =
        owner.template().and_then(|template| template.metadata.as_ref()?.labels.clone()).unwrap_or_default();
    let labelled = Selector::from_labels(labels);
    let count = |matches: &dyn Fn(&LeanPod) -> bool| active.iter().filter(|pod| matches(pod)).count() as i32;
    let available = |pod: &LeanPod| pods::available_at(pod, min_ready_seconds).is_some_and(|at| at <= now);
    let terminating = owned.iter().filter(|pod| pods::is_terminating(pod)).count() as i32;
    ReplicaSetStatus {
        replicas: active.len() as i32,
        fully_labeled_replicas: some(count(&|pod| labelled.matches(&pod.metadata.labels))),
        ready_replicas: some(count(&|pod| pods::is_ready(pod))),
        available_replicas: some(count(&available)),
        terminating_replicas: K::COUNTS_TERMINATING.then_some(terminating),
        observed_generation: owner.metadata().generation,
        conditions: owner.status().and_then(|status| status.conditions),
    }
}

/// Go omits zeros of these fields.
fn some(count: i32) -> Option<i32> {
    Some(count).filter(|count| *count != 0)
}

/// The first failure stays shown, with its own text, until all goes well.
fn set_failure(status: &mut ReplicaSetStatus, failure: Option<ReplicaFailure>, now: Timestamp) {
    let shown = conditions::find(&status.conditions, REPLICA_FAILURE).is_some();
    match failure {
        Some(failure) if !shown => {
            let condition = ReplicaSetCondition {
                type_: Some(REPLICA_FAILURE.into()),
                status: Some(conditions::TRUE.into()),
                reason: Some(failure.reason.into()),
                message: Some(failure.message),
                last_transition_time: Some(api_time(now)),
            };
            conditions::set_last(&mut status.conditions, condition);
        }
        None if shown => conditions::remove(&mut status.conditions, REPLICA_FAILURE),
        Some(_) | None => {}
    }
}
