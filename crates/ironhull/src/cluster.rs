//! What all machines of a cluster agree on.

use std::net::IpAddr;

use ipnet::IpNet;
use network::overlay::BackendType;
use serde::{Deserialize, Serialize};

/// The settings of a cluster. The server has them from its flags; every other node learns them from the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSettings {
    /// The networks of pods, at most one of each family; the first is the primary one.
    pub cluster_cidrs: Vec<IpNet>,
    /// The networks of Services, of the same families in the same order.
    pub service_cidrs: Vec<IpNet>,
    /// The addresses of the cluster's DNS, each within a network of Services.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// How packets of pods travel between nodes.
    #[serde(default)]
    pub backend: BackendType,
}
