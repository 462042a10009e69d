//! The Deployment controller: replaces the pods of one template with those of another, with one ReplicaSet per
//! template.
//!
//! This file does the wiring; decisions are made in
//!
//! | module | decides |
//! | --- | --- |
//! | `rollout` | (types) the existing ReplicaSets, and the limits `maxSurge` and `maxUnavailable` |
//! | `revision` | hash, revisions, annotations and the clean-up of old ReplicaSets |
//! | `size` | the size of one ReplicaSet |
//! | `status` | counts and conditions |
//! | `new` | the ReplicaSet of the current template |
//! | `rolling` | how far new and old ReplicaSets may be scaled, within the limits; `Recreate` |
//! | `scale` | how a change of size is distributed when no rollout is in progress: scaled or paused Deployments |
//! | `plan` | which of the cases applies, and which ReplicaSet is the new one |
//!
//! Each uses only those above it.
//!
//! It follows upstream's `pkg/controller/deployment`. Where upstream writes several times in one pass, a plan here ends
//! with one write of the Deployment's status, and the next plan continues from there. A rollback is a change of the
//! template to an older one (as kubectl does it): the ReplicaSet of that template becomes the new one again.

use std::sync::Arc;

use client::{Informer, LeanPod};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use object::ObjectKey;

use crate::framework::{Controller, Failure, Look, Plan, Wiring, controller_of, owner_key, woken_by_owned};

mod new;
mod plan;
mod revision;
mod rolling;
mod rollout;
mod scale;
mod size;
mod status;
#[cfg(test)]
mod tests;

use rollout::Snapshot;

pub(crate) struct DeploymentController {
    deployments: Arc<Informer<Deployment>>,
    replica_sets: Arc<Informer<ReplicaSet>>,
    pods: Arc<Informer<LeanPod>>,
}

impl Controller for DeploymentController {
    const NAME: &'static str = "deployment-controller";
    const ACCOUNT: &'static str = "deployment-controller";
    const QUEUE: &'static str = "deployment";
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> DeploymentController {
        let deployments = wiring.informer::<Deployment>();
        let replica_sets = wiring.informer::<ReplicaSet>();
        let pods = wiring.informer::<LeanPod>();
        pods.add_index(crate::pods::BY_CONTROLLER, crate::pods::controller_uid);
        wiring.wake_self(&deployments);
        let candidates = Arc::clone(&deployments);
        wiring.wake(&replica_sets, move |change| {
            woken_by_owned(&candidates, change, |owner| semantics::selector(&owner.spec.selector))
        });
        // A Recreate rollout waits for the last old pod to be gone.
        let owners = Arc::clone(&replica_sets);
        wiring.wake(&pods, move |change| {
            let gone = change.new.is_none().then_some(change.old.as_ref()).flatten();
            let replica_set = gone.and_then(|pod| owners.get(&owner_key::<ReplicaSet>(&pod.metadata)?));
            replica_set.and_then(|replica_set| owner_key::<Deployment>(&replica_set.metadata))
        });
        DeploymentController { deployments, replica_sets, pods }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let deployment = self.deployments.get(key)?;
        let replica_sets = self.replica_sets.in_namespace(key.namespace());
        let owned = replica_sets.iter().filter(|replica_set| {
            controller_of(&replica_set.metadata).map(|owner| owner.uid) == deployment.metadata.uid.as_deref()
        });
        let pods = owned.filter_map(|replica_set| replica_set.metadata.uid.as_deref());
        let pods = pods.flat_map(|uid| self.pods.indexed(crate::pods::BY_CONTROLLER, uid)).collect();
        Some(Snapshot { deployment, replica_sets, pods })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        plan::recover(snapshot, failures, now)
    }
}
