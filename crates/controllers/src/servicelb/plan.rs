//! The nodes that form a Service's load balancer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use client::{EventType, key_of, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    LoadBalancerIngress, LoadBalancerStatus, Node, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use semantics::conditions;

use super::snapshot::{CLASS, FINALIZER, Port, Snapshot};
use crate::endpointslice::endpoints::{families, protocol};
use crate::framework::{Action, Note, Plan, api_time, sort_by_age};

/// Keeps a node out of load balancers (KEP-1143).
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The taint that the cluster autoscaler sets before it removes a node.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// Upstream's condition for ports that a load balancer cannot serve.
const PORTS_ERROR: &str = "LoadBalancerPortsError";

pub(super) fn is_load_balancer(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
}

/// Whether the Service's load balancer is made here.
fn is_ours(service: &Service) -> bool {
    let class = service.spec.as_ref().and_then(|spec| spec.load_balancer_class.as_deref());
    is_load_balancer(service) && class.is_none_or(|class| class == CLASS)
}

/// Whether only nodes with local endpoints take part.
pub(super) fn is_local(service: &Service) -> bool {
    let policy = service.spec.as_ref().and_then(|spec| spec.external_traffic_policy.as_deref());
    is_load_balancer(service) && policy == Some("Local")
}

pub(super) fn has_finalizer(service: &Service) -> bool {
    service.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// The node ports of a Service, that of its health check among them.
pub(super) fn node_ports(service: &Service) -> impl Iterator<Item = Port> {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let numbered = ports.iter().filter_map(|port| Some((protocol(port.protocol.as_ref()), port.node_port?)));
    let health = spec.and_then(|spec| spec.health_check_node_port).map(|port| ("TCP", port));
    let ports: Vec<Port> =
        numbered.chain(health).map(|(protocol, port)| (protocol.to_owned(), port)).collect();
    ports.into_iter()
}

/// The relevant data of a node: whether load balancers may use it, its addresses, and the ports that are taken there.
pub(super) fn traits(node: &Node) -> (bool, Vec<IpAddr>, Option<i32>) {
    let labels = node.metadata.labels.as_ref();
    let spec = node.spec.as_ref();
    let status = node.status.as_ref();
    let is_ready = conditions::holds(node, "Ready");
    let mut taints = spec.and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    let takes_part = is_ready
        && node.metadata.deletion_timestamp.is_none()
        && !labels.is_some_and(|labels| labels.contains_key(EXCLUDED))
        && !taints.any(|taint| taint.key == TO_BE_DELETED);
    let addresses = status.and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    let of_type = |wanted: &'static str| addresses.iter().filter(move |address| address.type_ == wanted);
    // External clients see the external addresses; if they are translated on the way, their packets arrive at the
    // internal ones.
    let addresses = of_type("ExternalIP").chain(of_type("InternalIP"));
    let mut unique: Vec<IpAddr> = Vec::new();
    for address in addresses.filter_map(|address| address.address.parse().ok()) {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let endpoints = status.and_then(|status| status.daemon_endpoints.as_ref());
    let kubelet =
        endpoints.and_then(|endpoints| endpoints.kubelet_endpoint.as_ref()).map(|endpoint| endpoint.port);
    (takes_part, unique, kubelet)
}

fn has_addresses(service: &Service) -> bool {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_ref()).is_some_and(|ingress| !ingress.is_empty())
}

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let mut nodes = snapshot.nodes.clone();
    nodes.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut services = snapshot.services.clone();
    sort_by_age(&mut services);
    // Ages are in seconds: of two as old, the one that has the port keeps it.
    services.sort_by_key(|service| (service.metadata.creation_timestamp.clone(), !has_addresses(service)));
    let mut taken = taken(snapshot);
    let mut plan = Plan::default();
    let (mut writes, mut notes) = (Vec::new(), Vec::new());
    for service in services {
        let wanted = if !is_ours(&service) {
            // Not ours any more, if it was; else another controller's, whose work is left alone.
            has_finalizer(&service).then(|| released(&service, now)).filter(|_| !is_load_balancer(&service))
        } else if service.metadata.deletion_timestamp.is_some() {
            Some(released(&service, now))
        } else {
            Some(balanced(snapshot, &service, &nodes, &mut taken, now))
        };
        let Some(wanted) = wanted.filter(|wanted| *wanted != *service) else { continue };
        notes.extend(note(&service, &wanted));
        writes.push(Action::update_status(wanted));
    }
    plan.together(writes);
    notes.into_iter().for_each(|note| plan.record(note));
    plan
}

/// The ports of the nodes that no load balancer can have, and their owners.
fn taken(snapshot: &Snapshot) -> BTreeMap<Port, String> {
    let ports = snapshot.node_ports.iter();
    let mut taken: BTreeMap<Port, String> =
        ports.map(|(port, owner)| (port.clone(), format!("the node port of {owner}"))).collect();
    let kubelets = snapshot.nodes.iter().filter_map(|node| traits(node).2);
    taken.extend(kubelets.map(|port| (("TCP".to_owned(), port), "the nodes' own API".to_owned())));
    let api = snapshot.api_ports.iter();
    taken.extend(api.map(|port| (("TCP".to_owned(), *port), "the API server".to_owned())));
    taken
}

