//! A ReplicationController whose pods serve requests.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "replication", name, test);
    vec![trial("replicas_serve_what_they_are_made_for", replicas_serve_what_they_are_made_for)]
}

/// Two pods by the template's labels alone, and a Service for them.
const WEB: &str = r#"
apiVersion: v1
kind: ReplicationController
metadata: {name: web}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: nginx
        image: $NGINX
        ports: [{name: http, containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
"#;

fn replicas_serve_what_they_are_made_for(namespace: &Namespace) {
    namespace.apply(WEB);
    namespace.wait("rc/web", "jsonpath={.status.availableReplicas}=2");
    let address = namespace.field("service/web", ".spec.clusterIP");
    every_pod_serves(namespace, &address, 2);
    let said = namespace.run(&["scale", "rc/web", "--replicas=3"]);
    assert_eq!(said, "replicationcontroller/web scaled\n");
    namespace.wait("rc/web", "jsonpath={.status.availableReplicas}=3");
    every_pod_serves(namespace, &address, 3);
    let row = namespace.run(&["get", "rc/web", "--no-headers", "-o", "wide"]);
    assert_eq!(row.split_whitespace().take(4).collect::<Vec<_>>(), ["web", "3", "3", "3"], "{row}");
    namespace.until_output(&["describe", "rc/web"], "SuccessfulCreate");

    // A deleted pod is replaced.
    let first = pods(namespace).remove(0);
    namespace.run(&["delete", "pod", &first]);
    namespace.until("another in its place", || {
        let now = pods(namespace);
        if now.len() == 3 && !now.contains(&first) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    // Without their controller the pods stay, without an owner.
    let orphans = pods(namespace);
    namespace.run(&["delete", "rc/web", "--cascade=orphan"]);
    namespace.until("pods without an owner", || {
        let owners = ["get", "pods", "-o", "jsonpath={.items[*].metadata.ownerReferences}"];
        let owners = namespace.run(&owners);
        if owners.trim().is_empty() { Ok(()) } else { Err(owners) }
    });
    assert_eq!(pods(namespace), orphans);
}

/// The names of the pods, in order.
fn pods(namespace: &Namespace) -> Vec<String> {
    let names = namespace.run(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"]);
    let mut names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    names.sort_unstable();
    names
}

/// Each pod shows its own name through the Service, sooner or later.
fn every_pod_serves(namespace: &Namespace, address: &str, count: usize) {
    let mut served = std::collections::BTreeSet::new();
    namespace.until("a page of every pod", || {
        let page = namespace.cluster.fetch(address)?;
        served.extend(page.split(' ').next().map(str::to_owned));
        if served.len() == count { Ok(()) } else { Err(format!("{served:?}")) }
    });
    assert_eq!(served.into_iter().collect::<Vec<_>>(), pods(namespace));
}
