//! The packet rules against forged addresses from pods and other machines.
//!
//! - **A pod's link accepts only the pod's own addresses.** The kernel's routes define them: a packet is accepted if
//!   the route back to its source leads to the link that it arrived on. So a pod needs no rule and no element, the
//!   check is in place before the link, and nothing that a pod does to its own end matters. Link-local addresses are
//!   dropped: they reach only the host, and with forged ones a pod could fill the host's neighbour table.
//! - **A packet with a pod's source address must come from where that pod is**: the same check applies to all other
//!   links.
//! - **Pods cannot reach the tunnel ports** of any node, directly or through a translated destination. A packet from a
//!   pod to an address that is not known to be another node's leaves with this node's address, and would be accepted
//!   there.
//! - **A tunnel accepts packets only from the other nodes**, and inside them only source addresses of the sending node.
//!   nftables reads the inner address after the VXLAN header, because the sender is unknown once the kernel has
//!   unwrapped the packet. In the backend `udp` the process itself checks (`overlay::udp`).
//!
//! Pods are routed, so nothing else on their links has a receiver: no bridge learns their hardware addresses, ARP and
//! neighbour discovery are off on the host's end, because both ends have permanent neighbour entries (`link`), and
//! other protocols have no handler.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::backend_type::{UDP_PORT, VXLAN_PORT, VXLAN_VNI};
use crate::link::POD_LINK_PREFIX;

/// The tunnel of this node, as the rules know it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tunnel {
    /// Whether the routes to all pods of the cluster are ours, and not managed by another program.
    pub(crate) ways_known: bool,
    /// The UDP port, if packets are wrapped at all.
    pub(crate) port: Option<u16>,
    /// The senders to it, each with a network of permitted inner sources.
    pub(crate) senders: BTreeSet<(IpAddr, IpNet)>,
}

/// The rules' data about other nodes. They are stored on disk, so that a restart cuts no node off.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OtherNodes {
    /// The addresses towards which pods keep their own.
    pub(crate) keeping_source: BTreeSet<IpAddr>,
    /// The tunnel to the other nodes.
    pub(crate) tunnel: Tunnel,
}

