//! Node selector and node affinity: the nodes that a pod requires, and those that it prefers.

use semantics::NodeTerms;

use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Score, Subject, Verdict, normalize_to_max,
};
use crate::state::{NodeInfo, NodeSlot, PodInfo, Snapshot};

/// Rejects nodes that do not fit the pod's `nodeSelector` or required node affinity; scores by the weights of the
/// preferred terms that fit.
#[derive(Debug, Default)]
pub struct NodeAffinity {
    added: NodeTerms,
}

impl NodeAffinity {
    /// The plugin with affinity that is added to that of each pod.
    pub fn with_added(added: NodeTerms) -> NodeAffinity {
        NodeAffinity { added }
    }
}

impl Plugin for NodeAffinity {
    const NAME: &'static str = "NodeAffinity";
    const WAKES_ON: EventKinds =
        EventKinds::NODE_ADDED.or(EventKinds::NODE_LABELS).or(EventKinds::OWN_NODE_TERMS);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Node(node) => node.fulfils(&self.added) && node.fulfils(&pod.node_terms),
            _ => true,
        }
    }
}

impl Filter for NodeAffinity {
    type State = ();

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<()> {
        if pod.node_terms.demands_nothing() && self.added.demands_nothing() {
            return PreFilter::Skip;
        }
        match named_nodes(pod) {
            None => PreFilter::Check(()),
            Some(names) if names.is_empty() => {
                PreFilter::Reject(Rejection::unresolvable("pod affinity terms conflict"))
            }
            Some(names) => {
                let known = names.into_iter().filter_map(|name| snapshot.node_named(name));
                let mut slots: Vec<NodeSlot> = known.map(|node| node.slot).collect();
                slots.sort_unstable();
                slots.dedup();
                PreFilter::CheckOnly((), slots)
            }
        }
    }

    fn filter(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if !node.fulfils(&self.added) {
            return Err(Rejection::unresolvable("node(s) didn't match scheduler-enforced node affinity"));
        }
        if node.fulfils(&pod.node_terms) {
            return Ok(());
        }
        Err(Rejection::unresolvable("node(s) didn't match Pod's node affinity/selector"))
    }
}

/// The only candidate nodes, if each term names some, as those of DaemonSets' pods do.
fn named_nodes(pod: &PodInfo) -> Option<Vec<&str>> {
    let terms = pod.node_terms.required.as_ref().filter(|terms| !terms.is_empty())?;
    let names = terms.iter().map(|term| term.node_names()).collect::<Option<Vec<_>>>()?;
    Some(names.into_iter().flatten().collect())
}

impl Score for NodeAffinity {
    type State = ();

    fn pre_score(&self, pod: &PodInfo, _snapshot: &Snapshot, _feasible: &[&NodeInfo]) -> Option<()> {
        (!(pod.node_terms.preferred.is_empty() && self.added.preferred.is_empty())).then_some(())
    }

    fn score(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> i64 {
        pod.node_terms
            .preferred
            .iter()
            .chain(&self.added.preferred)
            .filter(|term| node.is_meant_by(&term.term))
            .map(|term| term.weight)
            .sum()
    }

    fn normalize(&self, _: &(), _feasible: &[&NodeInfo], scores: &mut [i64]) {
        normalize_to_max(scores, false);
    }
}
