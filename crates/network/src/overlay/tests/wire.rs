//! The packets on the wire between nodes.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use hostnet::NetNs;
use ipnet::IpNet;

use super::env::{Cluster, eventually, output};
use crate::backend_type::BackendType;
use crate::overlay::mac::Mac;
use crate::testing::{Capture, datagram, ethernet, ip_packet};

/// A packet between pods, as it was found on the wire.
struct OnWire {
    /// The hardware addresses of the frame: destination and source.
    macs: (Mac, Mac),
    /// The inner hardware addresses, in VXLAN.
    inner_macs: Option<(Mac, Mac)>,
    frame_length: usize,
}

/// The packet from pod 1 to pod 2, unwrapped as the backend's wrapping is specified. `over` and `pods` are the ends of the
/// outer and the inner packet.
fn unwrap(
    backend: BackendType,
    frame: &[u8],
    over: (IpAddr, IpAddr),
    pods: (IpAddr, IpAddr),
) -> Option<OnWire> {
    let (destination, source, packet) = ethernet(frame)?;
    let outer = ip_packet(packet)?;
    let (inner, inner_macs) = match backend {
        BackendType::HostGw => (packet, None),
        BackendType::Udp => (datagram(&outer, 8285)?, None),
        _ => {
            let vxlan = datagram(&outer, 8472)?;
            // RFC 7348: the flag for a valid number, the number 1, nothing else.
            assert_eq!(vxlan[..8], [8, 0, 0, 0, 0, 0, 1, 0]);
            let (destination, source, packet) = ethernet(&vxlan[8..])?;
            (packet, Some((destination, source)))
        }
    };
    let inner = ip_packet(inner)?;
    if (inner.source, inner.destination) != pods {
        return None;
    }
    if backend != BackendType::HostGw {
        assert_eq!((outer.source, outer.destination), over);
    }
    Some(OnWire { macs: (destination, source), inner_macs, frame_length: frame.len() })
}

fn mac_of(node: &super::env::TestNode, device: &str) -> Mac {
    let text = node.output("ip", &format!("-o link show {device}"));
    text.split("link/ether ").nth(1).unwrap()[..17].parse().unwrap()
}

/// Sends a datagram of one size from a pod.
fn send(pod: &NetNs, to: IpAddr, payload: usize) -> std::io::Result<usize> {
    let work = || async move {
        let any = if to.is_ipv4() { "0.0.0.0" } else { "::" };
        let socket = UdpSocket::bind((any, 0))?;
        socket.send_to(&vec![7; payload], SocketAddr::new(to, 9))
    };
    pod.block_on(work).unwrap()
}

#[test]
fn each_backend_wraps_packets_of_both_families_as_it_says() {
    for (backend, over_ipv6, mtu) in [
        (BackendType::Vxlan, false, 1450),
        (BackendType::Vxlan, true, 1430),
        (BackendType::Udp, false, 1472),
        (BackendType::Udp, true, 1452),
        (BackendType::HostGw, false, 1500),
    ] {
        let cluster = Cluster::over(backend, 2, over_ipv6);
        let [one, two] = &cluster.nodes[..] else { panic!("two nodes") };
        let link = format!("mtu {mtu} ");
        let nodes = if over_ipv6 { ["fd99::1", "fd99::2"] } else { ["192.0.2.1", "192.0.2.2"] };
        let [from, to] = nodes.map(|address| address.parse::<IpAddr>().unwrap());
        for (ipv4, headers) in [(true, 28), (false, 48)] {
            cluster.seen(0, 1, ipv4);
            eventually("the pod's MTU", || {
                let text = output(&one.pods[0], "ip", "link show eth0");
                if text.contains(&link) { Ok(()) } else { Err(text) }
            });
            let capture = Capture::open(&cluster.underlay);
            let pods = (one.pod_ip(ipv4), two.pod_ip(ipv4));
            // The largest packet that a pod may send fills the wire's MTU to the last byte.
            send(&one.pods[0], pods.1, mtu - headers).unwrap();
            let what = format!("{backend} over IPv6 {over_ipv6}, pods of IPv4 {ipv4}");
            // Earlier packets are smaller: the test's own check that the path works.
            let found = capture.find(&what, |frame| {
                unwrap(backend, frame, (from, to), pods).filter(|found| found.frame_length >= 14 + 1500)
            });
            assert_eq!(found.frame_length, 14 + 1500, "{what}");
            assert_eq!(found.macs, (mac_of(two, "up0"), mac_of(one, "up0")), "{what}");
            let inner =
                (backend == BackendType::Vxlan).then(|| (mac_of(two, "ih-vxlan"), mac_of(one, "ih-vxlan")));
            assert_eq!(found.inner_macs, inner, "{what}");
        }
    }
}

