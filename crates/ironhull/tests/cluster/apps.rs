//! Workloads and namespaces from their beginning to their end: `[sig-apps]` and `[sig-api-machinery]` tests of the conformance suite
//! that need containers and are not shown elsewhere. The tables are in `docs/sig-apps.md` and `docs/sig-api-machinery.md`.

use std::collections::BTreeSet;
use std::sync::Arc;

use libtest_mimic::Trial;

use crate::images::{NGINX_1, NGINX_2};
use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "apps", name, test);
    vec![
        trial("daemon_sets_should_run_on_nodes", daemon_sets_should_run_on_nodes),
        trial("deployments_should_replace_pods", deployments_should_replace_pods),
        trial("replica_sets_should_keep_pods", replica_sets_should_keep_pods),
        trial("stateful_sets_should_keep_names", stateful_sets_should_keep_names),
        trial("namespaces_should_end_pods_first", namespaces_should_end_pods_first),
    ]
}

/// A workload whose pods have the label `app: NAME`; `rest` is more of its spec.
fn workload(kind: &str, name: &str, image: &str, rest: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  {rest}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      containers: [{{name: c, image: '{image}', ports: [{{name: http, containerPort: 80}}]}}]\n"
    )
}

/// Names and UIDs of the pods with the label `app: NAME` that nobody deletes.
fn pods(namespace: &Namespace, app: &str) -> BTreeSet<(String, String)> {
    let path = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.deletionTimestamp}{\"\\n\"}{end}";
    let text = namespace.run(&["get", "pods", "-l", &format!("app={app}"), "-o", path]);
    let words = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.filter(|words| words.len() == 2).map(|words| (words[0].clone(), words[1].clone())).collect()
}

fn until_pods(namespace: &Namespace, app: &str, count: usize) -> BTreeSet<(String, String)> {
    namespace.until(&format!("{count} pods of {app}"), || {
        let pods = pods(namespace, app);
        if pods.len() == count { Ok(pods) } else { Err(format!("{pods:?}")) }
    })
}

/// "[sig-apps] Daemon set should run and stop simple daemon [Serial] [Conformance]", "... complex daemon", "... should retry creating
/// failed daemon pods", "... should update pod when spec was updated and update strategy is RollingUpdate", "... should rollback
/// without unnecessary restarts".
fn daemon_sets_should_run_on_nodes(namespace: &Namespace) {
    namespace.apply(&workload("DaemonSet", "simple", NGINX_1, "minReadySeconds: 0"));
    let complex = workload("DaemonSet", "complex", NGINX_1, "minReadySeconds: 0")
        .replace("    spec:\n", "    spec:\n      nodeSelector: {daemonset-color: blue}\n");
    namespace.apply(&complex);
    namespace.run(&["rollout", "status", "daemonset/simple", LIMIT]);
    let first = until_pods(namespace, "simple", 1);
    // One that somebody deletes is replaced.
    namespace.run(&["delete", "pod", "-l", "app=simple", LIMIT]);
    namespace.run(&["rollout", "status", "daemonset/simple", LIMIT]);
    let second = until_pods(namespace, "simple", 1);
    assert!(first.is_disjoint(&second), "{first:?} {second:?}");
    // So is one that is said to have failed.
    let status = r#"{"status": {"phase": "Failed"}}"#;
    namespace.run(&["patch", "pod", &second.first().unwrap().0, "--subresource=status", "-p", status]);
    namespace.until("another in place of the failed one", || {
        let pods = pods(namespace, "simple");
        if pods.len() == 1 && pods.is_disjoint(&second) { Ok(()) } else { Err(format!("{pods:?}")) }
    });
    namespace.run(&["rollout", "status", "daemonset/simple", LIMIT]);

    // A node gets its pod with the label, and loses it with the label.
    assert_eq!(namespace.field("daemonset/complex", ".status.desiredNumberScheduled"), "0");
    assert_eq!(pods(namespace, "complex"), BTreeSet::new());
    let node = namespace.cluster.host().name();
    namespace.run(&["label", "node", node, "daemonset-color=blue"]);
    namespace.wait("daemonset/complex", "jsonpath={.status.numberReady}=1");
    namespace.run(&["label", "node", node, "daemonset-color=green", "--overwrite"]);
    until_pods(namespace, "complex", 0);
    let green = r#"{"spec": {"template": {"spec": {"nodeSelector": {"daemonset-color": "green"}}}}}"#;
    namespace.run(&["patch", "daemonset", "complex", "-p", green]);
    namespace.run(&["rollout", "status", "daemonset/complex", LIMIT]);
    until_pods(namespace, "complex", 1);
    namespace.run(&["delete", "daemonset", "complex", LIMIT]);
    namespace.run(&["label", "node", node, "daemonset-color-"]);

    // One update, whose image cannot be had, and the way back: the pod that it did not reach stays as it is.
    namespace.run(&["set", "image", "daemonset/simple", &format!("c={NGINX_2}")]);
    namespace.run(&["rollout", "status", "daemonset/simple", LIMIT]);
    let updated = until_pods(namespace, "simple", 1);
    let pod = format!("pod/{}", updated.first().unwrap().0);
    assert_eq!(namespace.field(&pod, ".spec.containers[0].image"), NGINX_2);
    namespace.run(&["set", "image", "daemonset/simple", "c=127.0.0.1:5000/nginx:missing"]);
    namespace.until_output(&["get", "pods", "-l", "app=simple"], "ImagePullBackOff");
    namespace.run(&["rollout", "undo", "daemonset/simple"]);
    namespace.run(&["rollout", "status", "daemonset/simple", LIMIT]);
    let back = until_pods(namespace, "simple", 1);
    let pod = format!("pod/{}", back.first().unwrap().0);
    assert_eq!(namespace.field(&pod, ".spec.containers[0].image"), NGINX_2);
    assert_eq!(namespace.field(&pod, ".status.containerStatuses[0].restartCount"), "0");
    namespace.run(&["delete", "daemonset", "simple", LIMIT]);
    until_pods(namespace, "simple", 0);
}

