//! Whether a Job has failed or succeeded.

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::JobCondition;
use semantics::conditions;

use super::facts::Facts;
use super::failure_policy::{Match, matched};
use super::success_policy;
use super::terms::{is_suspended, spec};
use super::tracked;
use crate::framework::api_time;
use crate::pods;

/// The condition of a Job that is about to fail.
pub(super) const FAILURE_TARGET: &str = "FailureTarget";
/// The condition of a Job that is about to complete.
pub(super) const SUCCESS: &str = "SuccessCriteriaMet";

/// Why a Job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// [`FAILURE_TARGET`] or [`SUCCESS`]
    pub(super) kind: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Verdict {
    fn failure(reason: &str, message: impl Into<String>) -> Verdict {
        Verdict { kind: FAILURE_TARGET, reason: reason.into(), message: message.into() }
    }

    /// All completions are there.
    pub(super) fn completions_reached() -> Verdict {
        let message = "Reached expected number of succeeded pods".into();
        Verdict { kind: SUCCESS, reason: "CompletionsReached".into(), message }
    }

    pub(super) fn is_success(&self) -> bool {
        self.kind == SUCCESS
    }

    /// The condition of this type with the verdict's reason.
    pub(super) fn condition(&self, kind: &str, facts: &Facts<'_>) -> JobCondition {
        condition(kind, true, &self.reason, &self.message, facts)
    }
}

/// A condition as of now.
pub(super) fn condition(
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    facts: &Facts<'_>,
) -> JobCondition {
    JobCondition {
        type_: kind.into(),
        status: conditions::status(holds).into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_probe_time: Some(api_time(facts.now)),
        last_transition_time: Some(api_time(facts.now)),
    }
}

/// The verdict from the pods as they are. One that the status has already stays.
pub(super) fn verdict(facts: &Facts<'_>) -> Option<Verdict> {
    recorded(facts, SUCCESS)
        .or_else(|| recorded(facts, FAILURE_TARGET))
        .or_else(|| failed_by_policy(facts))
        .or_else(|| failed_by_limits(facts))
        .or_else(|| failed_by_indexes(facts))
        .or_else(|| {
            let indexes = facts.indexes.as_ref()?;
            let policy = facts.spec().success_policy.as_ref();
            let message = success_policy::met(policy, &indexes.succeeded, indexes.completions)?;
            Some(Verdict { kind: SUCCESS, reason: "SuccessPolicy".into(), message })
        })
}

fn recorded(facts: &Facts<'_>, kind: &'static str) -> Option<Verdict> {
    let status = facts.job.status.as_ref()?;
    let found =
        conditions::find(&status.conditions, kind).filter(|found| found.status == conditions::TRUE)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Some(Verdict { kind, reason: text(&found.reason), message: text(&found.message) })
}

fn failed_by_policy(facts: &Facts<'_>) -> Option<Verdict> {
    let policy = spec(facts.job).pod_failure_policy.as_ref();
    let failed = facts.pods.iter().filter(|pod| tracked::is_failed(facts.job, pod));
    failed.map(|pod| matched(policy, pod)).find_map(|found| match found {
        Some(Match::FailJob(message)) => Some(Verdict::failure("PodFailurePolicy", message)),
        _ => None,
    })
}

fn failed_by_limits(facts: &Facts<'_>) -> Option<Verdict> {
    let limit = facts.spec().backoff_limit.unwrap_or(6);
    if facts.failed > limit || has_restarted_too_often(facts, limit) {
        let message = "Job has reached the specified backoff limit";
        return Some(Verdict::failure("BackoffLimitExceeded", message));
    }
    let is_late = time_left(facts).is_some_and(|left| left <= SignedDuration::ZERO);
    is_late.then(|| Verdict::failure("DeadlineExceeded", "Job was active longer than specified deadline"))
}

/// Containers that are restarted in place count too.
fn has_restarted_too_often(facts: &Facts<'_>, limit: i32) -> bool {
    let template = facts.spec().template.spec.as_ref();
    if template.and_then(|template| template.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    let running = facts.pods.iter().filter(|pod| matches!(pods::phase(&***pod), "Running" | "Pending"));
    let statuses = running.filter_map(|pod| pod.status.as_ref());
    let containers =
        statuses.flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses));
    let restarts: i32 = containers.map(|container| container.restart_count).sum();
    restarts >= limit.max(1)
}

/// What is left until the deadline, if the Job has one and has started.
pub(super) fn time_left(facts: &Facts<'_>) -> Option<SignedDuration> {
    let deadline = facts.spec().active_deadline_seconds.filter(|_| !is_suspended(facts.job))?;
    let start = facts.job.status.as_ref()?.start_time.as_ref()?.0;
    Some(SignedDuration::from_secs(deadline) - facts.now.duration_since(start))
}

fn failed_by_indexes(facts: &Facts<'_>) -> Option<Verdict> {
    let indexes = facts.indexes.as_ref()?;
    let failed = indexes.failed.as_ref()?.total();
    if facts.spec().max_failed_indexes.is_some_and(|max| failed > max) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Some(Verdict::failure("MaxFailedIndexesExceeded", message));
    }
    let all_ended = failed + indexes.succeeded.total() >= indexes.completions;
    (failed > 0 && all_ended).then(|| Verdict::failure("FailedIndexes", "Job has failed indexes"))
}
