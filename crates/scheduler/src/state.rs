//! The state of the cluster as decisions need it: everything a plugin looks at, summed up beforehand.
//!
//! A pod's requests, ports and selectors are worked out once, when it is first seen; a node's sums are kept up
//! to date with each pod that comes and goes, and so are the counts of the pods that constraints and affinity
//! terms mean (`tally`). A decision then compares integers and copies nothing.

mod budgets;
mod cache;
mod counts;
mod label_index;
mod node_info;
mod nominations;
mod pod_info;
mod pod_query;
mod pod_terms;
mod requests;
mod resources;
mod snapshot;
mod tally;
#[cfg(test)]
mod tests;
mod topology;
mod volumes;

pub use budgets::Budgets;
pub use cache::Cache;
pub use counts::Counted;
pub use node_info::{NodeInfo, NodeSlot};
pub use nominations::Nominations;
pub use pod_info::{ClaimName, HostPort, PodInfo};
pub use pod_query::{Namespaces, PodQuery, PodSelection};
pub use pod_terms::{AffinityTerm, PodTerms, SpreadConstraint};
pub use resources::Resources;
pub use snapshot::{ImageNodes, Snapshot};
pub use tally::NodeFilter;
pub use topology::{EACH_NODE, Topology};
pub use volumes::{VolumeChange, VolumeInfo, Volumes};
