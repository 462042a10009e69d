use hostnet::NetNs;
use hostnet::testing::{Greeter, ip};
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;

use super::env::{Cluster, answer, eventually, output, seen_as};
use crate::overlay::{BackendType, peer};
use crate::reset;

#[test]
fn pods_reach_pods_of_another_node_with_their_own_address() {
    for over_ipv6 in [false, true] {
        let cluster = Cluster::over(BackendType::Vxlan, 2, over_ipv6);
        assert_eq!(cluster.seen(0, 1, true), "10.42.1.2");
        assert_eq!(cluster.seen(1, 0, true), "10.42.2.2");
        assert_eq!(cluster.seen(0, 1, false), "fd42:0:0:1::2");
        assert_eq!(cluster.seen(1, 0, false), "fd42:0:0:2::2");
        let mtu = if over_ipv6 { "mtu 1430" } else { "mtu 1450" };
        for node in &cluster.nodes {
            node.wait("ip", "link show ih-vxlan", |text| text.contains(mtu));
            assert!(output(&node.pods[0], "ip", "link show eth0").contains(mtu));
        }
        assert_eq!(cluster.annotation(0, peer::BACKEND_TYPE).unwrap(), "vxlan");
        assert_eq!(cluster.annotation(0, peer::PUBLIC_IP).unwrap().split(',').count(), 2);
    }
}

#[test]
fn pods_and_nodes_of_different_machines_reach_each_other() {
    let cluster = Cluster::new(BackendType::Vxlan, 2);
    let [one, two] = &cluster.nodes[..] else { panic!("two nodes") };
    let server = Greeter::tcp(&two.host, "[::]:80".parse().unwrap(), "node");
    // A pod keeps its address towards another node, too, although reverse path filters are strict.
    // Until the other node is known, it sees this node's address.
    seen_as(&one.pods[0], "192.0.2.2:80", "10.42.1.2");
    seen_as(&one.pods[0], "[fd99::2]:80", "fd42:0:0:1::2");
    let pod = Greeter::tcp(&two.pods[0], "[::]:80".parse().unwrap(), "pod");
    assert_eq!(answer(&one.host, "10.42.2.2:80".parse().unwrap()), "10.42.1.1");
    assert_eq!(answer(&one.host, "[fd42:0:0:2::2]:80".parse().unwrap()), "fd42:0:0:1::1");
    drop((server, pod));
}

#[test]
fn nodes_come_go_and_change() {
    let mut cluster = Cluster::new(BackendType::Vxlan, 2);
    cluster.seen(0, 1, true);
    cluster.add_node(3);
    for (from, to) in [(0, 2), (2, 0), (1, 2)] {
        cluster.seen(from, to, true);
    }
    // Another address: the node says so itself when it starts with it.
    ip(&cluster.nodes[2].host, "addr add 192.0.2.33/24 dev up0\n addr del 192.0.2.3/24 dev up0");
    cluster.nodes[2].stop();
    let key = ObjectKey::cluster("node3");
    let mut node = cluster.server.get::<Node>(&key).unwrap();
    let annotations = node.metadata.annotations.as_mut().unwrap();
    annotations.insert(peer::PUBLIC_IP.to_owned(), "192.0.2.33".to_owned());
    cluster.server.put(&node);
    let one = &cluster.nodes[0];
    one.wait("bridge", "fdb show dev ih-vxlan", |text| {
        text.contains("192.0.2.33") && !text.contains("192.0.2.3 ")
    });
    // Another subnet, as after a node was deleted and came back.
    cluster.put_node(3, 9);
    one.wait("ip", "route show proto 73", |text| !text.contains("10.42.3.0"));
    // Gone.
    cluster.server.remove::<Node>(&key);
    for (program, arguments) in [
        ("bridge", "fdb show dev ih-vxlan"),
        ("ip", "neigh show dev ih-vxlan"),
        ("ip", "route show table all proto 73"),
        ("ip", "-6 route show table all proto 73"),
    ] {
        // One line for each family of the one node that is left, and its own addresses.
        one.wait(program, arguments, |text| {
            ["192.0.2.3", "10.42.3.", "10.42.9.", "fd42:0:0:3:", "fd42:0:0:9:", "fd99::3"]
                .iter()
                .all(|gone| !text.contains(gone))
        });
    }
    cluster.seen(0, 1, true);
}

#[test]
fn what_somebody_deletes_comes_back() {
    let cluster = Cluster::new(BackendType::Vxlan, 2);
    cluster.seen(0, 1, true);
    let one = &cluster.nodes[0];
    let state = |host: &NetNs| {
        let fdb = output(host, "bridge", "fdb show dev ih-vxlan");
        let neighbours = output(host, "ip", "neigh show dev ih-vxlan nud permanent");
        let rules = output(host, "ip", "rule show");
        let routes = output(host, "ip", "route show table all proto 73");
        [fdb, neighbours, rules, routes].concat()
    };
    let before = state(&one.host);
    for harm in [
        "route del 10.42.2.0/24",
        "route replace 10.42.2.0/24 via 192.0.2.254",
        "rule del priority 7373",
        "neigh del 10.42.2.1 dev ih-vxlan",
        "neigh flush dev ih-vxlan nud permanent",
        "route flush table 7373",
        "link set ih-vxlan down",
        "link del ih-vxlan",
        "link set ih-vxlan mtu 1300",
        "addr flush dev ih-vxlan",
    ] {
        ip(&one.host, harm);
        eventually(harm, || {
            let now = state(&one.host);
            if now == before { Ok(()) } else { Err(format!("{before}\nis now\n{now}")) }
        });
        one.wait("ip", "addr show ih-vxlan", |text| {
            text.contains("mtu 1450") && text.contains("10.42.1.1/32") && text.contains("fd42:0:0:1::1/128")
        });
        cluster.seen(0, 1, true);
        cluster.seen(1, 0, false);
    }
}

#[test]
fn a_restart_adopts_what_is_there_and_reset_removes_it() {
    let mut cluster = Cluster::new(BackendType::Vxlan, 2);
    cluster.seen(0, 1, true);
    let snapshot = |host: &NetNs| {
        ["link", "addr", "rule", "route show table all", "-6 route show table all"]
            .map(|what| output(host, "ip", what))
    };
    let before = snapshot(&cluster.nodes[0].host);
    let mut one = cluster.nodes.remove(0);
    one.stop();
    cluster.nodes.insert(0, one);
    cluster.seen(0, 1, true);
    let mut one = cluster.nodes.remove(0);
    one.start(&cluster);
    cluster.nodes.insert(0, one);
    cluster.seen(0, 1, true);
    // The pod's own link is made anew by its set-up; the device and the routes are the same.
    let index = |text: &str| text.lines().find(|line| line.contains("ih-vxlan")).map(str::to_owned);
    assert_eq!(index(&before[0]), index(&snapshot(&cluster.nodes[0].host)[0]), "the device was adopted");
    let one = &mut cluster.nodes[0];
    one.stop();
    one.host.block_on(|| async { reset(one.state.path()).await.unwrap() }).unwrap();
    for (what, text) in
        ["links", "addresses", "rules", "routes", "IPv6 routes"].iter().zip(snapshot(&one.host))
    {
        for ours in ["ih-vxlan", "7373", "proto 73", "10.42.", "fd42:"] {
            assert!(!text.contains(ours), "{what} after reset: {text}");
        }
    }
    assert_eq!(std::fs::read_dir(one.state.path()).unwrap().count(), 0);
}
