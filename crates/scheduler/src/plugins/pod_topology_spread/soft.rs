//! `ScheduleAnyway` constraints.

use std::sync::Arc;

use super::counted;
use crate::state::{ByNode, Counted, NodeInfo, PodInfo, Snapshot, SpreadConstraint, Topology};

/// The label of which every node should have its own value: here a node counts its own pods.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";

/// The score of a node that is in no domain.
pub(super) const IGNORED: i64 = -1;

/// The soft constraints, and the pods that they count.
#[derive(Debug)]
pub struct Soft {
    constraints: Vec<SoftConstraint>,
    /// Whether nodes score below all others that have not the labels of all constraints. If not, a constraint says
    /// nothing about a node that is in no domain.
    needs_all_labels: bool,
}

#[derive(Debug)]
struct SoftConstraint {
    skew_max: i64,
    topology: Arc<Topology>,
    pods: Pods,
    /// A pod counts the more the more domains there are.
    weight: f64,
}

#[derive(Debug)]
enum Pods {
    ByDomain(Counted),
    ByNode(ByNode),
}

impl Soft {
    /// All soft constraints of a pod; `None` if it has none.
    pub(super) fn new(
        constraints: &[SpreadConstraint],
        needs_all_labels: bool,
        pod: &PodInfo,
        snapshot: &Snapshot,
        feasible: &[&NodeInfo],
    ) -> Option<Soft> {
        if constraints.is_empty() {
            return None;
        }
        let labels = if needs_all_labels { counted::labels(constraints) } else { Vec::new() };
        let constraint = |from: &SpreadConstraint| {
            let key = &from.rule.topology_key;
            let pods = match &**key {
                HOSTNAME => Pods::ByNode(snapshot.count_by_node(&from.query)),
                _ => {
                    let nodes = counted::nodes(&from.rule, pod, labels.clone());
                    Pods::ByDomain(snapshot.count(&from.query, key, &nodes))
                }
            };
            SoftConstraint {
                skew_max: from.rule.skew_max,
                topology: snapshot.topology(key),
                pods,
                weight: 0.0,
            }
        };
        let mut soft = Soft { constraints: constraints.iter().map(constraint).collect(), needs_all_labels };
        let scored: Vec<&NodeInfo> = feasible.iter().copied().filter(|node| soft.scores(node)).collect();
        soft.constraints.iter_mut().for_each(|constraint| constraint.weigh(&scored));
        Some(soft)
    }

    /// The pods in the node's domains, weighted; or [`IGNORED`].
    pub(super) fn pods(&self, node: &NodeInfo) -> i64 {
        let mut sum = 0.0;
        for constraint in &self.constraints {
            match constraint.pods(node) {
                Some(pods) => sum += pods,
                None if self.needs_all_labels => return IGNORED,
                None => {}
            }
        }
        sum.round() as i64
    }

    fn scores(&self, node: &NodeInfo) -> bool {
        !self.needs_all_labels
            || self.constraints.iter().all(|constraint| constraint.topology.domain(node.slot).is_some())
    }
}

impl SoftConstraint {
    fn weigh(&mut self, scored: &[&NodeInfo]) {
        let domains = match self.pods {
            Pods::ByNode(_) => scored.len(),
            Pods::ByDomain(_) => self.domains(scored),
        };
        self.weight = ((domains + 2) as f64).ln();
    }

    /// The number of domains that these nodes are in; those in none count as one, as in upstream.
    fn domains(&self, nodes: &[&NodeInfo]) -> usize {
        let mut seen = vec![false; self.topology.bound() + 1];
        for node in nodes {
            seen[self.topology.domain(node.slot).map_or(0, |domain| domain + 1)] = true;
        }
        seen.into_iter().filter(|seen| *seen).count()
    }

    /// `None` if the node is in no domain.
    fn pods(&self, node: &NodeInfo) -> Option<f64> {
        let domain = self.topology.domain(node.slot)?;
        let pods = match &self.pods {
            Pods::ByDomain(counted) => counted.of(domain),
            Pods::ByNode(pods) => pods.at(node),
        };
        Some(pods as f64 * self.weight + (self.skew_max - 1) as f64)
    }
}
