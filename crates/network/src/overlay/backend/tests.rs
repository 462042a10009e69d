use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mac(number: u8) -> Mac {
    Mac([6, 0, 0, 0, 0, number])
}

fn own(addresses: &[&str]) -> Own {
    Own {
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        subnets: vec![net("10.42.0.0/24"), net("fd42::/64")],
        cluster_subnets: vec![net("10.42.0.0/16"), net("fd42::/48")],
        mac: mac(1),
        mtu: 1450,
        links: vec![net("192.0.2.1/24"), net("fd99::1/64")],
    }
}

fn peer(number: u8) -> Peer {
    Peer {
        name: format!("node{number}"),
        subnets: vec![net(&format!("10.42.{number}.0/24")), net(&format!("fd42:0:0:{number}::/64"))],
        addresses: vec![ip(&format!("192.0.2.{number}")), ip(&format!("fd99::{number}"))],
        backend: Some(BackendType::Udp),
        vtep_mac: Some(mac(number)),
    }
}

fn texts(plan: &Plan) -> Vec<String> {
    plan.items.iter().map(Item::to_string).collect()
}

#[test]
fn vxlan_has_an_entry_of_each_sort_for_each_peer() {
    let plan = of(BackendType::Vxlan).plan(&own(&["192.0.2.1", "fd99::1"]), &[peer(2)]);
    assert_eq!(
        texts(&plan),
        [
            "the forwarding entry 06:00:00:00:00:02 to 192.0.2.2",
            "the neighbour 10.42.2.1 at 06:00:00:00:00:02",
            "the neighbour fd42:0:0:2::1 at 06:00:00:00:00:02",
            "the unreachable route to 10.42.0.0/16",
            "the route to 10.42.2.0/24 by 10.42.2.1",
            "the unreachable route to fd42::/48",
            "the route to fd42:0:0:2::/64 by fd42:0:0:2::1",
            "the route to 192.0.2.2/32 by 10.42.2.1",
            "the route to fd99::2/128 by fd42:0:0:2::1",
            "the rule for 10.42.0.0/24 with table 7373",
            "the rule for fd42::/64 with table 7373",
        ]
    );
    assert!(plan.problems.is_empty() && plan.pending.is_empty());
    assert_eq!(plan.nodes, [ip("192.0.2.2"), ip("fd99::2")].into());
    let device = plan.device.unwrap();
    assert_eq!(device.addresses, [ip("10.42.0.1"), ip("fd42::1")]);
    let over_ipv6 = of(BackendType::Vxlan).plan(&own(&["fd99::1", "192.0.2.1"]), &[peer(2)]);
    assert_eq!(texts(&over_ipv6)[0], "the forwarding entry 06:00:00:00:00:02 to fd99::2");
}

#[test]
fn peers_that_do_not_fit_are_told_and_the_others_served() {
    let mut clash = peer(3);
    clash.subnets = vec![net("10.42.2.0/25")];
    let mut ours = peer(4);
    ours.subnets = vec![net("10.42.0.0/16")];
    let mut other_family = peer(5);
    other_family.addresses.remove(0);
    let mut twin = peer(6);
    twin.vtep_mac = Some(mac(2));
    let mut new = peer(7);
    new.vtep_mac = None;
    let peers = [peer(2), clash, ours, other_family, twin, new];
    let plan = of(BackendType::Vxlan).plan(&own(&["192.0.2.1"]), &peers);
    assert_eq!(
        plan.problems,
        [
            "node node3: its subnet 10.42.2.0/25 already belongs to node2",
            "node node4: its subnet 10.42.0.0/16 already belongs to this node",
            "node node5 has no IPv4 address for VXLAN",
            "node node6: another node already has the hardware address 06:00:00:00:00:02",
        ]
    );
    assert_eq!(plan.pending, [net("10.42.7.0/24"), net("fd42:0:0:7::/64")].into());
    assert_eq!(texts(&plan)[0], "the forwarding entry 06:00:00:00:00:02 to 192.0.2.2");
    assert_eq!(plan.items.len(), 11, "one peer, the ends and the rules: {:?}", texts(&plan));
}

#[test]
fn host_gw_wants_peers_on_a_link() {
    let mut far = peer(3);
    far.addresses = vec![ip("198.51.100.3"), ip("fd99::3")];
    let plan = of(BackendType::HostGw).plan(&own(&["192.0.2.1"]), &[peer(2), far]);
    assert_eq!(
        texts(&plan),
        [
            "the unreachable route to 10.42.0.0/16",
            "the route to 10.42.2.0/24 by 192.0.2.2",
            "the unreachable route to fd42::/48",
            "the route to fd42:0:0:2::/64 by fd99::2",
            "the route to fd42:0:0:3::/64 by fd99::3",
        ]
    );
    assert_eq!(plan.device, None);
    assert!(
        plan.problems.len() == 1 && plan.problems[0].contains("node3 (198.51.100.3) is on no link"),
        "{:?}",
        plan.problems
    );
}

#[test]
fn networks_of_pods_end_where_nothing_leads_on() {
    let ends = |backend, own: &Own, peers: &[Peer]| -> Vec<String> {
        texts(&of(backend).plan(own, peers)).into_iter().filter(|text| text.contains("unreachable")).collect()
    };
    let mut own = own(&["192.0.2.1", "fd99::1"]);
    let both = ["the unreachable route to 10.42.0.0/16", "the unreachable route to fd42::/48"];
    for backend in [BackendType::Vxlan, BackendType::HostGw, BackendType::Udp] {
        assert_eq!(ends(backend, &own, &[]), both);
    }
    assert_eq!(ends(BackendType::None, &own, &[]), [""; 0], "somebody else knows the ways");
    // One node has the whole network.
    own.cluster_subnets[0] = net("10.42.0.0/24");
    assert_eq!(ends(BackendType::Vxlan, &own, &[]), both[1..]);
    own.cluster_subnets[0] = net("10.42.2.0/24");
    assert_eq!(ends(BackendType::Vxlan, &own, &[peer(2)]), both[1..]);
}
