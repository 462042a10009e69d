//! Addresses and node ports of Services.
//!
//! What is taken is recorded in the store itself, one key each, written only where it is absent: two servers
//! over one store can never give the same address or port twice. Addresses are recorded as upstream does, as
//! `IPAddress` objects.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use object::field::Errors;
use object::{Status, Value, field, value};
use store::{Expect, Write, WriteOutcome};

use super::Endpoint;
use crate::cache::Hub;
use crate::errors::from_store;

/// Where records of node ports are.
const PORT_PREFIX: &str = "/registry/ranges/servicenodeports/";
/// Where IPAddress objects are.
const ADDRESS_PREFIX: &str = "/registry/ipaddresses/";
/// Upstream's range of node ports.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;

/// Gives addresses and ports to Services.
pub(super) struct Allocator {
    hub: Arc<Hub>,
    network: Ipv4Addr,
    prefix_length: u8,
    clock: clock::Clock,
}

/// What a write took and what it makes free, both as keys of the store.
#[derive(Default)]
pub(super) struct Allocation {
    taken: Vec<String>,
    freed: Vec<String>,
}

impl Allocator {
    /// An allocator for `service_cidr`, such as `10.43.0.0/16`.
    pub(super) fn new(network: Ipv4Addr, prefix_length: u8, hub: Arc<Hub>, clock: clock::Clock) -> Allocator {
        Allocator { hub, network, prefix_length, clock }
    }

