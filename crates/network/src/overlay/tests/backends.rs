//! Tests for every backend.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use hostnet::NetNs;
use hostnet::testing::{Greeter, ip};

use super::env::{Cluster, answer, eventually, output, seen_as};
use crate::backend_type::BackendType;
use crate::overlay::peer;
use crate::reset;
use crate::testing::once_free;

const TUNNELS: [BackendType; 2] = [BackendType::Vxlan, BackendType::Udp];
const ALL: [BackendType; 3] = [BackendType::Vxlan, BackendType::HostGw, BackendType::Udp];

#[test]
fn pods_reach_pods_of_another_node_with_their_own_address() {
    let over = |backend| [(backend, false), (backend, true)];
    for (backend, over_ipv6) in ALL.into_iter().flat_map(over) {
        let cluster = Cluster::over(backend, 2, over_ipv6);
        assert_eq!(cluster.seen(0, 1, true), "10.42.1.2", "{backend}");
        assert_eq!(cluster.seen(1, 0, true), "10.42.2.2", "{backend}");
        assert_eq!(cluster.seen(0, 1, false), "fd42:0:0:1::2", "{backend}");
        assert_eq!(cluster.seen(1, 0, false), "fd42:0:0:2::2", "{backend}");
        let mtu = match (backend, over_ipv6) {
            (BackendType::Vxlan, false) => "mtu 1450",
            (BackendType::Vxlan, true) => "mtu 1430",
            (BackendType::Udp, false) => "mtu 1472",
            (BackendType::Udp, true) => "mtu 1452",
            _ => "mtu 1500",
        };
        for node in &cluster.nodes {
            eventually("the MTU of the pod's link", || {
                let link = output(&node.pods[0], "ip", "link show eth0");
                if link.contains(mtu) { Ok(()) } else { Err(link) }
            });
        }
        assert_eq!(cluster.annotation(0, peer::BACKEND_TYPE).unwrap(), backend.as_str());
        assert_eq!(cluster.annotation(0, peer::PUBLIC_IP).unwrap().split(',').count(), 2);
    }
}

#[test]
fn pods_and_nodes_of_different_machines_reach_each_other() {
    for backend in ALL {
        let cluster = Cluster::new(backend, 2);
        let [one, two] = &cluster.nodes[..] else { panic!("two nodes") };
        let server = Greeter::tcp(&two.host, "[::]:80".parse().unwrap(), "node");
        // A pod keeps its address towards another node, too, although reverse path filters are strict. Until the
        // other node is known, it sees this node's address.
        seen_as(&one.pods[0], "192.0.2.2:80", "10.42.1.2");
        seen_as(&one.pods[0], "[fd99::2]:80", "fd42:0:0:1::2");
        let pod = Greeter::tcp(&two.pods[0], "[::]:80".parse().unwrap(), "pod");
        let (seen, seen6) = match backend {
            BackendType::HostGw => ("192.0.2.1", "fd99::1"),
            _ => ("10.42.1.1", "fd42:0:0:1::1"),
        };
        assert_eq!(answer(&one.host, "10.42.2.2:80".parse().unwrap()), seen);
        assert_eq!(answer(&one.host, "[fd42:0:0:2::2]:80".parse().unwrap()), seen6);
        drop((server, pod));
    }
}

#[test]
fn what_somebody_deletes_comes_back() {
    for backend in TUNNELS {
        let cluster = Cluster::new(backend, 2);
        cluster.seen(0, 1, true);
        cluster.seen(1, 0, false);
        let one = &cluster.nodes[0];
        let device = if backend == BackendType::Vxlan { "ih-vxlan" } else { "ih-udp" };
        let state = |host: &NetNs| {
            let fdb = output(host, "bridge", &format!("fdb show dev {device}"));
            let neighbours = output(host, "ip", &format!("neigh show dev {device} nud permanent"));
            let rules = output(host, "ip", "rule show");
            let routes = output(host, "ip", "route show table all proto 73");
            [fdb, neighbours, rules, routes].concat()
        };
        let before = state(&one.host);
        let mtu = if backend == BackendType::Vxlan { "mtu 1450" } else { "mtu 1472" };
        let harms = [
            "route del 10.42.2.0/24",
            "route replace 10.42.2.0/24 via 192.0.2.254",
            "rule del priority 7373",
            "neigh flush dev DEVICE nud permanent",
            "route flush table 7373",
            "route del unreachable 10.42.0.0/16 metric 1000000",
            "link set DEVICE down",
            "link del DEVICE",
            "link set DEVICE mtu 1300",
            "addr flush dev DEVICE",
        ];
        for harm in harms.map(|harm| harm.replace("DEVICE", device)) {
            ip(&one.host, &harm);
            eventually(&harm, || {
                let now = state(&one.host);
                if now == before { Ok(()) } else { Err(format!("{before}\nis now\n{now}")) }
            });
            one.wait("ip", &format!("addr show {device}"), |text| {
                text.contains(mtu) && text.contains("10.42.1.1/32") && text.contains("fd42:0:0:1::1/128")
            });
            cluster.seen(0, 1, true);
            cluster.seen(1, 0, false);
        }
    }
}

