//! The constraints of pods that have none.

use std::sync::Arc;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use super::soft::HOSTNAME;
use crate::state::{PodInfo, Snapshot, SpreadConstraint, SpreadRule};

const ZONE: &str = "topology.kubernetes.io/zone";

/// The constraints of pods that have none, without the pods that they count.
#[derive(Debug)]
pub(super) struct Defaults {
    hard: Vec<Arc<SpreadRule>>,
    soft: Vec<Arc<SpreadRule>>,
    /// Whether they are those of the system, which must also serve clusters without zones.
    are_of_system: bool,
}

impl Defaults {
    /// Those of the system: a little over nodes, less over zones, and no node is ruled out.
    pub(super) fn system() -> Defaults {
        let soft = |key: &str, skew_max| {
            let (topology_key, domains_min) = (key.into(), 1);
            Arc::new(SpreadRule {
                topology_key,
                skew_max,
                domains_min,
                ignore_affinity: false,
                honor_taints: false,
            })
        };
        Defaults { hard: Vec::new(), soft: vec![soft(HOSTNAME, 3), soft(ZONE, 5)], are_of_system: true }
    }

    /// Those of a list.
    pub(super) fn list(constraints: &[TopologySpreadConstraint]) -> Defaults {
        let rules = |when: &str| {
            let chosen = constraints.iter().filter(|each| each.when_unsatisfiable == when);
            chosen.map(|each| Arc::new(SpreadRule::new(each))).collect()
        };
        Defaults { hard: rules("DoNotSchedule"), soft: rules("ScheduleAnyway"), are_of_system: false }
    }

    /// Whether nodes score below all others that have not the labels of all constraints.
    pub(super) fn need_all_labels(&self) -> bool {
        !self.are_of_system
    }

    /// The hard constraints of a pod.
    pub(super) fn hard(&self, pod: &PodInfo, snapshot: &Snapshot) -> Vec<SpreadConstraint> {
        constraints(&self.hard, pod, snapshot)
    }

    /// The soft constraints of a pod.
    pub(super) fn soft(&self, pod: &PodInfo, snapshot: &Snapshot) -> Vec<SpreadConstraint> {
        constraints(&self.soft, pod, snapshot)
    }
}

/// A pod that nothing selects has none.
fn constraints(rules: &[Arc<SpreadRule>], pod: &PodInfo, snapshot: &Snapshot) -> Vec<SpreadConstraint> {
    if rules.is_empty() {
        return Vec::new();
    }
    let Some(like) = snapshot.like(pod) else { return Vec::new() };
    let constraint = |rule: &Arc<SpreadRule>| SpreadConstraint {
        rule: Arc::clone(rule),
        query: Arc::clone(&like.query),
        selector: Arc::clone(&like.selector),
    };
    rules.iter().map(constraint).collect()
}
