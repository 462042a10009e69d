use serde_json::{Value as Json, json};

use super::plan::ENDPOINTS_ANNOTATION;
use super::*;
use crate::framework::Action;

fn node(change: Json) -> Node {
    let mut node = json!({
        "metadata": {
            "name": "a", "uid": "node-uid",
            "annotations": {ENDPOINTS_ANNOTATION: "10.42.1.1:53, [fd42:0:0:1::1]:53"},
        },
        "spec": {"podCIDRs": ["10.42.1.0/24", "fd42:0:0:1::/64"]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    for (path, value) in change.as_object().unwrap() {
        *node.pointer_mut(path).unwrap() = value.clone();
    }
    serde_json::from_value(node).unwrap()
}

fn planned(node: &Node, present: &[EndpointSlice]) -> Vec<Action> {
    let present = present.iter().cloned().map(Arc::new).collect();
    let snapshot = Snapshot::Node { node: Arc::new(node.clone()), present };
    ClusterDns::plan(&snapshot, Timestamp::UNIX_EPOCH).actions().into_iter().cloned().collect()
}

/// The slices after the plan, as on a server.
fn done(node: &Node, present: &[EndpointSlice]) -> Vec<EndpointSlice> {
    let mut slices = present.to_vec();
    for action in planned(node, present) {
        match &action {
            Action::Create { object, .. } => slices.push(object.get::<EndpointSlice>().unwrap().clone()),
            Action::Update { object, .. } => {
                let new = object.get::<EndpointSlice>().unwrap();
                *slices.iter_mut().find(|slice| slice.metadata.name == new.metadata.name).unwrap() =
                    new.clone();
            }
            Action::Delete { key, .. } => {
                slices.retain(|slice| slice.metadata.name.as_deref() != Some(&*key.name))
            }
            other => panic!("{other:?}"),
        }
    }
    slices
}

/// `family address,address:port ready`.
fn shown(slices: &[EndpointSlice]) -> Vec<String> {
    let shown = slices.iter().map(|slice| {
        let endpoint = &slice.endpoints.as_ref().unwrap()[0];
        let port = slice.ports.as_ref().unwrap()[0].port.unwrap();
        let ready = endpoint.conditions.as_ref().unwrap().ready.unwrap();
        format!("{} {}:{port} {ready}", slice.address_type, endpoint.addresses.join(","))
    });
    shown.collect()
}

#[test]
fn a_node_has_a_slice_of_each_family() {
    let node = node(json!({}));
    let slices = done(&node, &[]);
    assert_eq!(shown(&slices), ["IPv4 10.42.1.1:53 true", "IPv6 fd42:0:0:1::1:53 true"]);
    let meta = &slices[0].metadata;
    assert_eq!(meta.name.as_deref(), Some("kube-dns-ipv4-a"));
    assert_eq!(meta.owner_references.as_ref().unwrap()[0].uid, "node-uid");
    let endpoint = &slices[0].endpoints.as_ref().unwrap()[0];
    assert_eq!(endpoint.hints.as_ref().unwrap().for_nodes.as_ref().unwrap()[0].name, "a");
    assert!(planned(&node, &slices).is_empty(), "a second plan has nothing to do");
}

#[test]
fn slices_follow_their_node() {
    let slices = done(&node(json!({})), &[]);
    let unready = node(json!({"/status/conditions": [{"type": "Ready", "status": "Unknown"}]}));
    assert_eq!(shown(&done(&unready, &slices)), ["IPv4 10.42.1.1:53 false", "IPv6 fd42:0:0:1::1:53 false"]);
    let single = node(json!({"/metadata/annotations": {ENDPOINTS_ANNOTATION: "10.42.1.1:5353"}}));
    assert_eq!(shown(&done(&single, &slices)), ["IPv4 10.42.1.1:5353 true"]);
    let silent = node(json!({"/metadata/annotations": {}}));
    assert!(done(&silent, &slices).is_empty());
    let anew = node(json!({"/metadata/uid": "other"}));
    let owners = done(&anew, &slices)[0].metadata.owner_references.clone().unwrap();
    assert_eq!((owners.len(), owners[0].uid.as_str()), (1, "other"));
}

#[test]
fn a_node_speaks_for_itself_only() {
    let table = [
        ("192.0.2.7:53", vec!["IPv4 192.0.2.7:53 true"]),
        ("192.0.2.8:53", vec![]),
        ("10.42.2.1:53,10.42.1.1:53", vec!["IPv4 10.42.1.1:53 true"]),
        ("10.42.1.1", vec![]),
        ("10.42.1.1:0", vec![]),
        ("10.42.1.1:53,10.42.1.2:54", vec!["IPv4 10.42.1.1:53 true"]),
        ("nonsense,,", vec![]),
    ];
    for (text, expected) in table {
        let node = node(json!({"/metadata/annotations": {ENDPOINTS_ANNOTATION: text}}));
        assert_eq!(shown(&done(&node, &[])), expected, "{text}");
    }
}

#[test]
fn a_long_name_of_a_node_makes_no_longer_one() {
    let long = "n".repeat(250);
    let node = node(json!({"/metadata/name": long}));
    assert_eq!(done(&node, &[])[0].metadata.name.as_deref(), Some("kube-dns-ipv4-node-uid"));
}

fn service_plan(present: Option<&Service>, addresses: &[&str]) -> Vec<Action> {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let snapshot = Snapshot::Service { present: present.cloned().map(Arc::new), addresses };
    ClusterDns::plan(&snapshot, Timestamp::UNIX_EPOCH).actions().into_iter().cloned().collect()
}

#[test]
fn the_service_has_the_addresses_of_the_cluster() {
    let both = ["10.43.0.10", "fd43::a"];
    let made = service_plan(None, &both)[0].object::<Service>().cloned().unwrap();
    let spec = made.spec.as_ref().unwrap();
    assert_eq!(spec.cluster_ips.as_ref().unwrap().as_slice(), both);
    assert_eq!(spec.ip_family_policy.as_deref(), Some("RequireDualStack"));
    assert!(service_plan(Some(&made), &both).is_empty());

    let mut tampered = made.clone();
    tampered.spec.as_mut().unwrap().ports.as_mut().unwrap().pop();
    tampered.spec.as_mut().unwrap().internal_traffic_policy = Some("Local".into());
    let repaired = service_plan(Some(&tampered), &both)[0].object::<Service>().cloned().unwrap();
    assert_eq!(repaired.spec, made.spec);

    let mut single = made.clone();
    single.spec.as_mut().unwrap().cluster_ips.as_mut().unwrap().pop();
    single.spec.as_mut().unwrap().ip_families = Some(vec!["IPv4".into()]);
    let upgraded = service_plan(Some(&single), &both)[0].object::<Service>().cloned().unwrap();
    assert_eq!(upgraded.spec, made.spec);

    assert!(matches!(service_plan(Some(&made), &["10.43.0.11"])[0], Action::Delete { .. }));
    let mut foreign = made;
    foreign.spec.as_mut().unwrap().selector = Some([("k8s-app".to_owned(), "kube-dns".to_owned())].into());
    assert!(service_plan(Some(&foreign), &["10.43.0.11"]).is_empty(), "somebody's own DNS stays");
}
