//! Keeps the [`Snapshot`] consistent with the informers' state and with decisions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use object::{ObjectKey, Selector, Uid};

use super::{NodeSlot, Nominations, PodInfo, Selecting, Snapshot, VolumeChange};

/// The snapshot and the pods in it.
///
/// A pod is *assumed* from the decision until its informer shows it bound. It never expires: when the binding
/// succeeds the informer shows it sooner or later (or shows the pod gone), and when it fails it is forgotten.
#[derive(Debug, Default)]
pub struct Cache {
    snapshot: Snapshot,
    pods: HashMap<Uid, CachedPod>,
    assumed: usize,
}

#[derive(Debug)]
struct CachedPod {
    info: Arc<PodInfo>,
    slot: NodeSlot,
    assumed: bool,
}

impl Cache {
    /// The state for a decision.
    pub fn snapshot(&mut self) -> &Snapshot {
        self.snapshot.refresh_order();
        &self.snapshot
    }

    /// The state between decisions, whose order of nodes may be old.
    pub fn view(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Adds or updates a node.
    pub fn set_node(&mut self, node: Arc<Node>) -> NodeSlot {
        self.snapshot.set_node(node)
    }

    /// Removes a node. Its pods stay until they are reported as deleted.
    pub fn remove_node(&mut self, name: &str) {
        self.snapshot.remove_node(name);
    }

    /// Sets the labels of a namespace; `None` if it is gone. Returns whether that made a difference.
    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> bool {
        self.snapshot.set_namespace(name, labels)
    }

    /// Records a change of a claim, a volume or similar.
    pub fn set_volume(&mut self, key: &ObjectKey, change: VolumeChange) {
        self.snapshot.volumes_mut().set(key, change);
    }

    /// Sets a PodDisruptionBudget; `None` if it is gone.
    pub fn set_budget(&mut self, key: &ObjectKey, budget: Option<&PodDisruptionBudget>) {
        self.snapshot.budgets_mut().set(key, budget);
    }

    /// Sets the pods that a Service or a controller selects; `None` if it is gone.
    pub fn set_selector(&mut self, kind: Selecting, key: &ObjectKey, selector: Option<&Arc<Selector>>) {
        self.snapshot.set_selector(kind, key, selector);
    }

    /// The nominations, to be changed.
    pub fn nominations(&mut self) -> &mut Nominations {
        self.snapshot.nominations_mut()
    }

    /// Adds or updates a bound pod, and confirms it if it was assumed. Returns the version that was known to be bound
    /// before.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, node: &str) -> Option<Arc<PodInfo>> {
        let old = self.take(&pod.uid);
        self.put(pod, node, false);
        old.filter(|old| !old.assumed).map(|old| old.info)
    }

    /// Counts a pod as being on a node, before it is bound.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        let known = self.take(&pod.uid);
        assert!(known.is_none(), "a pod that has a place is not given another");
        self.put(pod, node, true);
    }

    /// Removes a pod; returns its last known state.
    pub fn remove_pod(&mut self, uid: &Uid) -> Option<Arc<PodInfo>> {
        self.take(uid).map(|pod| pod.info)
    }

    /// Takes a pod away that is still only assumed.
    pub fn forget(&mut self, uid: &Uid) -> Option<Arc<PodInfo>> {
        if self.is_assumed(uid) { self.remove_pod(uid) } else { None }
    }

    /// Whether a pod is assumed and not yet seen bound.
    pub fn is_assumed(&self, uid: &Uid) -> bool {
        self.pods.get(uid).is_some_and(|pod| pod.assumed)
    }

    /// How many nodes, pods and assumed pods there are.
    pub fn counts(&self) -> [usize; 3] {
        [self.snapshot.len(), self.pods.len(), self.assumed]
    }

    fn put(&mut self, info: Arc<PodInfo>, node: &str, assumed: bool) {
        let slot = self.snapshot.add_pod(node, Arc::clone(&info));
        self.assumed += usize::from(assumed);
        let earlier = self.pods.insert(info.uid.clone(), CachedPod { info, slot, assumed });
        assert!(earlier.is_none(), "a pod counts once");
    }

    fn take(&mut self, uid: &Uid) -> Option<CachedPod> {
        let pod = self.pods.remove(uid)?;
        self.assumed -= usize::from(pod.assumed);
        self.snapshot.remove_pod(pod.slot, uid);
        Some(pod)
    }
}
