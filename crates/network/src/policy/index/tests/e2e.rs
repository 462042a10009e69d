//! Cases of upstream's `test/e2e/network/netpol`, by their names there: each is a truth table over all pairs of pods.
//! Pods of namespace z are on another node, so here they are only peers.

use serde_json::Value as Json;

use super::*;

/// One case: policies as `(namespace, spec)`, and the packets that must pass from one end to the other.
fn case(name: &str, policies: &[(&str, Json)], expected: impl Fn(&str, &str, Protocol, u16) -> bool) {
    let mut cluster = Cluster::of_e2e();
    for (number, (namespace, spec)) in policies.iter().enumerate() {
        cluster.policies.push(policy(namespace, &format!("p{number}"), spec.clone()));
    }
    check(name, &cluster, &cluster.index(), expected);
}

fn check(name: &str, cluster: &Cluster, index: &Index, expected: impl Fn(&str, &str, Protocol, u16) -> bool) {
    for from in &cluster.pods {
        for to in &cluster.pods {
            let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
            for (protocol, port) in protocols.into_iter().flat_map(|p| [(p, 80), (p, 81)]) {
                let packet = Packet { from: from.address, to: to.address, protocol, port };
                let (a, b) =
                    (format!("{}/{}", from.namespace, from.name), format!("{}/{}", to.namespace, to.name));
                let wanted = from.address == to.address || expected(&a, &b, protocol, port);
                assert_eq!(passes(index, packet), wanted, "{name}: {a} to {b}, {protocol:?} {port}");
                assert_eq!(cluster.allows(packet), wanted, "{name}: {a} to {b}, by the documents");
            }
        }
    }
}

fn protect(pods: Json, ingress: Json) -> Json {
    json!({"podSelector": pods, "policyTypes": ["Ingress"], "ingress": ingress})
}

fn restrict(pods: Json, egress: Json) -> Json {
    json!({"podSelector": pods, "policyTypes": ["Egress"], "egress": egress})
}

fn of(label: &str, value: &str) -> Json {
    json!({"matchLabels": {label: value}})
}

fn pod_a() -> Json {
    of("pod", "a")
}

#[test]
fn denials_and_allowances() {
    let everything = || json!({});
    case("default-deny-ingress", &[("x", protect(everything(), json!([])))], |_, to, _, _| {
        !to.starts_with("x/")
    });
    let both = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    case("default-deny-all", &[("x", both)], |from, to, _, _| {
        !to.starts_with("x/") && !from.starts_with("x/")
    });
    case("deny egress of a namespace", &[("x", restrict(everything(), json!([])))], |from, _, _, _| {
        !from.starts_with("x/")
    });
    case("allow-all", &[("x", protect(everything(), json!([{}])))], |_, _, _, _| true);
    let own = json!([{"from": [{"podSelector": {}}]}]);
    case("deny other namespaces", &[("x", protect(everything(), own))], |from, to, _, _| {
        !to.starts_with("x/") || from.starts_with("x/")
    });
    let one_out = [("x", restrict(everything(), json!([]))), ("x", restrict(pod_a(), json!([{}])))];
    case("allow egress of one pod", &one_out, |from, _, _, _| !from.starts_with("x/") || from == "x/a");
    let untyped = json!({"podSelector": {}, "egress": [{"to": [{"podSelector": {}}]}]});
    case("types default to what there are rules for", &[("x", untyped)], |from, to, _, _| {
        !to.starts_with("x/") && !from.starts_with("x/")
    });
}

