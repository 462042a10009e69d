//! Whether a pod fits on the node: the checks that the node makes itself, regardless of the scheduler
//! (`pkg/kubelet/lifecycle/predicate.go`).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use object::Quantity;
use parking_lot::Mutex;
use semantics::{NodeTerms, pod_requests};

use crate::pod::PodInfo;
use crate::rejection::Rejection;

mod pressure;
mod security;
#[cfg(test)]
mod tests;

pub(crate) use pressure::{is_critical, refusal};
pub(crate) use security::check_security;

/// The resources of the node that a pod uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim {
    /// By resource: thousandths of cores for `cpu`, else units.
    requests: BTreeMap<String, i64>,
    ports: BTreeSet<(String, i32, String)>,
}

impl Claim {
    fn of(pod: &PodInfo) -> Claim {
        Claim { requests: requests(pod), ports: host_ports(pod) }
    }
}

/// The admitted pods, with the resources they use.
#[derive(Default)]
pub(crate) struct Admitted(Mutex<BTreeMap<String, Claim>>);

impl Admitted {
    /// Admits a pod if it fits in addition to the others. One that is `known` to be running here already is not
    /// refused.
    pub(crate) fn admit(&self, pod: &PodInfo, node: &Node, known: bool) -> Result<(), Rejection> {
        let claim = Claim::of(pod);
        let mut admitted = self.0.lock();
        if !known {
            fits(pod, &claim, node, &admitted)?;
        }
        admitted.insert(pod.uid.clone(), claim);
        Ok(())
    }

    /// Releases a pod's resources.
    pub(crate) fn release(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

fn fits(
    pod: &PodInfo,
    claim: &Claim,
    node: &Node,
    others: &BTreeMap<String, Claim>,
) -> Result<(), Rejection> {
    let empty = BTreeMap::new();
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref()).unwrap_or(&empty);
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    check("pods", 1, count, units("pods", allocatable.get("pods")))?;
    for (resource, requested) in &claim.requests {
        let used = others.values().filter_map(|other| other.requests.get(resource)).sum();
        check(resource, *requested, used, units(resource, allocatable.get(resource)))?;
    }
    if !selector_matches(pod.spec(), node) {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return Err(Rejection { reason: "NodeAffinity", message: message.to_owned() });
    }
    if others.values().any(|other| ports_conflict(&claim.ports, &other.ports)) {
        let message =
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Err(Rejection { reason: "NodePorts", message: message.to_owned() });
    }
    Ok(())
}

/// A resource that the node does not report is not checked: the node may not be registered yet.
fn check(resource: &str, requested: i64, used: i64, capacity: Option<i64>) -> Result<(), Rejection> {
    let Some(capacity) = capacity else { return Ok(()) };
    if requested == 0 || requested + used <= capacity {
        return Ok(());
    }
    let reason = match resource {
        "cpu" => "OutOfcpu",
        "memory" => "OutOfmemory",
        "ephemeral-storage" => "OutOfephemeral-storage",
        "pods" => "OutOfpods",
        _ => "OutOfExtendedResource",
    };
    let message = format!(
        "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
    );
    Err(Rejection { reason, message })
}

fn units(resource: &str, quantity: Option<&ApiQuantity>) -> Option<i64> {
    Some(whole_units(resource, &Quantity::parse(&quantity?.0).ok()?))
}

fn whole_units(resource: &str, quantity: &Quantity) -> i64 {
    if resource == "cpu" { quantity.milli_value() } else { quantity.value() }
}

/// The total requests of a pod.
pub(crate) fn requests(pod: &PodInfo) -> BTreeMap<String, i64> {
    let requests = pod_requests(&*pod.pod, semantics::Options::default());
    requests.iter().map(|(name, amount)| (name.to_owned(), whole_units(name, amount))).collect()
}

fn host_ports(pod: &PodInfo) -> BTreeSet<(String, i32, String)> {
    let ports = pod.containers.iter().flat_map(|container| container.spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|port| *port > 0)?;
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
            Some((port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), number, ip))
        })
        .collect()
}

fn ports_conflict(one: &BTreeSet<(String, i32, String)>, other: &BTreeSet<(String, i32, String)>) -> bool {
    let any = |ip: &str| matches!(ip, "0.0.0.0" | "::");
    one.iter().any(|(protocol, port, ip)| {
        other.iter().any(|(p, n, i)| p == protocol && n == port && (i == ip || any(i) || any(ip)))
    })
}

/// Whether the pod may run here by its `nodeSelector` and node affinity. The labels of a node that is not registered
/// yet are unknown.
fn selector_matches(spec: &PodSpec, node: &Node) -> bool {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    node.metadata.labels.as_ref().is_none_or(|labels| NodeTerms::new(spec).match_node(name, labels))
}
