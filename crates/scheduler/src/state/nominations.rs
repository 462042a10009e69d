//! Nominated pods, which wait until their victims are gone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use object::Uid;

use super::PodInfo;

/// Pods that are nominated for a node: their preemption named victims there, and they are expected to come once those
/// are gone. They are not on the node, but pods of lower priority must not take their space.
#[derive(Debug, Default)]
pub struct Nominations {
    by_node: HashMap<Arc<str>, Vec<Arc<PodInfo>>>,
    node_of: HashMap<Uid, Arc<str>>,
    /// Pods that were deleted by preemption but are not yet seen terminating.
    victims: HashSet<Uid>,
}

impl Nominations {
    /// The pods that are nominated for a node.
    pub fn on(&self, node: &str) -> &[Arc<PodInfo>] {
        if self.by_node.is_empty() {
            return &[];
        }
        self.by_node.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }

    /// The node that a pod is nominated for.
    pub fn node_of(&self, uid: &Uid) -> Option<&Arc<str>> {
        self.node_of.get(uid)
    }

    /// Nominates a pod, in its newest version.
    pub fn set(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.remove(&pod.uid);
        let node: Arc<str> = node.into();
        self.node_of.insert(pod.uid.clone(), Arc::clone(&node));
        self.by_node.entry(node).or_default().push(pod);
    }

    /// Takes a nomination back.
    pub fn remove(&mut self, uid: &Uid) {
        let Some(node) = self.node_of.remove(uid) else { return };
        let Some(pods) = self.by_node.get_mut(&node) else { return };
        pods.retain(|pod| pod.uid != *uid);
        if pods.is_empty() {
            self.by_node.remove(&node);
        }
    }

    /// Whether a pod is a victim: it was deleted by preemption, whether it is already seen terminating or not.
    pub fn is_victim(&self, pod: &PodInfo) -> bool {
        self.victims.contains(&pod.uid) || pod.is_deleting() && pod.is_preempted()
    }

    /// Records victims.
    pub fn expect_victims(&mut self, victims: impl IntoIterator<Item = Uid>) {
        self.victims.extend(victims);
    }

    /// A pod was seen terminating or deleted, or will stay after all.
    pub fn victim_is_gone(&mut self, uid: &Uid) {
        self.victims.remove(uid);
    }
}
