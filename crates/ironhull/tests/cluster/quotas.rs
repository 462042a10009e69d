//! Quotas and limit ranges, as `kubectl` shows them.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    let trial = |name, test| trial(shared, "quotas", name, test);
    vec![
        trial("a_quota_lets_in_what_it_has_room_for", a_quota_lets_in_what_it_has_room_for),
        trial("a_limit_range_fills_in_what_pods_leave_out", a_limit_range_fills_in_what_pods_leave_out),
    ]
}

fn pod(name: &str, resources: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  \
         - {{name: c, image: $BUSYBOX, command: [sleep, '1000'], resources: {resources}}}\n"
    )
}

/// The rows of `kubectl describe quota`, without its heading.
fn rows(namespace: &Namespace) -> Vec<String> {
    let text = namespace.run(&["describe", "quota", "q"]);
    let rows = text.lines().skip_while(|line| !line.starts_with("--")).skip(1);
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|row| !row.is_empty())
        .collect()
}

fn until_rows(namespace: &Namespace, expected: &[&str]) {
    namespace.until("what is used", || {
        let rows = rows(namespace);
        if rows == expected { Ok(()) } else { Err(format!("{rows:?}")) }
    });
}

fn a_quota_lets_in_what_it_has_room_for(namespace: &Namespace) {
    namespace.run(&["create", "quota", "q", "--hard=pods=2,requests.memory=64Mi,count/deployments.apps=1"]);
    until_rows(namespace, &["count/deployments.apps 0 1", "pods 0 2", "requests.memory 0 64Mi"]);
    namespace.apply(&pod("first", "{requests: {memory: 48Mi}}"));
    namespace.wait("pod/first", "condition=Ready");
    until_rows(namespace, &["count/deployments.apps 0 1", "pods 1 2", "requests.memory 48Mi 64Mi"]);
    let run = ["run", "bare", "--image=i", "--restart=Never"];
    let refused = namespace.fails(&run);
    assert!(refused.contains("failed quota: q: must specify requests.memory for: bare"), "{refused}");
    let large = r#"--overrides={"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"memory": "32Mi"}}}]}}"#;
    let refused = namespace.fails(&["run", "large", "--image=i", "--restart=Never", large]);
    let why = "exceeded quota: q, requested: requests.memory=32Mi, used: requests.memory=48Mi, limited: requests.memory=64Mi";
    assert!(refused.contains(why), "{refused}");
    namespace.run(&["create", "deployment", "web", "--image=i", "--replicas=0"]);
    let refused = namespace.fails(&["create", "deployment", "more", "--image=i", "--replicas=0"]);
    assert!(refused.contains("exceeded quota: q, requested: count/deployments.apps=1"), "{refused}");
    namespace.run(&["delete", "pod", "first"]);
    namespace.run(&["delete", "deployment", "web"]);
    until_rows(namespace, &["count/deployments.apps 0 1", "pods 0 2", "requests.memory 0 64Mi"]);
    namespace.apply(&pod("second", "{requests: {memory: 64Mi}}"));
    namespace.wait("pod/second", "condition=Ready");
}

fn a_limit_range_fills_in_what_pods_leave_out(namespace: &Namespace) {
    namespace.apply(
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: range}\nspec:\n  limits:\n  - {type: Container, default: \
         {memory: 32Mi}, defaultRequest: {cpu: 10m, memory: 16Mi}, max: {memory: 64Mi}}\n",
    );
    namespace.apply(&pod("plain", "{}"));
    namespace.wait("pod/plain", "condition=Ready");
    let resources = namespace.field("pod/plain", ".spec.containers[0].resources");
    assert_eq!(resources, r#"{"limits":{"memory":"32Mi"},"requests":{"cpu":"10m","memory":"16Mi"}}"#);
    let annotation = namespace.field("pod/plain", r".metadata.annotations.kubernetes\.io/limit-ranger");
    let expected =
        "LimitRanger plugin set: cpu, memory request for container c; memory limit for container c";
    assert_eq!(annotation, expected);
    let large = r#"--overrides={"spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"memory": "1Gi"}}}]}}"#;
    let refused = namespace.fails(&["run", "large", "--image=i", "--restart=Never", large]);
    assert!(refused.contains("maximum memory usage per Container is 64Mi, but limit is 1Gi"), "{refused}");
}
