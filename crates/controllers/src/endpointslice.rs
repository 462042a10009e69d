//! The EndpointSlice controller: lists the pods behind a Service, at most a hundred per slice.
//!
//! `endpoints` makes the endpoints of a Service from its pods, `plan` computes the desired slices, with hints for
//! `spec.trafficDistribution`, `topology` computes the hints for topology aware routing, and `spread` reaches the
//! desired slices with as few writes as possible. It follows upstream's `staging/src/k8s.io/endpointslice`.

use std::sync::Arc;

use client::{Informer, LeanPod, key_of};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::ObjectKey;

use crate::framework::{Controller, Look, Plan, Wiring};
use crate::pods;

pub(crate) mod endpoints;
pub(crate) mod plan;
mod snapshot;
pub(crate) mod spread;
#[cfg(test)]
pub(crate) mod tests;
mod topology;
pub(crate) mod trigger;

pub(crate) use snapshot::SERVICE_NAME;
use snapshot::{Snapshot, Topology, selector};

/// The index of slices by `NAMESPACE/SERVICE`.
pub(crate) const BY_SERVICE: &str = "service";

pub(crate) struct EndpointSliceController {
    services: Arc<Informer<Service>>,
    pods: Arc<Informer<LeanPod>>,
    nodes: Arc<Informer<Node>>,
    slices: Arc<Informer<EndpointSlice>>,
}

impl Controller for EndpointSliceController {
    const NAME: &'static str = "endpoint-slice-controller";
    const ACCOUNT: &'static str = "endpointslice-controller";
    const QUEUE: &'static str = "endpoint_slice";
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    /// Whether the Service asked for topology aware routing. Only events depend on it.
    type Memory = bool;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> EndpointSliceController {
        let services = wiring.informer::<Service>();
        let pods = wiring.informer::<LeanPod>();
        let nodes = wiring.informer::<Node>();
        let slices = wiring.informer::<EndpointSlice>();
        slices.add_index(BY_SERVICE, |slice| {
            service_of(slice).map(|key| key.to_string()).into_iter().collect()
        });
        wake_services(wiring, &services, &pods, &nodes);
        wiring.wake(&slices, |change| {
            change.states().filter_map(|slice| service_of(slice)).collect::<Vec<_>>()
        });
        wake_asking(wiring, &services, &nodes);
        EndpointSliceController { services, pods, nodes, slices }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, bool>) -> Option<Snapshot> {
        // The slices of a Service that is gone are collected as its dependents.
        let service = self.services.get(key)?;
        let pods = selected(&service, &self.pods);
        let node =
            |pod: &Arc<LeanPod>| Some((pods::node_name(pod).to_owned(), self.nodes.get(&node_key(pod))?));
        let nodes = pods.iter().filter_map(node).collect();
        let slices = self.slices.indexed(BY_SERVICE, &key.to_string());
        let is_asked = topology::is_asked(&service);
        let was_asked = std::mem::replace(look.memory, is_asked);
        let shares = if is_asked {
            topology::shares(self.nodes.list().iter().map(|node| &**node))
        } else {
            topology::Shares::default()
        };
        let topology = Topology { is_asked, was_asked, shares };
        Some(Snapshot { service, pods, nodes, slices, topology })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan::plan(snapshot)
    }
}

/// Wakes the Services that ask for topology aware routing when a node's share of the CPU may have changed.
fn wake_asking(
    wiring: &mut Wiring<ObjectKey>,
    services: &Arc<Informer<Service>>,
    nodes: &Arc<Informer<Node>>,
) {
    let services = Arc::clone(services);
    wiring.wake(nodes, move |change| {
        let [old, new] = [&change.old, &change.new].map(|node| node.as_deref().and_then(topology::capacity));
        let all = if old == new { Vec::new() } else { services.list() };
        let asking = all.into_iter().filter(|service| topology::is_asked(service));
        asking.map(|service| key_of(&*service)).collect::<Vec<_>>()
    });
}

/// Wakes Services when they change, when a pod changes that they select or selected, and when the node of such a pod
/// appears.
pub(crate) fn wake_services(
    wiring: &mut Wiring<ObjectKey>,
    services: &Arc<Informer<Service>>,
    pods: &Arc<Informer<LeanPod>>,
    nodes: &Arc<Informer<Node>>,
) {
    pods.add_index(pods::BY_NODE, pods::node);
    wiring.wake_self(services);
    let all = Arc::clone(services);
    wiring.wake(pods, move |change| {
        let services = all.in_namespace(change.key.namespace());
        let selecting = services.iter().filter(|service| change.states().any(|pod| selects(service, pod)));
        selecting.map(|service| key_of(&**service)).collect::<Vec<_>>()
    });
    let (all, on_nodes) = (Arc::clone(services), Arc::clone(pods));
    wiring.wake(nodes, move |change| {
        let new = change.old.is_none().then_some(&change.key.name);
        let pods = new.map(|name| on_nodes.indexed(pods::BY_NODE, name)).unwrap_or_default();
        let selecting = pods.iter().flat_map(|pod| {
            let services = all.in_namespace(pod.metadata.namespace());
            services.into_iter().filter(|service| selects(service, pod))
        });
        selecting.map(|service| key_of(&*service)).collect::<Vec<_>>()
    });
}

fn selects(service: &Service, pod: &LeanPod) -> bool {
    selector(service).is_some_and(|selector| selector.matches(&pod.metadata.labels))
}

/// The pods that a Service selects, by name.
pub(crate) fn selected(service: &Service, pods: &Informer<LeanPod>) -> Vec<Arc<LeanPod>> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let mut pods = pods.in_namespace(service.metadata.namespace.as_deref().unwrap_or_default());
    pods.retain(|pod| selector.matches(&pod.metadata.labels));
    pods
}

fn node_key(pod: &LeanPod) -> ObjectKey {
    ObjectKey::cluster(pods::node_name(pod))
}

pub(crate) fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(ObjectKey::namespaced(slice.metadata.namespace.as_deref().unwrap_or_default(), &**name))
}
