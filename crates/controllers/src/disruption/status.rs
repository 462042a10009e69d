//! The status of a budget.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::LeanPod;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use semantics::conditions;

use crate::framework::api_time;
use crate::pods;
use crate::template::scaled;

/// How long the controller believes that an evicted pod will be deleted.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);
const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";

/// How many pods there should be, and how many of them healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    pub(super) expected: i32,
    pub(super) healthy: i32,
}

/// Whether the goal of a budget depends on the scales of its pods' controllers.
pub(super) fn needs_scales(budget: &PodDisruptionBudget) -> bool {
    let Some(spec) = &budget.spec else { return false };
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// The goal of a budget whose `pods` have controllers of `scale` in total.
pub(super) fn goal(budget: &PodDisruptionBudget, pods: usize, scale: i32) -> Goal {
    let spec = budget.spec.clone().unwrap_or_default();
    match (spec.max_unavailable, spec.min_available) {
        (Some(unavailable), _) => {
            let unavailable = scaled(Some(&unavailable), scale, true);
            Goal { expected: scale, healthy: scale.saturating_sub(unavailable).max(0) }
        }
        (None, Some(IntOrString::Int(available))) => {
            Goal { expected: i32::try_from(pods).unwrap_or(i32::MAX), healthy: available }
        }
        (None, Some(percentage)) => Goal { expected: scale, healthy: scaled(Some(&percentage), scale, true) },
        (None, None) => Goal { expected: 0, healthy: 0 },
    }
}

/// Evicted pods that are not in deletion yet.
#[derive(Debug, Default)]
pub(super) struct Disrupted {
    pub(super) waiting: BTreeMap<String, Time>,
    /// Those that were not deleted in time.
    pub(super) overdue: Vec<Arc<LeanPod>>,
    /// When the next of the waiting ones is overdue.
    pub(super) next: Option<Timestamp>,
}

impl Disrupted {
    pub(super) fn of(budget: &PodDisruptionBudget, pods: &[Arc<LeanPod>], now: Timestamp) -> Disrupted {
        let mut disrupted = Disrupted::default();
        let Some(told) = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref()) else {
            return disrupted;
        };
        for pod in pods.iter().filter(|pod| !semantics::pods::is_deleting(&***pod)) {
            let Some(time) = told.get(pod.metadata.name()) else { continue };
            let deadline = time.0.checked_add(DELETION_TIMEOUT).unwrap_or(Timestamp::MAX);
            if deadline <= now {
                disrupted.overdue.push(Arc::clone(pod));
                continue;
            }
            disrupted.next = Some(disrupted.next.map_or(deadline, |next| next.min(deadline)));
            disrupted.waiting.insert(pod.metadata.name().to_owned(), time.clone());
        }
        disrupted
    }
}

/// The status of a budget whose goal is known.
pub(super) fn counted(
    budget: &PodDisruptionBudget,
    pods: &[Arc<LeanPod>],
    goal: Goal,
    disrupted: &Disrupted,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let healthy = pods.iter().filter(|pod| {
        !semantics::pods::is_deleting(&***pod)
            && !disrupted.waiting.contains_key(pod.metadata.name())
            && pods::is_ready(&***pod)
    });
    let healthy = i32::try_from(healthy.count()).unwrap_or(i32::MAX);
    // Nothing is allowed while no pod is expected: the first pods may appear before the next status.
    let allowed = if goal.expected <= 0 { 0 } else { healthy.saturating_sub(goal.healthy).max(0) };
    let mut status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(goal.healthy),
        expected_pods: Some(goal.expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(disrupted.waiting.clone()).filter(|waiting| !waiting.is_empty()),
        observed_generation: budget.metadata.generation,
        conditions: budget.status.as_ref().and_then(|status| status.conditions.clone()),
    };
    let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
    set_condition(&mut status, allowed > 0, reason, "", now);
    status
}

/// The status of a budget whose goal cannot be known: at least nothing may be evicted.
pub(super) fn failed(budget: &PodDisruptionBudget, why: &str, now: Timestamp) -> PodDisruptionBudgetStatus {
    let mut status = budget.status.clone().unwrap_or_default();
    status.disruptions_allowed = Some(0);
    for count in [&mut status.current_healthy, &mut status.desired_healthy, &mut status.expected_pods] {
        count.get_or_insert(0);
    }
    set_condition(&mut status, false, "SyncFailed", why, now);
    status
}

fn set_condition(
    status: &mut PodDisruptionBudgetStatus,
    allowed: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let condition = Condition {
        type_: DISRUPTION_ALLOWED.into(),
        status: conditions::status(allowed).into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: status.observed_generation,
        last_transition_time: api_time(now),
    };
    conditions::set(&mut status.conditions, condition);
}
