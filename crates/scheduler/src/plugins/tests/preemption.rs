//! Preemption. Nodes have 4 cores; pods are written as name, priority, cores and start.

use std::sync::Arc;

use object::ObjectKey;
use serde_json::{Value, json};

use crate::decide::Decider;
use crate::plugins::default_profile;
use crate::state::{Cache, PodInfo};
use crate::testing::{clock, cluster, merge, node, raw_pod};

fn with(name: &str, priority: i32, cores: u32, extra: Value) -> Arc<PodInfo> {
    let mut spec = json!({"priority": priority, "containers": [
        {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": cores.to_string()}}}]});
    merge(&mut spec, extra);
    Arc::new(PodInfo::new(Arc::new(raw_pod(name, spec))))
}

fn started(name: &str, priority: i32, cores: u32, minute: u32) -> Arc<PodInfo> {
    let mut raw = with(name, priority, cores, json!({})).pod().as_ref().clone();
    raw.status =
        serde_json::from_value(json!({"startTime": format!("2026-01-01T00:{minute:02}:00Z")})).unwrap();
    Arc::new(PodInfo::new(Arc::new(raw)))
}

/// A budget of `default` that allows no disruption of the pods with this `app`.
fn protect(cache: &mut Cache, app: &str) {
    let budget = json!({"metadata": {"name": app, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
    let budget = serde_json::from_value(budget).unwrap();
    cache.set_budget(&ObjectKey::namespaced("default", app), Some(&budget));
}

/// `node: victims`, or the message.
fn preempt(pod: &PodInfo, cache: &mut Cache) -> String {
    let unfit = Decider::new(clock(), 0).decide(&default_profile(), pod, cache.snapshot()).unwrap_err();
    match unfit.preemption {
        Some(preemption) => {
            let victims: Vec<&str> = preemption.victims.iter().map(|victim| &*victim.key.name).collect();
            format!("{}: {}", preemption.nominated, victims.join(" "))
        }
        None => unfit.message,
    }
}

fn two_nodes(pods: &[(&str, Arc<PodInfo>)]) -> Cache {
    cluster(&[node("a", json!({})), node("b", json!({}))], pods)
}

#[test]
fn as_few_as_possible_go_and_the_least_important() {
    let pods = [
        ("a", with("low", 0, 1, json!({}))),
        ("a", with("middle", 1, 1, json!({}))),
        ("a", with("high", 2, 1, json!({}))),
        ("a", with("equal", 5, 1, json!({}))),
        ("b", with("full", 5, 4, json!({}))),
    ];
    for (cores, wanted) in [(1, "a: low"), (2, "a: middle low"), (3, "a: high middle low")] {
        assert_eq!(preempt(&with("p", 5, cores, json!({})), &mut two_nodes(&pods)), wanted);
    }
    let message = preempt(&with("p", 5, 4, json!({})), &mut two_nodes(&pods));
    assert_eq!(
        message,
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: \
         1 Insufficient cpu, 1 No preemption victims found for incoming pod."
    );
}

#[test]
fn the_node_is_taken_whose_victims_matter_least() {
    let p = |name: &str, priority, cores| with(name, priority, cores, json!({}));
    let cases = [
        // The highest priority of a victim.
        (vec![("a", p("a1", 2, 4)), ("b", p("b1", 1, 2)), ("b", p("b2", 1, 2))], "b: b1 b2"),
        // The sum of all priorities.
        (
            vec![("a", p("a1", 2, 2)), ("a", p("a2", 1, 2)), ("b", p("b1", 2, 2)), ("b", p("b2", 0, 2))],
            "b: b1 b2",
        ),
        // The number of victims, also of negative priority.
        (vec![("a", p("a1", -1, 2)), ("a", p("a2", -1, 2)), ("b", p("b1", -1, 4))], "b: b1"),
        // Those that started last.
        (vec![("a", started("a1", 0, 4, 1)), ("b", started("b1", 0, 4, 2))], "b: b1"),
        (vec![("a", started("a1", 0, 4, 2)), ("b", started("b1", 0, 4, 1))], "a: a1"),
    ];
    for (pods, wanted) in cases {
        assert_eq!(preempt(&p("p", 5, 4), &mut two_nodes(&pods)), wanted);
    }
}

#[test]
fn budgets_are_kept_where_they_can_be() {
    let p = |name: &str, priority, cores| with(name, priority, cores, json!({}));
    // Another node, though its victim is more important.
    let mut cache = two_nodes(&[("a", p("a1", 0, 4)), ("b", p("b1", 1, 4))]);
    protect(&mut cache, "a1");
    assert_eq!(preempt(&p("p", 5, 4), &mut cache), "b: b1");
    // Another victim on the same node.
    let mut cache = two_nodes(&[("a", p("a1", 0, 2)), ("a", p("a2", 1, 2)), ("b", p("b1", 5, 4))]);
    protect(&mut cache, "a1");
    assert_eq!(preempt(&p("p", 5, 2), &mut cache), "a: a2");
    // If it must be, a budget is violated.
    assert_eq!(preempt(&p("p", 5, 4), &mut cache), "a: a2 a1");
    cache.set_budget(&ObjectKey::namespaced("default", "a1"), None);
    assert_eq!(preempt(&p("p", 5, 2), &mut cache), "a: a1");
}

#[test]
fn whatever_is_in_the_way_goes() {
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "shy"}}}]}}});
    let port = json!({"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}},
        "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}]});
    let full = || ("b", with("full", 9, 4, json!({})));
    let cases = [
        // The pod's own terms, and those of the running pod.
        (apart.clone(), vec![("a", with("shy", 0, 1, json!({})))], "a: shy"),
        (
            json!({}),
            vec![(
                "a",
                with(
                    "other",
                    0,
                    1,
                    json!({"affinity": {"podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"app": "p"}}}]}}}),
                ),
            )],
            "a: other",
        ),
        (port.clone(), vec![("a", with("web", 0, 1, port.clone()))], "a: web"),
        (spread, vec![("a", with("one", 0, 1, json!({}))), ("a", with("two", 1, 1, json!({})))], "a: one"),
    ];
    for (extra, mut pods, wanted) in cases {
        pods.push(full());
        let pod = with("p", 5, 1, extra);
        assert_eq!(preempt(&pod, &mut two_nodes(&pods)), wanted);
    }
}

#[test]
fn what_is_nominated_counts() {
    let p = |name: &str, priority, cores| with(name, priority, cores, json!({}));
    let mut cache = two_nodes(&[("a", p("a1", 0, 4)), ("b", p("b1", 1, 4))]);
    assert_eq!(preempt(&p("p", 5, 4), &mut cache), "a: a1");
    // The room on `a` is for a pod that is as important.
    cache.nominations().set(p("first", 5, 4), "a");
    assert_eq!(preempt(&p("p", 5, 4), &mut cache), "b: b1");
    // A less important one is displaced.
    let pod = p("p", 6, 4);
    let unfit = Decider::new(clock(), 0).decide(&default_profile(), &pod, cache.snapshot()).unwrap_err();
    let preemption = unfit.preemption.unwrap();
    assert_eq!((&*preemption.nominated, &*preemption.displaced[0].key.name), ("a", "first"));
}
