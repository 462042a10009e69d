//! The service load balancer: Services of type LoadBalancer on hosts without a cloud.
//!
//! There is no machine in front of the nodes: a Service's addresses are those of the nodes themselves, and each node's
//! proxy serves the Service's ports there. This controller publishes the nodes' addresses in
//! `status.loadBalancer.ingress`, where the proxies read them too. Because all Services share the nodes' addresses, no
//! two of them can have the same port: the older one gets it, or, of two that are equally old, the one that had it
//! first.
//!
//! It replaces upstream's `cloud-provider/controllers/service` and uses its finalizer, events and node labels. `plan`
//! decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::{Informer, key_of};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::ObjectKey;

use crate::endpointslice::{BY_SERVICE, service_of};
use crate::framework::{Controller, Look, Plan, Wiring};

mod plan;
mod snapshot;
#[cfg(test)]
mod tests;

use snapshot::Snapshot;

pub(crate) struct ServiceLoadBalancer {
    services: Arc<Informer<Service>>,
    nodes: Arc<Informer<Node>>,
    slices: Arc<Informer<EndpointSlice>>,
}

impl Controller for ServiceLoadBalancer {
    const NAME: &'static str = "service-controller";
    const ACCOUNT: &'static str = "service-controller";
    const QUEUE: &'static str = "service";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    /// One key stands for all Services, because two of them must not get the same port.
    fn wire(wiring: &mut Wiring<ObjectKey>) -> ServiceLoadBalancer {
        let all = || ObjectKey::cluster("services");
        let services = wiring.informer::<Service>();
        let nodes = wiring.informer::<Node>();
        let slices = wiring.informer::<EndpointSlice>();
        slices.add_index(BY_SERVICE, |slice| {
            service_of(slice).map(|key| key.to_string()).into_iter().collect()
        });
        wiring.wake(&services, move |change| change.states().any(|service| concerns(service)).then(all));
        wiring.wake(&nodes, move |change| {
            let [old, new] = [&change.old, &change.new].map(|node| node.as_deref().map(plan::traits));
            (old != new).then(all)
        });
        let known = Arc::clone(&services);
        wiring.wake(&slices, move |change| {
            let service = change.states().find_map(|slice| known.get(&service_of(slice)?));
            service.is_some_and(|service| plan::is_local(&service)).then(all)
        });
        ServiceLoadBalancer { services, nodes, slices }
    }

    fn observe(&self, _key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let mut services = self.services.list();
        let mut node_ports = BTreeMap::new();
        for service in &services {
            node_ports.extend(plan::node_ports(service).map(|port| (port, key_of(&**service))));
        }
        services.retain(|service| concerns(service));
        let wanted =
            services.iter().filter(|service| plan::is_local(service)).map(|service| key_of(&**service));
        let local = wanted.map(|key| (key.clone(), self.ready_nodes(&key))).collect();
        let kubernetes = self.slices.indexed(BY_SERVICE, "default/kubernetes");
        let api_ports =
            kubernetes.iter().flat_map(|slice| slice.ports.iter().flatten()).filter_map(|port| port.port);
        Some(Snapshot {
            services,
            node_ports,
            nodes: self.nodes.list(),
            local,
            api_ports: api_ports.collect(),
        })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }
}

impl ServiceLoadBalancer {
    fn ready_nodes(&self, service: &ObjectKey) -> BTreeSet<String> {
        let slices = self.slices.indexed(BY_SERVICE, &service.to_string());
        let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let ready = endpoints.filter(|endpoint| semantics::EndpointState::of_endpoint(*endpoint).ready);
        ready.filter_map(|endpoint| endpoint.node_name.clone()).collect()
    }
}

/// Whether a Service has a load balancer, or may have had one from here.
fn concerns(service: &Service) -> bool {
    plan::is_load_balancer(service) || plan::has_finalizer(service)
}
