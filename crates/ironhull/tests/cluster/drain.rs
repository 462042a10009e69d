//! A node is drained with kubectl: pods are evicted as their budget allows, and run elsewhere.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Cluster, LIMIT, Namespace, timed_trial};

pub fn trials() -> Vec<Trial> {
    vec![timed_trial("drain::respects_budgets", || {
        respects_budgets(&Namespace::new(&Arc::new(Cluster::of_hosts(1)), "drain"));
        Ok(())
    })]
}

/// Two pods, both of which must stay available.
const GUARDED: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}
      containers: [{name: c, image: $BUSYBOX, command: [sleep, "1000"]}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
"#;

fn respects_budgets(namespace: &Namespace) {
    namespace.apply(GUARDED);
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    let nodes =
        || namespace.run(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"]);
    assert!(nodes().contains("node-2"), "{}", nodes());
    namespace.until_output(&["get", "pdb", "web", "-o", "jsonpath={.status}"], r#""currentHealthy":2"#);

    let path = r#"jsonpath={.status.availableReplicas}{"\n"}"#;
    let available = namespace.follow(&["get", "deployment", "web", "--watch", "-o", path]);
    available.until("2");
    let drain = namespace.follow(&["drain", "node-2", "--ignore-daemonsets", LIMIT]);
    drain.until("Cannot evict pod as it would violate the pod's disruption budget.");
    assert!(nodes().contains("node-2"), "{}", nodes());

    // A third pod, on the other node, may take the place of the one that has to go.
    namespace.run(&["scale", "deployment", "web", "--replicas=3"]);
    let said = drain.end();
    assert!(said.contains("node/node-2 drained"), "{said}");
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    assert_eq!(nodes(), "node-1 node-1 node-1");
    let counts = available.until("3");
    assert!(counts.lines().all(|count| matches!(count, "2" | "3")), "{counts}");
}