/// The Service without the fields set by this controller.
fn released(service: &Service, now: Timestamp) -> Service {
    let mut wanted = service.clone();
    if let Some(finalizers) = &mut wanted.metadata.finalizers {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    wanted.metadata.finalizers = wanted.metadata.finalizers.filter(|finalizers| !finalizers.is_empty());
    set_status(&mut wanted, Vec::new(), None, now);
    wanted
}

/// The Service with its load balancer. Its ports are added to those that are taken.
fn balanced(
    snapshot: &Snapshot,
    service: &Service,
    nodes: &[Arc<Node>],
    taken: &mut BTreeMap<Port, String>,
    now: Timestamp,
) -> Service {
    let mut wanted = service.clone();
    if !has_finalizer(service) {
        wanted.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
    }
    let key = key_of(service);
    let ports: Vec<Port> = ports_of(service.spec.as_ref()).collect();
    let foreign = |port: &&Port| snapshot.node_ports.get(*port) != Some(&key);
    let conflicts = ports.iter().filter(foreign).filter_map(|port| Some((port, taken.get(port)?)));
    let conflicts: Vec<String> = conflicts
        .map(|((protocol, port), owner)| format!("port {port}/{protocol} is taken by {owner}"))
        .collect();
    if !conflicts.is_empty() {
        set_status(&mut wanted, Vec::new(), Some(conflicts.join("; ")), now);
        return wanted;
    }
    taken.extend(ports.into_iter().map(|port| (port, format!("the load balancer of {key}"))));
    let local = is_local(service).then(|| snapshot.local.get(&key));
    let has_endpoints = |node: &Node| {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        local.is_none_or(|local| local.is_some_and(|nodes: &BTreeSet<String>| nodes.contains(name)))
    };
    let of_nodes = nodes.iter().filter(|node| has_endpoints(node)).map(|node| traits(node));
    let addresses: Vec<IpAddr> =
        of_nodes.filter(|(takes_part, ..)| *takes_part).flat_map(|(_, ips, _)| ips).collect();
    let names: Vec<&str> = families(service).into_iter().map(|family| family.as_str()).collect();
    let has_family = |address: &&IpAddr| names.contains(&if address.is_ipv4() { "IPv4" } else { "IPv6" });
    let ingress = addresses.iter().filter(has_family).map(|address| LoadBalancerIngress {
        ip: Some(address.to_string()),
        // Packets arrive at the node with exactly this address, and its proxy forwards them.
        ip_mode: Some("VIP".to_owned()),
        ..LoadBalancerIngress::default()
    });
    set_status(&mut wanted, ingress.collect(), None, now);
    wanted
}

fn ports_of(spec: Option<&ServiceSpec>) -> impl Iterator<Item = Port> {
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    ports.iter().map(|port: &ServicePort| (protocol(port.protocol.as_ref()).to_owned(), port.port))
}

/// Sets addresses and, where ports cannot be served, the condition that says why. A condition keeps its time as long
/// as its text stays.
fn set_status(
    service: &mut Service,
    ingress: Vec<LoadBalancerIngress>,
    conflict: Option<String>,
    now: Timestamp,
) {
    let status = service.status.get_or_insert_default();
    let ingress = Some(ingress).filter(|ingress| !ingress.is_empty());
    if status.load_balancer.as_ref().and_then(|balancer| balancer.ingress.as_ref()) != ingress.as_ref() {
        status.load_balancer = Some(LoadBalancerStatus { ingress });
    }
    let Some(message) = conflict else { return conditions::remove(&mut status.conditions, PORTS_ERROR) };
    let condition = Condition {
        type_: PORTS_ERROR.to_owned(),
        status: conditions::TRUE.to_owned(),
        reason: "PortConflict".to_owned(),
        message,
        observed_generation: None,
        last_transition_time: api_time(now),
    };
    conditions::set(&mut status.conditions, condition);
}

/// The event for a change, with upstream's reasons.
fn note(before: &Service, after: &Service) -> Option<Note> {
    let normal = |reason, message: &str| (EventType::Normal, reason, message.to_owned());
    let conflict = |service: &Service| {
        let error = conditions::find(&service.status.as_ref()?.conditions, PORTS_ERROR)?;
        Some(error.message.clone())
    };
    let ingress = |service: &Service| service.status.clone()?.load_balancer?.ingress;
    let (kind, reason, message) = match conflict(after) {
        Some(message) if conflict(before).as_ref() == Some(&message) => return None,
        Some(message) => {
            let message = format!("Error syncing load balancer: failed to ensure load balancer: {message}");
            (EventType::Warning, "SyncLoadBalancerFailed", message)
        }
        None if has_finalizer(before) && !has_finalizer(after) => {
            normal("DeletedLoadBalancer", "Deleted load balancer")
        }
        None if !has_finalizer(before) => normal("EnsuredLoadBalancer", "Ensured load balancer"),
        None if conflict(before).is_some() => normal("EnsuredLoadBalancer", "Ensured load balancer"),
        None if ingress(before) != ingress(after) => {
            normal("UpdatedLoadBalancer", "Updated load balancer with new hosts")
        }
        None => return None,
    };
    Some(Note { about: reference_to(before), kind, reason, message })
}
