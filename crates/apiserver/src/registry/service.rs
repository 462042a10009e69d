//! Addresses and node ports of Services.
//!
//! What is taken is recorded in the store itself, one key each, written only where it is absent: two servers
//! over one store can never give the same address or port twice. Addresses are recorded as upstream does, as
//! `IPAddress` objects.

use std::sync::Arc;

use ipnet::IpNet;
use object::field::Errors;
use object::{Status, Value, field};
use schema::GroupResource;
use store::{Expect, Write, WriteOutcome};

use self::addresses::{addresses, record_key};
use self::families::Family;
use self::ports::{keep_node_ports, node_ports};
use super::Endpoint;
use crate::cache::{Collection, Hub};
use crate::errors::from_store;

mod addresses;
mod families;
mod ports;
mod ranges;

pub use ranges::first_service_address;

/// Where records of node ports are.
const PORT_PREFIX: &str = "/registry/ranges/servicenodeports/";
/// Where IPAddress objects are.
const ADDRESS_PREFIX: &str = "/registry/ipaddresses/";

/// Gives addresses and ports to Services.
pub(super) struct Allocator {
    hub: Arc<Hub>,
    /// The ServiceCIDR objects.
    cidrs: Arc<Collection>,
    /// The IPAddress objects.
    addresses: Arc<Collection>,
    /// The cluster's own networks, at most one of each family, the primary one first.
    networks: Vec<IpNet>,
    /// Their families.
    families: Vec<Family>,
    clock: clock::Clock,
}

/// What a write took and what it makes free, both as keys of the store.
#[derive(Default)]
pub(super) struct Allocation {
    taken: Vec<String>,
    freed: Vec<String>,
}

impl Allocator {
    /// An allocator for these networks, such as `10.43.0.0/16`, and those of all further ServiceCIDRs.
    pub(super) fn new(
        networks: Vec<IpNet>,
        hub: Arc<Hub>,
        cidrs: Arc<Collection>,
        addresses: Arc<Collection>,
        clock: clock::Clock,
    ) -> Allocator {
        let of = |network: &IpNet| if network.addr().is_ipv4() { Family::V4 } else { Family::V6 };
        let families = networks.iter().map(of).collect();
        Allocator { hub, cidrs, addresses, networks, families, clock }
    }

    /// Gives a Service what its spec asks for and leaves open. Other kinds are none of its business.
    ///
    /// # Errors
    /// 422 for families that the cluster has not, and for an address or port that is taken; 500 where none is left.
    pub(super) async fn allocate(
        &self,
        endpoint: &Endpoint,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Allocation, Status> {
        let mut allocation = Allocation::default();
        if endpoint.def.group_resource() != GroupResource::SERVICES {
            return Ok(allocation);
        }
        let result = async {
            self.allocate_addresses(endpoint, service, old, dry_run, &mut allocation).await?;
            self.allocate_ports(endpoint, service, old, dry_run, &mut allocation).await
        };
        match result.await {
            Ok(()) => Ok(allocation),
            Err(status) => {
                self.release(allocation).await;
                Err(status)
            }
        }
    }

    /// Writes a record where there is none; tells whether it did.
    async fn take(
        &self,
        (key, record): (String, Value),
        allocation: &mut Allocation,
    ) -> Result<bool, Status> {
        let write = Write::put(key.clone(), object::json::to_bytes(&record), Expect::Absent);
        match self.hub.store().write(write).await.map_err(from_store)? {
            WriteOutcome::Committed { .. } => {
                allocation.taken.push(key);
                Ok(true)
            }
            WriteOutcome::Conflict { .. } => Ok(false),
        }
    }

    /// Gives back what a write took that came to nothing.
    pub(super) async fn release(&self, allocation: Allocation) {
        self.forget(allocation.taken).await;
    }

    /// Gives back what a write that succeeded no longer needs.
    pub(super) async fn retire(&self, allocation: Allocation) {
        self.forget(allocation.freed).await;
    }

    /// Gives back everything that a deleted Service had.
    pub(super) async fn deleted(&self, endpoint: &Endpoint, service: &Value) {
        if endpoint.def.group_resource() != GroupResource::SERVICES {
            return;
        }
        let ports = node_ports(service).into_iter().map(|port| format!("{PORT_PREFIX}{port}"));
        let addresses = addresses(service);
        self.forget(ports.chain(addresses.iter().map(|ip| record_key(ip))).collect()).await;
    }

    async fn forget(&self, keys: Vec<String>) {
        for key in keys {
            if let Err(error) = self.hub.store().write(Write::delete(key.clone(), Expect::Any)).await {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(key, error, "a service's address or port stays taken");
            }
        }
    }
}

/// Fills in what a client leaves out because it does not know it: of a new Service the list form of its address,
/// of a changed one the address and ports that it has (upstream: `normalizeClusterIPs`, `patchAllocatedValues`).
pub(super) fn normalize(endpoint: &Endpoint, service: &mut Value, old: Option<&Value>) {
    if endpoint.def.group_resource() != GroupResource::SERVICES {
        return;
    }
    let has_address = |service: &Value| service.str_at("spec.type") != "ExternalName";
    if let Some(old) = old.filter(|old| has_address(old) && has_address(service)) {
        let (ip, had) =
            (service.str_at("spec.clusterIP").to_owned(), old.str_at("spec.clusterIP").to_owned());
        let spec = service.entry("spec");
        if ip.is_empty() {
            spec.set("clusterIP", had.as_str());
        }
        let lists_old = *spec.get("clusterIPs") == *old.at("spec.clusterIPs");
        if spec.get("clusterIPs").is_empty() && (ip.is_empty() || ip == had) {
            spec.set("clusterIPs", old.at("spec.clusterIPs").clone());
        } else if lists_old && !ip.is_empty() && ip != had {
            spec.remove("clusterIPs");
        }
        keep_node_ports(service, old);
    }
    let ip = service.str_at("spec.clusterIP").to_owned();
    if !ip.is_empty() && has_address(service) && service.at("spec.clusterIPs").is_empty() {
        service.entry("spec").set("clusterIPs", Value::from(vec![Value::from(ip)]));
    }
}

fn is_headless(service: &Value) -> bool {
    service.str_at("spec.clusterIP") == "None"
}

fn invalid(endpoint: &Endpoint, service: &Value, member: &str, why: &str) -> Status {
    let spec = field::Path::root("spec");
    let path = spec.child(member);
    let value = service.get("spec").get(member).clone();
    invalid_all(endpoint, service, &Errors::from(field::Error::invalid(&path, value, why)))
}

fn invalid_all(endpoint: &Endpoint, service: &Value, errors: &Errors) -> Status {
    Status::invalid("", &endpoint.def.kind, service.str_at("metadata.name"), errors)
}
