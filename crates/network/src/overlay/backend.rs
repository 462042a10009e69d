//! The backends: each a pure planner behind one trait.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::mac::Mac;
use super::peer::{BackendData, Peer};
use super::plan::{Device, DeviceKind, Exit, Item, MAIN_TABLE, NODES_TABLE, Plan};
use super::udp::{TunnelPeer, TunnelPlan};
use crate::backend_type::{BackendType, UDP_PORT, VXLAN_PORT, VXLAN_VNI};
use crate::ipam::gateway;

/// The VXLAN device.
pub(crate) const VXLAN_DEVICE: &str = "ih-vxlan";

/// The device of the user-space tunnel.
pub(crate) const UDP_DEVICE: &str = "ih-udp";

/// All devices that a backend may have created.
pub(crate) const DEVICES: [&str; 2] = [VXLAN_DEVICE, UDP_DEVICE];

/// The node to plan for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    /// The node's addresses. The first one's family carries tunnels.
    pub(crate) addresses: Vec<IpAddr>,
    /// The subnets of its pods.
    pub(crate) subnets: Vec<IpNet>,
    /// The subnets of all pods.
    pub(crate) cluster_subnets: Vec<IpNet>,
    /// The hardware address of its VXLAN device.
    pub(crate) mac: Mac,
    /// The MTU of its pods' links.
    pub(crate) mtu: u32,
    /// The networks of its own links, with its address on each.
    pub(crate) links: Vec<IpNet>,
}

/// A kind of connection between nodes.
pub(crate) trait Backend: Send + Sync {
    /// How many bytes of headers it adds to a pod's packet, over an underlay of IPv4 or IPv6.
    fn overhead(&self, ipv4: bool) -> u32;

    /// The node's data for peers; its hardware address on a tunnel is `own`.
    fn data(&self, own: &Mac) -> BackendData;

    /// The desired state of the kernel.
    fn plan(&self, own: &Own, peers: &[Peer]) -> Plan;
}

/// The planner of a backend.
pub(crate) fn of(backend: BackendType) -> &'static dyn Backend {
    match backend {
        BackendType::Vxlan => &Vxlan,
        BackendType::HostGw => &HostGw,
        BackendType::Udp => &Udp,
        BackendType::None => &Nothing,
    }
}

/// The peers whose subnets overlap neither ours nor an earlier peer's, with a problem for each other one.
fn distinct<'p>(own: &Own, peers: &'p [Peer], plan: &mut Plan) -> Vec<&'p Peer> {
    let mut taken: Vec<(IpNet, &str)> = own.subnets.iter().map(|subnet| (*subnet, "this node")).collect();
    let mut kept = Vec::new();
    for peer in peers {
        let clash = peer.subnets.iter().find_map(|subnet| {
            let meets = |(other, _): &&(IpNet, &str)| other.contains(subnet) || subnet.contains(other);
            taken.iter().find(meets).map(|(_, owner)| (*subnet, *owner))
        });
        match clash {
            Some((subnet, owner)) => {
                plan.problems
                    .push(format!("node {}: its subnet {subnet} already belongs to {owner}", peer.name));
            }
            None => {
                taken.extend(peer.subnets.iter().map(|subnet| (*subnet, peer.name.as_str())));
                kept.push(peer);
            }
        }
    }
    kept
}

/// The rules and routes by which packets of this node's pods reach another *node* through the tunnel.
fn add_ways_to_nodes(own: &Own, reachable: &[&Peer], gatewayed: bool, plan: &mut Plan) {
    for subnet in &own.subnets {
        plan.items.insert(Item::Rule { source: *subnet, table: NODES_TABLE });
    }
    for peer in reachable {
        for address in &peer.addresses {
            // The gateway represents the peer on the device, in the same family.
            let Some(subnet) = peer.subnet(address.is_ipv4()) else { continue };
            if own.subnets.iter().all(|own| own.addr().is_ipv4() != address.is_ipv4()) {
                continue;
            }
            plan.items.insert(Item::Route {
                table: NODES_TABLE,
                destination: IpNet::from(*address),
                gateway: gatewayed.then(|| gateway(subnet)),
                exit: Exit::Device,
            });
            plan.nodes.insert(*address);
        }
    }
}

