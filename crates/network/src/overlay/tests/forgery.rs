//! Packets with source addresses of another node's pods.

use std::net::{IpAddr, SocketAddr};

use hostnet::testing::ip;
use hostnet::{NetNs, nft};

use super::env::{Cluster, answer, eventually};
use crate::LocalNetwork;
use crate::backend_type::BackendType;
use crate::overlay::mac::Mac;
use crate::testing::{Capture, comes_alone, once_free, send_from};

fn at(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn any(family_of: IpAddr, port: u16) -> SocketAddr {
    let any: IpAddr = if family_of.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    SocketAddr::new(any, port)
}

/// A datagram to port 9 as a packet.
fn inner(source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let udp = [0, 9, 0, 9, 0, 8, 0, 0];
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
            header.extend([source.octets(), destination.octets()].concat());
            let words = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
            let sum: u32 = words.sum();
            let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            [&header[..], &udp].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = [0x60, 0, 0, 0, 0, 8, 17, 64];
            [&header[..], &source.octets(), &destination.octets(), &udp].concat()
        }
        _ => panic!("two families"),
    }
}

/// The same in VXLAN, to the device of `node`.
fn wrapped(node: &str, source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let kind: [u8; 2] = if source.is_ipv4() { [8, 0] } else { [0x86, 0xdd] };
    let vxlan = [8, 0, 0, 0, 0, 0, 1, 0];
    let packet = inner(source, destination);
    [&vxlan[..], &Mac::of_node(node).0, &Mac::of_node("node3").0, &kind, &packet].concat()
}

/// A datagram that the backend's port would accept as a packet between pods.
fn tunnelled(backend: BackendType, node: &str, source: IpAddr, destination: IpAddr) -> Vec<u8> {
    match backend {
        BackendType::Vxlan => wrapped(node, source, destination),
        _ => inner(source, destination),
    }
}

/// An address of node 2 that the other nodes do not know to be its own.
const FURTHER: [&str; 2] = ["192.0.2.202", "fd99::202"];

/// Three nodes that know each other, with a further address each at node 2.
fn cluster(backend: BackendType, over_ipv6: bool) -> Cluster {
    let cluster = Cluster::over(backend, 3, over_ipv6);
    ip(
        &cluster.nodes[1].host,
        &format!("addr add {}/24 dev up0\n addr add {}/64 dev up0 nodad", FURTHER[0], FURTHER[1]),
    );
    for (from, to) in [(0, 1), (2, 1), (2, 0)] {
        cluster.seen(from, to, true);
        cluster.seen(from, to, false);
    }
    cluster
}

/// Services whose endpoints are nodes' tunnels, as a user may create them.
fn lead_to_tunnels(host: &NetNs, port: u16) {
    let rules = format!(
        "table inet services {{ chain prerouting {{ type nat hook prerouting priority dstnat;
           ip daddr 10.43.0.1 udp dport 53 dnat ip to 192.0.2.1:{port}
           ip daddr 10.43.0.2 udp dport 53 dnat ip to 192.0.2.2:{port}
           ip daddr 10.43.0.3 udp dport 53 dnat ip to {}:{port}
           ip6 daddr fd43::1 udp dport 53 dnat ip6 to [fd99::1]:{port}
           ip6 daddr fd43::2 udp dport 53 dnat ip6 to [fd99::2]:{port}
           ip6 daddr fd43::3 udp dport 53 dnat ip6 to [{}]:{port}
         }}; }}",
        FURTHER[0], FURTHER[1]
    );
    host.block_on(|| async { nft::apply(&rules).await.unwrap() }).unwrap();
}

