//! The data about pods that network policy needs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use client::{LeanPod, LeanPort};
use object::Pairs;
use serde::{Deserialize, Serialize};

use crate::host_port::Protocol;

/// Labels of a namespace.
pub(crate) type Labels = BTreeMap<String, String>;

/// The pod's data for selectors and rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Its labels.
    pub(crate) labels: Pairs,
    /// Its named ports, by protocol and name.
    pub(crate) ports: Vec<((Protocol, String), u16)>,
}

impl Facts {
    /// The object's data.
    pub(crate) fn of(pod: &LeanPod) -> Facts {
        let spec = pod.spec.as_ref();
        let containers = spec.into_iter().flat_map(|spec| &spec.containers);
        let sidecars = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let sidecars = sidecars.filter(|container| semantics::pods::is_sidecar(*container));
        let ports = containers.chain(sidecars).flat_map(|container| container.ports.iter().flatten());
        Facts { labels: pod.metadata.labels.clone(), ports: ports.filter_map(named_port).collect() }
    }
}

fn named_port(port: &LeanPort) -> Option<((Protocol, String), u16)> {
    let protocol = match port.protocol.as_deref() {
        None | Some("" | "TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        Some(_) => return None,
    };
    Some(((protocol, port.name.as_deref()?.to_owned()), u16::try_from(port.container_port).ok()?))
}

/// The addresses by which a pod of another node is a peer. There are none for pods in the host's network, to which
/// policies do not apply; for finished pods, whose addresses may be reused by now; and for pods of `node` itself, whose
/// sandboxes are more up to date than their objects.
pub(crate) fn peer_addresses(pod: &LeanPod, node: &str) -> Vec<IpAddr> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    if spec.host_network == Some(true) || spec.node_name.as_deref() == Some(node) {
        return Vec::new();
    }
    status_addresses(pod)
}

/// The addresses in a pod's status; none once it has ended.
pub(crate) fn status_addresses(pod: &LeanPod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    if semantics::pods::is_terminal(pod) {
        return Vec::new();
    }
    status.pod_ips.iter().filter_map(|text| text.parse().ok()).collect()
}
