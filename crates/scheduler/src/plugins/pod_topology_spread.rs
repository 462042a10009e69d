//! Topology spread constraints: keeps the pods of a selector evenly spread over domains. See KEP-895.

use std::sync::Arc;

use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, SCORE_MAX, Score, Subject, Verdict,
};
use crate::state::{NodeInfo, PodInfo, Snapshot, SpreadConstraint, Topology};

use super::taint_toleration::tolerates_node;

/// The label of which every node has its own value: its pods are counted when they are asked for.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Rejects nodes on which the pod would break a `DoNotSchedule` constraint; scores by how well it would even out
/// the `ScheduleAnyway` ones.
#[derive(Debug)]
pub struct PodTopologySpread;

impl Plugin for PodTopologySpread {
    const NAME: &'static str = "PodTopologySpread";
    const WAKES_ON: EventKinds = EventKinds::NODE_ADDED
        .or(EventKinds::NODE_LABELS)
        .or(EventKinds::NODE_TAINTS)
        .or(EventKinds::NODE_REMOVED)
        .or(EventKinds::POD_ADDED)
        .or(EventKinds::POD_LABELS)
        .or(EventKinds::POD_REMOVED)
        .or(EventKinds::OWN_LABELS);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        let Subject::Pod(old, new) = event.subject else { return true };
        let counts = |other: &PodInfo| {
            other.key.namespace == pod.key.namespace
                && pod.pod_terms.hard_spread.iter().any(|each| each.selector.matches(other.labels()))
        };
        old.is_some_and(counts) || new.is_some_and(counts)
    }
}

/// A hard constraint and the pods that it counts in each domain.
#[derive(Debug)]
pub struct Hard {
    topology: Arc<Topology>,
    pods: Vec<i64>,
    /// How many the emptiest domain has.
    pods_min: i64,
    /// 1 if the pod counts itself.
    own: i64,
    skew_max: i64,
}

impl Filter for PodTopologySpread {
    type State = Vec<Hard>;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Vec<Hard>> {
        let constraints = &pod.pod_terms.hard_spread;
        if constraints.is_empty() {
            return PreFilter::Skip;
        }
        let topologies: Vec<Arc<Topology>> =
            constraints.iter().map(|each| snapshot.topology(&each.topology_key)).collect();
        let mut pods: Vec<Vec<Option<i64>>> =
            topologies.iter().map(|topology| vec![None; topology.count()]).collect();
        for node in snapshot.nodes() {
            // A node counts only if it has all of the labels.
            let domains = topologies.iter().map(|topology| topology.domain(node));
            let Some(domains) = domains.collect::<Option<Vec<usize>>>() else { continue };
            for ((constraint, domain), pods) in constraints.iter().zip(domains).zip(&mut pods) {
                if counts_node(constraint, pod, node) {
                    *pods[domain].get_or_insert(0) += constraint.count(pod.key.namespace(), &node.pods);
                }
            }
        }
        let hard = constraints.iter().zip(topologies).zip(pods);
        PreFilter::Check(hard.map(|((c, topology), pods)| Hard::new(c, pod, topology, pods)).collect())
    }

    fn filter(&self, constraints: &Vec<Hard>, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
        for hard in constraints {
            let Some(domain) = hard.topology.domain(node) else {
                let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Err(Rejection::unresolvable(reason));
            };
            if hard.pods[domain] + hard.own - hard.pods_min > hard.skew_max {
                let reason = "node(s) didn't match pod topology spread constraints";
                return Err(Rejection::unschedulable(reason));
            }
        }
        Ok(())
    }
}

impl Hard {
    fn new(from: &SpreadConstraint, pod: &PodInfo, topology: Arc<Topology>, pods: Vec<Option<i64>>) -> Hard {
        let domains = pods.iter().flatten().count() as i64;
        let emptiest = pods.iter().flatten().min().copied();
        // Without any domain that counts nothing can be uneven.
        let pods_min = if domains < from.domains_min { 0 } else { emptiest.unwrap_or(i64::from(i32::MAX)) };
        Hard {
            topology,
            pods: pods.into_iter().map(|pods| pods.unwrap_or(0)).collect(),
            pods_min,
            own: i64::from(from.selector.matches(pod.labels())),
            skew_max: from.skew_max,
        }
    }
}

