//! Pods and the matching answers of an engine, for tests.

use std::sync::Arc;

use cri::{
    CgroupDriver, ContainerMetadata, ContainerResources, ContainerState, ContainerStatus, ImageSpec,
    NamespaceOption, PodSandboxMetadata, PodSandboxNetworkStatus, PodSandboxState, PodSandboxStatus,
    StringMap,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::engine::EngineFacts;
use crate::observed::Observed;
use crate::pod::PodInfo;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A pod named `web` with this specification.
pub(crate) fn pod(spec: Value) -> PodInfo {
    pod_with(spec, json!({}))
}

pub(crate) fn pod_with(spec: Value, status: Value) -> PodInfo {
    let meta = json!({"name": "web", "namespace": "default", "uid": "u", "generation": 3});
    let pod = json!({"metadata": meta, "spec": spec, "status": status});
    PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap()))
}

pub(crate) fn sandbox(attempt: u32, ready: bool) -> PodSandboxStatus {
    PodSandboxStatus {
        id: format!("s{attempt}"),
        metadata: PodSandboxMetadata {
            name: "web".into(),
            uid: "u".into(),
            namespace: "default".into(),
            attempt,
        },
        state: if ready { PodSandboxState::Ready } else { PodSandboxState::NotReady },
        created_at: at(i64::from(attempt)),
        network: PodSandboxNetworkStatus { ip: "10.0.0.1".into(), additional_ips: Vec::new() },
        namespace_options: NamespaceOption::default(),
        labels: StringMap::new(),
        annotations: StringMap::new(),
        runtime_handler: String::new(),
    }
}

/// A container `name` in sandbox `s<sandbox>`, with the id `<name><attempt>`; it ended at `at(100)` if it did.
pub(crate) fn container(
    name: &str,
    attempt: u32,
    sandbox: u32,
    state: ContainerState,
    code: i32,
) -> ContainerStatus {
    let ended = state == ContainerState::Exited;
    let reason = match (ended, code) {
        (false, _) => "",
        (true, 0) => "Completed",
        (true, _) => "Error",
    };
    ContainerStatus {
        id: format!("{name}{attempt}"),
        pod_sandbox_id: format!("s{sandbox}"),
        metadata: ContainerMetadata { name: name.into(), attempt },
        state,
        created_at: at(i64::from(attempt)),
        started_at: Some(at(50)),
        finished_at: ended.then(|| at(100)),
        exit_code: code,
        image: ImageSpec::default(),
        image_ref: "image@sha256:1".into(),
        image_id: "sha256:1".into(),
        reason: reason.into(),
        message: String::new(),
        labels: StringMap::new(),
        annotations: StringMap::new(),
        mounts: Vec::new(),
        log_path: String::new(),
        resources: ContainerResources::default(),
        user: None,
        stop_signal: String::new(),
    }
}

pub(crate) fn observed(sandboxes: Vec<PodSandboxStatus>, containers: Vec<ContainerStatus>) -> Observed {
    let engine = EngineFacts { name: "elsewhere".to_owned(), cgroup_driver: CgroupDriver::Cgroupfs };
    Observed::new(Arc::new(engine), sandboxes, containers)
}
