//! Rejects nodes that are cordoned.

use semantics::{Effect, Taint, Toleration};

use crate::framework::{Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Subject, Verdict};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// Rejects nodes with `spec.unschedulable`, unless the pod tolerates the corresponding taint.
#[derive(Debug)]
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    const NAME: &'static str = "NodeUnschedulable";
    const WAKES_ON: EventKinds =
        EventKinds::NODE_ADDED.or(EventKinds::NODE_TAINTS).or(EventKinds::OWN_TOLERATIONS);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Node(node) => self.filter(&tolerates_cordon(pod), pod, node).is_ok(),
            _ => tolerates_cordon(pod),
        }
    }
}

impl Filter for NodeUnschedulable {
    /// Whether the pod may run on cordoned nodes.
    type State = bool;

    fn pre_filter(&self, pod: &PodInfo, _snapshot: &Snapshot) -> PreFilter<bool> {
        if tolerates_cordon(pod) { PreFilter::Skip } else { PreFilter::Check(false) }
    }

    fn filter(&self, tolerated: &bool, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if node.unschedulable && !tolerated {
            return Err(Rejection::unresolvable("node(s) were unschedulable"));
        }
        Ok(())
    }
}

fn tolerates_cordon(pod: &PodInfo) -> bool {
    let cordon = || Taint::new("node.kubernetes.io/unschedulable", Effect::NoSchedule);
    !pod.tolerations.is_empty() && Toleration::any_tolerates(&pod.tolerations, &cordon())
}
