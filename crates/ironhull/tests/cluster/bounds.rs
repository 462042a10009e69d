//! Pods that use as much as they can of their node.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "bounds", name, test);
    vec![trial("a_pod_that_fills_what_it_can_is_evicted", a_pod_that_fills_what_it_can_is_evicted)]
}

/// One fills a volume, one its own root file system, one its log; the last may.
const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: volume}
spec:
  containers:
  - {name: c, image: $BUSYBOX, command: [sh, -c, 'dd if=/dev/zero of=/data/file bs=1M count=20; sleep 1000'],
     volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, emptyDir: {sizeLimit: 10Mi}}]
---
apiVersion: v1
kind: Pod
metadata: {name: root}
spec:
  containers:
  - {name: c, image: $BUSYBOX, command: [sh, -c, 'dd if=/dev/zero of=/file bs=1M count=20; sleep 1000'],
     resources: {limits: {ephemeral-storage: 10Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: log}
spec:
  containers:
  - {name: c, image: $BUSYBOX, command: [sh, -c, 'yes'],
     resources: {limits: {ephemeral-storage: 10Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: modest}
spec:
  containers:
  - {name: c, image: $BUSYBOX, command: [sh, -c, 'dd if=/dev/zero of=/data/file bs=1M count=20; sleep 1000'],
     volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, emptyDir: {sizeLimit: 1Gi}}]
";

fn a_pod_that_fills_what_it_can_is_evicted(namespace: &Namespace) {
    namespace.apply(PODS);
    let total = "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ";
    for (pod, message) in [
        ("volume", "Usage of EmptyDir volume \"data\" exceeds the limit \"10Mi\". "),
        ("root", total),
        ("log", total),
    ] {
        namespace.wait(&format!("pod/{pod}"), "jsonpath={.status.phase}=Failed");
        let name = format!("pod/{pod}");
        assert_eq!(namespace.field(&name, ".status.reason"), "Evicted");
        assert_eq!(namespace.field(&name, ".status.message").trim(), message.trim());
        namespace.until_output(
            &["get", "events", "--field-selector", &format!("involvedObject.name={pod}")],
            message.trim(),
        );
    }
    assert_eq!(namespace.field("pod/modest", ".status.phase"), "Running");
}
