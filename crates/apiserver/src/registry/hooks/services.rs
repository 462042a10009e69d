//! Addresses and node ports of Services.
//!
//! Each allocation is recorded under its own key in the store, written only if the key is absent: two servers over one
//! store can never allocate the same address or port twice. Addresses are recorded as upstream does, as `IPAddress`
//! objects, which go through the same pipeline as every write. Node ports have no objects in the API: their records are
//! only in the store.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;
use object::field::Errors;
use object::{Reason, Status, Value, field};
use schema::GroupResource;
use store::{Expect, RangeRequest, Write, WriteOutcome};

use self::addresses::addresses;
use self::families::Family;
use self::ports::{keep_node_ports, node_ports};
use super::{Hook, Pending};
use crate::admission::{Reader, Writer};
use crate::cache::Hub;
use crate::errors::from_store;
use crate::registry::access::Server;
use crate::registry::write::{Fate, Part, WriteRequest};

mod addresses;
mod families;
mod ports;
mod ranges;
mod repair;

pub use ranges::first_service_address;

/// The objects that stand for addresses.
const ADDRESSES: GroupResource<'static> = GroupResource::new("networking.k8s.io", "ipaddresses");
/// The objects with the networks from which addresses are allocated.
const NETWORKS: GroupResource<'static> = GroupResource::new("networking.k8s.io", "servicecidrs");
/// The prefix of the records of node ports.
const PORT_PREFIX: &str = "/registry/ranges/servicenodeports/";

/// Allocates Services' addresses and ports.
pub(crate) struct Services {
    hub: Arc<Hub>,
    /// The cluster's own networks, at most one of each family, the primary one first.
    networks: Vec<IpNet>,
    /// Their families.
    families: Vec<Family>,
    clock: clock::Clock,
}

impl Services {
    /// Services with addresses of these networks, such as `10.43.0.0/16`, and those of all further ServiceCIDRs.
    pub(crate) fn new(networks: Vec<IpNet>, hub: Arc<Hub>, clock: clock::Clock) -> Services {
        let of = |network: &IpNet| if network.addr().is_ipv4() { Family::V4 } else { Family::V6 };
        let families = networks.iter().map(of).collect();
        Services { hub, networks, families, clock }
    }
}

#[async_trait]
impl Hook for Services {
    fn concerns(&self, resource: GroupResource<'_>) -> bool {
        resource == GroupResource::SERVICES
    }

    async fn repair(&self, server: &Server<'_>) {
        if let Err(error) = repair::repair(&self.hub, &server.all(GroupResource::SERVICES)).await {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "the records of node ports were not compared with the Services");
        }
    }

    async fn begin(
        &self,
        write: &mut WriteRequest<'_>,
        server: &Server<'_>,
    ) -> Result<Option<Box<dyn Pending>>, Status> {
        let mut allocation = Allocation::new(Arc::clone(&self.hub));
        match (write.fate, write.part) {
            (Fate::Gone, _) => {
                allocation.freed.addresses = addresses(write.old);
                allocation.freed.ports = node_ports(write.old);
            }
            (Fate::Kept, Part::Main) if !write.is_deletion() => {
                let (dry_run, old) = (write.dry_run(), write.old());
                normalize(&mut write.object, old);
                let tried_ports = HashSet::new();
                let mut order = Order { services: self, server, old, dry_run, tried_ports, allocation };
                let result = order.settle(&mut write.object).await;
                allocation = order.allocation;
                if let Err(status) = result {
                    allocation.taken.give_back(&allocation.hub, server).await;
                    return Err(status);
                }
            }
            _ => return Ok(None),
        }
        Ok(Some(Box::new(allocation)))
    }
}

/// A write's request to the allocator.
struct Order<'a> {
    services: &'a Services,
    server: &'a Server<'a>,
    old: Option<&'a Value>,
    dry_run: bool,
    /// The ports that a dry run would have taken.
    tried_ports: HashSet<u16>,
    allocation: Allocation,
}

/// The allocations of a write and those that it releases.
struct Allocation {
    hub: Arc<Hub>,
    taken: Held,
    freed: Held,
}

#[derive(Default)]
struct Held {
    addresses: Vec<String>,
    ports: Vec<u16>,
}

impl Allocation {
    fn new(hub: Arc<Hub>) -> Allocation {
        Allocation { hub, taken: Held::default(), freed: Held::default() }
    }
}

#[async_trait]
impl Pending for Allocation {
    async fn commit(self: Box<Self>, server: &Server<'_>) {
        self.freed.give_back(&self.hub, server).await;
    }

    async fn undo(self: Box<Self>, server: &Server<'_>) {
        self.taken.give_back(&self.hub, server).await;
    }
}

impl Held {
    async fn give_back(&self, hub: &Hub, server: &Server<'_>) {
        for address in &self.addresses {
            let name = addresses::canonical(address);
            match server.delete(ADDRESSES, "", &name).await {
                Err(status) if status.reason != Reason::NotFound => {
                    tracing::warn!(address, %status, "a Service's address was not released");
                }
                _ => {}
            }
        }
        for port in &self.ports {
            if let Err(error) = hub.store().write(Write::delete(port_key(*port), Expect::Any)).await {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(port, error, "a Service's port was not released");
            }
        }
    }
}

impl Order<'_> {
    async fn settle(&mut self, service: &mut Value) -> Result<(), Status> {
        self.settle_addresses(service).await?;
        self.settle_ports(service).await
    }

    /// Creates the object of an address if it does not exist; returns whether it did.
    async fn take_address(&mut self, record: Value) -> Result<bool, Status> {
        let name = record.str_at("metadata.name").to_owned();
        match self.server.create(ADDRESSES, record).await {
            Ok(_) if self.dry_run => Ok(true),
            Ok(_) => {
                self.allocation.taken.addresses.push(name);
                Ok(true)
            }
            Err(status) if status.reason == Reason::AlreadyExists => Ok(false),
            Err(status) => Err(status),
        }
    }

    /// Records a port if it is not recorded yet; returns whether it did. A dry run only remembers it.
    async fn take_port(&mut self, port: u16, owner: &Value) -> Result<bool, Status> {
        let store = self.services.hub.store();
        if self.dry_run {
            let found = store.range(RangeRequest::exact(port_key(port))).await.map_err(from_store)?;
            return Ok(found.kvs.is_empty() && self.tried_ports.insert(port));
        }
        let write = Write::put(port_key(port), object::json::to_bytes(owner), Expect::Absent);
        match store.write(write).await.map_err(from_store)? {
            WriteOutcome::Committed { .. } => {
                self.allocation.taken.ports.push(port);
                Ok(true)
            }
            WriteOutcome::Conflict { .. } => Ok(false),
        }
    }
}

fn port_key(port: u16) -> String {
    format!("{PORT_PREFIX}{port}")
}

/// Fills in fields that a client omits because it does not know them: for a new Service the list form of its address,
/// for a changed one its current address and ports (upstream: `normalizeClusterIPs`, `patchAllocatedValues`).
fn normalize(service: &mut Value, old: Option<&Value>) {
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

fn invalid(service: &Value, member: &str, why: &str) -> Status {
    let spec = field::Path::root("spec");
    let path = spec.child(member);
    let value = service.get("spec").get(member).clone();
    invalid_all(service, &Errors::from(field::Error::invalid(&path, value, why)))
}

fn invalid_all(service: &Value, errors: &Errors) -> Status {
    Status::invalid("", "Service", service.str_at("metadata.name"), errors)
}
