//! Ports of the host that lead to pods.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A transport protocol of a host port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    pub(crate) fn nft(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// A port of the host that leads to a pod (`hostPort` and `hostIP` of a container's port).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPort {
    /// The one address of the host; `None` is every address.
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The pod's port.
    pub container_port: u16,
    /// The protocol of both.
    pub protocol: Protocol,
}

impl HostPort {
    /// Whether the two exclude each other.
    pub fn conflicts(&self, other: &HostPort) -> bool {
        let specific = |port: &HostPort| port.host_ip.filter(|ip| !ip.is_unspecified());
        let addresses_meet = match (specific(self), specific(other)) {
            (Some(one), Some(two)) => one == two,
            _ => true,
        };
        addresses_meet && self.protocol == other.protocol && self.host_port == other.host_port
    }
}
