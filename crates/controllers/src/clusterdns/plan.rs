//! The desired Service and slices of cluster DNS.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::framework::{Action, Plan, controller_reference};

pub(super) const NAMESPACE: &str = "kube-system";
pub(super) const NAME: &str = "kube-dns";
/// The annotation in which a node publishes the addresses of its DNS server: `ip:port`, separated by commas.
pub(super) const ENDPOINTS_ANNOTATION: &str = "ironhull.io/dns-endpoints";
/// The manager of the slices, in their label.
pub(super) const MANAGED_BY: &str = "clusterdns-controller.ironhull.io";

/// The ports of the Service: name and protocol. The number is 53.
const PORTS: [(&str, &str); 2] = [("dns", "UDP"), ("dns-tcp", "TCP")];
/// The maximum number of addresses of one node.
const ADDRESSES_MAX: usize = 8;
/// The longest name of an object.
const NAME_MAX: usize = 253;
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Creates or updates the Service. One with a selector belongs to another DNS and is left alone.
pub(super) fn service(present: Option<&Service>, addresses: &[IpAddr]) -> Plan {
    let mut plan = Plan::default();
    let wanted = wanted_service(addresses);
    let Some(present) = present else {
        plan.then(Action::create(wanted));
        return plan;
    };
    let (Some(spec), Some(wanted_spec)) = (&present.spec, &wanted.spec) else { return plan };
    let is_foreign = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
    if is_foreign || present.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    if spec.cluster_ip != wanted_spec.cluster_ip {
        // A Service never changes its first address.
        plan.then(Action::delete(present));
        return plan;
    }
    let mut changed = present.clone();
    let is_right = |spec: &ServiceSpec| {
        spec.cluster_ips == wanted_spec.cluster_ips
            && spec.internal_traffic_policy == wanted_spec.internal_traffic_policy
            && spec.traffic_distribution == wanted_spec.traffic_distribution
            && has_ports(spec)
    };
    if !is_right(spec) {
        let spec = changed.spec.get_or_insert_default();
        spec.cluster_ips.clone_from(&wanted_spec.cluster_ips);
        spec.ip_families = None;
        spec.ip_family_policy.clone_from(&wanted_spec.ip_family_policy);
        spec.internal_traffic_policy.clone_from(&wanted_spec.internal_traffic_policy);
        spec.traffic_distribution.clone_from(&wanted_spec.traffic_distribution);
        spec.ports.clone_from(&wanted_spec.ports);
        plan.then(Action::update(changed));
    }
    plan
}

/// Whether the Service's ports are ours, ignoring the fields that the server adds to them.
fn has_ports(spec: &ServiceSpec) -> bool {
    let ports = spec.ports.as_deref().unwrap_or_default();
    ports.len() == PORTS.len()
        && ports.iter().zip(PORTS).all(|(port, (name, protocol))| {
            (port.name.as_deref(), port.protocol.as_deref(), port.port) == (Some(name), Some(protocol), 53)
        })
}

