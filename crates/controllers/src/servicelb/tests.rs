use serde_json::{Value as Json, json};

use super::snapshot::{CLASS, FINALIZER};
use super::*;
use crate::framework::Action;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn service(name: &str, created: u8, spec: Json) -> Service {
    let mut service = json!({
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": format!("2025-01-01T00:00:{created:02}Z")},
        "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4"], "ports": [{"port": 80, "protocol": "TCP"}]},
    });
    for (field, value) in spec.as_object().unwrap() {
        service["spec"][field] = value.clone();
    }
    serde_json::from_value(service).unwrap()
}

fn node(name: &str, labels: Json, addresses: &[(&str, &str)]) -> Arc<Node> {
    let addresses: Vec<Json> =
        addresses.iter().map(|(kind, address)| json!({"type": kind, "address": address})).collect();
    let node = json!({
        "metadata": {"name": name, "labels": labels},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}], "addresses": addresses,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    });
    Arc::new(serde_json::from_value(node).unwrap())
}

fn snapshot(services: Vec<Service>) -> Snapshot {
    let nodes = vec![
        node(
            "b",
            json!({}),
            &[("InternalIP", "192.0.2.2"), ("ExternalIP", "198.51.100.2"), ("Hostname", "b")],
        ),
        node("a", json!({}), &[("InternalIP", "192.0.2.1"), ("InternalIP", "fd99::1")]),
        node(
            "c",
            json!({"node.kubernetes.io/exclude-from-external-load-balancers": ""}),
            &[("InternalIP", "192.0.2.3")],
        ),
    ];
    let node_ports = services
        .iter()
        .flat_map(|service| plan::node_ports(service).map(|port| (port, key_of(service))))
        .collect();
    let services = services.into_iter().map(Arc::new).collect();
    Snapshot { services, nodes, node_ports, api_ports: [6443].into(), ..Snapshot::default() }
}

/// The snapshot and the reasons of events after a plan is carried out.
fn carry_out(snapshot: &Snapshot) -> (Snapshot, Vec<&'static str>) {
    let mut after = snapshot.clone();
    let mut reasons = Vec::new();
    for action in plan::plan(snapshot, now()).actions() {
        match action {
            Action::Record(note) => reasons.push(note.reason),
            other => {
                let written = other.object::<Service>().unwrap();
                let is_it = |service: &&mut Arc<Service>| service.metadata.name == written.metadata.name;
                *after.services.iter_mut().find(is_it).unwrap() = Arc::new(written.clone());
            }
        }
    }
    assert!(plan::plan(&after, now()).is_empty(), "a second plan does nothing");
    (after, reasons)
}

fn addresses(snapshot: &Snapshot, index: usize) -> Vec<&str> {
    let status = snapshot.services[index].status.as_ref();
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    assert!(ingress.iter().all(|ingress| ingress.ip_mode.as_deref() == Some("VIP")));
    ingress.iter().filter_map(|ingress| ingress.ip.as_deref()).collect()
}

#[test]
fn a_service_has_the_addresses_of_all_nodes_of_its_families() {
    let (after, reasons) = carry_out(&snapshot(vec![service("web", 0, json!({}))]));
    assert_eq!(addresses(&after, 0), ["192.0.2.1", "198.51.100.2", "192.0.2.2"]);
    assert_eq!(after.services[0].metadata.finalizers.as_deref(), Some(&[FINALIZER.to_owned()][..]));
    assert_eq!(reasons, ["EnsuredLoadBalancer"]);
    let dual = json!({"ipFamilies": ["IPv6", "IPv4"], "loadBalancerClass": CLASS});
    let (after, _) = carry_out(&snapshot(vec![service("web", 0, dual)]));
    assert_eq!(addresses(&after, 0), ["192.0.2.1", "fd99::1", "198.51.100.2", "192.0.2.2"]);

    let mut fewer = after;
    let mut gone = Node::clone(&fewer.nodes[0]);
    gone.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "Unknown".to_owned();
    fewer.nodes[0] = Arc::new(gone);
    let (after, reasons) = carry_out(&fewer);
    assert_eq!(addresses(&after, 0), ["192.0.2.1", "fd99::1"]);
    assert_eq!(reasons, ["UpdatedLoadBalancer"]);
}

