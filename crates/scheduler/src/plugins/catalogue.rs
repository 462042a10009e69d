//! The plugins by name, with their arguments, from which profiles are put together.

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use semantics::NodeTerms;

use super::*;
use crate::framework::{Offer, Offering};

/// The plugins that are on by default at all extension points at which they can take part, with the weights of their
/// scores, in upstream's order. Cheap filters come first: the first rejection of a node ends its checks.
pub const DEFAULTS: [(&str, i64); 19] = [
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("NodeDeclaredFeatures", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
];

/// The arguments of all plugins.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// Of NodeResourcesFit.
    pub fit: FitOptions,
    /// The resources of NodeResourcesBalancedAllocation.
    pub balanced: Vec<WeightedResource>,
    /// The affinity that NodeAffinity adds to that of each pod.
    pub added_affinity: NodeTerms,
    /// The default constraints of PodTopologySpread; `None` for those of the system.
    pub spread: Option<Vec<TopologySpreadConstraint>>,
    /// What a required affinity of a running pod weighs for InterPodAffinity, from 0 to 100.
    pub required_affinity_weight: i64,
    /// Whether InterPodAffinity ignores the affinity of running pods where a pod prefers nothing itself.
    pub ignore_wishes: bool,
    /// Which percentage of the nodes DefaultPreemption looks at, at least.
    pub candidates_percent: usize,
    /// How many nodes DefaultPreemption looks at, at least.
    pub candidates_min: usize,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            fit: FitOptions::default(),
            balanced: WeightedResource::defaults(),
            added_affinity: NodeTerms::default(),
            spread: None,
            required_affinity_weight: 1,
            ignore_wishes: false,
            candidates_percent: 10,
            candidates_min: 100,
        }
    }
}

/// A plugin with its arguments; `None` if there is none of this name.
pub fn offer(name: &str, arguments: &Arguments) -> Option<Offer> {
    Some(match name {
        "SchedulingGates" => Offering::new(SchedulingGates).pre_enqueues().offer(),
        "PrioritySort" => Offering::new(PrioritySort).sorts(PrioritySort).offer(),
        "NodeUnschedulable" => Offering::new(NodeUnschedulable).only_filters().offer(),
        "NodeName" => Offering::new(NodeName).only_filters().offer(),
        "NodeDeclaredFeatures" => Offering::new(NodeDeclaredFeatures).filters().offer(),
        "TaintToleration" => Offering::new(TaintToleration).only_filters().scores().offer(),
        "NodeAffinity" => {
            let plugin = NodeAffinity::with_added(arguments.added_affinity.clone());
            Offering::new(plugin).filters().scores().offer()
        }
        "NodePorts" => Offering::new(NodePorts).filters().offer(),
        "NodeResourcesFit" => {
            Offering::new(NodeResourcesFit::new(arguments.fit.clone())).filters().scores().offer()
        }
        "VolumeRestrictions" => Offering::new(VolumeRestrictions).filters().offer(),
        "NodeVolumeLimits" => Offering::new(NodeVolumeLimits).filters().offer(),
        "VolumeZone" => Offering::new(VolumeZone).filters().offer(),
        "VolumeBinding" => Offering::new(VolumeBinding).filters().offer(),
        "PodTopologySpread" => {
            let plugin = match &arguments.spread {
                Some(constraints) => PodTopologySpread::with_defaults(constraints),
                None => PodTopologySpread::default(),
            };
            Offering::new(plugin).filters().scores().offer()
        }
        "InterPodAffinity" => {
            let plugin = InterPodAffinity::new(arguments.required_affinity_weight, arguments.ignore_wishes);
            Offering::new(plugin).filters().scores().offer()
        }
        "DefaultPreemption" => {
            let plugin = DefaultPreemption::new(arguments.candidates_percent, arguments.candidates_min);
            Offering::new(plugin).post_filters().offer()
        }
        "NodeResourcesBalancedAllocation" => {
            let plugin = NodeResourcesBalancedAllocation::new(arguments.balanced.clone());
            Offering::new(plugin).scores().offer()
        }
        "ImageLocality" => Offering::new(ImageLocality).only_scores().offer(),
        "DefaultBinder" => Offering::new(DefaultBinder).binds().offer(),
        _ => return None,
    })
}
