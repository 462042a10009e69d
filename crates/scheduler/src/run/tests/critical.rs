//! Preemption by a critical pod.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_critical_pod_takes_the_place_of_the_least_important_one() {
    let cluster = Cluster::start(Config::default()).await;
    cluster.add_node("a", json!({})).await;
    cluster.add_node("b", json!({})).await;
    for (name, value) in [("low", 1), ("middle", 100), ("system-cluster-critical", 2_000_000_000)] {
        let class = json!({"metadata": {"name": name}, "value": value});
        cluster.server.put(&serde_json::from_value::<PriorityClass>(class).unwrap()).await;
    }
    let spec = |class: &str| {
        let mut spec = containers(json!({"cpu": "3"}));
        spec["priorityClassName"] = class.into();
        spec
    };
    cluster.add_pod("first", spec("low")).await;
    cluster.add_pod("second", spec("middle")).await;
    let mut bound = cluster.settle().await;
    bound.sort();
    assert_eq!(bound, ["first", "second"]);
    let place = cluster.pod("first").await.spec.unwrap().node_name;
    cluster.add_pod("critical", spec("system-cluster-critical")).await;
    assert_eq!(cluster.settle().await, [""; 0]);
    let gone = cluster.pod("first").await.metadata.deletion_timestamp.is_some();
    let kept = cluster.pod("second").await.metadata.deletion_timestamp.is_none();
    assert!(gone && kept, "the pod of the lowest priority makes room");
    let nominated = cluster.pod("critical").await.status.unwrap().nominated_node_name;
    assert_eq!(nominated, place);
    cluster.server.remove::<Pod>(&ObjectKey::namespaced("default", "first")).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(cluster.settle().await, ["critical"]);
    assert_eq!(cluster.pod("critical").await.spec.unwrap().node_name, place);
}
