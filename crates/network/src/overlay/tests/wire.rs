//! What is seen on the wire between nodes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use hostnet::NetNs;
use ipnet::IpNet;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};

use super::env::{Cluster, eventually, output};
use crate::overlay::BackendType;
use crate::overlay::mac::Mac;

/// All frames on the links of a namespace.
struct Capture(OwnedFd);

impl Capture {
    fn open(namespace: &NetNs) -> Capture {
        let open = || async {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let all = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
            setsockopt(&all, sockopt::RcvBufForce, &(64 << 20)).unwrap();
            all
        };
        Capture(namespace.block_on(open).unwrap())
    }

    /// What came since the last call, until `wanted` finds what it looks for.
    fn find<T>(&self, what: &str, wanted: impl Fn(&[u8]) -> Option<T>) -> T {
        eventually(what, || self.next(&wanted).ok_or_else(|| "no such frame".to_owned()))
    }

    fn next<T>(&self, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let mut buffer = vec![0; 1 << 17];
        while let Ok(length) = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            if let Some(found) = wanted(&buffer[..length]) {
                return Some(found);
            }
        }
        None
    }
}

/// The parts of an IPv4 packet that the tests look at.
struct Ipv4<'p> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    is_fragment: bool,
    payload: &'p [u8],
}

fn ipv4(packet: &[u8]) -> Option<Ipv4<'_>> {
    let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    (packet.len() >= 20 && packet[0] >> 4 == 4).then(|| Ipv4 {
        source: address(12),
        destination: address(16),
        protocol: packet[9],
        is_fragment: u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0,
        payload: &packet[usize::from(packet[0] & 15) * 4..],
    })
}

/// Destination, source and content of an Ethernet frame that carries IPv4.
fn ethernet(frame: &[u8]) -> Option<(Mac, Mac, &[u8])> {
    let is_ipv4 = frame.get(12..14)? == [8, 0];
    is_ipv4.then_some((Mac::from_bytes(&frame[..6])?, Mac::from_bytes(&frame[6..12])?, &frame[14..]))
}

/// The content of a UDP datagram to `port`.
fn datagram<'p>(packet: &Ipv4<'p>, port: u16) -> Option<&'p [u8]> {
    let to_port = packet.protocol == 17 && packet.payload.get(2..4)? == port.to_be_bytes();
    to_port.then(|| &packet.payload[8..])
}

/// A packet between pods, as it was found on the wire.
struct OnWire {
    /// The hardware addresses of the frame: destination and source.
    macs: (Mac, Mac),
    /// The inner hardware addresses, in VXLAN.
    inner_macs: Option<(Mac, Mac)>,
    frame_length: usize,
}

/// The packet from pod 1 to pod 2, unwrapped as the backend's wrapping is specified.
fn unwrap(backend: BackendType, frame: &[u8]) -> Option<OnWire> {
    let (destination, source, packet) = ethernet(frame)?;
    let outer = ipv4(packet)?;
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
    let pods = ipv4(inner)?;
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    if backend != BackendType::HostGw {
        assert_eq!((outer.source, outer.destination), (ip("192.0.2.1"), ip("192.0.2.2")));
    }
    let is_ours = (pods.source, pods.destination) == (ip("10.42.1.2"), ip("10.42.2.2"));
    is_ours.then_some(OnWire { macs: (destination, source), inner_macs, frame_length: frame.len() })
}

fn mac_of(node: &super::env::TestNode, device: &str) -> Mac {
    let text = node.output("ip", &format!("-o link show {device}"));
    text.split("link/ether ").nth(1).unwrap()[..17].parse().unwrap()
}

/// Sends a datagram of one size from a pod.
fn send(pod: &NetNs, to: IpAddr, payload: usize) -> std::io::Result<usize> {
    let work = || async move {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.send_to(&vec![7; payload], SocketAddr::new(to, 9))
    };
    pod.block_on(work).unwrap()
}

#[test]
fn each_backend_wraps_packets_as_it_says() {
    for (backend, mtu) in [(BackendType::Vxlan, 1450), (BackendType::Udp, 1472), (BackendType::HostGw, 1500)]
    {
        let cluster = Cluster::new(backend, 2);
        let [one, two] = &cluster.nodes[..] else { panic!("two nodes") };
        cluster.seen(0, 1, true);
        let link = format!("mtu {mtu} ");
        eventually("the pod's MTU", || {
            let text = output(&one.pods[0], "ip", "link show eth0");
            if text.contains(&link) { Ok(()) } else { Err(text) }
        });
        let capture = Capture::open(&cluster.underlay);
        // The largest packet that a pod may send fills the wire's MTU to the last byte.
        send(&one.pods[0], two.pod_ip(true), mtu - 28).unwrap();
        let found = capture.find(&backend.to_string(), |frame| unwrap(backend, frame));
        assert_eq!(found.frame_length, 14 + 1500, "{backend}");
        assert_eq!(found.macs, (mac_of(two, "up0"), mac_of(one, "up0")), "{backend}");
        let inner =
            (backend == BackendType::Vxlan).then(|| (mac_of(two, "ih-vxlan"), mac_of(one, "ih-vxlan")));
        assert_eq!(found.inner_macs, inner, "{backend}");
    }
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
            let packet = ipv4(ethernet(frame)?.2)?;
            // Neither pieces, nor complaints about packets that were too large.
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
    // The first packet that a pod of node 1 could send, but sent by a machine that is no node.
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
    // A packet of a peer that was sent later has come; the stranger's has not.
    cluster.seen(0, 1, true);
    let forged = capture.next(|frame| {
        let packet = ipv4(ethernet(frame)?.2)?;
        (packet.protocol == 17 && packet.payload[..2] == [0, 7]).then_some(())
    });
    assert_eq!(forged, None);
}
