//! The rules as the kernel applies them, with clients and endpoints in separate namespaces.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use hostnet::NetNs;
use hostnet::testing::{Greeter, ask_tcp, ask_udp, ask_udp_from, ip, link};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::json;
use tokio::net::UdpSocket;

use super::*;

/// A node (192.0.2.1, fd99::1) with three pods on it, and a client outside of the cluster.
///
/// Pod `i` has 10.42.`i`.2 and fd42:0:0:`i`::2 and answers with its number and the client's address.
struct Cluster {
    node: NetNs,
    pods: Vec<NetNs>,
    outside: NetNs,
    _servers: Vec<Greeter>,
}

impl Cluster {
    fn new() -> Cluster {
        let (node, outside) = (NetNs::create().unwrap(), NetNs::create().unwrap());
        link(&node, "192.0.2.1/24", &outside, "192.0.2.9/24", "up0");
        ip(&node, "addr add fd99::1/64 dev up0 nodad\n route add default via 192.0.2.9");
        ip(&outside, "addr add fd99::9/64 dev up0 nodad\n route add 10.43.0.0/16 via 192.0.2.1");
        ip(&outside, "route add 198.51.100.0/24 via 192.0.2.1");
        node.block_on(|| async {
            for setting in
                ["net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/ipv6/conf/all/forwarding"]
            {
                std::fs::write(format!("/proc/sys/{setting}"), "1").unwrap();
            }
        })
        .unwrap();
        let mut servers = Vec::new();
        let pods = (0..3).map(|number| {
            let pod = NetNs::create().unwrap();
            let name = format!("pod{number}");
            link(&node, &format!("10.42.{number}.1/24"), &pod, &format!("10.42.{number}.2/24"), &name);
            ip(&node, &format!("addr add fd42:0:0:{number}::1/64 dev {name} nodad"));
            ip(&pod, &format!("addr add fd42:0:0:{number}::2/64 dev {name} nodad"));
            ip(
                &pod,
                &format!(
                    "route add default via 10.42.{number}.1\n -6 route add default via fd42:0:0:{number}::1"
                ),
            );
            let any = "[::]:80".parse().unwrap();
            servers.push(Greeter::tcp(&pod, any, &number.to_string()));
            servers.push(Greeter::udp(&pod, any, &number.to_string()));
            pod
        });
        let pods = pods.collect();
        Cluster { node, pods, outside, _servers: servers }
    }

    fn apply(&self, proxier: &mut Proxier) {
        self.node.block_on(|| async { proxier.sync().await.unwrap() }).unwrap();
    }

    fn proxier(&self, spec: serde_json::Value, protocol: &str, endpoints: &[(&str, &str, &str)]) -> Proxier {
        let mut proxier = Proxier::new(&config());
        proxier.service_changed(&web(), service(spec));
        proxier.endpoint_slice_changed(&web_slice(), slice(protocol, endpoints));
        self.apply(&mut proxier);
        proxier
    }

    /// Replaces the endpoints and applies.
    fn endpoints(&self, proxier: &mut Proxier, protocol: &str, endpoints: &[(&str, &str, &str)]) {
        proxier.endpoint_slice_changed(&web_slice(), slice(protocol, endpoints));
        self.apply(proxier);
    }
}

