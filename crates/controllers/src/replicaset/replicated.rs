//! The kinds that keep a number of pods of one template running, and the inputs of a decision about one.

use std::sync::Arc;

use client::{LeanPod, Object};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use object::Selector;

/// A kind that keeps a number of pods of one template running. Its data are presented in the terms of ReplicaSet, the
/// newer of the two kinds.
pub(crate) trait Replicated: Object {
    /// The names of its controller: see [`Controller`](crate::framework::Controller).
    const NAME: &'static str;
    /// The service account.
    const ACCOUNT: &'static str;
    /// The queue.
    const QUEUE: &'static str;
    /// Whether its status counts the pods that are on their way out.
    const COUNTS_TERMINATING: bool;

    /// Which pods are its own.
    fn selector(&self) -> Selector;

    /// How many are wanted.
    fn wanted(&self) -> i32;

    /// How long a pod must be ready to be available.
    fn min_ready_seconds(&self) -> i32;

    /// The template of its pods.
    fn template(&self) -> Option<&PodTemplateSpec>;

    /// The status.
    fn status(&self) -> Option<ReplicaSetStatus>;

    /// Has the status say something else.
    fn set_status(&mut self, status: ReplicaSetStatus);
}

/// The inputs of a decision about one of them.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot<K> {
    pub(super) owner: Arc<K>,
    /// Its pods, and the orphans of the namespace.
    pub(super) pods: Vec<Arc<LeanPod>>,
    /// The pods of all that have the same controller as this one, its own among them.
    pub(super) related: Vec<Arc<LeanPod>>,
}

impl Replicated for ReplicaSet {
    const NAME: &'static str = "replicaset-controller";
    const ACCOUNT: &'static str = "replicaset-controller";
    const QUEUE: &'static str = "replicaset";
    const COUNTS_TERMINATING: bool = true;

    fn selector(&self) -> Selector {
        semantics::selector(&self.spec.selector)
    }

    fn wanted(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.template.as_ref()
    }

    fn status(&self) -> Option<ReplicaSetStatus> {
        self.status.clone()
    }

    fn set_status(&mut self, status: ReplicaSetStatus) {
        self.status = Some(status);
    }
}

impl Replicated for ReplicationController {
    const NAME: &'static str = "replication-controller";
    const ACCOUNT: &'static str = "replication-controller";
    const QUEUE: &'static str = "replicationmanager";
    const COUNTS_TERMINATING: bool = false;

    fn selector(&self) -> Selector {
        let labels = self.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
        // Validation refuses an empty one, which would take every pod of the namespace.
        if labels.is_empty() { Selector::nothing() } else { Selector::from_labels(labels) }
    }

    fn wanted(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
    }

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }

    fn status(&self) -> Option<ReplicaSetStatus> {
        let status = self.status.clone()?;
        let shown = |condition: ReplicationControllerCondition| ReplicaSetCondition {
            type_: Some(condition.type_),
            status: Some(condition.status),
            reason: condition.reason,
            message: condition.message,
            last_transition_time: condition.last_transition_time,
        };
        Some(ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            terminating_replicas: None,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|conditions| conditions.into_iter().map(shown).collect()),
        })
    }

    fn set_status(&mut self, status: ReplicaSetStatus) {
        let own = |condition: ReplicaSetCondition| ReplicationControllerCondition {
            type_: condition.type_.unwrap_or_default(),
            status: condition.status.unwrap_or_default(),
            reason: condition.reason,
            message: condition.message,
            last_transition_time: condition.last_transition_time,
        };
        self.status = Some(ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|conditions| conditions.into_iter().map(own).collect()),
        });
    }
}
