//! What a single pod means for its Job.

use std::collections::HashSet;
use std::sync::Arc;

use client::{LeanContainer, LeanContainerStatus, LeanPod, Patch, ResourceType, key_of};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, PodFailurePolicy};
use semantics::conditions;
use serde_json::{Value as Json, json};

use super::failure_policy::{Match, matched};
use super::terms::{completions_of_indexed, spec, uncounted};
use crate::framework::Action;
use crate::pods;

/// The finalizer of pods that are not counted yet.
pub(super) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// The annotation, and the label, with the completion index.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The annotation with the number of earlier failures of the index that count.
pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// The annotation with the number of those that a policy ignores.
pub(super) const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// The earlier failures of a pod's index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    pub(super) counted: i32,
    pub(super) ignored: i32,
}

impl Failures {
    pub(super) fn sum(self) -> i32 {
        self.counted.saturating_add(self.ignored)
    }
}

/// Whether the pod has the finalizer, and so is not counted yet.
pub(super) fn is_tracked(pod: &LeanPod) -> bool {
    pod.metadata.finalizers.iter().any(|finalizer| **finalizer == *FINALIZER)
}

/// Its completion index.
pub(super) fn index(pod: &LeanPod) -> Option<i32> {
    pod.metadata.annotations.get(INDEX)?.parse().ok().filter(|index| *index >= 0)
}

/// The earlier failures of its index.
pub(super) fn failures(pod: &LeanPod) -> Failures {
    let number = |name| pod.metadata.annotations.get(name).and_then(|count| count.parse().ok()).unwrap_or(0);
    Failures { counted: number(FAILURES), ignored: number(IGNORED_FAILURES) }
}

/// Whether new pods are made only for those that have failed, not for those on their way out.
pub(super) fn replaces_only_failed(job: &Job) -> bool {
    let spec = spec(job);
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

/// Whether the pod counts as failed. One that is on its way out does unless the Job waits for its end: a pod without a
/// node never reports one.
pub(super) fn is_failed(job: &Job, pod: &LeanPod) -> bool {
    match pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => !replaces_only_failed(job) && pod.metadata.deletion_timestamp.is_some(),
    }
}

/// Whether a failed pod counts towards limits.
pub(super) fn is_counted(policy: Option<&PodFailurePolicy>, pod: &LeanPod) -> bool {
    matched(policy, pod) != Some(Match::Ignore)
}

/// Whether this failed pod is the end of its index, which may fail `limit` times.
pub(super) fn has_failed_for_good(job: &Job, pod: &LeanPod, limit: i32) -> bool {
    let policy = spec(job).pod_failure_policy.as_ref();
    is_failed(job, pod)
        && match matched(policy, pod) {
            Some(Match::FailIndex) => true,
            Some(Match::Ignore) => false,
            Some(Match::Count | Match::FailJob(_)) | None => failures(pod).counted >= limit,
        }
}

/// The pods that have succeeded and those that have failed, of which the status knows nothing yet.
pub(super) fn newly_ended<'a>(
    job: &Job,
    pods: &'a [Arc<LeanPod>],
) -> (Vec<&'a Arc<LeanPod>>, Vec<&'a Arc<LeanPod>>) {
    let known = uncounted(job);
    let (succeeded, failed) = (known.succeeded.unwrap_or_default(), known.failed.unwrap_or_default());
    let (succeeded, failed): (HashSet<_>, HashSet<_>) =
        (succeeded.iter().map(String::as_str).collect(), failed.iter().map(String::as_str).collect());
    let completions = completions_of_indexed(job);
    let is_valid = |pod: &&Arc<LeanPod>| {
        let fits = |completions| index(pod).is_some_and(|index| index < completions);
        is_tracked(pod) && completions.is_none_or(fits)
    };
    let new = |known: HashSet<&str>, is: &dyn Fn(&LeanPod) -> bool| {
        let valid = pods.iter().filter(is_valid);
        valid.filter(|pod| !known.contains(pod.metadata.uid.as_str()) && is(pod)).collect()
    };
    (new(succeeded, &|pod| pods::phase(pod) == "Succeeded"), new(failed, &|pod| is_failed(job, pod)))
}

/// When the pod ended: with its last container, or when it stopped being ready, or when it had to be gone.
pub(super) fn ended_at(pod: &LeanPod) -> Option<Timestamp> {
    let ready = conditions::of(pod, "Ready");
    let unready_since = || {
        let is_unready = ready.field("status").text() == conditions::FALSE;
        ready.field("lastTransitionTime").as_time().filter(|_| is_unready)
    };
    let gone_at = || {
        let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
        pod.metadata.deletion_timestamp.as_ref()?.0.checked_sub(grace).ok()
    };
    let created_at = || pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    containers_ended_at(pod).or_else(unready_since).or_else(gone_at).or_else(created_at)
}

/// When the last of the containers and sidecars ended, if all have.
fn containers_ended_at(pod: &LeanPod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let is_sidecar = |container: &&LeanContainer| {
        container.restart_policy.as_ref().is_some_and(|policy| **policy == *"Always")
    };
    let early = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars: HashSet<&str> = early.filter(is_sidecar).map(|container| &*container.name).collect();
    let ended = |container: &LeanContainerStatus| container.state.terminated.as_ref()?.finished_at;
    let beside = status.init_container_statuses.iter().filter(|status| sidecars.contains(&*status.name));
    let times: Option<Vec<Timestamp>> = status.container_statuses.iter().chain(beside).map(ended).collect();
    times?.into_iter().max()
}

/// Lets go of a pod: it is counted, or need not be.
pub(super) fn untrack(pod: &LeanPod) -> Action {
    let uid = pod.metadata.uid.as_str();
    change(pod, json!({"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}))
}

/// Lets go of a pod that no Job has, unless one adopts it at the same time: that counts on the finalizer.
pub(super) fn untrack_unless_changed(pod: &LeanPod) -> Action {
    let (uid, version) = (pod.metadata.uid.as_str(), pod.metadata.resource_version.to_string());
    let finalizers = [FINALIZER];
    change(
        pod,
        json!({"metadata": {
            "uid": uid, "resourceVersion": version, "$deleteFromPrimitiveList/finalizers": finalizers,
        }}),
    )
}

fn change(pod: &LeanPod, patch: Json) -> Action {
    let resource = ResourceType::of::<LeanPod>();
    Action::Patch { resource, key: key_of(pod), subresource: "", patch: Patch::Strategic(patch) }
}