/// Whether the pods of a node count for a constraint.
fn counts_node(constraint: &SpreadConstraint, pod: &PodInfo, node: &NodeInfo) -> bool {
    (constraint.ignore_affinity || pod.node_terms.match_node(node))
        && (!constraint.honor_taints || tolerates_node(pod, node))
}

/// The soft constraints, and the pods that they count.
#[derive(Debug)]
pub struct Soft {
    constraints: Vec<SoftConstraint>,
}

#[derive(Debug)]
struct SoftConstraint {
    from: SpreadConstraint,
    topology: Arc<Topology>,
    /// By domain; `None` where every node is a domain of its own.
    pods: Option<Vec<i64>>,
    /// A pod counts the more the more domains there are.
    weight: f64,
}

impl Score for PodTopologySpread {
    type State = Soft;

    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo]) -> Option<Soft> {
        let constraints = &pod.pod_terms.soft_spread;
        if constraints.is_empty() {
            return None;
        }
        let constraint = |from: &SpreadConstraint| SoftConstraint {
            from: from.clone(),
            topology: snapshot.topology(&from.topology_key),
            pods: None,
            weight: 0.0,
        };
        let mut soft = Soft { constraints: constraints.iter().map(constraint).collect() };
        let scored: Vec<&NodeInfo> = feasible.iter().copied().filter(|node| soft.has_all(node)).collect();
        let counted: Vec<&NodeInfo> = snapshot.nodes().filter(|node| soft.has_all(node)).collect();
        for constraint in &mut soft.constraints {
            constraint.prepare(pod, &scored, &counted);
        }
        Some(soft)
    }

    /// The pods in the node's domains, weighted. Nodes without all of the labels score below all others.
    fn score(&self, soft: &Soft, pod: &PodInfo, node: &NodeInfo) -> i64 {
        if !soft.has_all(node) {
            return IGNORED;
        }
        let weighted = soft.constraints.iter().map(|constraint| {
            let pods = match (&constraint.pods, constraint.topology.domain(node)) {
                (Some(pods), Some(domain)) => pods[domain],
                _ => constraint.from.count(pod.key.namespace(), &node.pods),
            };
            pods as f64 * constraint.weight + (constraint.from.skew_max - 1) as f64
        });
        weighted.sum::<f64>().round() as i64
    }

    fn normalize(&self, _: &Soft, _feasible: &[&NodeInfo], scores: &mut [i64]) {
        let counted = || scores.iter().copied().filter(|score| *score != IGNORED);
        let (least, most) = (counted().min().unwrap_or(0), counted().max().unwrap_or(0));
        for score in scores {
            *score = match *score {
                IGNORED => 0,
                _ if most == 0 => SCORE_MAX,
                pods => SCORE_MAX * (most + least - pods) / most,
            };
        }
    }
}

/// The score of a node that is in no domain.
const IGNORED: i64 = -1;

impl Soft {
    fn has_all(&self, node: &NodeInfo) -> bool {
        self.constraints.iter().all(|constraint| constraint.topology.domain(node).is_some())
    }
}

impl SoftConstraint {
    fn prepare(&mut self, pod: &PodInfo, scored: &[&NodeInfo], counted: &[&NodeInfo]) {
        let mut size = scored.len();
        if self.from.topology_key != HOSTNAME {
            let mut matters = vec![false; self.topology.count()];
            let domains = scored.iter().filter_map(|node| self.topology.domain(node));
            domains.for_each(|domain| matters[domain] = true);
            size = matters.iter().filter(|matters| **matters).count();
            let mut pods = vec![0; self.topology.count()];
            for node in counted {
                if let Some(domain) = self.topology.domain(node)
                    && matters[domain]
                    && counts_node(&self.from, pod, node)
                {
                    pods[domain] += self.from.count(pod.key.namespace(), &node.pods);
                }
            }
            self.pods = Some(pods);
        }
        self.weight = ((size + 2) as f64).ln();
    }
}
