//! The EndpointSlice mirroring controller: Endpoints that users or programs write for a Service without a selector are
//! mirrored to slices, which the proxy and DNS read.
//!
//! It follows upstream's `pkg/controller/endpointslicemirroring`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use client::{EventType, Informer, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self as core, EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use object::ObjectKey;

use crate::endpointslice::endpoints::Family;
use crate::endpointslice::plan::MANAGED_BY;
use crate::endpointslice::spread::{ByPorts, Changes, TRIGGER_TIME, Template, key};
use crate::endpointslice::{BY_SERVICE, SERVICE_NAME, service_of};
use crate::framework::{Action, Controller, Look, Note, Plan, Wiring, controller_reference};

#[cfg(test)]
mod tests;

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Prevents Endpoints from being mirrored.
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Marks Endpoints that are only the lock of an election.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The maximum number of mirrored addresses of a subset.
const ADDRESSES_MAX: usize = 1000;

pub(crate) struct EndpointSliceMirroring {
    services: Arc<Informer<Service>>,
    endpoints: Arc<Informer<Endpoints>>,
    slices: Arc<Informer<EndpointSlice>>,
}

/// The inputs of a decision about one Endpoints object.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    service: Option<Arc<Service>>,
    endpoints: Option<Arc<Endpoints>>,
    /// The slices of the Service that this controller manages.
    slices: Vec<Arc<EndpointSlice>>,
}

impl Controller for EndpointSliceMirroring {
    const NAME: &'static str = "endpoint-slice-mirroring-controller";
    const ACCOUNT: &'static str = "endpointslicemirroring-controller";
    const QUEUE: &'static str = "endpoint_slice_mirroring";
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> EndpointSliceMirroring {
        let services = wiring.informer::<Service>();
        let endpoints = wiring.informer::<Endpoints>();
        let slices = wiring.informer::<EndpointSlice>();
        slices.add_index(BY_SERVICE, |slice| {
            service_of(slice).map(|key| key.to_string()).into_iter().collect()
        });
        wiring.wake_self(&services);
        wiring.wake_self(&endpoints);
        wiring.wake(&slices, |change| {
            let mirrored = change.states().filter(|slice| is_mirrored(slice));
            mirrored.filter_map(|slice| service_of(slice)).collect::<Vec<_>>()
        });
        EndpointSliceMirroring { services, endpoints, slices }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let mut slices = self.slices.indexed(BY_SERVICE, &key.to_string());
        slices.retain(|slice| is_mirrored(slice));
        let (service, endpoints) = (self.services.get(key), self.endpoints.get(key));
        Some(Snapshot { service, endpoints, slices })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan(snapshot)
    }
}

fn is_mirrored(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

/// Only Endpoints of a Service that has no selector: the others have their slices from their pods.
fn should_mirror(service: &Service, endpoints: &Endpoints) -> bool {
    let meta = &endpoints.metadata;
    let skips =
        meta.labels.as_ref().and_then(|labels| labels.get(SKIP_MIRROR)).is_some_and(|skip| skip == "true");
    let elects = meta.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LEADER));
    let selects = service.spec.as_ref().is_some_and(|spec| spec.selector.is_some());
    !skips && !elects && !selects && meta.deletion_timestamp.is_none()
}

fn plan(snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    let both = snapshot.service.as_deref().zip(snapshot.endpoints.as_deref());
    let Some((_, endpoints)) = both.filter(|(service, endpoints)| should_mirror(service, endpoints)) else {
        plan.together(snapshot.slices.iter().map(|slice| Action::delete(&**slice)).collect());
        return plan;
    };
    let mut wanted = Wanted::default();
    endpoints.subsets.iter().flatten().for_each(|subset| wanted.take(subset));
    let template = template(endpoints);
    let mut changes = Changes::new(&template);
    for (family, by_ports) in [(Family::V4, wanted.v4), (Family::V6, wanted.v6)] {
        let slices = snapshot.slices.iter().filter(|slice| slice.address_type == family.as_str());
        changes.reconcile(family, by_ports, &slices.cloned().collect::<Vec<_>>());
    }
    changes.into_plan(&mut plan);
    // Skipped addresses are reported along with a change, not at every plan.
    if !plan.is_empty() {
        let about = reference_to(endpoints);
        let warning =
            |reason, message| Note { about: about.clone(), kind: EventType::Warning, reason, message };
        if wanted.invalid > 0 {
            let message =
                format!("Skipped {} invalid IP addresses when mirroring to EndpointSlices", wanted.invalid);
            plan.record(warning("InvalidIPAddress", message));
        }
        if wanted.excess > 0 {
            let message = format!(
                "A max of {ADDRESSES_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses \
                 were skipped",
                wanted.excess
            );
            plan.record(warning("TooManyAddressesToMirror", message));
        }
    }
    plan
}

fn template(endpoints: &Endpoints) -> Template {
    let meta = &endpoints.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), name.clone());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    let trigger_time = annotations.remove(TRIGGER_TIME);
    Template {
        namespace: meta.namespace.clone(),
        name,
        labels,
        annotations: Some(annotations),
        owner: controller_reference(endpoints),
        trigger_time,
    }
}

/// The endpoints of an Endpoints object, by family and ports, and how many addresses are left out.
#[derive(Default)]
struct Wanted {
    v4: ByPorts,
    v6: ByPorts,
    invalid: usize,
    excess: usize,
}

impl Wanted {
    fn take(&mut self, subset: &EndpointSubset) {
        let ports: Vec<EndpointPort> = subset.ports.iter().flatten().map(port).collect();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        let mut taken = BTreeSet::new();
        for (address, ready) in ready.chain(unready) {
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                self.invalid += 1;
                continue;
            };
            if taken.len() == ADDRESSES_MAX && !taken.contains(&ip) {
                self.excess += 1;
                continue;
            }
            if taken.insert(ip) {
                let by_ports = if ip.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
                let (_, endpoints) =
                    by_ports.entry(key(&ports)).or_insert_with(|| (ports.clone(), Vec::new()));
                endpoints.push(endpoint(address, ip, ready));
            }
        }
    }
}

fn port(port: &core::EndpointPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: port.protocol.clone(),
        app_protocol: port.app_protocol.clone(),
    }
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone().filter(|hostname| !hostname.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}
