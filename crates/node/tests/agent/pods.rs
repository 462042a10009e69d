//! Pods from creation to deletion.

use std::fs;

use cri::{ContainerFilter, ContainerState, RuntimeService};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use libtest_mimic::Trial;
use object::ObjectKey;
use serde_json::{Value, json};

use crate::support::{Host, condition, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("the_node_becomes_ready", the_node_becomes_ready),
        trial("a_node_registers_with_its_status", a_node_registers_with_its_status),
        trial("a_pod_runs_and_is_deleted", a_pod_runs_and_is_deleted),
        trial("a_job_succeeds_after_its_init_containers", a_job_succeeds_after_its_init_containers),
        trial("a_crash_is_restarted_and_backs_off", a_crash_is_restarted_and_backs_off),
        trial(
            "a_missing_image_and_a_missing_config_map_are_told",
            a_missing_image_and_a_missing_config_map_are_told,
        ),
        trial("volumes_and_environment_reach_the_container", volumes_and_environment_reach_the_container),
        trial("a_container_restarts_by_its_own_rules", a_container_restarts_by_its_own_rules),
        trial("a_pod_that_others_failed_ends", a_pod_that_others_failed_ends),
        trial("probes_decide_readiness_and_life", probes_decide_readiness_and_life),
        trial("a_pod_deleted_early_leaves_no_logs", a_pod_deleted_early_leaves_no_logs),
        trial("a_new_agent_takes_over_what_runs", a_new_agent_takes_over_what_runs),
        trial("orphans_are_removed", orphans_are_removed),
        trial("a_pod_that_is_gone_by_force_takes_nothing", a_pod_that_is_gone_by_force_takes_nothing),
    ]
}

pub fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", script]})
}

/// A container that runs until it is stopped.
pub fn server(name: &str) -> Value {
    shell(name, "trap 'exit 0' TERM; echo up; while true; do sleep 0.1; done")
}

async fn the_node_becomes_ready(host: Host) {
    tokio::time::timeout(crate::support::LIMIT, host.agent.as_ref().unwrap().ready()).await.unwrap();
    let node: Node = host.server.find(&ObjectKey::cluster("n1")).await.unwrap();
    let labels = node.metadata.labels.unwrap();
    assert_eq!(labels["kubernetes.io/hostname"], "n1");
    assert_eq!(labels["kubernetes.io/os"], "linux");
    let status = node.status.unwrap();
    assert_eq!(status.capacity.unwrap()["pods"].0, "110");
    assert_eq!(status.node_info.unwrap().kubelet_version, "v1.37.0");
    host.until_lease().await;
}

/// Notes a new node that is not known to be unready, or whose conditions are not known.
struct NewNodes;

impl simulation::Observer for NewNodes {
    fn observe(&mut self, change: &simulation::Change) -> Result<(), String> {
        let node = &change.new;
        if !change.is_in("minions") || !change.old.is_null() {
            return Ok(());
        }
        let mut taints = node.at("spec.taints").items();
        let is_tainted = taints.any(|taint| taint.str_at("key") == "node.kubernetes.io/not-ready");
        let mut conditions = node.at("status.conditions").items();
        let is_known = conditions.any(|condition| condition.str_at("type") == "Ready");
        if is_tainted && is_known { Ok(()) } else { Err(format!("{node:?}")) }
    }
}

/// Without one, the node lifecycle controller would take the taint of new nodes off before the node is ready.
async fn a_node_registers_with_its_status(mut host: Host) {
    // Otherwise it might not have registered yet.
    tokio::time::timeout(crate::support::LIMIT, host.agent.as_ref().unwrap().ready()).await.unwrap();
    host.agent.take().unwrap().shutdown().await;
    host.server.remove::<Node>(&ObjectKey::cluster("n1")).await;
    let before = host.server.revision().await;
    host.server.journal().observe(NewNodes);
    host.start_agent().await;
    tokio::time::timeout(crate::support::LIMIT, host.agent.as_ref().unwrap().ready()).await.unwrap();
    assert!(host.server.revision().await > before);
    assert_eq!(host.server.journal().violation(), None);
}

