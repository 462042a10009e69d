//! The fields of a pod that are kept.

use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

use k8s_openapi::api::core::v1::{Affinity, PodSchedulingGate, TopologySpreadConstraint, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use semantics::conditions::Condition;
use semantics::{Field, View};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

use super::meta::pod_meta;
use super::shared::{Part, Shared, Table};
use super::{Pairs, Word};

/// A pod as controllers, scheduler and network know it. Fields have the names of the whole pod's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LeanPod {
    /// `metadata`, without managed fields, and of the annotations those that components read.
    #[serde(deserialize_with = "pod_meta")]
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: Option<LeanPodSpec>,
    /// `status`
    pub status: Option<LeanPodStatus>,
}

/// What is kept of a pod's spec. What the pods of one template have alike is [shared](LeanTemplate).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "WholeSpec")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanPodSpec {
    pub node_name: Option<Word>,
    pub hostname: Option<Box<str>>,
    /// Of a pod of a DaemonSet, its node's alone.
    pub affinity: Option<Shared<LeanAffinity>>,
    /// Only volumes that live beyond the pod's node: claims, ephemeral volumes and those of drivers.
    pub volumes: Option<Vec<Volume>>,
    /// The rest.
    pub template: Shared<LeanTemplate>,
}

impl Deref for LeanPodSpec {
    type Target = LeanTemplate;
    fn deref(&self) -> &LeanTemplate {
        &self.template
    }
}

/// What is changed is a copy of the pod's own from then on.
impl DerefMut for LeanPodSpec {
    fn deref_mut(&mut self) -> &mut LeanTemplate {
        self.template.own()
    }
}

/// What the specs of pods of one template have alike.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanTemplate {
    pub scheduler_name: Option<Word>,
    pub scheduling_gates: Option<Vec<PodSchedulingGate>>,
    pub priority: Option<i32>,
    pub preemption_policy: Option<Word>,
    pub host_network: Option<bool>,
    pub subdomain: Option<Word>,
    pub node_selector: Pairs,
    pub tolerations: Option<Vec<LeanToleration>>,
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    pub overhead: Pairs,
    pub resources: Option<LeanResources>,
    pub containers: Vec<LeanContainer>,
    pub init_containers: Option<Vec<LeanContainer>>,
}

impl Eq for LeanTemplate {}

/// Of what has a hash; that is enough to tell templates apart.
impl Hash for LeanTemplate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.scheduler_name, &self.priority, &self.preemption_policy, &self.host_network).hash(state);
        (&self.subdomain, &self.node_selector, &self.tolerations, &self.overhead).hash(state);
        (&self.resources, &self.containers, &self.init_containers).hash(state);
    }
}

impl Part for LeanTemplate {
    fn table() -> &'static Table<LeanTemplate> {
        static TABLE: Table<LeanTemplate> = Table::new();
        &TABLE
    }
}

/// An affinity, whole.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct LeanAffinity(Affinity);

impl Deref for LeanAffinity {
    type Target = Affinity;
    fn deref(&self) -> &Affinity {
        &self.0
    }
}

impl Eq for LeanAffinity {}

impl Hash for LeanAffinity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Its types have no hash. Few pods have an affinity.
        serde_json::to_vec(&self.0).unwrap_or_default().hash(state);
    }
}

impl Part for LeanAffinity {
    fn table() -> &'static Table<LeanAffinity> {
        static TABLE: Table<LeanAffinity> = Table::new();
        &TABLE
    }
}

impl View for LeanAffinity {
    fn as_field(&self) -> Field<'_> {
        self.0.as_field()
    }

    fn field(&self, name: &str) -> Field<'_> {
        self.0.field(name)
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a str, Field<'a>)) {
        self.0.each(visit);
    }
}

/// A spec as the API has it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WholeSpec {
    node_name: Option<Word>,
    scheduler_name: Option<Word>,
    scheduling_gates: Option<Vec<PodSchedulingGate>>,
    priority: Option<i32>,
    preemption_policy: Option<Word>,
    host_network: Option<bool>,
    hostname: Option<Box<str>>,
    subdomain: Option<Word>,
    node_selector: Pairs,
    affinity: Option<Shared<LeanAffinity>>,
    tolerations: Option<Vec<LeanToleration>>,
    topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    overhead: Pairs,
    resources: Option<LeanResources>,
    #[serde(deserialize_with = "or_default")]
    containers: Vec<LeanContainer>,
    init_containers: Option<Vec<LeanContainer>>,
    #[serde(deserialize_with = "volumes")]
    volumes: Option<Vec<Volume>>,
}

impl From<WholeSpec> for LeanPodSpec {
    fn from(spec: WholeSpec) -> LeanPodSpec {
        let template = LeanTemplate {
            scheduler_name: spec.scheduler_name,
            scheduling_gates: spec.scheduling_gates,
            priority: spec.priority,
            preemption_policy: spec.preemption_policy,
            host_network: spec.host_network,
            subdomain: spec.subdomain,
            node_selector: spec.node_selector,
            tolerations: spec.tolerations,
            topology_spread_constraints: spec.topology_spread_constraints,
            overhead: spec.overhead,
            resources: spec.resources,
            containers: spec.containers,
            init_containers: spec.init_containers,
        };
        LeanPodSpec {
            node_name: spec.node_name,
            hostname: spec.hostname,
            affinity: spec.affinity,
            volumes: spec.volumes,
            template: template.into(),
        }
    }
}

/// The fields of a container that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanContainer {
    pub name: Word,
    pub image: Option<Word>,
    pub ports: Option<Vec<LeanPort>>,
    pub resources: Option<LeanResources>,
    pub restart_policy: Option<Word>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanPort {
    pub name: Option<Word>,
    pub container_port: i32,
    pub host_port: Option<i32>,
    #[serde(rename = "hostIP")]
    pub host_ip: Option<Word>,
    pub protocol: Option<Word>,
}

/// The fields of resources that are kept: only the node needs limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct LeanResources {
    /// `requests`
    pub requests: Pairs,
}

/// A toleration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanToleration {
    pub key: Word,
    pub operator: Word,
    pub value: Word,
    pub effect: Word,
    pub toleration_seconds: Option<i64>,
}

/// The fields of a pod's status that are kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanPodStatus {
    pub phase: Option<Word>,
    pub nominated_node_name: Option<Word>,
    pub start_time: Option<Time>,
    #[serde(rename = "podIP")]
    pub pod_ip: Option<Box<str>>,
    #[serde(rename = "podIPs", deserialize_with = "exact")]
    pub pod_ips: Option<Vec<LeanPodIp>>,
    #[serde(deserialize_with = "exact")]
    pub conditions: Option<Vec<LeanCondition>>,
    #[serde(deserialize_with = "exact")]
    pub container_statuses: Option<Vec<LeanContainerStatus>>,
    #[serde(deserialize_with = "exact")]
    pub init_container_statuses: Option<Vec<LeanContainerStatus>>,
    pub resources: Option<LeanResources>,
    pub allocated_resources: Pairs,
}

/// An address of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LeanPodIp {
    /// The address.
    pub ip: Box<str>,
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

/// The fields of a container's status that are kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanContainerStatus {
    pub name: Word,
    pub restart_count: i32,
    pub resources: Option<LeanResources>,
    pub allocated_resources: Pairs,
}

/// A list in no more room than it needs.
fn exact<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Vec<T>>, D::Error> {
    let mut list = Option::<Vec<T>>::deserialize(from)?;
    if let Some(list) = &mut list {
        list.shrink_to_fit();
    }
    Ok(list)
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

/// Always fails: the omitted fields would be lost.
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
