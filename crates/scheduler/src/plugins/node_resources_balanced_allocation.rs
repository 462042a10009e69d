//! Prefers nodes whose resources would come to be used to a more similar degree.

use super::resource_score::{Demand, Unspecified, WeightedResource, demand};
use crate::framework::{EventKinds, Plugin, SCORE_MAX, Score};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// Prefers nodes whose resources would come to be used to a more similar degree, so that none is left over in the end.
#[derive(Debug)]
pub struct NodeResourcesBalancedAllocation {
    resources: Vec<WeightedResource>,
}

impl Default for NodeResourcesBalancedAllocation {
    fn default() -> NodeResourcesBalancedAllocation {
        NodeResourcesBalancedAllocation::new(WeightedResource::defaults())
    }
}

impl NodeResourcesBalancedAllocation {
    /// The plugin for these resources, whose weights do not count.
    pub fn new(resources: Vec<WeightedResource>) -> NodeResourcesBalancedAllocation {
        NodeResourcesBalancedAllocation { resources }
    }

    /// How different the shares of the resources are on a node: their standard deviation, at most one half.
    fn deviation(&self, pod: &PodInfo, node: &NodeInfo, amount: impl Fn(Demand) -> i64) -> f64 {
        let shares = || {
            self.resources.iter().filter_map(|resource| {
                let demand = demand(&resource.name, Unspecified::Zero, pod, node)?;
                Some((amount(demand) as f64 / demand.total as f64).min(1.0))
            })
        };
        let count = shares().count();
        match count {
            0 | 1 => 0.0,
            // The standard deviation of two numbers is half their distance.
            2 => shares().reduce(|one, other| (one - other).abs() / 2.0).unwrap_or(0.0),
            _ => {
                let mean = shares().sum::<f64>() / count as f64;
                let squares: f64 = shares().map(|share| (share - mean) * (share - mean)).sum();
                (squares / count as f64).sqrt()
            }
        }
    }
}

impl Plugin for NodeResourcesBalancedAllocation {
    const NAME: &'static str = "NodeResourcesBalancedAllocation";
    const WAKES_ON: EventKinds = EventKinds::NONE;
}

impl Score for NodeResourcesBalancedAllocation {
    type State = ();

    fn pre_score(&self, pod: &PodInfo, _snapshot: &Snapshot, _feasible: &[&NodeInfo]) -> Option<()> {
        // A pod that requests nothing changes no balance; it would be drawn to one node again and again.
        self.resources.iter().any(|resource| pod.requests.amount(&resource.name) > 0).then_some(())
    }

    /// By how much the pod improves the balance: 75 if it changes nothing, at least 50. Rounded once, or a pod would be drawn to
    /// a node where another has just cost a whole point.
    fn score(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> i64 {
        let with = self.deviation(pod, node, |demand| demand.requested);
        let without = self.deviation(pod, node, |demand| demand.used);
        ((0.75 + (without - with) / 2.0) * SCORE_MAX as f64) as i64
    }
}
