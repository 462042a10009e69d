//! The inputs of a decision about a Deployment: its ReplicaSets, new and old, and the limits of its rollout.

use std::sync::Arc;

use client::{EventType, LeanPod, reference_to};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};

use crate::framework::Note;
use crate::template;

/// What a decision about one Deployment is made from.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(super) deployment: Arc<Deployment>,
    /// All of the namespace: the Deployment's own, orphans that it may adopt, and those whose names it must not
    /// take.
    pub(super) replica_sets: Vec<Arc<ReplicaSet>>,
    /// The pods of its ReplicaSets.
    pub(super) pods: Vec<Arc<LeanPod>>,
}

/// A Deployment with its ReplicaSets told apart.
pub(super) struct Rollout<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) spec: &'a DeploymentSpec,
    /// The ReplicaSet of the present template.
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

    /// How many pods are wanted.
    pub(super) fn replicas(&self) -> i32 {
        replicas(self.spec)
    }

    /// How many more pods than wanted there may be; those of a Recreate never surge.
    pub(super) fn max_surge(&self) -> i32 {
        fenceposts(self.spec).surge
    }

    pub(super) fn note(&self, kind: EventType, reason: &'static str, message: String) -> Note {
        Note { about: reference_to(self.deployment), kind, reason, message }
    }
}

/// How many pods a Deployment wants.
pub(super) fn replicas(spec: &DeploymentSpec) -> i32 {
    spec.replicas.unwrap_or(1)
}

/// How many pods a ReplicaSet wants.
pub(super) fn wanted(replica_set: &ReplicaSet) -> i32 {
    replica_set.spec.replicas.unwrap_or(1)
}

/// The limits of a rolling update, in pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fenceposts {
    /// So many pods more than wanted.
    pub(super) surge: i32,
    /// So many pods less than wanted need be available.
    pub(super) unavailable: i32,
}

/// The limits of a Deployment. Percentages of the surge are rounded up, those of the unavailable down; if both
/// come to nothing, one may be unavailable, for else nothing could move. Only rolling updates have limits.
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
