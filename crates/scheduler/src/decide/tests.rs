use std::collections::HashMap;

use serde_json::json;

use super::*;
use crate::plugins::{NodeAffinity, PrioritySort, default_profile};
use crate::testing::{clock, cluster, containers, decide, node, pod, pod_requesting};

#[test]
fn messages_count_the_nodes_by_reason() {
    let nodes = [
        node("a", json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}})),
        node("b", json!({"metadata": {"labels": {"disk": "ssd"}}})),
        node("c", json!({"metadata": {"labels": {"disk": "ssd"}}})),
        node("d", json!({})),
    ];
    let mut spec = containers(json!({"cpu": "5"}));
    spec["nodeSelector"] = json!({"disk": "ssd"});
    let message = decide(&default_profile(), &pod("p", spec), &mut cluster(&nodes, &[])).unwrap_err();
    assert_eq!(
        message,
        "0/4 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, \
         1 node(s) had untolerated taint(s), 2 Insufficient cpu. \
         preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
    );
}

#[test]
fn a_full_node_is_told_in_upstreams_words() {
    let used = pod_requesting("used", json!({"cpu": "3"}));
    let mut cache = cluster(&[node("a", json!({}))], &[("a", used)]);
    let message =
        decide(&default_profile(), &pod_requesting("p", json!({"cpu": "2"})), &mut cache).unwrap_err();
    assert_eq!(
        message,
        "0/1 nodes are available: 1 Insufficient cpu. \
         preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    );
}

#[test]
fn a_cluster_without_nodes_has_words_of_its_own() {
    let message = decide(&default_profile(), &pod("p", json!({})), &mut cluster(&[], &[])).unwrap_err();
    assert_eq!(message, "no nodes available to schedule pods");
}

#[test]
fn nodes_that_were_ruled_out_by_name_are_counted_together() {
    let spec = json!({"tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["b"]}]}]}}}});
    let mut spec_with_cpu = containers(json!({"cpu": "5"}));
    spec_with_cpu.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let mut cache = cluster(&["a", "b", "c"].map(|name| node(name, json!({}))), &[]);
    assert_eq!(decide(&default_profile(), &pod("p", spec), &mut cache).as_deref(), Ok("b"));
    let message = decide(&default_profile(), &pod("p", spec_with_cpu), &mut cache).unwrap_err();
    let wanted =
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].";
    assert!(message.starts_with(wanted), "{message}");
}

#[test]
fn enough_nodes_are_enough() {
    let decider = |percentage| Decider::new(clock(), percentage);
    for (percentage, nodes, wanted) in [
        (0, 50, 50),
        (0, 100, 100),
        (0, 1000, 420),
        (0, 5000, 500),
        (0, 10_000, 500),
        (70, 1000, 700),
        (1, 1000, 100),
        (100, 5000, 5000),
    ] {
        assert_eq!(
            decider(percentage).wanted(&default_profile(), nodes),
            wanted,
            "{percentage} % of {nodes}"
        );
    }
}

#[test]
fn decisions_go_on_where_the_last_one_stopped() {
    let nodes: Vec<_> = (0..300).map(|index| node(&format!("n{index:03}"), json!({}))).collect();
    let mut cache = cluster(&nodes, &[]);
    let mut decider = Decider::new(clock(), 34);
    let profile = default_profile();
    let pod = pod("p", json!({}));
    for start in [102, 204, 6] {
        decider.decide(&profile, &pod, cache.snapshot()).unwrap();
        assert_eq!(decider.next_start, start);
    }
}

#[test]
fn ties_are_broken_at_random_and_from_one_seed() {
    let mut cache = cluster(&["a", "b", "c"].map(|name| node(name, json!({}))), &[]);
    let profile = Profile::new("default-scheduler", PrioritySort).filter(NodeAffinity::default());
    let choices = |cache: &mut crate::state::Cache| -> Vec<NodeSlot> {
        let mut decider = Decider::new(clock(), 0);
        (0..60).map(|_| decider.decide(&profile, &pod("p", json!({})), cache.snapshot()).unwrap()).collect()
    };
    let first = choices(&mut cache);
    assert_eq!(first, choices(&mut cache));
    let mut counts: HashMap<NodeSlot, usize> = HashMap::new();
    first.into_iter().for_each(|slot| *counts.entry(slot).or_default() += 1);
    assert!(counts.len() == 3 && counts.values().all(|count| *count > 5), "{counts:?}");
}
