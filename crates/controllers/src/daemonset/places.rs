//! The inputs and results of a decision about a DaemonSet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use client::LeanPod;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::Node;

use super::placement::{self, Fit};
use crate::framework::{Note, sort_by_age};
use crate::revisions::HASH_LABEL;

/// The inputs of a decision about one DaemonSet.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(super) daemon_set: Arc<DaemonSet>,
    /// Those of the namespace that it owns or that have no controller.
    pub(super) revisions: Vec<Arc<ControllerRevision>>,
    /// Its pods, and the orphans of the namespace.
    pub(super) pods: Vec<Arc<LeanPod>>,
    /// All nodes.
    pub(super) nodes: Vec<Arc<Node>>,
    /// The times until which failed pods are kept, by node.
    pub(super) hold_off: HashMap<String, Timestamp>,
}

/// A node and the DaemonSet's pods there, the oldest first.
pub(super) struct Place {
    /// `None` if there is no such node (any more).
    pub(super) node: Option<Arc<Node>>,
    pub(super) fit: Fit,
    pub(super) pods: Vec<Arc<LeanPod>>,
}

/// Pods by the names of their nodes.
pub(super) type Places = BTreeMap<String, Place>;

/// Actions on pods.
#[derive(Default)]
pub(super) struct Moves {
    /// The nodes on which to create a pod.
    pub(super) create: Vec<String>,
    pub(super) delete: Vec<Arc<LeanPod>>,
    pub(super) notes: Vec<Note>,
    /// When a failed pod has been kept for long enough.
    pub(super) look_again: Option<Duration>,
}

/// Every node, and every node name that one of its pods is meant for.
pub(super) fn places(snapshot: &Snapshot, owned: &[Arc<LeanPod>]) -> Places {
    let spec = snapshot.daemon_set.spec.template.spec.clone().unwrap_or_default();
    let mut places: Places = snapshot
        .nodes
        .iter()
        .map(|node| {
            let name = node.metadata.name.clone().unwrap_or_default();
            (name, Place { node: Some(Arc::clone(node)), fit: placement::fit(&spec, node), pods: Vec::new() })
        })
        .collect();
    for pod in owned {
        let Some(node) = placement::target(pod) else { continue };
        let nowhere = || Place { node: None, fit: Fit::Leave, pods: Vec::new() };
        places.entry(node.to_owned()).or_insert_with(nowhere).pods.push(Arc::clone(pod));
    }
    places.values_mut().for_each(|place| sort_by_age(&mut place.pods));
    places
}

/// Whether a pod has the current template.
pub(super) fn is_updated(pod: &LeanPod, hash: &str) -> bool {
    pod.metadata.labels.get(HASH_LABEL) == Some(hash)
}

pub(super) fn min_ready_seconds(daemon_set: &DaemonSet) -> i32 {
    daemon_set.spec.min_ready_seconds.unwrap_or(0)
}
