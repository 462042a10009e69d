//! What the plugins that score nodes by resources have in common.

use crate::state::{NodeInfo, PodInfo, Resources};

/// A resource and how much it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedResource {
    /// The name of the resource.
    pub name: String,
    /// Its weight, from 1 to 100.
    pub weight: i64,
}

impl WeightedResource {
    /// CPU and memory, alike.
    pub fn defaults() -> Vec<WeightedResource> {
        ["cpu", "memory"].map(|name| WeightedResource { name: name.to_owned(), weight: 1 }).into()
    }
}

/// What a resource is asked for on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    /// What the node has; never 0.
    pub(super) total: i64,
    /// What its pods request.
    pub(super) used: i64,
    /// What they and the new pod request.
    pub(super) requested: i64,
}

/// How containers without requests for CPU and memory count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unspecified {
    /// As nothing.
    Zero,
    /// As a little, as in [`PodInfo::cpu_milli_nonzero`].
    Little,
}

/// The demand for a resource on a node. `None` if the node has nothing of it, or if it is an extended resource that the pod
/// does not request.
pub(super) fn demand(name: &str, unspecified: Unspecified, pod: &PodInfo, node: &NodeInfo) -> Option<Demand> {
    let little = unspecified == Unspecified::Little;
    let (used, wanted) = match name {
        "cpu" if little => (node.cpu_milli_nonzero, pod.cpu_milli_nonzero),
        "memory" if little => (node.memory_nonzero, pod.memory_nonzero),
        _ => (node.requested.amount(name), pod.requests.amount(name)),
    };
    let total = node.allocatable.amount(name);
    if total <= 0 || wanted == 0 && !Resources::is_basic(name) {
        return None;
    }
    Some(Demand { total, used, requested: used.saturating_add(wanted) })
}
