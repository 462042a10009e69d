use serde_json::json;

use super::*;

fn node(value: serde_json::Value) -> Node {
    serde_json::from_value(value).unwrap()
}

#[test]
fn nodes_become_peers() {
    let nodes = [
        node(json!({
            "metadata": {"name": "b", "annotations": {
                BACKEND_TYPE: "vxlan", BACKEND_DATA: r#"{"vtepMAC":"06:00:00:00:00:02","later":1}"#,
                PUBLIC_IP: "192.0.2.2, fd99::2",
            }},
            "spec": {"podCIDR": "10.42.1.0/24", "podCIDRs": ["10.42.1.0/24", "fd42:0:0:1::/64"]},
        })),
        node(json!({"metadata": {"name": "here"}, "spec": {"podCIDR": "10.42.0.0/24"}})),
        node(json!({"metadata": {"name": "no-subnet-yet"}, "spec": {}})),
        node(json!({
            "metadata": {"name": "a", "annotations": {
                BACKEND_DATA: "{", PUBLIC_IP: "nonsense,127.0.0.1",
            }},
            "spec": {"podCIDR": "10.42.2.0/24"},
            "status": {"addresses": [
                {"type": "Hostname", "address": "a"},
                {"type": "InternalIP", "address": "192.0.2.3"},
                {"type": "InternalIP", "address": "192.0.2.4"},
            ]},
        })),
    ];
    let peer = |name: &str, subnets: &[&str], addresses: &[&str], mac: Option<&str>| Peer {
        backend: mac.map(|_| BackendType::Vxlan),
        name: name.to_owned(),
        subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        vtep_mac: mac.map(|text| text.parse().unwrap()),
    };
    assert_eq!(
        peers_of("here", nodes.iter()),
        [
            peer("a", &["10.42.2.0/24"], &["192.0.2.3"], None),
            peer(
                "b",
                &["10.42.1.0/24", "fd42:0:0:1::/64"],
                &["192.0.2.2", "fd99::2"],
                Some("06:00:00:00:00:02")
            ),
        ]
    );
}

#[test]
fn a_node_writes_what_it_does_not_say_yet() {
    let data = BackendData { vtep_mac: Some("06:00:00:00:00:02".to_owned()) };
    let wanted = annotations(BackendType::Vxlan, &data, &["192.0.2.2".parse().unwrap()]);
    let mut here =
        node(json!({"metadata": {"name": "b", "annotations": {BACKEND_TYPE: "vxlan", "other": "x"}}}));
    let missing_now = missing(&here, &wanted);
    assert_eq!(missing_now.keys().copied().collect::<Vec<_>>(), [BACKEND_DATA, PUBLIC_IP]);
    let all = here.metadata.annotations.as_mut().unwrap();
    all.extend(missing_now.into_iter().map(|(name, value)| (name.to_owned(), value.unwrap())));
    assert!(missing(&here, &wanted).is_empty());
    let none = annotations(BackendType::None, &BackendData::default(), &[]);
    assert!(missing(&here, &none).values().all(Option::is_none) && missing(&here, &none).len() == 3);
}
