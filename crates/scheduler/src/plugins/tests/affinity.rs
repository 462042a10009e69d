//! Affinity between pods. Nodes `a` and `b` are in zone 1, `c` is in zone 2.

use std::sync::Arc;

use serde_json::{Value, json};

use super::labelled;
use crate::plugins::InterPodAffinity;
use crate::state::{Cache, PodInfo};
use crate::testing::{cluster, namespace, passing, pod, scores, verdicts};

fn zones(pods: &[(&str, Arc<PodInfo>)]) -> Cache {
    let nodes =
        [("a", "1"), ("b", "1"), ("c", "2")].map(|(name, zone)| labelled(name, json!({"zone": zone})));
    let mut cache = cluster(&nodes, pods);
    cache.set_namespace("default", namespace("default", json!({"team": "x"})).metadata.labels);
    cache
}

fn term(app: &str, topology_key: &str) -> Value {
    json!({"topologyKey": topology_key, "labelSelector": {"matchLabels": {"app": app}}})
}

fn required(kind: &str, terms: Value) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

fn preferred(kind: &str, weight: i32, term: Value) -> Value {
    json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": weight, "podAffinityTerm": term}]}}})
}

#[test]
fn required_terms_decide_by_domain() {
    let mut elsewhere = term("db", "zone");
    elsewhere["namespaces"] = json!(["other"]);
    let mut selected = term("db", "zone");
    selected["namespaceSelector"] = json!({"matchLabels": {"team": "x"}});
    let cases: [(Value, &[&str]); 8] = [
        (required("podAffinity", json!([term("db", "zone")])), &["a", "b"]),
        (required("podAffinity", json!([term("db", "kubernetes.io/hostname")])), &["a"]),
        (required("podAffinity", json!([term("none", "zone")])), &[]),
        (required("podAffinity", json!([elsewhere])), &[]),
        (required("podAffinity", json!([selected])), &["a", "b"]),
        (required("podAntiAffinity", json!([term("db", "zone")])), &["c"]),
        (required("podAntiAffinity", json!([term("none", "zone")])), &["a", "b", "c"]),
        // The first of a series with affinity to itself may go anywhere.
        (required("podAffinity", json!([term("p", "zone")])), &["a", "b", "c"]),
    ];
    for (spec, wanted) in cases {
        let mut cache = zones(&[("a", pod("db", json!({})))]);
        assert_eq!(
            passing(InterPodAffinity::default(), &pod("p", spec.clone()), &mut cache),
            wanted,
            "{spec}"
        );
    }
}

#[test]
fn running_pods_keep_others_away() {
    let shy = pod("shy", required("podAntiAffinity", json!([term("p", "zone")])));
    let found =
        verdicts(InterPodAffinity::default(), &pod("p", json!({})), &mut zones(&[("a", shy.clone())]));
    let why = "node(s) didn't satisfy existing pods anti-affinity rules";
    assert_eq!(found.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>(), [why, why, ""]);
    let mut cache = zones(&[("a", shy.clone())]);
    assert_eq!(passing(InterPodAffinity::default(), &pod("other", json!({})), &mut cache), ["a", "b", "c"]);
    cache.remove_pod(&shy.uid);
    assert_eq!(passing(InterPodAffinity::default(), &pod("p", json!({})), &mut cache), ["a", "b", "c"]);
}

#[test]
fn the_words_are_upstreams() {
    for (kind, app, wanted) in [
        ("podAffinity", "none", "node(s) didn't match pod affinity rules"),
        ("podAntiAffinity", "db", "node(s) didn't match pod anti-affinity rules"),
    ] {
        let waiting = pod("p", required(kind, json!([term(app, "zone")])));
        let found =
            verdicts(InterPodAffinity::default(), &waiting, &mut zones(&[("a", pod("db", json!({})))]));
        assert_eq!(found[0].1, wanted);
    }
}

#[test]
fn preferred_terms_of_both_sides_score() {
    let score = |spec: Value, running: Value| {
        let mut cache = zones(&[("a", pod("db", running))]);
        let found = scores(InterPodAffinity::default(), &pod("p", spec), &mut cache)?;
        Some(found.into_iter().map(|(_, score)| score).collect::<Vec<_>>())
    };
    assert_eq!(score(json!({}), json!({})), None);
    assert_eq!(score(preferred("podAffinity", 5, term("db", "zone")), json!({})), Some(vec![100, 100, 0]));
    assert_eq!(score(preferred("podAntiAffinity", 5, term("db", "zone")), json!({})), Some(vec![0, 0, 100]));
    assert_eq!(score(json!({}), preferred("podAffinity", 5, term("p", "zone"))), Some(vec![100, 100, 0]));
    assert_eq!(score(json!({}), preferred("podAntiAffinity", 5, term("p", "zone"))), Some(vec![0, 0, 100]));
    assert_eq!(
        score(json!({}), required("podAffinity", json!([term("p", "zone")]))),
        Some(vec![100, 100, 0])
    );
}
