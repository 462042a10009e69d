//! What the server and its nodes measure of themselves, as a scraper sees it.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![
        trial(shared, "metrics", "components_show_what_they_did", components_show_what_they_did),
        trial(shared, "metrics", "a_node_shows_what_it_did", a_node_shows_what_it_did),
        trial(shared, "metrics", "the_traffic_of_pods_is_counted", the_traffic_of_pods_is_counted),
        trial(shared, "metrics", "a_summary_is_whole", a_summary_is_whole),
    ]
}

const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: nginx, image: $NGINX}]}
"#;

const PROBED: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: probed}
spec:
  selector: {matchLabels: {app: probed}}
  template:
    metadata: {labels: {app: probed}}
    spec:
      containers:
      - name: nginx
        image: $NGINX
        readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
"#;

fn components_show_what_they_did(namespace: &Namespace) {
    namespace.apply(WORKLOAD);
    namespace.run(&["rollout", "status", "deployment/web", LIMIT]);
    namespace.run(&["get", "pods", "--chunk-size=1", "-A"]);
    let server = Scrape::of(namespace, "/metrics");
    for (start, least) in [
        ("apiserver_request_total{verb=\"POST\",group=\"apps\",version=\"v1\",resource=\"deployments\"", 1.0),
        ("apiserver_longrunning_requests{verb=\"WATCH\",group=\"\",version=\"v1\",resource=\"pods\"", 1.0),
        ("apiserver_authorization_decisions_total{type=\"RBAC\"", 1.0),
        ("authorization_duration_seconds_count{result=\"allowed\"}", 1.0),
        ("scheduler_schedule_attempts_total{", 1.0),
        ("workqueue_adds_total{name=\"deployment\"}", 1.0),
        ("process_resident_memory_bytes ", 1e6),
        ("apiserver_resource_objects{group=\"\",resource=\"pods\"}", 1.0),
        ("etcd_requests_total{operation=\"create\",group=\"\",resource=\"pods\"}", 1.0),
        ("etcd_request_duration_seconds_count{operation=\"update\",group=\"\",resource=\"pods\"}", 1.0),
        ("apiserver_storage_events_received_total{group=\"\",resource=\"pods\"}", 1.0),
        ("apiserver_storage_size_bytes{", 4096.0),
        ("ironhull_store_commit_duration_seconds_count ", 1.0),
        ("ironhull_store_commit_changes_sum ", 1.0),
        ("apiserver_watch_cache_initializations_total{group=\"\",resource=\"pods\"}", 1.0),
        ("apiserver_watch_cache_events_received_total{group=\"\",resource=\"pods\"}", 1.0),
        ("apiserver_watch_cache_events_dispatched_total{group=\"\",resource=\"pods\"}", 1.0),
        ("apiserver_watch_cache_resource_version{group=\"\",resource=\"pods\"}", 1.0),
        ("apiserver_watch_cache_read_wait_seconds_count{", 1.0),
        ("apiserver_cache_list_total{group=\"\",resource=\"pods\"", 1.0),
        ("apiserver_cache_list_returned_objects_total{group=\"\",resource=\"pods\"}", 1.0),
    ] {
        server.at_least(start, least);
    }
}

