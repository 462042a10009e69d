//! The configuration of a proxy.

use std::path::PathBuf;

use ipnet::IpNet;
use tokio::sync::watch;

use crate::rules::Family;

/// The configuration of a proxy.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// The name of the nftables tables, one of family `ip` and, with an IPv6 pod subnet, one of family `ip6`.
    pub table: String,
    /// This node's name, by which local endpoints are recognized.
    pub node_name: String,
    /// The subnets of all pods: clients there reach cluster IPs with their own address.
    pub cluster_subnets: Vec<IpNet>,
    /// The networks of Services: traffic to unassigned addresses there is refused.
    pub service_subnets: Vec<IpNet>,
    /// The networks whose addresses of this node answer node ports (`--nodeport-addresses`), with their health checks;
    /// for a family without any network, all addresses. They may change at any time.
    pub node_port_addresses: watch::Receiver<Vec<IpNet>>,
    /// The port on which the proxy reports its health, on all addresses of the node. Upstream's is 10256; `None` for no
    /// port.
    pub health_port: Option<u16>,
    /// The record of the kernel's original flow settings; `None` leaves its settings alone.
    pub settings_journal: Option<PathBuf>,
}

impl ProxyConfig {
    /// A configuration with the table name that `ironhull` uses.
    pub fn new(node_name: impl Into<String>, cluster_subnets: Vec<IpNet>) -> ProxyConfig {
        ProxyConfig {
            table: "ironhull-services".to_owned(),
            node_name: node_name.into(),
            cluster_subnets,
            service_subnets: Vec::new(),
            node_port_addresses: watch::Sender::new(Vec::new()).subscribe(),
            health_port: None,
            settings_journal: None,
        }
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let v6 = self.cluster_subnets.iter().any(|net| net.addr().is_ipv6());
        if v6 { vec![Family::V4, Family::V6] } else { vec![Family::V4] }
    }
}