/// How often which pod answered, in `count` connections.
fn answers(client: &NetNs, address: &str, count: usize) -> BTreeMap<String, usize> {
    let address: SocketAddr = address.parse().unwrap();
    let ask = || async {
        let mut all = BTreeMap::new();
        for _ in 0..count {
            let answer = ask_tcp(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
            *all.entry(answer.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
        all
    };
    client.block_on(ask).unwrap()
}

fn ask(client: &NetNs, address: &str) -> Result<String, io::ErrorKind> {
    let address = address.parse().unwrap();
    client.block_on(|| async move { ask_tcp(address).await.map_err(|e| e.kind()) }).unwrap()
}

/// The client's address, as the server saw it.
fn seen(client: &NetNs, address: &str) -> String {
    let answer = ask(client, address).unwrap();
    answer.split(' ').nth(1).unwrap().trim_start_matches("::ffff:").to_owned()
}

const ALL: [(&str, &str, &str); 3] =
    [("10.42.0.2", "here", "ready"), ("10.42.1.2", "here", "ready"), ("10.42.2.2", "here", "ready")];

#[test]
fn connections_are_spread_over_the_endpoints_from_everywhere() {
    let cluster = Cluster::new();
    let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]});
    let mut proxier = cluster.proxier(spec, "TCP", &ALL);
    for (client, address) in [
        (&cluster.node, "10.43.0.5:80"),
        (&cluster.pods[0], "10.43.0.5:80"),
        (&cluster.outside, "10.43.0.5:80"),
        (&cluster.node, "127.0.0.1:30080"),
        (&cluster.node, "192.0.2.1:30080"),
        (&cluster.node, "10.42.1.1:30080"),
        (&cluster.pods[1], "192.0.2.1:30080"),
        (&cluster.outside, "192.0.2.1:30080"),
    ] {
        let spread = answers(client, address, 60);
        // Below 4 of 60 for one of three has a chance of about one in a million.
        assert!(spread.len() == 3 && spread.values().all(|n| *n >= 4), "{address}: {spread:?}");
    }
    cluster.endpoints(&mut proxier, "TCP", &ALL[1..2]);
    assert_eq!(answers(&cluster.pods[0], "10.43.0.5:80", 5), BTreeMap::from([("1".to_owned(), 5)]));
    assert_eq!(seen(&cluster.pods[0], "10.43.0.5:80"), "10.42.0.2", "pods keep their address");
    assert_eq!(seen(&cluster.outside, "10.43.0.5:80"), "10.42.1.1", "others come back by the node");
    assert_eq!(seen(&cluster.outside, "192.0.2.1:30080"), "10.42.1.1");
    assert_eq!(seen(&cluster.pods[1], "10.43.0.5:80"), "10.42.1.1", "a pod reaches itself by the node");
    cluster.endpoints(&mut proxier, "TCP", &[]);
    for client in [&cluster.node, &cluster.pods[0], &cluster.outside] {
        for address in ["10.43.0.5:80", "192.0.2.1:30080"] {
            assert_eq!(
                ask(client, address),
                Err(io::ErrorKind::ConnectionRefused),
                "{address} without endpoints"
            );
        }
    }
    cluster.endpoints(&mut proxier, "TCP", &ALL);
    for client in [&cluster.node, &cluster.pods[0]] {
        assert_eq!(
            ask(client, "10.43.0.5:81"),
            Err(io::ErrorKind::ConnectionRefused),
            "a port nobody serves"
        );
    }
    let terminating = [("10.42.0.2", "here", "not ready"), ("10.42.2.2", "here", "serving")];
    cluster.endpoints(&mut proxier, "TCP", &terminating);
    assert_eq!(answers(&cluster.node, "10.43.0.5:80", 5), BTreeMap::from([("2".to_owned(), 5)]));
}

#[test]
fn a_client_with_affinity_stays_where_it_was() {
    let cluster = Cluster::new();
    let spec = json!({
        "type": "NodePort", "sessionAffinity": "ClientIP", "ports": [{"port": 80, "nodePort": 30080}],
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
    });
    let mut proxier = cluster.proxier(spec, "TCP", &ALL);
    let first = answers(&cluster.outside, "10.43.0.5:80", 20);
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(answers(&cluster.outside, "192.0.2.1:30080", 20), first, "by whatever address");
    let gone: usize = first.keys().next().unwrap().parse().unwrap();
    let rest: Vec<_> = ALL.iter().enumerate().filter(|(n, _)| *n != gone).map(|(_, e)| *e).collect();
    cluster.endpoints(&mut proxier, "TCP", &rest);
    let second = answers(&cluster.outside, "10.43.0.5:80", 20);
    assert!(second.len() == 1 && second.keys().ne(first.keys()), "{first:?} then {second:?}");
    cluster.endpoints(&mut proxier, "TCP", &ALL);
    assert_eq!(answers(&cluster.outside, "10.43.0.5:80", 20), second, "a new endpoint takes no client away");
}

