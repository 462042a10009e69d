//! The inputs of a decision about a Deployment: its ReplicaSets, new and old, and the limits of its rollout.

use std::sync::Arc;

use client::{EventType, LeanPod, reference_to};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};

use crate::framework::Note;
use crate::template;

/// The inputs of a decision about one Deployment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(super) deployment: Arc<Deployment>,
    /// All of the namespace: the Deployment's own, orphans that it may adopt, and those whose names it must not
    /// take.
    pub(super) replica_sets: Vec<Arc<ReplicaSet>>,
    /// The pods of its ReplicaSets.
    pub(super) pods: Vec<Arc<LeanPod>>,
}

/// A Deployment with its ReplicaSets, new and old.
pub(super) struct Rollout<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) spec: &'a DeploymentSpec,
    /// The ReplicaSet of the current template.
    pub(super) new: Option<Arc<ReplicaSet>>,
    /// The others, the oldest first.
    pub(super) old: Vec<Arc<ReplicaSet>>,
    pub(super) snapshot: &'a Snapshot,
}

impl Rollout<'_> {
    /// All ReplicaSets.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().chain(&self.new)
    }

    /// The desired number of pods.
    pub(super) fn replicas(&self) -> i32 {
        replicas(self.spec)
    }

    /// How many more pods than desired there may be; a Recreate never surges.
    pub(super) fn max_surge(&self) -> i32 {
        fenceposts(self.spec).surge
    }

    pub(super) fn note(&self, kind: EventType, reason: &'static str, message: String) -> Note {
        Note { about: reference_to(self.deployment), kind, reason, message }
    }
}

/// The desired number of pods of a Deployment.
pub(super) fn replicas(spec: &DeploymentSpec) -> i32 {
    spec.replicas.unwrap_or(1)
}

/// The desired number of pods of a ReplicaSet.
pub(super) fn wanted(replica_set: &ReplicaSet) -> i32 {
    replica_set.spec.replicas.unwrap_or(1)
}

/// The limits of a rolling update, in pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fenceposts {
    /// The allowed number of pods above the desired number.
    pub(super) surge: i32,
    /// The number by which available pods may fall below the desired number.
    pub(super) unavailable: i32,
}

/// The limits of a Deployment. Percentages of the surge are rounded up, those of the unavailable down; if both are
/// zero, one may be unavailable, because otherwise nothing could progress. Only rolling updates have limits.
pub(super) fn fenceposts(spec: &DeploymentSpec) -> Fenceposts {
    let strategy = spec.strategy.as_ref();
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        return Fenceposts { surge: 0, unavailable: 0 };
    }
    let limits = strategy.and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default();
    let replicas = replicas(spec);
    let surge = template::scaled(limits.max_surge.as_ref(), replicas, true);
    let unavailable = template::scaled(limits.max_unavailable.as_ref(), replicas, false);
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    Fenceposts { surge, unavailable: unavailable.min(replicas) }
}
