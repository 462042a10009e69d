//! A hollow node and its pods as they appear in the API. Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    Node, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

use crate::Spec;
use crate::life::{Life, Stage};

/// The conditions of a pod that its node sets.
const POD_CONDITIONS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"];

/// The Node object to register with.
pub(crate) fn node(spec: &Spec) -> Node {
    let mut labels = spec.labels.clone();
    for (name, value) in [
        ("kubernetes.io/hostname", spec.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
    ] {
        labels.insert(name.to_owned(), value.to_owned());
    }
    let metadata =
        ObjectMeta { name: Some(spec.name.clone()), labels: Some(labels), ..ObjectMeta::default() };
    Node { metadata, ..Node::default() }
}

/// The patch that makes the node's status healthy. `seen` is the current status.
pub(crate) fn node_status(spec: &Spec, seen: &Node, now: Timestamp) -> Value {
    let conditions: Vec<Value> = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ]
    .into_iter()
    .map(|(kind, status, reason)| {
        let conditions = seen.status.as_ref().and_then(|status| status.conditions.as_deref());
        let same = conditions.unwrap_or_default().iter().find(|c| c.type_ == kind && c.status == status);
        let since = same.and_then(|same| same.last_transition_time.clone()).unwrap_or(time(now));
        json!({
            "type": kind, "status": status, "reason": reason, "message": "a hollow node",
            "lastHeartbeatTime": time(now), "lastTransitionTime": since,
        })
    })
    .collect();
    let resources = BTreeMap::from([
        ("cpu", format!("{}m", spec.cpu_milli)),
        ("memory", format!("{}Mi", spec.memory_mib)),
        ("pods", spec.pods_max.to_string()),
        ("ephemeral-storage", "100Gi".to_owned()),
    ]);
    json!({"status": {
        "capacity": resources, "allocatable": resources, "conditions": conditions,
        "addresses": [
            {"type": "InternalIP", "address": spec.address.to_string()},
            {"type": "Hostname", "address": spec.name},
        ],
        "nodeInfo": {
            "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "hollow://0", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": "v1.37.0", "machineID": spec.name, "operatingSystem": "linux",
            "osImage": "hollow", "systemUUID": spec.name,
        },
    }})
}

/// Whether the node's status says that it is ready.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default().iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// The status of a pod in a stage of its life.
pub(crate) fn pod(spec: &Spec, pod: &Pod, life: &Life, stage: Stage, now: Timestamp) -> PodStatus {
    let is_host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    let address = if is_host_network { spec.address } else { pod_address(spec.address, life.address) };
    let is_ready = matches!(stage, Stage::Running(_));
    let has_started = stage != Stage::Starting || life.restarts > 0;
    let phase = match stage {
        Stage::Done => "Succeeded",
        _ if has_started => "Running",
        _ => "Pending",
    };
    let conditions = POD_CONDITIONS.into_iter().map(|kind| {
        let holds = is_ready || matches!(kind, "PodReadyToStartContainers" | "Initialized");
        condition(pod, kind, holds, now)
    });
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions.collect()),
        container_statuses: Some(containers(pod, life, stage)),
        host_ip: Some(spec.address.to_string()),
        pod_ip: Some(address.to_string()),
        pod_ips: Some(vec![PodIP { ip: address.to_string() }]),
        start_time: Some(time(life.began)),
        ..PodStatus::default()
    }
}

/// Whether a pod's status differs from the node's values. Values written by others do not count.
pub(crate) fn differs(seen: Option<&PodStatus>, wanted: &PodStatus) -> bool {
    let Some(seen) = seen else { return true };
    let states = |status: &PodStatus| {
        let conditions = status.conditions.iter().flatten();
        let own = conditions.filter(|condition| POD_CONDITIONS.contains(&&*condition.type_));
        own.map(|own| (own.type_.clone(), own.status.clone())).collect::<BTreeMap<_, _>>()
    };
    seen.phase != wanted.phase
        || seen.pod_ip != wanted.pod_ip
        || states(seen) != states(wanted)
        || seen.container_statuses.iter().flatten().map(|c| (c.ready, c.restart_count)).collect::<Vec<_>>()
            != wanted
                .container_statuses
                .iter()
                .flatten()
                .map(|c| (c.ready, c.restart_count))
                .collect::<Vec<_>>()
}

/// The address of the pod with this number on a node.
fn pod_address(node: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(node.to_bits().wrapping_add(number))
}

fn condition(pod: &Pod, kind: &str, holds: bool, now: Timestamp) -> PodCondition {
    let status = if holds { "True" } else { "False" };
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref());
    let same = conditions.unwrap_or_default().iter().find(|c| c.type_ == kind && c.status == status);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        last_transition_time: same.and_then(|same| same.last_transition_time.clone()).or(Some(time(now))),
        ..PodCondition::default()
    }
}

fn containers(pod: &Pod, life: &Life, stage: Stage) -> Vec<ContainerStatus> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let state = match stage {
        Stage::Running(since) => ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(time(since)) }),
            ..ContainerState::default()
        },
        Stage::Done => ContainerState {
            terminated: Some(ContainerStateTerminated {
                reason: Some("Completed".to_owned()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        },
        Stage::Starting | Stage::Stopped => ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: Some("ContainerCreating".to_owned()),
                message: None,
            }),
            ..ContainerState::default()
        },
    };
    let is_ready = matches!(stage, Stage::Running(_));
    containers
        .map(|container| ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            ready: is_ready,
            started: Some(is_ready),
            restart_count: life.restarts,
            state: Some(state.clone()),
            ..ContainerStatus::default()
        })
        .collect()
}

/// A moment as the API writes it, in whole seconds.
pub(crate) fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
