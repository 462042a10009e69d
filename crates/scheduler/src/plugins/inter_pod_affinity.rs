//! Affinity between pods: pods that must, must not, should or should not share a domain.

use std::sync::Arc;

use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, SCORE_MAX, Score, Subject, Supposition, Verdict,
};
use crate::state::{AffinityTerm, Counted, NodeFilter, NodeInfo, PodInfo, PodQuery, Snapshot};

/// Rejects nodes where the pod would violate a required term of its own or of a running pod; scores by the preferred
/// terms of both.
#[derive(Debug)]
pub struct InterPodAffinity {
    /// The weight of a running pod's required affinity for pods that match it.
    required_weight: i64,
    ignores_wishes: bool,
}

impl Default for InterPodAffinity {
    fn default() -> InterPodAffinity {
        InterPodAffinity::new(1, false)
    }
}

impl InterPodAffinity {
    /// The plugin with a weight for the required affinity of running pods for the pod, from 0 to 100. It may ignore the
    /// affinity of running pods where the pod prefers nothing itself.
    pub fn new(required_weight: i64, ignores_wishes: bool) -> InterPodAffinity {
        InterPodAffinity { required_weight, ignores_wishes }
    }
}

impl Plugin for InterPodAffinity {
    const NAME: &'static str = "InterPodAffinity";
    const WAKES_ON: EventKinds = EventKinds::NODE_ADDED
        .or(EventKinds::NODE_LABELS)
        .or(EventKinds::POD_ADDED)
        .or(EventKinds::POD_LABELS)
        .or(EventKinds::POD_REMOVED)
        .or(EventKinds::NAMESPACE_LABELS)
        .or(EventKinds::OWN_LABELS);

    fn wakes_on(&self, pod: &PodInfo) -> EventKinds {
        // An added pod can only fulfil an affinity.
        let comes = EventKinds::POD_ADDED;
        if pod.pod_terms.required_affinity.is_empty() {
            Self::WAKES_ON.without(comes)
        } else {
            Self::WAKES_ON
        }
    }

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            // Matching terms also depends on namespaces, so this uses only what can be decided without them: a new pod
            // can satisfy an affinity; the deletion of one can remove an anti-affinity, its own or the waiting pod's,
            // or make the waiting pod the first of a series.
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

/// The result of the required terms.
#[derive(Clone, Debug)]
pub struct Required {
    /// The pods that match all of the pod's affinity terms, by the topology of each.
    affinity: Vec<Counted>,
    together: Option<Arc<PodQuery>>,
    /// Whether the pod matches its own affinity terms.
    matches_itself: bool,
    /// Whether the pod is the first of a series with affinity to itself.
    first: bool,
    /// The pods that match an anti-affinity term, by term.
    anti_affinity: Vec<(Arc<PodQuery>, Counted)>,
    /// The running pods whose anti-affinity terms match the pod, by term.
    existing: Vec<(Arc<str>, Counted)>,
}

impl Required {
    fn update(&mut self) {
        self.first = self.matches_itself && self.affinity.iter().all(Counted::is_empty);
    }
}

fn count(snapshot: &Snapshot, query: &Arc<PodQuery>, term: &AffinityTerm) -> Counted {
    snapshot.count(query, &term.topology_key, &NodeFilter::default())
}

impl Filter for InterPodAffinity {
    type State = Required;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Required> {
        let existing = snapshot.refusals(pod);
        let terms = &pod.pod_terms;
        let own = !(terms.required_affinity.is_empty() && terms.required_anti_affinity.is_empty());
        if existing.is_empty() && !own && snapshot.nominations().is_empty() {
            return PreFilter::Skip;
        }
        let together = terms.together.as_ref();
        let affinity = terms.required_affinity.iter().zip(together.into_iter().cycle());
        let anti_affinity = terms.required_anti_affinity.iter();
        let mut required = Required {
            affinity: affinity.map(|(term, together)| count(snapshot, together, term)).collect(),
            together: together.cloned(),
            matches_itself: together.is_none_or(|query| pod.is_meant_by(query, snapshot.namespaces())),
            first: false,
            anti_affinity: anti_affinity
                .map(|term| (Arc::clone(&term.query), count(snapshot, &term.query, term)))
                .collect(),
            existing,
        };
        required.update();
        PreFilter::Check(required)
    }

    fn filter(&self, required: &Required, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let together = required.affinity.iter().all(|counted| match counted.at(node) {
            Some(count) => count > 0 || required.first,
            None => false,
        });
        let some = |counted: &Counted| counted.at(node).is_some_and(|count| count > 0);
        if !together {
            Err(Rejection::unresolvable("node(s) didn't match pod affinity rules"))
        } else if required.anti_affinity.iter().any(|(_, counted)| some(counted)) {
            Err(Rejection::unschedulable("node(s) didn't match pod anti-affinity rules"))
        } else if required.existing.iter().any(|(_, counted)| some(counted)) {
            Err(Rejection::unschedulable("node(s) didn't satisfy existing pods anti-affinity rules"))
        } else {
            Ok(())
        }
    }

    fn suppose(&self, required: &mut Required, pod: &PodInfo, what: &Supposition<'_>) {
        let (namespaces, amount) = (what.snapshot.namespaces(), what.amount());
        if required.together.as_ref().is_some_and(|query| what.other.is_meant_by(query, namespaces)) {
            required.affinity.iter_mut().for_each(|counted| counted.suppose(what.node, amount));
            required.update();
        }
        for (query, counted) in &mut required.anti_affinity {
            if what.other.is_meant_by(query, namespaces) {
                counted.suppose(what.node, amount);
            }
        }
        for term in &what.other.pod_terms.required_anti_affinity {
            if pod.is_meant_by(&term.query, namespaces) {
                let known = required.existing.iter().position(|(id, _)| *id == term.id);
                let at = known.unwrap_or_else(|| {
                    required.existing.push((Arc::clone(&term.id), what.snapshot.none_by(&term.topology_key)));
                    required.existing.len() - 1
                });
                required.existing[at].1.suppose(what.node, amount);
            }
        }
    }
}

/// The preferred terms: the weight of a pod, and the pods.
#[derive(Debug)]
pub struct Preferred(Vec<(i64, Counted)>);

impl Score for InterPodAffinity {
    type State = Preferred;

    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, _feasible: &[&NodeInfo]) -> Option<Preferred> {
        if self.ignores_wishes && pod.pod_terms.preferred.is_empty() {
            return None;
        }
        let wishes = snapshot.wishes(pod).into_iter().map(|counted| (1, counted));
        let demands = snapshot.demands(pod).into_iter().map(|counted| (self.required_weight, counted));
        let wishes = wishes.chain(demands.filter(|(weight, _)| *weight > 0));
        let own = pod.pod_terms.preferred.iter();
        let own = own.map(|term| (term.weight, count(snapshot, &term.term.query, &term.term)));
        let weights: Vec<_> = wishes.chain(own).filter(|(_, counted)| !counted.is_empty()).collect();
        (!weights.is_empty()).then_some(Preferred(weights))
    }

    fn score(&self, preferred: &Preferred, _pod: &PodInfo, node: &NodeInfo) -> i64 {
        preferred.0.iter().filter_map(|(weight, counted)| Some(weight * counted.at(node)?)).sum()
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