#[test]
fn with_local_traffic_only_nodes_with_endpoints_take_part() {
    let mut local = snapshot(vec![service("web", 0, json!({"externalTrafficPolicy": "Local"}))]);
    assert_eq!(addresses(&carry_out(&local).0, 0), [""; 0]);
    local.local.insert(ObjectKey::namespaced("default", "web"), ["a".to_owned(), "c".to_owned()].into());
    assert_eq!(addresses(&carry_out(&local).0, 0), ["192.0.2.1"]);
}

#[test]
fn of_two_services_with_one_port_the_older_has_it() {
    let udp = json!({"ports": [{"port": 80, "protocol": "UDP"}]});
    let (after, reasons) = carry_out(&snapshot(vec![
        service("young", 9, json!({})),
        service("old", 1, json!({})),
        service("udp", 5, udp),
    ]));
    assert_eq!([0, 1, 2].map(|index| addresses(&after, index).len()), [0, 3, 3]);
    let status = after.services[0].status.as_ref().unwrap();
    let condition = &status.conditions.as_ref().unwrap()[0];
    assert_eq!(
        (condition.type_.as_str(), condition.reason.as_str()),
        ("LoadBalancerPortsError", "PortConflict")
    );
    assert_eq!(condition.message, "port 80/TCP is taken by the load balancer of default/old");
    assert!(reasons.contains(&"SyncLoadBalancerFailed"), "{reasons:?}");

    let mut alone = after;
    alone.services.remove(1);
    let (after, reasons) = carry_out(&alone);
    assert_eq!((addresses(&after, 0).len(), reasons), (3, vec!["EnsuredLoadBalancer"]));
    assert_eq!(after.services[0].status.as_ref().unwrap().conditions, None);
}

#[test]
fn of_two_services_of_one_second_the_one_that_has_the_port_keeps_it() {
    let (mut both, _) = carry_out(&snapshot(vec![service("web", 1, json!({}))]));
    both.services.push(Arc::new(service("a-late-one", 1, json!({}))));
    let (after, _) = carry_out(&both);
    assert_eq!([0, 1].map(|index| addresses(&after, index).len()), [3, 0]);
}

#[test]
fn the_ports_of_the_nodes_themselves_are_taken() {
    for (port, owner) in
        [(6443, "the API server"), (10250, "the nodes' own API"), (30080, "the node port of default/np")]
    {
        let spec = json!({"ports": [{"port": port}]});
        let node_port = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]});
        let mut both = snapshot(vec![service("web", 0, spec), service("np", 0, node_port)]);
        both.services.truncate(1);
        let (after, _) = carry_out(&both);
        let message = &after.services[0].status.as_ref().unwrap().conditions.as_ref().unwrap()[0].message;
        assert_eq!(*message, format!("port {port}/TCP is taken by {owner}"));
    }
}

#[test]
fn it_is_taken_back_with_the_service_or_its_type() {
    let (ready, _) = carry_out(&snapshot(vec![service("web", 0, json!({}))]));
    let change = |change: fn(&mut Service)| {
        let mut changed = ready.clone();
        change(Arc::make_mut(&mut changed.services[0]));
        let (after, reasons) = carry_out(&changed);
        (addresses(&after, 0).len(), after.services[0].metadata.finalizers.clone(), reasons)
    };
    let released = (0, None, vec!["DeletedLoadBalancer"]);
    assert_eq!(
        change(|service| service.metadata.deletion_timestamp = Some(crate::framework::api_time(now()))),
        released
    );
    assert_eq!(change(|service| service.spec.as_mut().unwrap().type_ = Some("ClusterIP".into())), released);

    let other = snapshot(vec![service("web", 0, json!({"loadBalancerClass": "example.com/lb"}))]);
    assert!(plan::plan(&other, now()).is_empty(), "another controller's business");
}
