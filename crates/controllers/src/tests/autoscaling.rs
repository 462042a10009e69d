//! Autoscalers with the metrics API and everything that they scale, on the real API server under a paused clock. The test
//! plays the part of the nodes.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use object::ObjectKey;
use serde_json::{Value as Json, json};

use super::{Cluster, web};

const PERIOD: Duration = Duration::from_secs(15);

/// A cluster with one node, on which all pods run.
struct Loaded {
    cluster: Cluster,
    /// Processor seconds that each container has used so far.
    used: f64,
}

impl Loaded {
    async fn start(deployment: &Deployment) -> Loaded {
        let cluster = Cluster::start().await;
        cluster
            .server
            .create(&serde_json::from_value::<Node>(json!({"metadata": {"name": "n"}})).unwrap())
            .await;
        let mut deployment = deployment.clone();
        let spec = &mut deployment.spec.template.spec;
        spec.as_mut().unwrap().containers[0] = serde_json::from_value(json!({
            "name": "web", "image": "one", "resources": {"requests": {"cpu": "1"}}
        }))
        .unwrap();
        cluster.server.create(&deployment).await;
        Loaded { cluster, used: 1.0 }
    }

    async fn autoscale(&self, name: &str, spec: Json) {
        let mut all = json!({
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]
        });
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let made = json!({"metadata": {"name": name, "namespace": "default"}, "spec": all});
        self.cluster.server.create(&serde_json::from_value::<HorizontalPodAutoscaler>(made).unwrap()).await;
    }

    /// Lets some periods pass in which each container uses so many processors.
    async fn run(&mut self, periods: usize, processors: f64) {
        for _ in 0..periods {
            tokio::time::sleep(PERIOD).await;
            let server = &self.cluster.server;
            let now = server.clock().now();
            self.used += processors * PERIOD.as_secs_f64();
            let at = now.as_millisecond();
            let mut text = format!(
                "node_cpu_usage_seconds_total {} {at}\nnode_memory_working_set_bytes 1 {at}\n",
                self.used
            );
            for pod in server.list::<Pod>().await {
                let name = pod.metadata.name.as_deref().unwrap();
                if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()) {
                    let binding = json!({"metadata": {"name": name, "namespace": "default"}, "target": {"kind": "Node", "name": "n"}});
                    let binding: k8s_openapi::api::core::v1::Binding =
                        serde_json::from_value(binding).unwrap();
                    let key = client::key_of(&pod);
                    let bound =
                        server.admin().create_subresource::<Pod, _, Json>(&key, "binding", &binding).await;
                    bound.unwrap();
                    // It has been ready for long.
                    let since = now.checked_sub(jiff::SignedDuration::from_hours(1)).unwrap().to_string();
                    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": since});
                    let status = json!({"phase": "Running", "startTime": since, "conditions": [ready]});
                    server.patch_status::<Pod>(&key, status).await;
                }
                let labels = format!("{{container=\"web\",namespace=\"default\",pod=\"{name}\"}}");
                text += &format!(
                    "container_cpu_usage_seconds_total{labels} {} {at}\ncontainer_memory_working_set_bytes{labels} 9 {at}\n",
                    self.used
                );
            }
            server.measured("n", &text);
        }
    }

    async fn replicas(&self) -> i32 {
        self.cluster.deployment().await.spec.replicas.unwrap()
    }

    /// `TYPE STATUS REASON` of each condition.
    async fn conditions(&self, name: &str) -> Vec<String> {
        let key = ObjectKey::namespaced("default", name);
        let found: HorizontalPodAutoscaler = self.cluster.server.find(&key).await.unwrap();
        let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
        conditions
            .iter()
            .map(|one| format!("{} {} {}", one.type_, one.status, one.reason.as_deref().unwrap()))
            .collect()
    }

    async fn events(&self) -> Vec<String> {
        let events = self.cluster.server.list::<Event>().await;
        let of_ours = events
            .iter()
            .filter(|event| event.involved_object.kind.as_deref() == Some("HorizontalPodAutoscaler"));
        of_ours
            .map(|event| {
                format!("{}: {}", event.reason.as_deref().unwrap(), event.message.as_deref().unwrap())
            })
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn load_scales_out_and_its_end_scales_in() {
    let mut loaded = Loaded::start(&web("one", 1)).await;
    loaded.autoscale("auto", json!({})).await;
    loaded.run(4, 1.0).await;
    // A processor of each of them is twice the target, however many there are.
    assert!(loaded.replicas().await > 1);
    assert_eq!(
        loaded.conditions("auto").await[1..],
        [
            "ScalingActive True ValidMetricFound",
            "ScalingLimited False DesiredWithinRange",
            "ScaledToZero False NotScaledToZero",
        ]
    );
    loaded.run(6, 1.0).await;
    assert_eq!(loaded.replicas().await, 5);
    let conditions = loaded.conditions("auto").await;
    assert_eq!(conditions[2], "ScalingLimited True TooManyReplicas");
    let out = "SuccessfulRescale: New size: 2; reason: cpu resource utilization (percentage of request) above target";
    assert!(loaded.events().await.iter().any(|event| event == out), "{:?}", loaded.events().await);

    loaded.run(3, 0.001).await;
    assert_eq!(loaded.replicas().await, 5, "recommendations of the last five minutes count");
    assert_eq!(loaded.conditions("auto").await[0], "AbleToScale True ScaleDownStabilized");
    loaded.run(25, 0.001).await;
    assert_eq!(loaded.replicas().await, 1);
    let back = "SuccessfulRescale: New size: 1; reason: All metrics below target";
    assert!(loaded.events().await.iter().any(|event| event == back), "{:?}", loaded.events().await);
}

#[tokio::test(start_paused = true)]
async fn without_figures_nothing_is_scaled() {
    let mut loaded = Loaded::start(&web("one", 2)).await;
    loaded.autoscale("auto", json!({})).await;
    tokio::time::sleep(PERIOD * 2).await;
    assert_eq!(loaded.replicas().await, 2);
    assert_eq!(
        loaded.conditions("auto").await,
        ["AbleToScale True SucceededGetScale", "ScalingActive False FailedGetResourceMetric",]
    );
    let why = "FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API";
    assert!(loaded.events().await.iter().any(|event| event == why), "{:?}", loaded.events().await);
    loaded.run(4, 0.5).await;
    assert_eq!(loaded.conditions("auto").await[1], "ScalingActive True ValidMetricFound");
}

#[tokio::test(start_paused = true)]
async fn autoscalers_of_the_same_pods_stop() {
    let mut loaded = Loaded::start(&web("one", 1)).await;
    loaded.autoscale("one", json!({})).await;
    loaded.autoscale("two", json!({})).await;
    loaded.run(6, 1.0).await;
    for name in ["one", "two"] {
        assert_eq!(loaded.conditions(name).await[1], "ScalingActive False AmbiguousSelector", "{name}");
    }
    let key = ObjectKey::namespaced("default", "two");
    loaded.cluster.server.remove::<HorizontalPodAutoscaler>(&key).await;
    loaded.run(3, 0.5).await;
    assert_eq!(loaded.conditions("one").await[1], "ScalingActive True ValidMetricFound");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_served_is_told() {
    let loaded = Loaded::start(&web("one", 1)).await;
    let target = |kind: &str, name: &str| json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}});
    loaded.autoscale("a", target("Nothing", "web")).await;
    loaded.autoscale("b", target("Deployment", "none")).await;
    let queue = json!({"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "1"}}});
    let hits = json!({"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "1"}}});
    loaded.autoscale("c", json!({"metrics": [hits, queue]})).await;
    tokio::time::sleep(PERIOD * 2).await;
    assert_eq!(loaded.conditions("a").await, ["AbleToScale False FailedGetScale"]);
    assert_eq!(loaded.conditions("b").await, ["AbleToScale False FailedGetScale"]);
    assert_eq!(loaded.conditions("c").await[1], "ScalingActive False FailedGetPodsMetric");
    let events = loaded.events().await;
    for expected in [
        "FailedGetScale: no matches for kind \"Nothing\" in group \"apps\"",
        "FailedGetScale: deployments.apps \"none\" not found",
        "FailedGetPodsMetric: unable to get metric hits: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered",
        "FailedGetExternalMetric: unable to get external metric default/queue/nil: unable to fetch metrics from external metrics API: the server could not find the requested resource",
    ] {
        assert!(events.iter().any(|event| event == expected), "{expected} is not among {events:#?}");
    }
}

/// Looks are a period apart, whatever wakes the controller.
#[tokio::test(start_paused = true)]
async fn an_autoscaler_asks_once_in_a_period() {
    let mut loaded = Loaded::start(&web("one", 1)).await;
    loaded.autoscale("auto", json!({})).await;
    loaded.run(4, 0.5).await;
    drop(loaded.cluster.server.faults().take_requests());
    let key = ObjectKey::namespaced("default", "auto");
    for index in 0..10 {
        let change = json!({"metadata": {"labels": {"a": index.to_string()}}});
        loaded.cluster.server.patch::<HorizontalPodAutoscaler>(&key, change).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = loaded.cluster.server.faults().take_requests();
    let scales = asked.iter().filter(|request| request.contains("scale")).count();
    assert!(scales <= 1, "{asked:#?}");
}
