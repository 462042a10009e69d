//! Plugins with other arguments than the default ones, and features of nodes.

use serde_json::{Value, json};

use super::labelled;
use crate::framework::{Event, EventKinds, Plugin, Subject};
use crate::plugins::*;
use crate::testing::{cluster, node, on, passing, pod, pod_requesting, scores, verdicts};

fn weighted(resources: &[(&str, i64)]) -> Vec<WeightedResource> {
    let weighted =
        |(name, weight): &(&str, i64)| WeightedResource { name: (*name).to_owned(), weight: *weight };
    resources.iter().map(weighted).collect()
}

fn fit(strategy: FitStrategy, resources: &[(&str, i64)]) -> NodeResourcesFit {
    NodeResourcesFit::new(FitOptions { strategy, resources: weighted(resources), ..FitOptions::default() })
}

/// The scores of a pod on `a`, half of which is used, and on `b`, which is empty.
fn two<P: crate::framework::Score>(plugin: P, requests: Value) -> Option<(i64, i64)> {
    let nodes = ["a", "b"].map(|name| node(name, json!({"status": {"allocatable": {"a.example/gpu": "4"}}})));
    let used = pod_requesting("used", json!({"cpu": "2", "memory": "4Gi", "a.example/gpu": "3"}));
    let mut cache = cluster(&nodes, &[("a", used)]);
    let found = scores(plugin, &pod_requesting("p", requests), &mut cache)?;
    Some((found[0].1, found[1].1))
}

#[test]
fn strategies_prefer_free_full_or_other_nodes() {
    let both = [("cpu", 1), ("memory", 1)];
    let requests = || json!({"cpu": "1", "memory": "2Gi", "a.example/gpu": "1"});
    assert_eq!(two(fit(FitStrategy::LeastAllocated, &both), requests()), Some((25, 75)));
    assert_eq!(two(fit(FitStrategy::MostAllocated, &both), requests()), Some((75, 25)));
    let with_gpu = [("cpu", 1), ("a.example/gpu", 3)];
    assert_eq!(two(fit(FitStrategy::LeastAllocated, &with_gpu), requests()), Some((6, 75)));
    assert_eq!(two(fit(FitStrategy::MostAllocated, &with_gpu), requests()), Some((93, 25)));
    // An extended resource that is not requested does not count.
    assert_eq!(two(fit(FitStrategy::MostAllocated, &with_gpu), json!({"cpu": "1"})), Some((75, 25)));
    // What is requested by default may exceed what there is.
    let crowded = two(fit(FitStrategy::MostAllocated, &[("cpu", 1)]), json!({"cpu": "9"}));
    assert_eq!(crowded, Some((100, 100)));
    assert_eq!(two(fit(FitStrategy::LeastAllocated, &[("nothing", 1)]), requests()), Some((0, 0)));
}

#[test]
fn a_shape_scores_shares() {
    let packing = || FitStrategy::RequestedToCapacityRatio(Shape::new(vec![(0, 0), (100, 100)]));
    let spreading = || FitStrategy::RequestedToCapacityRatio(Shape::new(vec![(0, 100), (100, 0)]));
    let peak = || FitStrategy::RequestedToCapacityRatio(Shape::new(vec![(20, 0), (50, 100), (80, 50)]));
    let cpu = [("cpu", 1)];
    let cases = [
        (fit(packing(), &cpu), "1", (75, 25)),
        (fit(spreading(), &cpu), "1", (25, 75)),
        (fit(packing(), &cpu), "9", (100, 100)),
        // Before the first point and after the last one, the function is level.
        (fit(peak(), &cpu), "500m", (80, 0)),
        (fit(peak(), &cpu), "2", (50, 100)),
    ];
    for (plugin, cpu, wanted) in cases {
        let described = format!("{plugin:?} {cpu}");
        assert_eq!(two(plugin, json!({"cpu": cpu})), Some(wanted), "{described}");
    }
    // An extended resource that is not requested does not count.
    let both = fit(packing(), &[("cpu", 1), ("a.example/gpu", 5)]);
    assert_eq!(two(both, json!({"cpu": "2", "a.example/gpu": "0"})), Some((100, 50)));
}

#[test]
fn resources_can_be_ignored() {
    let ignoring = |ignored: &[&str], groups: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (ignored, ignored_groups) = (owned(ignored), owned(groups));
        NodeResourcesFit::new(FitOptions { ignored, ignored_groups, ..FitOptions::default() })
    };
    let asking =
        pod_requesting("p", json!({"a.example/gpu": "1", "b.example/net": "1", "hugepages-2Mi": "2Mi"}));
    let mut cache = cluster(&[node("a", json!({}))], &[]);
    let (gpu, net) = ("Insufficient a.example/gpu", "Insufficient b.example/net");
    let huge = "Insufficient hugepages-2Mi";
    let cases = [
        (ignoring(&[], &[]), format!("{gpu}, {net}, {huge}")),
        (ignoring(&["a.example/gpu"], &[]), format!("{net}, {huge}")),
        (ignoring(&[], &["a.example", "b.example"]), huge.to_owned()),
        // Only extended resources can be ignored.
        (ignoring(&["hugepages-2Mi"], &["b.example"]), format!("{gpu}, {huge}")),
    ];
    for (plugin, wanted) in cases {
        assert_eq!(verdicts(plugin, &asking, &mut cache)[0].1, wanted);
    }
}

