//! The state of the cluster as decisions need it: everything a plugin looks at, summed up beforehand.
//!
//! A pod's requests, ports and selectors are worked out once, when it is first seen; a node's sums are kept up
//! to date with each pod that comes and goes. A decision then compares integers and copies nothing.

mod cache;
mod node_info;
mod node_selector;
mod pod_info;
mod pod_terms;
mod requests;
mod resources;
mod snapshot;
#[cfg(test)]
mod tests;

pub use cache::Cache;
pub use node_info::NodeInfo;
pub use node_selector::{NodeSelectorTerm, NodeTerms};
pub use pod_info::{HostPort, PodInfo};
pub use pod_terms::{AffinityTerm, PodTerms, SpreadConstraint, Weighted};
pub use resources::Resources;
pub use snapshot::{ImageNodes, NodeSlot, Snapshot, Topology};
