//! The cluster as one decision sees it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerImage, Node};
use object::{ObjectKey, Selector};
use parking_lot::Mutex;

use super::claim_users::ClaimUsers;
use super::counts::Counted;
use super::places::Places;
use super::selectors::{Like, Selecting, Selectors};
use super::tally::{BySlot, Carried, Cluster, NodeFilter, Queried, Topologies};
use super::{Budgets, Namespaces, NodeInfo, NodeSlot, Nominations, PodInfo, PodQuery, Topology, Volumes};

/// The nodes that have an image, and how many bytes it takes there.
pub type ImageNodes = HashMap<NodeSlot, i64>;

/// Numbers of pods by node.
#[derive(Clone, Debug)]
pub struct ByNode(Arc<BySlot>);

impl ByNode {
    /// The number on a node.
    pub fn at(&self, node: &NodeInfo) -> i64 {
        self.0.get(&node.slot).copied().unwrap_or(0)
    }
}

/// The cluster as one decision sees it. Only [`Cache`](super::Cache) changes it, between decisions.
#[derive(Debug, Default)]
pub struct Snapshot {
    slots: Vec<Option<NodeInfo>>,
    by_name: HashMap<Arc<str>, NodeSlot>,
    /// The known nodes: zone by zone in turn, so that the first ones of any part of the list are spread.
    order: Vec<NodeSlot>,
    order_is_stale: bool,
    free: Vec<NodeSlot>,
    images: HashMap<String, ImageNodes>,
    namespaces: Namespaces,
    volumes: Arc<Volumes>,
    claim_users: ClaimUsers,
    budgets: Budgets,
    nominations: Nominations,
    selectors: Selectors,
    places: Places,
    /// Locked during a query, because a query is counted when it is first used.
    counting: Mutex<Counting>,
}

/// The counts of pods, kept up to date.
#[derive(Debug, Default)]
struct Counting {
    topologies: Topologies,
    queried: Queried,
    /// Required anti-affinity.
    refused: Carried,
    /// Required affinity.
    demanded: Carried,
    /// Preferences, by weight.
    wished: Carried,
}

/// All that is counted.
#[cfg(test)]
pub(super) struct Known {
    pub(super) queries: Vec<(Arc<PodQuery>, String, NodeFilter, Counted)>,
    pub(super) by_node: Vec<(Arc<PodQuery>, ByNode)>,
    /// Required anti-affinity, required affinity, and preferences.
    pub(super) carried: [Vec<(super::AffinityTerm, Counted)>; 3],
}

