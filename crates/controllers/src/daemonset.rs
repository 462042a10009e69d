//! The DaemonSet controller: one pod on each node that fits.
//!
//! | module | decides |
//! | --- | --- |
//! | `placement` | on which nodes a pod belongs, and how it is bound for one |
//! | `plan` | which pods are missing or too many |
//! | `failed` | how long failed pods stay |
//! | `update` | which old pods make way for new ones |
//! | `history` | the ControllerRevisions: a template each |
//! | `status` | counts |
//!
//! It follows upstream's `pkg/controller/daemon`.

use std::collections::HashMap;
use std::sync::Arc;

use client::{Change, ClientError, Informer, key_of};
use clock::Clock;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use object::ObjectKey;

use crate::framework::{Controller, Failure, Plan, Wiring, controller_of, labels, owner_key};
use crate::pods;

mod failed;
mod history;
mod placement;
mod plan;
mod status;
#[cfg(test)]
mod tests;
mod update;

pub(crate) struct DaemonSetController {
    daemon_sets: Arc<Informer<DaemonSet>>,
    revisions: Arc<Informer<ControllerRevision>>,
    pods: Arc<Informer<Pod>>,
    nodes: Arc<Informer<Node>>,
    failed: failed::FailedPods,
    clock: Clock,
}

/// What a decision about one DaemonSet is made from.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    daemon_set: Arc<DaemonSet>,
    /// All of the namespace that are its own or have no controller.
    revisions: Vec<Arc<ControllerRevision>>,
    /// Its pods, and the orphans of the namespace.
    pods: Vec<Arc<Pod>>,
    /// All nodes.
    nodes: Vec<Arc<Node>>,
    /// Until when failed pods stay, by node.
    hold_off: HashMap<String, Timestamp>,
}

impl Controller for DaemonSetController {
    const NAME: &'static str = "daemonset-controller";
    const WORKERS: usize = 2;
    type Key = ObjectKey;
    type Snapshot = Snapshot;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> DaemonSetController {
        let daemon_sets = wiring.informer::<DaemonSet>();
        let revisions = wiring.informer::<ControllerRevision>();
        let pods = wiring.informer::<Pod>();
        let nodes = wiring.informer::<Node>();
        pods.add_index(pods::BY_CONTROLLER, pods::controller_uid);
        wiring.wake_self(&daemon_sets);
        wiring.wake(&revisions, |change| {
            change.states().filter_map(|state| owner_key::<DaemonSet>(&state.metadata)).collect::<Vec<_>>()
        });
        let candidates = Arc::clone(&daemon_sets);
        wiring.wake(&pods, move |change| woken_by_pod(&candidates, change));
        let all = Arc::clone(&daemon_sets);
        wiring.wake(&nodes, move |change| {
            let mut keys = Vec::new();
            if placement::matters(change) {
                all.for_each(|daemon_set| keys.push(key_of(&**daemon_set)));
            }
            keys
        });
        let clock = wiring.informers().client().clock().clone();
        DaemonSetController {
            daemon_sets,
            revisions,
            pods,
            nodes,
            failed: failed::FailedPods::default(),
            clock,
        }
    }

    async fn observe(&self, key: &ObjectKey) -> Result<Option<Snapshot>, ClientError> {
        let Some(daemon_set) = self.daemon_sets.get(key) else { return Ok(None) };
        let uid = daemon_set.metadata.uid.as_deref().unwrap_or_default();
        let mut pods = self.pods.indexed(pods::BY_CONTROLLER, uid);
        let orphans = self.pods.indexed(pods::BY_CONTROLLER, "");
        pods.extend(
            orphans.into_iter().filter(|pod| pod.metadata.namespace == daemon_set.metadata.namespace),
        );
        let mut revisions = self.revisions.in_namespace(key.namespace());
        revisions.retain(|revision| controller_of(&revision.metadata).is_none_or(|owner| owner.uid == uid));
        let hold_off = self.failed.hold_off(uid, &pods, self.clock.now());
        Ok(Some(Snapshot { daemon_set, revisions, pods, nodes: self.nodes.list(), hold_off }))
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], _now: Timestamp) -> Plan {
        plan::recover(snapshot, failures)
    }
}

/// The DaemonSet that owns a pod, before or after the change; for an orphan all that could adopt it.
fn woken_by_pod(daemon_sets: &Informer<DaemonSet>, change: &Change<Pod>) -> Vec<ObjectKey> {
    let mut keys: Vec<_> = change.states().filter_map(|pod| owner_key::<DaemonSet>(&pod.metadata)).collect();
    if let Some(orphan) = &change.new
        && controller_of(&orphan.metadata).is_none()
        && orphan.metadata.labels.is_some()
    {
        for daemon_set in daemon_sets.in_namespace(change.key.namespace()) {
            if labels::selector(&daemon_set.spec.selector).matches(&orphan.metadata.labels) {
                keys.push(key_of(&*daemon_set));
            }
        }
    }
    keys
}
