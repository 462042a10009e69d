//! The desired state of the kernel for a backend, and the steps from the actual state. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::mac::Mac;
use super::udp::TunnelPlan;

/// The number by which the kernel and `ip route` distinguish our routes and rules from others' (`rtm_protocol`).
pub(crate) const PROTOCOL: u8 = 73;
/// The routing table of the other nodes' own addresses, for packets from this node's pods.
pub(crate) const NODES_TABLE: u32 = 7373;
/// The kernel's main routing table.
pub(crate) const MAIN_TABLE: u32 = 254;

/// A network device of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) name: &'static str,
    pub(crate) kind: DeviceKind,
    pub(crate) mtu: u32,
    /// Its addresses, each with a full-length prefix: the node itself uses them as its source towards other nodes'
    /// pods.
    pub(crate) addresses: Vec<IpAddr>,
}

/// The kind of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    /// A VXLAN endpoint.
    Vxlan {
        /// The network's number.
        vni: u32,
        /// The UDP port, on all nodes.
        port: u16,
        /// The outer source address.
        local: IpAddr,
        /// The inner source hardware address.
        mac: Mac,
    },
    /// A device whose packets this process reads and writes.
    Tun,
}

/// The link of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// The backend's device.
    Device,
    /// Whichever link reaches the gateway.
    Uplink,
    /// Nowhere: the sender gets an unreachable error. Other routes to it take precedence.
    Nowhere,
}

/// One entry of the kernel's tables. The order is that of creation: a route comes after the entries that it needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// Frames to `mac` go to the node at `remote`.
    Fdb {
        /// The inner destination.
        mac: Mac,
        /// The outer one.
        remote: IpAddr,
    },
    /// The hardware address of a gateway on the device.
    Neighbour {
        /// The gateway.
        address: IpAddr,
        /// Its hardware address.
        mac: Mac,
    },
    /// A route.
    Route {
        /// The routing table.
        table: u32,
        /// Its destination.
        destination: IpNet,
        /// Its gateway.
        gateway: Option<IpAddr>,
        /// Its link.
        exit: Exit,
    },
    /// Packets from `source` are routed by `table` first.
    Rule {
        /// The sender's subnet.
        source: IpNet,
        /// The routing table.
        table: u32,
    },
}

/// The key of an item: the kernel replaces items with the same key.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'i> {
    Fdb(&'i Mac),
    Neighbour(&'i IpAddr),
    Route(u32, &'i IpNet),
    Rule(&'i IpNet, u32),
}

impl Item {
    fn key(&self) -> Key<'_> {
        match self {
            Item::Fdb { mac, .. } => Key::Fdb(mac),
            Item::Neighbour { address, .. } => Key::Neighbour(address),
            Item::Route { table, destination, .. } => Key::Route(*table, destination),
            Item::Rule { source, table } => Key::Rule(source, *table),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Fdb { mac, remote } => write!(f, "the forwarding entry {mac} to {remote}"),
            Item::Neighbour { address, mac } => write!(f, "the neighbour {address} at {mac}"),
            Item::Route { destination, gateway: Some(gateway), .. } => {
                write!(f, "the route to {destination} by {gateway}")
            }
            Item::Route { destination, exit: Exit::Nowhere, .. } => {
                write!(f, "the unreachable route to {destination}")
            }
            Item::Route { destination, .. } => write!(f, "the route to {destination}"),
            Item::Rule { source, table } => write!(f, "the rule for {source} with table {table}"),
        }
    }
}

/// The desired entries of a backend.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) device: Option<Device>,
    pub(crate) items: BTreeSet<Item>,
    /// The configuration of the data path in this process, if the backend has one.
    pub(crate) tunnel: Option<TunnelPlan>,
    /// Destinations whose node is not ready for this backend: a route of the former backend is kept for them.
    pub(crate) pending: BTreeSet<IpNet>,
    /// The permitted senders of the tunnel, each with a permitted inner network.
    pub(crate) senders: BTreeSet<(IpAddr, IpNet)>,
    /// Addresses of nodes that see pods' own addresses: packets there are not masqueraded.
    pub(crate) nodes: BTreeSet<IpAddr>,
    /// Why some nodes' pods cannot be reached, for people; in the order of the nodes.
    pub(crate) problems: Vec<String>,
}

/// A change of the kernel's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Creates an item, replacing one with the same key.
    Put(Item),
    /// Removes an item.
    Delete(Item),
}

/// An item that is in the kernel and is ours, or an impostor: something of ours in a form that no plan has (such as a
/// route over a former backend's device).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub(crate) item: Item,
    /// Whether it uses the links that the item names.
    pub(crate) genuine: bool,
}

/// The steps from the actual state to the plan: first additions, in the order of items, then removals, in reverse
/// order, so that no packet finds an incomplete path.
pub(crate) fn steps(found: &BTreeSet<Found>, plan: &Plan) -> Vec<Step> {
    let there = |item: &Item| found.iter().any(|found| found.genuine && found.item == *item);
    let put = plan.items.iter().filter(|item| !there(item)).cloned().map(Step::Put);
    let wanted: BTreeSet<Key<'_>> = plan.items.iter().map(Item::key).collect();
    let is_pending = |item: &Item| match item {
        Item::Route { table: MAIN_TABLE, destination, .. } => plan.pending.contains(destination),
        _ => false,
    };
    let gone = found.iter().rev().map(|found| &found.item);
    let gone = gone.filter(|item| !wanted.contains(&item.key()) && !is_pending(item));
    put.chain(gone.cloned().map(Step::Delete)).collect()
}

#[cfg(test)]
mod tests;
