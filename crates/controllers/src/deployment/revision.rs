//! Template hashes, revisions, and the annotations that ReplicaSets inherit from their Deployment.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::rollout::{Rollout, wanted};
use crate::framework::{Action, Plan, labels::Labels};

/// Distinguishes the pods of different templates.
pub(super) const HASH_LABEL: &str = "pod-template-hash";
/// The number of a template, counted from one.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Earlier numbers of a template that is used again.
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The Deployment's number of replicas when it last scaled the ReplicaSet.
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// The maximum number of pods with the surge at that time.
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations that a ReplicaSet does not inherit from its Deployment.
const NOT_HANDED_DOWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
];
/// The longest history of revisions.
const HISTORY_CHARS_MAX: usize = 2000;
/// Whether a ReplicaSet was made from this template; the hash label does not count.
pub(super) fn has_template(replica_set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let Some(made_from) = &replica_set.spec.template else {
        return false;
    };
    made_from.spec == template.spec && without_hash(made_from) == without_hash(template)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut metadata = template.metadata.clone().unwrap_or_default();
    if let Some(labels) = &mut metadata.labels {
        labels.remove(HASH_LABEL);
    }
    // Absent and empty are equivalent.
    metadata.labels = metadata.labels.filter(|labels| !labels.is_empty());
    metadata.annotations = metadata.annotations.filter(|annotations| !annotations.is_empty());
    PodTemplateSpec { metadata: Some(metadata), spec: None }
}

/// The revision of a ReplicaSet; 0 if it has no valid one.
pub(super) fn of(replica_set: &ReplicaSet) -> i64 {
    annotation(replica_set, REVISION).unwrap_or(0)
}

/// An annotation that is a number.
pub(super) fn annotation<N: std::str::FromStr>(replica_set: &ReplicaSet, name: &str) -> Option<N> {
    replica_set.metadata.annotations.as_ref()?.get(name)?.parse().ok()
}

/// The revision after those of the old ReplicaSets.
pub(super) fn next(old: &[Arc<ReplicaSet>]) -> i64 {
    old.iter().map(|replica_set| of(replica_set)).max().unwrap_or(0) + 1
}

/// Annotates a ReplicaSet that is about to be created.
pub(super) fn annotate_new(rollout: &Rollout<'_>, replica_set: &mut ReplicaSet, revision: i64) {
    annotate_existing(rollout, replica_set, revision);
    annotate_size(rollout, replica_set);
}

/// Copies the Deployment's annotations, and raises the revision if the ReplicaSet's template is used again.
pub(super) fn annotate_existing(rollout: &Rollout<'_>, replica_set: &mut ReplicaSet, revision: i64) {
    let before = of(replica_set);
    let annotations = replica_set.metadata.annotations.get_or_insert_default();
    for (name, value) in rollout.deployment.metadata.annotations.iter().flatten() {
        if !NOT_HANDED_DOWN.contains(&name.as_str()) {
            annotations.insert(name.clone(), value.clone());
        }
    }
    if before >= revision {
        return;
    }
    if let Some(old) = annotations.insert(REVISION.into(), revision.to_string()) {
        remember(annotations, old);
    }
}

/// Appends a revision to the history, and removes the oldest if it gets too long.
fn remember(annotations: &mut Labels, revision: String) {
    let history = annotations.get(REVISION_HISTORY).cloned().unwrap_or_default();
    let mut revisions: Vec<&str> = history.split(',').filter(|entry| !entry.is_empty()).collect();
    revisions.push(&revision);
    let mut joined = revisions.join(",");
    while joined.len() > HISTORY_CHARS_MAX && revisions.len() > 1 {
        revisions.remove(0);
        joined = revisions.join(",");
    }
    annotations.insert(REVISION_HISTORY.into(), joined);
}

/// Records the Deployment's size on a ReplicaSet, so that a later change of its size is noticed and distributed.
/// Returns whether that changed anything.
pub(super) fn annotate_size(rollout: &Rollout<'_>, replica_set: &mut ReplicaSet) -> bool {
    let desired = rollout.replicas();
    let annotations = replica_set.metadata.annotations.get_or_insert_default();
    let mut news = false;
    for (name, value) in [(DESIRED_REPLICAS, desired), (MAX_REPLICAS, desired + rollout.max_surge())] {
        let value = value.to_string();
        if annotations.get(name) != Some(&value) {
            annotations.insert(name.into(), value);
            news = true;
        }
    }
    news
}

/// Deletes the oldest ReplicaSets that are empty, beyond those that are kept for rollbacks.
pub(super) fn clean_up(rollout: &Rollout<'_>, plan: &mut Plan) {
    let Some(limit) = rollout.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else { return };
    let mut kept: Vec<&Arc<ReplicaSet>> =
        rollout.old.iter().filter(|replica_set| replica_set.metadata.deletion_timestamp.is_none()).collect();
    let Some(excess) = kept.len().checked_sub(usize::try_from(limit).unwrap_or(0)) else { return };
    kept.sort_by_key(|replica_set| of(replica_set));
    let deletions = kept.into_iter().take(excess).filter(|replica_set| is_empty(replica_set));
    plan.together(deletions.map(|replica_set| Action::delete(&**replica_set)).collect());
}

/// Whether it has no pods and needs none, and its status is up to date with its spec.
fn is_empty(replica_set: &ReplicaSet) -> bool {
    let status = replica_set.status.clone().unwrap_or_default();
    let seen = status.observed_generation.unwrap_or(0) >= replica_set.metadata.generation.unwrap_or(0);
    wanted(replica_set) == 0 && status.replicas == 0 && seen
}

/// The Deployment with its revision in its annotations.
pub(super) fn set_revision(deployment: &mut Deployment, revision: i64) {
    let annotations = deployment.metadata.annotations.get_or_insert_default();
    annotations.insert(REVISION.into(), revision.to_string());
}
