//! The inputs of a decision about a StatefulSet: the pods it wants, in order, and those it does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::LeanPod;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, RollingUpdateStatefulSetStrategy, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};

use super::identity;
use crate::pods;

/// The inputs of a decision about one StatefulSet.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(super) set: Arc<StatefulSet>,
    /// Those of the namespace that it owns or that have no controller.
    pub(super) revisions: Vec<Arc<ControllerRevision>>,
    /// Its pods, and the orphans that are named like them.
    pub(super) pods: Vec<Arc<LeanPod>>,
    /// The claims of its pods that exist, by name.
    pub(super) claims: BTreeMap<String, Arc<PersistentVolumeClaim>>,
}

/// The two revisions between which a set is; they are the same if nothing is being rolled out.
pub(super) struct Revisions {
    /// That of the pods before the update.
    pub(super) current: Arc<ControllerRevision>,
    /// That of the present template.
    pub(super) update: Arc<ControllerRevision>,
}

impl Revisions {
    pub(super) fn current(&self) -> &str {
        self.current.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn update(&self) -> &str {
        self.update.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether a pod has the present template.
    pub(super) fn is_updated(&self, pod: &LeanPod) -> bool {
        identity::revision(pod) == self.update()
    }
}

/// The template that a revision holds.
fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let template = revision.data.0.get("spec")?.get("template")?;
    serde_json::from_value(template.clone()).ok()
}

/// The pod of one ordinal.
pub(super) enum Replica {
    Present(Arc<LeanPod>),
    /// It has to be created.
    Missing(i32),
}

/// The pods of a set.
pub(super) struct Replicas {
    /// One for each wanted ordinal, the lowest first.
    pub(super) wanted: Vec<Replica>,
    /// The others, the highest ordinal first.
    pub(super) condemned: Vec<Arc<LeanPod>>,
}

impl Replicas {
    pub(super) fn new(set: &StatefulSet, owned: &[Arc<LeanPod>]) -> Replicas {
        let by_ordinal: BTreeMap<i32, &Arc<LeanPod>> =
            owned.iter().filter_map(|pod| Some((identity::ordinal(pod)?, pod))).collect();
        let start = identity::start(set);
        let wanted = (start..start.saturating_add(identity::wanted(set))).map(|ordinal| {
            by_ordinal
                .get(&ordinal)
                .map_or(Replica::Missing(ordinal), |pod| Replica::Present(Arc::clone(pod)))
        });
        let condemned = by_ordinal.iter().rev().filter(|(ordinal, _)| !identity::is_wanted(set, **ordinal));
        Replicas { wanted: wanted.collect(), condemned: condemned.map(|(_, pod)| Arc::clone(pod)).collect() }
    }
}

pub(super) fn is_parallel(set: &StatefulSet) -> bool {
    set.spec.pod_management_policy.as_deref() == Some("Parallel")
}

pub(super) fn rolling(set: &StatefulSet) -> Option<&RollingUpdateStatefulSetStrategy> {
    set.spec.update_strategy.as_ref()?.rolling_update.as_ref()
}

/// Whether pods are replaced only when somebody deletes them.
pub(super) fn is_on_delete(set: &StatefulSet) -> bool {
    strategy(set) == Some("OnDelete")
}

pub(super) fn strategy(set: &StatefulSet) -> Option<&str> {
    set.spec.update_strategy.as_ref()?.type_.as_deref()
}

/// How many of the first pods keep the old template.
pub(super) fn partition(set: &StatefulSet) -> i32 {
    rolling(set).and_then(|rolling| rolling.partition).unwrap_or(0)
}

pub(super) fn min_ready_seconds(set: &StatefulSet) -> i32 {
    set.spec.min_ready_seconds.unwrap_or(0)
}

/// A new pod with the template that its ordinal should have now: below the partition of an update that is the old one.
pub(super) fn new_pod(set: &StatefulSet, revisions: &Revisions, ordinal: i32) -> Pod {
    let start = identity::start(set);
    let is_old = match rolling(set) {
        Some(_) => ordinal < start.saturating_add(partition(set)),
        None => {
            let current = set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0);
            strategy(set) == Some("RollingUpdate") && ordinal < start.saturating_add(current)
        }
    };
    let old = template_of(&revisions.current).filter(|_| is_old);
    match old {
        Some(template) => identity::new_pod(set, &template, revisions.current(), ordinal),
        None => identity::new_pod(set, &set.spec.template, revisions.update(), ordinal),
    }
}

pub(super) fn is_deleting(pod: &LeanPod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

pub(super) fn is_running_and_ready(pod: &LeanPod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod)
}

/// Whether a pod has been ready for long enough.
pub(super) fn is_available(set: &StatefulSet, pod: &LeanPod, now: Timestamp) -> bool {
    pods::available_at(pod, min_ready_seconds(set)).is_some_and(|at| at <= now)
}

pub(super) fn is_unavailable(set: &StatefulSet, pod: &LeanPod, now: Timestamp) -> bool {
    is_deleting(pod) || !is_available(set, pod, now)
}
