//! The number of bytes that an object takes in each of its forms: `cargo run -p client --example pod_memory`.
//!
//! It counts the allocator's bytes, so that every run prints the same. The pod belongs to a Deployment, is bound and
//! running, and has about 3 KB of JSON; the figures are per pod, over 1,000 of them. For the other kinds that informers
//! keep in number it prints the typed form, which is what they keep.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use client::{Kin, LeanPod, Object};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::{TypeMeta, Versioned};
use serde_json::{Value, json};
use texts::Text;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed unchanged to the system's allocator; the counter is not in its memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PODS: usize = 1000;
/// What precedes the place of the resource version in an object's JSON.
const METADATA: &str = "\"metadata\":{";

fn pod(number: usize) -> Value {
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}, "periodSeconds": 10});
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let toleration = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("storefront-7d9c6b8f5d-{number:05}"), "generateName": "storefront-7d9c6b8f5d-",
            "namespace": "shop", "uid": format!("2b0b1e9c-53f5-4f4e-9f5c-{number:012}"),
            "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "app.kubernetes.io/name": "storefront", "app.kubernetes.io/instance": "storefront-eu",
                "app.kubernetes.io/version": "2.14.3", "pod-template-hash": "7d9c6b8f5d", "tier": "frontend"
            },
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "storefront-7d9c6b8f5d",
                "uid": "2b0b1e9c-53f5-4f4e-9f5c-7b9c3f0f6a11", "controller": true, "blockOwnerDeletion": true
            }]
        },
        "spec": {
            "nodeName": "worker-17", "schedulerName": "default-scheduler", "serviceAccountName": "default",
            "serviceAccount": "default", "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "priority": 0,
            "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
            "terminationGracePeriodSeconds": 30, "securityContext": {},
            "tolerations": [toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")],
            "volumes": [{"name": "token", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}}],
            "containers": [{
                "name": "web", "image": "registry.example.com/shop/storefront:2.14.3",
                "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "REGION", "value": "eu-central-1"}],
                "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
                "livenessProbe": probe("/healthz"), "readinessProbe": probe("/ready"),
                "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                    "readOnly": true}]
            }]
        },
        "status": {
            "phase": "Running", "qosClass": "Burstable", "podIP": "10.42.3.17", "podIPs": [{"ip": "10.42.3.17"}],
            "hostIP": "192.0.2.17", "hostIPs": [{"ip": "192.0.2.17"}], "startTime": "2026-01-01T00:00:00Z",
            "conditions": [condition("PodReadyToStartContainers"), condition("Initialized"), condition("Ready"),
                condition("ContainersReady"), condition("PodScheduled")],
            "containerStatuses": [{
                "name": "web", "ready": true, "started": true, "restartCount": 0,
                "image": "registry.example.com/shop/storefront:2.14.3",
                "imageID": "registry.example.com/shop/storefront@sha256:6f1ed002ab5595859014ebf0951522d9",
                "containerID": "ironhull://6f1ed002ab5595859014ebf0951522d96f1ed002ab5595859014ebf0951522d9",
                "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}}, "lastState": {}
            }]
        }
    })
}

/// The bytes that `make` leaves behind for each item.
fn measure<T, R>(name: &str, items: &[T], make: impl Fn(&T) -> R) -> Vec<R> {
    let mut made = Vec::with_capacity(items.len());
    let before = HELD.load(Ordering::Relaxed);
    made.extend(items.iter().map(make));
    let each = HELD.load(Ordering::Relaxed).saturating_sub(before) / items.len();
    println!("{name:<52} {each:>6} bytes");
    made
}

/// Prints what an object of another kind takes.
fn measure_kind<K: Object>(name: &str, make: impl Fn(usize) -> Value) {
    let texts: Vec<String> = (0..PODS).map(|number| make(number).to_string()).collect();
    measure(&format!("{name}, typed, of {} bytes of JSON", texts[0].len()), &texts, |text| {
        Arc::new(serde_json::from_str::<K>(text).expect("the object is of its kind"))
    });
}

fn meta(name: &str, number: usize) -> Value {
    json!({
        "name": format!("{name}-{number:05}"), "namespace": "shop",
        "uid": format!("2b0b1e9c-53f5-4f4e-9f5c-{number:012}"), "resourceVersion": (1000 + number).to_string(),
        "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app.kubernetes.io/name": "storefront"},
    })
}

