//! The configuration of the node and its running pods: `/configz` and `/runningpods/`.

use std::collections::BTreeMap;

use cri::{Container, ContainerFilter, ContainerState, PodSandbox, PodSandboxFilter, PodSandboxState};
use object::Status;
use serde_json::{Value, json};

use super::Server;
use crate::config::NodeConfig;
use crate::label;
use crate::pressure::Limits;

impl Server {
    /// The settings, with the names of upstream's `KubeletConfiguration`.
    pub(super) fn configz(&self) -> Vec<u8> {
        json!({"kubeletconfig": configuration(&self.shared.config)}).to_string().into_bytes()
    }

    /// The pods of which something is running, according to the engine, not the API server.
    pub(super) async fn running_pods(&self) -> Result<Vec<u8>, Status> {
        let runtime = &self.shared.runtime;
        let failed = |error: cri::CriError| Status::internal_error(error.full_message());
        let filter = PodSandboxFilter { state: Some(PodSandboxState::Ready), ..PodSandboxFilter::default() };
        let sandboxes = runtime.list_pod_sandbox(&filter).await.map_err(failed)?;
        let filter = ContainerFilter { state: Some(ContainerState::Running), ..ContainerFilter::default() };
        let containers = runtime.list_containers(&filter).await.map_err(failed)?;
        Ok(running(&sandboxes, &containers).to_string().into_bytes())
    }
}

fn running(sandboxes: &[PodSandbox], containers: &[Container]) -> Value {
    let mut pods = BTreeMap::<(&str, &str, &str), Vec<Value>>::new();
    for sandbox in sandboxes {
        let meta = &sandbox.metadata;
        pods.entry((&meta.namespace, &meta.name, &meta.uid)).or_default();
    }
    for container in containers {
        let text = |name: &str| container.labels.get(name).map(String::as_str).unwrap_or_default();
        let pod = (text(label::POD_NAMESPACE), text(label::POD_NAME), text(label::POD_UID));
        let of_pod = pods.entry(pod).or_default();
        of_pod
            .push(json!({"name": container.metadata.name, "image": container.image.image, "resources": {}}));
    }
    let items: Vec<Value> = pods
        .into_iter()
        .map(|((namespace, name, uid), containers)| {
            json!({
                "metadata": {"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": null},
                "spec": {"containers": containers},
                "status": {},
            })
        })
        .collect();
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
}

fn configuration(config: &NodeConfig) -> Value {
    let Limits { hard, soft, soft_grace, minimum_reclaim } = config.eviction.limits();
    let taints: Vec<Value> =
        config.taints.iter().map(|taint| serde_json::to_value(taint).unwrap_or_default()).collect();
    json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": config.bind_address,
        "port": config.port,
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": false}, "x509": {}},
        "authorization": {"mode": "Webhook"},
        "registerWithTaints": taints,
        "maxPods": config.pods_max,
        "clusterDNS": config.cluster_dns,
        "clusterDomain": config.cluster_domain,
        "resolvConf": config.resolv_conf,
        "cgroupRoot": config.cgroup_root,
        "podLogsDir": config.log_dir,
        "containerLogMaxSize": config.log_bytes_max.to_string(),
        "containerLogMaxFiles": config.log_files_max,
        "imageGCHighThresholdPercent": config.image_gc_high_percent,
        "imageGCLowThresholdPercent": config.image_gc_low_percent,
        "evictionHard": hard,
        "evictionSoft": soft,
        "evictionSoftGracePeriod": soft_grace,
        "evictionMinimumReclaim": minimum_reclaim,
        "evictionMaxPodGracePeriod": config.eviction.pod_grace_seconds_max,
        "evictionPressureTransitionPeriod": crate::text::go_duration(config.eviction.pressure_transition),
        "enableServer": true,
        "enableSystemLogHandler": true,
        "enableDebuggingHandlers": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_upstreams_names() {
        let config = NodeConfig::new("n", "192.0.2.1".parse().unwrap(), "/x");
        let shown = configuration(&config);
        assert_eq!((&shown["maxPods"], &shown["port"]), (&json!(110), &json!(10250)));
        assert_eq!(shown["evictionHard"]["memory.available"], "100Mi");
        assert_eq!(shown["evictionHard"]["nodefs.available"], "10%");
        assert_eq!(shown["evictionPressureTransitionPeriod"], "5m0s");
    }
}