#[test]
fn pods_do_not_speak_through_tunnels() {
    for (backend, over_ipv6) in
        [BackendType::Vxlan, BackendType::Udp].map(|b| [(b, false), (b, true)]).concat()
    {
        let cluster = cluster(backend, over_ipv6);
        let [one, two, _] = &cluster.nodes[..] else { panic!("three nodes") };
        let port = backend.port().unwrap();
        lead_to_tunnels(&one.host, port);
        let ways: [(&str, u16, usize); 14] = [
            ("192.0.2.1", port, 0),
            ("10.42.1.1", port, 0),
            ("192.0.2.2", port, 1),
            ("10.42.2.1", port, 1),
            (FURTHER[0], port, 1),
            ("10.43.0.1", 53, 0),
            ("10.43.0.2", 53, 1),
            ("10.43.0.3", 53, 1),
            ("fd99::1", port, 0),
            ("fd42:0:0:1::1", port, 0),
            ("fd99::2", port, 1),
            (FURTHER[1], port, 1),
            ("fd43::2", 53, 1),
            ("fd43::3", 53, 1),
        ];
        let victims = [Capture::open(&one.pods[0]), Capture::open(&two.pods[0])];
        for (way, port, target) in ways {
            for (ipv4, strangers) in [(true, "10.42.3.2"), (false, "fd42:0:0:3::2")] {
                let victim = cluster.nodes[target].pod_ip(ipv4);
                let node = &cluster.nodes[target].name;
                let forged = tunnelled(backend, node, at(strangers), victim);
                let way = SocketAddr::new(at(way), port);
                // From a port that is the tunnel's own, too, and more than once: neighbours may have to be found.
                for from in [0, backend.port().unwrap(), 0] {
                    send_from(&one.pods[0], any(way.ip(), from), way, &forged);
                }
                // The only permitted sender is the other node's pod.
                let genuine = [1, 0][target];
                let to = SocketAddr::new(victim, 9);
                send_from(&cluster.nodes[genuine].pods[0], any(victim, 0), to, b"genuine");
                let what = format!("{backend} over IPv6 {over_ipv6}: by {way}");
                comes_alone(&victims[target], &what, cluster.nodes[genuine].pod_ip(ipv4), victim);
            }
        }
    }
}

#[test]
fn tunnels_take_from_each_node_what_is_its_own() {
    for over_ipv6 in [false, true] {
        let cluster = cluster(BackendType::Vxlan, over_ipv6);
        let [one, two, _] = &cluster.nodes[..] else { panic!("three nodes") };
        let victims = Capture::open(&two.pods[0]);
        let (stranger, to) = match over_ipv6 {
            false => ("192.0.2.99", "192.0.2.2:8472"),
            true => ("fd99::99", "[fd99::2]:8472"),
        };
        let nodad = if over_ipv6 { " nodad" } else { "" };
        let length = if over_ipv6 { 64 } else { 24 };
        ip(&cluster.underlay, &format!("addr add {stranger}/{length} dev br0{nodad}"));
        let to: SocketAddr = to.parse().unwrap();
        for (ipv4, [first, third, own, gateway]) in [
            (true, ["10.42.1.77", "10.42.3.2", "10.42.2.9", "10.42.2.1"]),
            (false, ["fd42:0:0:1::77", "fd42:0:0:3::2", "fd42:0:0:2::9", "fd42:0:0:2::1"]),
        ] {
            let victim = two.pod_ip(ipv4);
            let genuine = wrapped("node2", one.pod_ip(ipv4), victim);
            // A machine outside the cluster that uses a node's name.
            for source in [first, third] {
                let from = SocketAddr::new(at(stranger), 0);
                send_from(&cluster.underlay, from, to, &wrapped("node2", at(source), victim));
            }
            // A node that sends with the addresses of another node, of this node's pods, of this node, and of an
            // external host.
            let outside = if ipv4 { "198.51.100.7" } else { "2001:db8::7" };
            let this = if ipv4 { "192.0.2.2" } else { "fd99::2" };
            for source in [third, own, gateway, this, outside] {
                send_from(&one.host, any(to.ip(), 0), to, &wrapped("node2", at(source), victim));
            }
            // A hand-made packet is accepted if everything is right.
            send_from(&one.host, any(to.ip(), 0), to, &genuine);
            comes_alone(&victims, &format!("over IPv6 {over_ipv6}"), one.pod_ip(ipv4), victim);
        }
    }
}