#[test]
fn local_policies_keep_traffic_on_the_node() {
    let cluster = Cluster::new();
    let spec = json!({
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "externalIPs": ["198.51.100.1"],
        "ports": [{"port": 80, "nodePort": 30080}],
        "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.2"}]}},
    });
    let mixed = [("10.42.0.2", "here", "ready"), ("10.42.1.2", "there", "ready")];
    let mut proxier = cluster.proxier(spec, "TCP", &mixed);
    for address in ["192.0.2.1:30080", "198.51.100.1:80", "198.51.100.2:80"] {
        assert_eq!(
            answers(&cluster.outside, address, 12),
            BTreeMap::from([("0".to_owned(), 12)]),
            "{address}"
        );
        assert_eq!(seen(&cluster.outside, address), "192.0.2.9", "{address}: the client's address is kept");
        assert_eq!(answers(&cluster.pods[2], address, 40).len(), 2, "{address}: pods reach all endpoints");
        assert_eq!(answers(&cluster.node, address, 40).len(), 2, "{address}: the node reaches all endpoints");
    }
    cluster.endpoints(&mut proxier, "TCP", &mixed[1..]);
    assert_eq!(
        ask(&cluster.outside, "192.0.2.1:30080"),
        Err(io::ErrorKind::TimedOut),
        "dropped, not refused"
    );
    assert_eq!(answers(&cluster.pods[2], "192.0.2.1:30080", 1).len(), 1);
    proxier.service_changed(&web(), service(json!({"internalTrafficPolicy": "Local"})));
    cluster.endpoints(&mut proxier, "TCP", &mixed);
    assert_eq!(answers(&cluster.pods[2], "10.43.0.5:80", 12), BTreeMap::from([("0".to_owned(), 12)]));
}

#[test]
fn source_ranges_limit_the_load_balancer_only() {
    let cluster = Cluster::new();
    let spec = |range: &str| {
        json!({
            "type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}],
            "loadBalancerSourceRanges": [range],
            "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.2"}, {"ip": "198.51.100.3", "ipMode": "Proxy"}]}},
        })
    };
    let mut proxier = cluster.proxier(spec("203.0.113.0/24"), "TCP", &ALL);
    assert_eq!(ask(&cluster.outside, "198.51.100.2:80"), Err(io::ErrorKind::TimedOut));
    assert!(ask(&cluster.outside, "192.0.2.1:30080").is_ok());
    proxier.service_changed(&web(), service(spec("192.0.2.0/24")));
    cluster.apply(&mut proxier);
    assert!(ask(&cluster.outside, "198.51.100.2:80").is_ok());
}

#[test]
fn udp_clients_leave_endpoints_that_are_gone() {
    let cluster = Cluster::new();
    let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080, "protocol": "UDP"}]});
    let mut proxier = cluster.proxier(spec, "UDP", &ALL[..1]);
    let addresses: [SocketAddr; 2] = ["10.43.0.5:80", "192.0.2.1:30080"].map(|a| a.parse().unwrap());
    let sockets = cluster.pods[2]
        .block_on(|| async {
            let mut sockets = Vec::new();
            for address in addresses {
                let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
                let answer = ask_udp_from(&socket, address).await;
                assert!(
                    answer.as_ref().is_ok_and(|answer| answer.starts_with("0 ")),
                    "{address}: {answer:?}"
                );
                sockets.push(socket.into_std().unwrap());
            }
            sockets
        })
        .unwrap();
    cluster.endpoints(&mut proxier, "UDP", &ALL[1..2]);
    cluster.pods[2]
        .block_on(|| async {
            for (socket, address) in sockets.into_iter().zip(addresses) {
                let socket = UdpSocket::from_std(socket).unwrap();
                let answer = ask_udp_from(&socket, address).await.unwrap();
                assert!(answer.starts_with("1 "), "the flow was led on: {answer}");
            }
            assert!(ask_udp(addresses[0]).await.unwrap().starts_with("1 "));
        })
        .unwrap();
}

#[test]
fn both_families_are_served() {
    let cluster = Cluster::new();
    let mut config = config();
    config.cluster_subnets.push("fd42::/56".parse().unwrap());
    let mut proxier = Proxier::new(&config);
    proxier.service_changed(&web(), service(json!({
        "type": "NodePort", "clusterIPs": ["10.43.0.5", "fd43::5"], "ports": [{"port": 80, "nodePort": 30080}],
        "sessionAffinity": "ClientIP",
    })));
    let v6 = [("fd42:0:0:0::2", "here", "ready"), ("fd42:0:0:1::2", "here", "ready")];
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &v6));
    cluster.apply(&mut proxier);
    ip(&cluster.node, "-6 route add default via fd99::9");
    assert_eq!(answers(&cluster.pods[0], "[fd43::5]:80", 20).len(), 1);
    assert_eq!(answers(&cluster.outside, "[fd99::1]:30080", 20).len(), 1);
    assert_eq!(ask(&cluster.pods[0], "10.43.0.5:80"), Err(io::ErrorKind::ConnectionRefused));
    let mut without = Service::clone(&service(json!({"clusterIPs": ["fd43::5"]})).unwrap());
    without.spec.as_mut().unwrap().session_affinity = None;
    proxier.service_changed(&web(), Some(Arc::new(without)));
    cluster.apply(&mut proxier);
    assert_eq!(answers(&cluster.pods[0], "[fd43::5]:80", 40).len(), 2);
}

