//! The cluster as one decision sees it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerImage, Node};
use parking_lot::Mutex;

use super::{NodeInfo, PodInfo};

/// The place of a node in a [`Snapshot`]: a small number, used again after the node is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeSlot(u32);

impl NodeSlot {
    /// The number, as an index into a list of [`Snapshot::slots`] entries.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// So many topologies are kept: users can name as many keys as they like.
const TOPOLOGIES_MAX: usize = 64;

/// The nodes that have an image, and how many bytes it takes there.
pub type ImageNodes = HashMap<NodeSlot, i64>;

/// The cluster as one decision sees it. Only [`Cache`](super::Cache) changes it, between decisions.
#[derive(Debug, Default)]
pub struct Snapshot {
    slots: Vec<Option<NodeInfo>>,
    by_name: HashMap<Arc<str>, NodeSlot>,
    /// The known nodes: zone by zone in turn, so that the first ones of any part of the list are spread.
    order: Vec<NodeSlot>,
    order_is_stale: bool,
    with_affinity: BTreeSet<NodeSlot>,
    images: HashMap<String, ImageNodes>,
    namespaces: HashMap<String, BTreeMap<String, String>>,
    /// What [`Snapshot::topology`] worked out since the nodes last changed.
    topologies: Mutex<HashMap<String, Arc<Topology>>>,
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
    /// If it is gone. Slots are to be used only while the snapshot stands.
    pub fn node(&self, slot: NodeSlot) -> &NodeInfo {
        self.slots[slot.index()].as_ref().expect("slots of a standing snapshot are taken")
    }

    /// A known node by its name.
    pub fn node_named(&self, name: &str) -> Option<&NodeInfo> {
        let node = self.node(*self.by_name.get(name)?);
        node.node().is_some().then_some(node)
    }

    /// How many slots there are, taken or free: one more than the largest [`NodeSlot::index`].
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The known nodes on which pods run that say something about other pods.
    pub fn nodes_with_affinity(&self) -> impl Iterator<Item = &NodeInfo> {
        self.with_affinity.iter().map(|slot| self.node(*slot)).filter(|node| node.node().is_some())
    }

    /// The nodes that have an image; `None` if none has. The name is one that containers use.
    pub fn image_nodes(&self, name: &str) -> Option<&ImageNodes> {
        if self.images.is_empty() {
            return None;
        }
        self.images.get(name).or_else(|| self.images.get(&*normalized_image_name(name)?))
    }

    /// The domains that the values of a label make. They are worked out once for many decisions.
    pub fn topology(&self, key: &str) -> Arc<Topology> {
        let mut known = self.topologies.lock();
        if let Some(topology) = known.get(key) {
            return Arc::clone(topology);
        }
        if known.len() >= TOPOLOGIES_MAX {
            known.clear();
        }
        let topology = Arc::new(Topology::new(self, key));
        known.insert(key.to_owned(), Arc::clone(&topology));
        topology
    }

    /// The labels of a namespace.
    pub fn namespace_labels(&self, name: &str) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.namespaces.get(name).unwrap_or(&NONE)
    }

    pub(super) fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) {
        match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
    }

    pub(super) fn set_node(&mut self, node: Arc<Node>) -> NodeSlot {
        let slot = self.slot(node.metadata.name.as_deref().unwrap_or_default());
        let info = self.slots[slot.index()].as_mut().expect("the slot was just looked up");
        let old = info.node().cloned();
        self.order_is_stale |= old.as_ref().is_none_or(|old| zone(old) != zone(&node));
        if old.as_ref().is_none_or(|old| old.metadata.labels != node.metadata.labels) {
            self.topologies.get_mut().clear();
        }
        info.set_node(Some(Arc::clone(&node)));
        self.set_images(slot, old.as_deref(), Some(&node));
        slot
    }

    pub(super) fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.by_name.get(name).copied() else { return };
        let info = self.slots[slot.index()].as_mut().expect("names lead to taken slots");
        let old = info.node().cloned();
        info.set_node(None);
        self.order_is_stale = true;
        self.topologies.get_mut().clear();
        self.set_images(slot, old.as_deref(), None);
        self.release(slot);
    }

    pub(super) fn add_pod(&mut self, node: &str, pod: Arc<PodInfo>) -> NodeSlot {
        let slot = self.slot(node);
        if pod.pod_terms.has_affinity() {
            self.with_affinity.insert(slot);
        }
        let info = self.slots[slot.index()].as_mut().expect("the slot was just looked up");
        info.add_pod(pod);
        slot
    }

    pub(super) fn remove_pod(&mut self, slot: NodeSlot, uid: &object::Uid) {
        let Some(info) = self.slots[slot.index()].as_mut() else { return };
        info.remove_pod(uid);
        if info.pods_with_affinity.is_empty() {
            self.with_affinity.remove(&slot);
        }
        self.release(slot);
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

    /// The slot of a node, made if there is none.
    fn slot(&mut self, name: &str) -> NodeSlot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let index = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let slot = NodeSlot(u32::try_from(index).expect("there are far fewer nodes"));
        let name: Arc<str> = name.into();
        self.slots[index] = Some(NodeInfo::new(Arc::clone(&name), slot));
        self.by_name.insert(name, slot);
        slot
    }

    /// Frees a slot that holds neither node nor pods.
    fn release(&mut self, slot: NodeSlot) {
        let entry = &mut self.slots[slot.index()];
        if let Some(info) = entry.take_if(|info| info.node().is_none() && info.pods.is_empty()) {
            self.by_name.remove(&info.name);
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

/// Region and zone of a node; empty where it has none.
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

/// The domains that the values of one node label make. Nodes without the label are in none.
#[derive(Debug)]
pub struct Topology {
    by_slot: Vec<Option<u32>>,
    count: usize,
}

impl Topology {
    fn new(snapshot: &Snapshot, key: &str) -> Topology {
        let mut by_slot = vec![None; snapshot.slots()];
        let mut known: HashMap<&str, u32> = HashMap::new();
        for node in snapshot.nodes() {
            if let Some(value) = node.label(key) {
                let next = known.len() as u32;
                by_slot[node.slot.index()] = Some(*known.entry(value).or_insert(next));
            }
        }
        Topology { by_slot, count: known.len() }
    }

    /// The domain of a node, below [`Topology::count`].
    pub fn domain(&self, node: &NodeInfo) -> Option<usize> {
        // A slot that is newer than this belongs to a node that only pods tell of.
        self.by_slot.get(node.slot.index()).copied().flatten().map(|domain| domain as usize)
    }

    /// How many domains there are.
    pub fn count(&self) -> usize {
        self.count
    }
}