    /// Gives a Service what its spec asks for and leaves open. Other kinds are none of its business.
    ///
    /// # Errors
    /// 422 for an address or port that is taken, or where none is left.
    pub(super) async fn allocate(
        &self,
        endpoint: &Endpoint,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Allocation, Status> {
        let mut allocation = Allocation::default();
        if !endpoint.def.group.is_empty() || endpoint.def.plural != "services" {
            return Ok(allocation);
        }
        let result = async {
            self.allocate_address(endpoint, service, old, dry_run, &mut allocation).await?;
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

    async fn allocate_address(
        &self,
        endpoint: &Endpoint,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        allocation: &mut Allocation,
    ) -> Result<(), Status> {
        let had = old.map(cluster_ip).filter(|ip| !ip.is_empty() && ip != "None").unwrap_or_default();
        if service.str_at("spec.type") == "ExternalName" {
            if !had.is_empty() {
                allocation.freed.push(format!("{ADDRESS_PREFIX}{had}"));
                for field in
                    ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]
                {
                    service.entry("spec").remove(field);
                }
            }
            return Ok(());
        }
        let wanted = cluster_ip(service);
        if wanted == "None" {
            set_families(service, "None");
            return Ok(());
        }
        if !had.is_empty() && (wanted.is_empty() || wanted == had) {
            set_families(service, &had);
            return Ok(());
        }
        let address = if wanted.is_empty() {
            self.free_address(endpoint, service, dry_run, allocation).await?
        } else {
            self.check_address(endpoint, service, &wanted)?;
            if !dry_run && !self.take(self.address_record(service, &wanted), allocation).await? {
                let why = format!("failed to allocate IP {wanted}: provided IP is already allocated");
                return Err(invalid(endpoint, service, "clusterIPs", &wanted, &why));
            }
            wanted
        };
        set_families(service, &address);
        Ok(())
    }

    /// A free address: upstream keeps the lower part of the range for those who ask for one by name.
    async fn free_address(
        &self,
        endpoint: &Endpoint,
        service: &Value,
        dry_run: bool,
        allocation: &mut Allocation,
    ) -> Result<String, Status> {
        let hosts = (1u64 << (32 - u32::from(self.prefix_length))).saturating_sub(2).max(1);
        let reserved = (hosts / 16).clamp(16, 256).min(hosts / 2);
        let start = self.clock.random_below(hosts - reserved);
        // The upper part from a random place on, then the lower part.
        let upper = (0..hosts - reserved).map(|i| reserved + (start + i) % (hosts - reserved));
        for offset in upper.chain(0..reserved) {
            let address = Ipv4Addr::from_bits(self.network.to_bits() + 1 + offset as u32).to_string();
            if dry_run || self.take(self.address_record(service, &address), allocation).await? {
                return Ok(address);
            }
        }
        Err(invalid(endpoint, service, "clusterIPs", "", "failed to allocate a serviceIP: range is full"))
    }

    fn check_address(&self, endpoint: &Endpoint, service: &Value, wanted: &str) -> Result<(), Status> {
        let in_range = match wanted.parse() {
            Ok(IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.prefix_length);
                ip.to_bits() >> shift == self.network.to_bits() >> shift && ip != self.network
            }
            _ => false,
        };
        if in_range {
            return Ok(());
        }
        let why = format!(
            "failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {}/{}",
            self.network, self.prefix_length
        );
        Err(invalid(endpoint, service, "clusterIPs", wanted, &why))
    }

    fn address_record(&self, service: &Value, address: &str) -> (String, Value) {
        let object = value!({
            "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
            "metadata": {
                "name": address,
                "uid": self.clock.uid(),
                "creationTimestamp": self.clock.now_seconds().to_string(),
                "labels": {"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
            },
            "spec": {"parentRef": {
                "resource": "services",
                "namespace": service.str_at("metadata.namespace"), "name": service.str_at("metadata.name")
            }}
        });
        (format!("{ADDRESS_PREFIX}{address}"), object)
    }

    async fn allocate_ports(
        &self,
        endpoint: &Endpoint,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        allocation: &mut Allocation,
    ) -> Result<(), Status> {
        let had: Vec<u16> = old.map(node_ports).unwrap_or_default();
        let balancer = service.str_at("spec.type") == "LoadBalancer";
        let wants = service.str_at("spec.type") == "NodePort"
            || (balancer && service.at("spec.allocateLoadBalancerNodePorts").as_bool() != Some(false));
        if !wants && !balancer {
            for port in service.entry("spec").entry("ports").items_mut() {
                port.remove("nodePort");
            }
        }
        let owner = value!({
            "namespace": service.str_at("metadata.namespace"), "name": service.str_at("metadata.name")
        });
        let count = service.at("spec.ports").items().len();
        for index in 0..count {
            let port = service.at("spec.ports").items().nth(index).cloned().unwrap_or_default();
            let asked = port.get("nodePort").as_i64().and_then(|p| u16::try_from(p).ok()).unwrap_or(0);
            // Two ports of one service may share a number, one for TCP and one for UDP.
            let own = node_ports(service).iter().filter(|p| **p == asked).count() > 1
                && allocation.taken.contains(&format!("{PORT_PREFIX}{asked}"));
            if asked != 0 {
                if had.contains(&asked) || own {
                    continue;
                }
                if !NODE_PORTS.contains(&asked) {
                    let why =
                        "provided port is not in the valid range. The range of valid ports is 30000-32767";
                    return Err(invalid_port(endpoint, service, index, asked, why));
                }
                if !dry_run
                    && !self.take((format!("{PORT_PREFIX}{asked}"), owner.clone()), allocation).await?
                {
                    return Err(invalid_port(
                        endpoint,
                        service,
                        index,
                        asked,
                        "provided port is already allocated",
                    ));
                }
            } else if wants {
                let given = self.free_port(endpoint, service, &owner, dry_run, allocation).await?;
                if let Some(port) = service.entry("spec").entry("ports").items_mut().nth(index) {
                    port.set("nodePort", i64::from(given));
                }
            }
        }
        let kept = node_ports(service);
        let gone = had.into_iter().filter(|port| !kept.contains(port));
        allocation.freed.extend(gone.map(|port| format!("{PORT_PREFIX}{port}")));
        Ok(())
    }

    async fn free_port(
        &self,
        endpoint: &Endpoint,
        service: &Value,
        owner: &Value,
        dry_run: bool,
        allocation: &mut Allocation,
    ) -> Result<u16, Status> {
        let count = NODE_PORTS.len() as u64;
        let start = self.clock.random_below(count);
        for i in 0..count {
            let port = NODE_PORTS.start() + ((start + i) % count) as u16;
            if dry_run || self.take((format!("{PORT_PREFIX}{port}"), owner.clone()), allocation).await? {
                return Ok(port);
            }
        }
        Err(invalid_port(endpoint, service, 0, 0, "failed to allocate a nodePort: range is full"))
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
        if !endpoint.def.group.is_empty() || endpoint.def.plural != "services" {
            return;
        }
        let address = cluster_ip(service);
        let mut keys: Vec<String> =
            node_ports(service).into_iter().map(|port| format!("{PORT_PREFIX}{port}")).collect();
        if !address.is_empty() && address != "None" {
            keys.push(format!("{ADDRESS_PREFIX}{address}"));
        }
        self.forget(keys).await;
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
    if !endpoint.def.group.is_empty() || endpoint.def.plural != "services" {
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

/// Ports keep their node ports, by protocol and number, as long as the Service has node ports at all.
fn keep_node_ports(service: &mut Value, old: &Value) {
    let has_ports = |service: &Value| matches!(service.str_at("spec.type"), "NodePort" | "LoadBalancer");
    if !has_ports(service) || !has_ports(old) {
        return;
    }
    let taken = node_ports(service);
    for port in service.entry("spec").entry("ports").items_mut() {
        let is_same = |other: &&Value| {
            other.get("port") == port.get("port") && other.get("protocol") == port.get("protocol")
        };
        let had = old.at("spec.ports").items().find(is_same).and_then(|port| port.get("nodePort").as_i64());
        let is_free = |had: &i64| !taken.iter().any(|taken| i64::from(*taken) == *had);
        if port.get("nodePort").is_empty()
            && let Some(had) = had.filter(is_free)
        {
            port.set("nodePort", had);
        }
    }
    let health = old.at("spec.healthCheckNodePort");
    let is_local = service.str_at("spec.externalTrafficPolicy") == "Local";
    if is_local && service.at("spec.healthCheckNodePort").is_empty() && !health.is_empty() {
        service.entry("spec").set("healthCheckNodePort", health.clone());
    }
}

fn cluster_ip(service: &Value) -> String {
    let single = service.str_at("spec.clusterIP");
    if !single.is_empty() {
        return single.to_owned();
    }
    service.at("spec.clusterIPs").items().next().and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn node_ports(service: &Value) -> Vec<u16> {
    let ports = service.at("spec.ports").items();
    let numbers =
        ports.filter_map(|port| port.get("nodePort").as_i64()).filter_map(|port| u16::try_from(port).ok());
    let mut numbers: Vec<u16> = numbers.filter(|port| *port != 0).collect();
    let health = service.at("spec.healthCheckNodePort").as_i64().and_then(|port| u16::try_from(port).ok());
    numbers.extend(health.filter(|port| *port != 0));
    numbers
}

fn set_families(service: &mut Value, address: &str) {
    let spec = service.entry("spec");
    spec.set("clusterIP", address);
    spec.set("clusterIPs", Value::from(vec![Value::from(address)]));
    let headless_without_selector = address == "None" && spec.get("selector").is_empty();
    if spec.get("ipFamilies").is_empty() {
        spec.set("ipFamilies", Value::from(vec![Value::from("IPv4")]));
    }
    let policy = if headless_without_selector { "RequireDualStack" } else { "SingleStack" };
    spec.set_default("ipFamilyPolicy", policy);
}

fn invalid(endpoint: &Endpoint, service: &Value, member: &str, value: &str, why: &str) -> Status {
    let spec = field::Path::root("spec");
    let path = spec.child(member);
    let value = Value::from(vec![Value::from(value)]);
    let errors = Errors::from(field::Error::invalid(&path, value, why));
    Status::invalid("", &endpoint.def.kind, service.str_at("metadata.name"), &errors)
}

fn invalid_port(endpoint: &Endpoint, service: &Value, index: usize, port: u16, why: &str) -> Status {
    let spec = field::Path::root("spec");
    let (ports, number) = (spec.child("ports"), i64::from(port));
    let item = ports.index(index);
    let path = item.child("nodePort");
    let errors = Errors::from(field::Error::invalid(&path, number, why));
    Status::invalid("", &endpoint.def.kind, service.str_at("metadata.name"), &errors)
}