#[test]
fn after_a_failed_transaction_all_is_written_anew() {
    let cluster = Cluster::new();
    let mut proxier = cluster.proxier(json!({}), "TCP", &ALL[..1]);
    cluster
        .node
        .block_on(|| async {
            reset("ironhull-services", Path::new("/nonexistent")).await.unwrap();
            proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &ALL[..2]));
            assert!(matches!(proxier.sync().await, Err(NftError::Refused { .. })));
            proxier.sync().await.unwrap();
            proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &ALL));
            proxier.sync().await.unwrap();
        })
        .unwrap();
    assert_eq!(answers(&cluster.pods[0], "10.43.0.5:80", 60).len(), 3);
    cluster
        .node
        .block_on(|| async {
            reset("ironhull-services", Path::new("/nonexistent")).await.unwrap();
            assert_eq!(nft::output(&["list", "tables"]).await.unwrap(), "");
        })
        .unwrap();
}

#[test]
fn addresses_of_the_service_network_that_nobody_has_are_refused() {
    let cluster = Cluster::new();
    let mut config = config();
    config.service_subnets.push("10.43.0.0/16".parse().unwrap());
    let mut proxier = Proxier::new(&config);
    proxier.service_changed(&web(), service(json!({})));
    proxier.endpoint_slice_changed(&web_slice(), slice("TCP", &ALL));
    cluster.apply(&mut proxier);
    for client in [&cluster.node, &cluster.pods[0], &cluster.outside] {
        assert_eq!(ask(client, "10.43.77.1:80"), Err(io::ErrorKind::ConnectionRefused));
        assert!(ask(client, "10.43.0.5:80").is_ok());
    }
}

#[test]
fn one_port_serves_tcp_and_udp() {
    let cluster = Cluster::new();
    let mut proxier = Proxier::new(&config());
    let both = json!([{"name": "t", "port": 80}, {"name": "u", "port": 80, "protocol": "UDP"}]);
    proxier.service_changed(&web(), service(json!({"ports": both})));
    let mut of_both = EndpointSlice::clone(&slice("TCP", &ALL[..1]).unwrap());
    let ports = json!([{"name": "t", "port": 80}, {"name": "u", "port": 80, "protocol": "UDP"}]);
    of_both.ports = serde_json::from_value(ports).unwrap();
    proxier.endpoint_slice_changed(&web_slice(), Some(Arc::new(of_both)));
    cluster.apply(&mut proxier);
    let udp = |client: &NetNs| {
        client
            .block_on(|| async { ask_udp("10.43.0.5:80".parse().unwrap()).await.map_err(|e| e.kind()) })
            .unwrap()
    };
    for client in [&cluster.node, &cluster.pods[2]] {
        assert!(ask(client, "10.43.0.5:80").unwrap().starts_with("0 "));
        assert!(udp(client).unwrap().starts_with("0 "));
    }
    proxier
        .service_changed(&web(), service(json!({"ports": [{"name": "u", "port": 80, "protocol": "UDP"}]})));
    cluster.apply(&mut proxier);
    assert_eq!(ask(&cluster.pods[2], "10.43.0.5:80"), Err(io::ErrorKind::ConnectionRefused));
    assert!(udp(&cluster.pods[2]).unwrap().starts_with("0 "));
}

