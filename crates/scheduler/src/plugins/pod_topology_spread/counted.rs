//! The nodes whose pods a constraint counts.

use std::sync::Arc;

use crate::state::{NodeFilter, PodInfo, SpreadConstraint, SpreadRule};

/// The labels of all of these constraints.
pub(super) fn labels(all: &[SpreadConstraint]) -> Vec<Arc<str>> {
    let mut keys: Vec<Arc<str>> = all.iter().map(|each| Arc::clone(&each.rule.topology_key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The nodes whose pods a constraint counts: they have these labels, and the pod could run there.
pub(super) fn nodes(rule: &SpreadRule, pod: &PodInfo, labels: Vec<Arc<str>>) -> NodeFilter {
    let demands =
        (!rule.ignore_affinity && !pod.node_terms.demands_nothing()).then(|| pod.node_terms.demands());
    NodeFilter {
        keys: labels,
        terms: demands,
        tolerations: rule.honor_taints.then(|| pod.tolerations.clone()),
    }
}
