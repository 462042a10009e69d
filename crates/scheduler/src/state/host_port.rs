//! Ports of the host.

use client::{LeanPodSpec, LeanPort};

/// A host port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The address; empty for all.
    pub ip: String,
    /// `TCP`, `UDP` or `SCTP`
    pub protocol: String,
    /// The number, above 0.
    pub port: i32,
}

impl HostPort {
    /// Whether two containers cannot have these on one host.
    pub fn conflicts_with(&self, other: &HostPort) -> bool {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.ip) || any(&other.ip) || self.ip == other.ip)
    }

    /// The host ports of a pod.
    pub(super) fn all_of(spec: &LeanPodSpec) -> Vec<HostPort> {
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|container| semantics::pods::is_sidecar(container));
        let ports = sidecars.chain(&spec.containers).flat_map(|container| container.ports.iter().flatten());
        let host_port = |port: &LeanPort| {
            Some(HostPort {
                port: port.host_port.filter(|port| *port > 0)?,
                ip: port.host_ip.as_deref().unwrap_or_default().to_owned(),
                protocol: port.protocol.as_deref().unwrap_or("TCP").to_owned(),
            })
        };
        ports.filter_map(host_port).collect()
    }
}
