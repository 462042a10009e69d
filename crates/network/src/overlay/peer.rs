//! The data that nodes publish for each other: annotations of Node objects.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use serde::{Deserialize, Serialize};

use super::mac::Mac;
use crate::backend_type::BackendType;

/// The backend of a node (`vxlan`, `host-gw`, `udp`).
pub(crate) const BACKEND_TYPE: &str = "ironhull.io/backend-type";
/// The data for the backend's peers, as JSON ([`BackendData`]).
pub(crate) const BACKEND_DATA: &str = "ironhull.io/backend-data";
/// The addresses at which a node is reached by its peers, separated by commas.
pub(crate) const PUBLIC_IP: &str = "ironhull.io/public-ip";

/// A node's data for a backend's peers.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackendData {
    /// The hardware address of the node's VXLAN device.
    #[serde(rename = "vtepMAC", default, skip_serializing_if = "Option::is_none")]
    pub(crate) vtep_mac: Option<String>,
}

/// Another node: what is needed to reach its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// The subnets of its pods (`spec.podCIDRs`), at most one of each family.
    pub(crate) subnets: Vec<IpNet>,
    /// Its addresses, in its own order.
    pub(crate) addresses: Vec<IpAddr>,
    /// The backend that it runs, if it says so.
    pub(crate) backend: Option<BackendType>,
    /// The hardware address of its VXLAN device, if it has one.
    pub(crate) vtep_mac: Option<Mac>,
}

impl Peer {
    /// Its address of one family.
    pub(crate) fn address(&self, ipv4: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv4() == ipv4)
    }

    /// Its subnet of one family.
    pub(crate) fn subnet(&self, ipv4: bool) -> Option<IpNet> {
        self.subnets.iter().copied().find(|subnet| subnet.addr().is_ipv4() == ipv4)
    }
}

/// The peers among `nodes`, in the order of their names: all except `own`, without those that have no subnet yet. Data
/// written by other nodes are not trusted: texts that cannot be parsed count as absent.
pub(crate) fn peers_of<'n>(own: &str, nodes: impl Iterator<Item = &'n Node>) -> Vec<Peer> {
    let others = nodes.filter(|node| node.metadata.name.as_deref() != Some(own));
    let mut peers: Vec<Peer> = others.filter_map(peer_of).collect();
    peers.sort_by(|one, other| one.name.cmp(&other.name));
    peers
}

fn peer_of(node: &Node) -> Option<Peer> {
    let name = node.metadata.name.clone()?;
    let spec = node.spec.as_ref()?;
    let texts = spec.pod_cidrs.as_deref().filter(|texts| !texts.is_empty());
    let texts = texts.unwrap_or(spec.pod_cidr.as_slice());
    let subnets = one_of_each_family(texts.iter().filter_map(|text| text.parse::<IpNet>().ok()), IpNet::addr);
    if subnets.is_empty() {
        return None;
    }
    let annotation = |name: &str| node.metadata.annotations.as_ref()?.get(name).map(String::as_str);
    let data = annotation(BACKEND_DATA).and_then(|text| serde_json::from_str::<BackendData>(text).ok());
    let addresses = annotation(PUBLIC_IP).map(addresses_in).filter(|addresses| !addresses.is_empty());
    Some(Peer {
        name,
        subnets,
        backend: annotation(BACKEND_TYPE).and_then(|text| text.parse().ok()),
        addresses: addresses.unwrap_or_else(|| internal_addresses(node)),
        vtep_mac: data.and_then(|data| data.vtep_mac?.parse().ok()),
    })
}

fn addresses_in(text: &str) -> Vec<IpAddr> {
    one_of_each_family(text.split(',').filter_map(|text| text.trim().parse().ok()), |address: &IpAddr| {
        *address
    })
}

fn internal_addresses(node: &Node) -> Vec<IpAddr> {
    let all = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = all.filter(|address| address.type_ == "InternalIP");
    one_of_each_family(internal.filter_map(|address| address.address.parse().ok()), |address: &IpAddr| {
        *address
    })
}

/// The first of each family, without addresses that cannot belong to a machine.
fn one_of_each_family<T>(all: impl Iterator<Item = T>, address: impl Fn(&T) -> IpAddr) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for item in all {
        let this = address(&item);
        let usable = !this.is_unspecified() && !this.is_loopback() && !this.is_multicast();
        if usable && kept.iter().all(|other| address(other).is_ipv4() != this.is_ipv4()) {
            kept.push(item);
        }
    }
    kept
}

/// The annotations that a node with this backend writes on its own Node object; `None` removes one.
pub(crate) fn annotations(
    backend: BackendType,
    data: &BackendData,
    addresses: &[IpAddr],
) -> BTreeMap<&'static str, Option<String>> {
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let ours = backend != BackendType::None;
    let data = serde_json::to_string(data).expect("a struct of texts is JSON");
    BTreeMap::from([
        (BACKEND_TYPE, ours.then(|| backend.to_string())),
        (BACKEND_DATA, ours.then_some(data)),
        (PUBLIC_IP, ours.then(|| texts.join(","))),
    ])
}

/// The part of `wanted` that `node` does not have yet.
pub(crate) fn missing(
    node: &Node,
    wanted: &BTreeMap<&'static str, Option<String>>,
) -> BTreeMap<&'static str, Option<String>> {
    let has = |name: &str| node.metadata.annotations.as_ref().and_then(|all| all.get(name));
    let differs = |(name, value): &(&&'static str, &Option<String>)| has(name) != value.as_ref();
    wanted.iter().filter(differs).map(|(name, value)| (*name, value.clone())).collect()
}

#[cfg(test)]
mod tests;