#[test]
fn pods_and_namespaces() {
    let protects_a = |name, from: Json, expected: fn(&str) -> bool| {
        case(name, &[("x", protect(pod_a(), json!([{"from": from}])))], |from, to, _, _| {
            to != "x/a" || expected(from)
        });
    };
    protects_a("PodSelector", json!([{"podSelector": of("pod", "b")}]), |from| from == "x/b");
    protects_a("NamespaceSelector", json!([{"namespaceSelector": of("ns", "y")}]), |from| {
        from.starts_with("y/")
    });
    let and = json!([{"namespaceSelector": of("ns", "z"), "podSelector": of("pod", "b")}]);
    protects_a("NamespaceSelector AND PodSelector", and, |from| from == "z/b");
    let or = json!([{"namespaceSelector": of("ns", "z")}, {"podSelector": of("pod", "b")}]);
    protects_a("NamespaceSelector or PodSelector", or, |from| from.starts_with("z/") || from == "x/b");
    let not_x = json!({"matchExpressions": [{"key": "ns", "operator": "NotIn", "values": ["x"]}]});
    protects_a("MatchExpressions of namespaces", json!([{"namespaceSelector": not_x}]), |from| {
        !from.starts_with("x/")
    });
    let nobody = json!([{"podSelector": of("pod", "nobody")}]);
    protects_a("peers that do not exist", nobody, |_| false);
    let a_or_c = json!({"matchExpressions": [
        {"key": "pod", "operator": "In", "values": ["a", "c"]}, {"key": "old", "operator": "DoesNotExist"},
    ]});
    let policy = protect(a_or_c.clone(), json!([{"from": [{"podSelector": a_or_c}]}]));
    case("MatchExpressions of pods", &[("x", policy)], |from, to, _, _| {
        !["x/a", "x/c"].contains(&to) || ["x/a", "x/c"].contains(&from)
    });
    let rules =
        json!([{"from": [{"podSelector": of("pod", "b")}]}, {"from": [{"podSelector": of("pod", "c")}]}]);
    case("multiple rules", &[("x", protect(pod_a(), rules))], |from, to, _, _| {
        to != "x/a" || ["x/b", "x/c"].contains(&from)
    });
    let y = of("kubernetes.io/metadata.name", "y");
    let egress = json!([{"to": [{"namespaceSelector": y, "podSelector": pod_a()}]}]);
    case("egress to another namespace", &[("x", restrict(pod_a(), egress))], |from, to, _, _| {
        from != "x/a" || to == "y/a"
    });
    case("a label that nobody has", &[("x", protect(of("pod", "d"), json!([])))], |_, _, _, _| true);
}

#[test]
fn ports() {
    use Protocol::{Sctp, Tcp, Udp};
    let protects_a = |name, ports: Json, expected: fn(Protocol, u16) -> bool| {
        case(name, &[("x", protect(pod_a(), json!([{"ports": ports}])))], |_, to, protocol, port| {
            to != "x/a" || expected(protocol, port)
        });
    };
    protects_a("one port", json!([{"port": 81, "protocol": "TCP"}]), |p, n| (p, n) == (Tcp, 81));
    protects_a("the protocol defaults to TCP", json!([{"port": 80}]), |p, n| (p, n) == (Tcp, 80));
    protects_a("a whole protocol", json!([{"protocol": "UDP"}]), |p, _| p == Udp);
    protects_a("SCTP", json!([{"port": 80, "protocol": "SCTP"}]), |p, n| (p, n) == (Sctp, 80));
    protects_a("endPort", json!([{"port": 81, "endPort": 90}]), |p, n| (p, n) == (Tcp, 81));
    protects_a("named port", json!([{"port": "serve-81-tcp"}]), |p, n| (p, n) == (Tcp, 81));
    let wrong = json!([{"port": "serve-81-tcp", "protocol": "UDP"}]);
    protects_a("a name of another protocol", wrong, |_, _| false);
    let tcp = |port: u16| protect(pod_a(), json!([{"ports": [{"port": port, "protocol": "TCP"}]}]));
    case("stacked policies", &[("x", tcp(80)), ("x", tcp(81))], |_, to, protocol, _| {
        to != "x/a" || protocol == Tcp
    });
    let overlapping = [("x", tcp(80)), ("x", protect(json!({}), json!([{"from": [{"podSelector": {}}]}])))];
    case("overlapping policies", &overlapping, |from, to, protocol, port| {
        !to.starts_with("x/") || (to == "x/a" && (protocol, port) == (Tcp, 80)) || from.starts_with("x/")
    });
    // Port "web" is 81 in b, 80 elsewhere.
    let web = |to: &str| if to.ends_with("/b") { 81 } else { 80 };
    let policy = protect(json!({}), json!([{"ports": [{"port": "web"}]}]));
    case("named port, as each pod defines it", &[("x", policy)], |_, to, protocol, port| {
        !to.starts_with("x/") || (protocol, port) == (Tcp, web(to))
    });
    let ports = json!([{"port": "web"}, {"port": 80, "protocol": "UDP"}]);
    let policy = restrict(pod_a(), json!([{"to": [{"namespaceSelector": of("ns", "y")}], "ports": ports}]));
    case("named port on egress, as the peer defines it", &[("x", policy)], |from, to, protocol, port| {
        let right = (protocol, port) == (Tcp, web(to)) || (protocol, port) == (Udp, 80);
        from != "x/a" || (to.starts_with("y/") && right)
    });
    let (peers, ports) = (
        json!([{"podSelector": {}}, {"namespaceSelector": of("ns", "y")}]),
        json!([{"port": 80}, {"port": 81, "protocol": "SCTP"}]),
    );
    let policy = protect(json!({}), json!([{"from": peers, "ports": ports}]));
    case("several peers and ports", &[("x", policy)], |from, to, protocol, port| {
        let right = matches!((protocol, port), (Tcp, 80) | (Sctp, 81));
        !to.starts_with("x/") || (!from.starts_with("z/") && right)
    });
}