/// Kernels may lack SCTP sockets, while packet rules and connection tracking know SCTP: the client sends the first
/// packet of an association by a raw socket, and the server inspects incoming packets.
#[test]
fn sctp_is_translated() {
    let cluster = Cluster::new();
    let mut proxier = Proxier::new(&config());
    let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080, "protocol": "SCTP"}]});
    proxier.service_changed(&web(), service(spec));
    let mut of_pod = EndpointSlice::clone(&slice("SCTP", &ALL[1..2]).unwrap());
    of_pod.ports.as_mut().unwrap()[0].port = Some(3868);
    proxier.endpoint_slice_changed(&web_slice(), Some(Arc::new(of_pod)));
    cluster.apply(&mut proxier);
    for (client, to, port, source) in [
        (&cluster.pods[2], "10.43.0.5", 80, "10.42.2.2"),
        (&cluster.outside, "192.0.2.1", 30080, "10.42.1.1"),
    ] {
        let server = cluster.pods[1].block_on(|| async { raw_sctp() }).unwrap();
        client.block_on(|| async { send_init(&raw_sctp(), to, port) }).unwrap();
        let packet = receive(&server);
        assert_eq!(packet[12..16], source.parse::<std::net::Ipv4Addr>().unwrap().octets(), "to {to}");
        assert_eq!(packet[16..20], [10, 42, 1, 2]);
        assert_eq!(u16::from_be_bytes([packet[22], packet[23]]), 3868);
    }
}

fn raw_sctp() -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Sctp).unwrap();
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(10)).unwrap();
    socket
}

