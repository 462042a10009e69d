use serde_json::{Value, json};

use super::{EventKinds, normalize_to_max};
use crate::testing::{node, pod, pod_requesting};

#[test]
fn scores_are_spread_to_the_highest() {
    for (scores, reversed, wanted) in [
        ([1, 2, 4], false, [25, 50, 100]),
        ([1, 2, 4], true, [75, 50, 0]),
        ([0, 0, 0], false, [0, 0, 0]),
        ([0, 0, 0], true, [100, 100, 100]),
    ] {
        let mut scores = scores;
        normalize_to_max(&mut scores, reversed);
        assert_eq!(scores, wanted);
    }
}

#[test]
fn only_changes_that_matter_are_events() {
    let taint = json!([{"key": "k", "effect": "NoSchedule"}]);
    let cases = [
        (json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}), EventKinds::NONE),
        (json!({"metadata": {"annotations": {"a": "b"}}}), EventKinds::NONE),
        (json!({"status": {"allocatable": {"cpu": "5"}}}), EventKinds::NODE_ALLOCATABLE),
        (json!({"status": {"declaredFeatures": ["A"]}}), EventKinds::NODE_FEATURES),
        (json!({"metadata": {"labels": {"a": "b"}}}), EventKinds::NODE_LABELS),
        (json!({"spec": {"unschedulable": true}}), EventKinds::NODE_TAINTS),
        (json!({"spec": {"taints": taint}}), EventKinds::NODE_TAINTS),
    ];
    for (change, wanted) in cases {
        let kinds = EventKinds::of_node_change(&node("a", json!({})), &node("a", change.clone()));
        assert_eq!(kinds, wanted, "{change}");
    }
}

#[test]
fn own_changes_that_matter_are_events() {
    let cases: [(Value, Value, EventKinds); 5] = [
        (json!({}), json!({}), EventKinds::NONE),
        (json!({"schedulingGates": [{"name": "a"}]}), json!({}), EventKinds::OWN_GATES_GONE),
        (
            json!({"schedulingGates": [{"name": "a"}, {"name": "b"}]}),
            json!({"schedulingGates": [{"name": "a"}]}),
            EventKinds::NONE,
        ),
        (json!({}), json!({"tolerations": [{"operator": "Exists"}]}), EventKinds::OWN_TOLERATIONS),
        (json!({}), json!({"nodeSelector": {"a": "b"}}), EventKinds::OWN_NODE_TERMS),
    ];
    for (old, new, wanted) in cases {
        assert_eq!(EventKinds::of_own_change(&pod("p", old), &pod("p", new.clone())), wanted, "{new}");
    }
    let (large, small) = (pod_requesting("p", json!({"cpu": "2"})), pod_requesting("p", json!({"cpu": "1"})));
    assert_eq!(EventKinds::of_own_change(&large, &small), EventKinds::OWN_SCALED_DOWN);
    assert_eq!(EventKinds::of_bound_pod_change(&large, &small), EventKinds::POD_SCALED_DOWN);
    assert_eq!(EventKinds::of_bound_pod_change(&small, &large), EventKinds::NONE);
}