impl Host {
    async fn until_lease(&self) {
        let key = ObjectKey::namespaced("kube-node-lease", "n1");
        while self.server.find::<Lease>(&key).await.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

async fn a_pod_runs_and_is_deleted(host: Host) {
    host.create("web", json!({"containers": [server("a"), server("b")]})).await;
    let pod = host.until_ready("web").await;
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["hostIP"], "127.0.0.1");
    let container = &pod["status"]["containerStatuses"][0];
    assert!(container["containerID"].as_str().unwrap().starts_with("ironhull://"), "{container}");
    assert!(container["state"]["running"]["startedAt"].is_string());
    host.delete("web", 30).await;
    host.until_gone("web").await;
    let gone = async {
        while !host.engine.list_containers(&ContainerFilter::default()).await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::support::LIMIT, gone).await.unwrap();
    let events = host.events("web").await;
    for event in [
        "Pulled: Container image \"busybox\" already present on machine and can be accessed by the pod",
        "Created: Container created",
        "Started: Container started",
        "Killing: Stopping container a",
    ] {
        assert!(events.iter().any(|seen| seen == event), "{event} is not in {events:?}");
    }
}

async fn a_job_succeeds_after_its_init_containers(host: Host) {
    let mut sidecar = server("side");
    sidecar["restartPolicy"] = json!("Always");
    let [mut first, mut main] = [
        shell("one", "echo 1 > /work/file"),
        shell("main", "cat /work/file; echo done > /dev/termination-log"),
    ];
    for container in [&mut first, &mut main] {
        container["volumeMounts"] = json!([{"name": "work", "mountPath": "/work"}]);
    }
    host.create(
        "job",
        json!({
            "restartPolicy": "Never",
            "initContainers": [first, sidecar],
            "containers": [main],
            "volumes": [{"name": "work", "emptyDir": {}}],
        }),
    )
    .await;
    let pod = host.until_phase("job", "Succeeded").await;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(0), &json!("Completed")), "{pod:#}");
    assert_eq!(ended["message"], "done\n");
    assert_eq!(host.log(&pod, "main", 0), "1\n");
    assert_eq!(condition(&pod, "Initialized"), "True");
}

async fn a_crash_is_restarted_and_backs_off(host: Host) {
    host.create("crash", json!({"restartPolicy": "Always", "containers": [shell("c", "exit 7")]})).await;
    // The second exit is visible before the back-off.
    host.until("crash", "its second end", |pod| {
        let container = &pod["status"]["containerStatuses"][0];
        container["restartCount"] == 1 && container["state"]["terminated"]["exitCode"] == 7
    })
    .await;
    let pod = host
        .until("crash", "CrashLoopBackOff", |pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(container["restartCount"], 1);
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 7);
    let message = container["state"]["waiting"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("back-off 10s restarting failed container=c pod=crash_default("),
        "{message}"
    );
    assert_eq!(pod["status"]["phase"], "Running");
}

