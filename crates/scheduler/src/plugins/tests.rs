//! Tables for all plugins: their verdicts about nodes `a`, `b`, ... and a pod.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::*;
use crate::framework::{Event, EventKinds, Plugin, PreEnqueue, Subject};
use crate::state::PodInfo;
use crate::testing::{cluster, decide, node, passing, pod, pod_requesting, scores, verdicts};

mod affinity;
mod options;
mod preemption;
mod recount;
mod spread;
mod spread_defaults;
mod volumes;

fn labelled(name: &str, labels: Value) -> Arc<Node> {
    node(name, json!({"metadata": {"labels": labels}}))
}

fn tainted(name: &str, key: &str, value: &str, effect: &str) -> Arc<Node> {
    node(name, json!({"spec": {"taints": [{"key": key, "value": value, "effect": effect}]}}))
}

fn tolerating(toleration: Value) -> Arc<PodInfo> {
    pod("p", json!({"tolerations": [toleration]}))
}

#[test]
fn taints_reject_unless_tolerated() {
    let nodes = [
        node("a", json!({})),
        tainted("b", "k", "5", "NoSchedule"),
        tainted("c", "k", "5", "NoExecute"),
        tainted("d", "k", "5", "PreferNoSchedule"),
    ];
    let cases: [(Value, &[&str]); 8] = [
        (json!({"key": "other", "operator": "Exists"}), &["a", "d"]),
        (json!({"operator": "Exists"}), &["a", "b", "c", "d"]),
        (json!({"key": "k", "operator": "Exists", "effect": "NoSchedule"}), &["a", "b", "d"]),
        (json!({"key": "k", "value": "5"}), &["a", "b", "c", "d"]),
        (json!({"key": "k", "operator": "Equal", "value": "6"}), &["a", "d"]),
        (json!({"key": "k", "operator": "Lt", "value": "6"}), &["a", "b", "c", "d"]),
        (json!({"key": "k", "operator": "Gt", "value": "6"}), &["a", "d"]),
        (json!({"key": "k", "operator": "Gt", "value": "x"}), &["a", "d"]),
    ];
    for (toleration, wanted) in cases {
        let found = passing(TaintToleration, &tolerating(toleration.clone()), &mut cluster(&nodes, &[]));
        assert_eq!(found, wanted, "{toleration}");
    }
    let verdict = &verdicts(TaintToleration, &pod("p", json!({})), &mut cluster(&nodes, &[]))[1];
    assert_eq!(verdict.1, "node(s) had untolerated taint(s)");
}

#[test]
fn taints_that_only_ask_lower_the_score() {
    let nodes = [node("a", json!({})), tainted("b", "k", "", "PreferNoSchedule")];
    let mut asked = cluster(&nodes, &[]);
    let plain = pod("p", json!({}));
    assert_eq!(scores(TaintToleration, &plain, &mut asked), Some(vec![("a".into(), 100), ("b".into(), 0)]));
    let tolerant = tolerating(json!({"operator": "Exists"}));
    assert_eq!(
        scores(TaintToleration, &tolerant, &mut asked),
        Some(vec![("a".into(), 100), ("b".into(), 100)])
    );
    assert_eq!(scores(TaintToleration, &plain, &mut cluster(&nodes[..1], &[])), None);
}

#[test]
fn hints_look_at_the_node() {
    let waiting = tolerating(json!({"key": "k", "operator": "Exists"}));
    let cases = [("k", true), ("other", false)];
    for (key, helps) in cases {
        let mut cache = cluster(&[tainted("a", key, "", "NoSchedule")], &[]);
        let subject = Subject::Node(cache.snapshot().node_named("a").unwrap());
        let event = Event { kinds: EventKinds::NODE_TAINTS, subject };
        assert_eq!(TaintToleration.may_help(&waiting, &event), helps, "{key}");
    }
    let (fits, large) = (pod_requesting("p", json!({"cpu": "4"})), pod_requesting("p", json!({"cpu": "5"})));
    let mut cache = cluster(&[node("a", json!({}))], &[]);
    let subject = Subject::Node(cache.snapshot().node_named("a").unwrap());
    let event = Event { kinds: EventKinds::NODE_ADDED, subject };
    assert!(NodeResourcesFit::default().may_help(&fits, &event));
    assert!(!NodeResourcesFit::default().may_help(&large, &event));
}

