//! The addresses to which requests may be forwarded.
//!
//! The addresses in a status, a slice or a Node were written by some user. That must not give the user access to
//! anything that only this server can reach: its own loopback, its links, and the hosts that run the cluster.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::Status;

use crate::ApiServer;

/// Any port; the kernel requires one.
const DISCARD_PORT: u16 = 9;

/// Whether an address is one that pods and nodes can have among others: no loopback, link-local, multicast, broadcast or
/// unspecified one, in whatever notation (upstream: `proxyutil.IsProxyableIP`).
pub(super) fn is_proxyable(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            // All of 0.0.0.0/8 is this host.
            v4.octets()[0] != 0
                && !v4.is_loopback()
                && !v4.is_link_local()
                && !v4.is_multicast()
                && !v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            !v6.is_unspecified() && !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_multicast()
        }
    }
}

/// Whether an address is one of this host's own, including those that are in no Node, such as the gateway of its pods:
/// the kernel would use that same address as the source. Nothing is sent.
fn is_of_this_host(ip: IpAddr) -> bool {
    let any = if ip.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, DISCARD_PORT))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == ip)
}

/// The hosts of the cluster by their addresses, as they are at one request.
pub(super) struct Hosts {
    /// The nodes that have an address.
    nodes: HashMap<IpAddr, Vec<String>>,
    /// The addresses of API servers.
    servers: HashSet<IpAddr>,
    /// Determines this host's addresses, independently of the cluster's data.
    is_own: fn(IpAddr) -> bool,
}

impl Hosts {
    /// The hosts that the cluster knows.
    pub(super) fn of(server: &ApiServer) -> Hosts {
        let mut hosts = Hosts { nodes: HashMap::new(), servers: HashSet::new(), is_own: is_of_this_host };
        let registry = &server.registry;
        let nodes = registry.collection("minions").map(|nodes| nodes.objects());
        for node in nodes.unwrap_or_default().values() {
            let Ok(typed) = node.typed::<Node>() else { continue };
            let addresses = typed.status.iter().flat_map(|status| status.addresses.iter().flatten());
            for ip in addresses.filter_map(|address| parse(&address.address)) {
                hosts.nodes.entry(ip).or_default().push(node.name().to_owned());
            }
        }
        let slices = registry.collection("endpointslices");
        let own = slices.and_then(|slices| slices.get("default", "kubernetes"));
        if let Some(own) = own.and_then(|slice| slice.typed::<EndpointSlice>().ok()) {
            let addresses = own.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
            hosts.servers.extend(addresses.filter_map(|text| parse(text)));
        }
        hosts
    }

    /// Checks that a pod may have the address that its status, or a slice, gives it. The address of a host is valid
    /// only for pods on that host's network.
    ///
    /// # Errors
    /// 400 in upstream's words.
    pub(super) fn check(&self, pod: &Pod, ip: IpAddr) -> Result<(), Status> {
        let ip = ip.to_canonical();
        let spec = pod.spec.as_ref();
        let node = spec.and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let is_on_host = spec.is_some_and(|spec| spec.host_network == Some(true));
        let owners = self.nodes.get(&ip);
        let is_host = owners.is_some() || self.servers.contains(&ip) || (self.is_own)(ip);
        let is_own_host = owners.is_some_and(|names| names.iter().any(|name| name == node));
        if is_proxyable(ip) && (!is_host || (is_on_host && is_own_host)) {
            Ok(())
        } else {
            Err(Status::bad_request("address not allowed"))
        }
    }
}

fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_host_and_its_links_are_no_targets() {
        let refused = [
            "0.0.0.0",
            "0.0.0.1",
            "127.0.0.1",
            "127.255.0.3",
            "169.254.169.254",
            "224.0.0.1",
            "239.1.2.3",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
        ];
        for ip in refused {
            assert!(!is_proxyable(ip.parse().unwrap()), "{ip}");
        }
        for ip in
            ["10.0.0.1", "192.168.0.1", "100.64.0.1", "8.8.8.8", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"]
        {
            assert!(is_proxyable(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn the_kernel_tells_which_addresses_are_this_hosts() {
        for ip in ["127.0.0.1", "::1"] {
            assert!(is_of_this_host(ip.parse().unwrap()), "{ip}");
        }
        // Addresses for documentation (RFC 5737, RFC 3849).
        for ip in ["203.0.113.7", "2001:db8::7"] {
            assert!(!is_of_this_host(ip.parse().unwrap()), "{ip}");
        }
    }

    /// The gateway of this host's pods is not the address of any Node, but services of the host listen there.
    #[test]
    fn pods_have_no_address_of_this_host_that_no_node_tells_of() {
        let is_own: fn(IpAddr) -> bool = |ip| ip == IpAddr::from([10, 42, 0, 1]);
        let nodes = HashMap::from([(IpAddr::from([192, 0, 2, 1]), vec!["a".to_owned()])]);
        let hosts = Hosts { nodes, servers: HashSet::new(), is_own };
        let check = |host_network: bool, ip: [u8; 4]| {
            let spec = serde_json::json!({"containers": [], "nodeName": "a", "hostNetwork": host_network});
            let pod = serde_json::from_value(serde_json::json!({"spec": spec})).unwrap();
            hosts.check(&pod, ip.into()).is_ok()
        };
        assert!(!check(false, [10, 42, 0, 1]) && !check(true, [10, 42, 0, 1]));
        assert!(check(false, [10, 42, 0, 2]) && check(true, [192, 0, 2, 1]));
        assert!(!check(false, [192, 0, 2, 1]));
    }
}
