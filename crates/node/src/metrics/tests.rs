use super::*;

fn assert_shows(text: &str, samples: &[&str]) {
    for sample in samples {
        assert!(text.contains(&format!("\n{sample}\n")), "no {sample} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_that_happens_is_shown() {
    let metrics = Metrics::new("n", Exposition::default());
    let second = Duration::from_secs(1);
    metrics.runs(3, 2, [("created", 0), ("running", 4), ("exited", 1), ("unknown", 0)]);
    metrics.sandbox_started("", second, true);
    metrics.sandbox_started("", second, false);
    metrics.container_started("init_container", None);
    metrics.container_started("container", Some("ErrImagePull"));
    let start = |has_network| Start {
        since_seen: second,
        since_created: 3 * second,
        excluded: 2 * second,
        has_network,
    };
    metrics.pod_started(&start(false));
    metrics.pod_started(&start(true));
    metrics.pod_started(&start(true));
    metrics.pod_worked("create", second);
    metrics.status_written(second);
    metrics.evicted("memory.available");
    let request =
        HttpRequest { method: "GET", path: "metrics", server_type: "readwrite", long_running: "false" };
    drop(metrics.requested(request.clone()));
    let answering = metrics.requested(request);
    assert_shows(
        &metrics.exposition.text(),
        &[
            "kubelet_node_name{node=\"n\"} 1",
            "kubelet_desired_pods 3",
            "kubelet_running_pods 2",
            "kubelet_running_containers{container_state=\"running\"} 4",
            "kubelet_started_pods_total 2",
            "kubelet_started_pods_errors_total 1",
            "kubelet_started_containers_total{container_type=\"init_container\"} 1",
            "kubelet_started_containers_errors_total{container_type=\"container\",code=\"ErrImagePull\"} 1",
            "kubelet_pod_start_duration_seconds_count 3",
            "kubelet_pod_start_total_duration_seconds_sum{first_with_network=\"true\"} 3.0",
            "kubelet_pod_start_sli_duration_seconds_sum{first_with_network=\"true\"} 1.0",
            "kubelet_pod_start_sli_duration_seconds_sum{first_with_network=\"false\"} 2.0",
            "kubelet_pod_worker_duration_seconds_count{operation_type=\"create\"} 1",
            "kubelet_pod_status_sync_duration_seconds_sum 1.0",
            "kubelet_run_podsandbox_duration_seconds_count{runtime_handler=\"\"} 2",
            "kubelet_run_podsandbox_errors_total{runtime_handler=\"\"} 1",
            "kubelet_evictions{eviction_signal=\"memory.available\"} 1",
            "kubelet_http_requests_total{method=\"GET\",path=\"metrics\",server_type=\"readwrite\",long_running=\"false\"} 2",
            "kubelet_http_inflight_requests{method=\"GET\",path=\"metrics\",server_type=\"readwrite\",long_running=\"false\"} 1",
        ],
    );
    drop(answering);
}

#[tokio::test(start_paused = true)]
async fn calls_of_the_engine_are_measured() {
    let metrics = Metrics::new("n", Exposition::default());
    let late = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    };
    metrics.operations.measure("version", late).await.unwrap();
    let failed = async { Err::<(), _>(cri::CriError::InvalidArgument("x".to_owned())) };
    metrics.operations.measure("container_status", failed).await.unwrap_err();
    assert_shows(
        &metrics.exposition.text(),
        &[
            "kubelet_runtime_operations_total{operation_type=\"version\"} 1",
            "kubelet_runtime_operations_duration_seconds_sum{operation_type=\"version\"} 2.0",
            "kubelet_runtime_operations_errors_total{operation_type=\"container_status\"} 1",
        ],
    );
}

#[test]
fn a_probe_is_shown_while_it_runs() {
    let metrics = Metrics::new("n", Exposition::default());
    let meter = metrics.probes.of("Readiness", ("default", "web", "u"), "main");
    meter.probed(ProbeResult::Failed, Duration::from_secs(1));
    meter.probed(ProbeResult::Successful, Duration::from_secs(1));
    meter.probed(ProbeResult::Successful, Duration::from_secs(1));
    assert_shows(
        &metrics.probes.exposition.text(),
        &[
            "prober_probe_total{probe_type=\"Readiness\",result=\"successful\",container=\"main\",pod=\"web\",namespace=\"default\",pod_uid=\"u\"} 2",
            "prober_probe_total{probe_type=\"Readiness\",result=\"failed\",container=\"main\",pod=\"web\",namespace=\"default\",pod_uid=\"u\"} 1",
            "prober_probe_duration_seconds_count{probe_type=\"Readiness\",container=\"main\",pod=\"web\",namespace=\"default\"} 3",
        ],
    );
    drop(meter);
    let text = metrics.probes.exposition.text();
    assert!(!text.contains("web"), "{text}");
}

#[test]
fn claims_are_shown_as_long_as_they_are_used() {
    use crate::machine::{Amounts, Space};

    let metrics = Metrics::new("n", Exposition::default());
    let bytes = Amounts { capacity: 100, available: 60, used: 30 };
    let inodes = Some(Amounts { capacity: 10, available: 6, used: 4 });
    metrics.claims.set("shop", "db", &Space { bytes, inodes });
    metrics.claims.set("shop", "old", &Space { bytes, inodes: None });
    let claim = "{namespace=\"shop\",persistentvolumeclaim=\"db\"}";
    let names = [
        ("capacity_bytes", 100),
        ("available_bytes", 60),
        ("used_bytes", 30),
        ("inodes", 10),
        ("inodes_free", 6),
        ("inodes_used", 4),
    ];
    let shown = names.map(|(name, value)| format!("kubelet_volume_stats_{name}{claim} {value}"));
    assert_shows(&metrics.exposition.text(), &shown.each_ref().map(String::as_str));
    assert_eq!(metrics.exposition.text().matches("\"old\"").count(), 3, "it counts no inodes");
    metrics.claims.retain(|_, name| name == "db");
    assert!(!metrics.exposition.text().contains("\"old\""));
    metrics.claims.set("shop", "db", &Space { bytes, inodes: None });
    assert!(!metrics.exposition.text().contains("kubelet_volume_stats_inodes{"));
}
