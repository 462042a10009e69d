//! Which addresses requests are passed on to.
//!
//! What a status, a slice or a node says of its address was written by somebody. Whoever may write that must not reach
//! with it what only this server reaches: its own loopback, its links, and the hosts that run the cluster.

use std::net::IpAddr;

use object::{Status, Value};

use crate::ApiServer;

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

/// Checks that a pod may have the address that its status, or a slice, gives it. A host of the cluster is the address
/// of pods on its own network alone.
///
/// # Errors
/// 400 in upstream's words.
pub(super) fn check_pod_address(server: &ApiServer, pod: &Value, ip: IpAddr) -> Result<(), Status> {
    let refused = || Status::bad_request("address not allowed");
    if !is_proxyable(ip) {
        return Err(refused());
    }
    let ip = ip.to_canonical();
    let is_on_host = pod.at("spec.hostNetwork").as_bool() == Some(true);
    let node = pod.str_at("spec.nodeName");
    let (mut is_host, mut is_own_host) = (is_this_server(server, ip), false);
    if let Some(nodes) = server.registry.collection("minions") {
        let nodes = nodes.snapshot(&server.registry.hub).objects;
        for other in nodes.values().filter(|other| addresses_of_node(&other.value()).contains(&ip)) {
            is_host = true;
            is_own_host |= other.name() == node;
        }
    }
    if is_host && !(is_on_host && is_own_host) { Err(refused()) } else { Ok(()) }
}

/// The addresses of a node.
pub(super) fn addresses_of_node(node: &Value) -> Vec<IpAddr> {
    let addresses = node.at("status.addresses").items();
    addresses
        .filter_map(|address| address.str_at("address").parse().ok())
        .map(|ip: IpAddr| ip.to_canonical())
        .collect()
}

/// Whether this server, or another of the same cluster, is reached there.
fn is_this_server(server: &ApiServer, ip: IpAddr) -> bool {
    let slices = server.registry.collection("endpointslices");
    let slice = slices.and_then(|slices| slices.get("default", "kubernetes"));
    slice.is_some_and(|slice| {
        let slice = slice.value();
        let addresses = slice.get("endpoints").items().flat_map(|endpoint| endpoint.get("addresses").items());
        addresses.filter_map(|text| text.as_str()?.parse::<IpAddr>().ok()).any(|own| own.to_canonical() == ip)
    })
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
}
