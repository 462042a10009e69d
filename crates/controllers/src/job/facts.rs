//! What is known of a Job: its terms, and its pods by what counts for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::LeanPod;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};

use super::backoff::Backoff;
use super::intervals::Intervals;
use super::terms::{completions_of_indexed, spec, uncounted};
use super::tracked;
use crate::pods;

/// The inputs of a decision about one Job.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(super) job: Arc<Job>,
    /// Its pods, and the orphans of the namespace.
    pub(super) pods: Vec<Arc<LeanPod>>,
    /// The failures since the last success.
    pub(super) backoff: Backoff,
}

/// The Job, and its own pods in the order of their completion indexes.
pub(super) struct Facts<'a> {
    pub(super) job: &'a Job,
    pub(super) pods: &'a [Arc<LeanPod>],
    pub(super) backoff: &'a Backoff,
    /// The pods that neither ended nor are on their way out.
    pub(super) active: Vec<Arc<LeanPod>>,
    /// How many are on their way out.
    pub(super) terminating: i32,
    /// How many pods succeeded, or indexes.
    pub(super) succeeded: i32,
    /// How many pods failed, without those that a policy ignores.
    pub(super) failed: i32,
    /// Of Indexed Jobs.
    pub(super) indexes: Option<Indexes>,
    pub(super) now: Timestamp,
}

/// The indexes of an Indexed Job.
pub(super) struct Indexes {
    pub(super) completions: i32,
    /// Those that the status names as completed.
    pub(super) recorded: Intervals,
    /// These and the new ones.
    pub(super) succeeded: Intervals,
    /// With a limit for each index: those that have failed for good.
    pub(super) failed: Option<Intervals>,
    /// The last failed pods of indexes without an active one. Their finalizers stay until a new pod has taken over the
    /// count of failures.
    pub(super) awaiting: BTreeMap<i32, Arc<LeanPod>>,
}

impl<'a> Facts<'a> {
    /// Looks at the Job with its own pods.
    pub(super) fn new(
        job: &'a Job,
        pods: &'a [Arc<LeanPod>],
        backoff: &'a Backoff,
        now: Timestamp,
    ) -> Facts<'a> {
        let active: Vec<_> = pods.iter().filter(|pod| pods::is_active(&***pod)).cloned().collect();
        let terminating = pods.iter().filter(|pod| pods::is_terminating(&***pod)).count() as i32;
        let mut facts =
            Facts { job, pods, backoff, active, terminating, succeeded: 0, failed: 0, indexes: None, now };
        facts.count();
        facts
    }

    fn count(&mut self) {
        let status = self.status();
        let uncounted = uncounted(self.job);
        let (succeeded, failed) = tracked::newly_ended(self.job, self.pods);
        let policy = spec(self.job).pod_failure_policy.as_ref();
        let counted = failed.iter().filter(|pod| tracked::is_counted(policy, pod)).count() as i32;
        let named = |uids: &Option<Vec<String>>| uids.as_ref().map_or(0, Vec::len) as i32;
        self.failed = status.failed.unwrap_or(0) + counted + named(&uncounted.failed);
        self.succeeded = status.succeeded.unwrap_or(0) + succeeded.len() as i32 + named(&uncounted.succeeded);
        if let Some(completions) = completions_of_indexed(self.job) {
            let indexes = self.look_at_indexes(completions);
            self.succeeded = indexes.succeeded.total();
            self.indexes = Some(indexes);
        }
    }

    fn look_at_indexes(&self, completions: i32) -> Indexes {
        let status = self.status();
        let recorded = Intervals::parse(status.completed_indexes.as_deref().unwrap_or_default(), completions);
        let of = |pod: &LeanPod| tracked::index(pod).filter(|index| *index < completions);
        let new =
            self.pods.iter().filter(|pod| tracked::is_tracked(pod) && pods::phase(&***pod) == "Succeeded");
        let succeeded = recorded.with(new.filter_map(|pod| of(pod)));
        let mut indexes =
            Indexes { completions, recorded, succeeded, failed: None, awaiting: BTreeMap::new() };
        if let Some(limit) = spec(self.job).backoff_limit_per_index {
            let before = Intervals::parse(status.failed_indexes.as_deref().unwrap_or_default(), completions);
            let tracked = self.pods.iter().filter(|pod| tracked::is_tracked(pod));
            let new = tracked.filter(|pod| tracked::has_failed_for_good(self.job, pod, limit));
            indexes.failed = Some(before.with(new.filter_map(|pod| of(pod))));
            indexes.awaiting = self.awaiting_replacement(&indexes);
        }
        indexes
    }

    fn awaiting_replacement(&self, indexes: &Indexes) -> BTreeMap<i32, Arc<LeanPod>> {
        let running: BTreeSet<i32> = self.active.iter().filter_map(|pod| tracked::index(pod)).collect();
        let is_settled = |index| {
            let failed = indexes.failed.as_ref().is_some_and(|failed| failed.has(index));
            failed || indexes.succeeded.has(index) || running.contains(&index)
        };
        let mut last: BTreeMap<i32, Arc<LeanPod>> = BTreeMap::new();
        let failed =
            self.pods.iter().filter(|pod| tracked::is_tracked(pod) && tracked::is_failed(self.job, pod));
        for pod in failed {
            let Some(index) = tracked::index(pod).filter(|index| *index < indexes.completions) else {
                continue;
            };
            let is_later = |than: &Arc<LeanPod>| {
                tracked::failures(than).sum() <= tracked::failures(pod).sum()
                    && tracked::ended_at(pod) >= tracked::ended_at(than)
            };
            if !is_settled(index) && last.get(&index).is_none_or(is_later) {
                last.insert(index, Arc::clone(pod));
            }
        }
        last
    }

    /// The status, or an empty one.
    pub(super) fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    pub(super) fn spec(&self) -> &'a JobSpec {
        spec(self.job)
    }
}
