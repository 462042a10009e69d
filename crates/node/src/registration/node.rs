//! The Node object and its status, made from facts. Pure.

use std::collections::BTreeMap;

use cri::{Image, RuntimeCondition, RuntimeStatus, VersionInfo};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;

use crate::config::{KUBELET_VERSION, NodeConfig};
use crate::host::Facts;
use crate::pressure::{Pressure, Pressures, Signal};
use crate::status::whole_seconds;

/// How many images the status lists, and how many names of each.
const IMAGES_MAX: usize = 50;
const IMAGE_NAMES_MAX: usize = 5;

/// The inputs of a status.
pub(super) struct Input<'a> {
    pub(super) config: &'a NodeConfig,
    pub(super) facts: &'a Facts,
    /// The engine's status, or its error.
    pub(super) runtime: Result<&'a RuntimeStatus, &'a String>,
    pub(super) version: Option<&'a VersionInfo>,
    pub(super) images: &'a [Image],
    pub(super) port: u16,
    pub(super) old: &'a NodeStatus,
    /// The status at the API server.
    pub(super) seen: &'a NodeStatus,
    /// The node's resource pressure.
    pub(super) pressures: &'a Pressures,
    pub(super) now: Timestamp,
}

/// The Node object to register with.
pub(super) fn object(config: &NodeConfig, facts: &Facts) -> Node {
    let mut labels = config.labels.clone();
    let hostname = config.node_name.clone();
    let own = [
        ("kubernetes.io/hostname", hostname.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", facts.architecture),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", facts.architecture),
    ];
    labels.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels),
            annotations: Some(config.annotations.clone()).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(config.taints.clone()).filter(|taints| !taints.is_empty()),
            ..NodeSpec::default()
        }),
        ..Node::default()
    }
}

/// Whether a Node is that of this machine, as far as is known.
pub(super) fn is_own(config: &NodeConfig, node: &Node) -> bool {
    config.machine_annotation.as_ref().is_none_or(|name| {
        let annotations = node.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(name)) == config.annotations.get(name)
    })
}

/// The node's status.
pub(super) fn status(input: Input<'_>) -> NodeStatus {
    let Input { config, facts, .. } = input;
    let node_ips = config.node_ips.borrow();
    let internal = node_ips.iter().map(|ip| ("InternalIP", ip.to_string()));
    let addresses = internal.chain([("Hostname", config.node_name.clone())]);
    NodeStatus {
        addresses: Some(
            addresses.map(|(kind, address)| NodeAddress { type_: kind.to_owned(), address }).collect(),
        ),
        capacity: Some(resources(config, facts, 0, 0)),
        allocatable: Some(allocatable(&input)),
        conditions: Some(conditions(&input)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(input.port) }),
        }),
        node_info: Some(system_info(&input)),
        images: Some(images(input.images)),
        runtime_handlers: input.runtime.ok().map(handlers),
        ..NodeStatus::default()
    }
}

fn resources(config: &NodeConfig, facts: &Facts, memory: i64, storage: i64) -> BTreeMap<String, Quantity> {
    let mut resources = BTreeMap::from([
        ("cpu".to_owned(), Quantity(facts.cpus.to_string())),
        ("memory".to_owned(), Quantity(format!("{}Ki", (facts.memory_bytes - memory).max(0) / 1024))),
        (
            "ephemeral-storage".to_owned(),
            Quantity(format!("{}Ki", (facts.storage_bytes - storage).max(0) / 1024)),
        ),
        ("pods".to_owned(), Quantity(config.pods_max.to_string())),
    ]);
    for (name, bytes) in &facts.hugepages {
        resources.insert(name.clone(), Quantity(bytes.to_string()));
    }
    resources
}

/// What pods can have: all but what eviction keeps back, and all of the extended resources that others put into the node's
/// capacity.
fn allocatable(input: &Input<'_>) -> BTreeMap<String, Quantity> {
    let Input { config, facts, .. } = input;
    let mut resources = resources(
        config,
        facts,
        config.eviction.reserved(Signal::MemoryAvailable, facts.memory_bytes),
        config.eviction.reserved(Signal::NodeFsAvailable, facts.storage_bytes),
    );
    let extended = input.seen.capacity.iter().flatten().filter(|(name, _)| is_extended(name));
    resources.extend(extended.map(|(name, amount)| (name.clone(), amount.clone())));
    resources
}

/// Whether a resource is none of Kubernetes' own: its name has a domain.
fn is_extended(name: &str) -> bool {
    name.split_once('/').is_some_and(|(domain, _)| {
        domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io") && !domain.starts_with("requests.")
    })
}

