use object::value;

use super::*;
use crate::testing::{check_row, named};

#[test]
fn table() {
    let port = value!({"port": 80, "protocol": "TCP"});
    let cases = [
        (
            value!({"spec": {"type": "ClusterIP", "clusterIPs": ["10.43.0.1"], "ports": [port], "selector": {"a": "b"}}}),
            "s | ClusterIP | 10.43.0.1 | <none> | 80/TCP | 3h | a=b",
        ),
        (
            value!({"spec": {"type": "ClusterIP", "clusterIPs": ["None"]}}),
            "s | ClusterIP | None | <none> | <none> | 3h | <none>",
        ),
        (
            value!({"spec": {
                "type": "NodePort", "clusterIPs": ["10.43.0.1"], "externalIPs": ["1.1.1.1", "2.2.2.2"],
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
            }}),
            "s | NodePort | 10.43.0.1 | 1.1.1.1,2.2.2.2 | 80:30080/TCP,53/UDP | 3h | <none>",
        ),
        (
            value!({"spec": {"type": "LoadBalancer"}}),
            "s | LoadBalancer | <none> | <pending> | <none> | 3h | <none>",
        ),
        (
            value!({
                "spec": {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]},
                "status": {"loadBalancer": {"ingress": [{"ip": "3.3.3.3"}, {"hostname": "lb.example"}]}}
            }),
            "s | LoadBalancer | <none> | 3.3.3.3,lb.example,9.9.9.9 | <none> | 3h | <none>",
        ),
        (
            value!({"spec": {"type": "ExternalName", "externalName": "example.com"}}),
            "s | ExternalName | <none> | example.com | <none> | 3h | <none>",
        ),
    ];
    for (service, row) in cases {
        check_row(&Services, &named("s", service), row);
    }
}

#[test]
fn a_new_type_drops_what_the_old_one_had() {
    let old = value!({"spec": {
        "type": "LoadBalancer", "clusterIP": "10.43.0.1", "clusterIPs": ["10.43.0.1"], "ipFamilies": ["IPv4"],
        "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000, "allocateLoadBalancerNodePorts": true,
        "ports": [{"port": 80, "nodePort": 30080}]
    }});
    let changed = |to: &str| {
        let mut new = old.clone();
        new.entry("spec").set("type", to);
        Services.prepare_update(&mut new, &old);
        new.get("spec").clone()
    };
    let cluster_ip = value!({
        "type": "ClusterIP", "clusterIP": "10.43.0.1", "clusterIPs": ["10.43.0.1"], "ipFamilies": ["IPv4"],
        "ports": [{"port": 80}]
    });
    assert_eq!(changed("ClusterIP"), cluster_ip);
    assert_eq!(changed("ExternalName"), value!({"type": "ExternalName", "ports": [{"port": 80}]}));
    let node_port = changed("NodePort");
    assert_eq!(node_port.str_at("externalTrafficPolicy"), "Local");
    assert_eq!(node_port.get("ports"), old.at("spec.ports"));
    assert!(node_port.get("healthCheckNodePort").is_null());

    let mut chosen = old.clone();
    chosen.entry("spec").set("type", "ClusterIP");
    chosen.entry("spec").set("ports", value!([{"port": 80, "nodePort": 30081}]));
    Services.prepare_update(&mut chosen, &old);
    // The client's values stay, and validation refuses them.
    assert_eq!(chosen.at("spec.ports"), &value!([{"port": 80, "nodePort": 30081}]));
}
