//! The constraints of pods that have none.

use std::sync::Arc;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use object::field::{Errors, Path};
use object::names;

use super::soft::HOSTNAME;
use crate::state::{PodInfo, Snapshot, SpreadConstraint, SpreadRule};

const ZONE: &str = "topology.kubernetes.io/zone";
const HARD: &str = "DoNotSchedule";
const SOFT: &str = "ScheduleAnyway";

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
    pub(super) fn list(constraints: &[TopologySpreadConstraint]) -> Result<Defaults, Errors> {
        validate(constraints).into_result()?;
        let rules = |when: &str| {
            let chosen = constraints.iter().filter(|each| each.when_unsatisfiable == when);
            chosen.map(|each| Arc::new(SpreadRule::new(each))).collect()
        };
        Ok(Defaults { hard: rules(HARD), soft: rules(SOFT), are_of_system: false })
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

/// What is wrong with a list, in upstream's words.
fn validate(constraints: &[TopologySpreadConstraint]) -> Errors {
    let mut errors = Errors::new();
    let root = Path::root("defaultConstraints");
    for (at, constraint) in constraints.iter().enumerate() {
        let (path, key) = (root.index(at), constraint.topology_key.as_str());
        if constraint.max_skew <= 0 {
            errors.invalid(
                &path.child("maxSkew"),
                i64::from(constraint.max_skew),
                "not in valid range (0, inf)",
            );
        }
        match key {
            "" => errors.required(&path.child("topologyKey"), "can not be empty"),
            _ => errors.invalid_each(&path.child("topologyKey"), key, names::is_qualified_name(key)),
        }
        let when = constraint.when_unsatisfiable.as_str();
        match when {
            "" => errors.required(&path.child("whenUnsatisfiable"), "can not be empty"),
            HARD | SOFT => {}
            _ => errors.not_supported(&path.child("whenUnsatisfiable"), when, &[HARD, SOFT]),
        }
        if constraint.label_selector.is_some() {
            let why = "constraint must not define a selector, as they deduced for each pod";
            errors.forbidden(&path.child("labelSelector"), why);
        }
        let same =
            |other: &TopologySpreadConstraint| other.topology_key == key && other.when_unsatisfiable == when;
        if constraints[..at].iter().any(same) {
            errors.duplicate(&path, format!("{{{key}, {when}}}"));
        }
    }
    errors
}