/// Whether the extended resources of a node are not those that pods can have.
pub(crate) fn has_new_resources(status: &NodeStatus) -> bool {
    let extended = |list: &Option<BTreeMap<String, Quantity>>| -> BTreeMap<String, Quantity> {
        list.clone().into_iter().flatten().filter(|(name, _)| is_extended(name)).collect()
    };
    extended(&status.capacity) != extended(&status.allocatable)
}

fn system_info(input: &Input<'_>) -> NodeSystemInfo {
    let facts = input.facts;
    let engine =
        input.version.map(|version| format!("{}://{}", version.runtime_name, version.runtime_version));
    NodeSystemInfo {
        architecture: facts.architecture.to_owned(),
        boot_id: facts.boot_id.clone(),
        container_runtime_version: engine.unwrap_or_default(),
        kernel_version: facts.kernel_version.clone(),
        kube_proxy_version: String::new(),
        kubelet_version: KUBELET_VERSION.to_owned(),
        machine_id: facts.machine_id.clone(),
        operating_system: "linux".to_owned(),
        os_image: facts.os_image.clone(),
        system_uuid: facts.system_uuid.clone(),
        ..NodeSystemInfo::default()
    }
}

fn handlers(runtime: &RuntimeStatus) -> Vec<NodeRuntimeHandler> {
    let handlers = runtime.runtime_handlers.iter();
    handlers
        .map(|handler| NodeRuntimeHandler {
            name: Some(handler.name.clone()).filter(|name| !name.is_empty()),
            features: Some(NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(handler.recursive_read_only_mounts),
                user_namespaces: Some(handler.user_namespaces),
            }),
        })
        .collect()
}

/// The largest images, as upstream lists them.
fn images(all: &[Image]) -> Vec<ContainerImage> {
    let mut all: Vec<&Image> = all.iter().collect();
    all.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.id.cmp(&other.id)));
    let listed = all.into_iter().take(IMAGES_MAX);
    listed
        .map(|image| {
            let names = image.repo_digests.iter().chain(&image.repo_tags).take(IMAGE_NAMES_MAX).cloned();
            ContainerImage {
                names: Some(names.collect()),
                size_bytes: Some(i64::try_from(image.size).unwrap_or(i64::MAX)),
            }
        })
        .collect()
}

fn conditions(input: &Input<'_>) -> Vec<NodeCondition> {
    let problem = problem(input.runtime);
    let mut conditions: Vec<NodeCondition> = Pressure::ALL
        .into_iter()
        .map(|pressure| {
            let holds = input.pressures.contains(&pressure);
            let (reason, message) = pressure.explain(holds);
            condition(input, pressure.as_str(), holds, reason, message)
        })
        .collect();
    conditions.push(match problem {
        None => condition(input, "Ready", true, "KubeletReady", "kubelet is posting ready status"),
        Some(problem) => condition(input, "Ready", false, "KubeletNotReady", &problem),
    });
    // Conditions of other components stay.
    let others = input.old.conditions.iter().flatten();
    let others: Vec<_> =
        others.filter(|c| conditions.iter().all(|own| own.type_ != c.type_)).cloned().collect();
    conditions.extend(others);
    conditions
}

fn condition(input: &Input<'_>, kind: &str, holds: bool, reason: &str, message: &str) -> NodeCondition {
    let now = Time(whole_seconds(input.now));
    let mut condition = NodeCondition {
        type_: kind.to_owned(),
        status: semantics::conditions::status(holds).to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: Some(now),
    };
    semantics::conditions::keep_time(&input.old.conditions, &mut condition);
    condition
}

/// Why the node cannot run pods; `None` if it can.
fn problem(runtime: Result<&RuntimeStatus, &String>) -> Option<String> {
    let status = match runtime {
        Ok(status) => status,
        Err(error) => return Some(format!("container runtime is down: {error}")),
    };
    let failing =
        |kind: &str| status.conditions.iter().find(|condition| condition.kind == kind && !condition.status);
    let describe = |what: &str, condition: &RuntimeCondition| {
        let RuntimeCondition { kind, reason, message, .. } = condition;
        format!("{what} not ready: {kind}=false reason:{reason} message:{message}")
    };
    let runtime = failing(RuntimeCondition::RUNTIME_READY).map(|c| describe("container runtime", c));
    let network = failing(RuntimeCondition::NETWORK_READY).map(|c| describe("container runtime network", c));
    let problems: Vec<String> = runtime.into_iter().chain(network).collect();
    (!problems.is_empty()).then(|| problems.join(", "))
}

