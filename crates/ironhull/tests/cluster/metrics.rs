//! What the server and its nodes measure of themselves, as a scraper sees it.

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::support::{LIMIT, Namespace, SharedCluster, trial};

pub fn trials(shared: &Arc<SharedCluster>) -> Vec<Trial> {
    vec![
        trial(shared, "metrics", "components_show_what_they_did", components_show_what_they_did),
        trial(shared, "metrics", "a_node_shows_what_it_did", a_node_shows_what_it_did),
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
    containers.at_least("machine_cpu_cores ", 1.0);
    of_node("metrics/resource").at_least("pod_memory_working_set_bytes{", 1e4);
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