fn node(number: usize) -> Value {
    let condition = |kind: &str| {
        json!({"type": kind, "status": "False", "reason": "KubeletIsFine", "message": "kubelet is fine",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let image = |number: usize| {
        json!({"sizeBytes": 100_000_000, "names": [
            format!("registry.example.com/shop/app-{number}@sha256:6f1ed002ab5595859014ebf0951522d96f1ed002"),
            format!("registry.example.com/shop/app-{number}:1.0.{number}")]})
    };
    let amounts = json!({"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    json!({
        "metadata": meta("worker", number),
        "spec": {"podCIDR": "10.42.3.0/24", "podCIDRs": ["10.42.3.0/24"]},
        "status": {
            "capacity": amounts.clone(), "allocatable": amounts,
            "conditions": [condition("MemoryPressure"), condition("DiskPressure"), condition("PIDPressure"),
                condition("Ready")],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.17"}, {"type": "Hostname", "address": "worker"}],
            "images": (0..20).map(image).collect::<Vec<_>>(),
        },
    })
}

fn endpoint_slice(number: usize) -> Value {
    let endpoint = |index: usize| {
        json!({
            "addresses": [format!("10.42.3.{index}")], "nodeName": format!("worker-{index}"),
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": format!("storefront-7d9c6b8f5d-{index:05}"),
                "uid": format!("2b0b1e9c-53f5-4f4e-9f5c-{index:012}")},
        })
    };
    json!({
        "metadata": meta("storefront", number), "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": (0..100).map(endpoint).collect::<Vec<_>>(),
    })
}

fn replica_set(number: usize) -> Value {
    let Value::Object(mut template) = pod(number) else { unreachable!("a pod is an object") };
    template.remove("status");
    template.remove("apiVersion");
    template.remove("kind");
    json!({
        "metadata": meta("storefront", number),
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "storefront"}}, "template": template},
        "status": {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "observedGeneration": 1},
    })
}

fn event(number: usize) -> Value {
    json!({
        "metadata": meta("storefront", number), "type": "Normal", "reason": "Pulled", "count": 1,
        "message": "Container image \"registry.example.com/shop/storefront:2.14.3\" already present on machine",
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "storefront-7d9c6b8f5d-00001",
            "uid": "2b0b1e9c-53f5-4f4e-9f5c-7b9c3f0f6a11", "apiVersion": "v1"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "kubelet", "host": "worker-17"},
    })
}

fn service(number: usize) -> Value {
    json!({
        "metadata": meta("storefront", number),
        "spec": {"clusterIP": "10.43.0.17", "clusterIPs": ["10.43.0.17"], "type": "ClusterIP",
            "selector": {"app": "storefront"}, "sessionAffinity": "None", "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]},
        "status": {"loadBalancer": {}},
    })
}

fn lease(number: usize) -> Value {
    json!({
        "metadata": meta("worker", number),
        "spec": {"holderIdentity": "worker-17", "leaseDurationSeconds": 40, "renewTime": "2026-01-01T00:00:00.000000Z"},
    })
}

fn main() {
    let texts: Vec<String> = (0..PODS).map(|number| pod(number).to_string()).collect();
    println!("{:<52} {:>6} bytes", "JSON", texts[0].len());
    let type_meta = TypeMeta::new("v1", "Pod");
    let stored =
        measure("the JSON as store and watch cache keep it", &texts, |text| Text::compact(text.as_bytes()));
    let metadata_at = texts[0].find(METADATA).expect("a pod has metadata") + METADATA.len();
    let versions = measure("a version in the watch cache, without its JSON", &stored, |text| {
        let (type_meta, text) = (Arc::clone(&type_meta), text.clone());
        Versioned::from_stored(type_meta, text, metadata_at, 1, |_| object::FieldValues::default())
            .expect("the pod is JSON")
    });
    measure("the whole pod, typed", &versions, |version| {
        Arc::new(version.decode::<Pod>().expect("the pod is one"))
    });
    let lean = measure("the lean view", &versions, |version| {
        Arc::new(version.decode::<LeanPod>().expect("the pod is one"))
    });
    let kin = measure("who owns it, for the garbage collector", &versions, |version| {
        Arc::new(Kin::read(version).expect("the pod has metadata"))
    });
    drop((lean, kin));
    measure_kind::<Node>("a node with 20 images", node);
    measure_kind::<EndpointSlice>("a slice of 100 endpoints", endpoint_slice);
    measure_kind::<ReplicaSet>("a ReplicaSet", replica_set);
    measure_kind::<Service>("a Service", service);
    measure_kind::<Lease>("a Lease", lease);
    measure_kind::<ServiceAccount>("a ServiceAccount", |number| json!({"metadata": meta("default", number)}));
    measure_kind::<Event>("an Event (no informer keeps any)", event);
}
