//! Metrics of Jobs, under upstream's names. All but those of syncs are counted from changes as they arrive.

use client::{Change, LeanPod};
use k8s_openapi::api::batch::v1::Job;
use metrics::{Counter, Family, Histogram, Histograms, Register, Registry, exponential_buckets};
use semantics::conditions;

use super::failure_policy::{Match, matched};
use super::intervals::Intervals;
use super::terms::{completions_of_indexed, holds, is_finished, is_managed_elsewhere, is_suspended, spec};
use super::tracked;
use crate::framework::{Action, Measurement, Plan};
use crate::pods;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The metrics of all Jobs. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct JobMetrics {
    syncs: Family<Labels<3>, Counter>,
    sync_seconds: Histograms<Labels<3>>,
    finished: Family<Labels<3>, Counter>,
    managed_elsewhere: Family<[(&'static str, String); 1], Counter>,
    pods_finished: Family<Labels<2>, Counter>,
    handled_by_policy: Family<Labels<1>, Counter>,
    waiting: Family<Labels<1>, Counter>,
    indexes: Family<Labels<2>, Counter>,
}

/// The reasons for which Jobs end.
const REASONS: [&str; 7] = [
    "BackoffLimitExceeded",
    "CompletionsReached",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
    "SuccessPolicy",
];

impl Default for JobMetrics {
    /// Metrics that nobody sees.
    fn default() -> JobMetrics {
        JobMetrics::register(&mut Registry::default())
    }
}

impl JobMetrics {
    /// Metrics that are registered with `registry`.
    pub(crate) fn register(registry: &mut Registry) -> JobMetrics {
        let jobs = registry.sub_registry_with_prefix("job_controller");
        JobMetrics {
            syncs: jobs.add("job_syncs", "The number of job syncs"),
            sync_seconds: jobs.add_histograms(
                "job_sync_duration_seconds",
                "The time it took to sync a job",
                || Histogram::new(exponential_buckets(0.004, 2.0, 15)),
            ),
            finished: jobs.add("jobs_finished", "The number of finished jobs"),
            managed_elsewhere: jobs
                .add("jobs_by_external_controller", "The number of Jobs managed by an external controller"),
            pods_finished: jobs.add("job_pods_finished", "The number of finished Pods that are fully tracked"),
            handled_by_policy: jobs.add(
                "pod_failures_handled_by_failure_policy",
                "The number of failed Pods that a rule of a failure policy applied to, by the rule's action",
            ),
            waiting: jobs.add(
                "terminated_pods_tracking_finalizer",
                "How often a terminated pod came to have the finalizer batch.kubernetes.io/job-tracking (add) or lost it (delete)",
            ),
            indexes: jobs.add("job_finished_indexes", "The number of finished indexes"),
        }
    }

    /// Measures what is done about a Job. Jobs that have ended or that others manage do not count.
    pub(super) fn sync(&self, job: &Job, plan: &Plan) -> Option<Measurement> {
        if is_finished(job) || is_managed_elsewhere(job) {
            return None;
        }
        let (mode, action, all) = (mode(job), action(job, plan), self.clone());
        Some(Box::new(move |took, is_ok| {
            let result = if is_ok { "success" } else { "error" };
            let labels = [("completion_mode", mode), ("result", result), ("action", action)];
            all.syncs.get_or_create(&labels).inc();
            all.sync_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        }))
    }

    /// Counts what a change of a Job shows.
    pub(super) fn job(&self, change: &Change<Job>) {
        let Some(new) = &change.new else { return };
        let Some(old) = &change.old else {
            let manager = spec(new).managed_by.clone();
            if let Some(manager) = manager.filter(|_| is_managed_elsewhere(new)) {
                self.managed_elsewhere.get_or_create(&[("controller_name", manager)]).inc();
            }
            return;
        };
        if is_finished(new) && !is_finished(old) {
            let (kind, result) =
                if holds(new, "Complete") { ("Complete", "succeeded") } else { ("Failed", "failed") };
            let all = new.status.as_ref().and_then(|status| status.conditions.clone());
            let reason = conditions::find(&all, kind).and_then(|condition| condition.reason.as_deref());
            let reason = REASONS.into_iter().find(|known| Some(*known) == reason).unwrap_or_default();
            let labels = [("completion_mode", mode(new)), ("result", result), ("reason", reason)];
            self.finished.get_or_create(&labels).inc();
        }
        let backoff = if spec(new).backoff_limit_per_index.is_some() { "perIndex" } else { "global" };
        let (before, after) = (indexes(old), indexes(new));
        for (status, before, after) in [("succeeded", before.0, after.0), ("failed", before.1, after.1)] {
            if let Some(more) = u64::try_from(after - before).ok().filter(|more| *more > 0) {
                self.indexes.get_or_create(&[("status", status), ("backoffLimit", backoff)]).inc_by(more);
            }
        }
    }

    /// Counts what a change of a pod shows; `job` is its owner.
    pub(super) fn pod(&self, change: &Change<LeanPod>, job: Option<&Job>) {
        let waits = |pod: &LeanPod| pods::is_terminal(pod) && tracked::is_tracked(pod);
        let waited = change.old.as_ref().is_some_and(|pod| waits(pod));
        if waited == change.new.as_ref().is_some_and(|pod| waits(pod)) {
            return;
        }
        self.waiting.get_or_create(&[("event", if waited { "delete" } else { "add" })]).inc();
        let Some((job, pod)) = job.filter(|_| waited).zip(change.new.as_ref()) else { return };
        let has_failed = pods::phase(&**pod) == "Failed";
        let result = if has_failed { "failed" } else { "succeeded" };
        self.pods_finished.get_or_create(&[("completion_mode", mode(job)), ("result", result)]).inc();
        let action = match matched(spec(job).pod_failure_policy.as_ref(), pod).filter(|_| has_failed) {
            Some(Match::FailJob(_)) => "FailJob",
            Some(Match::FailIndex) => "FailIndex",
            Some(Match::Count) => "Count",
            Some(Match::Ignore) => "Ignore",
            None => return,
        };
        self.handled_by_policy.get_or_create(&[("action", action)]).inc();
    }
}

/// What a plan does with the pods of a Job. It is `reconciling` where pods are not brought to the wanted number, because
/// the Job is being deleted or ends.
fn action(job: &Job, plan: &Plan) -> &'static str {
    let is_pod = |action: &Action| match action {
        Action::Delete { resource, .. } => &*resource.plural == "pods",
        _ => false,
    };
    let is_ending = |action: &Action| match action {
        Action::Update { object, .. } => object.get::<Job>().is_some_and(ends),
        _ => false,
    };
    if job.metadata.deletion_timestamp.is_some() || ends(job) || plan.has(is_ending) {
        "reconciling"
    } else if is_suspended(job) || plan.has(is_pod) {
        "pods_deleted"
    } else if plan.has(|action| matches!(action, Action::Create { .. })) {
        "pods_created"
    } else {
        "tracking"
    }
}

/// Whether a Job ends for another reason than that as many pods as wanted have succeeded.
fn ends(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut held = conditions.filter(|condition| condition.status == conditions::TRUE);
    held.any(|condition| {
        matches!(&*condition.type_, "FailureTarget" | "SuccessCriteriaMet")
            && condition.reason.as_deref() != Some("CompletionsReached")
    })
}

fn mode(job: &Job) -> &'static str {
    if completions_of_indexed(job).is_some() { "Indexed" } else { "NonIndexed" }
}

/// How many indexes have succeeded and failed.
fn indexes(job: &Job) -> (i32, i32) {
    let (Some(completions), Some(status)) = (completions_of_indexed(job), &job.status) else { return (0, 0) };
    let total =
        |text: &Option<String>| Intervals::parse(text.as_deref().unwrap_or_default(), completions).total();
    (total(&status.completed_indexes), total(&status.failed_indexes))
}
