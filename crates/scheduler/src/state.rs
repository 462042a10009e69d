//! The state of the cluster for decisions: everything a plugin looks at, with precomputed sums.
//!
//! A pod's requests, ports and selectors are computed once, when it is first seen; a node's sums are updated with each
//! pod that is added or removed, and so are the counts of the pods that match constraints and affinity terms (`tally`).
//! Who selects a pod is found in an index of selectors (`selectors`). A decision then compares integers and copies nothing.

mod budgets;
mod cache;
mod claim_users;
mod counts;
mod host_port;
mod label_index;
mod node_info;
mod nominations;
mod numbers;
mod places;
mod pod_info;
mod pod_needs;
mod pod_query;
mod pod_terms;
mod requests;
mod resources;
mod selectors;
mod snapshot;
mod tally;
#[cfg(test)]
mod tests;
mod topology;
mod volumes;

pub use budgets::Budgets;
pub use cache::Cache;
pub use counts::Counted;
pub use host_port::HostPort;
pub use node_info::{NodeInfo, NodeSlot};
pub use nominations::Nominations;
pub use pod_info::{ClaimName, PodInfo};
pub use pod_needs::PodNeeds;
pub use pod_query::{Namespaces, PodQuery, PodSelection};
pub use pod_terms::{AffinityTerm, PodTerms, SpreadConstraint, SpreadRule};
pub use resources::Resources;
pub use selectors::{Like, Selecting};
pub use snapshot::{ByNode, ImageNodes, Snapshot};
pub use tally::NodeFilter;
pub use topology::{EACH_NODE, Topology};
pub use volumes::{Attachment, VolumeChange, VolumeInfo, Volumes};