async fn a_container_restarts_by_its_own_rules(host: Host) {
    let mut ruled = shell("c", "test -e /work/again && exit 1; touch /work/again; exit 42");
    ruled["restartPolicy"] = json!("Never");
    let codes = json!({"operator": "In", "values": [42]});
    ruled["restartPolicyRules"] = json!([{"action": "Restart", "exitCodes": codes}]);
    ruled["volumeMounts"] = json!([{"name": "work", "mountPath": "/work"}]);
    let volumes = json!([{"name": "work", "emptyDir": {}}]);
    host.create("ruled", json!({"restartPolicy": "Never", "containers": [ruled], "volumes": volumes})).await;
    let pod = host.until_phase("ruled", "Failed").await;
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(
        (&container["restartCount"], &container["state"]["terminated"]["exitCode"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 42);
}

/// A controller that gives up a node, or cannot place a pod there, marks the pod as failed: the node stops it.
async fn a_pod_that_others_failed_ends(host: Host) {
    host.create("given-up", json!({"containers": [server("c")]})).await;
    host.until_ready("given-up").await;
    let status = json!({"phase": "Failed", "reason": "GivenUp"});
    host.server.patch_status::<Pod>(&ObjectKey::namespaced("default", "given-up"), status).await;
    let pod = host
        .until("given-up", "the end of its container", |pod| {
            pod["status"]["containerStatuses"][0]["state"]["terminated"].is_object()
        })
        .await;
    assert_eq!((&pod["status"]["phase"], &pod["status"]["reason"]), (&json!("Failed"), &json!("GivenUp")));
    assert_eq!(condition(&pod, "Ready"), "False");
}

async fn a_missing_image_and_a_missing_config_map_are_told(host: Host) {
    host.create("image", json!({"containers": [{"name": "c", "image": "example.com/none"}]})).await;
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    host.until("image", "a pull error", |pod| {
        waiting(pod) == "ErrImagePull" || waiting(pod) == "ImagePullBackOff"
    })
    .await;
    let mut container = shell("c", "echo $GREETING; sleep 1000");
    container["env"] =
        json!([{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]);
    host.create("config", json!({"containers": [container]})).await;
    let pod = host
        .until("config", "a configuration error", |pod| waiting(pod) == "CreateContainerConfigError")
        .await;
    let message = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    assert_eq!(message, "configmap \"m\" not found");
    let map = json!({"metadata": {"name": "m", "namespace": "default"}, "data": {"k": "hello"}});
    host.server.put(&serde_json::from_value::<ConfigMap>(map).unwrap()).await;
    host.until_ready("config").await;
}

async fn volumes_and_environment_reach_the_container(host: Host) {
    let map = json!({"metadata": {"name": "m", "namespace": "default"}, "data": {"key": "from the map"}});
    host.server.put(&serde_json::from_value::<ConfigMap>(map).unwrap()).await;
    let mut container = shell(
        "c",
        "cat /map/key; echo; echo $ONE; cat /sub/key; echo; cat /etc/hosts; id -u; echo \"$HOME_OF_POD\"; touch /map/new && echo writable",
    );
    container["env"] = json!([
        {"name": "ONE", "value": "1"},
        {"name": "HOME_OF_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    container["args"] = json!([]);
    container["volumeMounts"] = json!([
        {"name": "map", "mountPath": "/map"},
        {"name": "map", "mountPath": "/sub/key", "subPath": "key"}]);
    container["securityContext"] = json!({"runAsUser": 1234});
    host.create(
        "v",
        json!({"restartPolicy": "Never", "containers": [container],
        "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["alias"]}],
        "volumes": [{"name": "map", "configMap": {"name": "m"}}]}),
    )
    .await;
    let pod = host
        .until("v", "its end", |pod| {
            ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default())
        })
        .await;
    let log = host.log(&pod, "c", 0);
    assert!(log.starts_with("from the map\n1\nfrom the map\n"), "{log} {pod:#}");
    assert!(log.contains("# Kubernetes-managed hosts file.\n") && log.contains("1.2.3.4\talias\n"), "{log}");
    assert!(log.ends_with("1234\nv\ntouch: /map/new: Read-only file system\n"), "{log}");
    // A pod that has ended is gone at once; the node takes its volumes away afterwards.
    host.delete("v", 0).await;
    host.until_gone("v").await;
    let removed = async {
        while fs::read_dir(host.dir.join("node/pods")).unwrap().next().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::support::LIMIT, removed).await.expect("no volume stays");
}

async fn probes_decide_readiness_and_life(host: Host) {
    let mut container = shell("c", "trap 'exit 0' TERM; touch /tmp/live; while true; do sleep 0.1; done");
    container["readinessProbe"] =
        json!({"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1});
    container["livenessProbe"] = json!({"exec": {"command": ["test", "-e", "/tmp/live"]}, "periodSeconds": 1, "failureThreshold": 1,
            "initialDelaySeconds": 2});
    host.create("p", json!({"containers": [container]})).await;
    let started = |pod: &Value| pod["status"]["containerStatuses"][0]["started"] == true;
    let pod = host.until("p", "its start", started).await;
    assert_eq!(condition(&pod, "Ready"), "False");
    let id =
        pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap().replace("ironhull://", "");
    let run = |script: &str| ["/bin/sh", "-c", script].map(str::to_owned);
    host.engine.exec_sync(&id, &run("touch /tmp/ready"), crate::support::LIMIT).await.unwrap();
    host.until_ready("p").await;
    host.engine
        .exec_sync(&id, &run("rm /tmp/live || busybox rm /tmp/live"), crate::support::LIMIT)
        .await
        .unwrap();
    host.until("p", "a restart", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    let events = host.events("p").await;
    let wanted = "Killing: Container c failed liveness probe, will be restarted";
    assert!(events.iter().any(|event| event == wanted), "{events:?}");
    assert!(events.iter().any(|event| event.starts_with("Unhealthy: Liveness probe failed: ")), "{events:?}");
}

/// Its log directory is created before its sandbox, which fails here.
async fn a_pod_deleted_early_leaves_no_logs(host: Host) {
    let class = json!({"metadata": {"name": "none"}, "handler": "none"});
    host.server.create(&serde_json::from_value::<RuntimeClass>(class).unwrap()).await;
    host.create("early", json!({"runtimeClassName": "none", "containers": [server("c")]})).await;
    host.until_event("early", "FailedCreatePodSandBox").await;
    let logs = || fs::read_dir(host.dir.join("logs")).unwrap().count();
    assert_eq!(logs(), 1);
    host.delete("early", 0).await;
    host.until_gone("early").await;
    let removed = async {
        while logs() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::support::LIMIT, removed).await.expect("no folder stays");
}

async fn a_new_agent_takes_over_what_runs(mut host: Host) {
    host.create("web", json!({"containers": [server("c")]})).await;
    let before = host.until_ready("web").await;
    host.agent.take().unwrap().shutdown().await;
    host.start_agent().await;
    host.agent.as_ref().unwrap().ready().await;
    host.delete("web", 5).await;
    host.until_gone("web").await;
    let running = ContainerFilter { state: Some(ContainerState::Running), ..Default::default() };
    assert!(host.engine.list_containers(&running).await.unwrap().is_empty());
    let started = host.events("web").await.iter().filter(|event| event.starts_with("Started")).count();
    assert_eq!(started, 1, "nothing was started anew: {before:#}");
}

async fn orphans_are_removed(mut host: Host) {
    host.create("web", json!({"terminationGracePeriodSeconds": 2, "containers": [server("c")]})).await;
    host.until_ready("web").await;
    host.agent.take().unwrap().shutdown().await;
    host.delete_by_force("web").await;
    host.start_agent().await;
    let gone = async {
        while fs::read_dir(host.dir.join("logs")).unwrap().next().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::support::LIMIT, gone).await.unwrap();
    assert!(host.engine.list_containers(&ContainerFilter::default()).await.unwrap().is_empty());
}

/// The first pod ignores signals and keeps running after its object is gone. The second one gets its resources.
async fn a_pod_that_is_gone_by_force_takes_nothing(host: Host) {
    let mut container = shell("c", "trap '' TERM; while true; do sleep 0.1; done");
    container["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    let spec = json!({"terminationGracePeriodSeconds": 5, "containers": [container]});
    host.create("first", spec.clone()).await;
    host.until_ready("first").await;
    host.delete_by_force("first").await;
    host.create("second", spec).await;
    host.until_ready("second").await;
}