/// "[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones [Conformance]", "... RollingUpdateDeployment
/// ...", "... deployment should delete old replica sets", "... deployment should support rollover", "... should run the lifecycle of a
/// Deployment".
fn deployments_should_replace_pods(namespace: &Namespace) {
    let rest = "replicas: 1\n  revisionHistoryLimit: 0\n  strategy: {type: Recreate}";
    namespace.apply(&workload("Deployment", "recreate", NGINX_1, rest));
    namespace.run(&["rollout", "status", "deployment/recreate", LIMIT]);
    let old = until_pods(namespace, "recreate", 1);
    let each = "jsonpath={.status.phase} {.spec.containers[0].image}{\"\\n\"}";
    let watched = namespace.follow(&["get", "pods", "-l", "app=recreate", "--watch", "-o", each]);
    watched.until(NGINX_1);
    namespace.run(&["set", "image", "deployment/recreate", &format!("c={NGINX_2}")]);
    namespace.run(&["rollout", "status", "deployment/recreate", LIMIT]);
    let new = until_pods(namespace, "recreate", 1);
    assert!(old.is_disjoint(&new), "{old:?} {new:?}");
    // No new pod runs beside an old one.
    let seen = watched.until(&format!("Running {NGINX_2}"));
    let old = |line: &&str| line.contains("Running") && line.ends_with(NGINX_1);
    let before = seen.lines().take_while(|line| !line.ends_with(NGINX_2)).filter(old).count();
    assert_eq!(seen.lines().filter(old).count(), before, "{seen}");
    // The old ReplicaSet is not kept.
    namespace.until("one ReplicaSet", || {
        let sets = namespace.run(&["get", "replicasets", "-l", "app=recreate", "-o", "name"]);
        if sets.lines().count() == 1 { Ok(()) } else { Err(sets) }
    });

    // A rollout that cannot end gives way to the next one.
    let rest =
        "replicas: 3\n  minReadySeconds: 0\n  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}";
    namespace.apply(&workload("Deployment", "rollover", NGINX_1, rest));
    namespace.run(&["rollout", "status", "deployment/rollover", LIMIT]);
    namespace.run(&["set", "image", "deployment/rollover", "c=127.0.0.1:5000/nginx:missing"]);
    namespace.wait("deployment/rollover", "jsonpath={.status.updatedReplicas}=1");
    assert_eq!(namespace.field("deployment/rollover", ".status.availableReplicas"), "3");
    namespace.run(&["set", "image", "deployment/rollover", &format!("c={NGINX_2}")]);
    namespace.run(&["rollout", "status", "deployment/rollover", LIMIT]);
    let path = "jsonpath={.items[*].spec.replicas}";
    let sizes = namespace.run(&["get", "replicasets", "-l", "app=rollover", "-o", path]);
    let mut sizes: Vec<&str> = sizes.split_whitespace().collect();
    sizes.sort_unstable();
    assert_eq!(sizes, ["0", "0", "3"]);

    // Patched, scaled, and deleted as one of a collection.
    let patch = r#"{"metadata": {"labels": {"test-deployment": "patched"}}, "spec": {"replicas": 2}}"#;
    namespace.run(&["patch", "deployment", "rollover", "-p", patch]);
    namespace.wait("deployment/rollover", "jsonpath={.status.readyReplicas}=2");
    let all = ["get", "deployments", "-A", "-l", "test-deployment=patched", "-o", "name"];
    assert_eq!(namespace.run(&all), "deployment.apps/rollover\n");
    namespace.run(&["delete", "deployments", "-l", "test-deployment=patched", LIMIT]);
    until_pods(namespace, "rollover", 0);
    namespace.run(&["delete", "deployment", "recreate", LIMIT]);
}