/// The unreachable routes for the pods' networks: packets to an address in no node's subnet must not leave by the
/// host's default route. The routes to nodes' subnets are more specific.
fn add_ends(own: &Own, plan: &mut Plan) {
    // A subnet that is its whole network has its own unreachable route, or is another node's.
    let is_routed = |network: &IpNet| {
        let routed = plan
            .items
            .iter()
            .any(|item| matches!(item, Item::Route { destination, .. } if destination == network));
        routed || own.subnets.contains(network)
    };
    let wider: Vec<IpNet> =
        own.cluster_subnets.iter().copied().filter(|network| !is_routed(network)).collect();
    plan.items.extend(wider.into_iter().map(|network| Item::Route {
        table: MAIN_TABLE,
        destination: network,
        gateway: None,
        exit: Exit::Nowhere,
    }));
}

/// The addresses of a backend's device: those of the node as its pods' gateway.
fn device_addresses(own: &Own) -> Vec<IpAddr> {
    own.subnets.iter().map(|subnet| gateway(*subnet)).collect()
}

fn family(ipv4: bool) -> &'static str {
    if ipv4 { "IPv4" } else { "IPv6" }
}

/// Ethernet in VXLAN in UDP, by the kernel. Nothing is learnt or flooded: the forwarding database and the neighbour
/// entries come from the Node objects.
struct Vxlan;

impl Backend for Vxlan {
    fn overhead(&self, ipv4: bool) -> u32 {
        const ETHERNET: u32 = 14;
        const VXLAN: u32 = 8;
        const UDP: u32 = 8;
        ETHERNET + VXLAN + UDP + ip_header(ipv4)
    }

    fn data(&self, own: &Mac) -> BackendData {
        BackendData { vtep_mac: Some(own.to_string()) }
    }

    fn plan(&self, own: &Own, peers: &[Peer]) -> Plan {
        let mut plan = Plan::default();
        let Some(local) = own.addresses.first().copied() else { return plan };
        plan.device = Some(Device {
            name: VXLAN_DEVICE,
            kind: DeviceKind::Vxlan { vni: VXLAN_VNI, port: VXLAN_PORT, local, mac: own.mac },
            mtu: own.mtu,
            addresses: device_addresses(own),
        });
        let mut reachable = Vec::new();
        let mut macs = BTreeSet::from([own.mac]);
        for peer in distinct(own, peers, &mut plan) {
            let Some(remote) = peer.address(local.is_ipv4()) else {
                let family = family(local.is_ipv4());
                plan.problems.push(format!("node {} has no {family} address for VXLAN", peer.name));
                continue;
            };
            // Also for peers whose hardware address is not known yet: they may send first.
            plan.senders
                .extend(networks(&peer.subnets, &peer.addresses).into_iter().map(|net| (remote, net)));
            let Some(mac) = peer.vtep_mac else {
                plan.pending.extend(&peer.subnets);
                continue;
            };
            if !macs.insert(mac) {
                plan.problems
                    .push(format!("node {}: another node already has the hardware address {mac}", peer.name));
                continue;
            }
            plan.items.insert(Item::Fdb { mac, remote });
            for subnet in &peer.subnets {
                let gateway = gateway(*subnet);
                plan.items.insert(Item::Neighbour { address: gateway, mac });
                plan.items.insert(Item::Route {
                    table: MAIN_TABLE,
                    destination: *subnet,
                    gateway: Some(gateway),
                    exit: Exit::Device,
                });
            }
            reachable.push(peer);
        }
        add_ways_to_nodes(own, &reachable, true, &mut plan);
        add_ends(own, &mut plan);
        plan
    }
}

fn ip_header(ipv4: bool) -> u32 {
    if ipv4 { 20 } else { 40 }
}

/// Plain routes: each node is the gateway of its subnets.
struct HostGw;

