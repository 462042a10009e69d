//! The controller of ReplicaSets, and of ReplicationControllers, which are an older form of the same: keeps the desired
//! number of pods of one template running.
//!
//! | module | decides |
//! | --- | --- |
//! | `replicated` | (types) the common part of the two kinds |
//! | `ranking` | which pods to delete if there are too many |
//! | `status` | counts, and the condition `ReplicaFailure` |
//! | `plan` | how many are missing or too many |
//!
//! Each uses only those above it. It follows upstream's `pkg/controller/replicaset` and `pkg/controller/replication`.

use std::sync::Arc;

use client::{Informer, LeanPod};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;
use object::ObjectKey;

use crate::framework::{Controller, Failure, Look, Plan, Wiring, controller_of, woken_by_owned};
use crate::pods;

mod plan;
mod ranking;
mod replicated;
mod status;
#[cfg(test)]
mod tests;

use replicated::{Replicated, Snapshot};

/// The index of owners by the UID of their controller.
const BY_CONTROLLER: &str = "controller";

/// Keeps the pods of ReplicaSets.
pub(crate) type ReplicaSetController = Replicas<ReplicaSet>;
/// Keeps the pods of ReplicationControllers.
pub(crate) type ReplicationManager = Replicas<ReplicationController>;

/// Keeps the pods of one kind.
pub(crate) struct Replicas<K> {
    owners: Arc<Informer<K>>,
    pods: Arc<Informer<LeanPod>>,
}

impl<K: Replicated> Controller for Replicas<K> {
    const NAME: &'static str = K::NAME;
    const ACCOUNT: &'static str = K::ACCOUNT;
    const QUEUE: &'static str = K::QUEUE;
    type Key = ObjectKey;
    type Snapshot = Snapshot<K>;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> Replicas<K> {
        let owners = wiring.informer::<K>();
        let pods = wiring.informer::<LeanPod>();
        owners.add_index(BY_CONTROLLER, |owner| {
            controller_of(owner.metadata()).map(|owner| owner.uid.to_owned()).into_iter().collect()
        });
        pods.add_index(pods::BY_CONTROLLER, pods::controller_uid);
        wiring.wake_self(&owners);
        let candidates = Arc::clone(&owners);
        wiring.wake(&pods, move |change| woken_by_owned(&candidates, change, K::selector));
        Replicas { owners, pods }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot<K>> {
        let owner = self.owners.get(key)?;
        let meta = owner.metadata();
        let owned_by = |uid: &str| self.pods.indexed(pods::BY_CONTROLLER, uid);
        let mut pods = owned_by(meta.uid.as_deref().unwrap_or_default());
        pods.extend(owned_by("").into_iter().filter(|pod| pod.metadata.namespace() == key.namespace()));
        let siblings = match controller_of(meta) {
            Some(controller) => self.owners.indexed(BY_CONTROLLER, controller.uid),
            None => vec![Arc::clone(&owner)],
        };
        let siblings = siblings.iter().filter_map(|sibling| sibling.metadata().uid.as_deref());
        let related = siblings.flat_map(owned_by).collect();
        Some(Snapshot { owner, pods, related })
    }

    fn plan(snapshot: &Snapshot<K>, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot<K>, failures: &[Failure], now: Timestamp) -> Plan {
        plan::recover(snapshot, failures, now)
    }
}
