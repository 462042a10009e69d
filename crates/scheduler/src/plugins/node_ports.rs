//! Rejects nodes whose ports are taken.

use crate::framework::{Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Subject, Verdict};
use crate::state::{HostPort, NodeInfo, PodInfo, Snapshot};

/// Rejects nodes on which another pod has a host port that this pod needs.
#[derive(Debug)]
pub struct NodePorts;

impl Plugin for NodePorts {
    const NAME: &'static str = "NodePorts";
    const WAKES_ON: EventKinds = EventKinds::NODE_ADDED.or(EventKinds::POD_REMOVED);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Pod(Some(gone), _) => conflict(&pod.host_ports, &gone.host_ports),
            _ => true,
        }
    }
}

impl Filter for NodePorts {
    type State = ();

    fn pre_filter(&self, pod: &PodInfo, _snapshot: &Snapshot) -> PreFilter<()> {
        if pod.host_ports.is_empty() { PreFilter::Skip } else { PreFilter::Check(()) }
    }

    fn filter(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if conflict(&pod.host_ports, &node.host_ports) {
            let reason = "node(s) didn't have free ports for the requested pod ports";
            return Err(Rejection::unschedulable(reason));
        }
        Ok(())
    }
}

fn conflict(wanted: &[HostPort], used: &[HostPort]) -> bool {
    wanted.iter().any(|wanted| used.iter().any(|used| wanted.conflicts_with(used)))
}