#[test]
fn cordoned_nodes_are_left_out() {
    let nodes = [node("a", json!({})), node("b", json!({"spec": {"unschedulable": true}}))];
    let found = verdicts(NodeUnschedulable, &pod("p", json!({})), &mut cluster(&nodes, &[]));
    assert_eq!(found[1].1, "node(s) were unschedulable");
    let daemon = tolerating(json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}));
    assert_eq!(passing(NodeUnschedulable, &daemon, &mut cluster(&nodes, &[])), ["a", "b"]);
}

#[test]
fn a_named_node_is_the_only_one() {
    let nodes = [node("a", json!({})), node("b", json!({}))];
    let found = verdicts(NodeName, &pod("p", json!({"nodeName": "b"})), &mut cluster(&nodes, &[]));
    assert_eq!(found[0].1, "node(s) didn't match the requested node name");
    assert_eq!(found[1].1, "");
    assert_eq!(passing(NodeName, &pod("p", json!({})), &mut cluster(&nodes, &[])), ["a", "b"]);
}

fn required(terms: Value) -> Value {
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": terms}}}})
}

fn expression(key: &str, operator: &str, values: Value) -> Value {
    json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
}

fn field(operator: &str, name: &str) -> Value {
    json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]})
}

#[test]
fn node_affinity_matches_labels_and_names() {
    let nodes = [
        labelled("a", json!({"disk": "ssd", "cpus": "8"})),
        labelled("b", json!({"disk": "hdd", "cpus": "16"})),
        node("c", json!({})),
    ];
    let cases: [(Value, &[&str]); 13] = [
        (json!({}), &["a", "b", "c"]),
        (json!({"nodeSelector": {"disk": "ssd"}}), &["a"]),
        (required(json!([expression("disk", "In", json!(["ssd", "nvme"]))])), &["a"]),
        (required(json!([expression("disk", "NotIn", json!(["ssd"]))])), &["b", "c"]),
        (required(json!([expression("disk", "Exists", Value::Null)])), &["a", "b"]),
        (required(json!([expression("disk", "DoesNotExist", Value::Null)])), &["c"]),
        (required(json!([expression("cpus", "Gt", json!(["8"]))])), &["b"]),
        (required(json!([expression("cpus", "Lt", json!(["16"]))])), &["a"]),
        // One of the terms is enough; an empty one matches nothing, and so does one that is malformed.
        (required(json!([expression("disk", "In", json!(["ssd"])), field("In", "c")])), &["a", "c"]),
        (required(json!([{}, expression("disk", "Like", json!(["ssd"]))])), &[]),
        (required(json!([field("In", "b")])), &["b"]),
        (required(json!([field("NotIn", "b")])), &["a", "c"]),
        (required(json!([field("In", "elsewhere")])), &[]),
    ];
    for (spec, wanted) in cases {
        let found = passing(NodeAffinity::default(), &pod("p", spec.clone()), &mut cluster(&nodes, &[]));
        assert_eq!(found, wanted, "{spec}");
    }
    let found = verdicts(
        NodeAffinity::default(),
        &pod("p", json!({"nodeSelector": {"x": "y"}})),
        &mut cluster(&nodes, &[]),
    );
    assert_eq!(found[0].1, "node(s) didn't match Pod's node affinity/selector");
}