/// An element of one of the table's sets: the set's name and the element's text.
type Element = (&'static str, String);

impl OtherNodes {
    /// The content of the table's sets. `own` and `cluster` are the networks of the node's pods and of all pods.
    pub(crate) fn elements(&self, own: &[IpNet], cluster: &[IpNet]) -> BTreeSet<Element> {
        let mut all = BTreeSet::new();
        let of = |names: [&'static str; 2], address: IpAddr| names[usize::from(address.is_ipv6())];
        all.extend(
            self.keeping_source.iter().map(|node| (of(["nodes4", "nodes6"], *node), node.to_string())),
        );
        let routed = if self.tunnel.ways_known { cluster } else { own };
        all.extend(
            routed.iter().map(|net| (of(["routed4", "routed6"], net.addr()), net.trunc().to_string())),
        );
        all.extend(self.tunnel.port.map(|port| ("tunnel_ports", port.to_string())));
        for (sender, inside) in &self.tunnel.senders {
            if self.is_repeated(*sender, inside) || cluster.iter().any(|net| net.contains(sender)) {
                continue;
            }
            all.insert((of(["peers4", "peers6"], *sender), sender.to_string()));
            let names = match inside {
                IpNet::V4(_) => ["senders44", "senders64"],
                IpNet::V6(_) => ["senders46", "senders66"],
            };
            all.insert((of(names, *sender), format!("{sender} . {}", range(*inside))));
        }
        all
    }

    /// Whether a wider network of the same sender contains this one: the kernel takes no overlapping ranges.
    fn is_repeated(&self, sender: IpAddr, inside: &IpNet) -> bool {
        let first = (sender, IpNet::V4(Ipv4Net::default()));
        let of_sender = self.tunnel.senders.range(first..).take_while(|(other, _)| *other == sender);
        of_sender.map(|(_, net)| net).any(|net| net != inside && net.contains(inside))
    }
}

/// A network as a range of plain numbers, which nftables requires where it reads an address by its offset.
fn range(net: IpNet) -> String {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => format!("{:#010x}", v4.to_bits()),
        IpAddr::V6(v6) => format!("{:#034x}", v6.to_bits()),
    };
    let (first, last) = (net.network(), net.broadcast());
    if first == last { number(first) } else { format!("{}-{}", number(first), number(last)) }
}

/// The transaction from one state of the sets to another.
pub(crate) fn change(table: &str, before: &BTreeSet<Element>, after: &BTreeSet<Element>) -> String {
    let mut text = String::new();
    for (verb, elements) in [("delete", before.difference(after)), ("add", after.difference(before))] {
        let elements: Vec<_> = elements.collect();
        for of_set in elements.chunk_by(|(one, _), (other, _)| one == other) {
            let list: Vec<&str> = of_set.iter().map(|(_, element)| element.as_str()).collect();
            let _ = writeln!(text, "{verb} element inet {table} {} {{ {} }}", of_set[0].0, list.join(", "));
        }
    }
    text
}

/// The table's sets and chains for all this, without elements.
pub(crate) fn rules(cluster_subnets: &[IpNet]) -> String {
    let to_pods = |net: &IpNet| {
        let family = if net.addr().is_ipv4() { "ip" } else { "ip6" };
        format!("    {family} daddr {net} return\n")
    };
    RULES
        .replace("@POD@", &format!("\"{POD_LINK_PREFIX}*\""))
        .replace("@PORTS@", &format!("{{ {VXLAN_PORT}, {UDP_PORT} }}"))
        .replace("@VXLAN_PORT@", &VXLAN_PORT.to_string())
        .replace("@VNI@", &VXLAN_VNI.to_string())
        .replace("@TO_PODS@", &cluster_subnets.iter().map(to_pods).collect::<String>())
}

/// Before connection tracking, because otherwise a forged packet could pass as part of another connection. With
/// `route_localnet` the kernel no longer drops packets from outside that claim loopback addresses (CVE-2020-8558): the
/// chain `guard` does. Router advertisements (CVE-2020-10749), redirects and DHCP answers would make a pod the host's
/// router.
///
/// Places in a datagram are bits from the UDP header on: VXLAN's network number is at 96, the inner type of protocol at
/// 224, the inner source at 336 (IPv4) or 304 (IPv6).
const RULES: &str = "\
  set tunnel_ports { type inet_service; }
  set routed4 { type ipv4_addr; flags interval; }
  set routed6 { type ipv6_addr; flags interval; }
  set peers4 { type ipv4_addr; }
  set peers6 { type ipv6_addr; }
  set senders44 { typeof ip saddr . @th,336,32; flags interval; }
  set senders46 { typeof ip saddr . @th,304,128; flags interval; }
  set senders64 { typeof ip6 saddr . @th,336,32; flags interval; }
  set senders66 { typeof ip6 saddr . @th,304,128; flags interval; }
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname \"lo\" accept
    iifname @POD@ goto from_pod
    ip daddr 127.0.0.0/8 drop
    ip saddr 127.0.0.0/8 drop
    ip saddr @routed4 fib saddr . iif oif missing drop
    ip6 saddr @routed6 fib saddr . iif oif missing drop
  }
  chain from_pod {
    ip daddr 127.0.0.0/8 drop
    ip saddr 0.0.0.0/8 drop
    ip6 saddr :: drop
    ip6 saddr fe80::/10 drop
    fib saddr . iif oif missing drop
    meta l4proto vmap { icmp : goto from_pod_icmp, ipv6-icmp : goto from_pod_icmp, udp : goto from_pod_udp }
  }
  chain from_pod_icmp {
    icmp type redirect drop
    icmpv6 type { nd-router-advert, nd-redirect } drop
  }
  chain from_pod_udp {
    udp sport . udp dport { 67 . 68, 547 . 546 } drop
  }
  chain tunnels {
    type filter hook input priority filter; policy accept;
    udp dport @PORTS@ goto tunnel
  }
  chain tunnel {
    iifname @POD@ drop
    ct status dnat drop
    udp dport != @tunnel_ports accept
    udp dport @VXLAN_PORT@ @th,96,24 != @VNI@ accept
    ip saddr != @peers4 drop
    ip6 saddr != @peers6 drop
    udp dport != @VXLAN_PORT@ accept
    @th,224,16 0x0800 ip saddr . @th,336,32 @senders44 accept
    @th,224,16 0x0800 ip6 saddr . @th,336,32 @senders64 accept
    @th,224,16 0x86dd ip saddr . @th,304,128 @senders46 accept
    @th,224,16 0x86dd ip6 saddr . @th,304,128 @senders66 accept
    drop
  }
  chain to_other_nodes {
    type filter hook forward priority filter; policy accept;
    udp dport @PORTS@ goto to_tunnels
  }
  chain to_tunnels {
@TO_PODS@    ct status dnat drop
    iifname @POD@ reject with icmpx admin-prohibited
  }
";

#[cfg(test)]
mod tests;