#[test]
fn a_restart_adopts_what_is_there_and_reset_removes_it() {
    for backend in ALL {
        let mut cluster = Cluster::new(backend, 2);
        cluster.seen(0, 1, true);
        let snapshot = |host: &NetNs| {
            ["link", "addr", "rule", "route show table all", "-6 route show table all"]
                .map(|what| output(host, "ip", what))
        };
        let before = snapshot(&cluster.nodes[0].host);
        let mut one = cluster.nodes.remove(0);
        one.stop();
        one.start(&cluster);
        cluster.nodes.insert(0, one);
        cluster.seen(0, 1, true);
        // The pod's own link is recreated by its set-up; the device and the routes are the same.
        let index = |text: &str| {
            let line = text.lines().find(|line| line.contains("ih-vxlan") || line.contains("ih-udp"));
            line.map(|line| line.split(':').next().unwrap_or_default().to_owned())
        };
        let after = snapshot(&cluster.nodes[0].host);
        assert_eq!(index(&before[0]), index(&after[0]), "the device was adopted");
        let one = &mut cluster.nodes[0];
        one.stop();
        one.host.block_on(|| once_free(async || reset(one.state.path()).await)).unwrap();
        let names = ["links", "addresses", "rules", "routes", "IPv6 routes"];
        for (what, text) in names.iter().zip(snapshot(&one.host)) {
            for ours in ["ih-vxlan", "ih-udp", "7373", "proto 73", "10.42.", "fd42:"] {
                assert!(!text.contains(ours), "{what} after reset: {text}");
            }
        }
        assert_eq!(std::fs::read_dir(one.state.path()).unwrap().count(), 0);
    }
}

/// A connection that sends all the time, from one pod to another, and counts what is returned.
pub(super) struct Stream {
    connection: TcpStream,
}

impl Stream {
    pub(super) fn open(from: &NetNs, to: &NetNs, address: IpAddr) -> Stream {
        let address = SocketAddr::new(address, 81);
        let bind = || async move { TcpListener::bind(address).unwrap() };
        let listener = to.block_on(bind).unwrap();
        std::thread::spawn(move || {
            let Ok((mut echo, _)) = listener.accept() else { return };
            let mut buffer = vec![0; 65_536];
            while let Ok(length) = echo.read(&mut buffer) {
                if length == 0 || echo.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
        });
        let connect =
            || async move { TcpStream::connect_timeout(&address, Duration::from_secs(20)).unwrap() };
        let connection = from.block_on(connect).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Stream { connection }
    }

    /// Sends a quarter of a megabyte and reads it back.
    pub(super) fn exchange(&mut self) {
        let mut writer = self.connection.try_clone().unwrap();
        let data: Vec<u8> = (0..262_144u32).map(|number| (number % 251) as u8).collect();
        let sent = data.clone();
        let write = std::thread::spawn(move || writer.write_all(&sent).unwrap());
        let mut back = vec![0; data.len()];
        self.connection.read_exact(&mut back).unwrap();
        write.join().unwrap();
        assert!(back == data, "the bytes came back as they were sent");
    }
}

#[test]
fn a_connection_survives_every_change_of_the_backend() {
    let cluster = Cluster::new(BackendType::Vxlan, 2);
    cluster.seen(0, 1, true);
    cluster.seen(1, 0, false);
    let [one, two] = &cluster.nodes[..] else { panic!("two nodes") };
    let mut streams = [true, false].map(|ipv4| Stream::open(&one.pods[0], &two.pods[0], two.pod_ip(ipv4)));
    for (backend, mtu) in [
        (BackendType::HostGw, "mtu 1500"),
        (BackendType::Udp, "mtu 1472"),
        (BackendType::Vxlan, "mtu 1450"),
        (BackendType::Udp, "mtu 1472"),
        (BackendType::HostGw, "mtu 1500"),
        (BackendType::Vxlan, "mtu 1450"),
    ] {
        cluster.backend.send_replace(backend);
        streams.iter_mut().for_each(Stream::exchange);
        for node in &cluster.nodes {
            node.wait("ip", "link show", |text| {
                text.contains("ih-vxlan") == (backend == BackendType::Vxlan)
                    && text.contains("ih-udp") == (backend == BackendType::Udp)
            });
            node.wait("ip", "route show table 7373", |text| {
                text.is_empty() == (backend == BackendType::HostGw)
            });
            eventually(&format!("{backend}: {mtu}"), || {
                let link = output(&node.pods[0], "ip", "link show eth0");
                let host = node.output("ip", "link show type veth");
                if link.contains(mtu) && host.contains(mtu) { Ok(()) } else { Err(link + &host) }
            });
        }
        streams.iter_mut().for_each(Stream::exchange);
    }
}
