//! Measures decisions: `cargo run --release -p scheduler --example decisions [nodes] [pods] [kind]`.
//!
//! It fills a cluster of nodes in three zones with identical pods, once for each kind of pod below, and prints the
//! number of decisions per second. `kind` selects the kinds to measure by a part of their names. Each decision includes
//! the events that it causes: the pod arrives, is decided, and is seen bound.

use std::sync::Arc;

use client::LeanPod;
use clock::Clock;
use k8s_openapi::api::core::v1::Node;
use object::{ObjectKey, Selector};
use scheduler::state::{PodInfo, Selecting};
use scheduler::{Outcome, Scheduler, plugins};
use serde_json::{Value, json};
use tokio::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1).take(2).map(|argument| argument.parse::<usize>());
    let nodes = arguments.next().and_then(Result::ok).unwrap_or(5000);
    let pods = arguments.next().and_then(Result::ok).unwrap_or(20_000);
    let term = |key: &str| json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}});
    let spread = |key: &str, when: &str| {
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"app": "web"}}}]})
    };
    let affinity = |kind: &str, term: Value| json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let preferred = json!({"affinity": {"podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term(HOST)}],
    }}});
    let kinds = [
        ("plain", json!({})),
        ("node selector", json!({"nodeSelector": {ZONE: "z1"}})),
        ("spread over zones", spread(ZONE, "DoNotSchedule")),
        ("spread over zones, if it can be", spread(ZONE, "ScheduleAnyway")),
        ("spread over nodes, if it can be", spread(HOST, "ScheduleAnyway")),
        ("in one zone", affinity("podAffinity", term(ZONE))),
        ("one a node", affinity("podAntiAffinity", term(HOST))),
        ("one a node, if it can be", preferred),
        (OWNED, json!({})),
        (OWNED_BY_MANY, json!({})),
    ];
    let wanted = std::env::args().nth(3).unwrap_or_default();
    for (name, extra) in kinds.into_iter().filter(|(name, _)| name.contains(&wanted)) {
        measure(name, nodes, if name == "one a node" { pods.min(nodes) } else { pods }, &extra);
    }
}

/// Pods that a Service and a ReplicaSet select, and the same with 2,000 ReplicaSets.
const OWNED: &str = "of a Service";
const OWNED_BY_MANY: &str = "of a Service and many ReplicaSets";
const REPLICA_SETS: usize = 2000;

const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

fn measure(name: &str, nodes: usize, pods: usize, extra: &Value) {
    let profiles = vec![Arc::new(plugins::default_profile())];
    let mut scheduler = Scheduler::new(profiles, Clock::system(), 0);
    for index in 0..nodes {
        scheduler.set_node(node(index), Instant::now());
    }
    let replica_sets = match name {
        OWNED => 1,
        OWNED_BY_MANY => REPLICA_SETS,
        _ => 0,
    };
    select(&mut scheduler, replica_sets);
    let waiting: Vec<Arc<LeanPod>> = (0..pods).map(|index| pod(index, extra, replica_sets)).collect();
    let start = Instant::now();
    for pod in &waiting {
        scheduler.set_pod(Arc::new(PodInfo::new(Arc::clone(pod))), Instant::now());
    }
    let mut bound = 0;
    while let Some(outcome) = scheduler.next(Instant::now()) {
        if let Outcome::Bind { placement, .. } = outcome {
            let mut bound_pod = LeanPod::clone(placement.pod.pod());
            bound_pod.spec.get_or_insert_default().node_name = Some((&*placement.node).into());
            scheduler.bound(&placement.pod.uid);
            scheduler.set_pod(Arc::new(PodInfo::new(Arc::new(bound_pod))), Instant::now());
            bound += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = f64::from(bound) / seconds;
    println!("{name}: {bound} of {pods} pods on {nodes} nodes in {seconds:.2} s: {rate:.0} a second");
}

/// One Service, and a number of ReplicaSets, unless that is 0.
fn select(scheduler: &mut Scheduler, replica_sets: usize) {
    let mut select = |kind, name: String, labels: Vec<(&str, String)>| {
        let selector = Arc::new(Selector::from_labels(labels));
        scheduler.set_selector(kind, &ObjectKey::namespaced("default", name), Some(&selector));
    };
    if replica_sets > 0 {
        select(Selecting::Service, "web".to_owned(), vec![("app", "web".to_owned())]);
    }
    for set in 0..replica_sets {
        let labels = vec![("app", "web".to_owned()), ("pod-template-hash", set.to_string())];
        select(Selecting::ReplicaSet, format!("web-{set}"), labels);
    }
}

fn node(index: usize) -> Arc<Node> {
    let name = format!("node-{index}");
    let zone = format!("z{}", index % 3);
    let node = json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64", "node.kubernetes.io/instance-type": "large",
        }},
        "status": {"allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"}},
    });
    Arc::new(serde_json::from_value(node).expect("it is a node"))
}

fn pod(index: usize, extra: &Value, replica_sets: usize) -> Arc<LeanPod> {
    let mut pod = json!({
        "metadata": {"name": format!("web-{index}"), "namespace": "default", "uid": format!("uid-{index}"),
            "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1",
            "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}]},
    });
    if let Some(set) = index.checked_rem(replica_sets) {
        pod["metadata"]["labels"]["pod-template-hash"] = set.to_string().into();
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "name": format!("web-{set}"), "uid": format!("set-{set}"), "controller": true}]);
    }
    if let (Value::Object(spec), Value::Object(extra)) = (&mut pod["spec"], extra) {
        spec.extend(extra.clone());
    }
    Arc::new(serde_json::from_value(pod).expect("it is a pod"))
}
