//! Rejects all nodes except the one that the pod names.

use crate::framework::{Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Subject, Verdict};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// Rejects all nodes except the one that the pod names.
#[derive(Debug)]
pub struct NodeName;

impl Plugin for NodeName {
    const NAME: &'static str = "NodeName";
    const WAKES_ON: EventKinds = EventKinds::NODE_ADDED;

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        let Subject::Node(node) = event.subject else { return true };
        self.filter(&(), pod, node).is_ok()
    }
}

impl Filter for NodeName {
    type State = ();

    fn pre_filter(&self, pod: &PodInfo, _snapshot: &Snapshot) -> PreFilter<()> {
        if pod.node_name().is_none() { PreFilter::Skip } else { PreFilter::Check(()) }
    }

    fn filter(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if pod.node_name().is_some_and(|name| *name != *node.name) {
            return Err(Rejection::unresolvable("node(s) didn't match the requested node name"));
        }
        Ok(())
    }
}
