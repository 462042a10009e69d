//! The node lifecycle controller: notices nodes that have gone silent, and turns the conditions of nodes into
//! taints.
//!
//! `health` decides when a node counts as silent, `taints` which taints its state requires. It follows upstream's
//! `pkg/controller/nodelifecycle`, without its rules for the loss of whole zones. [`crate::tainteviction`] evicts pods.

use std::collections::HashMap;
use std::sync::Arc;

use client::{Change, Informer, LeanPod};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;

use crate::framework::{Controller, Look, Notes, Plan, Wiring};
use crate::pods;

mod health;
mod snapshot;
mod taints;
#[cfg(test)]
mod tests;

use snapshot::{Snapshot, condition, is_silent};

/// Where nodes renew their Leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";

pub(crate) struct NodeLifecycle {
    nodes: Arc<Informer<Node>>,
    pods: Arc<Informer<LeanPod>>,
    signs: Notes<Signs>,
    grace: SignedDuration,
}

/// When this process last saw a sign of life of each node. The node's own clock does not count.
type Signs = HashMap<ObjectKey, Timestamp>;

impl Controller for NodeLifecycle {
    const NAME: &'static str = "node-controller";
    const ACCOUNT: &'static str = "node-controller";
    const QUEUE: &'static str = "node_lifecycle_controller";
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> NodeLifecycle {
        let nodes = wiring.informer::<Node>();
        let pods = wiring.informer::<LeanPod>();
        let leases = wiring.informer::<Lease>();
        pods.add_index(pods::BY_NODE, pods::node);
        let signs = Notes::<Signs>::default();
        wiring.note(&nodes, &signs, |signs, change, now| {
            if change.new.is_none() {
                signs.remove(&change.key);
            } else if reports(change) {
                signs.insert(change.key.clone(), now);
            }
            [change.key.clone()]
        });
        let known = Arc::clone(&nodes);
        wiring.note(&leases, &signs, move |signs, change, now| {
            let node = ObjectKey::cluster(Arc::clone(&change.key.name));
            if change.key.namespace() == LEASE_NAMESPACE && change.new.is_some() && known.get(&node).is_some()
            {
                signs.insert(node, now);
            }
            // A renewal wakes no key: the node's next timed check finds it.
            None
        });
        let known = Arc::clone(&nodes);
        wiring.wake(&pods, move |change| {
            // A pod that is bound to a silent node must be marked too.
            let node = change.old.is_none().then(|| pods::node_name(change.object()));
            let node = node.filter(|node| !node.is_empty()).map(ObjectKey::cluster);
            node.filter(|node| known.get(node).is_some_and(|node| is_silent(&node)))
        });
        let grace = wiring.config().node_monitor_grace;
        NodeLifecycle { nodes, pods, signs, grace }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let node = self.nodes.get(key)?;
        // The pods of a node that lives are its own matter, and may be many.
        let pods = if is_silent(&node) { self.pods.indexed(pods::BY_NODE, &key.name) } else { Vec::new() };
        let alive_at = self.signs.read(|signs| signs.get(key).copied()).unwrap_or(look.now);
        Some(Snapshot { node, pods, alive_at, grace: self.grace })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if !health::plan(snapshot, &mut plan, now) {
            // The taints follow the status; after it changed, the next plan sets them.
            taints::plan(snapshot, &mut plan, now);
        }
        plan
    }
}

/// Whether the node itself wrote: its conditions carry new times.
fn reports(change: &Change<Node>) -> bool {
    let heartbeat =
        |node: &Arc<Node>| condition(node, "Ready").and_then(|ready| ready.last_heartbeat_time.clone());
    change.old.as_ref().and_then(heartbeat) != change.new.as_ref().and_then(heartbeat) || change.old.is_none()
}
