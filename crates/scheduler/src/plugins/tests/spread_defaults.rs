//! Default topology spread constraints. Nodes `a` and `b` are in zone 1, `c` in zone 2, `d` in none.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, TopologySpreadConstraint};
use serde_json::{Value, json};

use super::labelled;
use crate::plugins::PodTopologySpread;
use crate::state::{Cache, PodInfo, Selecting};
use crate::testing::{cluster, node, owned, passing, pod, scores, select, with_labels};

const ZONE: &str = "topology.kubernetes.io/zone";

fn nodes() -> Vec<Arc<Node>> {
    let in_zone = |name, zone: &str| labelled(name, json!({ZONE: zone}));
    vec![in_zone("a", "1"), in_zone("b", "1"), in_zone("c", "2"), node("d", json!({}))]
}

/// A pod with the labels `app: web` and `tier: front`.
fn web(name: &str) -> Arc<PodInfo> {
    with_labels(&pod(name, json!({})), json!({"app": "web", "tier": "front"}))
}

fn found(plugin: PodTopologySpread, pod: &PodInfo, cache: &mut Cache) -> Option<Vec<i64>> {
    Some(scores(plugin, pod, cache)?.into_iter().map(|(_, score)| score).collect())
}

fn with_list(constraints: Value) -> PodTopologySpread {
    let constraints: Vec<TopologySpreadConstraint> = serde_json::from_value(constraints).unwrap();
    PodTopologySpread::with_defaults(&constraints)
}

#[test]
fn the_pods_of_a_service_are_spread() {
    let pods = [("a", web("one")), ("c", web("two")), ("d", web("three"))];
    let mut cache = cluster(&nodes(), &pods);
    let waiting = web("p");
    assert_eq!(found(PodTopologySpread::default(), &waiting, &mut cache), None, "nothing selects it");
    select(&mut cache, Selecting::Service, "web", json!({"app": "web"}));
    // Four nodes, and three zones of which "none" is one: a = ln 6 + 2 + ln 5 + 4 = 9.4, b = 2 + ln 5 + 4 = 7.6,
    // c as a, d = ln 6 + 2 = 3.8, because the constraint about zones says nothing about it.
    let wanted = [100 * (9 + 4 - 9) / 9, 100 * (9 + 4 - 8) / 9, 100 * (9 + 4 - 9) / 9, 100];
    assert_eq!(found(PodTopologySpread::default(), &waiting, &mut cache), Some(wanted.to_vec()));
    assert_eq!(passing(PodTopologySpread::default(), &waiting, &mut cache), ["a", "b", "c", "d"]);
}

/// What selects, who the controller is by the pod's reference, and the labels that are alike.
type Case<'c> = (Vec<(Selecting, Value)>, (&'c str, &'c str), Option<&'c str>);

#[test]
fn what_selects_a_pod_says_which_pods_are_like_it() {
    let labels = json!({"app": "web", "tier": "front"});
    let service = (Selecting::Service, json!({"app": "web"}));
    let controller = |kind, selector: Value| (kind, selector);
    let expression =
        json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]});
    let rs = ("apps/v1", "ReplicaSet");
    let cases: [Case<'_>; 15] = [
        (vec![], rs, None),
        (vec![service.clone()], rs, Some("app=web")),
        (vec![(Selecting::Service, json!({"app": "api"}))], rs, None),
        (vec![(Selecting::Service, json!({}))], rs, None),
        (
            vec![service.clone(), (Selecting::ReplicaSet, json!({"matchLabels": {"tier": "front"}}))],
            rs,
            Some("app=web,tier=front"),
        ),
        (
            vec![service.clone(), (Selecting::ReplicaSet, json!({"matchLabels": {"app": "web"}}))],
            rs,
            Some("app=web"),
        ),
        (vec![controller(Selecting::ReplicaSet, expression.clone())], rs, Some("app in (api,web)")),
        (vec![controller(Selecting::ReplicaSet, json!({"matchLabels": {}}))], rs, None),
        (
            vec![controller(Selecting::StatefulSet, expression.clone())],
            ("apps/v1", "StatefulSet"),
            Some("app in (api,web)"),
        ),
        (vec![controller(Selecting::StatefulSet, expression.clone())], rs, None),
        (vec![controller(Selecting::ReplicaSet, expression.clone())], ("apps/v1beta2", "ReplicaSet"), None),
        (vec![controller(Selecting::ReplicaSet, expression.clone())], ("", "ReplicaSet"), None),
        (
            vec![controller(Selecting::ReplicationController, json!({"tier": "front"}))],
            ("v1", "ReplicationController"),
            Some("tier=front"),
        ),
        // Its word about a label counts more than a Service's.
        (
            vec![service.clone(), controller(Selecting::ReplicationController, json!({"app": "old"}))],
            ("v1", "ReplicationController"),
            Some("app=old"),
        ),
        (vec![service, controller(Selecting::ReplicaSet, expression)], ("batch/v1", "Job"), Some("app=web")),
    ];
    for (selecting, (api_version, kind), wanted) in cases {
        let mut cache = cluster(&nodes(), &[]);
        for (kind, selector) in &selecting {
            select(&mut cache, *kind, "web", selector.clone());
        }
        let waiting = owned(&with_labels(&pod("p", json!({})), labels.clone()), api_version, kind, "web");
        let like = cache.snapshot().like(&waiting);
        let found = like.map(|like| like.selector.to_string());
        assert_eq!(found.as_deref(), wanted, "{selecting:?} {kind}");
        let other = owned(&waiting, api_version, kind, "other");
        let services = selecting
            .iter()
            .filter(|(kind, selector)| *kind == Selecting::Service && *selector == json!({"app": "web"}));
        let found = cache.snapshot().like(&other).map(|like| like.selector.to_string());
        assert_eq!(found.as_deref(), services.map(|_| "app=web").next(), "{selecting:?} of another {kind}");
    }
}

