//! Pods with forged addresses.

use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt, socket,
    sockopt,
};

use super::*;
use crate::testing::{Capture, comes_alone, once_free, send_from};

const OWN: [&str; 2] = ["10.42.0.2", "fd42::2"];
/// Addresses of another pod, of the gateway, of the host, of a Service, of a pod of another node and of an external
/// host.
const OTHERS: [&str; 14] = [
    "10.42.0.4",
    "10.42.0.1",
    "192.0.2.1",
    "10.43.0.10",
    "10.42.9.9",
    "192.0.2.9",
    "198.51.100.7",
    "fd42::4",
    "fd42::1",
    "fd99::1",
    "fd43::10",
    "fd42:0:0:9::9",
    "fd99::9",
    "2001:db8::7",
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Sends from an address that the pod, which may change its own network, gives itself.
fn forge(pod: &NetNs, source: IpAddr, to: SocketAddr, payload: &[u8]) {
    let nodad = if source.is_ipv6() { " nodad" } else { "" };
    ip(pod, &format!("addr add {source} dev eth0{nodad}"));
    send_from(pod, at(source, 0), to, payload);
    let length = if source.is_ipv4() { 32 } else { 128 };
    ip(pod, &format!("addr del {source}/{length} dev eth0"));
}

/// Lets the pod send from every other address, and last from its own, to the two addresses of a receiver.
fn forge_all(pod: &NetNs, to: [IpAddr; 2], capture: &Capture, what: &str) {
    for (own, to) in OWN.map(address).into_iter().zip(to) {
        let of_family = OTHERS.map(address).into_iter().filter(|other| other.is_ipv4() == own.is_ipv4());
        // No machine speaks to itself from outside.
        for source in of_family.filter(|source| *source != to) {
            forge(pod, source, at(to, 9), b"forged");
        }
        send_from(pod, at(own, 0), at(to, 9), b"genuine");
        comes_alone(capture, what, own, to);
    }
}

/// As in a separate test, but with the network and pods at 10.42.0.2 to 10.42.0.4.
fn with_pods(test: impl AsyncFnOnce(&Host, LocalNetwork, &[NetNs; 3]) + Send) {
    let env = Host::new();
    let host = NetNs::open(&env.host.path()).unwrap();
    let work = || async move {
        let network = LocalNetwork::new(env.config()).await.unwrap();
        let pods = [0, 1, 2].map(|_| NetNs::create().unwrap());
        for (number, pod) in pods.iter().enumerate() {
            // New links have a usable link-local address at once.
            let quick = || async { std::fs::write("/proc/sys/net/ipv6/conf/default/dad_transmits", "0") };
            pod.block_on(quick).unwrap().unwrap();
            network.setup(&pod.path(), &format!("pod-{number}"), &[]).await.unwrap();
        }
        test(&env, network, &pods).await;
    };
    host.block_on(work).unwrap();
}

#[test]
fn only_its_own_addresses_enter_from_a_pod() {
    with_pods(async |env, network, [pod, other, _third]| {
        let (victim, world) = (Capture::open(other), Capture::open(&env.outside));
        forge_all(pod, ["10.42.0.3", "fd42::3"].map(address), &victim, "another pod");
        // Forwarded packets get the host's address.
        ip(&env.outside, "route add 10.42.0.0/24 via 192.0.2.1\n -6 route add fd42::/64 via fd99::1");
        network.keep_source_towards(["192.0.2.9", "fd99::9"].map(address).into()).await.unwrap();
        forge_all(pod, ["192.0.2.9", "fd99::9"].map(address), &world, "somebody outside");
        // A link-local address of any form is dropped too.
        forge(pod, address("169.254.7.7"), parsed("10.42.0.3:9"), b"forged");
        send_from(pod, parsed("10.42.0.2:0"), parsed("10.42.0.3:9"), b"genuine");
        comes_alone(&victim, "link-local", address("10.42.0.2"), address("10.42.0.3"));
    });
}

#[test]
fn what_a_pod_forges_the_host_does_not_hear() {
    with_pods(async |_env, _network, [pod, ..]| {
        for (own, host) in OWN.map(address).into_iter().zip(["192.0.2.1", "fd99::1"].map(address)) {
            let socket = std::net::UdpSocket::bind(at(host, 9)).unwrap();
            let dhcp = std::net::UdpSocket::bind(at(host, if own.is_ipv4() { 68 } else { 546 })).unwrap();
            for source in OTHERS.map(address) {
                if source.is_ipv4() == own.is_ipv4() && source != host {
                    forge(pod, source, at(host, 9), b"forged");
                }
            }
            // Nor can a pod give the host an address, from its own.
            send_from(
                pod,
                at(own, if own.is_ipv4() { 67 } else { 547 }),
                dhcp.local_addr().unwrap(),
                b"offer",
            );
            send_from(pod, at(own, 0), at(host, 9), b"genuine");
            assert_eq!(first_sender(&socket).await, own);
            dhcp.set_nonblocking(true).unwrap();
            assert_eq!(dhcp.recv_from(&mut [0; 16]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn a_pod_does_not_become_the_hosts_router() {
    with_pods(async |_env, _network, [pod, ..]| {
        let link = link_name("pod-0");
        let socket_at_host = std::net::UdpSocket::bind("[fd99::1]:9").unwrap();
        let text = output_of(&["-6", "addr", "show", "dev", &link, "scope", "link"]).await;
        let host = text.split_whitespace().find(|word| word.starts_with("fe80")).unwrap();
        let host: std::net::Ipv6Addr = host.split('/').next().unwrap().parse().unwrap();
        // An advertisement (RFC 4861): a router for half an hour, and a prefix for addresses.
        let mut advertisement = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        advertisement.extend([3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0]);
        advertisement.extend(address_bytes("fd66::"));
        let send = || async move {
            let index = nix::net::if_::if_nametoindex("eth0").unwrap();
            let raw = SockProtocol::IcmpV6;
            let socket = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, raw).unwrap();
            setsockopt(&socket, sockopt::Ipv6Ttl, &255).unwrap();
            let to = SockaddrIn6::from(std::net::SocketAddrV6::new(host, 0, 0, index));
            sendto(socket.as_raw_fd(), &advertisement, &to, MsgFlags::empty()).unwrap();
        };
        pod.block_on(send).unwrap();
        send_from(pod, parsed("[fd42::2]:0"), parsed("[fd99::1]:9"), b"last");
        first_sender(&socket_at_host).await;
        let routes = output_of(&["-6", "route"]).await;
        assert!(!routes.contains("proto ra") && !routes.contains("fd66::"), "{routes}");
        assert_eq!(sysctl::read(&format!("net/ipv6/conf/{link}/accept_ra")).unwrap(), "0");
    });
}

fn address_bytes(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// The sender of the first datagram that arrived.
async fn first_sender(socket: &std::net::UdpSocket) -> IpAddr {
    socket.set_nonblocking(true).unwrap();
    let socket = UdpSocket::from_std(socket.try_clone().unwrap()).unwrap();
    let received = async { socket.recv_from(&mut [0; 16]).await.unwrap().1.ip() };
    tokio::time::timeout(Duration::from_secs(20), received).await.unwrap()
}

async fn output_of(arguments: &[&str]) -> String {
    let output = tokio::process::Command::new("ip").args(arguments).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_pod_does_not_fill_the_hosts_neighbour_table() {
    with_pods(async |env, _network, [pod, ..]| {
        let capture = Capture::open(&env.host);
        // A pod that may change its network asks for the gateway, from addresses that it does not have.
        ip(pod, "neigh del 10.42.0.1 dev eth0\n neigh del fd42::1 dev eth0");
        for (source, gateway) in
            [("198.51.100.7", "10.42.0.1"), ("2001:db8::7", "fd42::1")].map(|(s, g)| (address(s), address(g)))
        {
            let nodad = if source.is_ipv6() { " nodad" } else { "" };
            ip(pod, &format!("addr add {source} dev eth0{nodad}"));
            send_from(pod, at(source, 0), at(gateway, 9), b"asks first");
            let bytes = match source {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            capture.find("a question for the gateway", |frame| {
                frame.windows(bytes.len()).any(|part| part == bytes).then_some(())
            });
        }
        let table = output_of(&["neigh", "show"]).await;
        assert!(!table.contains("198.51.100.7") && !table.contains("2001:db8::7"), "{table}");
    });
}

#[test]
fn without_packet_rules_pods_still_forge_no_ipv4_addresses() {
    with_pods(async |_env, _network, [pod, other, _third]| {
        let victim = Capture::open(other);
        nft::delete_tables(&[("inet", "ironhull-pods")]).await.unwrap();
        for source in OTHERS.map(address).into_iter().filter(IpAddr::is_ipv4) {
            forge(pod, source, parsed("10.42.0.3:9"), b"forged");
        }
        send_from(pod, parsed("10.42.0.2:0"), parsed("10.42.0.3:9"), b"genuine");
        comes_alone(&victim, "without rules", address("10.42.0.2"), address("10.42.0.3"));
    });
}

#[test]
fn links_of_a_former_version_are_hardened_when_they_are_adopted() {
    with_pods(async |env, network, _pods| {
        let link = link_name("pod-0");
        ip(&env.host, &format!("link set {link} arp on"));
        let setting = format!("/proc/sys/net/ipv6/conf/{link}/accept_ra");
        std::fs::write(&setting, "2").unwrap();
        drop(network);
        let _network = once_free(async || LocalNetwork::new(env.config()).await).await;
        assert_eq!(std::fs::read_to_string(setting).unwrap().trim(), "0");
        assert!(output_of(&["link", "show", &link]).await.contains("NOARP"));
    });
}
