//! The fields of a pod that are kept.

use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

use k8s_openapi::api::core::v1::{Affinity, PodSchedulingGate, TopologySpreadConstraint};
use object::{Pairs, Part, Shared, Table, Word};
use semantics::{Field, View};
use serde::{Deserialize, Deserializer};

use super::{LeanMeta, LeanPodStatus, LeanResources};

/// A pod as controllers, scheduler and network know it. Fields have the names of the whole pod's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LeanPod {
    /// `metadata`
    pub metadata: LeanMeta,
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
    /// Only volumes with a claim.
    pub volumes: Box<[LeanVolume]>,
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
    pub host_users: Option<bool>,
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
    host_users: Option<bool>,
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
    volumes: Option<Vec<LeanVolume>>,
}

impl From<WholeSpec> for LeanPodSpec {
    fn from(spec: WholeSpec) -> LeanPodSpec {
        let template = LeanTemplate {
            scheduler_name: spec.scheduler_name,
            scheduling_gates: spec.scheduling_gates,
            priority: spec.priority,
            preemption_policy: spec.preemption_policy,
            host_network: spec.host_network,
            host_users: spec.host_users,
            subdomain: spec.subdomain,
            node_selector: spec.node_selector,
            tolerations: spec.tolerations,
            topology_spread_constraints: spec.topology_spread_constraints,
            overhead: spec.overhead,
            resources: spec.resources,
            containers: spec.containers,
            init_containers: spec.init_containers,
        };
        let claiming =
            |volume: &LeanVolume| volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some();
        LeanPodSpec {
            node_name: spec.node_name,
            hostname: spec.hostname,
            affinity: spec.affinity,
            volumes: spec.volumes.unwrap_or_default().into_iter().filter(claiming).collect(),
            template: template.into(),
        }
    }
}

/// A volume with a claim of its own or of a name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanVolume {
    pub name: Word,
    pub persistent_volume_claim: Option<LeanClaim>,
    pub ephemeral: Option<LeanEphemeral>,
}

/// The claim of a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LeanClaim {
    /// `claimName`
    pub claim_name: Box<str>,
}

/// Says that a volume has a claim of its own. Nothing more of it is kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LeanEphemeral {}

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
    pub restart_policy_rules: Option<Vec<LeanRestartRule>>,
}

/// A rule for restarts of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanRestartRule {
    pub action: Word,
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

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

super::lean!(LeanPod, core::v1::Pod);

semantics::views! {
    LeanPod { "metadata" => metadata, "spec" => spec, "status" => status }
    LeanPodSpec {
        "nodeName" => node_name, "nodeSelector" => node_selector, "affinity" => affinity,
        "tolerations" => tolerations, "containers" => containers, "initContainers" => init_containers,
        "resources" => resources, "overhead" => overhead, "hostNetwork" => host_network, "priority" => priority,
    }
    LeanContainer { "name" => name, "resources" => resources, "restartPolicy" => restart_policy }
    LeanToleration {
        "key" => key, "operator" => operator, "value" => value, "effect" => effect,
        "tolerationSeconds" => toleration_seconds,
    }
}
