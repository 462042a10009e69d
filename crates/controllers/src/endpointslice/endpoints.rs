//! The endpoints and ports that a pod contributes to a Service.

use std::net::IpAddr;

use client::LeanPod;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use semantics::EndpointState;

use crate::pods;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// The name in the API, of IP families as of address types.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    fn has(self, address: &str) -> bool {
        match address.parse() {
            Ok(IpAddr::V4(_)) => self == Family::V4,
            Ok(IpAddr::V6(_)) => self == Family::V6,
            Err(_) => false,
        }
    }
}

/// The families of a Service, its primary first.
pub(crate) fn families(service: &Service) -> Vec<Family> {
    let named = service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    let family = |name: &String| if name == "IPv6" { Family::V6 } else { Family::V4 };
    let families: Vec<_> = named.iter().map(family).collect();
    if families.is_empty() { vec![Family::V4] } else { families }
}

/// Whether the Service is headless.
pub(crate) fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// Whether pods count before they are ready, and after they no longer are.
pub(crate) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false)
}

/// The pod's addresses of a family.
pub(crate) fn addresses(pod: &LeanPod, family: Family) -> Vec<String> {
    let addresses = pod.status.iter().flat_map(|status| &status.pod_ips);
    addresses.filter(|address| family.has(address)).map(|address| address.to_string()).collect()
}

/// The endpoint of a pod; `None` if it has ended or has no address of the family.
pub(super) fn endpoint(
    service: &Service,
    pod: &LeanPod,
    node: Option<&Node>,
    family: Family,
) -> Option<Endpoint> {
    let addresses = addresses(pod, family);
    if pods::is_terminal(pod) || addresses.is_empty() {
        return None;
    }
    let state = EndpointState::of_pod(pod, publishes_not_ready(service));
    let labels = node.and_then(|node| node.metadata.labels.as_ref());
    Some(Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(state.ready),
            serving: Some(state.serving),
            terminating: Some(state.terminating),
        }),
        hostname: hostname(service, pod),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).map(str::to_owned),
        target_ref: Some(target(pod)),
        zone: labels.and_then(|labels| labels.get("topology.kubernetes.io/zone").cloned()),
        ..Endpoint::default()
    })
}

/// The reference to the pod behind an endpoint.
pub(crate) fn target(pod: &LeanPod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        namespace: Some(pod.metadata.namespace().to_owned()),
        name: Some(pod.metadata.name().to_owned()),
        uid: Some(pod.metadata.uid.to_string()),
        ..ObjectReference::default()
    }
}

/// The pod's own DNS name below the Service, if it has one there.
pub(crate) fn hostname(service: &Service, pod: &LeanPod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let below = spec.subdomain.is_some() && spec.subdomain.as_deref() == service.metadata.name.as_deref();
    spec.hostname.as_deref().filter(|hostname| below && !hostname.is_empty()).map(str::to_owned)
}

/// The ports of a Service as the pod has them; those whose name it does not know are missing.
pub(super) fn ports(service: &Service, pod: &LeanPod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let mut ports: Vec<EndpointPort> = ports
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(target_port(port, pod)?),
                protocol: Some(protocol(port.protocol.as_ref()).to_owned()),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort_by(|a, b| (&a.name, &a.protocol, a.port).cmp(&(&b.name, &b.protocol, b.port)));
    ports
}

/// The number of the pod's port behind a Service port.
pub(crate) fn target_port(port: &ServicePort, pod: &LeanPod) -> Option<i32> {
    let name = match &port.target_port {
        None | Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    // Sidecars serve as long as containers do.
    let sidecars =
        spec.init_containers.iter().flatten().filter(|container| semantics::pods::is_sidecar(*container));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let wanted = protocol(port.protocol.as_ref());
    let mut named = ports.filter(|found| {
        found.name.as_deref() == Some(name) && found.protocol.as_deref().unwrap_or("TCP") == wanted
    });
    named.next().map(|found| found.container_port)
}

/// A protocol, TCP if unset.
pub(crate) fn protocol(protocol: Option<&String>) -> &str {
    protocol.map_or("TCP", String::as_str)
}