#[test]
fn owners_that_do_not_control_do_not_count() {
    let mut cache = cluster(&nodes(), &[]);
    select(&mut cache, Selecting::ReplicaSet, "web", json!({"matchLabels": {"app": "web"}}));
    let mut raw = owned(&web("p"), "apps/v1", "ReplicaSet", "web").pod().as_ref().clone();
    assert!(cache.snapshot().like(&PodInfo::new(raw.clone().into())).is_some());
    let controlled = std::mem::take(&mut raw.metadata.owner_references);
    raw.metadata.owner_references = serde_json::from_value(json!([
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "web", "controller": false},
    ]))
    .unwrap();
    assert!(cache.snapshot().like(&PodInfo::new(raw.clone().into())).is_none());
    raw.metadata.owner_references = controlled;
    raw.metadata.key = object::ObjectKey::namespaced("elsewhere", raw.metadata.name());
    assert!(
        cache.snapshot().like(&PodInfo::new(raw.into())).is_none(),
        "the names of a namespace are its own"
    );
}

#[test]
fn changes_of_what_selects_are_followed() {
    let mut cache = cluster(&nodes(), &[("a", web("one"))]);
    let waiting = owned(&web("p"), "apps/v1", "ReplicaSet", "web");
    let like = |cache: &mut Cache| cache.snapshot().like(&waiting).map(|like| like.selector.to_string());
    let key = object::ObjectKey::namespaced("default", "web");
    select(&mut cache, Selecting::Service, "web", json!({"app": "web"}));
    select(&mut cache, Selecting::ReplicaSet, "web", json!({"matchLabels": {"tier": "front"}}));
    assert_eq!(like(&mut cache).as_deref(), Some("app=web,tier=front"));
    select(&mut cache, Selecting::Service, "web", json!({"tier": "front"}));
    assert_eq!(like(&mut cache).as_deref(), Some("tier=front"));
    cache.set_selector(Selecting::ReplicaSet, &key, None);
    select(&mut cache, Selecting::Service, "more", json!({"app": "web"}));
    assert_eq!(like(&mut cache).as_deref(), Some("app=web,tier=front"));
    cache.set_selector(Selecting::Service, &key, None);
    assert_eq!(like(&mut cache).as_deref(), Some("app=web"));
    cache.set_selector(Selecting::Service, &object::ObjectKey::namespaced("default", "more"), None);
    assert_eq!(like(&mut cache), None);
}

#[test]
fn a_list_takes_the_place_of_the_systems_constraints() {
    let mut cache = cluster(&nodes(), &[("a", web("one"))]);
    select(&mut cache, Selecting::Service, "web", json!({"app": "web"}));
    let waiting = web("p");
    let hard =
        || with_list(json!([{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}]));
    assert_eq!(passing(hard(), &waiting, &mut cache), ["c"]);
    assert_eq!(found(hard(), &waiting, &mut cache), None);
    let soft =
        || with_list(json!([{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "ScheduleAnyway"}]));
    assert_eq!(found(soft(), &waiting, &mut cache), Some(vec![0, 0, 100, 0]), "a node in no zone comes last");
    assert_eq!(found(with_list(json!([])), &waiting, &mut cache), None);
    // A pod with a constraint of its own has no others.
    let own = json!({"topologySpreadConstraints": [{"maxSkew": 9, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]});
    let own = with_labels(&pod("own", own), json!({"app": "web"}));
    assert_eq!(passing(hard(), &own, &mut cache), ["a", "b", "c", "d"]);
    assert_eq!(found(PodTopologySpread::default(), &own, &mut cache), None);
}

/// Services are found by their labels, however many there are with one that all pods have.
#[test]
fn a_decision_looks_at_few_services() {
    let mut cache = cluster(&nodes(), &[]);
    for number in 0..2000 {
        let selector = json!({"a": "all", "app": format!("app-{number}")});
        select(&mut cache, Selecting::Service, &format!("s{number}"), selector);
    }
    let waiting = with_labels(&pod("p", json!({})), json!({"a": "all", "app": "app-1777"}));
    let (compared, found) = cache.snapshot().services_of(&waiting);
    assert_eq!(found, 1);
    assert!(compared < 5, "{compared} of 2000 Services were compared with the pod");
}
