//! Affinity between pods: which pods must, must not, should or should not share a domain.

use std::collections::HashMap;
use std::sync::Arc;

use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, SCORE_MAX, Score, Subject, Verdict,
};
use crate::state::{AffinityTerm, NodeInfo, PodInfo, Snapshot, Topology};

/// Rejects nodes where the pod would break a required term of its own or of a pod that runs; scores by the
/// preferred terms of both.
#[derive(Debug)]
pub struct InterPodAffinity;

impl Plugin for InterPodAffinity {
    const NAME: &'static str = "InterPodAffinity";
    const WAKES_ON: EventKinds = EventKinds::NODE_ADDED
        .or(EventKinds::NODE_LABELS)
        .or(EventKinds::POD_ADDED)
        .or(EventKinds::POD_LABELS)
        .or(EventKinds::POD_REMOVED)
        .or(EventKinds::NAMESPACE_LABELS)
        .or(EventKinds::OWN_LABELS);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            // Terms that match depend on namespaces too, so only what can be told without them counts: a new pod
            // can fulfil an affinity; one that goes can lift an anti-affinity, its own or the waiting pod's, or
            // leave the waiting pod as the first of a series.
            Subject::Pod(None, Some(_)) => !pod.pod_terms.required_affinity.is_empty(),
            Subject::Pod(Some(gone), None) => {
                !pod.pod_terms.required_affinity.is_empty()
                    || !pod.pod_terms.required_anti_affinity.is_empty()
                    || !gone.pod_terms.required_anti_affinity.is_empty()
            }
            _ => true,
        }
    }
}

/// A term and what counts for it in each domain.
#[derive(Debug)]
struct Counted {
    topology: Arc<Topology>,
    counts: Vec<i64>,
}

impl Counted {
    fn new(snapshot: &Snapshot, key: &str) -> Counted {
        let topology = snapshot.topology(key);
        Counted { counts: vec![0; topology.count()], topology }
    }

    fn add(&mut self, node: &NodeInfo, amount: i64) {
        if let Some(domain) = self.topology.domain(node) {
            self.counts[domain] += amount;
        }
    }

    fn at(&self, node: &NodeInfo) -> Option<i64> {
        self.topology.domain(node).map(|domain| self.counts[domain])
    }
}

/// What the required terms come to.
#[derive(Debug)]
pub struct Required {
    /// Pods that match all of the pod's affinity terms, by term.
    affinity: Vec<Counted>,
    /// Whether the pod is the first of a series that wants to be together.
    first: bool,
    /// Pods that match an anti-affinity term, by term.
    anti_affinity: Vec<Counted>,
    /// Running pods whose anti-affinity terms match the pod, by topology key.
    existing: Vec<Counted>,
}

impl Filter for InterPodAffinity {
    type State = Required;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Required> {
        let existing = existing_anti_affinity(pod, snapshot);
        let (wanted, unwanted) = (&pod.pod_terms.required_affinity, &pod.pod_terms.required_anti_affinity);
        if existing.is_empty() && wanted.is_empty() && unwanted.is_empty() {
            return PreFilter::Skip;
        }
        let counted = |terms: &[AffinityTerm]| -> Vec<Counted> {
            terms.iter().map(|term| Counted::new(snapshot, &term.topology_key)).collect()
        };
        let (mut affinity, mut anti_affinity) = (counted(wanted), counted(unwanted));
        if !(affinity.is_empty() && anti_affinity.is_empty()) {
            for node in snapshot.nodes() {
                for other in &node.pods {
                    if !wanted.is_empty() && wanted.iter().all(|term| term.matches(other, snapshot)) {
                        affinity.iter_mut().for_each(|counted| counted.add(node, 1));
                    }
                    for (term, counted) in unwanted.iter().zip(&mut anti_affinity) {
                        if term.matches(other, snapshot) {
                            counted.add(node, 1);
                        }
                    }
                }
            }
        }
        let none = affinity.iter().all(|counted| counted.counts.iter().all(|count| *count == 0));
        let first = none && wanted.iter().all(|term| term.matches(pod, snapshot));
        PreFilter::Check(Required { affinity, first, anti_affinity, existing })
    }