/// The node tells of itself under its own address, to those who may ask it.
fn a_node_shows_what_it_did(namespace: &Namespace) {
    namespace.apply(PROBED);
    namespace.run(&["rollout", "status", "deployment/probed", LIMIT]);
    let node = namespace.run(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let of_node = |path: &str| Scrape::of(namespace, &format!("/api/v1/nodes/{node}/proxy/{path}"));
    let own = of_node("metrics");
    for (start, least) in [
        ("kubelet_node_name{node=\"", 1.0),
        ("kubelet_running_pods ", 1.0),
        ("kubelet_running_containers{container_state=\"running\"}", 1.0),
        ("kubelet_desired_pods ", 1.0),
        ("kubelet_started_pods_total ", 1.0),
        ("kubelet_started_containers_total{container_type=\"container\"}", 1.0),
        ("kubelet_pod_start_duration_seconds_count ", 1.0),
        ("kubelet_pod_start_sli_duration_seconds_count{", 1.0),
        ("kubelet_pod_start_total_duration_seconds_count{", 1.0),
        ("kubelet_pod_worker_duration_seconds_count{operation_type=\"create\"}", 1.0),
        ("kubelet_pod_status_sync_duration_seconds_count ", 1.0),
        ("kubelet_run_podsandbox_duration_seconds_count{", 1.0),
        ("kubelet_runtime_operations_total{operation_type=\"create_container\"}", 1.0),
        ("kubelet_runtime_operations_duration_seconds_count{operation_type=\"run_podsandbox\"}", 1.0),
        ("kubelet_http_requests_total{method=\"GET\",path=\"metrics\"", 1.0),
        ("kubelet_http_inflight_requests{method=\"GET\",path=\"metrics\"", 1.0),
        ("process_resident_memory_bytes ", 1e6),
    ] {
        own.at_least(start, least);
    }
    let probes = of_node("metrics/probes");
    probes.at_least(
        "prober_probe_total{probe_type=\"Readiness\",result=\"successful\",container=\"nginx\"",
        1.0,
    );
    probes.at_least("prober_probe_duration_seconds_count{probe_type=\"Readiness\",container=\"nginx\"", 1.0);
    let containers = of_node("metrics/cadvisor");
    containers.at_least("container_cpu_usage_seconds_total{container=\"nginx\"", 1e-6);
    containers.at_least("container_memory_working_set_bytes{container=\"nginx\"", 1e4);
    containers.at_least("container_memory_failures_total{container=\"nginx\",failure_type=\"pgfault\"", 1.0);
    containers.at_least("container_network_receive_packets_total{container=\"\"", 1.0);
    containers.at_least("container_fs_limit_bytes{container=\"nginx\"", 1e6);
    containers.at_least("container_fs_limit_bytes{container=\"\"", 1e6);
    containers.at_least("container_processes{container=\"\"", 1.0);
    containers.at_least("machine_cpu_cores ", 1.0);
    of_node("metrics/resource").at_least("pod_memory_working_set_bytes{", 1e4);
}

/// How much one pod fetches from another.
const TRAFFIC_BYTES: u64 = 8 << 20;
/// More than all headers and acknowledgements of it.
const OVERHEAD_BYTES: u64 = 2 << 20;

const TALKERS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: giver}
spec:
  containers:
  - name: c
    image: $BUSYBOX
    command: [sh, -c, "mkdir /www && dd if=/dev/zero of=/www/file bs=1M count=8 && exec httpd -f -p 80 -h /www"]
---
apiVersion: v1
kind: Pod
metadata: {name: taker}
spec:
  containers: [{name: c, image: $BUSYBOX, command: [sleep, "3600"]}]
"#;

