//! The packet rules by which answers of the host's UDP servers come from the address that a pod asked.
//!
//! A server that listens on every address, and has no socket of its own for each client, answers from the address that the
//! kernel prefers on the way to the client. On a pod's link that is the gateway's, whichever address the pod asked; the
//! answer belongs to no flow then, so that no Service's address is put back, and the pod drops it. So the table keeps which
//! address a pod's port asked, and an answer gets that before connection tracking sees it.
//!
//! What is kept goes by itself, a little later than the flow. For IPv6 the asked address is kept for a pod and not for each
//! of its ports, since nft (1.0.6) has no registers for more: a pod that asks two addresses of the host at a time gets the
//! answers of both from one of them.

use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::ipam;

/// The sets and chains, for these pods of the node and of the cluster.
pub(crate) fn rules(pod_subnets: &[IpNet], cluster_subnets: &[IpNet]) -> String {
    let gateways: Vec<IpAddr> = pod_subnets.iter().map(|subnet| ipam::gateway(*subnet)).collect();
    let (mut asked, mut answered) = (String::new(), String::new());
    for is_v4 in [true, false] {
        let Some(gateway) = gateways.iter().find(|gateway| gateway.is_ipv4() == is_v4) else { continue };
        let pods = cluster_subnets.iter().filter(|net| net.addr().is_ipv4() == is_v4).map(IpNet::to_string);
        let pods = pods.collect::<Vec<_>>().join(", ");
        if pods.is_empty() {
            continue;
        }
        let ip = if is_v4 { "ip" } else { "ip6" };
        let is_asked = format!("    meta l4proto udp {ip} saddr {{ {pods} }} {ip} daddr != {gateway}");
        let is_answer = format!("    meta l4proto udp {ip} saddr {gateway}");
        let _ = match is_v4 {
            true => {
                let _ = writeln!(
                    answered,
                    "{is_answer} ip saddr set ip daddr . udp dport . udp sport map @asked4"
                );
                writeln!(asked, "{is_asked} update @asked4 {{ ip saddr . udp sport . udp dport : ip daddr }}")
            }
            false => {
                let is_known = "ip6 daddr . udp dport . udp sport @asked6";
                let _ = writeln!(answered, "{is_answer} {is_known} ip6 saddr set ip6 daddr map @asked_at6");
                let _ = writeln!(asked, "{is_asked} update @asked6 {{ ip6 saddr . udp sport . udp dport }}");
                writeln!(asked, "{is_asked} update @asked_at6 {{ ip6 saddr : ip6 daddr }}")
            }
        };
    }
    RULES.replace("@ASKED@", &asked).replace("@ANSWERED@", &answered)
}

/// Connection tracking forgets a flow after two minutes.
const RULES: &str = "\
  map asked4 { type ipv4_addr . inet_service . inet_service : ipv4_addr; flags dynamic,timeout; timeout 3m; size 65535; }
  set asked6 { type ipv6_addr . inet_service . inet_service; flags dynamic,timeout; timeout 3m; size 65535; }
  map asked_at6 { type ipv6_addr : ipv6_addr; flags dynamic,timeout; timeout 3m; size 65535; }
  chain asked {
    type filter hook input priority filter; policy accept;
@ASKED@  }
  chain answered {
    type filter hook output priority raw; policy accept;
@ANSWERED@  }
";
