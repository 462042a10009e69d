//! What to do about one budget, or about one pod whose disruption did not come.

use std::sync::Arc;
use std::time::Duration;

use client::{Identified, LeanPod, Patch, ResourceType, key_of, version_of};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use semantics::conditions;
use serde_json::json;

use super::events;
use super::scales::Expected;
use super::status::{self, Disrupted};
use crate::framework::{Action, Failure, Note, Plan, api_time};
use crate::pods;

/// How long a pod may be the target of a disruption without being deleted.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// The inputs of a decision.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// A budget, the pods that it selects, and the scale of their controllers if it matters. `news` is an event that
    /// was not told yet.
    Budget {
        budget: Arc<PodDisruptionBudget>,
        pods: Vec<Arc<LeanPod>>,
        expected: Expected,
        news: Option<Note>,
    },
    /// A pod that may have been spared by a disruption, or that several budgets cover.
    Pod { pod: Arc<LeanPod>, news: Option<Note> },
}

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match snapshot {
        Snapshot::Budget { budget, pods, expected, news } => {
            news.iter().for_each(|news| plan.record(news.clone()));
            match expected {
                Ok(sum) => count(budget, pods, sum.pods, &mut plan, now),
                Err(why) => write(budget, status::failed(budget, why, now), &mut plan),
            }
        }
        Snapshot::Pod { pod, news } => {
            news.iter().for_each(|news| plan.record(news.clone()));
            match stale_at(pod) {
                Some(at) if at <= now => plan.then(spared(pod, now)),
                Some(at) => {
                    plan.requeue_after(Duration::try_from(at.duration_since(now)).unwrap_or_default())
                }
                None => {}
            }
        }
    }
    plan
}

/// If the status cannot be written, at least nothing may be evicted.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let lasting = |failure: &&Failure| !failure.error.is_conflict() && !failure.error.is_not_found();
    if let Snapshot::Budget { budget, .. } = snapshot
        && let Some(failure) = failures.iter().find(lasting)
    {
        write(budget, status::failed(budget, &failure.error.to_string(), now), &mut plan);
    }
    plan
}

fn count(budget: &PodDisruptionBudget, pods: &[Arc<LeanPod>], scale: i32, plan: &mut Plan, now: Timestamp) {
    let goal = status::goal(budget, pods.len(), scale);
    let disrupted = Disrupted::of(budget, pods, now);
    write(budget, status::counted(budget, pods, goal, &disrupted, now), plan);
    for pod in &disrupted.overdue {
        plan.record(events::not_deleted(pod, budget));
    }
    if let Some(next) = disrupted.next {
        plan.requeue_after(Duration::try_from(next.duration_since(now)).unwrap_or_default());
    }
}

fn write(budget: &PodDisruptionBudget, status: PodDisruptionBudgetStatus, plan: &mut Plan) {
    if budget.status.as_ref() != Some(&status) {
        plan.then(Action::update_status(PodDisruptionBudget { status: Some(status), ..budget.clone() }));
    }
}

/// When a pod stops counting as the target of a disruption; `None` if it is not one, or is being deleted.
pub(super) fn stale_at(pod: &LeanPod) -> Option<Timestamp> {
    if semantics::pods::is_deleting(pod) || pods::is_terminal(pod) {
        return None;
    }
    let condition = conditions::of(pod, pods::DISRUPTION_TARGET);
    // A kubelet may take any time until it lets the pod end.
    let counts = condition.field("status").text() == conditions::TRUE
        && condition.field("reason").text() != "TerminationByKubelet";
    let since = condition.field("lastTransitionTime").as_time().unwrap_or(Timestamp::UNIX_EPOCH);
    counts.then(|| since.checked_add(STALE_AFTER).unwrap_or(Timestamp::MAX))
}

/// Shows that the disruption did not come.
fn spared(pod: &LeanPod, now: Timestamp) -> Action {
    let condition = json!({
        "type": pods::DISRUPTION_TARGET, "status": conditions::FALSE, "lastTransitionTime": api_time(now),
        "reason": null, "message": null, "observedGeneration": pod.metadata.generation,
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
