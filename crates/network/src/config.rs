//! What the network of a node depends on.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::firewall::Rules;
use crate::ipam::gateway;

/// The configuration of a node's network.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Where leases and the record for [`reset`](crate::reset) are kept.
    pub state_dir: PathBuf,
    /// The subnets of this node's pods (`spec.podCIDRs`), at most one of each family.
    pub pod_subnets: Vec<IpNet>,
    /// The subnets of all pods of the cluster (`--cluster-cidr`).
    pub cluster_subnets: Vec<IpNet>,
    /// The subnets of services (`--service-cidr`); only checked for conflicts.
    pub service_subnets: Vec<IpNet>,
    /// The link with the gateway addresses.
    pub bridge: String,
    /// The nftables table (family `inet`).
    pub table: String,
    /// The MTU of pods' links, in bytes; `None` takes the uplinks'.
    pub mtu: Option<u32>,
}

impl LocalConfig {
    /// A configuration with the names that `ironhull` uses.
    pub fn new(
        state_dir: impl Into<PathBuf>,
        pod_subnets: Vec<IpNet>,
        cluster_subnets: Vec<IpNet>,
    ) -> LocalConfig {
        LocalConfig {
            state_dir: state_dir.into(),
            pod_subnets,
            cluster_subnets,
            service_subnets: Vec::new(),
            bridge: "ih0".to_owned(),
            table: "ironhull-pods".to_owned(),
            mtu: None,
        }
    }

    /// The gateways of the pod subnets: their first addresses, which are the host's.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.pod_subnets.iter().map(|subnet| gateway(*subnet))
    }

    /// The owner according to the bridge's alias.
    pub(crate) fn alias(&self) -> String {
        format!("ironhull {}", self.state_dir.display())
    }

    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules { table: &self.table, pod_subnets: &self.pod_subnets, cluster_subnets: &self.cluster_subnets }
    }
}