#[test]
fn blocks() {
    // x is 10.42.0.0/24, y 10.42.1.0/24, z 10.42.2.0/24; a is .2, b .3, c .4.
    let to = |block: Json| restrict(pod_a(), json!([{"to": [{"ipBlock": block}]}]));
    let y = || to(json!({"cidr": "10.42.1.0/24"}));
    case("egress to a CIDR", &[("x", y())], |from, to, _, _| from != "x/a" || to.starts_with("y/"));
    let except = || to(json!({"cidr": "10.42.1.0/24", "except": ["10.42.1.2/32", "10.42.1.4/32"]}));
    case("egress except", &[("x", except())], |from, to, _, _| from != "x/a" || to == "y/b");
    let again = [("x", except()), ("x", to(json!({"cidr": "10.42.1.2/32"})))];
    case("an exception that another policy allows", &again, |from, to, _, _| {
        from != "x/a" || ["y/a", "y/b"].contains(&to)
    });
    let world = json!({"cidr": "0.0.0.0/0", "except": ["10.42.2.0/24"]});
    let policy = protect(json!({}), json!([{"from": [{"ipBlock": world}], "ports": [{"port": 80}]}]));
    case("everybody but one network", &[("x", policy)], |from, to, protocol, port| {
        !to.starts_with("x/") || (!from.starts_with("z/") && (protocol, port) == (Protocol::Tcp, 80))
    });
    let v6 = protect(json!({}), json!([{"from": [{"ipBlock": {"cidr": "::/0"}}]}]));
    case("a block of the other family", &[("x", v6)], |_, to, _, _| !to.starts_with("x/"));
}

#[test]
fn updates() {
    let mut cluster = Cluster::of_e2e();
    let mut index = cluster.index();
    check("no policy", &cluster, &index, |_, _, _, _| true);
    let from = json!([{"from": [{"namespaceSelector": of("ns2", "updated")}]}]);
    cluster.policies.push(policy("x", "p", protect(pod_a(), from)));
    let key = policy_key(&cluster.policies[0]);
    index.policy_changed(&key, Some(&cluster.policies[0]));
    check("added", &cluster, &index, |_, to, _, _| to != "x/a");
    cluster.namespaces.get_mut("y").unwrap().insert("ns2".to_owned(), "updated".to_owned());
    index.namespace_changed("y", cluster.namespaces.get("y").cloned());
    check("namespace label", &cluster, &index, |from, to, _, _| to != "x/a" || from.starts_with("y/"));
    for pod in cluster.pods.iter_mut().filter(|pod| pod.namespace == "x" && pod.name != "c") {
        pod.labels = labels(&[("pod", if pod.name == "a" { "b" } else { "a" })]);
        index.pod_changed(&pod.key(), Some(Arc::new(pod.object())));
    }
    check("pod labels", &cluster, &index, |from, to, _, _| to != "x/b" || from.starts_with("y/"));
    cluster.policies[0] = policy("x", "p", restrict(pod_a(), json!([{"to": [{"podSelector": {}}]}])));
    index.policy_changed(&key, Some(&cluster.policies[0]));
    check("other direction", &cluster, &index, |from, to, _, _| from != "x/b" || to.starts_with("x/"));
    cluster.policies.clear();
    index.policy_changed(&key, None);
    check("removed", &cluster, &index, |_, _, _, _| true);
    assert_eq!(index.chains.all().count() + index.sets.all().count(), 0, "nothing is left");
}
