//! Feeds the graph with the metadata of everything that can be deleted.

use std::sync::Arc;

use client::{Change, Kin, ResourceType, ServedResource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use object::Uid;

use super::graph::{Graph, Node};
use crate::framework::{Everything, Notes, Wiring};

/// The watched resources.
pub(super) struct Monitor {
    graph: Notes<Graph>,
    everything: Everything,
}

impl Monitor {
    /// Starts to watch. The controller begins when the graph contains everything that existed at the start.
    pub(super) fn start(wiring: &mut Wiring<Uid>) -> Monitor {
        let graph = Notes::<Graph>::default();
        let fed = graph.clone();
        let everything = wiring
            .everything(|_| true, move |resource, change| fed.write(|graph| apply(graph, resource, change)));
        Monitor { graph, everything }
    }

    /// Owners and their dependents.
    pub(super) fn graph<R>(&self, read: impl FnOnce(&Graph) -> R) -> R {
        self.graph.read(read)
    }

    /// The resource of an owner's kind; `None` if it is not served.
    pub(super) fn resource(&self, owner: &OwnerReference) -> Option<ServedResource> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        self.everything.of_kind(group, &owner.kind)
    }
}

fn apply(graph: &mut Graph, resource: &Arc<ResourceType>, change: &Change<Kin>) -> Vec<Uid> {
    let uid = |kin: &Arc<Kin>| kin.uid.clone();
    let (old, new) = (change.old.as_ref().map(uid), change.new.as_ref().map(uid));
    let mut concerned = Vec::new();
    if let Some(old) = old.filter(|old| Some(old) != new.as_ref()) {
        concerned.extend(graph.remove(&old));
    }
    if let Some(kin) = &change.new {
        concerned.extend(graph.put(Node { resource: Arc::clone(resource), kin: Arc::clone(kin) }));
    }
    concerned
}
