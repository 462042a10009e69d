//! The terms of a Job.

use k8s_openapi::api::batch::v1::{Job, JobSpec, UncountedTerminatedPods};
use object::Selector;
use semantics::conditions;

/// Whether the Job has ended.
pub(crate) fn is_finished(job: &Job) -> bool {
    ["Complete", "Failed"].iter().any(|kind| holds(job, kind))
}

/// Whether one of the Job's conditions holds.
pub(super) fn holds(job: &Job, kind: &str) -> bool {
    job.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, kind))
}

/// Whether another controller takes care of the Job.
pub(super) fn is_managed_elsewhere(job: &Job) -> bool {
    spec(job).managed_by.as_deref().is_some_and(|manager| manager != "kubernetes.io/job-controller")
}

pub(super) fn is_suspended(job: &Job) -> bool {
    spec(job).suspend == Some(true)
}

/// The spec; a Job without one asks for one pod.
pub(super) fn spec(job: &Job) -> &JobSpec {
    static NONE: std::sync::LazyLock<JobSpec> = std::sync::LazyLock::new(JobSpec::default);
    job.spec.as_ref().unwrap_or(&NONE)
}

/// Its number of indexes if it is Indexed.
pub(super) fn completions_of_indexed(job: &Job) -> Option<i32> {
    let spec = spec(job);
    (spec.completion_mode.as_deref() == Some("Indexed")).then(|| spec.completions.unwrap_or(0))
}

/// The pods that the status names as ended but not yet counted.
pub(super) fn uncounted(job: &Job) -> UncountedTerminatedPods {
    job.status.as_ref().and_then(|status| status.uncounted_terminated_pods.clone()).unwrap_or_default()
}

/// Which pods are its own.
pub(super) fn selector(job: &Job) -> Selector {
    let selector = spec(job).selector.as_ref();
    selector.map_or_else(Selector::nothing, |selector| semantics::selector(selector))
}
