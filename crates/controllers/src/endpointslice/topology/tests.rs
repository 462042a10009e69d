use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeCondition, NodeStatus, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::tests::{carry_out, pod, service, snapshot};
use super::super::{Snapshot, Topology, plan};
use super::*;
use crate::framework::Action;

fn node(zone: &str, cpu: &str) -> Node {
    let mut node = Node::default();
    node.metadata.labels = Some([(ZONE.to_owned(), zone.to_owned())].into());
    node.status = Some(NodeStatus {
        allocatable: Some([("cpu".to_owned(), Quantity(cpu.to_owned()))].into()),
        conditions: Some(vec![NodeCondition {
            type_: "Ready".into(),
            status: "True".into(),
            ..NodeCondition::default()
        }]),
        ..NodeStatus::default()
    });
    node
}

/// Zones `a`, `b`, ... with this much CPU.
fn zones(cpu: &[u32]) -> Shares {
    let nodes: Vec<_> =
        ('a'..).zip(cpu).map(|(zone, cpu)| node(&zone.to_string(), &cpu.to_string())).collect();
    shares(nodes.iter())
}

/// Pods from the number `from` on, one for each letter, on a node in that zone; `-` is a zone that no node has, `!` a
/// pod in zone `a` that is not ready.
fn pods(from: usize, zones: &str) -> Vec<Pod> {
    let pod = |(index, zone): (usize, char)| {
        let mut pod = pod(from + index, 80);
        let node = if zone == '!' { 'a' } else { zone };
        pod.spec.as_mut().unwrap().node_name = Some(node.to_string());
        if zone == '!' {
            pod.status.as_mut().unwrap().conditions = None;
        }
        pod
    };
    zones.chars().enumerate().map(pod).collect()
}

fn asking(shares: &Shares, pods: Vec<Pod>, slices: Vec<EndpointSlice>) -> Snapshot {
    let mut snapshot = snapshot(service(), pods, slices);
    for zone in 'a'..='d' {
        snapshot.nodes.insert(zone.to_string(), Arc::new(node(&zone.to_string(), "1")));
    }
    snapshot.nodes.insert("-".into(), Arc::default());
    snapshot.topology = Topology { is_asked: true, was_asked: false, shares: shares.clone() };
    snapshot
}

/// The zones of the endpoints' hints, in the order of the slices; `.` for none.
fn hints(slices: &[EndpointSlice]) -> String {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints
        .map(|endpoint| hinted_zones(endpoint).map_or(".".to_owned(), |zones| zones[0].name.clone()))
        .collect()
}

/// The events of a plan.
fn told(snapshot: &Snapshot) -> Vec<String> {
    let plan = plan::plan(snapshot);
    let told = plan.actions().into_iter().filter_map(|action| match action {
        Action::Record(note) => Some(format!("{} {}: {}", note.kind.as_str(), note.reason, note.message)),
        _ => None,
    });
    told.collect()
}

#[test]
fn zones_get_endpoints_by_their_cpu() {
    // The zones' CPU, the endpoints' zones, and the zones of their hints.
    let cases: [(&[u32], &str, &str); 12] = [
        (&[1, 1], "ab", "ab"),
        (&[1, 1], "aabb", "aabb"),
        (&[1, 1], "aaab", "baab"),
        (&[1, 1, 1], "aaaabc", "bcaabc"),
        (&[1, 1, 1], "aaabbb", "caacbb"),
        // Three quarters of the CPU, three quarters of the endpoints.
        (&[3, 1], "aabb", "aaab"),
        // Half an endpoint too many does not matter.
        (&[1, 1], "aaaabbb", "aaaabbb"),
        (&[1, 1], "aaaaabb", "baaaabb"),
        (&[1, 1], "a!b", "a.b"),
        // A zone whose nodes do not count keeps its endpoints.
        (&[1, 1], "aaabbbd", "aaabbbd"),
        (&[1, 1], "aaaaaa", "bbbaaa"),
        (&[4, 1, 1], "aabbcc", "aaabac"),
    ];
    for (cpu, before, after) in cases {
        let slices = carry_out(&asking(&zones(cpu), pods(0, before), vec![]));
        assert_eq!(hints(&slices), after, "{cpu:?} {before}");
    }
}

#[test]
fn where_no_share_is_fair_there_are_no_hints() {
    let cases: [(&[u32], &str, &str); 7] = [
        (
            &[1],
            "aab",
            "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes",
        ),
        (&[1, 1], "a", "Insufficient number of endpoints (1 endpoints, 2 zones)"),
        (
            &[1, 1],
            "aab",
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (3 endpoints, 2 \
             zones)",
        ),
        (&[1, 1, 1], "ab!", "Insufficient number of endpoints (2 endpoints, 3 zones)"),
        (
            &[3, 1],
            "ab",
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (2 endpoints, 2 \
             zones)",
        ),
        (&[1, 1], "aa-b", "One or more endpoints do not have a zone specified"),
        (&[1, 1], "", "Insufficient number of endpoints (0 endpoints, 2 zones)"),
    ];
    for (cpu, before, message) in cases {
        let hinted = carry_out(&asking(&zones(&[1, 1]), pods(0, "aabb"), vec![]));
        for present in [vec![], hinted] {
            let snapshot = asking(&zones(cpu), pods(0, before), present);
            assert!(hints(&carry_out(&snapshot)).chars().all(|hint| hint == '.'), "{cpu:?} {before}");
            let warning = format!("Warning TopologyAwareHintsDisabled: {message}, addressType: IPv4");
            assert_eq!(told(&snapshot), [warning], "{cpu:?} {before}");
        }
    }
}

