//! Node ports of Services.

use object::field::Errors;
use object::{Status, Value, field, value};

use super::{Allocation, Allocator, Endpoint, PORT_PREFIX};

/// Upstream's range of node ports.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;

impl Allocator {
    /// Settles node ports, and the one by which balancers ask for a node's health.
    pub(super) async fn allocate_ports(
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
                let given = self.free_port(&owner, dry_run, allocation).await?;
                if let Some(port) = service.entry("spec").entry("ports").items_mut().nth(index) {
                    port.set("nodePort", i64::from(given));
                }
            }
        }
        self.allocate_health_check(service, old, dry_run, &owner, allocation).await?;
        let kept = node_ports(service);
        let gone = had.into_iter().filter(|port| !kept.contains(port));
        allocation.freed.extend(gone.map(|port| format!("{PORT_PREFIX}{port}")));
        Ok(())
    }

    /// A balancer asks nodes for their health only where it matters which of them have endpoints.
    async fn allocate_health_check(
        &self,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
        owner: &Value,
        allocation: &mut Allocation,
    ) -> Result<(), Status> {
        let asked = health_port(service);
        let had = old.map(health_port).unwrap_or_default();
        if !needs_health_check(service) {
            if had.is_some() && asked == had {
                service.entry("spec").remove("healthCheckNodePort");
            }
            return Ok(());
        }
        let port = match asked {
            // A change of it is for validation to refuse.
            Some(_) if had.is_some() => return Ok(()),
            Some(port) => {
                let record = (format!("{PORT_PREFIX}{port}"), owner.clone());
                if !dry_run && !self.take(record, allocation).await? {
                    let why = "provided port is already allocated";
                    return Err(Status::internal_error(format!(
                        "failed to allocate requested HealthCheck NodePort {port}: {why}"
                    )));
                }
                port
            }
            None => self.free_port(owner, dry_run, allocation).await?,
        };
        service.entry("spec").set("healthCheckNodePort", i64::from(port));
        Ok(())
    }

    async fn free_port(
        &self,
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
        Err(Status::internal_error("failed to allocate a nodePort: range is full"))
    }
}

/// Ports keep their node ports, by protocol and number, as long as the Service has node ports at all.
pub(super) fn keep_node_ports(service: &mut Value, old: &Value) {
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

/// All node ports that a Service has, also that of its health check.
pub(super) fn node_ports(service: &Value) -> Vec<u16> {
    let ports = service.at("spec.ports").items();
    let numbers =
        ports.filter_map(|port| port.get("nodePort").as_i64()).filter_map(|port| u16::try_from(port).ok());
    let mut numbers: Vec<u16> = numbers.filter(|port| *port != 0).collect();
    numbers.extend(health_port(service));
    numbers
}

fn health_port(service: &Value) -> Option<u16> {
    let port = service.at("spec.healthCheckNodePort").as_i64().and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port != 0)
}

fn needs_health_check(service: &Value) -> bool {
    service.str_at("spec.type") == "LoadBalancer" && service.str_at("spec.externalTrafficPolicy") == "Local"
}

fn invalid_port(endpoint: &Endpoint, service: &Value, index: usize, port: u16, why: &str) -> Status {
    let spec = field::Path::root("spec");
    let (ports, number) = (spec.child("ports"), i64::from(port));
    let item = ports.index(index);
    let path = item.child("nodePort");
    let errors = Errors::from(field::Error::invalid(&path, number, why));
    Status::invalid("", &endpoint.def.kind, service.str_at("metadata.name"), &errors)
}
