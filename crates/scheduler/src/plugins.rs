//! The plugins, one file each. The messages of their rejections are upstream's, because users search for them.

use crate::framework::Profile;

mod catalogue;
mod default_binder;
mod default_preemption;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_declared_features;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
mod priority_sort;
mod resource_score;
mod scheduling_gates;
mod taint_toleration;
#[cfg(test)]
mod tests;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

pub use catalogue::{Arguments, DEFAULTS, offer};
pub use default_binder::DefaultBinder;
pub use default_preemption::DefaultPreemption;
pub use image_locality::ImageLocality;
pub use inter_pod_affinity::InterPodAffinity;
pub use node_affinity::NodeAffinity;
pub use node_declared_features::NodeDeclaredFeatures;
pub use node_name::NodeName;
pub use node_ports::NodePorts;
pub use node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
pub use node_resources_fit::{FitOptions, FitStrategy, NodeResourcesFit, Shape};
pub use node_unschedulable::NodeUnschedulable;
pub use node_volume_limits::NodeVolumeLimits;
pub use pod_topology_spread::PodTopologySpread;
pub use priority_sort::PrioritySort;
pub use resource_score::WeightedResource;
pub use scheduling_gates::SchedulingGates;
pub use taint_toleration::TaintToleration;
pub use volume_binding::VolumeBinding;
pub use volume_restrictions::VolumeRestrictions;
pub use volume_zone::VolumeZone;

/// The plugins of upstream's default profile, in its order and with its weights.
pub fn default_profile() -> Profile {
    profile("default-scheduler")
}

/// The plugins of the default profile, for the pods with another `spec.schedulerName`.
pub fn profile(name: &str) -> Profile {
    let arguments = Arguments::default();
    DEFAULTS.into_iter().fold(Profile::new(name, PrioritySort), |profile, (plugin, weight)| {
        let offer = offer(plugin, &arguments).expect("the default plugins exist");
        profile.with(offer, weight)
    })
}