    fn filter(&self, required: &Required, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let together = required.affinity.iter().all(|counted| match counted.at(node) {
            Some(count) => count > 0 || required.first,
            None => false,
        });
        let blocked =
            |by: &[Counted]| by.iter().any(|counted| counted.at(node).is_some_and(|count| count > 0));
        if !together {
            Err(Rejection::unresolvable("node(s) didn't match pod affinity rules"))
        } else if blocked(&required.anti_affinity) {
            Err(Rejection::unschedulable("node(s) didn't match pod anti-affinity rules"))
        } else if blocked(&required.existing) {
            Err(Rejection::unschedulable("node(s) didn't satisfy existing pods anti-affinity rules"))
        } else {
            Ok(())
        }
    }
}

/// The domains that running pods do not want to share with this one.
fn existing_anti_affinity(pod: &PodInfo, snapshot: &Snapshot) -> Vec<Counted> {
    let mut by_key: HashMap<&str, Counted> = HashMap::new();
    for node in snapshot.nodes_with_affinity() {
        for other in &node.pods_with_affinity {
            for term in &other.pod_terms.required_anti_affinity {
                if term.matches(pod, snapshot) {
                    add(&mut by_key, snapshot, term, node, 1);
                }
            }
        }
    }
    by_key.into_values().collect()
}

fn add<'s>(
    by_key: &mut HashMap<&'s str, Counted>,
    snapshot: &Snapshot,
    term: &'s AffinityTerm,
    node: &NodeInfo,
    amount: i64,
) {
    let key = term.topology_key.as_str();
    by_key.entry(key).or_insert_with(|| Counted::new(snapshot, key)).add(node, amount);
}

/// The weights of preferred terms, by topology key.
#[derive(Debug)]
pub struct Preferred(Vec<Counted>);

/// What a required affinity of a running pod counts for, on behalf of pods that it wants near.
const REQUIRED_WEIGHT: i64 = 1;

impl Score for InterPodAffinity {
    type State = Preferred;

    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, _feasible: &[&NodeInfo]) -> Option<Preferred> {
        let mut by_key = HashMap::new();
        for node in snapshot.nodes_with_affinity() {
            for other in &node.pods_with_affinity {
                let terms = &other.pod_terms;
                let required = terms.required_affinity.iter().map(|term| (REQUIRED_WEIGHT, term));
                let preferred = terms.preferred.iter().map(|term| (term.weight, &term.term));
                for (weight, term) in required.chain(preferred) {
                    if term.matches(pod, snapshot) {
                        add(&mut by_key, snapshot, term, node, weight);
                    }
                }
            }
        }
        if !pod.pod_terms.preferred.is_empty() {
            for node in snapshot.nodes() {
                for other in &node.pods {
                    for term in &pod.pod_terms.preferred {
                        if term.term.matches(other, snapshot) {
                            add(&mut by_key, snapshot, &term.term, node, term.weight);
                        }
                    }
                }
            }
        }
        (!by_key.is_empty()).then(|| Preferred(by_key.into_values().collect()))
    }

    fn score(&self, preferred: &Preferred, _pod: &PodInfo, node: &NodeInfo) -> i64 {
        preferred.0.iter().filter_map(|counted| counted.at(node)).sum()
    }

    fn normalize(&self, _: &Preferred, _feasible: &[&NodeInfo], scores: &mut [i64]) {
        let (Some(least), Some(most)) = (scores.iter().min().copied(), scores.iter().max().copied()) else {
            return;
        };
        for score in scores {
            *score = if most == least { 0 } else { SCORE_MAX * (*score - least) / (most - least) };
        }
    }
}