#[test]
fn addresses_that_no_node_has_do_not_leave_the_host() {
    let strangers = ["10.42.200.9", "fd42:0:0:200::9"].map(|address| address.parse::<IpAddr>().unwrap());
    let cluster = Cluster::new(BackendType::Vxlan, 2);
    let [one, two] = &cluster.nodes[..] else { panic!("two nodes") };
    // Two limits share one bucket, and together let nothing through to a sender that tries again every second.
    let no_second_limit = || async { std::fs::write("/proc/sys/net/ipv4/icmp_ratemask", "0") };
    one.host.block_on(no_second_limit).unwrap().unwrap();
    let routes = |host: &NetNs| ["route show", "-6 route show"].map(|what| output(host, "ip", what)).concat();
    let ends = ["unreachable 10.42.0.0/16", "unreachable fd42::/48"];
    for backend in [BackendType::Vxlan, BackendType::HostGw, BackendType::Udp] {
        cluster.backend.send_replace(backend);
        cluster.seen(0, 1, true);
        for node in [one, two] {
            eventually("the ends of the pods' networks", || {
                let text = routes(&node.host);
                if ends.iter().all(|end| text.contains(end)) { Ok(()) } else { Err(text) }
            });
        }
        let capture = Capture::open(&cluster.underlay);
        for (place, address) in [&one.pods[0], &one.host].into_iter().flat_map(|p| strangers.map(|a| (p, a)))
        {
            // The kernel reports it to one sender once a second at most; IPv6 has a different message for it.
            let refused = [std::io::ErrorKind::HostUnreachable, std::io::ErrorKind::NetworkUnreachable];
            eventually(&format!("{backend}: {address} is unreachable"), || {
                let ask = || async move { hostnet::testing::ask_tcp(SocketAddr::new(address, 80)).await };
                match place.block_on(ask).unwrap() {
                    Err(error) if refused.contains(&error.kind()) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            });
        }
        // A later packet has passed; nothing was sent to other machines, wrapped or not.
        send(&one.pods[0], two.pod_ip(true), 1000).unwrap();
        let addresses = strangers.map(|address| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        });
        capture.find("the last packet", |frame| {
            let leaks = addresses.iter().any(|wanted| frame.windows(wanted.len()).any(|part| part == wanted));
            assert!(!leaks, "{backend}: {frame:?}");
            (frame.len() > 1000).then_some(())
        });
    }
    // Another program's route to the network takes precedence.
    hostnet::testing::ip(&one.host, "route add 10.42.0.0/16 via 192.0.2.254");
    assert!(output(&one.host, "ip", "route get 10.42.200.9").contains("via 192.0.2.254"));
    hostnet::testing::ip(&one.host, "route del 10.42.0.0/16 via 192.0.2.254");
    // If another program routes between nodes, there are no unreachable routes.
    cluster.backend.send_replace(BackendType::None);
    eventually("no ends", || {
        let text = routes(&one.host);
        if ends.iter().any(|end| text.contains(end)) { Err(text) } else { Ok(()) }
    });
}

#[test]
fn a_stream_of_full_segments_is_not_fragmented() {
    for backend in [BackendType::Vxlan, BackendType::Udp, BackendType::HostGw] {
        let cluster = Cluster::new(backend, 2);
        cluster.seen(0, 1, true);
        let capture = Capture::open(&cluster.underlay);
        let [one, two] = &cluster.nodes[..] else { panic!("two nodes") };
        let mut stream = super::backends::Stream::open(&one.pods[0], &two.pods[0], two.pod_ip(true));
        (0..4).for_each(|_| stream.exchange());
        let mut frames = 0;
        let fragment = capture.next(|frame| {
            frames += 1;
            let packet = ip_packet(ethernet(frame)?.2)?;
            // Neither fragments nor errors about packets that are too large.
            let too_large = packet.protocol == 1 && packet.payload.first() == Some(&3);
            (packet.is_fragment || too_large).then(|| format!("{} to {}", packet.source, packet.destination))
        });
        assert_eq!(fragment, None, "{backend}");
        assert!(frames > 20, "{backend}: {frames} frames");
    }
}

#[test]
fn packets_of_strangers_do_not_come_in() {
    let cluster = Cluster::new(BackendType::Udp, 2);
    cluster.seen(0, 1, true);
    let two = &cluster.nodes[1];
    // A packet that a pod of node 1 could send, but from a machine that is not a node.
    let pods: [IpNet; 2] = ["10.42.1.2/32".parse().unwrap(), "10.42.2.2/32".parse().unwrap()];
    let [IpAddr::V4(source), IpAddr::V4(destination)] = pods.map(|net| net.addr()) else { panic!("IPv4") };
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend([source.octets(), destination.octets()].concat());
    packet.extend([0, 7, 0, 7, 0, 8, 0, 0]);
    hostnet::testing::ip(&cluster.underlay, "addr add 192.0.2.99/24 dev br0");
    let capture = Capture::open(&two.pods[0]);
    let forge = || async move {
        let socket = UdpSocket::bind(("192.0.2.99", 8285)).unwrap();
        socket.send_to(&packet, "192.0.2.2:8285").unwrap();
    };
    cluster.underlay.block_on(forge).unwrap();
    // A peer's packet that was sent later has arrived; the stranger's has not.
    cluster.seen(0, 1, true);
    let forged = capture.next(|frame| {
        let packet = ip_packet(ethernet(frame)?.2)?;
        (packet.protocol == 17 && packet.payload[..2] == [0, 7]).then_some(())
    });
    assert_eq!(forged, None);
}
