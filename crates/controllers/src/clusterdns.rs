//! The cluster DNS controller: maintains the Service through which pods reach cluster DNS, and its endpoints.
//!
//! Each node publishes the addresses of its DNS server on its own Node object ([`ENDPOINTS_ANNOTATION`]). From that,
//! this controller maintains the Service `kube-system/kube-dns`, which has no selector, and for each node and address
//! family one EndpointSlice, which is owned by the Node and deleted with it. A node can only publish its own addresses:
//! those that are neither its own nor within its pod ranges are ignored.
//!
//! Queries go to the server on the pod's own node (by hints for that node), or to another node's if it has no ready
//! server. That is why the Service's internal traffic policy is `Cluster`: with `Local`, no names could be resolved on
//! a node without DNS.

use std::sync::Arc;

use client::Informer;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::ObjectKey;

use crate::Config;
use crate::framework::{Controller, Look, Plan, Wiring, owner_key};

mod plan;
#[cfg(test)]
mod tests;

use plan::{MANAGED_BY, NAME, NAMESPACE, service, slices};

pub(crate) struct ClusterDns {
    nodes: Arc<Informer<Node>>,
    services: Arc<Informer<Service>>,
    slices: Arc<Informer<EndpointSlice>>,
    config: Arc<Config>,
}

/// The inputs of a decision: about the Service (its key is that of a Service), or about one node.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// The current Service, and its desired addresses.
    Service { present: Option<Arc<Service>>, addresses: Vec<std::net::IpAddr> },
    /// A node and its slices.
    Node { node: Arc<Node>, present: Vec<Arc<EndpointSlice>> },
}

impl Controller for ClusterDns {
    const NAME: &'static str = "clusterdns-controller";
    const ACCOUNT: &'static str = "clusterdns-controller";
    const QUEUE: &'static str = "clusterdns";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> ClusterDns {
        let nodes = wiring.informer::<Node>();
        let services = wiring.informer::<Service>();
        let slices = wiring.informer::<EndpointSlice>();
        wiring.wake_self(&nodes);
        wiring.wake(&services, |change| {
            (change.key.namespace() == NAMESPACE && &*change.key.name == NAME).then(|| change.key.clone())
        });
        wiring.wake(&slices, |change| {
            let object = change.object();
            is_ours(object)
                .then(|| owner_key::<Node>(&object.metadata))
                .flatten()
                .map(|key| ObjectKey::cluster(&*key.name))
        });
        wiring.queue().add(ObjectKey::namespaced(NAMESPACE, NAME));
        ClusterDns { nodes, services, slices, config: Arc::clone(wiring.config()) }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let addresses = self.config.cluster_dns.clone();
        if addresses.is_empty() {
            return None;
        }
        if !key.namespace().is_empty() {
            return Some(Snapshot::Service { present: self.services.get(key), addresses });
        }
        let node = self.nodes.get(key)?;
        let mut present = self.slices.in_namespace(NAMESPACE);
        present.retain(|slice| {
            is_ours(slice) && owner_key::<Node>(&slice.metadata).is_some_and(|owner| owner.name == key.name)
        });
        Some(Snapshot::Node { node, present })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        match snapshot {
            Snapshot::Service { present, addresses } => service(present.as_deref(), addresses),
            Snapshot::Node { node, present } => slices(node, present),
        }
    }
}

fn is_ours(slice: &EndpointSlice) -> bool {
    let manager = slice
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get("endpointslice.kubernetes.io/managed-by"));
    manager.is_some_and(|manager| manager == MANAGED_BY)
}
