//! The Deployment controller: replaces the pods of one template by those of another, a ReplicaSet a template.
//!
//! This file wires; the deciding is done in
//!
//! | module | decides |
//! | --- | --- |
//! | `plan` | which of the cases below holds, and which ReplicaSet is the new one |
//! | `rolling` | how far new and old ReplicaSets may go, within `maxSurge` and `maxUnavailable`; `Recreate` |
//! | `scale` | how a change of size is shared out when no rollout moves: scaled or paused Deployments |
//! | `revision` | hash, revisions, annotations and the clean-up of old ReplicaSets |
//! | `status` | counts and conditions |
//!
//! It follows upstream's `pkg/controller/deployment`. Where upstream writes several times in one pass, a plan
//! here ends with one write of the Deployment's status, and the next plan goes on from what that left.
//! A rollback is a change of the template to an older one (as kubectl does it): the ReplicaSet of that
//! template becomes the new one again.

use std::sync::Arc;

use client::{Change, ClientError, Informer};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use object::ObjectKey;

use crate::framework::{Controller, Failure, Plan, Wiring, controller_of, labels, owner_key};

mod plan;
mod revision;
mod rolling;
mod scale;
mod status;
#[cfg(test)]
mod tests;

pub(crate) struct DeploymentController {
    deployments: Arc<Informer<Deployment>>,
    replica_sets: Arc<Informer<ReplicaSet>>,
    pods: Arc<Informer<Pod>>,
}

/// What a decision about one Deployment is made from.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    deployment: Arc<Deployment>,
    /// All of the namespace: the Deployment's own, orphans that it may adopt, and those whose names it must not
    /// take.
    replica_sets: Vec<Arc<ReplicaSet>>,
    /// The pods of its ReplicaSets.
    pods: Vec<Arc<Pod>>,
}

impl Controller for DeploymentController {
    const NAME: &'static str = "deployment-controller";
    type Key = ObjectKey;
    type Snapshot = Snapshot;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> DeploymentController {
        let deployments = wiring.informer::<Deployment>();
        let replica_sets = wiring.informer::<ReplicaSet>();
        let pods = wiring.informer::<Pod>();
        pods.add_index(crate::pods::BY_CONTROLLER, crate::pods::controller_uid);
        wiring.wake_self(&deployments);
        let candidates = Arc::clone(&deployments);
        wiring.wake(&replica_sets, move |change| woken_by_replica_set(&candidates, change));
        // A Recreate rollout waits for the last old pod to be gone.
        let owners = Arc::clone(&replica_sets);
        wiring.wake(&pods, move |change| {
            let gone = change.new.is_none().then_some(change.old.as_ref()).flatten();
            let replica_set = gone.and_then(|pod| owners.get(&owner_key::<ReplicaSet>(&pod.metadata)?));
            replica_set.and_then(|replica_set| owner_key::<Deployment>(&replica_set.metadata))
        });
        DeploymentController { deployments, replica_sets, pods }
    }

    async fn observe(&self, key: &ObjectKey) -> Result<Option<Snapshot>, ClientError> {
        let Some(deployment) = self.deployments.get(key) else { return Ok(None) };
        let replica_sets = self.replica_sets.in_namespace(key.namespace());
        let owned = replica_sets.iter().filter(|replica_set| {
            controller_of(&replica_set.metadata).map(|owner| &owner.uid) == deployment.metadata.uid.as_ref()
        });
        let pods = owned.filter_map(|replica_set| replica_set.metadata.uid.as_deref());
        let pods = pods.flat_map(|uid| self.pods.indexed(crate::pods::BY_CONTROLLER, uid)).collect();
        Ok(Some(Snapshot { deployment, replica_sets, pods }))
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        plan::recover(snapshot, failures, now)
    }
}

/// The Deployment that owns a ReplicaSet, before or after the change; for an orphan all that could adopt it.
fn woken_by_replica_set(deployments: &Informer<Deployment>, change: &Change<ReplicaSet>) -> Vec<ObjectKey> {
    let mut keys: Vec<_> =
        change.states().filter_map(|state| owner_key::<Deployment>(&state.metadata)).collect();
    if let Some(orphan) = &change.new
        && controller_of(&orphan.metadata).is_none()
    {
        for deployment in deployments.in_namespace(change.key.namespace()) {
            if labels::selector(&deployment.spec.selector).matches(&orphan.metadata.labels) {
                keys.push(client::key_of(&*deployment));
            }
        }
    }
    keys
}
