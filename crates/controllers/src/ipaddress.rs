//! Repairs Services' addresses (upstream: `ipallocator/controller/repairip.go`).
//!
//! The API server writes the IPAddress object before the Service that uses it, and removes it afterwards. If it stops
//! in between, one exists without the other: this controller removes leaked objects after a while and creates missing
//! ones.

use std::sync::Arc;
use std::time::Duration;

use client::{EventType, Informer, key_of, reference_to};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{IPAddress, IPAddressSpec, ParentReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use object::ObjectKey;

use crate::framework::{Action, Controller, Look, Note, Plan, Wiring};

#[cfg(test)]
mod tests;

const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
/// How long an address may be without its Service, which is about to be written.
const ORPHAN_GRACE: SignedDuration = SignedDuration::from_secs(60);
/// How long a Service may be without its address, which this process may not have seen yet.
const MISSING_GRACE: SignedDuration = SignedDuration::from_secs(5);

pub(crate) struct AddressRepair {
    services: Arc<Informer<Service>>,
    addresses: Arc<Informer<IPAddress>>,
}

/// The inputs of a decision.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// A Service, and the IPAddress object of each of its addresses.
    Service { service: Arc<Service>, addresses: Vec<(String, Option<Arc<IPAddress>>)> },
    /// An address of the allocator, and whether its Service has it.
    Address { address: Arc<IPAddress>, is_used: bool },
}

impl Controller for AddressRepair {
    const NAME: &'static str = "ipallocator-repair-controller";
    const ACCOUNT: &'static str = "ipallocator-repair-controller";
    const QUEUE: &'static str = "ipaddresses";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> AddressRepair {
        let services = wiring.informer::<Service>();
        let addresses = wiring.informer::<IPAddress>();
        // Also the addresses that the Service had.
        wiring.wake(&services, |change| {
            let mut keys: Vec<ObjectKey> = vec![change.key.clone()];
            let all = change.states().flat_map(|service| cluster_ips(service));
            keys.extend(all.map(|ip| ObjectKey::cluster(&*ip)));
            keys
        });
        wiring.wake(&addresses, |change| {
            let service = parent(change.object());
            [Some(change.key.clone()), service].into_iter().flatten().collect::<Vec<_>>()
        });
        AddressRepair { services, addresses }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        if key.namespace().is_empty() {
            let address = self.addresses.get(key).filter(|address| is_allocators(address))?;
            let service = parent(&address).and_then(|service| self.services.get(&service));
            let is_used = service.is_some_and(|service| cluster_ips(&service).any(|ip| *ip == *key.name));
            return Some(Snapshot::Address { address, is_used });
        }
        let service = self.services.get(key)?;
        let known = |ip: String| {
            let address = self.addresses.get(&ObjectKey::cluster(&*ip));
            (ip, address)
        };
        let addresses = cluster_ips(&service).map(known).collect();
        Some(Snapshot::Service { service, addresses })
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        match snapshot {
            Snapshot::Address { address, is_used } => orphan(address, *is_used, now),
            Snapshot::Service { service, addresses } => missing(service, addresses, now),
        }
    }
}

/// The addresses of a Service, in canonical form.
fn cluster_ips(service: &Service) -> impl Iterator<Item = String> {
    let spec = service.spec.as_ref();
    let texts = spec.and_then(|spec| spec.cluster_ips.as_ref()).into_iter().flatten();
    texts.filter_map(|text| object::names::parse_ip_sloppy(text)).map(|ip| ip.to_string())
}

/// The Service that an address is for.
fn parent(address: &IPAddress) -> Option<ObjectKey> {
    let parent = &address.spec.parent_ref;
    let is_service = parent.resource == "services" && parent.group.as_deref().unwrap_or_default().is_empty();
    is_service.then(|| ObjectKey::namespaced(parent.namespace.as_deref().unwrap_or_default(), &*parent.name))
}

fn is_allocators(address: &IPAddress) -> bool {
    let labels = address.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == ALLOCATOR)
}

/// The time until something is older than `grace`; `None` if it is.
fn left(created: Option<&Time>, grace: SignedDuration, now: Timestamp) -> Option<Duration> {
    let age = now.duration_since(created?.0);
    Duration::try_from(grace - age).ok().filter(|left| !left.is_zero())
}

fn orphan(address: &IPAddress, is_used: bool, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if is_used || address.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    if let Some(left) = left(address.metadata.creation_timestamp.as_ref(), ORPHAN_GRACE, now) {
        plan.requeue_after(left);
        return plan;
    }
    plan.then(Action::delete(address));
    let service = parent(address).map(|service| service.to_string()).unwrap_or_default();
    plan.record(Note {
        about: reference_to(address),
        kind: EventType::Warning,
        reason: "IPAddressNotAllocated",
        message: format!(
            "IPAddress: {} for Service {service} appears to have leaked: cleaning up",
            address.metadata.name.as_deref().unwrap_or_default()
        ),
    });
    plan
}

fn missing(service: &Service, addresses: &[(String, Option<Arc<IPAddress>>)], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if service.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let own = key_of(service);
    for (ip, address) in addresses {
        let (reason, message) = match address {
            Some(address) if parent(address).as_ref() == Some(&own) => continue,
            // If two Services have the same address, users have to decide which keeps it.
            Some(_) => (
                "ClusterIPAlreadyAllocated",
                format!("Cluster IP {ip} was assigned to multiple services; please recreate service"),
            ),
            None => {
                if let Some(left) = left(service.metadata.creation_timestamp.as_ref(), MISSING_GRACE, now) {
                    plan.requeue_after(left);
                    continue;
                }
                // If it exists by now, there was no problem, and nothing is reported.
                plan.then(Action::create(address_of(service, ip)));
                ("ClusterIPNotAllocated", format!("Cluster IP {ip} is not allocated; repairing"))
            }
        };
        plan.record(Note { about: reference_to(service), kind: EventType::Warning, reason, message });
    }
    plan
}

fn address_of(service: &Service, ip: &str) -> IPAddress {
    let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
    let labels = [(FAMILY, family), (MANAGED_BY, ALLOCATOR)];
    IPAddress {
        metadata: ObjectMeta {
            name: Some(ip.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        spec: IPAddressSpec {
            parent_ref: ParentReference {
                group: None,
                resource: "services".to_owned(),
                namespace: service.metadata.namespace.clone(),
                name: service.metadata.name.clone().unwrap_or_default(),
            },
        },
    }
}