#[test]
fn contradicting_names_reject_at_once() {
    let both = json!([{"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": ["a"]},
        {"key": "metadata.name", "operator": "In", "values": ["b"]},
    ]}]);
    let mut cache = cluster(&[node("a", json!({}))], &[]);
    let message = decide(&default_profile(), &pod("p", required(both)), &mut cache).unwrap_err();
    assert_eq!(
        message,
        "0/1 nodes are available: pod affinity terms conflict. \
         preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    );
}

#[test]
fn preferred_nodes_score_by_weight() {
    let nodes =
        [labelled("a", json!({"disk": "ssd"})), labelled("b", json!({"disk": "hdd"})), node("c", json!({}))];
    let spec = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 2, "preference": expression("disk", "Exists", Value::Null)},
        {"weight": 6, "preference": expression("disk", "In", json!(["ssd"]))},
        {"weight": 9, "preference": {}},
    ]}}});
    let found = scores(NodeAffinity::default(), &pod("p", spec), &mut cluster(&nodes, &[]));
    assert_eq!(found, Some(vec![("a".into(), 100), ("b".into(), 25), ("c".into(), 0)]));
}

fn port(ip: &str, protocol: &str, port: i32) -> Value {
    json!({"containers": [{"name": "main", "ports": [
        {"containerPort": 80, "hostPort": port, "hostIP": ip, "protocol": protocol}]}]})
}

#[test]
fn host_ports_are_given_once() {
    let cases = [
        (port("", "TCP", 80), false),
        (port("127.0.0.1", "TCP", 80), false),
        (port("", "UDP", 80), true),
        (port("", "TCP", 81), true),
        (json!({}), true),
    ];
    for (spec, free) in cases {
        let taken = pod("taken", port("0.0.0.0", "TCP", 80));
        let mut cache = cluster(&[node("a", json!({}))], &[("a", taken)]);
        let found = verdicts(NodePorts, &pod("p", spec.clone()), &mut cache);
        let wanted = if free { "" } else { "node(s) didn't have free ports for the requested pod ports" };
        assert_eq!(found[0].1, wanted, "{spec}");
    }
    let (one, other) = (pod("one", port("10.0.0.1", "TCP", 80)), pod("other", port("10.0.0.2", "TCP", 80)));
    assert_eq!(passing(NodePorts, &other, &mut cluster(&[node("a", json!({}))], &[("a", one)])), ["a"]);
}

#[test]
fn resources_must_suffice() {
    let used = pod_requesting("used", json!({"cpu": "3", "memory": "6Gi", "example.com/gpu": "1"}));
    let gpus = node("a", json!({"status": {"allocatable": {"example.com/gpu": "2"}}}));
    let cases = [
        (json!({"cpu": "1", "memory": "2Gi", "example.com/gpu": "1"}), ""),
        (json!({"cpu": "1001m"}), "Insufficient cpu"),
        (json!({"cpu": "2", "memory": "3Gi"}), "Insufficient cpu, Insufficient memory"),
        (json!({"ephemeral-storage": "1"}), "Insufficient ephemeral-storage"),
        (json!({"example.com/gpu": "2"}), "Insufficient example.com/gpu"),
        (json!({"example.com/none": "1"}), "Insufficient example.com/none"),
        (json!({"example.com/none": "0"}), ""),
    ];
    for (requests, wanted) in cases {
        let mut cache = cluster(std::slice::from_ref(&gpus), &[("a", used.clone())]);
        let found = verdicts(NodeResourcesFit::default(), &pod_requesting("p", requests.clone()), &mut cache);
        assert_eq!(found[0].1, wanted, "{requests}");
    }
    let full = node("a", json!({"status": {"allocatable": {"pods": "1"}}}));
    let found =
        verdicts(NodeResourcesFit::default(), &pod("p", json!({})), &mut cluster(&[full], &[("a", used)]));
    assert_eq!(found[0].1, "Too many pods");
}