/// Sends the first packet of an association (RFC 9260, sections 3.1 and 3.3.2).
fn send_init(socket: &OwnedFd, to: &str, port: u16) {
    let mut packet = Vec::from(5000u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    // Tag and checksum; chunk INIT of 20 bytes; its tag, window, streams out and in, and first number.
    packet.extend([0; 8]);
    packet.extend([1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let checksum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&checksum);
    let to = SockaddrIn::from(SocketAddrV4::new(to.parse().unwrap(), 0));
    sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty()).unwrap();
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// The next packet, from its IPv4 header on.
fn receive(socket: &OwnedFd) -> Vec<u8> {
    let mut buffer = [0; 256];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("a packet comes");
    buffer[..length].to_vec()
}

#[test]
fn a_service_may_have_hundreds_of_ports() {
    let cluster = Cluster::new();
    let mut proxier = Proxier::new(&config());
    let port = |number: u16| json!({"name": format!("p{number}"), "port": 1000 + number, "nodePort": 30000 + number});
    let ports: Vec<_> = (0..250).map(port).collect();
    proxier.service_changed(&web(), service(json!({"type": "NodePort", "ports": ports})));
    let mut of_all = EndpointSlice::clone(&slice("TCP", &ALL).unwrap());
    let ports: Vec<_> = (0..250).map(|number| json!({"name": format!("p{number}"), "port": 80})).collect();
    of_all.ports = serde_json::from_value(json!(ports)).unwrap();
    proxier.endpoint_slice_changed(&web_slice(), Some(Arc::new(of_all)));
    cluster.apply(&mut proxier);
    for address in ["10.43.0.5:1000", "10.43.0.5:1249", "192.0.2.1:30000", "192.0.2.1:30249"] {
        assert!(ask(&cluster.outside, address).is_ok(), "{address}");
    }
    assert_eq!(ask(&cluster.pods[0], "10.43.0.5:1250"), Err(io::ErrorKind::ConnectionRefused));
    proxier.service_changed(&web(), None);
    cluster.apply(&mut proxier);
    assert!(proxier.elements.all().is_empty());
}

/// A UDP client that began before the Service had an endpoint reaches the first one that appears.
#[test]
fn udp_flows_from_before_an_endpoint_find_it() {
    let cluster = Cluster::new();
    let spec = json!({
        "ports": [{"port": 80, "protocol": "UDP"}], "externalIPs": ["198.51.100.1"],
    });
    let mut proxier = Proxier::new(&config());
    cluster.apply(&mut proxier);
    let address: SocketAddr = "198.51.100.1:80".parse().unwrap();
    let send = || async {
        let socket = UdpSocket::bind("0.0.0.0:5555").await.unwrap();
        assert!(ask_udp_from(&socket, address).await.is_err(), "nobody serves yet");
        socket.into_std().unwrap()
    };
    let socket = cluster.pods[2].block_on(send).unwrap();
    proxier.service_changed(&web(), service(spec));
    proxier.endpoint_slice_changed(&web_slice(), slice("UDP", &ALL[..1]));
    cluster.apply(&mut proxier);
    let again = || async {
        let socket = UdpSocket::from_std(socket).unwrap();
        ask_udp_from(&socket, address).await.unwrap()
    };
    assert!(cluster.pods[2].block_on(again).unwrap().starts_with("0 "));
}

#[test]
fn node_ports_are_at_the_addresses_that_are_named() {
    let cluster = Cluster::new();
    ip(&cluster.node, "addr add 203.0.113.1/32 dev up0\n addr add fd99::5/64 dev up0 nodad");
    ip(&cluster.outside, "route add 203.0.113.1 via 192.0.2.1");
    let spec = json!({
        "clusterIP": "10.43.0.5", "clusterIPs": ["10.43.0.5", "fd43::5"], "type": "NodePort",
        "ports": [{"port": 80, "nodePort": 30080}],
    });
    let answering = |named: &[&str]| -> Vec<&str> {
        let mut config = config();
        config.cluster_subnets.push("fd42::/56".parse().unwrap());
        let named = named.iter().map(|network| network.parse().unwrap()).collect();
        config.node_port_addresses = tokio::sync::watch::Sender::new(named).subscribe();
        let mut proxier = Proxier::new(&config);
        proxier.service_changed(&web(), service(spec.clone()));
        for (name, address) in [("web-4", "10.42.0.2"), ("web-6", "fd42::2")] {
            let slice = slice("TCP", &[(address, "here", "ready")]);
            proxier.endpoint_slice_changed(&ServiceKey::new("default", name), slice);
        }
        cluster.apply(&mut proxier);
        let outside = ["192.0.2.1", "203.0.113.1", "[fd99::1]", "[fd99::5]"];
        let mut found: Vec<&str> = Vec::new();
        for address in outside {
            let answer = ask(&cluster.outside, &format!("{address}:30080"));
            match answer {
                Ok(_) => found.push(address),
                Err(error) => assert_eq!(error, io::ErrorKind::ConnectionRefused, "{address}"),
            }
        }
        // From the host itself, and from a pod.
        found.extend(ask(&cluster.node, "127.0.0.1:30080").ok().map(|_| "loopback"));
        found.extend(ask(&cluster.pods[1], "203.0.113.1:30080").ok().map(|_| "from a pod"));
        found
    };
    let all = ["192.0.2.1", "203.0.113.1", "[fd99::1]", "[fd99::5]", "loopback", "from a pod"];
    assert_eq!(answering(&[]), all);
    assert_eq!(answering(&["0.0.0.0/0", "192.0.2.0/24", "::/0"]), all);
    // Of a family that is not named, all.
    assert_eq!(answering(&["192.0.2.1/32"]), ["192.0.2.1", "[fd99::1]", "[fd99::5]"]);
    assert_eq!(
        answering(&["192.0.2.1/32", "127.0.0.0/8", "fd99::1/128"]),
        ["192.0.2.1", "[fd99::1]", "loopback"]
    );
    assert_eq!(answering(&["203.0.113.0/24", "fd99::5/128"]), ["203.0.113.1", "[fd99::5]", "from a pod"]);
    assert_eq!(answering(&["198.51.100.0/24", "fd00:1::/64"]), [""; 0]);
}

/// With `route_localnet`, which node ports at loopback need, the kernel itself would take such packets (CVE-2020-8558).
#[test]
fn loopback_addresses_of_the_node_are_out_of_reach_for_others() {
    let cluster = Cluster::new();
    let _own = Greeter::tcp(&cluster.node, "127.0.0.5:7000".parse().unwrap(), "own");
    let node_port = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]});
    let _proxier = cluster.proxier(node_port, "TCP", &ALL[1..]);
    for others in [&cluster.outside, &cluster.pods[0]] {
        others
            .block_on(|| async { std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1") })
            .unwrap()
            .unwrap();
        // A host without its own loopback addresses can route packets to them anywhere.
        ip(others, "addr del 127.0.0.1/8 dev lo");
    }
    ip(&cluster.outside, "route add 127.0.0.0/8 via 192.0.2.1");
    ip(&cluster.pods[0], "route add 127.0.0.0/8 via 10.42.0.1");
    for others in [&cluster.outside, &cluster.pods[0]] {
        for address in ["127.0.0.5:7000", "127.0.0.1:30080"] {
            assert_eq!(ask(others, address), Err(io::ErrorKind::TimedOut), "{address}");
        }
    }
    assert!(ask(&cluster.node, "127.0.0.5:7000").unwrap().starts_with("own"));
    assert!(ask(&cluster.node, "127.0.0.1:30080").is_ok());
}
