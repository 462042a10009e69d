//! Node ports of Services.

use std::collections::{HashMap, HashSet};

use object::field::Errors;
use object::{Status, Value, field, value};

use super::Order;

/// Upstream's range of node ports.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;
const OUT_OF_RANGE: &str = "provided port is not in the valid range. The range of valid ports is 30000-32767";
const TAKEN: &str = "provided port is already allocated";

impl Order<'_> {
    /// Allocates node ports, and the health check node port.
    ///
    /// # Errors
    /// 422 for a port that is taken or cannot be a node port; 500 if none is left.
    pub(super) async fn settle_ports(&mut self, service: &mut Value) -> Result<(), Status> {
        let had: HashSet<u16> = self.old.map(node_ports).into_iter().flatten().collect();
        let balancer = service.str_at("spec.type") == "LoadBalancer";
        let wants = service.str_at("spec.type") == "NodePort"
            || (balancer && service.at("spec.allocateLoadBalancerNodePorts").as_bool() != Some(false));
        let may_have = match service.str_at("spec.type") {
            // Validation refuses them.
            "ClusterIP" => false,
            "ExternalName" => {
                for port in service.entry("spec").entry("ports").items_mut() {
                    port.remove("nodePort");
                }
                false
            }
            _ => true,
        };
        let owner = value!({
            "namespace": service.str_at("metadata.namespace"), "name": service.str_at("metadata.name")
        });
        let ports = || service.at("spec.ports").items().enumerate().filter(|_| may_have);
        for (index, port) in ports() {
            let asked = port.get("nodePort").as_i64().unwrap_or(0);
            if asked != 0 && node_port(port) == 0 {
                return Err(invalid_port(service, index, asked, OUT_OF_RANGE));
            }
        }
        let asked: Vec<u16> = ports().map(|(_, port)| node_port(port)).collect();
        // Nothing here may scan all ports for each of them: there may be tens of thousands.
        let mut taken = HashSet::new();
        for (index, asked) in asked.iter().copied().enumerate() {
            // Two ports of one service may share a number, one for TCP and one for UDP.
            if had.contains(&asked) || taken.contains(&asked) {
                continue;
            }
            if asked != 0 {
                let fails = |why: &str| invalid_port(service, index, asked.into(), why);
                if !NODE_PORTS.contains(&asked) {
                    return Err(fails(OUT_OF_RANGE));
                }
                if !self.take_port(asked, &owner).await? {
                    return Err(fails(TAKEN));
                }
                taken.insert(asked);
            }
        }
        let mut given = HashMap::new();
        for (index, _) in asked.iter().enumerate().filter(|(_, asked)| **asked == 0 && wants) {
            given.insert(index, self.free_port(&owner).await?);
        }
        for (index, port) in service.entry("spec").entry("ports").items_mut().enumerate() {
            if let Some(given) = given.get(&index) {
                port.set("nodePort", i64::from(*given));
            }
        }
        self.settle_health_check(service, &owner).await?;
        let kept: HashSet<u16> = node_ports(service).into_iter().collect();
        self.allocation.freed.ports.extend(had.into_iter().filter(|port| !kept.contains(port)));
        Ok(())
    }

    /// A load balancer checks nodes' health only if it matters which of them have endpoints.
    async fn settle_health_check(&mut self, service: &mut Value, owner: &Value) -> Result<(), Status> {
        let asked = health_port(service);
        let had = self.old.map(health_port).unwrap_or_default();
        if !needs_health_check(service) {
            if had.is_some() && asked == had {
                service.entry("spec").remove("healthCheckNodePort");
            }
            return Ok(());
        }
        let refused = |port: u16, why: &str| {
            let what = format!("failed to allocate requested HealthCheck NodePort {port}: {why}");
            Err(Status::internal_error(what))
        };
        let port = match asked {
            // Validation refuses a change of it.
            Some(_) if had.is_some() => return Ok(()),
            // Nodes listen on it.
            Some(port) if !NODE_PORTS.contains(&port) => return refused(port, OUT_OF_RANGE),
            Some(port) if self.take_port(port, owner).await? => port,
            Some(port) => return refused(port, TAKEN),
            None => self.free_port(owner).await?,
        };
        service.entry("spec").set("healthCheckNodePort", i64::from(port));
        Ok(())
    }

    async fn free_port(&mut self, owner: &Value) -> Result<u16, Status> {
        let random = self.services.clock.random_below(NODE_PORTS.len() as u64);
        for port in candidates(random) {
            if self.take_port(port, owner).await? {
                return Ok(port);
            }
        }
        Err(Status::internal_error("failed to allocate a nodePort: range is full"))
    }
}

