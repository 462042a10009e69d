use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn tunnel(senders: &[(&str, &str)]) -> OtherNodes {
    let senders = senders.iter().map(|(sender, inside)| (sender.parse().unwrap(), net(inside))).collect();
    OtherNodes {
        tunnel: Tunnel { ways_known: true, port: Some(8472), senders },
        keeping_source: ["192.0.2.2".parse().unwrap()].into(),
    }
}

#[test]
fn one_node_more_is_a_few_elements_more() {
    let (own, cluster) =
        ([net("10.42.1.0/24"), net("fd42:0:0:1::/64")], [net("10.42.0.0/16"), net("fd42::/48")]);
    let elements = |others: &OtherNodes| others.elements(&own, &cluster);
    let nothing = elements(&OtherNodes::default());
    assert_eq!(
        change("t", &BTreeSet::new(), &nothing),
        "add element inet t routed4 { 10.42.1.0/24 }\nadd element inet t routed6 { fd42:0:0:1::/64 }\n"
    );
    let one = elements(&tunnel(&[("192.0.2.2", "10.42.2.0/24"), ("192.0.2.2", "192.0.2.2/32")]));
    assert_eq!(
        change("t", &nothing, &one).lines().collect::<Vec<_>>(),
        [
            "delete element inet t routed4 { 10.42.1.0/24 }",
            "delete element inet t routed6 { fd42:0:0:1::/64 }",
            "add element inet t nodes4 { 192.0.2.2 }",
            "add element inet t peers4 { 192.0.2.2 }",
            "add element inet t routed4 { 10.42.0.0/16 }",
            "add element inet t routed6 { fd42::/48 }",
            "add element inet t senders44 { 192.0.2.2 . 0x0a2a0200-0x0a2a02ff, 192.0.2.2 . 0xc0000202 }",
            "add element inet t tunnel_ports { 8472 }",
        ]
    );
    let two = elements(&tunnel(&[
        ("192.0.2.2", "10.42.2.0/24"),
        ("192.0.2.2", "192.0.2.2/32"),
        ("fd99::3", "10.42.3.0/24"),
        ("fd99::3", "fd42:0:0:3::/64"),
    ]));
    assert_eq!(
        change("t", &one, &two).lines().collect::<Vec<_>>(),
        [
            "add element inet t peers6 { fd99::3 }",
            "add element inet t senders64 { fd99::3 . 0x0a2a0300-0x0a2a03ff }",
            "add element inet t senders66 { fd99::3 . 0xfd420000000000030000000000000000-\
             0xfd42000000000003ffffffffffffffff }",
        ]
    );
    assert_eq!(change("t", &two, &one), change("t", &one, &two).replace("add element", "delete element"));
    assert_eq!(change("t", &two, &two), "");
}

#[test]
fn what_nodes_say_of_themselves_makes_no_pod_a_node_and_breaks_no_rules() {
    let cluster = [net("10.42.0.0/16")];
    let others = tunnel(&[
        // A node that publishes the address of another node's pod.
        ("10.42.2.7", "10.42.3.0/24"),
        // Addresses of a node that lie in its range, which the kernel would refuse as overlapping.
        ("192.0.2.2", "10.42.2.0/24"),
        ("192.0.2.2", "10.42.2.9/32"),
    ]);
    let elements = others.elements(&[], &cluster);
    let of = |set: &str| {
        elements.iter().filter(|(name, _)| *name == set).map(|(_, e)| e.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of("peers4"), ["192.0.2.2"]);
    assert_eq!(of("senders44"), ["192.0.2.2 . 0x0a2a0200-0x0a2a02ff"]);
}
