//! Notifications of the kernel about changes to links, addresses, routes, rules and neighbours.
//!
//! Most changes on a node come from pods that start or end and are irrelevant here. Our own changes are reported too:
//! they cause one more check, which finds nothing to do.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use parking_lot::Mutex;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::packet_route::rule::{RuleAttribute, RuleMessage};
use tokio::sync::Notify;

use super::plan::PROTOCOL;
use crate::link::POD_LINK_PREFIX;
use crate::notifications;

const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Which notifications are relevant.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// The backend's device.
    pub(super) device: Option<u32>,
    /// The node's addresses.
    pub(super) node_ips: Vec<IpAddr>,
    /// The networks of all pods.
    pub(super) cluster_subnets: Vec<IpNet>,
}

/// Calls `changed` for every relevant notification, until the connection ends; the caller opens a new one, and assumes
/// that it missed something.
pub(super) async fn watch(interest: Arc<Mutex<Interest>>, changed: Arc<Notify>) -> std::io::Result<()> {
    notifications::listen(&GROUPS, &changed, |message| matters(message, &interest.lock())).await
}

fn matters(message: &RouteNetlinkMessage, interest: &Interest) -> bool {
    match message {
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => !is_pod_link(link),
        RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
            interest.device == Some(address.header.index) || has_address(address, &interest.node_ips)
        }
        RouteNetlinkMessage::NewNeighbour(entry) | RouteNetlinkMessage::DelNeighbour(entry) => {
            interest.device == Some(entry.header.ifindex)
        }
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            route.header.protocol == RouteProtocol::Other(PROTOCOL) || is_of_cluster(route, interest)
        }
        RouteNetlinkMessage::NewRule(rule) | RouteNetlinkMessage::DelRule(rule) => is_our_rule(rule),
        _ => false,
    }
}

fn is_pod_link(link: &LinkMessage) -> bool {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    });
    name.is_some_and(|name| name.starts_with(POD_LINK_PREFIX))
}

fn has_address(message: &AddressMessage, wanted: &[IpAddr]) -> bool {
    message.attributes.iter().any(|attribute| match attribute {
        AddressAttribute::Address(address) | AddressAttribute::Local(address) => wanted.contains(address),
        _ => false,
    })
}

/// Another program's route to a subnet within the cluster's, which may have replaced ours. Routes to single addresses
/// are those of pods.
fn is_of_cluster(route: &RouteMessage, interest: &Interest) -> bool {
    let destination = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    let length = route.header.destination_prefix_length;
    let destination = destination.and_then(|address| IpNet::new(address, length).ok());
    destination.is_some_and(|net| {
        net.prefix_len() < net.max_prefix_len()
            && interest.cluster_subnets.iter().any(|cluster| cluster.contains(&net))
    })
}

fn is_our_rule(rule: &RuleMessage) -> bool {
    let ours = RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL));
    rule.attributes.contains(&ours)
}
