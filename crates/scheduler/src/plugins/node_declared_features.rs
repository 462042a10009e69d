//! Declared features: rejects nodes that have not declared what the pod needs of its node. See KEP-5328.

use crate::framework::{Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Subject, Verdict};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// Rejects nodes whose `status.declaredFeatures` lack one that the pod needs.
#[derive(Debug)]
pub struct NodeDeclaredFeatures;

fn lacks_any(pod: &PodInfo, node: &NodeInfo) -> bool {
    pod.node_features.iter().any(|feature| !node.has_declared(feature))
}

impl Plugin for NodeDeclaredFeatures {
    const NAME: &'static str = "NodeDeclaredFeatures";
    const WAKES_ON: EventKinds = EventKinds::NODE_ADDED.or(EventKinds::NODE_FEATURES);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Node(node) => !lacks_any(pod, node),
            _ => true,
        }
    }
}

impl Filter for NodeDeclaredFeatures {
    type State = ();

    fn pre_filter(&self, pod: &PodInfo, _snapshot: &Snapshot) -> PreFilter<()> {
        if pod.node_features.is_empty() { PreFilter::Skip } else { PreFilter::Check(()) }
    }

    fn filter(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if lacks_any(pod, node) {
            return Err(Rejection::unresolvable("node(s) didn't match Pod's required features"));
        }
        Ok(())
    }
}
