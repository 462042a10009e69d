//! The node lifecycle controller: notices nodes that have gone silent, and turns the conditions of nodes into
//! taints.
//!
//! `health` decides when a node counts as silent, `taints` which taints its state calls for. It follows upstream's
//! `pkg/controller/nodelifecycle`, without its rules for the loss of whole zones. Eviction is
//! [`crate::tainteviction`]'s.

use std::collections::HashMap;
use std::sync::Arc;

use client::{Change, ClientError, Informer};
use clock::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use object::ObjectKey;
use parking_lot::Mutex;

use crate::framework::{Controller, Plan, Wiring};
use crate::pods;

mod health;
mod taints;
#[cfg(test)]
mod tests;

/// Where nodes renew their Leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";

pub(crate) struct NodeLifecycle {
    nodes: Arc<Informer<Node>>,
    pods: Arc<Informer<Pod>>,
    signs: Arc<Signs>,
    grace: SignedDuration,
}

/// When this process last saw a sign of life of each node. The node's own clock does not count.
struct Signs {
    clock: Clock,
    seen: Mutex<HashMap<ObjectKey, Timestamp>>,
}

impl Signs {
    fn note(&self, node: ObjectKey) {
        self.seen.lock().insert(node, self.clock.now());
    }
}

/// What a decision about one node is made from.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    node: Arc<Node>,
    /// Its pods.
    pods: Vec<Arc<Pod>>,
    /// When it last gave a sign of life.
    alive_at: Timestamp,
    /// How long it may be silent.
    grace: SignedDuration,
}

impl Controller for NodeLifecycle {
    const NAME: &'static str = "node-controller";
    type Key = ObjectKey;
    type Snapshot = Snapshot;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> NodeLifecycle {
        let nodes = wiring.informer::<Node>();
        let pods = wiring.informer::<Pod>();
        let leases = wiring.informer::<Lease>();
        pods.add_index(pods::BY_NODE, pods::node);
        let clock = wiring.informers().client().clock().clone();
        let signs = Arc::new(Signs { clock, seen: Mutex::default() });
        let noted = Arc::clone(&signs);
        wiring.wake(&nodes, move |change| {
            if change.new.is_none() {
                noted.seen.lock().remove(&change.key);
            } else if reports(change) {
                noted.note(change.key.clone());
            }
            [change.key.clone()]
        });
        let noted = Arc::clone(&signs);
        leases.subscribe(move |change| {
            // A renewal wakes nobody: the node's next look at the clock finds it.
            if change.key.namespace() == LEASE_NAMESPACE && change.new.is_some() {
                noted.note(ObjectKey::cluster(Arc::clone(&change.key.name)));
            }
        });
        wiring.wake(&pods, |change| {
            // A pod that lands on a silent node must be told of it.
            let node = change.old.is_none().then(|| pods::node_name(change.object()));
            node.filter(|node| !node.is_empty()).map(ObjectKey::cluster)
        });
        let grace = wiring.config().node_monitor_grace;
        NodeLifecycle { nodes, pods, signs, grace }
    }

    async fn observe(&self, key: &ObjectKey) -> Result<Option<Snapshot>, ClientError> {
        let Some(node) = self.nodes.get(key) else { return Ok(None) };
        let pods = self.pods.indexed(pods::BY_NODE, &key.name);
        let seen = self.signs.seen.lock().get(key).copied();
        let alive_at = seen.unwrap_or_else(|| self.signs.clock.now());
        Ok(Some(Snapshot { node, pods, alive_at, grace: self.grace }))
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if !health::plan(snapshot, &mut plan, now) {
            // The taints follow what the status says; after a change of it, the next plan sets them.
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

/// One of a node's conditions.
fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}
