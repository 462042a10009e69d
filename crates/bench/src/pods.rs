//! Pods as Deployments make them: about 1.5 KB as sent, 2.9 KB as stored (27,000 of them are 78 MB of JSON).

use bytes::Bytes;
use serde_json::{Value, json};

/// The position of the name in a template.
const NAME: &str = "POD-NAME";

/// A pod whose name is filled in for each request.
pub struct Template {
    before: String,
    after: String,
}

impl Template {
    /// The template of a pod in this namespace, bound to a node that is not there.
    pub fn new(namespace: &str) -> Template {
        Template::of(&web_pod(namespace))
    }

    /// The same pod of no owner: where the garbage collector runs it would go with one that is not there.
    pub fn unowned(namespace: &str) -> Template {
        let mut pod = web_pod(namespace);
        if let Some(metadata) = pod["metadata"].as_object_mut() {
            metadata.remove("ownerReferences");
        }
        Template::of(&pod)
    }

    fn of(pod: &Value) -> Template {
        let text = pod.to_string();
        let (before, after) = text.split_once(NAME).expect("the pod has a name");
        Template { before: before.to_owned(), after: after.to_owned() }
    }

    /// The body for a name.
    pub fn body(&self, name: &str) -> Bytes {
        [self.before.as_str(), name, self.after.as_str()].concat().into()
    }
}

/// A Deployment of these pods.
pub fn deployment(namespace: &str, replicas: usize) -> Value {
    let mut pod = web_pod(namespace);
    let mut spec = pod["spec"].take();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("nodeName");
    }
    let labels = json!({"app.kubernetes.io/name": "storefront", "tier": "frontend"});
    let annotations = pod["metadata"]["annotations"].take();
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "storefront", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": pod["metadata"]["labels"], "annotations": annotations}, "spec": spec}
        }
    })
}

/// The status that a node's agent reports of such a pod once it runs.
pub fn running_status(number: usize) -> Value {
    let now = "2026-01-01T00:00:00Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "observedGeneration": 1, "lastTransitionTime": now});
    let address = format!("10.{}.{}.{}", 42 + number / 65536, number / 256 % 256, number % 256);
    json!({"status": {
        "phase": "Running", "observedGeneration": 1, "startTime": now,
        "podIP": address, "podIPs": [{"ip": address}], "hostIP": "192.0.2.17", "hostIPs": [{"ip": "192.0.2.17"}],
        "conditions": [
            condition("PodReadyToStartContainers"), condition("Initialized"), condition("Ready"),
            condition("ContainersReady")
        ],
        "containerStatuses": [{
            "name": "web", "ready": true, "started": true, "restartCount": 0,
            "image": "registry.example.com/shop/storefront:2.14.3",
            "imageID": "registry.example.com/shop/storefront@sha256:6f1ed002ab5595859014ebf0951522d96f1ed002ab559585",
            "containerID": format!("ironhull://{number:064x}"),
            "state": {"running": {"startedAt": now}}, "lastState": {}
        }]
    }})
}

fn web_pod(namespace: &str) -> Value {
    let probe = |path: &str, seconds: i64| {
        json!({
            "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
            "initialDelaySeconds": seconds, "periodSeconds": 10, "timeoutSeconds": 2, "failureThreshold": 3
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/name": "storefront", "app.kubernetes.io/instance": "storefront-eu",
                "app.kubernetes.io/version": "2.14.3", "pod-template-hash": "7d9c6b8f5d", "tier": "frontend"
            },
            "annotations": {
                "prometheus.io/scrape": "true", "prometheus.io/port": "9090",
                "checksum/config": "6f1ed002ab559585"
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "storefront-7d9c6b8f5d",
                "uid": "2b0b1e9c-53f5-4f4e-9f5c-7b9c3f0f6a11", "controller": true, "blockOwnerDeletion": true
            }]
        },
        "spec": {
            "nodeName": "worker-17",
            "containers": [{
                "name": "web",
                "image": "registry.example.com/shop/storefront:2.14.3",
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "DATABASE_URL",
                        "valueFrom": {"secretKeyRef": {"name": "storefront-database", "key": "url"}}}
                ],
                "resources": {
                    "requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}
                },
                "livenessProbe": probe("/healthz", 10),
                "readinessProbe": probe("/readyz", 2),
                "volumeMounts": [{"name": "config", "mountPath": "/etc/storefront", "readOnly": true}],
                "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false}
            }],
            "volumes": [{"name": "config", "configMap": {"name": "storefront-config"}}]
        }
    })
}
