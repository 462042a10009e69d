//! The addresses to which requests may be forwarded.
//!
//! The addresses in a status, a slice or a Node were written by some user. That must not give the user access to
//! anything that only this server can reach: its own loopback, its links, and the hosts that run the cluster.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;

use imbl::OrdMap;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::{Status, Versioned};
use parking_lot::Mutex;

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

/// The nodes that have an address. Cloning it is cheap.
type ByAddress = imbl::HashMap<IpAddr, imbl::OrdSet<Arc<str>>>;

/// The addresses of nodes, kept from one request to the next: a node is decoded again only after it has changed.
#[derive(Default)]
pub(super) struct NodeAddresses(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Of the collection when it was last seen; `None` before.
    generation: Option<u64>,
    by_node: HashMap<Arc<str>, NodeEntry>,
    by_address: ByAddress,
}

struct NodeEntry {
    version: u64,
    addresses: Vec<IpAddr>,
}

impl NodeAddresses {
    /// The addresses as they are now.
    fn current(&self, server: &ApiServer) -> ByAddress {
        let Some(nodes) = server.registry.collection("minions") else { return ByAddress::new() };
        let mut kept = self.0.lock();
        // Asked first: if a change comes in between, the next request looks again.
        let generation = nodes.generation();
        if kept.generation != Some(generation) {
            kept.follow(&nodes.objects());
            kept.generation = Some(generation);
        }
        kept.by_address.clone()
    }
}

impl Kept {
    /// Takes over what changed. Returns how many nodes were decoded.
    fn follow(&mut self, nodes: &OrdMap<Arc<str>, Versioned>) -> usize {
        let gone = self.by_node.extract_if(|name, _| !nodes.contains_key(name)).collect::<Vec<_>>();
        gone.iter().for_each(|(name, entry)| forget(&mut self.by_address, name, &entry.addresses));
        let mut decoded = 0;
        for (name, node) in nodes {
            let version = node.resource_version();
            let known = self.by_node.get(name);
            if known.is_some_and(|known| known.version == version) {
                continue;
            }
            decoded += 1;
            let new = addresses(node);
            let old = known.map(|known| known.addresses.clone()).unwrap_or_default();
            if old != new {
                forget(&mut self.by_address, name, &old);
                for ip in &new {
                    self.by_address.entry(*ip).or_default().insert(Arc::clone(name));
                }
            }
            self.by_node.insert(Arc::clone(name), NodeEntry { version, addresses: new });
        }
        decoded
    }
}

fn forget(by_address: &mut ByAddress, name: &Arc<str>, addresses: &[IpAddr]) {
    for ip in addresses {
        let Some(names) = by_address.get_mut(ip) else { continue };
        names.remove(name);
        if names.is_empty() {
            by_address.remove(ip);
        }
    }
}

/// The addresses in a node's status.
fn addresses(node: &Versioned) -> Vec<IpAddr> {
    let value = node.value();
    value.at("status.addresses").items().filter_map(|address| parse(address.str_at("address"))).collect()
}

/// The hosts of the cluster by their addresses, as they are at one request.
pub(super) struct Hosts {
    /// By the keys of the collection of nodes: their names.
    nodes: ByAddress,
    /// The addresses of API servers.
    servers: HashSet<IpAddr>,
    /// Determines this host's addresses, independently of the cluster's data.
    is_own: fn(IpAddr) -> bool,
}

impl Hosts {
    /// The hosts that the cluster knows.
    pub(super) fn of(server: &ApiServer) -> Hosts {
        let nodes = server.nodes.addresses.current(server);
        let mut hosts = Hosts { nodes, servers: HashSet::new(), is_own: is_of_this_host };
        let registry = &server.registry;
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
        let is_own_host = owners.is_some_and(|names| names.contains(node));
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
        let nodes = ByAddress::from_iter([(IpAddr::from([192, 0, 2, 1]), imbl::ordset![Arc::from("a")])]);
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

    fn node(name: &str, version: u64, address: [u8; 4]) -> (Arc<str>, Versioned) {
        let object = object::value!({
            "metadata": {"name": name, "resourceVersion": version.to_string()},
            "status": {"addresses": [
                {"type": "InternalIP", "address": IpAddr::from(address).to_string()},
                {"type": "Hostname", "address": name}
            ]}
        });
        let meta = object::TypeMeta::new("v1", "Node");
        (name.into(), Versioned::from_value(meta, &object, Default::default()).unwrap())
    }

    #[test]
    fn only_nodes_that_changed_are_decoded() {
        let (one, two) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let mut kept = Kept::default();
        let names = |kept: &Kept, ip: [u8; 4]| {
            let names = kept.by_address.get(&IpAddr::from(ip)).cloned().unwrap_or_default();
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let mut nodes = OrdMap::from_iter([node("a", 1, one), node("b", 2, two)]);
        assert_eq!((kept.follow(&nodes), kept.follow(&nodes)), (2, 0));
        assert_eq!((names(&kept, one), names(&kept, two)), (vec!["a".into()], vec!["b".into()]));
        let (name, changed) = node("a", 3, two);
        nodes.insert(name, changed);
        assert_eq!(kept.follow(&nodes), 1);
        assert_eq!((names(&kept, one), names(&kept, two)), (vec![], vec!["a".into(), "b".into()]));
        nodes.remove("a");
        assert_eq!((kept.follow(&nodes), names(&kept, two)), (0, vec!["b".into()]));
        nodes.clear();
        kept.follow(&nodes);
        assert!(kept.by_address.is_empty() && kept.by_node.is_empty());
    }
}
