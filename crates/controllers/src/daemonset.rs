//! The DaemonSet controller: one pod on each node that fits.
//!
//! | module | decides |
//! | --- | --- |
//! | `placement` | which nodes should run a pod, and how a pod is tied to its node |
//! | `places` | (types) the inputs and results of a decision |
//! | `failed` | how long failed pods are kept |
//! | `update` | which old pods are replaced by new ones |
//! | `status` | counts |
//! | `plan` | which pods are missing or superfluous |
//!
//! Each uses only those above it.
//!
//! It follows upstream's `pkg/controller/daemon`.

use std::sync::Arc;

use client::{Informer, LeanPod, key_of};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;

use crate::framework::{Controller, Failure, Look, Plan, Wiring, controller_of, owner_key, woken_by_owned};
use crate::pods;

mod failed;
mod placement;
mod places;
mod plan;
mod status;
#[cfg(test)]
mod tests;
mod update;

use failed::FailedPods;
use places::Snapshot;

pub(crate) struct DaemonSetController {
    daemon_sets: Arc<Informer<DaemonSet>>,
    revisions: Arc<Informer<ControllerRevision>>,
    pods: Arc<Informer<LeanPod>>,
    nodes: Arc<Informer<Node>>,
}

impl Controller for DaemonSetController {
    const NAME: &'static str = "daemonset-controller";
    const ACCOUNT: &'static str = "daemon-set-controller";
    const QUEUE: &'static str = "daemonset";
    const WORKERS: usize = 2;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    /// Failed pods, and their times.
    type Memory = FailedPods;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> DaemonSetController {
        let daemon_sets = wiring.informer::<DaemonSet>();
        let revisions = wiring.informer::<ControllerRevision>();
        let pods = wiring.informer::<LeanPod>();
        let nodes = wiring.informer::<Node>();
        pods.add_index(pods::BY_CONTROLLER, pods::controller_uid);
        wiring.wake_self(&daemon_sets);
        wiring.wake(&revisions, |change| {
            change.states().filter_map(|state| owner_key::<DaemonSet>(&state.metadata)).collect::<Vec<_>>()
        });
        let candidates = Arc::clone(&daemon_sets);
        wiring.wake(&pods, move |change| {
            woken_by_owned(&candidates, change, |owner| semantics::selector(&owner.spec.selector))
        });
        let all = Arc::clone(&daemon_sets);
        wiring.wake(&nodes, move |change| {
            let mut keys = Vec::new();
            if placement::matters(change) {
                all.for_each(|daemon_set| keys.push(key_of(&**daemon_set)));
            }
            keys
        });
        DaemonSetController { daemon_sets, revisions, pods, nodes }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, FailedPods>) -> Option<Snapshot> {
        let daemon_set = self.daemon_sets.get(key)?;
        let uid = daemon_set.metadata.uid.as_deref().unwrap_or_default();
        let mut pods = self.pods.indexed(pods::BY_CONTROLLER, uid);
        let orphans = self.pods.indexed(pods::BY_CONTROLLER, "");
        pods.extend(orphans.into_iter().filter(|pod| pod.metadata.namespace() == key.namespace()));
        let mut revisions = self.revisions.in_namespace(key.namespace());
        revisions.retain(|revision| controller_of(&revision.metadata).is_none_or(|owner| owner.uid == uid));
        let hold_off = look.memory.hold_off(uid, &pods, look.now);
        Some(Snapshot { daemon_set, revisions, pods, nodes: self.nodes.list(), hold_off })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], _now: Timestamp) -> Plan {
        plan::recover(snapshot, failures)
    }
}
