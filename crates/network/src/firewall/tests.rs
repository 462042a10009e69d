use hostnet::{NetNs, nft};

use super::*;
use crate::host_port::Protocol;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn port(host_ip: Option<&str>, host_port: u16, protocol: Protocol) -> HostPort {
    HostPort { host_ip: host_ip.map(ip), host_port, container_port: 80, protocol }
}

#[test]
fn host_ports_become_elements() {
    let rules = Rules { table: "t", pod_subnets: &[], cluster_subnets: &[] };
    let pod = [ip("10.42.0.2"), ip("fd00::2")];
    let ports = [
        port(None, 8080, Protocol::Tcp),
        port(Some("10.0.0.1"), 53, Protocol::Udp),
        port(Some("0.0.0.0"), 9, Protocol::Sctp),
    ];
    assert_eq!(rules.add(&pod, &[]), "", "a pod without host ports costs no transaction");
    assert_eq!(
        rules.add(&pod, &ports).lines().collect::<Vec<_>>(),
        [
            "add element inet t hairpin4 { 10.42.0.2 . 10.42.0.2 }",
            "add element inet t hostports4 { tcp . 8080 : 10.42.0.2 . 80 }",
            "add element inet t hostports_on4 { 10.0.0.1 . udp . 53 : 10.42.0.2 . 80 }",
            "add element inet t hostports4 { sctp . 9 : 10.42.0.2 . 80 }",
            "add element inet t hairpin6 { fd00::2 . fd00::2 }",
            "add element inet t hostports6 { tcp . 8080 : fd00::2 . 80 }",
            "add element inet t hostports6 { sctp . 9 : fd00::2 . 80 }",
        ]
    );
    assert_eq!(rules.delete(&pod, &ports), rules.add(&pod, &ports).replace("add element", "delete element"));
}

#[test]
fn the_kernel_takes_the_rules_again_and_again() {
    let subnets = ["10.42.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()];
    let cluster = ["10.42.0.0/16".parse().unwrap(), "fd00::/56".parse().unwrap()];
    let rules = Rules { table: "pods", pod_subnets: &subnets, cluster_subnets: &cluster };
    let pod = [ip("10.42.0.2"), ip("fd00::2")];
    let ports = [port(None, 8080, Protocol::Tcp), port(Some("10.0.0.1"), 53, Protocol::Udp)];
    let others = OtherNodes::default();
    NetNs::create()
        .unwrap()
        .block_on(|| async {
            let pods = [(&pod[..], &ports[..])];
            nft::apply(&rules.full(pods.into_iter(), &others)).await.unwrap();
            let listed = nft::output(&["list", "table", "inet", "pods"]).await.unwrap();
            assert!(listed.contains("10.0.0.1 . udp . 53 : 10.42.0.2 . 80"), "{listed}");
            assert!(
                listed.contains("ip saddr 10.42.0.0/24 ip daddr != { 10.42.0.0/16, 224.0.0.0/4 }"),
                "{listed}"
            );
            nft::apply(&rules.full(pods.into_iter(), &others)).await.unwrap();
            nft::apply(&rules.delete(&pod, &ports)).await.unwrap();
            nft::apply(&rules.add(&pod, &ports)).await.unwrap();
        })
        .unwrap();
}
