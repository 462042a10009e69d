//! The EndpointSlice controller: tells which pods stand behind a Service, at most a hundred a slice.
//!
//! `endpoints` makes the endpoints of a Service from its pods, `plan` says which slices it should have, with hints
//! for `spec.trafficDistribution`, `topology` gives those for topology aware routing, and `spread` gets there with as few
//! writes as possible. It follows upstream's `staging/src/k8s.io/endpointslice`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use client::{ClientError, Informer, key_of};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::{ObjectKey, Selector};
use parking_lot::Mutex;

use crate::framework::{Controller, Plan, Wiring};
use crate::pods;

pub(crate) mod endpoints;
pub(crate) mod plan;
pub(crate) mod spread;
#[cfg(test)]
pub(crate) mod tests;
mod topology;
pub(crate) mod trigger;

/// Names a slice's Service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The index of slices by `NAMESPACE/SERVICE`.
pub(crate) const BY_SERVICE: &str = "service";

pub(crate) struct EndpointSliceController {
    services: Arc<Informer<Service>>,
    pods: Arc<Informer<Pod>>,
    nodes: Arc<Informer<Node>>,
    slices: Arc<Informer<EndpointSlice>>,
    /// The Services that ask for topology aware routing, as they were seen last. Only events depend on it.
    asking: Mutex<HashSet<ObjectKey>>,
}

/// What a decision about one Service is made from.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    service: Arc<Service>,
    /// The pods that it selects.
    pods: Vec<Arc<Pod>>,
    /// The nodes of these pods.
    nodes: HashMap<String, Arc<Node>>,
    /// All slices that name the Service.
    slices: Vec<Arc<EndpointSlice>>,
    topology: Topology,
}

/// Whether a Service asks for topology aware routing.
#[derive(Clone, Debug, Default)]
struct Topology {
    is_asked: bool,
    /// Whether it did when it was looked at before.
    was_asked: bool,
    /// What each zone gets, if it is asked for.
    shares: topology::Shares,
}

impl Controller for EndpointSliceController {
    const NAME: &'static str = "endpoint-slice-controller";
    type Key = ObjectKey;
    type Snapshot = Snapshot;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> EndpointSliceController {
        let services = wiring.informer::<Service>();
        let pods = wiring.informer::<Pod>();
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
        EndpointSliceController { services, pods, nodes, slices, asking: Mutex::default() }
    }

    async fn observe(&self, key: &ObjectKey) -> Result<Option<Snapshot>, ClientError> {
        // The slices of a Service that is gone are collected as its dependents.
        let Some(service) = self.services.get(key) else {
            self.asking.lock().remove(key);
            return Ok(None);
        };
        let pods = selected(&service, &self.pods);
        let node = |pod: &Arc<Pod>| Some((pods::node_name(pod).to_owned(), self.nodes.get(&node_key(pod))?));
        let nodes = pods.iter().filter_map(node).collect();
        let slices = self.slices.indexed(BY_SERVICE, &key.to_string());
        let topology = self.topology(key, &service);
        Ok(Some(Snapshot { service, pods, nodes, slices, topology }))
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan::plan(snapshot)
    }
}

impl EndpointSliceController {
    fn topology(&self, key: &ObjectKey, service: &Service) -> Topology {
        let mut asking = self.asking.lock();
        if topology::is_asked(service) {
            let was_asked = !asking.insert(key.clone());
            drop(asking);
            let nodes = self.nodes.list();
            let shares = topology::shares(nodes.iter().map(|node| &**node));
            return Topology { is_asked: true, was_asked, shares };
        }
        Topology { was_asked: asking.remove(key), ..Topology::default() }
    }
}

/// Wakes the Services that ask for topology aware routing when a node's share of the CPU may have changed.
fn wake_asking(wiring: &Wiring<ObjectKey>, services: &Arc<Informer<Service>>, nodes: &Arc<Informer<Node>>) {
    let services = Arc::clone(services);
    wiring.wake(nodes, move |change| {
        let [old, new] = [&change.old, &change.new].map(|node| node.as_deref().and_then(topology::capacity));
        let all = if old == new { Vec::new() } else { services.list() };
        let asking = all.into_iter().filter(|service| topology::is_asked(service));
        asking.map(|service| key_of(&*service)).collect::<Vec<_>>()
    });
}

/// Wakes Services when they change, when a pod changes that they select or selected, and when the node of such a
/// pod shows up.
pub(crate) fn wake_services(
    wiring: &Wiring<ObjectKey>,
    services: &Arc<Informer<Service>>,
    pods: &Arc<Informer<Pod>>,
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
            let services = all.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default());
            services.into_iter().filter(|service| selects(service, pod))
        });
        selecting.map(|service| key_of(&*service)).collect::<Vec<_>>()
    });
}

/// The labels that a Service selects by; `None` if its endpoints are somebody else's business.
fn selector(service: &Service) -> Option<Selector> {
    let spec = service.spec.as_ref()?;
    let external = spec.type_.as_deref() == Some("ExternalName");
    let labels = spec.selector.as_ref().filter(|labels| !labels.is_empty() && !external)?;
    Some(Selector::from_labels(labels.clone()))
}

fn selects(service: &Service, pod: &Pod) -> bool {
    selector(service).is_some_and(|selector| selector.matches(&pod.metadata.labels))
}

/// The pods that a Service selects, by name.
pub(crate) fn selected(service: &Service, pods: &Informer<Pod>) -> Vec<Arc<Pod>> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let mut pods = pods.in_namespace(service.metadata.namespace.as_deref().unwrap_or_default());
    pods.retain(|pod| selector.matches(&pod.metadata.labels));
    pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    pods
}

fn node_key(pod: &Pod) -> ObjectKey {
    ObjectKey::cluster(pods::node_name(pod))
}

pub(crate) fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(ObjectKey::namespaced(slice.metadata.namespace.as_deref().unwrap_or_default(), &**name))
}
