//! The plugins, one file each. The messages of their rejections are upstream's, because users search for them.

use crate::framework::Profile;

mod default_binder;
mod default_preemption;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod pod_topology_spread;
mod priority_sort;
mod scheduling_gates;
mod taint_toleration;
#[cfg(test)]
mod tests;
mod volume_binding;

pub use default_binder::DefaultBinder;
pub use default_preemption::DefaultPreemption;
pub use image_locality::ImageLocality;
pub use inter_pod_affinity::InterPodAffinity;
pub use node_affinity::NodeAffinity;
pub use node_name::NodeName;
pub use node_ports::NodePorts;
pub use node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
pub use node_resources_fit::NodeResourcesFit;
pub use node_unschedulable::NodeUnschedulable;
pub use pod_topology_spread::PodTopologySpread;
pub use priority_sort::PrioritySort;
pub use scheduling_gates::SchedulingGates;
pub use taint_toleration::TaintToleration;
pub use volume_binding::VolumeBinding;

/// The plugins of upstream's default profile, in its order and with its weights. Cheap filters come first: the
/// first rejection of a node ends its checks.
pub fn default_profile() -> Profile {
    profile("default-scheduler")
}

/// The plugins of the default profile, for the pods with another `spec.schedulerName`.
pub fn profile(name: &str) -> Profile {
    Profile::new(name, PrioritySort)
        .pre_enqueue(SchedulingGates)
        .filter(NodeUnschedulable)
        .filter(NodeName)
        .filter_and_score(TaintToleration, 3)
        .filter_and_score(NodeAffinity, 2)
        .filter(NodePorts)
        .filter_and_score(NodeResourcesFit, 1)
        .filter(VolumeBinding)
        .filter_and_score(PodTopologySpread::default(), 2)
        .filter_and_score(InterPodAffinity, 2)
        .score(NodeResourcesBalancedAllocation, 1)
        .score(ImageLocality, 1)
        .post_filter(DefaultPreemption)
        .bind(DefaultBinder)
}
