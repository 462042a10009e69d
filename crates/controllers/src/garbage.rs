//! The garbage collector: deletes objects whose owners are gone.
//!
//! | module | is |
//! | --- | --- |
//! | `graph` | who owns whom, as the informers tell it, and whom a change concerns |
//! | `monitor` | watches the metadata of all resources, also of those that come later, and feeds the graph |
//! | `plan` | what becomes of one object |
//!
//! The graph only says where to look: before anything is deleted, the server is asked for the object and for
//! each owner that the graph does not know. It follows upstream's `pkg/controller/garbagecollector`.

use std::sync::Arc;

use client::{Client, ClientError, PartialObject};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::{ObjectKey, Uid};
use parking_lot::Mutex;

use crate::framework::{Controller, Plan, Wiring};

mod graph;
mod monitor;
mod plan;
#[cfg(test)]
mod tests;

use graph::{Graph, Node};
use monitor::Monitor;

/// Holds an owner until its dependents are gone.
const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner until its dependents have forgotten it.
const ORPHAN: &str = "orphan";

pub(crate) struct GarbageCollector {
    graph: Arc<Mutex<Graph>>,
    monitor: Monitor,
    client: Client,
}

/// What a decision about one object is made from.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// It has owners that are gone, or are going after it.
    Dependent {
        node: Node,
        /// As the server has it.
        live: PartialObject,
        owners: Vec<(OwnerReference, OwnerState)>,
        has_dependents: bool,
        /// A dependent waits for its own dependents: there may be a circle.
        dependent_waits: bool,
    },
    /// Its owners are there, but the graph has not seen all of them: were one to go now, nothing would tell.
    Unobserved,
    /// It is going and waits for its dependents.
    Foreground { node: Node, live: PartialObject, blocked: bool },
    /// It is going and its dependents are to stay.
    Orphaning { node: Node, live: PartialObject, dependents: Vec<Node> },
}

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnerState {
    /// It is there.
    Solid,
    /// There is no such object.
    Absent,
    /// It goes when its dependents are gone.
    Waiting,
}

impl Controller for GarbageCollector {
    const NAME: &'static str = "garbage-collector-controller";
    const WORKERS: usize = 20;
    type Key = Uid;
    type Snapshot = Snapshot;

    fn wire(wiring: &mut Wiring<Uid>) -> GarbageCollector {
        let graph = Arc::<Mutex<Graph>>::default();
        let monitor = Monitor::start(wiring.informers(), wiring.queue().clone(), Arc::clone(&graph));
        GarbageCollector { graph, monitor, client: wiring.informers().client().clone() }
    }

    async fn observe(&self, uid: &Uid) -> Result<Option<Snapshot>, ClientError> {
        self.monitor.synced().await;
        let Some(node) = self.graph.lock().get(uid).cloned() else { return Ok(None) };
        if !node.orphaning && !node.foreground {
            return if node.deleting { Ok(None) } else { self.dependent(uid, node).await };
        }
        let Some(live) = self.live(uid, &node).await? else { return Ok(None) };
        let graph = self.graph.lock();
        Ok(Some(if node.orphaning {
            Snapshot::Orphaning { dependents: graph.dependents(uid).cloned().collect(), node, live }
        } else {
            let blocked = graph.dependents(uid).any(|dependent| dependent.blocks(uid));
            Snapshot::Foreground { node, live, blocked }
        }))
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan::plan(snapshot)
    }
}

impl GarbageCollector {
    async fn dependent(&self, uid: &Uid, node: Node) -> Result<Option<Snapshot>, ClientError> {
        let mut owners = Vec::with_capacity(node.owners.len());
        let mut unobserved = false;
        for owner in &node.owners {
            let known = self.graph.lock().owner_state(owner, &node);
            let state = match known {
                Some(state) => state,
                None => {
                    unobserved = true;
                    self.ask_for_owner(owner, &node).await?
                }
            };
            owners.push((owner.clone(), state));
        }
        if owners.iter().all(|(_, state)| *state == OwnerState::Solid) {
            return Ok(unobserved.then_some(Snapshot::Unobserved));
        }
        // What the graph has may be old. If the owners differ, the change is under way and will wake this again.
        let live = self.live(uid, &node).await?;
        let unchanged = |live: &PartialObject| {
            live.metadata.owner_references.as_deref().unwrap_or_default() == node.owners
                && live.metadata.deletion_timestamp.is_none()
        };
        let Some(live) = live.filter(unchanged) else { return Ok(None) };
        let graph = self.graph.lock();
        let has_dependents = graph.dependents(uid).next().is_some();
        let dependent_waits = graph.dependents(uid).any(|dependent| dependent.foreground);
        Ok(Some(Snapshot::Dependent { node, live, owners, has_dependents, dependent_waits }))
    }

    /// The object as the server has it; `None` if it is gone, or another has its name.
    async fn live(&self, uid: &Uid, node: &Node) -> Result<Option<PartialObject>, ClientError> {
        match self.client.get_object::<PartialObject>(&node.resource, &node.key).await {
            Ok(live) => Ok(Some(live).filter(|live| live.metadata.uid.as_deref() == Some(uid.as_str()))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask_for_owner(&self, owner: &OwnerReference, node: &Node) -> Result<OwnerState, ClientError> {
        let resource = self.monitor.resource(owner)?;
        let namespace = match (resource.namespaced, node.key.namespace()) {
            // An object of the cluster cannot name the namespace of its owner: nothing can be said of that.
            (true, "") => return Ok(OwnerState::Solid),
            (true, namespace) => namespace,
            (false, _) => "",
        };
        let key = ObjectKey::namespaced(namespace, &*owner.name);
        match self.client.get_object::<PartialObject>(&resource.resource, &key).await {
            Ok(found) if found.metadata.uid.as_ref() != Some(&owner.uid) => Ok(OwnerState::Absent),
            Ok(found) => {
                let finalizers = found.metadata.finalizers.iter().flatten();
                let waits = finalizers.into_iter().any(|finalizer| finalizer == FOREGROUND);
                let going = found.metadata.deletion_timestamp.is_some();
                Ok(if going && waits { OwnerState::Waiting } else { OwnerState::Solid })
            }
            Err(error) if error.is_not_found() => Ok(OwnerState::Absent),
            Err(error) => Err(error),
        }
    }
}
