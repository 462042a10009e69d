//! Topology spread. Nodes `a` and `b` are in zone 1, `c` in zone 2, `d` in none.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::labelled;
use crate::plugins::PodTopologySpread;
use crate::state::PodInfo;
use crate::testing::{cluster, node, passing, raw_pod, scores, verdicts};

fn nodes() -> Vec<Arc<Node>> {
    let tainted = json!({"metadata": {"labels": {"zone": "2"}},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    vec![
        labelled("a", json!({"zone": "1"})),
        labelled("b", json!({"zone": "1"})),
        node("c", tainted),
        node("d", json!({})),
    ]
}

/// A pod of `app: web` with a constraint over zones of skew 1, changed by `extra`.
fn web(name: &str, when: &str, extra: Value, spec: Value) -> Arc<PodInfo> {
    let mut constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"app": "web"}}});
    constraint.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut all = json!({"topologySpreadConstraints": [constraint]});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let mut pod = raw_pod(name, all);
    pod.metadata.labels = [("app", "web"), ("version", name)].into_iter().collect();
    Arc::new(PodInfo::new(Arc::new(pod)))
}

#[test]
fn hard_constraints_bound_the_skew() {
    let cases: [(Value, Value, &[&str]); 6] = [
        // Zone 1 has one more than zone 2 already.
        (json!({}), json!({}), &["c"]),
        (json!({"maxSkew": 2}), json!({}), &["a", "b", "c"]),
        // Zone 2 does not count if the pod cannot go there.
        (json!({}), json!({"nodeSelector": {"zone": "1"}}), &["a", "b", "c"]),
        (json!({"nodeAffinityPolicy": "Ignore"}), json!({"nodeSelector": {"zone": "1"}}), &["c"]),
        (json!({"nodeTaintsPolicy": "Honor"}), json!({}), &["a", "b", "c"]),
        // Pods of another version do not count.
        (json!({"matchLabelKeys": ["version"]}), json!({}), &["a", "b", "c"]),
    ];
    for (extra, spec, wanted) in cases {
        let running = web("running", "ScheduleAnyway", json!({}), json!({}));
        let mut cache = cluster(&nodes(), &[("a", running)]);
        let waiting = web("p", "DoNotSchedule", extra.clone(), spec.clone());
        assert_eq!(passing(PodTopologySpread::default(), &waiting, &mut cache), wanted, "{extra} {spec}");
    }
}

#[test]
fn too_few_domains_count_as_one_more_that_is_empty() {
    let pods = [
        ("a", web("one", "ScheduleAnyway", json!({}), json!({}))),
        ("c", web("two", "ScheduleAnyway", json!({}), json!({}))),
    ];
    for (domains_min, wanted) in [(2, vec!["a", "b", "c"]), (3, vec![])] {
        let waiting = web("p", "DoNotSchedule", json!({"minDomains": domains_min}), json!({}));
        assert_eq!(passing(PodTopologySpread::default(), &waiting, &mut cluster(&nodes(), &pods)), wanted);
    }
}

#[test]
fn the_words_are_upstreams() {
    let running = web("running", "ScheduleAnyway", json!({}), json!({}));
    let waiting = web("p", "DoNotSchedule", json!({}), json!({}));
    let found = verdicts(PodTopologySpread::default(), &waiting, &mut cluster(&nodes(), &[("a", running)]));
    let uneven = "node(s) didn't match pod topology spread constraints";
    assert_eq!(found[0].1, uneven);
    assert_eq!(found[3].1, format!("{uneven} (missing required label)"));
}

#[test]
fn soft_constraints_score() {
    let running = web("running", "ScheduleAnyway", json!({}), json!({}));
    for (key, wanted) in [("zone", [0, 0, 100, 0]), ("kubernetes.io/hostname", [0, 100, 100, 100])] {
        let waiting = web("p", "ScheduleAnyway", json!({"topologyKey": key}), json!({}));
        let found =
            scores(PodTopologySpread::default(), &waiting, &mut cluster(&nodes(), &[("a", running.clone())]))
                .unwrap();
        assert_eq!(found.into_iter().map(|(_, score)| score).collect::<Vec<_>>(), wanted, "{key}");
    }
}

/// As in upstream: the pods that an empty selector means are not counted.
#[test]
fn an_empty_selector_counts_nothing() {
    let running = || web("running", "ScheduleAnyway", json!({}), json!({}));
    for (extra, wanted) in [(json!({}), vec!["c"]), (json!({"labelSelector": {}}), vec!["a", "b", "c"])] {
        let waiting = web("p", "DoNotSchedule", extra.clone(), json!({}));
        let mut cache = cluster(&nodes(), &[("a", running())]);
        assert_eq!(passing(PodTopologySpread::default(), &waiting, &mut cache), wanted, "{extra}");
    }
}