#[test]
fn nodes_that_do_not_count_or_say_too_little() {
    let of = |change: fn(&mut Node)| {
        let mut third = node("c", "2");
        change(&mut third);
        shares([node("a", "3"), node("b", "1"), third].iter()).into_iter().collect::<Vec<_>>()
    };
    let labelled = |name: &str| {
        let mut labelled = node("c", "2");
        labelled.metadata.labels.as_mut().unwrap().insert(name.to_owned(), String::new());
        shares([node("a", "3"), node("b", "1000m"), labelled].iter()).into_iter().collect::<Vec<_>>()
    };
    let without_third = vec![("a".to_owned(), 0.75), ("b".to_owned(), 0.25)];
    assert_eq!(of(|_| {}).len(), 3);
    assert_eq!(of(|node| node.status.as_mut().unwrap().conditions = None), without_third);
    for name in EXCLUDED {
        assert_eq!(labelled(name), without_third, "{name}");
    }
    assert_eq!(of(|node| node.metadata.labels = None), []);
    assert_eq!(of(|node| node.status.as_mut().unwrap().allocatable = None), []);
    // A node that does not count needs no zone or CPU.
    assert_eq!(of(|node| *node = Node::default()), without_third);
    assert_eq!(shares([node("a", "3"), node("a", "1")].iter()), Shares::new(), "one zone");
}

#[test]
fn what_serves_is_not_written_again() {
    let even = zones(&[1, 1]);
    let first = asking(&even, pods(0, "aaab"), vec![]);
    let slices = carry_out(&first);
    assert_eq!(hints(&slices), "baab");
    let mut settled = asking(&even, pods(0, "aaab"), slices.clone());
    settled.topology.was_asked = true;
    assert!(plan::plan(&settled).is_empty());
    // The CPU of zone `a` grows a little: two each still do, and nothing is written.
    let grown = asking(&zones(&[11, 10]), pods(0, "aaab"), slices.clone());
    assert!(plan::plan(&grown).is_empty());
    // It grows a lot: zone `b` needs only one.
    let grown = asking(&zones(&[3, 1]), pods(0, "aaab"), slices.clone());
    assert_eq!(hints(&carry_out(&grown)), "aaab");
    // A zone is added, and the others give it endpoints.
    let slices = carry_out(&asking(&even, pods(0, "aaaabb"), vec![]));
    assert_eq!(hints(&slices), "baaabb");
    let grown = asking(&zones(&[1, 1, 1]), pods(0, "aaaabb"), slices);
    assert_eq!(hints(&carry_out(&grown)), "ccaabb");
    // Endpoints in a zone that does not count: written once.
    let slices = carry_out(&asking(&even, pods(0, "aaabbbd"), vec![]));
    let mut settled = asking(&even, pods(0, "aaabbbd"), slices);
    settled.topology.was_asked = true;
    assert!(plan::plan(&settled).is_empty());
}

#[test]
fn events_tell_when_hints_come_and_go() {
    let even = zones(&[1, 1]);
    let first = asking(&even, pods(0, "ab"), vec![]);
    let enabled =
        "Normal TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4"
            .to_owned();
    assert_eq!(told(&first), [enabled]);
    let slices = carry_out(&first);
    assert_eq!(
        told(&asking(&even, pods(0, "ab"), slices.clone())),
        [] as [&str; 0],
        "a restart tells nothing"
    );
    let mut gone = asking(&even, pods(0, "ab"), slices);
    gone.topology = Topology { was_asked: true, ..Topology::default() };
    assert_eq!(
        told(&gone),
        ["Warning TopologyAwareHintsDisabled: Topology Aware Hints has been disabled, addressType: IPv4"]
    );
    assert_eq!(hints(&carry_out(&gone)), "..");
    // A refusal is reported when the Service asks for hints, and along with changes.
    let few = asking(&even, pods(0, "a"), vec![]);
    let mut settled = asking(&even, pods(0, "a"), carry_out(&few));
    assert_eq!(told(&settled).len(), 1);
    settled.topology.was_asked = true;
    assert!(plan::plan(&settled).is_empty());
}

#[test]
fn the_annotation_comes_before_the_traffic_distribution() {
    let mut near = asking(&zones(&[1, 1]), pods(0, "aaab"), vec![]);
    Arc::make_mut(&mut near.service).spec.as_mut().unwrap().traffic_distribution =
        Some("PreferSameNode".into());
    let slices = carry_out(&near);
    assert_eq!(hints(&slices), "baab");
    // Without the annotation it is followed.
    let mut near = Snapshot { slices: slices.into_iter().map(Arc::new).collect(), ..near };
    near.topology = Topology::default();
    let slices = carry_out(&near);
    assert_eq!(hints(&slices), "aaab");
    // And switching back removes the hints for nodes.
    let slices = carry_out(&asking(&zones(&[1, 1]), pods(0, "aaab"), slices));
    assert_eq!(hints(&slices), "baab");
    let endpoints = slices[0].endpoints.iter().flatten();
    assert!(endpoints.flat_map(|endpoint| &endpoint.hints).all(|hints| hints.for_nodes.is_none()));
}

#[test]
fn annotations_that_ask() {
    let [old, new] = ANNOTATIONS;
    let cases: [(&[(&str, &str)], bool); 7] = [
        (&[], false),
        (&[(new, "Auto")], true),
        (&[(new, "auto")], true),
        (&[(new, "AUTO")], false),
        (&[(old, "Auto")], true),
        (&[(old, "Disabled"), (new, "Auto")], false),
        (&[(old, "auto"), (new, "Disabled")], true),
    ];
    for (annotations, asked) in cases {
        let mut service = service();
        let annotations = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        service.metadata.annotations = Some(annotations.collect());
        assert_eq!(is_asked(&service), asked, "{:?}", service.metadata.annotations);
    }
}
