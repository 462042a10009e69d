use hostnet::testing::ip;
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;
use serde_json::json;

use super::env::{Cluster, eventually};
use crate::backend_type::BackendType;
use crate::overlay::peer;

#[test]
fn nodes_come_go_and_change() {
    let mut cluster = Cluster::new(BackendType::Vxlan, 2);
    cluster.seen(0, 1, true);
    cluster.add_node(3);
    for (from, to) in [(0, 2), (2, 0), (1, 2)] {
        cluster.seen(from, to, true);
    }
    // A new address: the node publishes it when it starts.
    ip(&cluster.nodes[2].host, "addr add 192.0.2.33/24 dev up0\n addr del 192.0.2.3/24 dev up0");
    cluster.nodes[2].stop();
    let key = ObjectKey::cluster("node3");
    let moved = json!({"metadata": {"annotations": {peer::PUBLIC_IP: "192.0.2.33"}}});
    let node = cluster.server.wait(cluster.server.patch::<Node>(&key, moved));
    let one = &cluster.nodes[0];
    one.wait("bridge", "fdb show dev ih-vxlan", |text| {
        text.contains("192.0.2.33") && !text.contains("192.0.2.3 ")
    });
    // A node that is created anew gets another subnet.
    cluster.server.wait(cluster.server.remove::<Node>(&key));
    cluster.create_node(3, 9, json!(node.metadata.annotations));
    one.wait("ip", "route show proto 73", |text| text.contains("10.42.9.0") && !text.contains("10.42.3.0"));
    // Gone.
    cluster.server.wait(cluster.server.remove::<Node>(&key));
    for (program, arguments) in [
        ("bridge", "fdb show dev ih-vxlan"),
        ("ip", "neigh show dev ih-vxlan"),
        ("ip", "route show table all proto 73"),
        ("ip", "-6 route show table all proto 73"),
    ] {
        // One line for each family of the one remaining node, and its own addresses.
        one.wait(program, arguments, |text| {
            ["192.0.2.3", "10.42.3.", "10.42.9.", "fd42:0:0:3:", "fd42:0:0:9:", "fd99::3"]
                .iter()
                .all(|gone| !text.contains(gone))
        });
    }
    cluster.seen(0, 1, true);
}

#[test]
fn two_hundred_nodes_come_and_go() {
    let cluster = Cluster::new(BackendType::Vxlan, 2);
    cluster.seen(0, 1, true);
    let one = &cluster.nodes[0];
    let counts = || {
        [
            "route show proto 73",
            "-6 route show proto 73",
            "route show table 7373",
            "neigh show dev ih-vxlan nud permanent",
        ]
        .map(|what| one.output("ip", what).lines().count())
    };
    let fdb =
        || one.output("bridge", "fdb show dev ih-vxlan").lines().filter(|line| line.contains("dst")).count();
    let before = (counts(), fdb());
    let node = |number: usize| -> Node {
        let (high, low) = (number / 200, number % 200 + 20);
        serde_json::from_value(json!({
            "metadata": {"name": format!("far{number}"), "annotations": {
                peer::BACKEND_TYPE: "vxlan",
                peer::BACKEND_DATA: format!(r#"{{"vtepMAC":"06:00:00:00:01:{number:02x}"}}"#),
                peer::PUBLIC_IP: format!("192.0.2.{low}"),
            }},
            "spec": {"podCIDRs": [format!("10.42.{low}.0/24"), format!("fd42:0:0:{high:x}{low:03}::/64")]},
        }))
        .unwrap()
    };
    let start = tokio::time::Instant::now();
    cluster.server.wait(async {
        for number in 0..200 {
            cluster.server.create(&node(number)).await;
        }
    });
    eventually("200 nodes are known", || {
        let now = (counts(), fdb());
        let wanted = (before.0.map(|count| count + 200), before.1 + 200);
        let with_both_neighbours = now.0[3] == before.0[3] + 400;
        let same = now.0[..3] == wanted.0[..3] && now.1 == wanted.1 && with_both_neighbours;
        if same { Ok(()) } else { Err(format!("{before:?} is {now:?}")) }
    });
    println!("200 nodes were known after {:?}", start.elapsed());
    let start = tokio::time::Instant::now();
    cluster.server.wait(async {
        for number in 0..200 {
            cluster.server.remove::<Node>(&ObjectKey::cluster(format!("far{number}"))).await;
        }
    });
    eventually("200 nodes are forgotten", || {
        let now = (counts(), fdb());
        if now == before { Ok(()) } else { Err(format!("{before:?} is {now:?}")) }
    });
    println!("200 nodes were forgotten after {:?}", start.elapsed());
    cluster.seen(0, 1, true);
}