/// "[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods [Conformance]", "... should serve a
/// basic image on each replica with a public image", "... Replicaset should have a working scale subresource", "... Replace and Patch
/// tests".
fn replica_sets_should_keep_pods(namespace: &Namespace) {
    namespace.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: orphan, labels: {{app: kept}}}}, spec: {{terminationGracePeriodSeconds: 1, \
         containers: [{{name: c, image: '{NGINX_1}'}}]}}}}"
    ));
    // The controllers have heard of it by then.
    namespace.wait("pod/orphan", "condition=Ready");
    namespace.apply(&workload("ReplicaSet", "kept", NGINX_1, "replicas: 1"));
    namespace.wait("pod/orphan", "jsonpath={.metadata.ownerReferences[0].name}=kept");
    namespace.wait("replicaset/kept", "jsonpath={.status.readyReplicas}=1");
    assert_eq!(pods(namespace, "kept").len(), 1);
    namespace.run(&["label", "pod", "orphan", "app=released", "--overwrite"]);
    until_pods(namespace, "kept", 1);
    namespace.wait("pod/orphan", "jsonpath={.metadata.labels.app}=released");
    namespace.until("the release", || match namespace.field("pod/orphan", ".metadata.ownerReferences") {
        owners if owners.is_empty() => Ok(()),
        owners => Err(owners),
    });
    namespace.wait("replicaset/kept", "jsonpath={.status.readyReplicas}=1");

    // By its scale, by replacement and by a patch.
    namespace.run(&["scale", "replicaset", "kept", "--replicas=2"]);
    namespace.wait("replicaset/kept", "jsonpath={.status.availableReplicas}=2");
    let scale = [
        "get",
        "replicaset",
        "kept",
        "--subresource=scale",
        "-o",
        "jsonpath={.spec.replicas} {.status.replicas}",
    ];
    assert_eq!(namespace.run(&scale), "2 2");
    namespace.run(&[
        "patch",
        "replicaset",
        "kept",
        "--subresource=scale",
        "--type=merge",
        "-p",
        r#"{"spec": {"replicas": 4}}"#,
    ]);
    namespace.wait("replicaset/kept", "jsonpath={.status.availableReplicas}=4");
    let live = namespace.run(&["get", "replicaset", "kept", "-o", "json"]);
    let smaller = live.replacen("\"replicas\": 4", "\"replicas\": 2", 1);
    let replace = ["--namespace", &namespace.name, "replace", "-f", "-"];
    namespace.cluster.server.kubectl_with_input(&replace, &smaller).unwrap();
    until_pods(namespace, "kept", 2);
    let patch = r#"{"metadata": {"labels": {"test-rs": "patched"}}, "spec": {"replicas": 3}}"#;
    namespace.run(&["patch", "replicaset", "kept", "-p", patch]);
    assert_eq!(namespace.field("replicaset/kept", ".metadata.labels.test-rs"), "patched");
    namespace.wait("replicaset/kept", "jsonpath={.status.availableReplicas}=3");

    // Each replica serves.
    for (pod, _) in until_pods(namespace, "kept", 3) {
        let address = namespace.field(&format!("pod/{pod}"), ".status.podIP");
        let page = namespace.until("the page", || namespace.cluster.fetch(&address));
        assert_eq!(page, format!("{pod} version 1\n"));
    }
    namespace.run(&["delete", "replicaset", "kept", LIMIT]);
    namespace.run(&["delete", "pod", "orphan", LIMIT]);
}

