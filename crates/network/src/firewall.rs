//! The packet rules of the pod network, as nftables text.
//!
//! One table of family `inet`:
//! - pods reach what is outside of the cluster with the node's address (masquerade), but other nodes with their own,
//!   where the way back is known to lead to them (`nodes4`, `nodes6`);
//! - host ports lead to pods, also from the node itself and from its loopback addresses;
//! - a pod that reaches itself by such a detour is masqueraded, or it would answer itself directly;
//! - answers of the host's UDP servers come from the address that was asked ([`crate::answers`]);
//! - nobody speaks for somebody else ([`crate::guard`]);
//! - the gateway never says that nobody listens at its DNS port: a query that meets no server, while the program
//!   restarts or after it was killed, is lost like any other packet, and resolvers ask again instead of failing.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::answers;
use crate::guard::{self, OtherNodes};
use crate::host_port::HostPort;

/// The inputs of the rules, apart from the pods.
pub(crate) struct Rules<'a> {
    pub(crate) table: &'a str,
    /// Subnets of this node's pods.
    pub(crate) pod_subnets: &'a [IpNet],
    /// All pods' subnets: packets to them keep the pod's address.
    pub(crate) cluster_subnets: &'a [IpNet],
}

/// An element of one of the table's sets and maps: the set's name and the element's text.
type Element = (&'static str, String);

impl Rules<'_> {
    /// The transaction that recreates the table, with everything that `pods` need and the data about other nodes.
    pub(crate) fn full<'p>(
        &self,
        pods: impl Iterator<Item = (&'p [IpAddr], &'p [HostPort])>,
        others: &OtherNodes,
    ) -> String {
        let table = self.table;
        let mut text = format!("add table inet {table}\ndelete table inet {table}\n");
        let _ = write!(
            text,
            "{}",
            TABLE
                .replace("@TABLE@", table)
                .replace("@GUARD@", &guard::rules(self.cluster_subnets))
                .replace("@ANSWERS@", &answers::rules(self.pod_subnets, self.cluster_subnets))
                .replace("@SILENCE@", &self.silence())
                .replace("@MASQUERADE@", &self.masquerade())
        );
        pods.for_each(|(addresses, ports)| text.push_str(&self.add(addresses, ports)));
        let others = others.elements(self.pod_subnets, self.cluster_subnets);
        text.push_str(&guard::change(table, &BTreeSet::new(), &others));
        text
    }

    /// The transaction that adds one pod; empty if the pod needs nothing.
    pub(crate) fn add(&self, addresses: &[IpAddr], ports: &[HostPort]) -> String {
        self.change("add", addresses, ports)
    }

    /// The transaction that removes what [`Rules::add`] added.
    pub(crate) fn delete(&self, addresses: &[IpAddr], ports: &[HostPort]) -> String {
        self.change("delete", addresses, ports)
    }

    /// The transaction from one knowledge of other nodes to another.
    pub(crate) fn others(&self, before: &OtherNodes, after: &OtherNodes) -> String {
        let [before, after] = [before, after].map(|o| o.elements(self.pod_subnets, self.cluster_subnets));
        guard::change(self.table, &before, &after)
    }

    fn change(&self, verb: &str, addresses: &[IpAddr], ports: &[HostPort]) -> String {
        // Only a pod with host ports can reach itself through this table.
        let addresses = if ports.is_empty() { &[] } else { addresses };
        let elements = addresses.iter().flat_map(|pod| {
            let family = family(*pod);
            let hairpin = (["hairpin4", "hairpin6"][family], format!("{pod} . {pod}"));
            std::iter::once(hairpin).chain(ports.iter().filter_map(|port| host_port(*pod, port)))
        });
        let mut text = String::new();
        for (set, element) in elements {
            let _ = writeln!(text, "{verb} element inet {} {set} {{ {element} }}", self.table);
        }
        text
    }

    /// The last two bytes that are examined are the destination port of the UDP packet that an unreachable message
    /// quotes behind its own eight bytes and an IP header without options.
    fn silence(&self) -> String {
        let rule = |subnet: &IpNet| match subnet {
            IpNet::V4(subnet) => {
                format!(
                    "    ip saddr {subnet} icmp type destination-unreachable icmp code port-unreachable @th,240,16 53 drop\n"
                )
            }
            IpNet::V6(subnet) => {
                format!(
                    "    ip6 saddr {subnet} icmpv6 type destination-unreachable icmpv6 code port-unreachable @th,400,16 53 drop\n"
                )
            }
        };
        self.pod_subnets.iter().map(rule).collect()
    }

    fn masquerade(&self) -> String {
        let mut text = String::new();
        for (ip, multicast) in [("ip", "224.0.0.0/4"), ("ip6", "ff00::/8")] {
            let of_family = |nets: &[IpNet]| {
                let texts = nets.iter().filter(|n| n.addr().is_ipv4() == (ip == "ip")).map(IpNet::to_string);
                texts.collect::<Vec<_>>()
            };
            let pods = of_family(self.pod_subnets);
            if pods.is_empty() {
                continue;
            }
            let mut cluster = of_family(self.cluster_subnets);
            cluster.push(multicast.to_owned());
            let (pods, cluster) = (pods.join(", "), cluster.join(", "));
            let set = if ip == "ip" { "nodes4" } else { "nodes6" };
            let _ = writeln!(text, "    {ip} saddr {{ {pods} }} {ip} daddr @{set} return");
            let _ = writeln!(
                text,
                "    {ip} saddr {{ {pods} }} {ip} daddr != {{ {cluster} }} masquerade fully-random"
            );
        }
        text
    }
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

/// The map element of a host port; `None` if its host address is of another family than the pod's.
fn host_port(pod: IpAddr, port: &HostPort) -> Option<Element> {
    let HostPort { host_ip, host_port, container_port, protocol } = port;
    let key = format!("{} . {host_port}", protocol.nft());
    let target = format!("{pod} . {container_port}");
    match host_ip.filter(|ip| !ip.is_unspecified()) {
        Some(ip) if ip.is_ipv4() != pod.is_ipv4() => None,
        Some(ip) => {
            Some((["hostports_on4", "hostports_on6"][family(pod)], format!("{ip} . {key} : {target}")))
        }
        None => Some((["hostports4", "hostports6"][family(pod)], format!("{key} : {target}"))),
    }
}

const TABLE: &str = "\
table inet @TABLE@ {
  map hostports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map hostports6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
  map hostports_on4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  map hostports_on6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
  set nodes4 { type ipv4_addr; }
  set nodes6 { type ipv6_addr; }
  set hairpin4 { type ipv4_addr . ipv4_addr; }
  set hairpin6 { type ipv6_addr . ipv6_addr; }
@GUARD@@ANSWERS@  chain silence {
    type filter hook output priority filter; policy accept;
@SILENCE@  }
  chain hostports {
    dnat ip to ip daddr . meta l4proto . th dport map @hostports_on4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @hostports_on6
    meta nfproto ipv4 dnat ip to meta l4proto . th dport map @hostports4
    meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @hostports6
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump hostports
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump hostports
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip saddr . ip daddr @hairpin4 masquerade fully-random
    ct status dnat ip6 saddr . ip6 daddr @hairpin6 masquerade fully-random
    ct status dnat oifname != \"lo\" ip saddr 127.0.0.0/8 masquerade fully-random
@MASQUERADE@  }
}
";

#[cfg(test)]
mod tests;
