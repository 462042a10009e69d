use serde_json::{Value as Json, json};

use super::*;

const READY: &str = "ready";

/// An endpoint at 10.0.0.`last`, on `node`, in the state that the words of `state` say.
fn endpoint(last: u8, node: &str, state: &str, zone_hint: Option<&str>) -> Json {
    json!({
        "addresses": [format!("10.0.0.{last}")],
        "nodeName": node,
        "conditions": {
            "ready": state.contains(READY),
            "serving": state.contains(READY) || state.contains("serving"),
            "terminating": state.contains("terminating"),
        },
        "hints": zone_hint.map(|zone| json!({"forZones": [{"name": zone}]})),
    })
}

fn slice(endpoints: Vec<Json>) -> EndpointSlice {
    serde_json::from_value(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {},
        "addressType": "IPv4",
        "ports": [{"name": "web", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        "endpoints": endpoints,
    }))
    .unwrap()
}

fn last_octets(targets: &[Target]) -> Vec<u8> {
    targets.iter().map(|t| if let IpAddr::V4(v4) = t.address { v4.octets()[3] } else { 0 }).collect()
}

#[test]
fn states_hints_and_nodes_decide() {
    let here = Place { node: "here".into(), zone: Some("z1".into()), families: vec![Family::V4] };
    let (r, st, t) = ("ready", "serving terminating", "terminating");
    // Existing endpoints; those chosen for policy Cluster; for policy Local.
    type Case = (&'static str, Vec<Json>, Vec<u8>, Vec<u8>);
    let cases: Vec<Case> = vec![
        (
            "ready ones only",
            vec![endpoint(1, "here", r, None), endpoint(2, "there", "", None)],
            vec![1],
            vec![1],
        ),
        (
            "ready before serving",
            vec![endpoint(1, "here", st, None), endpoint(2, "there", r, None)],
            vec![2],
            vec![1],
        ),
        (
            "serving stand in",
            vec![endpoint(1, "here", st, None), endpoint(2, "there", t, None)],
            vec![1],
            vec![1],
        ),
        ("nobody serves", vec![endpoint(1, "here", t, None)], vec![], vec![]),
        ("own zone", vec![endpoint(1, "a", r, Some("z1")), endpoint(2, "b", r, Some("z2"))], vec![1], vec![]),
        (
            "one without hint",
            vec![endpoint(1, "a", r, Some("z1")), endpoint(2, "b", r, None)],
            vec![1, 2],
            vec![],
        ),
        (
            "no hint for us",
            vec![endpoint(1, "a", r, Some("z3")), endpoint(2, "b", r, Some("z2"))],
            vec![1, 2],
            vec![],
        ),
        (
            "in two slices",
            vec![endpoint(1, "here", "", None), endpoint(1, "here", r, None)],
            vec![1],
            vec![1],
        ),
    ];
    for (name, endpoints, cluster, local) in cases {
        let slice = slice(endpoints);
        let chosen = choose([&slice].into_iter(), Family::V4, "web", Protocol::Tcp, &here);
        assert_eq!(last_octets(&chosen.cluster), cluster, "{name}: cluster");
        assert_eq!(last_octets(&chosen.local), local, "{name}: local");
    }
}

#[test]
fn hints_are_followed_only_where_they_help() {
    let place = |zone: Option<&str>| Place {
        node: "here".into(),
        zone: zone.map(str::to_owned),
        families: vec![Family::V4],
    };
    // An endpoint that is meant for the nodes and zones named, each after its initial.
    let hinted = |last: u8, state: &str, hints: &[&str]| {
        let named = |initial: char| -> Vec<Json> {
            let names = hints.iter().filter_map(|hint| hint.strip_prefix(initial));
            names.map(|name| json!({"name": name})).collect()
        };
        let mut endpoint = endpoint(last, "somewhere", state, None);
        endpoint["hints"] = json!({"forNodes": named('n'), "forZones": named('z')});
        endpoint
    };
    type Case = (&'static str, Option<&'static str>, Vec<Json>, Vec<u8>);
    let cases: Vec<Case> = vec![
        ("a node without zone", None, vec![hinted(1, READY, &["za"]), hinted(2, READY, &["zb"])], vec![1, 2]),
        (
            "a zone with several",
            Some("a"),
            vec![hinted(1, READY, &["za"]), hinted(2, READY, &["zb", "za"]), hinted(3, READY, &["zb"])],
            vec![1, 2],
        ),
        (
            "one that is not ready needs no hint, and its hint is none",
            Some("a"),
            vec![hinted(1, READY, &["zb"]), hinted(2, "serving terminating", &["za"]), hinted(3, "", &[])],
            vec![1],
        ),
        (
            "the node before the zone",
            Some("a"),
            vec![hinted(1, READY, &["nthere", "za"]), hinted(2, READY, &["nhere", "zb"])],
            vec![2],
        ),
        (
            "the zone where the node has none",
            Some("a"),
            vec![hinted(1, READY, &["nthere", "za"]), hinted(2, READY, &["nelsewhere", "zb"])],
            vec![1],
        ),
        (
            "the zone where not all say the node",
            Some("a"),
            vec![hinted(1, READY, &["nhere", "zb"]), hinted(2, READY, &["za"])],
            vec![2],
        ),
    ];
    for (name, zone, endpoints, wanted) in cases {
        let slice = slice(endpoints);
        let chosen = choose([&slice].into_iter(), Family::V4, "web", Protocol::Tcp, &place(zone));
        assert_eq!(last_octets(&chosen.cluster), wanted, "{name}");
    }
}

#[test]
fn ports_go_by_name_and_protocol() {
    let slice = slice(vec![endpoint(1, "n", READY, None)]);
    let place = Place::default();
    let port = |name, protocol, family| {
        choose([&slice].into_iter(), family, name, protocol, &place).cluster.first().map(|t| t.port)
    };
    assert_eq!(port("web", Protocol::Tcp, Family::V4), Some(80));
    assert_eq!(port("dns", Protocol::Udp, Family::V4), Some(53));
    assert_eq!(port("dns", Protocol::Tcp, Family::V4), None);
    assert_eq!(port("", Protocol::Tcp, Family::V4), None);
    assert_eq!(port("web", Protocol::Tcp, Family::V6), None);
}

#[test]
fn positions_are_kept_where_possible() {
    let targets = |lasts: &[u8]| -> Vec<Target> {
        lasts.iter().map(|l| Target { address: [10, 0, 0, *l].into(), port: 80 }).collect()
    };
    let cases: [(&[u8], &[u8], &[u8]); 6] = [
        (&[], &[1, 2], &[1, 2]),
        (&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]),
        (&[1, 2, 3], &[2, 3], &[3, 2]),
        (&[1, 2, 3], &[1, 3, 4], &[1, 4, 3]),
        (&[2, 1], &[1, 2, 3], &[2, 1, 3]),
        (&[1, 2], &[], &[]),
    ];
    for (before, wanted, after) in cases {
        let kept = keep_positions(&targets(before), &targets(wanted));
        assert_eq!(last_octets(&kept), after, "{before:?} to {wanted:?}");
    }
}
