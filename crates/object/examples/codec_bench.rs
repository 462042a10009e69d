//! The cost of the codecs for a pod of about 4 KB of JSON: microseconds for each, and the heap size of the tree.
//!
//! `cargo run --release -p object --example codec_bench`

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use object::{Value, decode, json, protobuf, value, yaml};

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed to the system's allocator unchanged; the counter does not touch memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn container(name: &str) -> Value {
    value!({
        "name": name, "image": "registry.example.com/team/application:v1.2.3", "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/application", "--listen=:8080", "--log-level=info"],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
            {"name": "MODE", "value": "production"},
        ],
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
        "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10,
            "failureThreshold": 3, "successThreshold": 1, "timeoutSeconds": 1},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "volumeMounts": [{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "token", "readOnly": true}],
    })
}

fn pod() -> Value {
    let condition = |kind: &str| value!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    value!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": "application-5d4f8c7b9-x2x7k", "generateName": "application-5d4f8c7b9-", "namespace": "default",
            "uid": "0f5d3f6e-7a0b-4c55-9a3b-3f5b2f6f9d11", "resourceVersion": "123456",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app.kubernetes.io/name": "application", "pod-template-hash": "5d4f8c7b9"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "application-5d4f8c7b9",
                "uid": "6a3a7f5e-54a1-4e27-a9a3-0a4b5c6d7e8f", "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "volumes": [{"name": "token", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            ]}}],
            "containers": [container("application"), container("sidecar")],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "nodeName": "node-1", "securityContext": {},
            "schedulerName": "default-scheduler", "priority": 0, "enableServiceLinks": true,
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
        },
        "status": {
            "phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.42.0.17", "podIPs": [{"ip": "10.42.0.17"}],
            "startTime": "2026-01-01T00:00:00Z", "qosClass": "Burstable",
            "conditions": [condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")],
        },
    })
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn measure<T>(what: &str, mut run: impl FnMut() -> T) {
    const RUNS: u32 = 5_000;
    for _ in 0..200 {
        black_box(run());
    }
    let start = std::time::Instant::now();
    for _ in 0..RUNS {
        black_box(run());
    }
    println!("{what:24} {:8.1} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(RUNS));
}

fn main() {
    let ty = schema::type_by_gvk("", "v1", "Pod").expect("the table has pods");
    let lookup = |_: &str, _: &str| Some(ty.clone());
    let text = json::to_vec(&pod());
    let decoded = decode::decode_json(&text, &ty).expect("the pod is one").value;
    let bytes = protobuf::encode(&decoded, &ty).expect("the pod is one");
    let yaml_text = yaml::to_string(&decoded);
    println!("{} bytes of JSON, {} of protobuf, {} of YAML", text.len(), bytes.len(), yaml_text.len());

    let heap = |make: &dyn Fn() -> Value| {
        let before = IN_USE.load(Ordering::Relaxed);
        let kept = make();
        let used = IN_USE.load(Ordering::Relaxed) - before;
        drop(kept);
        used
    };
    println!(
        "heap of the tree: {} bytes decoded as its type",
        heap(&|| decode::decode_json(&text, &ty).expect("decodes").value)
    );
    println!(
        "heap of the tree: {} bytes from protobuf",
        heap(&|| protobuf::decode(&bytes, &lookup).expect("decodes").value)
    );
    println!(
        "heap of the tree: {} bytes parsed without a type",
        heap(&|| json::parse(&text).expect("parses"))
    );

    measure("JSON parse, no type", || json::parse(&text).expect("parses"));
    measure("JSON decode", || decode::decode_json(&text, &ty).expect("decodes"));
    measure("JSON encode", || json::to_bytes(&decoded));
    measure("protobuf encode", || protobuf::encode(&decoded, &ty).expect("encodes"));
    measure("protobuf decode", || protobuf::decode(&bytes, &lookup).expect("decodes"));
    measure("YAML decode", || decode::decode_yaml(yaml_text.as_bytes(), &ty).expect("decodes"));
    measure("YAML encode", || yaml::to_string(&decoded));
}