/// "[sig-apps] StatefulSet Basic StatefulSet functionality should perform canary updates and phased rolling updates of template
/// modifications [Conformance]", "... should perform rolling updates and roll backs of template modifications", with kubectl.
fn stateful_sets_should_keep_names(namespace: &Namespace) {
    namespace.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}}",
    );
    namespace.apply(&workload("StatefulSet", "db", NGINX_1, "replicas: 3\n  serviceName: db"));
    namespace.run(&["rollout", "status", "statefulset/db", LIMIT]);
    let first = until_pods(namespace, "db", 3);
    assert_eq!(first.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["db-0", "db-1", "db-2"]);
    for (pod, _) in &first {
        assert_eq!(namespace.exec(pod, "cat /etc/hostname").trim(), pod);
    }
    namespace.run(&["delete", "pod", "db-1", LIMIT]);
    namespace.run(&["rollout", "status", "statefulset/db", LIMIT]);
    let second = until_pods(namespace, "db", 3);
    let kept: Vec<_> = first.intersection(&second).map(|(name, _)| name.as_str()).collect();
    assert_eq!(kept, ["db-0", "db-2"], "one was made again, under its name");

    let images = || {
        let path = "jsonpath={range .items[*]}{.metadata.name} {.spec.containers[0].image}{\"\\n\"}{end}";
        let text = namespace.run(&["get", "pods", "-l", "app=db", "--sort-by=.metadata.name", "-o", path]);
        text.lines().map(|line| line.ends_with(NGINX_2)).collect::<Vec<_>>()
    };
    let partition = |ordinal: i32| {
        let patch =
            format!(r#"{{"spec": {{"updateStrategy": {{"rollingUpdate": {{"partition": {ordinal}}}}}}}}}"#);
        namespace.run(&["patch", "statefulset", "db", "-p", &patch]);
    };
    partition(2);
    namespace.run(&["set", "image", "statefulset/db", &format!("c={NGINX_2}")]);
    let told = namespace.run(&["rollout", "status", "statefulset/db", LIMIT]);
    assert!(told.contains("partitioned roll out complete: 1 new pods have been updated"), "{told}");
    assert_eq!(images(), [false, false, true]);
    partition(0);
    namespace.run(&["rollout", "status", "statefulset/db", LIMIT]);
    assert_eq!(images(), [true; 3]);

    let history = namespace.run(&["rollout", "history", "statefulset/db"]);
    assert_eq!(history.lines().filter(|line| line.starts_with(['1', '2'])).count(), 2, "{history}");
    namespace.run(&["rollout", "undo", "statefulset/db"]);
    namespace.run(&["rollout", "status", "statefulset/db", LIMIT]);
    assert_eq!(images(), [false; 3]);
    let before = until_pods(namespace, "db", 3);
    namespace.run(&["rollout", "restart", "statefulset/db"]);
    namespace.run(&["rollout", "status", "statefulset/db", LIMIT]);
    assert!(before.is_disjoint(&until_pods(namespace, "db", 3)));

    namespace.run(&["scale", "statefulset", "db", "--replicas=1"]);
    let left = until_pods(namespace, "db", 1);
    assert_eq!(left.first().unwrap().0, "db-0");
    namespace.run(&["delete", "statefulset", "db", LIMIT]);
    namespace.run(&["delete", "service", "db", LIMIT]);
    until_pods(namespace, "db", 0);
}

/// "[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]", "[sig-api-machinery]
/// Namespaces should ensure that all pods are removed when a namespace is deleted [Serial] [Conformance]", "... all services ...".
fn namespaces_should_end_pods_first(namespace: &Namespace) {
    let place = format!("{}-more", namespace.name);
    let run = |arguments: &[&str]| {
        let mut all = vec!["-n", &place];
        all.extend(arguments);
        namespace.run(&all)
    };
    namespace.run(&["create", "namespace", &place]);
    run(&["wait", "--for=create", "serviceaccount/default", LIMIT]);
    run(&["create", "configmap", "map", "--from-literal=a=b"]);
    run(&["create", "service", "clusterip", "service", "--tcp=80"]);
    run(&["run", "held", &format!("--image={NGINX_1}")]);
    run(&["run", "free", &format!("--image={NGINX_1}")]);
    run(&["patch", "pod", "held", "-p", r#"{"metadata": {"finalizers": ["e2e.example.com/finalizer"]}}"#]);
    run(&["wait", "pod", "--all", "--for=condition=Ready", LIMIT]);
    namespace.run(&["delete", "namespace", &place, "--wait=false"]);
    namespace.until("the end of the other pod", || {
        let left = run(&["get", "pods", "-o", "name"]);
        if left == "pod/held\n" { Ok(()) } else { Err(left) }
    });
    // While a pod is left, the rest stays, and the namespace says why.
    let condition = r#"jsonpath={.status.conditions[?(@.type=="NamespaceContentRemaining")].status}"#;
    namespace.until_output(&["get", "namespace", &place, "-o", condition], "True");
    run(&["get", "configmap/map", "service/service"]);
    run(&["patch", "pod", "held", "-p", r#"{"metadata": {"finalizers": null}}"#]);
    namespace.run(&["wait", "namespace", &place, "--for=delete", LIMIT]);
    // One of the same name begins empty.
    namespace.run(&["create", "namespace", &place]);
    assert_eq!(run(&["get", "pods,services", "-o", "name"]), "");
    namespace.run(&["delete", "namespace", &place, "--wait=false"]);
}