/// The strategic merge patch that writes a status. The list of addresses replaces the one there is: the API merges it by
/// type, of which a node with both families has each twice (upstream: `fixupPatchForNodeStatusAddresses`). What the
/// server has as allocatable and the status has not is taken away.
pub(super) fn status_patch(
    status: &NodeStatus,
    seen: &NodeStatus,
) -> Result<serde_json::Value, serde_json::Error> {
    let mut patch = json!({"status": serde_json::to_value(status)?});
    if let Some(allocatable) = patch.pointer_mut("/status/allocatable").and_then(|list| list.as_object_mut())
    {
        for name in seen.allocatable.iter().flatten().map(|(name, _)| name).filter(|name| is_extended(name)) {
            allocatable.entry(name.clone()).or_insert(serde_json::Value::Null);
        }
    }
    if let Some(addresses) = patch.pointer_mut("/status/addresses").and_then(|list| list.as_array_mut()) {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    Ok(patch)
}

/// Whether two statuses differ in more than the times of heartbeats.
pub(super) fn differs(one: &NodeStatus, other: &NodeStatus) -> bool {
    let timeless = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    timeless(one) != timeless(other)
}

/// Whether a condition differs from the written one. Conditions of others are ignored.
pub(super) fn is_overwritten(written: &NodeStatus, seen: &NodeStatus) -> bool {
    let seen = |type_: &str| seen.conditions.iter().flatten().find(|condition| condition.type_ == type_);
    let differs =
        |condition: &NodeCondition| seen(&condition.type_).is_none_or(|seen| seen.status != condition.status);
    written.conditions.iter().flatten().any(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_the_node_for_dead_overwrites_its_status() {
        let status = |conditions: &[(&str, &str)]| NodeStatus {
            conditions: Some(
                conditions
                    .iter()
                    .map(|(type_, status)| NodeCondition {
                        type_: (*type_).into(),
                        status: (*status).into(),
                        ..NodeCondition::default()
                    })
                    .collect(),
            ),
            ..NodeStatus::default()
        };
        let written = status(&[("Ready", "True")]);
        assert!(!is_overwritten(&written, &status(&[("Other", "True"), ("Ready", "True")])));
        assert!(is_overwritten(&written, &status(&[("Ready", "Unknown")])));
        assert!(is_overwritten(&written, &NodeStatus::default()));
    }

    #[test]
    fn addresses_are_replaced_as_a_whole() {
        let address = |address: &str| NodeAddress { address: address.into(), type_: "InternalIP".into() };
        let status = NodeStatus {
            addresses: Some(vec![address("192.0.2.7"), address("2001:db8::7")]),
            ..NodeStatus::default()
        };
        let nothing = NodeStatus::default();
        let addresses = status_patch(&status, &nothing).unwrap()["status"]["addresses"].clone();
        assert_eq!(addresses[0], json!({"$patch": "replace"}));
        assert_eq!(
            (&addresses[1]["address"], &addresses[2]["address"]),
            (&json!("192.0.2.7"), &json!("2001:db8::7"))
        );
        assert_eq!(status_patch(&nothing, &nothing).unwrap(), json!({"status": {}}));
    }

    #[test]
    fn resources_of_others_are_for_pods() {
        let config = NodeConfig::new("n", "192.0.2.1".parse().unwrap(), "/x");
        let facts = Facts::gather(std::path::Path::new("/tmp")).unwrap();
        let list = |names: &[&str]| {
            Some(names.iter().map(|name| ((*name).to_owned(), Quantity("3".to_owned()))).collect())
        };
        let error = String::new();
        let status_of = |seen: &NodeStatus| {
            status(Input {
                config: &config,
                facts: &facts,
                runtime: Err(&error),
                version: None,
                images: &[],
                port: 1,
                old: &NodeStatus::default(),
                seen,
                pressures: &Pressures::default(),
                now: Timestamp::UNIX_EPOCH,
            })
        };
        let names = ["example.com/x", "cpu", "node.kubernetes.io/x", "hugepages-3Ki"];
        let mut seen = NodeStatus { capacity: list(&names), ..NodeStatus::default() };
        assert!(has_new_resources(&seen));
        let made = status_of(&seen);
        let allocatable = made.allocatable.as_ref().unwrap();
        assert_eq!(allocatable["example.com/x"].0, "3");
        assert!(!allocatable.contains_key("node.kubernetes.io/x") && allocatable["cpu"].0 != "3");
        // What others put there is theirs to change.
        assert!(!made.capacity.as_ref().unwrap().contains_key("example.com/x"));
        seen.allocatable = Some(allocatable.clone());
        assert!(!has_new_resources(&seen));
        seen.capacity = None;
        assert!(has_new_resources(&seen));
        let patch = status_patch(&status_of(&seen), &seen).unwrap();
        assert_eq!(patch["status"]["allocatable"]["example.com/x"], serde_json::Value::Null);
    }
}
