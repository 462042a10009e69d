use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn pod(uid: &str, spec: Value) -> PodInfo {
    let pod = json!({"metadata": {"name": uid, "namespace": "a", "uid": uid}, "spec": spec});
    PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap()))
}

fn node() -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "n", "labels": {"disk": "ssd"}},
        "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "3"}},
    }))
    .unwrap()
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]})
}

#[test]
fn a_pod_is_refused_for_what_it_lacks() {
    let port = |ip: &str| json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80, "hostIP": ip}]}]});
    let admitted = Admitted::default();
    admitted.admit(&pod("1", cpu("600m")), &node(), false).unwrap();
    let rejection = admitted.admit(&pod("2", cpu("500m")), &node(), false).unwrap_err();
    assert_eq!(rejection.reason, "OutOfcpu");
    assert_eq!(
        rejection.message,
        "Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000"
    );
    admitted.admit(&pod("2", cpu("500m")), &node(), true).expect("what runs already is not refused");
    admitted.release("2");
    let selective = json!({"containers": [], "nodeSelector": {"disk": "hdd"}});
    assert_eq!(admitted.admit(&pod("3", selective), &node(), false).unwrap_err().reason, "NodeAffinity");
    admitted.admit(&pod("4", port("127.0.0.1")), &node(), false).unwrap();
    assert_eq!(admitted.admit(&pod("5", port("")), &node(), false).unwrap_err().reason, "NodePorts");
    admitted.admit(&pod("6", port("127.0.0.2")), &node(), false).unwrap();
    assert_eq!(
        admitted.admit(&pod("7", json!({"containers": []})), &node(), false).unwrap_err().reason,
        "OutOfpods"
    );
}

#[test]
fn init_containers_count_by_their_peak() {
    let request = |cpu: &str| json!({"requests": {"cpu": cpu}});
    let spec = json!({
        "initContainers": [
            {"name": "side", "restartPolicy": "Always", "resources": request("100m")},
            {"name": "init", "resources": request("500m")}],
        "containers": [{"name": "c", "resources": request("200m")}],
        "overhead": {"cpu": "10m"}});
    assert_eq!(requests(&pod("1", spec))["cpu"], 610);
}
