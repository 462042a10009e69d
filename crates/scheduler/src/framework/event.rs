//! Events in the cluster that can make waiting pods schedulable.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::state::{NodeInfo, PodInfo, VolumeChange};

/// A set of kinds of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventKinds(u32);

impl EventKinds {
    /// Nothing.
    pub const NONE: EventKinds = EventKinds(0);
    /// A node appeared.
    pub const NODE_ADDED: EventKinds = EventKinds(1);
    /// A node's allocatable resources changed.
    pub const NODE_ALLOCATABLE: EventKinds = EventKinds(1 << 1);
    /// The labels of a node changed.
    pub const NODE_LABELS: EventKinds = EventKinds(1 << 2);
    /// The taints of a node changed, or whether it is unschedulable.
    pub const NODE_TAINTS: EventKinds = EventKinds(1 << 3);
    /// A node is gone.
    pub const NODE_REMOVED: EventKinds = EventKinds(1 << 4);
    /// A pod was bound to a node.
    pub const POD_ADDED: EventKinds = EventKinds(1 << 5);
    /// The labels of a bound pod changed.
    pub const POD_LABELS: EventKinds = EventKinds(1 << 6);
    /// A bound pod requests less.
    pub const POD_SCALED_DOWN: EventKinds = EventKinds(1 << 7);
    /// A bound pod is gone.
    pub const POD_REMOVED: EventKinds = EventKinds(1 << 8);
    /// The labels of the waiting pod itself changed.
    pub const OWN_LABELS: EventKinds = EventKinds(1 << 9);
    /// The waiting pod itself requests less.
    pub const OWN_SCALED_DOWN: EventKinds = EventKinds(1 << 10);
    /// The tolerations of the waiting pod itself changed.
    pub const OWN_TOLERATIONS: EventKinds = EventKinds(1 << 11);
    /// The last scheduling gate of the waiting pod itself is gone.
    pub const OWN_GATES_GONE: EventKinds = EventKinds(1 << 12);
    /// The node selector or affinity of the waiting pod itself changed.
    pub const OWN_NODE_TERMS: EventKinds = EventKinds(1 << 13);
    /// The labels of a namespace changed.
    pub const NAMESPACE_LABELS: EventKinds = EventKinds(1 << 14);
    /// A claim, a volume, a storage class or a node's drivers came or changed.
    pub const STORAGE: EventKinds = EventKinds(1 << 15);
    /// The features that a node declares changed.
    pub const NODE_FEATURES: EventKinds = EventKinds(1 << 16);
    /// Everything.
    pub const ALL: EventKinds = EventKinds(u32::MAX);

    /// Both sets together.
    #[must_use]
    pub const fn or(self, other: EventKinds) -> EventKinds {
        EventKinds(self.0 | other.0)
    }

    /// This set without the other.
    #[must_use]
    pub const fn without(self, other: EventKinds) -> EventKinds {
        EventKinds(self.0 & !other.0)
    }

    /// Whether the sets have a kind in common.
    pub const fn meets(self, other: EventKinds) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it is empty.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    fn when(self, holds: bool) -> EventKinds {
        if holds { self } else { EventKinds::NONE }
    }

    /// How two versions of a node differ. Heartbeats make no difference.
    pub fn of_node_change(old: &Node, new: &Node) -> EventKinds {
        let taints = |node: &Node| {
            let spec = node.spec.clone().unwrap_or_default();
            (spec.taints.unwrap_or_default(), spec.unschedulable.unwrap_or(false))
        };
        EventKinds::NODE_ALLOCATABLE
            .when(allocatable(old) != allocatable(new))
            .or(EventKinds::NODE_FEATURES.when(features(old) != features(new)))
            .or(EventKinds::NODE_LABELS.when(old.metadata.labels != new.metadata.labels))
            .or(EventKinds::NODE_TAINTS.when(taints(old) != taints(new)))
    }

    /// How two versions of a bound pod differ.
    pub fn of_bound_pod_change(old: &PodInfo, new: &PodInfo) -> EventKinds {
        EventKinds::POD_LABELS
            .when(old.labels() != new.labels())
            .or(EventKinds::POD_SCALED_DOWN.when(scaled_down(old, new)))
    }

    /// How two versions of a waiting pod differ.
    pub fn of_own_change(old: &PodInfo, new: &PodInfo) -> EventKinds {
        let gates =
            |pod: &PodInfo| pod.spec().and_then(|spec| spec.scheduling_gates.clone()).unwrap_or_default();
        EventKinds::OWN_LABELS
            .when(old.labels() != new.labels())
            .or(EventKinds::OWN_SCALED_DOWN.when(scaled_down(old, new)))
            .or(EventKinds::OWN_TOLERATIONS.when(old.tolerations != new.tolerations))
            .or(EventKinds::OWN_GATES_GONE.when(!gates(old).is_empty() && gates(new).is_empty()))
            .or(EventKinds::OWN_NODE_TERMS.when(old.node_terms != new.node_terms))
    }
}

fn allocatable(node: &Node) -> Option<&BTreeMap<String, Quantity>> {
    node.status.as_ref()?.allocatable.as_ref()
}

fn features(node: &Node) -> Option<&Vec<String>> {
    node.status.as_ref()?.declared_features.as_ref()
}

fn scaled_down(old: &PodInfo, new: &PodInfo) -> bool {
    let (old, new) = (&old.requests, &new.requests);
    new.cpu_milli < old.cpu_milli
        || new.memory < old.memory
        || new.ephemeral_storage < old.ephemeral_storage
        || old.scalar.iter().any(|(name, amount)| new.scalar(name) < *amount)
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// In which ways it may matter.
    pub kinds: EventKinds,
    /// To whom it happened.
    pub subject: Subject<'a>,
}

/// To whom an event happened.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A node in its current state.
    Node(&'a NodeInfo),
    /// A node that is gone.
    RemovedNode,
    /// A bound pod: its old version if it was bound before, and its new one if it still exists.
    Pod(Option<&'a PodInfo>, Option<&'a PodInfo>),
    /// The waiting pod itself, which is asked about in its new version.
    Own,
    /// A namespace.
    Namespace,
    /// A claim, volume, storage class or a node's drivers.
    Storage(&'a VolumeChange),
}
