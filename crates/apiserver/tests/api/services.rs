//! Addresses and ports of Services, and the objects that represent addresses.

use apiserver::testing::TestServer;
use object::{Value, value};

use crate::support::*;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";

fn service(name: &str, spec: Value) -> Value {
    let mut service =
        value!({"metadata": {"name": name}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80i64}]}});
    for (member, value) in spec.entries() {
        service.entry("spec").set(member.to_owned(), value.clone());
    }
    service
}

fn texts(object: &Value, path: &str) -> Vec<String> {
    object.at(path).items().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The names of the IPAddress objects of a Service, sorted.
async fn addresses_of(server: &TestServer, name: &str) -> Vec<String> {
    let list = get(server, ADDRESSES).await.success();
    let owned = list.get("items").items().filter(|item| item.str_at("spec.parentRef.name") == name);
    let mut names: Vec<String> = owned.map(|item| item.str_at("metadata.name").to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_service_has_the_families_that_it_asks_for() {
    let server = TestServer::with_services_in(&["10.43.0.0/16", "fd43::/112"]).await;
    let path = |name: &str| format!("{SERVICES}/{name}");
    let single = call(&server, "POST", SERVICES, &service("s", value!({}))).await.success();
    assert_eq!(texts(&single, "spec.ipFamilies"), ["IPv4"]);
    let ip = single.str_at("spec.clusterIP").to_owned();
    assert_eq!(texts(&single, "spec.clusterIPs"), [ip.as_str()]);
    assert_eq!(addresses_of(&server, "s").await, [ip.as_str()]);

    // To two families, and back.
    let policy = |policy: &str| value!({"spec": {"ipFamilyPolicy": policy}});
    let dual = call(&server, "PATCH", &path("s"), &policy("RequireDualStack")).await.success();
    assert_eq!(texts(&dual, "spec.ipFamilies"), ["IPv4", "IPv6"]);
    let both = texts(&dual, "spec.clusterIPs");
    assert!(both[0] == ip && both[1].starts_with("fd43::"), "{both:?}");
    assert_eq!(addresses_of(&server, "s").await, both);
    let again = call(&server, "PUT", &path("s"), &service("s", value!({}))).await.success();
    assert_eq!(texts(&again, "spec.clusterIPs"), both, "what a client leaves out stays");
    let back = call(&server, "PATCH", &path("s"), &policy("SingleStack")).await.success();
    assert_eq!(texts(&back, "spec.clusterIPs"), [ip.as_str()]);
    assert_eq!(addresses_of(&server, "s").await, [ip.as_str()]);

    let six = value!({"ipFamilies": ["IPv6"], "ipFamilyPolicy": "PreferDualStack", "clusterIP": "fd43::77"});
    let six = call(&server, "POST", SERVICES, &service("six", six)).await.success();
    assert_eq!(texts(&six, "spec.ipFamilies"), ["IPv6", "IPv4"]);
    assert_eq!(six.str_at("spec.clusterIP"), "fd43::77");
    let (code, _, message) =
        call(&server, "POST", SERVICES, &service("taken", value!({"clusterIP": "fd43::77"}))).await.status();
    assert_eq!(code, 422);
    assert!(
        message.ends_with("failed to allocate IP fd43::77: provided IP is already allocated"),
        "{message}"
    );
    let (code, _, message) =
        call(&server, "POST", SERVICES, &service("out", value!({"clusterIP": "10.99.0.1"}))).await.status();
    assert_eq!(code, 422);
    assert!(message.ends_with("the provided network does not match the current range"), "{message}");

    // Without addresses and back, and to the end.
    let external = value!({"spec": {"type": "ExternalName", "externalName": "example.com", "clusterIP": ""}});
    let external = call(&server, "PATCH", &path("six"), &external).await.success();
    assert!(external.at("spec.clusterIPs").is_empty() && external.at("spec.ipFamilies").is_empty());
    assert!(addresses_of(&server, "six").await.is_empty());
    call(&server, "PATCH", &path("six"), &value!({"spec": {"type": "ClusterIP", "externalName": null}}))
        .await
        .success();
    assert_eq!(addresses_of(&server, "six").await.len(), 1);
    for name in ["s", "six"] {
        call(&server, "DELETE", &path(name), &Value::Null).await.success();
        assert!(addresses_of(&server, name).await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_refused_service_takes_nothing() {
    let server = TestServer::with_services_in(&["10.43.0.0/16", "fd43::/112"]).await;
    let bad = value!({
        "clusterIP": "10.43.0.50", "ipFamilyPolicy": "RequireDualStack", "sessionAffinity": "Sometimes", "type": "NodePort",
        "ports": [{"port": 80i64, "nodePort": 31000i64}]
    });
    assert_eq!(call(&server, "POST", SERVICES, &service("bad", bad)).await.code, 422);
    assert!(addresses_of(&server, "bad").await.is_empty());
    let good = value!({"clusterIP": "10.43.0.50", "type": "NodePort", "ports": [{"port": 80i64, "nodePort": 31000i64}]});
    call(&server, "POST", SERVICES, &service("good", good)).await.success();
}

#[tokio::test]
async fn a_cluster_may_have_ipv6_alone() {
    let server = TestServer::with_services_in(&["fd43::/112"]).await;
    let kubernetes = get(&server, &format!("{SERVICES}/kubernetes")).await.success();
    assert_eq!(kubernetes.str_at("spec.clusterIP"), "fd43::1");
    let made = call(&server, "POST", SERVICES, &service("s", value!({}))).await.success();
    assert_eq!(texts(&made, "spec.ipFamilies"), ["IPv6"]);
    let require = value!({"ipFamilyPolicy": "RequireDualStack"});
    let (code, _, message) = call(&server, "POST", SERVICES, &service("two", require)).await.status();
    assert_eq!(code, 422);
    assert!(message.ends_with("this cluster is not configured for dual-stack services"), "{message}");
}

#[tokio::test]
async fn a_full_network_is_extended_by_another() {
    let server = TestServer::with_services_in(&["10.43.0.0/28"]).await;
    for n in 0..13 {
        call(&server, "POST", SERVICES, &service(&format!("s{n}"), value!({}))).await.success();
    }
    let (code, _, message) = call(&server, "POST", SERVICES, &service("full", value!({}))).await.status();
    assert_eq!(code, 500);
    assert!(message.ends_with("failed to allocate a serviceIP: range is full"), "{message}");
    let more = value!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.44.0.0/24"]}});
    call(&server, "POST", CIDRS, &more).await.success();
    // The allocator sees the new network as soon as the server's cache does.
    let made = tokio::time::timeout(WITHIN, async {
        loop {
            let reply = call(&server, "POST", SERVICES, &service("full", value!({}))).await;
            if reply.code == 201 {
                return reply.success();
            }
            tokio::task::yield_now().await;
        }
    });
    let made = made.await.unwrap();
    assert!(made.str_at("spec.clusterIP").starts_with("10.44.0."), "{made:?}");
}

#[tokio::test]
async fn a_balancer_that_asks_for_health_gets_a_port_for_it() {
    let server = TestServer::start().await;
    let spec = value!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
    let made = call(&server, "POST", SERVICES, &service("lb", spec)).await.success();
    let port = made.at("spec.healthCheckNodePort").as_i64().unwrap();
    assert!((30000..=32767).contains(&port));
    let path = format!("{SERVICES}/lb");
    let kept = call(&server, "PATCH", &path, &value!({"metadata": {"labels": {"a": "b"}}})).await.success();
    assert_eq!(kept.at("spec.healthCheckNodePort").as_i64(), Some(port));
    let cluster = value!({"spec": {"externalTrafficPolicy": "Cluster"}});
    let without = call(&server, "PATCH", &path, &cluster).await.success();
    assert!(without.at("spec.healthCheckNodePort").is_empty());
    let reused = value!({
        "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": port
    });
    call(&server, "POST", SERVICES, &service("other", reused)).await.success();
    for (asked, why) in [(22i64, "is not in the valid range"), (port, "is already allocated")] {
        let spec = value!({
            "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": asked
        });
        let (_, _, message) = call(&server, "POST", SERVICES, &service("refused", spec)).await.status();
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn a_dry_run_allocates_ports_as_a_real_one_would() {
    let server = TestServer::start().await;
    let dry = format!("{SERVICES}?dryRun=All");
    let fixed =
        || service("a", value!({"type": "NodePort", "ports": [{"port": 80i64, "nodePort": 30001i64}]}));
    call(&server, "POST", &dry, &fixed()).await.success();
    call(&server, "POST", SERVICES, &fixed()).await.success();
    let mut other = fixed();
    other.entry("metadata").set("name", "b");
    let (code, _, message) = call(&server, "POST", &dry, &other).await.status();
    assert_eq!(code, 422, "{message}");
    assert!(message.contains("spec.ports[0].nodePort") && message.contains("already allocated"), "{message}");
    // More ports than are likely to differ by chance.
    let ports = (1..=300i64).map(|port| value!({"port": port, "name": (format!("p{port}"))}));
    let many = service("many", value!({"type": "NodePort", "ports": (ports.collect::<Vec<_>>())}));
    call(&server, "POST", &dry, &many).await.success();
}

/// Ports that clients do not name come from the upper part of the range, and from the lower one when that is full.
#[tokio::test]
async fn the_lower_node_ports_are_given_out_last() {
    let server = TestServer::start().await;
    let with = |name: &str, numbers: Vec<Option<i64>>| {
        let ports = numbers.into_iter().enumerate().map(|(index, number)| {
            let index = index as i64 + 1;
            value!({"name": (format!("p{index}")), "port": index, "nodePort": number.map_or(Value::Null, Value::from)})
        });
        service(name, value!({"type": "NodePort", "ports": (ports.collect::<Vec<_>>())}))
    };
    let node_ports = |made: &Value| -> Vec<i64> {
        made.at("spec.ports").items().filter_map(|port| port.get("nodePort").as_i64()).collect()
    };
    let first = call(&server, "POST", SERVICES, &with("first", vec![None; 100])).await.success();
    let first = node_ports(&first);
    assert!(first.iter().all(|port| (30086..=32767).contains(port)), "{first:?}");
    let upper = (30086..=32767).filter(|port| !first.contains(port)).map(Some).collect();
    call(&server, "POST", SERVICES, &with("upper", upper)).await.success();
    let health = value!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "allocateLoadBalancerNodePorts": false});
    let balancer = call(&server, "POST", SERVICES, &service("lb", health)).await.success();
    let health = balancer.at("spec.healthCheckNodePort").as_i64().unwrap();
    let mut lower =
        node_ports(&call(&server, "POST", SERVICES, &with("lower", vec![None; 85])).await.success());
    lower.push(health);
    lower.sort_unstable();
    assert_eq!(lower, (30000..=30085).collect::<Vec<i64>>());
    let full = call(&server, "POST", SERVICES, &with("full", vec![None])).await.status();
    assert_eq!(
        (full.0, full.2.contains("failed to allocate a nodePort: range is full")),
        (500, true),
        "{full:?}"
    );
}

#[tokio::test]
async fn node_ports_that_no_service_can_have_are_refused() {
    let server = TestServer::start().await;
    for (kind, port, expected) in [
        (
            "NodePort",
            100_000i64,
            "spec.ports[0].nodePort: Invalid value: 100000: provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
        (
            "NodePort",
            -1,
            "spec.ports[0].nodePort: Invalid value: -1: provided port is not in the valid range",
        ),
        (
            "LoadBalancer",
            80,
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range",
        ),
        ("ClusterIP", 30001, "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
    ] {
        let asked = service("a", value!({"type": kind, "ports": [{"port": 80i64, "nodePort": port}]}));
        let (code, _, message) = call(&server, "POST", SERVICES, &asked).await.status();
        assert_eq!((code, message.contains(expected)), (422, true), "{kind} {port}: {message}");
    }
    let free = service("a", value!({"type": "NodePort", "ports": [{"port": 80i64, "nodePort": 30001i64}]}));
    call(&server, "POST", SERVICES, &free).await.success();
}

#[tokio::test]
async fn networks_and_addresses_are_checked() {
    let server = TestServer::start().await;
    let cidr = |cidrs: Value| value!({"metadata": {"name": "c"}, "spec": {"cidrs": cidrs}});
    for (given, expected) in [
        (value!([]), "spec.cidrs: Required value: at least one CIDR required"),
        (value!(["10.0.0.0/24", "10.1.0.0/24"]), "may specify no more than one IP for each IP family"),
        (value!(["10.0.0.0/24", "fd00::/64", "10.1.0.0/24"]), "may only hold up to 2 values"),
        (value!(["banana"]), "spec.cidrs[0]: Invalid value: \"banana\""),
        (value!(["10.0.0.1/24"]), "spec.cidrs[0]: Invalid value: \"10.0.0.1/24\""),
    ] {
        let (code, _, message) = call(&server, "POST", CIDRS, &cidr(given)).await.status();
        assert_eq!(code, 422, "{message}");
        assert!(message.contains(expected), "{message}");
    }
    call(&server, "POST", CIDRS, &cidr(value!(["10.50.0.0/24"]))).await.success();
    let path = format!("{CIDRS}/c");
    let change = |cidrs: Value| value!({"spec": {"cidrs": cidrs}});
    assert_eq!(call(&server, "PATCH", &path, &change(value!(["10.51.0.0/24"]))).await.code, 422);
    assert_eq!(call(&server, "PATCH", &path, &change(value!(["10.51.0.0/24", "fd50::/64"]))).await.code, 422);
    call(&server, "PATCH", &path, &change(value!(["10.50.0.0/24", "fd50::/64"]))).await.success();

    let address = |parent: Value| value!({"metadata": {"name": "10.50.0.9"}, "spec": {"parentRef": parent}});
    for (given, expected) in [
        (Value::Null, "spec.parentRef: Required value"),
        (value!({"name": "x"}), "spec.parentRef.resource: Required value"),
        (value!({"resource": "services"}), "spec.parentRef.name: Required value"),
        (
            value!({"resource": "services", "name": "x", "group": "A_B"}),
            "spec.parentRef.group: Invalid value",
        ),
        (value!({"resource": "services", "name": "a/b"}), "spec.parentRef.name: Invalid value"),
    ] {
        let (code, _, message) = call(&server, "POST", ADDRESSES, &address(given)).await.status();
        assert_eq!(code, 422, "{message}");
        assert!(message.contains(expected), "{message}");
    }
    let parent = value!({"resource": "services", "name": "x", "namespace": "default"});
    call(&server, "POST", ADDRESSES, &address(parent)).await.success();
    let other = value!({"spec": {"parentRef": {"resource": "services", "name": "y"}}});
    let (code, _, message) = call(&server, "PATCH", &format!("{ADDRESSES}/10.50.0.9"), &other).await.status();
    assert_eq!(code, 422);
    assert!(message.contains("spec.parentRef") && message.contains("field is immutable"), "{message}");
}
