//! Measures decisions: `cargo run --release -p scheduler --example decisions [nodes] [pods]`.
//!
//! It fills a cluster of nodes in three zones with pods that all look alike, once for each kind of pod below, and
//! prints how many decisions it made a second. Each decision takes in the events that it causes: the pod comes,
//! is decided, and is seen bound.

use std::sync::Arc;

use clock::Clock;
use k8s_openapi::api::core::v1::{Node, Pod};
use scheduler::state::PodInfo;
use scheduler::{Outcome, Scheduler, plugins};
use serde_json::{Value, json};
use tokio::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let nodes = arguments.next().and_then(Result::ok).unwrap_or(5000);
    let pods = arguments.next().and_then(Result::ok).unwrap_or(20_000);
    let required = |key: &str| json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}});
    let kinds = [
        ("plain", json!({})),
        ("node selector", json!({"nodeSelector": {"topology.kubernetes.io/zone": "z1"}})),
        (
            "spread over zones",
            json!({"topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}},
            }]}),
        ),
        (
            "one a node",
            json!({"affinity": {"podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [required("kubernetes.io/hostname")],
            }}}),
        ),
    ];
    for (name, extra) in kinds {
        // Where each decision looks at all pods, fewer tell enough.
        let pods = if name == "plain" || name == "node selector" { pods } else { (pods / 20).min(nodes) };
        measure(name, nodes, pods, &extra);
    }
}

fn measure(name: &str, nodes: usize, pods: usize, extra: &Value) {
    let mut scheduler = Scheduler::new("default-scheduler", plugins::default_profile(), Clock::system(), 0);
    for index in 0..nodes {
        scheduler.set_node(None, node(index), Instant::now());
    }
    let waiting: Vec<Arc<Pod>> = (0..pods).map(|index| pod(index, extra)).collect();
    let start = Instant::now();
    for pod in &waiting {
        scheduler.set_pod(Arc::new(PodInfo::new(Arc::clone(pod))), Instant::now());
    }
    let mut bound = 0;
    while let Some(outcome) = scheduler.next(Instant::now()) {
        if let Outcome::Bind { pod, node } = outcome {
            let mut bound_pod = Pod::clone(pod.pod());
            bound_pod.spec.get_or_insert_default().node_name = Some(node.to_string());
            scheduler.bound(&pod.uid);
            scheduler.set_pod(Arc::new(PodInfo::new(Arc::new(bound_pod))), Instant::now());
            bound += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = f64::from(bound) / seconds;
    println!("{name}: {bound} of {pods} pods on {nodes} nodes in {seconds:.2} s: {rate:.0} a second");
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

fn pod(index: usize, extra: &Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": {"name": format!("web-{index}"), "namespace": "default", "uid": format!("uid-{index}"),
            "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1",
            "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}]},
    });
    if let (Value::Object(spec), Value::Object(extra)) = (&mut pod["spec"], extra) {
        spec.extend(extra.clone());
    }
    Arc::new(serde_json::from_value(pod).expect("it is a pod"))
}