fn wanted_service(addresses: &[IpAddr]) -> Service {
    let labels = [
        ("k8s-app", "kube-dns"),
        ("kubernetes.io/cluster-service", "true"),
        ("kubernetes.io/name", "CoreDNS"),
    ];
    let port = |(name, protocol): (&str, &str)| ServicePort {
        name: Some(name.to_owned()),
        port: 53,
        protocol: Some(protocol.to_owned()),
        ..ServicePort::default()
    };
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let policy = if addresses.len() > 1 { "RequireDualStack" } else { "SingleStack" };
    Service {
        metadata: ObjectMeta {
            namespace: Some(NAMESPACE.to_owned()),
            name: Some(NAME.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: texts.first().cloned(),
            cluster_ips: Some(texts),
            ip_family_policy: Some(policy.to_owned()),
            internal_traffic_policy: Some("Cluster".to_owned()),
            traffic_distribution: Some("PreferSameNode".to_owned()),
            ports: Some(PORTS.map(port).into()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Creates or updates a node's slices, one for each family in which it serves DNS.
pub(super) fn slices(node: &Node, present: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    if node.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let addresses = own_addresses(node);
    let mut changes = Vec::new();
    for (family, is_v4) in [("IPv4", true), ("IPv6", false)] {
        let of_family: Vec<SocketAddr> =
            addresses.iter().filter(|address| address.is_ipv4() == is_v4).copied().collect();
        let mut slices = present.iter().filter(|slice| slice.address_type == family);
        match (wanted_slice(node, family, &of_family), slices.next()) {
            (Some(wanted), None) => changes.push(Action::create(wanted)),
            (Some(wanted), Some(slice)) => {
                let mut changed = slice.as_ref().clone();
                changed.endpoints = wanted.endpoints;
                changed.ports = wanted.ports;
                // A Node that was recreated under its name.
                changed.metadata.owner_references = wanted.metadata.owner_references;
                if changed != **slice {
                    changes.push(Action::update(changed));
                }
            }
            (None, Some(slice)) => changes.push(Action::delete(&**slice)),
            (None, None) => {}
        }
        changes.extend(slices.map(|slice| Action::delete(&**slice)));
    }
    plan.together(changes);
    plan
}

/// The addresses that the node publishes for its server, without those that do not belong to the node.
fn own_addresses(node: &Node) -> Vec<SocketAddr> {
    let annotations = node.metadata.annotations.as_ref();
    let Some(text) = annotations.and_then(|all| all.get(ENDPOINTS_ANNOTATION)) else { return Vec::new() };
    let addresses = text.split(',').filter_map(|text| text.trim().parse::<SocketAddr>().ok());
    addresses.filter(|address| address.port() != 0 && is_of(node, address.ip())).take(ADDRESSES_MAX).collect()
}

fn is_of(node: &Node, address: IpAddr) -> bool {
    let ranges = node.spec.as_ref().and_then(|spec| spec.pod_cidrs.as_ref()).into_iter().flatten();
    let own = node.status.as_ref().and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    ranges.filter_map(|range| range.parse::<ipnet::IpNet>().ok()).any(|range| range.contains(&address))
        || own.filter_map(|own| own.address.parse::<IpAddr>().ok()).any(|own| own == address)
}

/// The slice of a node's addresses of one family, which have one port; `None` without addresses.
fn wanted_slice(node: &Node, family: &str, addresses: &[SocketAddr]) -> Option<EndpointSlice> {
    let number = addresses.first()?.port();
    let name = node.metadata.name.clone()?;
    let zone = node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE_LABEL)).cloned();
    let ready = semantics::conditions::holds(node, "Ready");
    let addresses = addresses.iter().filter(|address| address.port() == number);
    let endpoint = Endpoint {
        addresses: addresses.map(|address| address.ip().to_string()).collect(),
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(ready),
            terminating: Some(false),
        }),
        hints: Some(EndpointHints {
            for_nodes: Some(vec![ForNode { name: name.clone() }]),
            for_zones: zone.clone().map(|name| vec![ForZone { name }]),
        }),
        node_name: Some(name.clone()),
        zone,
        ..Endpoint::default()
    };
    let labels = [
        ("kubernetes.io/service-name", NAME),
        ("endpointslice.kubernetes.io/managed-by", MANAGED_BY),
        ("k8s-app", "kube-dns"),
    ];
    let port = |(name, protocol): (&str, &str)| EndpointPort {
        name: Some(name.to_owned()),
        protocol: Some(protocol.to_owned()),
        port: Some(i32::from(number)),
        ..EndpointPort::default()
    };
    Some(EndpointSlice {
        metadata: ObjectMeta {
            namespace: Some(NAMESPACE.to_owned()),
            name: Some(slice_name(family, &name, node.metadata.uid.as_deref().unwrap_or_default())),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            owner_references: Some(vec![controller_reference(node)]),
            ..ObjectMeta::default()
        },
        address_type: family.to_owned(),
        endpoints: Some(vec![endpoint]),
        ports: Some(PORTS.map(port).into()),
    })
}

/// `kube-dns-ipv4-NODE`, or with the node's UID where its name is too long.
fn slice_name(family: &str, node: &str, uid: &str) -> String {
    let name = |node: &str| format!("{NAME}-{}-{node}", family.to_ascii_lowercase());
    let full = name(node);
    if full.len() <= NAME_MAX { full } else { name(uid) }
}