/// What a pod received and sent: at `/stats/summary`, and at `/metrics/cadvisor`.
fn traffic(namespace: &Namespace, pod: &str) -> [(u64, u64); 2] {
    let network = pod_of(&summary(namespace), namespace, pod)["network"].clone();
    assert_eq!(network["name"], "eth0", "{network}");
    assert_eq!(network["interfaces"][0]["rxBytes"], network["rxBytes"], "{network}");
    let told = |field: &str| network[field].as_u64().unwrap_or_else(|| panic!("{field}: {network}"));
    let scrape = Scrape::of(namespace, &format!("{}/metrics/cadvisor", proxy(namespace)));
    let counted = |direction: &str| {
        let start = format!("container_network_{direction}_bytes_total{{container=\"\",");
        let of_pod = format!("namespace=\"{}\",pod=\"{pod}\"}}", namespace.name);
        let is_it = |line: &&str| line.starts_with(&start) && line.contains(&of_pod);
        let line = scrape.0.lines().find(is_it).unwrap_or_else(|| panic!("{start} of {pod}: {}", scrape.0));
        assert!(line.contains(",interface=\"eth0\","), "{line}");
        line.rsplit("} ").next().unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    [(told("rxBytes"), told("txBytes")), (counted("receive"), counted("transmit"))]
}

/// The path of the node's own server.
fn proxy(namespace: &Namespace) -> String {
    let node = namespace.run(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    format!("/api/v1/nodes/{node}/proxy")
}

fn summary(namespace: &Namespace) -> serde_json::Value {
    let text = namespace.run(&["get", "--raw", &format!("{}/stats/summary", proxy(namespace))]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn pod_of(summary: &serde_json::Value, namespace: &Namespace, pod: &str) -> serde_json::Value {
    let mut pods = summary["pods"].as_array().unwrap().iter();
    let is_it = |one: &&serde_json::Value| {
        one["podRef"]["name"] == pod && one["podRef"]["namespace"] == namespace.name.as_str()
    };
    pods.find(is_it).unwrap_or_else(|| panic!("{pod} is not in {summary}")).clone()
}

fn the_traffic_of_pods_is_counted(namespace: &Namespace) {
    namespace.apply(TALKERS);
    for pod in ["giver", "taker"] {
        namespace.wait(&format!("pod/{pod}"), "jsonpath={.status.phase}=Running");
    }
    let address = namespace.field("pod/giver", ".status.podIP");
    let fetch = format!("timeout 20 wget -q -O - http://{address}/file | wc -c");
    // The server may not listen yet.
    let before = namespace.until("a server that listens", || {
        let before = ["giver", "taker"].map(|pod| traffic(namespace, pod));
        let fetched = namespace.exec("taker", &fetch);
        if fetched.trim() == TRAFFIC_BYTES.to_string() { Ok(before) } else { Err(fetched) }
    });
    let after = ["giver", "taker"].map(|pod| traffic(namespace, pod));
    for place in [0, 1] {
        let grown = |pod: usize| {
            let (before, after): ((u64, u64), (u64, u64)) = (before[pod][place], after[pod][place]);
            (after.0 - before.0, after.1 - before.1)
        };
        let (giver, taker) = (grown(0), grown(1));
        for (name, grown) in [("giver sent", giver.1), ("taker received", taker.0)] {
            let expected = TRAFFIC_BYTES..TRAFFIC_BYTES + OVERHEAD_BYTES;
            assert!(expected.contains(&grown), "{name} {grown} bytes in place {place}");
        }
        for (name, grown) in [("giver received", giver.0), ("taker sent", taker.1)] {
            assert!(grown > 0 && grown < OVERHEAD_BYTES, "{name} {grown} bytes in place {place}");
        }
    }
}

const WRITER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  containers:
  - name: c
    image: $BUSYBOX
    command:
    - sh
    - -c
    - |
      dd if=/dev/zero of=/scratch/file bs=1M count=3
      dd if=/dev/zero of=/file bs=1M count=2
      echo written
      while true; do :; done
    resources: {limits: {cpu: 200m}}
    volumeMounts: [{name: scratch, mountPath: /scratch}, {name: names, mountPath: /names}]
  volumes:
  - name: scratch
    emptyDir: {}
  - name: names
    downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}
"#;

fn a_summary_is_whole(namespace: &Namespace) {
    namespace.apply(WRITER);
    namespace.wait("pod/writer", "condition=Ready");
    namespace.until_output(&["logs", "writer"], "written");
    // What is on disks is measured every few seconds.
    let summary = namespace.until("the usage of disks", || {
        let summary = summary(namespace);
        let pod = pod_of(&summary, namespace, "writer");
        let used = pod["ephemeral-storage"]["usedBytes"].as_u64();
        if used >= Some(5 << 20) { Ok(summary) } else { Err(pod.to_string()) }
    });
    let node = &summary["node"];
    for path in [
        "/startTime",
        "/cpu/time",
        "/cpu/usageNanoCores",
        "/cpu/usageCoreNanoSeconds",
        "/memory/workingSetBytes",
        "/memory/availableBytes",
        "/memory/rssBytes",
        "/memory/pageFaults",
        "/network/rxBytes",
        "/network/interfaces/0/name",
        "/fs/capacityBytes",
        "/fs/availableBytes",
        "/fs/usedBytes",
        "/fs/inodes",
        "/fs/inodesFree",
        "/fs/inodesUsed",
        "/runtime/imageFs/usedBytes",
        "/runtime/imageFs/capacityBytes",
        "/runtime/containerFs/usedBytes",
        "/rlimit/maxpid",
        "/rlimit/curproc",
        "/swap/swapUsageBytes",
    ] {
        assert!(node.pointer(path).is_some(), "{path} is not in {node}");
    }
    // The kernel counts it for cgroups only on v2.
    if std::path::Path::new("/proc/pressure/io").exists() {
        for path in ["/cpu/psi/some/total", "/memory/psi/full/avg10", "/io/psi/some/avg300"] {
            assert!(node.pointer(path).is_some(), "{path} is not in {node}");
        }
        let scrape = Scrape::of(namespace, &format!("{}/metrics/cadvisor", proxy(namespace)));
        scrape.at_least("container_pressure_cpu_waiting_seconds_total{container=\"\",id=\"/\"", 1e-6);
    }
    let pod = pod_of(&summary, namespace, "writer");
    for path in [
        "/startTime",
        "/memory/workingSetBytes",
        "/containers/0/startTime",
        "/containers/0/memory/rssBytes",
        "/containers/0/logs/usedBytes",
        "/containers/0/rootfs/capacityBytes",
        "/network/rxErrors",
    ] {
        assert!(pod.pointer(path).is_some(), "{path} is not in {pod}");
    }
    assert_eq!(pod["process_stats"]["process_count"], 1, "{pod}");
    let used = |value: &serde_json::Value| value["usedBytes"].as_u64().unwrap_or_default();
    let volumes = pod["volume"].as_array().unwrap();
    let volume = |name: &str| volumes.iter().find(|volume| volume["name"] == name).unwrap();
    assert!((3 << 20..4 << 20).contains(&used(volume("scratch"))), "{pod}");
    assert!(used(volume("names")) < 1 << 20 && volume("names")["inodesUsed"].as_u64() > Some(1), "{pod}");
    assert!((2 << 20..3 << 20).contains(&used(&pod["containers"][0]["rootfs"])), "{pod}");
    // It would use a whole processor, and may use a fifth of one.
    for cpu in [&pod["cpu"], &pod["containers"][0]["cpu"]] {
        let rate = cpu["usageNanoCores"].as_u64().unwrap_or_default();
        assert!((1_000_000..600_000_000).contains(&rate), "{pod}");
    }
    let short = namespace.run(&[
        "get",
        "--raw",
        &format!("{}/stats/summary?only_cpu_and_memory=true", proxy(namespace)),
    ]);
    let short: serde_json::Value = serde_json::from_str(&short).unwrap();
    assert!(short["node"]["cpu"]["usageNanoCores"].is_u64() && short["node"].get("fs").is_none(), "{short}");
    let resource = Scrape::of(namespace, &format!("{}/metrics/resource", proxy(namespace)));
    resource.at_least("container_start_time_seconds{container=\"c\"", 1e9);
}

/// What a scraper reads.
struct Scrape(String);

impl Scrape {
    fn of(namespace: &Namespace, path: &str) -> Scrape {
        Scrape(namespace.run(&["get", "--raw", path]))
    }

    /// Asserts that the samples that begin so sum up to this at least.
    fn at_least(&self, start: &str, least: f64) {
        let samples = self.0.lines().filter(|line| line.starts_with(start));
        let values = samples
            .filter_map(|line| line.rsplit("} ").next()?.split(' ').find(|word| word.parse::<f64>().is_ok()));
        let sum: f64 = values.map(|value| value.parse::<f64>().unwrap()).sum();
        assert!(sum >= least, "{start} is {sum} in\n{}", self.0);
    }
}
