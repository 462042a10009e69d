//! Which pods to create and which to delete.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::{LeanPod, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodTemplateSpec,
};

use super::backoff::remaining_of_index;
use super::facts::{Facts, Indexes};
use super::failure_policy::{Match, matched};
use super::terms::is_suspended;
use super::tracked::{self, FAILURES, FINALIZER, Failures, IGNORED_FAILURES, INDEX};
use crate::framework::{Action, Announcement};
use crate::{pods, template};

/// The maximum number of pods created or deleted at once.
const BURST: usize = 500;
/// The environment variable with the completion index.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// The longest prefix of a generated name.
const PREFIX_MAX: usize = 58;

/// What to do about the number of pods.
#[derive(Default)]
pub(super) struct Change {
    pub(super) creations: Vec<Action>,
    /// Pods to delete, which do not count as failed.
    pub(super) excess: Vec<Arc<LeanPod>>,
    /// Look again then: pods are not made yet because others failed.
    pub(super) wait: Option<Duration>,
}

/// Compares the active pods with the wanted ones. Pods are either created or deleted, not both at once.
pub(super) fn change(facts: &Facts<'_>) -> Change {
    let active = facts.active.len();
    if is_suspended(facts.job) {
        return Change { excess: facts.active.clone(), ..Change::default() };
    }
    let wanted = wanted(facts);
    let mut excess = excess(facts, active.saturating_sub(wanted));
    excess.truncate(BURST);
    if !excess.is_empty() {
        return Change { excess, ..Change::default() };
    }
    let replaced_later = if tracked::replaces_only_failed(facts.job) { facts.terminating } else { 0 };
    let missing = wanted.saturating_sub(active + size(replaced_later)).min(BURST);
    if missing == 0 {
        return Change::default();
    }
    match &facts.indexes {
        Some(indexes) if indexes.failed.is_some() => create_independent(facts, indexes, missing),
        indexes => {
            let wait = facts.backoff.remaining(facts.now);
            if !wait.is_zero() {
                return Change { wait: Some(wait), ..Change::default() };
            }
            let creations = match indexes {
                Some(indexes) => pending(facts, indexes, missing)
                    .into_iter()
                    .map(|index| create_index(facts, index))
                    .collect(),
                None => (0..missing).map(|_| create(facts.job, tracked_pod(facts.job))).collect(),
            };
            Change { creations, ..Change::default() }
        }
    }
}

fn size(count: i32) -> usize {
    usize::try_from(count).unwrap_or(0)
}

/// How many pods should be active.
fn wanted(facts: &Facts<'_>) -> usize {
    let parallelism = size(facts.spec().parallelism.unwrap_or(1));
    match facts.spec().completions {
        Some(completions) => size(completions - facts.succeeded).min(parallelism),
        // The pods share a queue of work. The first success says that it is empty: the others finish.
        None if facts.succeeded > 0 => facts.active.len(),
        None => parallelism,
    }
}

/// With a limit for each index, each waits for itself.
fn create_independent(facts: &Facts<'_>, indexes: &Indexes, missing: usize) -> Change {
    let wait = |index: &i32| {
        indexes.awaiting.get(index).map_or(Duration::ZERO, |failed| remaining_of_index(failed, facts.now))
    };
    let (now, later): (Vec<i32>, Vec<i32>) =
        pending(facts, indexes, missing).into_iter().partition(|index| wait(index).is_zero());
    let creations = now.into_iter().map(|index| create_index(facts, index)).collect();
    Change { creations, wait: later.iter().map(wait).min(), ..Change::default() }
}

/// The lowest indexes that have neither ended nor a pod.
fn pending(facts: &Facts<'_>, indexes: &Indexes, count: usize) -> Vec<i32> {
    let only_failed = tracked::replaces_only_failed(facts.job);
    let ending = facts.pods.iter().filter(|pod| only_failed && pods::is_terminating(&***pod));
    let busy = facts.active.iter().chain(ending).filter_map(|pod| tracked::index(pod));
    let mut settled = indexes.succeeded.with(busy);
    if let Some(failed) = &indexes.failed {
        settled = settled.merged(failed);
    }
    settled.missing(count, indexes.completions)
}

