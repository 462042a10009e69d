//! Checks of a host before its network is changed.

use hostnet::nft::{self, NftError};
use hostnet::{NetNs, NetNsError};
use ipnet::IpNet;

use crate::config::LocalConfig;
use crate::guard::OtherNodes;
use crate::link::{LinkError, Netlink, configure_pod, pod_mac};

/// Why a host cannot carry the pod network.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The program `nft` is not installed.
    #[error("the nft program is missing: install the package nftables")]
    NftMissing,
    /// nftables in this kernel lacks features that the rules need.
    #[error(
        "this kernel's nftables support is incomplete: load or install nf_tables, nft_nat, nft_masq and nft_fib"
    )]
    Nftables(#[source] NftError),
    /// The kernel does not give us network namespaces.
    #[error("network namespaces cannot be used")]
    Namespaces(#[from] NetNsError),
    /// The kernel has no bridges or veth pairs.
    #[error("the kernel refused a bridge or veth pair: load or install the modules bridge and veth")]
    Links(#[source] LinkError),
    /// The host's routes could not be read.
    #[error("the host's routes cannot be read")]
    Routes(#[source] LinkError),
    /// The host has a route into a subnet of the cluster.
    #[error("{subnet} overlaps the host's route to {route}: choose another --cluster-cidr or --service-cidr")]
    Overlap {
        /// The cluster's subnet.
        subnet: IpNet,
        /// The destination of the host's route.
        route: IpNet,
    },
    /// Subnets of pods and of services overlap.
    #[error("the subnets {one} and {two} of the configuration overlap")]
    SubnetsOverlap {
        /// The first.
        one: IpNet,
        /// The second.
        two: IpNet,
    },
    /// A node's subnet is outside the cluster's.
    #[error("the node's pod subnet {subnet} is not within the cluster's")]
    OutsideOfCluster {
        /// The node's subnet.
        subnet: IpNet,
    },
}

/// Checks the host and the configuration. The host is not changed: rules and links are created in a separate namespace,
/// which is more reliable than a search for modules, because most are loaded on first use.
pub async fn preflight(config: &LocalConfig) -> Result<(), PreflightError> {
    check_subnets(config)?;
    if nft::find_program("nft").is_none() {
        return Err(PreflightError::NftMissing);
    }
    let (host, pod) = (NetNs::create()?, NetNs::create()?);
    let text = config.rules().full(std::iter::empty(), &OtherNodes::default());
    let gateways: Vec<_> = config.gateways().collect();
    host.run(move || async move {
        nft::apply(&text).await.map_err(PreflightError::Nftables)?;
        let netlink = Netlink::open().map_err(PreflightError::Links)?;
        netlink.add_bridge("bridge", "preflight").await.map_err(PreflightError::Links)?;
        let mac = gateways.first().map_or([0x0a; 6], |g| pod_mac(*g));
        netlink.add_veth("veth", &pod, mac, 1400).await.map_err(PreflightError::Links)?;
        pod.run(|| configure_pod(Vec::new(), Vec::new())).await?.map_err(PreflightError::Links)
    })
    .await??;
    check_routes(config).await
}

fn check_subnets(config: &LocalConfig) -> Result<(), PreflightError> {
    let all: Vec<IpNet> = config.cluster_subnets.iter().chain(&config.service_subnets).copied().collect();
    for (position, one) in all.iter().enumerate() {
        if let Some(two) = all[position + 1..].iter().find(|two| overlap(one, two)) {
            return Err(PreflightError::SubnetsOverlap { one: *one, two: *two });
        }
    }
    let outside = |subnet: &&IpNet| !config.cluster_subnets.iter().any(|cluster| cluster.contains(*subnet));
    match config.pod_subnets.iter().find(outside) {
        Some(subnet) => Err(PreflightError::OutsideOfCluster { subnet: *subnet }),
        None => Ok(()),
    }
}

async fn check_routes(config: &LocalConfig) -> Result<(), PreflightError> {
    let netlink = Netlink::open().map_err(PreflightError::Routes)?;
    let ours = netlink.link(&config.bridge).await.map_err(PreflightError::Routes)?;
    if ours.is_some_and(|link| link.alias.as_deref() == Some(config.alias().as_str())) {
        // These are the routes of our own network, which is in use already.
        return Ok(());
    }
    for route in netlink.routes().await.map_err(PreflightError::Routes)? {
        for subnet in config.cluster_subnets.iter().chain(&config.service_subnets) {
            if overlap(subnet, &route) {
                return Err(PreflightError::Overlap { subnet: *subnet, route });
            }
        }
    }
    Ok(())
}

fn overlap(one: &IpNet, two: &IpNet) -> bool {
    one.contains(two) || two.contains(one)
}
