//! The fields of a pod's status that are kept.

use std::ops::Deref;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use object::{Pairs, Part, Shared, Table, Word};
use semantics::conditions::Condition;
use serde::Deserialize;

use super::LeanResources;

/// What is kept of a pod's status. What the running pods of one template have alike is [shared](LeanRunning).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "WholeStatus")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanPodStatus {
    pub phase: Option<Word>,
    pub nominated_node_name: Option<Word>,
    pub start_time: Option<Time>,
    /// The texts of `podIPs`, of which the first is `podIP`.
    pub pod_ips: Box<[Box<str>]>,
    pub conditions: Vec<LeanCondition>,
    /// The rest.
    pub running: Shared<LeanRunning>,
}

impl Deref for LeanPodStatus {
    type Target = LeanRunning;
    fn deref(&self) -> &LeanRunning {
        &self.running
    }
}

/// What the statuses of running pods of one template have alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanRunning {
    pub container_statuses: Vec<LeanContainerStatus>,
    pub init_container_statuses: Vec<LeanContainerStatus>,
    pub resources: Option<LeanResources>,
    pub allocated_resources: Pairs,
}

impl Part for LeanRunning {
    fn table() -> &'static Table<LeanRunning> {
        static TABLE: Table<LeanRunning> = Table::new();
        &TABLE
    }
}

/// The fields of a container's status that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanContainerStatus {
    pub name: Word,
    pub restart_count: i32,
    pub state: LeanContainerState,
    pub resources: Option<LeanResources>,
    pub allocated_resources: Pairs,
}

/// The state of a container: only how it ended is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanContainerState {
    pub terminated: Option<LeanTerminated>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct LeanTerminated {
    pub exit_code: i32,
    pub finished_at: Option<Timestamp>,
}

/// A condition of a pod. What many pods have alike is [shared](Said).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "WholeCondition")]
pub struct LeanCondition {
    /// What it says.
    pub said: Shared<Said>,
    /// `lastTransitionTime`
    pub last_transition_time: Option<Time>,
}

impl Deref for LeanCondition {
    type Target = Said;
    fn deref(&self) -> &Said {
        &self.said
    }
}

/// What a condition says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields are those of the API")]
pub struct Said {
    pub type_: Box<str>,
    pub status: Box<str>,
    pub reason: Option<Box<str>>,
    pub message: Option<Box<str>>,
}

impl Part for Said {
    fn table() -> &'static Table<Said> {
        static TABLE: Table<Said> = Table::new();
        &TABLE
    }
}

/// A status as the API has it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WholeStatus {
    phase: Option<Word>,
    nominated_node_name: Option<Word>,
    start_time: Option<Time>,
    #[serde(rename = "podIP")]
    pod_ip: Option<Box<str>>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
    conditions: Option<Vec<LeanCondition>>,
    container_statuses: Option<Vec<LeanContainerStatus>>,
    init_container_statuses: Option<Vec<LeanContainerStatus>>,
    resources: Option<LeanResources>,
    allocated_resources: Pairs,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WholeCondition {
    #[serde(rename = "type")]
    type_: Box<str>,
    status: Box<str>,
    reason: Option<Box<str>>,
    message: Option<Box<str>>,
    last_transition_time: Option<Time>,
}

impl From<WholeStatus> for LeanPodStatus {
    fn from(status: WholeStatus) -> LeanPodStatus {
        let pod_ips: Vec<Box<str>> = status.pod_ips.unwrap_or_default().into_iter().map(|ip| ip.ip).collect();
        let mut conditions = status.conditions.unwrap_or_default();
        conditions.shrink_to_fit();
        let running = LeanRunning {
            container_statuses: status.container_statuses.unwrap_or_default(),
            init_container_statuses: status.init_container_statuses.unwrap_or_default(),
            resources: status.resources,
            allocated_resources: status.allocated_resources,
        };
        LeanPodStatus {
            phase: status.phase,
            nominated_node_name: status.nominated_node_name,
            start_time: status.start_time,
            pod_ips: if pod_ips.is_empty() { status.pod_ip.into_iter().collect() } else { pod_ips.into() },
            conditions,
            running: running.into(),
        }
    }
}

impl From<WholeCondition> for LeanCondition {
    fn from(condition: WholeCondition) -> LeanCondition {
        let WholeCondition { type_, status, reason, message, last_transition_time } = condition;
        LeanCondition { said: Said { type_, status, reason, message }.into(), last_transition_time }
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