/// The pods to delete: at least this many, and of an Indexed Job those without an index of their own.
fn excess(facts: &Facts<'_>, at_least: usize) -> Vec<Arc<LeanPod>> {
    let mut left = facts.active.clone();
    // The most valuable first, so that it keeps its index.
    left.sort_by(|a, b| rank(b).cmp(&rank(a)));
    let mut excess = Vec::new();
    if let Some(indexes) = &facts.indexes {
        let mut taken = BTreeSet::new();
        let mut keeps = |pod: &Arc<LeanPod>| {
            tracked::index(pod).is_some_and(|index| index < indexes.completions && taken.insert(index))
        };
        (left, excess) = left.into_iter().partition(|pod| keeps(pod));
    }
    let more = at_least.saturating_sub(excess.len()).min(left.len());
    excess.extend(left.into_iter().rev().take(more));
    excess
}

/// The lowest goes first: without a node, then pending, then not ready, then ready for the shortest time, restarted most
/// often, youngest.
fn rank(pod: &LeanPod) -> impl Ord + '_ {
    let statuses = pod.status.iter().flat_map(|status| &status.container_statuses);
    let restarts = statuses.map(|status| status.restart_count).max().unwrap_or(0);
    let phase = match pods::phase(pod) {
        "Unknown" => 1,
        "Running" => 2,
        _ => 0,
    };
    let ready_since = pods::ready_since(pod);
    let created: Option<Timestamp> = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (
        !pods::node_name(pod).is_empty(),
        phase,
        ready_since.is_some(),
        Reverse(ready_since),
        Reverse(restarts),
        Reverse(created),
        pod.metadata.name(),
    )
}

/// Deletes a pod.
pub(super) fn delete(job: &Job, pod: &LeanPod) -> Action {
    Action::delete(pod).announced(Announcement {
        about: reference_to(job),
        reason: "SuccessfulDelete",
        message: |name| format!("Deleted pod: {name}"),
    })
}

fn create(job: &Job, pod: Pod) -> Action {
    Action::create(pod).announced(Announcement {
        about: reference_to(job),
        reason: "SuccessfulCreate",
        message: |name| format!("Created pod: {name}"),
    })
}

/// A pod of the template that is to be counted when it ends.
fn tracked_pod(job: &Job) -> Pod {
    let no_template = PodTemplateSpec::default();
    let template = job.spec.as_ref().map_or(&no_template, |spec| &spec.template);
    let mut pod = template::pod(job, template);
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    pod
}

/// A pod that knows its completion index.
fn create_index(facts: &Facts<'_>, index: i32) -> Action {
    let name = facts.job.metadata.name.as_deref().unwrap_or_default();
    let mut pod = tracked_pod(facts.job);
    pod.metadata.generate_name = Some(name_prefix(name, index));
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), index.to_string());
    if let Some(indexes) = facts.indexes.as_ref().filter(|indexes| indexes.failed.is_some()) {
        let failures = failures_before(facts, indexes.awaiting.get(&index));
        annotations.insert(FAILURES.to_owned(), failures.counted.to_string());
        if failures.ignored > 0 {
            annotations.insert(IGNORED_FAILURES.to_owned(), failures.ignored.to_string());
        }
    }
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(format!("{name}-{index}"));
    spec.init_containers.iter_mut().flatten().chain(&mut spec.containers).for_each(add_variable);
    create(facts.job, pod)
}

/// The failures of an index, including that of the pod to be replaced.
fn failures_before(facts: &Facts<'_>, replaced: Option<&Arc<LeanPod>>) -> Failures {
    let Some(replaced) = replaced else { return Failures::default() };
    let Failures { counted, ignored } = tracked::failures(replaced);
    match matched(facts.spec().pod_failure_policy.as_ref(), replaced) {
        Some(Match::Ignore) => Failures { counted, ignored: ignored.saturating_add(1) },
        _ => Failures { counted: counted.saturating_add(1), ignored },
    }
}

/// The name with the index; the name is cut if both are too long for a name.
fn name_prefix(name: &str, index: i32) -> String {
    let suffix = format!("-{index}-");
    let kept = name.get(..PREFIX_MAX - suffix.len()).unwrap_or(name);
    format!("{kept}{suffix}")
}

fn add_variable(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|variable| variable.name == INDEX_VARIABLE) {
        return;
    }
    let field_ref = ObjectFieldSelector {
        field_path: format!("metadata.labels['{INDEX}']"),
        ..ObjectFieldSelector::default()
    };
    env.push(EnvVar {
        name: INDEX_VARIABLE.to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() }),
        ..EnvVar::default()
    });
}
