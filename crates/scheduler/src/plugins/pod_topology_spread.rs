//! Topology spread constraints: keeps the pods of a selector evenly spread over domains. See KEP-895.

use std::sync::Arc;

use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, SCORE_MAX, Score, Subject, Supposition, Verdict,
};
use crate::state::{Counted, EACH_NODE, NodeFilter, NodeInfo, PodInfo, PodQuery, Snapshot, SpreadConstraint};

/// The label of which every node should have its own value: here a node counts its own pods.
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
#[derive(Clone, Debug)]
pub struct Hard {
    query: Arc<PodQuery>,
    pods: Counted,
    /// How many the emptiest domain has.
    pods_min: i64,
    domains_min: i64,
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
        PreFilter::Check(constraints.iter().map(|each| Hard::new(each, pod, constraints, snapshot)).collect())
    }

    fn filter(&self, constraints: &Vec<Hard>, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
        for hard in constraints {
            let Some(pods) = hard.pods.at(node) else {
                let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Err(Rejection::unresolvable(reason));
            };
            if pods + hard.own - hard.pods_min > hard.skew_max {
                let reason = "node(s) didn't match pod topology spread constraints";
                return Err(Rejection::unschedulable(reason));
            }
        }
        Ok(())
    }

    fn suppose(&self, constraints: &mut Vec<Hard>, _pod: &PodInfo, what: &Supposition<'_>) {
        for hard in constraints {
            if what.other.is_meant_by(&hard.query, what.snapshot.namespaces()) {
                hard.pods.suppose(what.node, what.amount());
                hard.update();
            }
        }
    }
}

impl Hard {
    fn new(from: &SpreadConstraint, pod: &PodInfo, all: &[SpreadConstraint], snapshot: &Snapshot) -> Hard {
        let mut hard = Hard {
            query: Arc::clone(&from.query),
            pods: snapshot.count(&from.query, &from.topology_key, &filter(from, pod, all)),
            pods_min: 0,
            domains_min: from.domains_min,
            own: i64::from(from.selector.matches(pod.labels())),
            skew_max: from.skew_max,
        };
        hard.update();
        hard
    }

    fn update(&mut self) {
        self.pods_min = match self.pods.least() {
            _ if (self.pods.domains() as i64) < self.domains_min => 0,
            Some(least) => least,
            // Without any domain that counts nothing can be uneven.
            None => i64::from(i32::MAX),
        };
    }
}

/// The nodes whose pods a constraint counts: they have the labels of all constraints, and the pod could run there.
fn filter(from: &SpreadConstraint, pod: &PodInfo, all: &[SpreadConstraint]) -> NodeFilter {
    let demands =
        (!from.ignore_affinity && !pod.node_terms.demands_nothing()).then(|| pod.node_terms.demands());
    let mut keys: Vec<String> = all.iter().map(|each| each.topology_key.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    NodeFilter { keys, terms: demands, tolerations: from.honor_taints.then(|| pod.tolerations().to_vec()) }
}

/// The soft constraints, and the pods that they count.
#[derive(Debug)]
pub struct Soft {
    constraints: Vec<SoftConstraint>,
}

#[derive(Debug)]
struct SoftConstraint {
    is_hostname: bool,
    skew_max: i64,
    /// By domain of the label.
    pods: Counted,
    /// By node, if the label should make each node a separate domain.
    on_node: Option<Counted>,
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
        let constraint = |from: &SpreadConstraint| {
            let is_hostname = from.topology_key == HOSTNAME;
            SoftConstraint {
                is_hostname,
                skew_max: from.skew_max,
                pods: snapshot.count(&from.query, &from.topology_key, &filter(from, pod, constraints)),
                on_node: is_hostname.then(|| snapshot.count(&from.query, EACH_NODE, &NodeFilter::default())),
                weight: 0.0,
            }
        };
        let mut soft = Soft { constraints: constraints.iter().map(constraint).collect() };
        let scored: Vec<&NodeInfo> = feasible.iter().copied().filter(|node| soft.has_all(node)).collect();
        soft.constraints.iter_mut().for_each(|constraint| constraint.weigh(&scored));
        Some(soft)
    }

    /// The pods in the node's domains, weighted. Nodes without all of the labels score below all others.
    fn score(&self, soft: &Soft, _pod: &PodInfo, node: &NodeInfo) -> i64 {
        if !soft.has_all(node) {
            return IGNORED;
        }
        let weighted = soft.constraints.iter().map(|constraint| {
            let pods = constraint.on_node.as_ref().unwrap_or(&constraint.pods).at(node).unwrap_or(0);
            pods as f64 * constraint.weight + (constraint.skew_max - 1) as f64
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
        self.constraints.iter().all(|constraint| constraint.pods.domain(node).is_some())
    }
}

impl SoftConstraint {
    fn weigh(&mut self, scored: &[&NodeInfo]) {
        let domains = if self.is_hostname {
            scored.len()
        } else {
            let mut seen = vec![false; self.pods.bound()];
            scored.iter().filter_map(|node| self.pods.domain(node)).for_each(|domain| seen[domain] = true);
            seen.into_iter().filter(|seen| *seen).count()
        };
        self.weight = ((domains + 2) as f64).ln();
    }
}
