//! The cost of many policies: loading all of them, and one change afterwards, in a separate namespace.

use std::time::Duration;

use hostnet::NetNs;
use serde_json::json;
use tokio::time::Instant;

use super::testing::{Cluster, TestPod, labels, policy, policy_key, tell};
use crate::policy::kernel::Kernel;

const PODS: usize = 1000;
const POLICIES: usize = 1000;

/// A thousand pods of one namespace, a hundred of them of this node, and a thousand policies, each for the pods of one of
/// fifty applications and with two applications as peers.
fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    cluster.namespaces.insert("x".to_owned(), labels(&[("ns", "x")]));
    for number in 0..PODS {
        let app = format!("app-{}", number % 50);
        cluster.pods.push(TestPod {
            namespace: "x".to_owned(),
            name: format!("p{number}"),
            labels: labels(&[("app", &app), ("number", &number.to_string())]),
            address: format!("10.42.{}.{}", number / 250, number % 250 + 2).parse().unwrap(),
            here: number % 10 == 0,
        });
    }
    for number in 0..POLICIES {
        let app = |n: usize| json!({"matchLabels": {"app": format!("app-{}", n % 50)}});
        let own = json!({"matchLabels": {"number": number.to_string()}});
        let from = json!([{"podSelector": app(number + 1)}, {"namespaceSelector": {}, "podSelector": own}]);
        let spec = json!({"podSelector": app(number), "ingress": [{"from": from, "ports": [{"port": 80}]}]});
        cluster.policies.push(policy("x", &format!("p{number}"), spec));
    }
    cluster
}

#[test]
fn a_thousand_policies_load_in_seconds_and_change_quickly() {
    let measure = || async {
        let mut cluster = cluster();
        let start = Instant::now();
        let mut index = cluster.index();
        let mut kernel = Kernel::new("scale");
        let planned = start.elapsed();
        kernel.sync(&mut index).await.unwrap();
        let loaded = start.elapsed();
        let mut changes = Vec::new();
        for round in 0..10 {
            let start = Instant::now();
            let pod = &mut cluster.pods[round * 70 + 1];
            pod.labels = labels(&[("app", "app-0")]);
            tell(&mut index, pod);
            kernel.sync(&mut index).await.unwrap();
            let pod_changed = start.elapsed();
            let spec = json!({"podSelector": {"matchLabels": {"app": "app-0"}}, "ingress": [{"ports": [{"port": 81 + round}]}]});
            let changed = policy("x", &format!("p{}", round * 50), spec);
            let start = Instant::now();
            index.policy_changed(&policy_key(&changed), Some(&changed));
            kernel.sync(&mut index).await.unwrap();
            changes.push((pod_changed, start.elapsed()));
        }
        changes.sort_unstable();
        let (pod, policy) = changes[5];
        println!(
            "{POLICIES} policies, {PODS} pods: planned in {planned:.0?}, loaded in {loaded:.0?}; a pod changed in {pod:.1?}, a \
             policy in {policy:.1?}"
        );
        // Far above the actual time, and far below that of a quadratic cost.
        assert!(loaded < Duration::from_secs(30) && policy < Duration::from_secs(3), "{loaded:?} {policy:?}");
    };
    NetNs::create().unwrap().block_on(measure).unwrap();
}