impl Backend for HostGw {
    fn overhead(&self, _ipv4: bool) -> u32 {
        0
    }

    fn data(&self, _own: &Mac) -> BackendData {
        BackendData::default()
    }

    fn plan(&self, own: &Own, peers: &[Peer]) -> Plan {
        let mut plan = Plan::default();
        for peer in distinct(own, peers, &mut plan) {
            for subnet in &peer.subnets {
                let ipv4 = subnet.addr().is_ipv4();
                let Some(address) = peer.address(ipv4) else {
                    let family = family(ipv4);
                    plan.problems.push(format!(
                        "node {} has no {family} address to route {subnet} through",
                        peer.name
                    ));
                    continue;
                };
                if !own.links.iter().any(|link| link.contains(&address)) {
                    plan.problems.push(format!(
                        "node {} ({address}) is on no link of this node, which host-gw needs: choose \
                         --flannel-backend vxlan",
                        peer.name
                    ));
                    continue;
                }
                plan.items.insert(Item::Route {
                    table: MAIN_TABLE,
                    destination: *subnet,
                    gateway: Some(address),
                    exit: Exit::Uplink,
                });
                plan.nodes.insert(address);
            }
        }
        add_ends(own, &mut plan);
        plan
    }
}

/// IP in UDP, by this process.
struct Udp;

impl Backend for Udp {
    fn overhead(&self, ipv4: bool) -> u32 {
        const UDP: u32 = 8;
        UDP + ip_header(ipv4)
    }

    fn data(&self, _own: &Mac) -> BackendData {
        BackendData::default()
    }

    fn plan(&self, own: &Own, peers: &[Peer]) -> Plan {
        let mut plan = Plan::default();
        let Some(local) = own.addresses.first().copied() else { return plan };
        plan.device = Some(Device {
            name: UDP_DEVICE,
            kind: DeviceKind::Tun,
            mtu: own.mtu,
            addresses: device_addresses(own),
        });
        let mut reachable = Vec::new();
        let mut tunnel_peers = Vec::new();
        for peer in distinct(own, peers, &mut plan) {
            let Some(address) = peer.address(local.is_ipv4()) else {
                let family = family(local.is_ipv4());
                plan.problems.push(format!("node {} has no {family} address for the tunnel", peer.name));
                continue;
            };
            plan.senders
                .extend(networks(&peer.subnets, &peer.addresses).into_iter().map(|net| (address, net)));
            if peer.backend != Some(BackendType::Udp) {
                // There is no listener yet.
                plan.pending.extend(&peer.subnets);
                continue;
            }
            plan.items.extend(peer.subnets.iter().map(|subnet| Item::Route {
                table: MAIN_TABLE,
                destination: *subnet,
                gateway: None,
                exit: Exit::Device,
            }));
            tunnel_peers.push(TunnelPeer {
                address: SocketAddr::new(address, UDP_PORT),
                networks: networks(&peer.subnets, &peer.addresses),
            });
            reachable.push(peer);
        }
        plan.tunnel = Some(TunnelPlan {
            local: SocketAddr::new(local, UDP_PORT),
            networks: networks(&own.subnets, &own.addresses),
            peers: tunnel_peers,
        });
        add_ways_to_nodes(own, &reachable, false, &mut plan);
        add_ends(own, &mut plan);
        plan
    }
}

/// All sources of a node: its pods, and itself.
fn networks(subnets: &[IpNet], addresses: &[IpAddr]) -> Vec<IpNet> {
    subnets.iter().copied().chain(addresses.iter().copied().map(IpNet::from)).collect()
}

/// Left to another program.
struct Nothing;

impl Backend for Nothing {
    fn overhead(&self, _ipv4: bool) -> u32 {
        0
    }

    fn data(&self, _own: &Mac) -> BackendData {
        BackendData::default()
    }

    fn plan(&self, _own: &Own, _peers: &[Peer]) -> Plan {
        Plan::default()
    }
}

#[cfg(test)]
mod tests;