#[test]
fn the_emptier_node_scores_higher() {
    let used = pod_requesting("used", json!({"cpu": "2", "memory": "4Gi"}));
    let mut cache = cluster(&[node("a", json!({})), node("b", json!({}))], &[("a", used)]);
    let wanting = pod_requesting("p", json!({"cpu": "1", "memory": "2Gi"}));
    let found = scores(NodeResourcesFit::default(), &wanting, &mut cache);
    assert_eq!(found, Some(vec![("a".into(), 25), ("b".into(), 75)]));
    // Pods without requests count as 100m and 200Mi: 97 of 100 of each are left.
    assert_eq!(scores(NodeResourcesFit::default(), &pod("p", json!({})), &mut cache).unwrap()[1].1, 97);
}

#[test]
fn balance_is_preferred() {
    let used = pod_requesting("used", json!({"cpu": "2"}));
    let mut cache = cluster(&[node("a", json!({})), node("b", json!({}))], &[("a", used)]);
    let wanting = pod_requesting("p", json!({"memory": "4Gi"}));
    let found = scores(NodeResourcesBalancedAllocation::default(), &wanting, &mut cache);
    // What counts is the change: on `a` the balance comes to 100 from 75, on `b` to 75 from 100.
    assert_eq!(found, Some(vec![("a".into(), 87), ("b".into(), 62)]));
    assert_eq!(scores(NodeResourcesBalancedAllocation::default(), &pod("p", json!({})), &mut cache), None);
}

#[test]
fn nodes_with_the_image_are_preferred() {
    let with = |name, bytes: i64| {
        node(name, json!({"status": {"images": [{"names": ["app:1"], "sizeBytes": bytes}]}}))
    };
    let mib = 1024 * 1024;
    let mut cache = cluster(
        &[with("a", 2000 * mib), with("b", 10 * mib), node("c", json!({})), node("d", json!({}))],
        &[],
    );
    let found = scores(ImageLocality, &pod("p", json!({})), &mut cache);
    // Two nodes of four have it, so half of its bytes count: 1000 MiB is the most, 5 MiB less than the least.
    let wanted = [("a", 100), ("b", 0), ("c", 0), ("d", 0)].map(|(name, score)| (name.to_owned(), score));
    assert_eq!(found, Some(wanted.to_vec()));
    let other = pod("p", json!({"containers": [{"name": "main", "image": "other"}]}));
    assert_eq!(scores(ImageLocality, &other, &mut cache), None);
}

#[test]
fn gates_keep_pods_back() {
    let gated = pod("p", json!({"schedulingGates": [{"name": "a.example/b"}, {"name": "c"}]}));
    let why = SchedulingGates.pre_enqueue(&gated).unwrap_err();
    assert_eq!(why, "waiting for scheduling gates: [a.example/b c]");
    assert!(SchedulingGates.pre_enqueue(&pod("p", json!({}))).is_ok());
}

#[test]
fn where_preemption_does_not_help_it_is_said() {
    let with_priority = |name: &str, priority: i32, more: Value| {
        let mut spec = json!({"priority": priority, "containers": [
            {"name": "main", "resources": {"requests": {"cpu": "3"}}}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod(name, spec)
    };
    let insufficient = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.";
    let cases = [
        (
            0,
            json!({}),
            " preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, \
             1 Preemption is not helpful for scheduling.",
        ),
        (1, json!({}), ""),
        (1, json!({"preemptionPolicy": "Never"}), " preemption: not eligible due to preemptionPolicy=Never."),
    ];
    for (priority, more, wanted) in cases {
        let nodes = [node("a", json!({})), node("b", json!({"spec": {"unschedulable": true}}))];
        let mut cache = cluster(&nodes, &[("a", with_priority("used", 0, json!({})))]);
        let message =
            decide(&default_profile(), &with_priority("p", priority, more), &mut cache).unwrap_err();
        assert_eq!(message, format!("{insufficient}{wanted}"));
    }
}
