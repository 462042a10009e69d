//! Pods that use as much as they can.

use k8s_openapi::api::core::v1::Node;
use libtest_mimic::Trial;
use object::ObjectKey;
use serde_json::{Value, json};

use crate::pods::{server, shell};
use crate::support::{Host, LIMIT, condition, eviction, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("messages_that_are_not_files_hold_nobody_up", messages_that_are_not_files_hold_nobody_up),
        trial("a_pod_that_fills_its_volume_is_evicted", a_pod_that_fills_its_volume_is_evicted),
        trial("a_pod_that_fills_its_message_is_evicted", a_pod_that_fills_its_message_is_evicted),
        trial("a_node_without_space_ends_pods_and_takes_none", a_node_without_space_ends_pods_and_takes_none),
        trial("idle_connections_keep_nobody_out", idle_connections_keep_nobody_out),
    ]
}

/// More of these pods than the test's node has threads.
const FIFOS: usize = 5;

async fn messages_that_are_not_files_hold_nobody_up(host: Host) {
    let names: Vec<String> = (0..FIFOS).map(|number| format!("fifo-{number}")).collect();
    for name in &names {
        let mut make = shell("make", "busybox mkfifo /volume/fifo");
        make["volumeMounts"] = json!([{"name": "volume", "mountPath": "/volume"}]);
        let mut main = shell("main", "exit 1");
        main["volumeMounts"] =
            json!([{"name": "volume", "mountPath": "/dev/termination-log", "subPath": "fifo"}]);
        host.create(
            name,
            json!({"restartPolicy": "Never", "initContainers": [make], "containers": [main],
                "volumes": [{"name": "volume", "emptyDir": {}}]}),
        )
        .await;
    }
    for name in &names {
        let pod = host.until_phase(name, "Failed").await;
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        let message = ended["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("Error on reading termination log "), "{pod:#}");
    }
    host.create("after", json!({"containers": [server("c")]})).await;
    host.until_ready("after").await;
}

fn evicted(pod: &Value) -> bool {
    pod["status"]["phase"] == "Failed" && pod["status"]["reason"] == "Evicted"
}

async fn a_pod_that_fills_its_volume_is_evicted(host: Host) {
    let fill = "dd() { busybox dd \"$@\"; }; dd if=/dev/zero of=/data/file bs=1M count=4; while true; do sleep 0.1; done";
    let mut container = shell("c", fill);
    container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let spec = |limit: &str| json!({"containers": [container], "volumes": [{"name": "data", "emptyDir": {"sizeLimit": limit}}]});
    host.create("fits", spec("64Mi")).await;
    host.create("fills", spec("1Mi")).await;
    let pod = host.until("fills", "its eviction", evicted).await;
    let message = "Usage of EmptyDir volume \"data\" exceeds the limit \"1Mi\". ";
    assert_eq!(pod["status"]["message"], message, "{pod:#}");
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137, "{pod:#}");
    let events = host.events("fills").await;
    assert!(events.iter().any(|event| *event == format!("Evicted: {message}")), "{events:?}");
    // Its files are gone, and others stay.
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let volume = host.dir.join("node/pods").join(uid).join("volumes/kubernetes.io~empty-dir/data");
    let gone = async {
        while volume.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
    assert_eq!(condition(&host.until_ready("fits").await, "Ready"), "True");
}

async fn a_pod_that_fills_its_message_is_evicted(host: Host) {
    let script =
        "busybox dd if=/dev/zero of=/dev/termination-log bs=1M count=4; while true; do sleep 0.1; done";
    let mut container = shell("c", script);
    container["resources"] = json!({"limits": {"ephemeral-storage": "1Mi"}});
    host.create("writer", json!({"containers": [container]})).await;
    let pod = host.until("writer", "its eviction", evicted).await;
    let message = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ";
    assert_eq!(pod["status"]["message"], message, "{pod:#}");
}

async fn a_node_without_space_ends_pods_and_takes_none(mut host: Host) {
    let mut small = server("c");
    small["resources"] = json!({"requests": {"ephemeral-storage": "1Gi"}});
    host.create("modest", json!({"containers": [small]})).await;
    host.create("greedy", json!({"containers": [shell("c", "while true; do echo more; sleep 0.1; done")]}))
        .await;
    let critical = json!({"priorityClassName": "system-cluster-critical", "containers": [server("c")]});
    host.create("critical", critical.clone()).await;
    for name in ["modest", "greedy", "critical"] {
        host.until_ready(name).await;
    }
    host.agent.take().unwrap().shutdown().await;
    // No disk has that much space left.
    host.eviction = eviction(&["nodefs.available<1Ei"]);
    host.start_agent().await;
    let pod = host.until("greedy", "its eviction", evicted).await;
    let message = pod["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("The node was low on resource: ephemeral-storage. Threshold quantity: 1Ei, "),
        "{message}"
    );
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let target = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
    assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("TerminationByKubelet")));
    let under_pressure = async {
        loop {
            let node: Node = host.server.find(&ObjectKey::cluster("n1")).await.unwrap();
            let node = serde_json::to_value(node).unwrap();
            if condition(&node, "DiskPressure") == "True" {
                return node;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let node = tokio::time::timeout(LIMIT, under_pressure).await.unwrap();
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let disk = conditions.iter().find(|condition| condition["type"] == "DiskPressure").unwrap();
    assert_eq!(
        (&disk["reason"], &disk["message"]),
        (&json!("KubeletHasDiskPressure"), &json!("kubelet has disk pressure"))
    );
    host.create("late", json!({"containers": [server("c")]})).await;
    let late = host.until("late", "its refusal", evicted).await;
    assert_eq!(late["status"]["message"], "Pod was rejected: The node had condition: [DiskPressure]. ");
    host.create("late-critical", critical).await;
    host.until_ready("late-critical").await;
    // The next one is evicted; a pod that uses no more than it requested is among the last, and a critical one is never
    // evicted.
    host.until("modest", "its eviction", evicted).await;
    assert_eq!(condition(&host.until_ready("critical").await, "Ready"), "True");
}

/// Silent connections took every place, and the server waited for a handshake without a limit.
async fn idle_connections_keep_nobody_out(host: Host) {
    host.create("web", json!({"containers": [server("c")]})).await;
    host.until_ready("web").await;
    let address = ("127.0.0.1", host.agent.as_ref().unwrap().port());
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let answer = host.get(Some("system:masters"), "/healthz").await;
    assert!(answer.ends_with("ok"), "{answer}");
    // Each of them is cut off.
    use tokio::io::AsyncReadExt;
    let cut = async {
        for mut stream in idle {
            // The end of the stream, or a reset.
            let _ = stream.read(&mut [0; 16]).await;
        }
    };
    tokio::time::timeout(LIMIT, cut).await.unwrap();
}
