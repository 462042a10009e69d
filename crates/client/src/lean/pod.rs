//! The fields of a pod that are kept.

use k8s_openapi::api::core::v1::{
    Affinity, ContainerPort, PodIP, PodSchedulingGate, TopologySpreadConstraint, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use semantics::conditions::Condition;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

use super::meta::lean_meta;
use super::{Pairs, Word};

/// A pod as controllers, scheduler and network know it. Fields have the names of the whole pod's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LeanPod {
    /// `metadata`, without managed fields.
    #[serde(deserialize_with = "lean_meta")]
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: Option<LeanPodSpec>,
    /// `status`
    pub status: Option<LeanPodStatus>,
}

/// What is kept of a pod's spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanPodSpec {
    pub node_name: Option<String>,
    pub scheduler_name: Option<Word>,
    pub scheduling_gates: Option<Vec<PodSchedulingGate>>,
    pub priority: Option<i32>,
    pub preemption_policy: Option<Word>,
    pub host_network: Option<bool>,
    pub hostname: Option<String>,
    pub subdomain: Option<String>,
    pub node_selector: Pairs,
    pub affinity: Option<Box<Affinity>>,
    pub tolerations: Option<Vec<LeanToleration>>,
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    pub overhead: Pairs,
    pub resources: Option<LeanResources>,
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<LeanContainer>,
    pub init_containers: Option<Vec<LeanContainer>>,
    /// Only volumes that live beyond the pod's node: claims, ephemeral volumes and those of drivers.
    #[serde(deserialize_with = "volumes")]
    pub volumes: Option<Vec<Volume>>,
}

/// What is kept of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanContainer {
    pub name: String,
    pub image: Option<String>,
    pub ports: Option<Vec<ContainerPort>>,
    pub resources: Option<LeanResources>,
    pub restart_policy: Option<Word>,
}

/// What is kept of resources: limits are the node's business.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LeanResources {
    /// `requests`
    pub requests: Pairs,
}

/// A toleration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanToleration {
    pub key: Word,
    pub operator: Word,
    pub value: Word,
    pub effect: Word,
    pub toleration_seconds: Option<i64>,
}

/// What is kept of a pod's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanPodStatus {
    pub phase: Option<Word>,
    pub nominated_node_name: Option<String>,
    pub start_time: Option<Time>,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pub pod_ips: Option<Vec<PodIP>>,
    pub conditions: Option<Vec<LeanCondition>>,
    pub container_statuses: Option<Vec<LeanContainerStatus>>,
    pub init_container_statuses: Option<Vec<LeanContainerStatus>>,
    pub resources: Option<LeanResources>,
    pub allocated_resources: Pairs,
}

/// A condition of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanCondition {
    #[serde(rename = "type")]
    pub type_: Word,
    pub status: Word,
    pub reason: Option<Word>,
    pub message: Option<Word>,
    pub last_transition_time: Option<Time>,
}

/// What is kept of a container's status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanContainerStatus {
    pub name: String,
    pub restart_count: i32,
    pub resources: Option<LeanResources>,
    pub allocated_resources: Pairs,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn volumes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Volume>>, D::Error> {
    let Some(mut volumes) = Option::<Vec<Volume>>::deserialize(from)? else { return Ok(None) };
    volumes.retain(|volume| {
        let of_node = volume.config_map.is_some()
            || volume.downward_api.is_some()
            || volume.empty_dir.is_some()
            || volume.host_path.is_some()
            || volume.image.is_some()
            || volume.projected.is_some()
            || volume.secret.is_some();
        !of_node
    });
    volumes.shrink_to_fit();
    Ok(Some(volumes).filter(|volumes| !volumes.is_empty()))
}

impl k8s_openapi::Resource for LeanPod {
    const API_VERSION: &'static str = "v1";
    const GROUP: &'static str = "";
    const KIND: &'static str = "Pod";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "pods";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for LeanPod {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Always fails: what was left out would be lost.
impl Serialize for LeanPod {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("a lean view cannot be written; read the whole object, or patch it"))
    }
}

impl Condition for LeanCondition {
    fn kind(&self) -> &str {
        &self.type_
    }

    fn status(&self) -> &str {
        &self.status
    }

    fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    fn since(&self) -> Option<&Time> {
        self.last_transition_time.as_ref()
    }

    fn keep_transition_time(&mut self, of: &LeanCondition) {
        self.last_transition_time.clone_from(&of.last_transition_time);
    }
}

semantics::views! {
    LeanPod { "metadata" => metadata, "spec" => spec, "status" => status }
    LeanPodSpec {
        "nodeName" => node_name, "nodeSelector" => node_selector, "affinity" => affinity,
        "tolerations" => tolerations, "containers" => containers, "initContainers" => init_containers,
        "resources" => resources, "overhead" => overhead, "hostNetwork" => host_network, "priority" => priority,
    }
    LeanContainer { "name" => name, "resources" => resources, "restartPolicy" => restart_policy }
    LeanResources { "requests" => requests }
    LeanToleration {
        "key" => key, "operator" => operator, "value" => value, "effect" => effect,
        "tolerationSeconds" => toleration_seconds,
    }
    LeanPodStatus {
        "phase" => phase, "conditions" => conditions, "containerStatuses" => container_statuses,
        "initContainerStatuses" => init_container_statuses, "resources" => resources,
        "allocatedResources" => allocated_resources,
    }
    LeanCondition {
        "type" => type_, "status" => status, "reason" => reason, "message" => message,
        "lastTransitionTime" => last_transition_time,
    }
    LeanContainerStatus { "name" => name, "resources" => resources, "allocatedResources" => allocated_resources }
}
