//! Counts ended pods exactly once: first the status names them as uncounted, then their finalizers are removed, then they
//! move from the names to the counts. Whatever stops between two of these steps, the next look continues.

use std::collections::HashSet;
use std::sync::Arc;

use client::LeanPod;
use k8s_openapi::api::batch::v1::{Job, JobStatus, UncountedTerminatedPods};

use super::facts::Facts;
use super::terms::spec;
use super::tracked;
use super::verdict::Verdict;
use crate::pods;

/// The maximum number of names in the status, which takes about 20 KB.
const UNCOUNTED_MAX: usize = 500;

/// The pods that are let go of once the status is written.
#[derive(Default)]
pub(super) struct Tracked {
    pub(super) release: Vec<Arc<LeanPod>>,
    /// Whether others are left for the next time.
    pub(super) has_more: bool,
}

/// Names and counts ended pods in the status.
pub(super) fn track(facts: &Facts<'_>, verdict: Option<&Verdict>, status: &mut JobStatus) -> Tracked {
    let mut uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
    count_released(facts, &mut uncounted, status);
    let tracked = name_ended(facts, verdict, &mut uncounted);
    status.uncounted_terminated_pods = Some(uncounted);
    if let Some(indexes) = &facts.indexes {
        status.succeeded = some(indexes.succeeded.total());
        status.completed_indexes = Some(indexes.succeeded.to_string()).filter(|text| !text.is_empty());
        status.failed_indexes = indexes.failed.as_ref().map(ToString::to_string);
    }
    tracked
}

/// Go omits zeros of these fields.
pub(super) fn some(count: i32) -> Option<i32> {
    Some(count).filter(|count| *count != 0)
}

/// Pods that are named and have no finalizer any more move to the counts.
fn count_released(facts: &Facts<'_>, uncounted: &mut UncountedTerminatedPods, status: &mut JobStatus) {
    let tracked = facts.pods.iter().filter(|pod| tracked::is_tracked(pod));
    let tracked: HashSet<&str> = tracked.map(|pod| pod.metadata.uid.as_str()).collect();
    let released = |uids: &mut Option<Vec<String>>, count: &mut Option<i32>| {
        let list = uids.get_or_insert_default();
        let before = list.len();
        list.retain(|uid| tracked.contains(uid.as_str()));
        *count = some(count.unwrap_or(0) + (before - list.len()) as i32);
        uids.take_if(|list| list.is_empty());
    };
    released(&mut uncounted.succeeded, &mut status.succeeded);
    released(&mut uncounted.failed, &mut status.failed);
}

fn name_ended(
    facts: &Facts<'_>,
    verdict: Option<&Verdict>,
    uncounted: &mut UncountedTerminatedPods,
) -> Tracked {
    let mut tracked = Tracked::default();
    let mut new_indexes = 0;
    let is_known = |uids: &Option<Vec<String>>, uid: &str| uids.iter().flatten().any(|known| known == uid);
    for pod in facts.pods.iter().filter(|pod| tracked::is_tracked(pod)) {
        if !can_release(facts, verdict, pod) {
            continue;
        }
        tracked.release.push(Arc::clone(pod));
        let uid = pod.metadata.uid.as_str();
        match ending(facts, verdict, pod) {
            Some(_) if is_known(&uncounted.failed, uid) => {}
            Some(Ending::Success) => match &facts.indexes {
                // The index is enough to count it once.
                Some(indexes) => {
                    let is_new = tracked::index(pod).is_some_and(|index| !indexes.recorded.has(index));
                    new_indexes += usize::from(is_new);
                }
                None if is_known(&uncounted.succeeded, uid) => {}
                None => uncounted.succeeded.get_or_insert_default().push(uid.to_owned()),
            },
            Some(Ending::Failure) => uncounted.failed.get_or_insert_default().push(uid.to_owned()),
            None => {}
        }
        let named = [&uncounted.succeeded, &uncounted.failed].map(|uids| uids.as_ref().map_or(0, Vec::len));
        if new_indexes + named[0] + named[1] >= UNCOUNTED_MAX {
            tracked.has_more = true;
            break;
        }
    }
    tracked
}

enum Ending {
    Success,
    Failure,
}

/// How the pod counts, if it does.
fn ending(facts: &Facts<'_>, verdict: Option<&Verdict>, pod: &LeanPod) -> Option<Ending> {
    if pods::phase(pod) == "Succeeded" {
        return Some(Ending::Success);
    }
    // When a Job fails, so do all of its pods that have not ended.
    let fails = verdict.is_some_and(|verdict| !verdict.is_success());
    let is_valid = facts
        .indexes
        .as_ref()
        .is_none_or(|indexes| tracked::index(pod).is_some_and(|index| index < indexes.completions));
    let policy = spec(facts.job).pod_failure_policy.as_ref();
    ((fails || tracked::is_failed(facts.job, pod)) && is_valid && tracked::is_counted(policy, pod))
        .then_some(Ending::Failure)
}

/// Whether the Job needs the pod no longer.
fn can_release(facts: &Facts<'_>, verdict: Option<&Verdict>, pod: &LeanPod) -> bool {
    if is_deleting(facts.job) || verdict.is_some() || pods::phase(pod) == "Succeeded" {
        return true;
    }
    let awaits = |awaiting: &Arc<LeanPod>| awaiting.metadata.uid == pod.metadata.uid;
    let awaits_replacement =
        facts.indexes.as_ref().is_some_and(|indexes| indexes.awaiting.values().any(awaits));
    tracked::is_failed(facts.job, pod) && !awaits_replacement
}

/// Whether the deletion of the Job has begun.
pub(super) fn is_deleting(job: &Job) -> bool {
    job.metadata.deletion_timestamp.is_some()
}