/// All node ports in the order in which they are tried: those of the upper part from a random one on, then those of the
/// lower part, which is meant for Services that request a specific port (KEP-3668).
fn candidates(random: u64) -> impl Iterator<Item = u16> {
    let count = u16::try_from(NODE_PORTS.len()).unwrap_or(u16::MAX);
    let reserved = (count / 32).clamp(16, 128);
    let upper = count - reserved;
    // Below the size of the upper part, which has 16 bits.
    let start = (random % u64::from(upper)) as u16;
    let upper = (0..upper).map(move |i| reserved + (start + i) % upper);
    upper.chain(0..reserved).map(|offset| NODE_PORTS.start() + offset)
}

/// Ports keep their node ports, by protocol and number, as long as the Service has node ports at all.
pub(super) fn keep_node_ports(service: &mut Value, old: &Value) {
    let has_ports = |service: &Value| matches!(service.str_at("spec.type"), "NodePort" | "LoadBalancer");
    if !has_ports(service) || !has_ports(old) {
        return;
    }
    let taken: HashSet<u16> = node_ports(service).into_iter().collect();
    let key = |port: &Value| (port.get("port").as_i64(), port.str_at("protocol").to_owned());
    let mut had = HashMap::new();
    for port in old.at("spec.ports").items() {
        had.entry(key(port)).or_insert_with(|| node_port(port));
    }
    for port in service.entry("spec").entry("ports").items_mut() {
        let had = had.get(&key(port)).copied().filter(|had| *had != 0 && !taken.contains(had));
        if port.get("nodePort").is_empty()
            && let Some(had) = had
        {
            port.set("nodePort", i64::from(had));
        }
    }
    let health = old.at("spec.healthCheckNodePort");
    let is_local = service.str_at("spec.externalTrafficPolicy") == "Local";
    if is_local && service.at("spec.healthCheckNodePort").is_empty() && !health.is_empty() {
        service.entry("spec").set("healthCheckNodePort", health.clone());
    }
}

/// All node ports of a Service, including that of its health check.
pub(super) fn node_ports(service: &Value) -> Vec<u16> {
    let numbers = service.at("spec.ports").items().map(node_port).filter(|port| *port != 0);
    numbers.chain(health_port(service)).collect()
}

/// The node port of a port; 0 for none.
fn node_port(port: &Value) -> u16 {
    port.get("nodePort").as_i64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0)
}

fn health_port(service: &Value) -> Option<u16> {
    let port = service.at("spec.healthCheckNodePort").as_i64().and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port != 0)
}

fn needs_health_check(service: &Value) -> bool {
    service.str_at("spec.type") == "LoadBalancer" && service.str_at("spec.externalTrafficPolicy") == "Local"
}

fn invalid_port(service: &Value, index: usize, port: i64, why: &str) -> Status {
    let spec = field::Path::root("spec");
    let ports = spec.child("ports");
    let item = ports.index(index);
    let path = item.child("nodePort");
    let errors = Errors::from(field::Error::invalid(&path, port, why));
    Status::invalid("", "Service", service.str_at("metadata.name"), &errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's figures: of 2768 ports the first 86 come last.
    #[test]
    fn ports_of_the_lower_part_come_last() {
        for random in [0, 5, 2681, 2682, 2767, u64::MAX] {
            let all: Vec<u16> = candidates(random).collect();
            let (upper, lower) = all.split_at(2682);
            assert!(upper.iter().all(|port| (30086..=32767).contains(port)), "{random}");
            assert_eq!(lower, (30000..=30085).collect::<Vec<u16>>(), "{random}");
            assert_eq!(all.iter().collect::<HashSet<_>>().len(), 2768, "each once");
        }
        assert_eq!(candidates(5).take(2).collect::<Vec<_>>(), [30091, 30092]);
    }
}