#[test]
fn balance_counts_any_resources() {
    let three =
        || NodeResourcesBalancedAllocation::new(weighted(&[("cpu", 1), ("memory", 1), ("a.example/gpu", 1)]));
    // On `a` the shares go from 1/2, 1/2, 3/4 to 3/4, 3/4, 1; on `b` from nothing to 1/4 each.
    let requests = json!({"cpu": "1", "memory": "2Gi", "a.example/gpu": "1"});
    assert_eq!(two(three(), requests), Some((75, 75)));
    assert_eq!(two(three(), json!({"a.example/gpu": "1"})), Some((69, 69)));
    assert_eq!(two(NodeResourcesBalancedAllocation::default(), json!({"a.example/gpu": "1"})), None);
}

fn terms(affinity: Value) -> semantics::NodeTerms {
    let tree: object::Value =
        serde_json::from_value(json!({"affinity": {"nodeAffinity": affinity}})).unwrap();
    semantics::NodeTerms::new(&tree)
}

#[test]
fn added_affinity_holds_for_all_pods() {
    let nodes = [labelled("a", json!({"disk": "ssd"})), labelled("b", json!({"disk": "hdd"}))];
    let term =
        |value: &str| json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": [value]}]});
    let required =
        json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term("ssd")]}});
    let added = || NodeAffinity::with_added(terms(required.clone()));
    let mut cache = cluster(&nodes, &[]);
    let found = verdicts(added(), &pod("p", json!({})), &mut cache);
    assert_eq!(found[0].1, "");
    assert_eq!(found[1].1, "node(s) didn't match scheduler-enforced node affinity");
    let found = verdicts(added(), &pod("p", json!({"nodeSelector": {"disk": "hdd"}})), &mut cache);
    assert_eq!(found[0].1, "node(s) didn't match Pod's node affinity/selector");
    let preferred = json!({"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 5, "preference": term("hdd")}]});
    let plugin = NodeAffinity::with_added(terms(preferred));
    let found = scores(plugin, &pod("p", json!({})), &mut cache);
    assert_eq!(found, Some(vec![("a".into(), 0), ("b".into(), 100)]));
    let helps = |name: &str| {
        let mut cache = cluster(&nodes, &[]);
        let subject = Subject::Node(cache.snapshot().node_named(name).unwrap());
        added().may_help(&pod("p", json!({})), &Event { kinds: EventKinds::NODE_LABELS, subject })
    };
    assert_eq!((helps("a"), helps("b")), (true, false));
}

#[test]
fn the_affinity_of_running_pods_weighs_as_configured() {
    let nodes = ["a", "b"].map(|name| labelled(name, json!({"zone": name})));
    let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "p"}}});
    let required =
        json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let preferred = json!({"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 10, "podAffinityTerm": term}]}}});
    let mut cache = cluster(&nodes, &[]);
    cache.set_pod(on("a", &pod("demands", required)), "a");
    cache.set_pod(on("b", &pod("wishes", preferred)), "b");
    let waiting = pod("p", json!({}));
    let mut found = |weight, ignores| {
        let scores = scores(InterPodAffinity::new(weight, ignores), &waiting, &mut cache)?;
        Some((scores[0].1, scores[1].1))
    };
    assert_eq!(found(1, false), Some((0, 100)));
    assert_eq!(found(100, false), Some((100, 0)));
    assert_eq!(found(0, false), Some((0, 100)));
    assert_eq!(found(100, true), None);
}

#[test]
fn nodes_must_have_declared_what_a_pod_needs() {
    let declaring =
        |name: &str, features: Value| node(name, json!({"status": {"declaredFeatures": features}}));
    let nodes = [
        declaring("a", json!(["RestartAllContainersOnContainerExits"])),
        declaring("b", json!(["RestartAllContainersOnContainerExits", "UserNamespacesHostNetworkSupport"])),
        node("c", json!({})),
    ];
    let restarting =
        json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}]);
    let rules = |rules: Value| json!({"containers": [{"name": "main", "restartPolicyRules": rules}]});
    let mut both = rules(restarting.clone());
    both["hostNetwork"] = json!(true);
    both["hostUsers"] = json!(false);
    let init = json!({"initContainers": [{"name": "first", "restartPolicyRules": restarting}]});
    let cases: [(Value, &[&str]); 6] = [
        (json!({}), &["a", "b", "c"]),
        (rules(json!([{"action": "Restart"}])), &["a", "b", "c"]),
        (json!({"hostUsers": false}), &["a", "b", "c"]),
        (rules(restarting.clone()), &["a", "b"]),
        (init, &["a", "b"]),
        (both.clone(), &["b"]),
    ];
    let mut cache = cluster(&nodes, &[]);
    for (spec, wanted) in cases {
        assert_eq!(passing(NodeDeclaredFeatures, &pod("p", spec.clone()), &mut cache), wanted, "{spec}");
    }
    let needing = pod("p", both);
    let found = verdicts(NodeDeclaredFeatures, &needing, &mut cache);
    assert_eq!(found[2].1, "node(s) didn't match Pod's required features");
    let snapshot = cache.snapshot();
    let helps = |name: &str| {
        let subject = Subject::Node(snapshot.node_named(name).unwrap());
        NodeDeclaredFeatures.may_help(&needing, &Event { kinds: EventKinds::NODE_FEATURES, subject })
    };
    assert_eq!((helps("a"), helps("b")), (false, true));
}
