//! The garbage collector: deletes objects whose owners are gone.
//!
//! | module | contents |
//! | --- | --- |
//! | `graph` | who owns whom according to the informers, and which objects a change affects |
//! | `monitor` | watches the metadata of all resources, including those added later, and feeds the graph |
//! | `plan` | decides about one object |
//!
//! The graph only says where to look: before anything is deleted, the server is asked for the object and for
//! each owner that the graph does not know. It follows upstream's `pkg/controller/garbagecollector`.

use std::sync::Arc;

use client::PartialObject;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::{ObjectKey, Uid};

use crate::framework::{Controller, Live, Look, Plan, Wiring};

mod graph;
mod monitor;
mod plan;
mod snapshot;
#[cfg(test)]
mod tests;

use graph::{FOREGROUND, Node, OwnerState};
use monitor::Monitor;
use snapshot::Snapshot;

pub(crate) struct GarbageCollector {
    monitor: Monitor,
}

impl Controller for GarbageCollector {
    const NAME: &'static str = "garbage-collector-controller";
    const ACCOUNT: &'static str = "generic-garbage-collector";
    const QUEUE: &'static str = "garbage_collector_attempt_to_delete";
    const WORKERS: usize = 20;
    type Key = Uid;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<Uid>) -> GarbageCollector {
        GarbageCollector { monitor: Monitor::start(wiring) }
    }

    fn observe(&self, uid: &Uid, look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let node = self.monitor.graph(|graph| graph.get(uid).cloned())?;
        if !node.orphans() && !node.waits() {
            return if node.deleting { None } else { self.dependent(uid, node, look.live) };
        }
        let live = live(uid, &node, look.live)??;
        Some(self.monitor.graph(|graph| {
            if node.orphans() {
                Snapshot::Orphaning { dependents: graph.dependents(uid).cloned().collect(), node, live }
            } else {
                let blocked = graph.dependents(uid).any(|dependent| dependent.blocks(uid));
                Snapshot::Foreground { node, live, blocked }
            }
        }))
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan::plan(snapshot)
    }
}

impl GarbageCollector {
    fn dependent(&self, uid: &Uid, node: Node, live: &mut Live) -> Option<Snapshot> {
        let known: Vec<_> = self
            .monitor
            .graph(|graph| node.owners.iter().map(|owner| graph.owner_state(owner, &node)).collect());
        let unobserved = known.iter().any(Option::is_none);
        // All questions are asked at once.
        let states: Vec<_> = node
            .owners
            .iter()
            .zip(known)
            .map(|(owner, known)| known.map(Answer::Is).or_else(|| self.ask_for_owner(owner, &node, live)))
            .collect();
        let mut owners = Vec::with_capacity(node.owners.len());
        for (owner, state) in node.owners.iter().zip(states) {
            match state? {
                Answer::Is(state) => owners.push((owner.clone(), state)),
                // The kind may be served again some day: the object stays until then.
                Answer::Unknowable => return Some(Snapshot::Unobserved),
            }
        }
        if owners.iter().all(|(_, state)| *state == OwnerState::Solid) {
            return unobserved.then_some(Snapshot::Unobserved);
        }
        // The graph's data may be stale. If the owners differ, the change is on its way and will wake this key again.
        let live = self::live(uid, &node, live)??;
        let unchanged = live.metadata.owner_references.as_deref().unwrap_or_default() == &**node.owners
            && live.metadata.deletion_timestamp.is_none();
        if !unchanged {
            return None;
        }
        Some(self.monitor.graph(|graph| {
            let has_dependents = graph.dependents(uid).next().is_some();
            let dependent_waits = graph.dependents(uid).any(Node::waits);
            Snapshot::Dependent { node, live, owners, has_dependents, dependent_waits }
        }))
    }

    /// The server's answer about an owner; `None` while it is pending.
    fn ask_for_owner(&self, owner: &OwnerReference, node: &Node, live: &mut Live) -> Option<Answer> {
        let Some(resource) = self.monitor.resource(owner) else { return Some(Answer::Unknowable) };
        let namespace = match (resource.namespaced, node.key.namespace()) {
            // A cluster-scoped object cannot name the namespace of its owner, so nothing is known about it.
            (true, "") => return Some(Answer::Is(OwnerState::Solid)),
            (true, namespace) => namespace,
            (false, _) => "",
        };
        let key = ObjectKey::namespaced(namespace, &*owner.name);
        let found = live.metadata(&resource.resource, &key)?;
        Some(Answer::Is(match found {
            Some(found) if found.metadata.uid.as_ref() == Some(&owner.uid) => {
                let finalizers = found.metadata.finalizers.iter().flatten();
                let waits = finalizers.into_iter().any(|finalizer| finalizer == FOREGROUND);
                let going = found.metadata.deletion_timestamp.is_some();
                if going && waits { OwnerState::Waiting } else { OwnerState::Solid }
            }
            _ => OwnerState::Absent,
        }))
    }
}

/// The findings about an owner.
#[derive(Clone, Copy)]
enum Answer {
    Is(OwnerState),
    Unknowable,
}

/// The object at the server; the inner `None` if it is gone, or a different one has its name.
fn live(uid: &Uid, node: &Node, live: &mut Live) -> Option<Option<Arc<PartialObject>>> {
    let found = live.metadata(&node.resource, &node.key)?;
    Some(found.filter(|found| found.metadata.uid.as_deref() == Some(uid.as_str())))
}
