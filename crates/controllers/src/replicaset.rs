//! The ReplicaSet controller: keeps as many pods of one template as are wanted.
//!
//! `plan` decides how many are missing or too many and makes them, `ranking` which of too many go, `status`
//! counts. It follows upstream's `pkg/controller/replicaset`.

use std::sync::Arc;

use client::{Change, ClientError, Informer};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use object::ObjectKey;

use crate::framework::{Controller, Failure, Plan, Wiring, controller_of, labels, owner_key};
use crate::pods;

mod plan;
mod ranking;
mod status;
#[cfg(test)]
mod tests;

/// The index of ReplicaSets by the UID of their controller.
const BY_CONTROLLER: &str = "controller";

pub(crate) struct ReplicaSetController {
    replica_sets: Arc<Informer<ReplicaSet>>,
    pods: Arc<Informer<Pod>>,
}

/// What a decision about one ReplicaSet is made from.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    replica_set: Arc<ReplicaSet>,
    /// Its pods, and the orphans of the namespace.
    pods: Vec<Arc<Pod>>,
    /// The pods of all ReplicaSets of the same Deployment, its own among them.
    related: Vec<Arc<Pod>>,
}

impl Controller for ReplicaSetController {
    const NAME: &'static str = "replicaset-controller";
    type Key = ObjectKey;
    type Snapshot = Snapshot;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> ReplicaSetController {
        let replica_sets = wiring.informer::<ReplicaSet>();
        let pods = wiring.informer::<Pod>();
        replica_sets.add_index(BY_CONTROLLER, |replica_set| {
            controller_of(&replica_set.metadata).map(|owner| owner.uid.clone()).into_iter().collect()
        });
        pods.add_index(pods::BY_CONTROLLER, pods::controller_uid);
        wiring.wake_self(&replica_sets);
        let candidates = Arc::clone(&replica_sets);
        wiring.wake(&pods, move |change| woken_by_pod(&candidates, change));
        ReplicaSetController { replica_sets, pods }
    }

    async fn observe(&self, key: &ObjectKey) -> Result<Option<Snapshot>, ClientError> {
        let Some(replica_set) = self.replica_sets.get(key) else { return Ok(None) };
        let owned_by = |uid: &str| self.pods.indexed(pods::BY_CONTROLLER, uid);
        let mut candidates = owned_by(replica_set.metadata.uid.as_deref().unwrap_or_default());
        let orphans = owned_by("");
        candidates.extend(
            orphans.into_iter().filter(|pod| pod.metadata.namespace == replica_set.metadata.namespace),
        );
        let related = match controller_of(&replica_set.metadata) {
            Some(owner) => self.replica_sets.indexed(BY_CONTROLLER, &owner.uid),
            None => vec![Arc::clone(&replica_set)],
        };
        let related = related.iter().filter_map(|sibling| sibling.metadata.uid.as_deref());
        let related = related.flat_map(owned_by).collect();
        Ok(Some(Snapshot { replica_set, pods: candidates, related }))
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        plan::recover(snapshot, failures, now)
    }
}

/// The ReplicaSet that owns a pod, before or after the change; for an orphan all that could adopt it.
fn woken_by_pod(replica_sets: &Informer<ReplicaSet>, change: &Change<Pod>) -> Vec<ObjectKey> {
    let mut keys: Vec<_> = change.states().filter_map(|pod| owner_key::<ReplicaSet>(&pod.metadata)).collect();
    if let Some(orphan) = &change.new
        && controller_of(&orphan.metadata).is_none()
        && orphan.metadata.labels.is_some()
    {
        for replica_set in replica_sets.in_namespace(change.key.namespace()) {
            if labels::selector(&replica_set.spec.selector).matches(&orphan.metadata.labels) {
                keys.push(client::key_of(&*replica_set));
            }
        }
    }
    keys
}