#[test]
fn addresses_of_pods_come_only_from_where_they_are() {
    for backend in [BackendType::Vxlan, BackendType::HostGw, BackendType::Udp] {
        let cluster = cluster(backend, false);
        let [one, two, _] = &cluster.nodes[..] else { panic!("three nodes") };
        // A machine on another link of node 2, whose reverse path filters let everything in.
        let stranger = NetNs::create().unwrap();
        hostnet::testing::link(&two.host, "198.51.100.1/24", &stranger, "198.51.100.2/24", "up1");
        let no_filter = || async {
            for link in ["all", "up0", "up1"] {
                std::fs::write(format!("/proc/sys/net/ipv4/conf/{link}/rp_filter"), "0").unwrap();
            }
        };
        two.host.block_on(no_filter).unwrap();
        ip(&two.host, "addr add fd98::1/64 dev up1 nodad");
        ip(
            &stranger,
            "addr add fd98::2/64 dev up1 nodad\n route add 10.42.0.0/16 via 198.51.100.1\n
             -6 route add fd42::/48 via fd98::1",
        );
        let victims = Capture::open(&two.pods[0]);
        for (ipv4, sources) in [
            (true, ["10.42.1.2", "10.42.3.7", "10.42.2.7", "10.42.200.1"]),
            (false, ["fd42:0:0:1::2", "fd42:0:0:3::7", "fd42:0:0:2::7", "fd42:0:0:200::1"]),
        ] {
            let to = SocketAddr::new(two.pod_ip(ipv4), 9);
            for source in sources {
                let nodad = if ipv4 { "" } else { " nodad" };
                ip(&stranger, &format!("addr add {source} dev lo{nodad}"));
                for _ in 0..3 {
                    send_from(&stranger, SocketAddr::new(at(source), 0), to, b"forged");
                }
                ip(&stranger, &format!("addr del {source}/{} dev lo", if ipv4 { 32 } else { 128 }));
            }
            let own = at(if ipv4 { "198.51.100.2" } else { "fd98::2" });
            send_from(&stranger, SocketAddr::new(own, 0), to, b"genuine");
            comes_alone(&victims, &backend.to_string(), own, to.ip());
            send_from(&one.pods[0], any(to.ip(), 0), to, b"genuine");
            comes_alone(&victims, &backend.to_string(), one.pod_ip(ipv4), to.ip());
        }
    }
}

#[test]
fn a_restart_without_the_api_server_cuts_no_node_off() {
    let mut cluster = cluster(BackendType::Vxlan, false);
    cluster.nodes[1].stop();
    let two = cluster.nodes.remove(1);
    let listed = || async { nft::output(&["list", "table", "inet", "ironhull-pods"]).await.unwrap() };
    let before = two.host.block_on(listed).unwrap();
    // Only the node's own part, which knows no other nodes yet.
    let network = two.host.block_on(|| once_free(async || LocalNetwork::new(two.config()).await)).unwrap();
    assert_eq!(two.host.block_on(listed).unwrap(), before);
    let _server = hostnet::testing::Greeter::tcp(&two.pods[0], "[::]:80".parse().unwrap(), "pod");
    assert_eq!(answer(&cluster.nodes[0].pods[0], "10.42.2.2:80".parse().unwrap()), "10.42.1.2");
    drop(network);
    cluster.nodes.insert(1, two);
    // Packets of a node that has left are dropped.
    let key = object::ObjectKey::cluster("node3");
    cluster.server.wait(cluster.server.remove::<k8s_openapi::api::core::v1::Node>(&key));
    let one = &cluster.nodes[0];
    eventually("node 3 is forgotten", || {
        let text = one.host.block_on(listed).unwrap();
        if text.contains("192.0.2.3") || text.contains("0xa2a0300") { Err(text) } else { Ok(()) }
    });
    assert!(one.host.block_on(listed).unwrap().contains("192.0.2.2 . 0xa2a0200-0xa2a02ff"));
}
