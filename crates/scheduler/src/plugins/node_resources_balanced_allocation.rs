//! Prefers nodes whose CPU and memory would be used to a similar degree.

use crate::framework::{EventKinds, Plugin, SCORE_MAX, Score};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// Prefers nodes whose CPU and memory would be used to a similar degree, so that neither is left over in the end.
#[derive(Debug)]
pub struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    const NAME: &'static str = "NodeResourcesBalancedAllocation";
    const WAKES_ON: EventKinds = EventKinds::NONE;
}

impl Score for NodeResourcesBalancedAllocation {
    type State = ();

    fn pre_score(&self, pod: &PodInfo, _snapshot: &Snapshot, _feasible: &[&NodeInfo]) -> Option<()> {
        // A pod that requests nothing changes no balance; it would be drawn to one node again and again.
        (pod.requests.cpu_milli > 0 || pod.requests.memory > 0).then_some(())
    }

    fn score(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> i64 {
        let share = |total: i64, used: i64, wanted: i64| {
            (total > 0).then(|| (used.saturating_add(wanted) as f64 / total as f64).min(1.0))
        };
        let (total, used) = (&node.allocatable, &node.requested);
        let cpu = share(total.cpu_milli, used.cpu_milli, pod.requests.cpu_milli);
        let memory = share(total.memory, used.memory, pod.requests.memory);
        // The standard deviation of two numbers is half their distance.
        let deviation = cpu.zip(memory).map_or(0.0, |(cpu, memory)| (cpu - memory).abs() / 2.0);
        ((1.0 - deviation) * SCORE_MAX as f64) as i64
    }
}
