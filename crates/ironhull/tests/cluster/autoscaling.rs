//! Usage as people read it, and autoscalers that act on it.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![trial(shared, "autoscaling", "load_scales_out", load_scales_out)]
}

/// Its container takes twice of what it requests, and no more.
const BURN: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: burn}
spec:
  selector: {matchLabels: {app: burn}}
  template:
    metadata: {labels: {app: burn}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: loop
        image: $BUSYBOX
        command: [sh, -c, 'while :; do :; done']
        resources: {requests: {cpu: 50m}, limits: {cpu: 100m}}
"#;

fn load_scales_out(namespace: &Namespace) {
    namespace.apply(BURN);
    namespace.run(&["rollout", "status", "deployment/burn", LIMIT]);
    namespace.run(&["autoscale", "deployment", "burn", "--cpu=50%", "--min=1", "--max=3"]);
    let top = namespace.until_output(&["top", "pods", "--containers", "--no-headers"], "loop");
    // `POD NAME CPU MEMORY`: the limit keeps it at about 100m, and it is far from idle.
    let words: Vec<&str> = top.split_whitespace().collect();
    let cpu: u64 = words[2].strip_suffix('m').unwrap_or_else(|| panic!("{top}")).parse().unwrap();
    assert!((25..=250).contains(&cpu), "{top}");
    let node = namespace.run(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let nodes = namespace.until_output(&["top", "nodes", "--no-headers"], &node);
    assert!(nodes.contains('%') && nodes.contains("Mi"), "{nodes}");
    let raw = namespace.run(&["get", "podmetrics.metrics.k8s.io", "-l", "app=burn", "--no-headers"]);
    assert!(raw.starts_with("burn-"), "{raw}");

    namespace.until_output(&["get", "deployment", "burn", "-o", "jsonpath={.spec.replicas}"], "3");
    let told = namespace.until_output(&["describe", "hpa", "burn"], "SuccessfulRescale");
    for text in [
        "ScalingActive   True",
        "ValidMetricFound",
        "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)",
        "New size: 3; reason: cpu resource utilization (percentage of request) above target",
    ] {
        assert!(told.contains(text), "{text} is not in\n{told}");
    }
    // With three of them, the limit is reached.
    namespace.until_output(&["describe", "hpa", "burn"], "TooManyReplicas");
    let target = namespace.run(&["get", "hpa", "burn", "--no-headers"]);
    assert!(target.contains("Deployment/burn") && target.contains("%/50%"), "{target}");
}