impl Snapshot {
    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The nodes, zones in turn.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.order.iter().map(|slot| self.node(*slot))
    }

    /// The places of the nodes, in the order of [`Snapshot::nodes`].
    pub fn order(&self) -> &[NodeSlot] {
        &self.order
    }

    /// One node.
    ///
    /// # Panics
    /// If it is gone. Slots may be used only while the snapshot does not change.
    pub fn node(&self, slot: NodeSlot) -> &NodeInfo {
        self.slots[slot.index()].as_ref().expect("slots of a standing snapshot are taken")
    }

    /// A known node by its name.
    pub fn node_named(&self, name: &str) -> Option<&NodeInfo> {
        let node = self.node(*self.by_name.get(name)?);
        node.node().is_some().then_some(node)
    }

    /// The nodes that have an image; `None` if none has. The name is one that containers use.
    pub fn image_nodes(&self, name: &str) -> Option<&ImageNodes> {
        if self.images.is_empty() {
            return None;
        }
        self.images.get(name).or_else(|| self.images.get(&*normalized_image_name(name)?))
    }

    /// The pods that a query means, by the domains of a topology; the nodes that pass the filter take part.
    pub fn count(&self, query: &Arc<PodQuery>, key: &str, filter: &NodeFilter) -> Counted {
        let mut counting = self.counting.lock();
        let Counting { topologies, queried, .. } = &mut *counting;
        let topology = topologies.get(key, self.entries());
        queried.count(query, topology, key, filter, &self.cluster())
    }

    /// The pods that a query means, by node.
    pub fn count_by_node(&self, query: &Arc<PodQuery>) -> ByNode {
        ByNode(self.counting.lock().queried.by_node(query, &self.cluster()))
    }

    /// The pods that are selected as this one is, by Services and by its controller; `None` if nothing selects it.
    pub fn like(&self, pod: &PodInfo) -> Option<Like> {
        self.selectors.like(pod)
    }

    /// The running pods whose required anti-affinity means this one, by term and domain.
    pub fn refusals(&self, pod: &PodInfo) -> Vec<(Arc<str>, Counted)> {
        let mut counting = self.counting.lock();
        let Counting { topologies, refused, .. } = &mut *counting;
        let terms = refused.meaning(pod, &self.namespaces);
        terms
            .map(|(term, counts)| {
                let topology = topologies.get(&term.topology_key, self.entries());
                (Arc::clone(&term.id), Counted { topology, counts: Arc::clone(counts) })
            })
            .collect()
    }

    /// The weight of the preferences of running pods for this one, by term and domain.
    pub fn wishes(&self, pod: &PodInfo) -> Vec<Counted> {
        let mut counting = self.counting.lock();
        let Counting { topologies, wished, .. } = &mut *counting;
        self.meaning(wished, topologies, pod)
    }

    /// The running pods whose required affinity means this one, by term and domain.
    pub fn demands(&self, pod: &PodInfo) -> Vec<Counted> {
        let mut counting = self.counting.lock();
        let Counting { topologies, demanded, .. } = &mut *counting;
        self.meaning(demanded, topologies, pod)
    }

    fn meaning(&self, carried: &Carried, topologies: &mut Topologies, pod: &PodInfo) -> Vec<Counted> {
        let terms = carried.meaning(pod, &self.namespaces);
        terms
            .map(|(term, counts)| {
                let topology = topologies.get(&term.topology_key, self.entries());
                Counted { topology, counts: Arc::clone(counts) }
            })
            .collect()
    }

    /// The domains that the values of a label make.
    pub fn topology(&self, key: &str) -> Arc<Topology> {
        self.counting.lock().topologies.get(key, self.entries())
    }

    /// Nothing, by the domains of a topology.
    pub fn none_by(&self, key: &str) -> Counted {
        Counted { topology: self.topology(key), counts: Arc::default() }
    }

    /// The labels of the namespaces.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The claims, volumes and storage classes.
    pub fn volumes(&self) -> &Arc<Volumes> {
        &self.volumes
    }

    /// How many pods on nodes use a claim.
    pub fn claim_users(&self, claim: &ObjectKey) -> usize {
        self.claim_users.of(claim)
    }

    /// The pods that wait for the victims of their preemption to go.
    pub fn nominations(&self) -> &Nominations {
        &self.nominations
    }

    /// The PodDisruptionBudgets.
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    pub(super) fn budgets_mut(&mut self) -> &mut Budgets {
        &mut self.budgets
    }

    pub(super) fn volumes_mut(&mut self) -> &mut Volumes {
        Arc::make_mut(&mut self.volumes)
    }

    pub(super) fn nominations_mut(&mut self) -> &mut Nominations {
        &mut self.nominations
    }

    /// How many slots there are, taken or free.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    fn cluster(&self) -> Cluster<'_> {
        Cluster { slots: &self.slots, places: &self.places, namespaces: &self.namespaces }
    }

    /// All nodes, including those known only from pods.
    fn entries(&self) -> impl Iterator<Item = &NodeInfo> + Clone {
        self.slots.iter().flatten()
    }

    /// How many Services are compared with a pod, and how many select it.
    #[cfg(test)]
    pub(crate) fn services_of(&self, pod: &PodInfo) -> (usize, usize) {
        self.selectors.services_of(pod)
    }

    /// Whether labels of pods are known of any node.
    #[cfg(test)]
    pub(super) fn knows_labels(&self) -> bool {
        !self.places.is_empty()
    }

    /// The current counts, for comparison with a recount.
    #[cfg(test)]
    pub(super) fn known_counts(&self) -> Known {
        let mut counting = self.counting.lock();
        let Counting { topologies, queried, refused, demanded, wished } = &mut *counting;
        let mut counted = |key: &str, counts: &Arc<super::counts::Counts>| Counted {
            topology: topologies.get(key, self.entries()),
            counts: Arc::clone(counts),
        };
        let queries = queried
            .known()
            .map(|(query, key, filter, counts)| {
                (Arc::clone(query), key.to_owned(), filter.clone(), counted(key, counts))
            })
            .collect();
        let by_node = queried.known_by_node();
        let by_node =
            by_node.map(|(query, by_node)| (Arc::clone(query), ByNode(Arc::clone(by_node)))).collect();
        let carried = [refused, demanded, wished].map(|of| {
            of.known().map(|(term, counts)| (term.clone(), counted(&term.topology_key, counts))).collect()
        });
        Known { queries, by_node, carried }
    }

    /// Sets the labels of a namespace; `None` if it is gone. Returns whether that made a difference.
    pub(super) fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> bool {
        let changed = self.namespaces.set(name, labels);
        if changed {
            self.counting.get_mut().queried.namespace_changed();
        }
        changed
    }

    /// Sets what a Service or a controller selects; `None` if it is gone.
    pub(super) fn set_selector(
        &mut self,
        kind: Selecting,
        key: &ObjectKey,
        selector: Option<&Arc<Selector>>,
    ) {
        self.selectors.set(kind, key, selector);
    }

    pub(super) fn set_node(&mut self, node: Arc<Node>) -> NodeSlot {
        let slot = self.slot(node.metadata.name.as_deref().unwrap_or_default());
        let info = self.slots[slot.index()].as_mut().expect("the slot was just looked up");
        let old = info.node().cloned();
        self.order_is_stale |= old.as_ref().is_none_or(|old| zone(old) != zone(&node));
        let old_taints = std::mem::take(&mut info.taints);
        info.set_node(Some(Arc::clone(&node)));
        let same = old.as_ref().is_some_and(|old| old.metadata.labels == node.metadata.labels);
        if !same || info.taints != old_taints {
            self.node_moved(slot);
        }
        self.set_images(slot, old.as_deref(), Some(&node));
        slot
    }

    pub(super) fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.by_name.get(name).copied() else { return };
        let info = self.slots[slot.index()].as_mut().expect("names lead to taken slots");
        let old = info.node().cloned();
        info.set_node(None);
        self.order_is_stale = true;
        self.node_moved(slot);
        self.set_images(slot, old.as_deref(), None);
        self.release(slot);
    }

    /// Lets the counts follow a node's labels and taints.
    fn node_moved(&mut self, slot: NodeSlot) {
        let info = self.slots[slot.index()].as_ref().expect("the slot is taken");
        let counting = self.counting.get_mut();
        let moves = counting.topologies.set_node(info);
        counting.queried.node_moved(info, &moves);
        counting.refused.node_moved(info, &moves);
        counting.demanded.node_moved(info, &moves);
        counting.wished.node_moved(info, &moves);
    }

    pub(super) fn add_pod(&mut self, node: &str, pod: Arc<PodInfo>) -> NodeSlot {
        let slot = self.slot(node);
        let info = self.slots[slot.index()].as_mut().expect("the slot was just looked up");
        info.add_pod(Arc::clone(&pod));
        self.pod_moved(slot, &pod, true);
        slot
    }

    pub(super) fn remove_pod(&mut self, slot: NodeSlot, uid: &object::Uid) {
        let Some(info) = self.slots[slot.index()].as_mut() else { return };
        if let Some(pod) = info.remove_pod(uid) {
            self.pod_moved(slot, &pod, false);
        }
        self.release(slot);
    }

    /// Updates the counts for a pod that is added to a node or removed from it.
    fn pod_moved(&mut self, slot: NodeSlot, pod: &PodInfo, comes: bool) {
        self.places.pod_moved(slot, pod, comes);
        self.claim_users.pod_moved(pod, comes);
        let Counting { topologies, queried, refused, demanded, wished } = self.counting.get_mut();
        queried.pod_moved(slot, pod, if comes { 1 } else { -1 }, topologies, &self.namespaces);
        let nodes = self.slots.iter().flatten();
        for term in &pod.pod_terms.required_anti_affinity {
            refused.term_moved(slot, term, 1, comes, topologies, nodes.clone());
        }
        for term in &pod.pod_terms.required_affinity {
            demanded.term_moved(slot, term, 1, comes, topologies, nodes.clone());
        }
        for (weight, term) in pod.pod_terms.wishes() {
            wished.term_moved(slot, term, weight, comes, topologies, nodes.clone());
        }
        if topologies.are_many() {
            let carried = [&*refused, &*demanded, &*wished];
            topologies
                .retain(|key| queried.counts_by(key) || carried.iter().any(|terms| terms.counts_by(key)));
        }
    }

    /// Brings the order up to date, before a decision.
    pub(super) fn refresh_order(&mut self) {
        if !std::mem::take(&mut self.order_is_stale) {
            return;
        }
        let mut zones: BTreeMap<(&str, &str), Vec<NodeSlot>> = BTreeMap::new();
        for info in self.slots.iter().flatten() {
            if let Some(node) = info.node() {
                zones.entry(zone(node)).or_default().push(info.slot);
            }
        }
        let longest = zones.values().map(Vec::len).max().unwrap_or(0);
        let turns = (0..longest).flat_map(|turn| zones.values().filter_map(move |zone| zone.get(turn)));
        self.order = turns.copied().collect();
    }

    /// The slot of a node, created if there is none.
    fn slot(&mut self, name: &str) -> NodeSlot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            NodeSlot::new(self.slots.len() - 1)
        });
        let name: Arc<str> = name.into();
        self.slots[slot.index()] = Some(NodeInfo::new(Arc::clone(&name), slot));
        self.by_name.insert(name, slot);
        slot
    }

    /// Frees a slot that holds neither node nor pods.
    fn release(&mut self, slot: NodeSlot) {
        let entry = &mut self.slots[slot.index()];
        if let Some(info) = entry.take_if(|info| info.node().is_none() && info.pods.is_empty()) {
            self.by_name.remove(&info.name);
            self.free.push(slot);
        }
    }

    fn set_images(&mut self, slot: NodeSlot, old: Option<&Node>, new: Option<&Node>) {
        let (old, new) = (images(old), images(new));
        if old == new {
            return;
        }
        for name in old.iter().flat_map(|image| image.names.iter().flatten()) {
            if let Some(nodes) = self.images.get_mut(name) {
                nodes.remove(&slot);
                if nodes.is_empty() {
                    self.images.remove(name);
                }
            }
        }
        for image in new {
            for name in image.names.iter().flatten() {
                self.images.entry(name.clone()).or_default().insert(slot, image.size_bytes.unwrap_or(0));
            }
        }
    }
}

fn images(node: Option<&Node>) -> &[ContainerImage] {
    let status = node.and_then(|node| node.status.as_ref());
    status.and_then(|status| status.images.as_deref()).unwrap_or_default()
}

/// Region and zone of a node; empty if it has none.
fn zone(node: &Node) -> (&str, &str) {
    let label = |names: [&str; 2]| {
        let labels = node.metadata.labels.as_ref();
        let found = names.into_iter().find_map(|name| labels?.get(name));
        found.map(String::as_str).unwrap_or_default()
    };
    (
        label(["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]),
        label(["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]),
    )
}

/// The name with the tag that is meant where none is written; `None` if one is.
fn normalized_image_name(name: &str) -> Option<String> {
    let last = name.rsplit('/').next().unwrap_or(name);
    (!last.contains(':') && !last.contains('@')).then(|| format!("{name}:latest"))
}
