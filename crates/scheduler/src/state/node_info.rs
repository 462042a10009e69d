//! A node and the sums over its pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use object::Uid;
use semantics::{NodeSelectorTerm, NodeTerms, Taint, Toleration};

use super::{HostPort, PodInfo, Resources};

/// The place of a node in a [`Snapshot`](super::Snapshot): a small number, used again after the node is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeSlot(u32);

impl NodeSlot {
    pub(super) fn new(index: usize) -> NodeSlot {
        NodeSlot(u32::try_from(index).expect("there are far fewer nodes"))
    }

    /// The number, as an index into a list of all nodes.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A node and the sums of what runs on it, assumed pods included.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its place in the [`Snapshot`](super::Snapshot), while it exists.
    pub slot: NodeSlot,
    /// `spec.unschedulable`
    pub unschedulable: bool,
    /// `spec.taints`
    pub taints: Vec<Taint>,
    /// The total that pods may request.
    pub allocatable: Resources,
    /// How many pods may run.
    pub pods_max: i64,
    /// The requests of its pods.
    pub requested: Resources,
    /// The CPU that its pods request, counted as in [`PodInfo::cpu_milli_nonzero`].
    pub cpu_milli_nonzero: i64,
    /// The memory that its pods request, counted as in [`PodInfo::memory_nonzero`].
    pub memory_nonzero: i64,
    /// Its pods.
    pub pods: Vec<Arc<PodInfo>>,
    /// The ports of the host that its pods have.
    pub host_ports: Vec<HostPort>,
    node: Option<Arc<Node>>,
}

impl NodeInfo {
    /// A node that is not known yet but has pods, or will be known at once.
    pub(super) fn new(name: Arc<str>, slot: NodeSlot) -> NodeInfo {
        NodeInfo {
            name,
            slot,
            unschedulable: false,
            taints: Vec::new(),
            allocatable: Resources::default(),
            pods_max: 0,
            requested: Resources::default(),
            cpu_milli_nonzero: 0,
            memory_nonzero: 0,
            pods: Vec::new(),
            host_ports: Vec::new(),
            node: None,
        }
    }

    /// The node; `None` if it is known only from pods.
    pub fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.node.as_ref().and_then(|node| node.metadata.labels.as_ref()).unwrap_or(&NONE)
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().get(key).map(String::as_str)
    }

    /// Whether it has declared a feature.
    pub fn has_declared(&self, feature: &str) -> bool {
        let status = self.node.as_ref().and_then(|node| node.status.as_ref());
        let mut declared = status.and_then(|status| status.declared_features.as_ref()).into_iter().flatten();
        declared.any(|other| other == feature)
    }

    /// Whether it satisfies a pod's required terms.
    pub fn fulfils(&self, terms: &NodeTerms) -> bool {
        terms.match_node(&self.name, self.labels())
    }

    /// Whether it is one that a term means.
    pub fn is_meant_by(&self, term: &NodeSelectorTerm) -> bool {
        term.matches(&self.name, self.labels())
    }

    /// Whether tolerations cover all its taints that keep pods off.
    pub fn is_tolerated_by(&self, tolerations: &[Toleration]) -> bool {
        let mut taints = self.taints.iter().filter(|taint| taint.effect.forbids_scheduling());
        taints.all(|taint| Toleration::any_tolerates(tolerations, taint))
    }

    pub(super) fn set_node(&mut self, node: Option<Arc<Node>>) {
        let spec = node.as_ref().and_then(|node| node.spec.as_ref());
        self.unschedulable = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
        self.taints = node.as_ref().map(|node| semantics::taints(node)).unwrap_or_default();
        let status = node.as_ref().and_then(|node| node.status.as_ref());
        let allocatable = status.and_then(|status| status.allocatable.as_ref());
        self.allocatable = Resources::from_list(allocatable);
        let pods = allocatable.and_then(|list| list.get("pods"));
        self.pods_max = pods.and_then(|pods| object::Quantity::parse(&pods.0).ok()).map_or(0, |q| q.value());
        self.node = node;
    }

    /// Counts a pod as being on the node.
    pub(crate) fn add_pod(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.cpu_milli_nonzero = self.cpu_milli_nonzero.saturating_add(pod.cpu_milli_nonzero);
        self.memory_nonzero = self.memory_nonzero.saturating_add(pod.memory_nonzero);
        self.host_ports.extend_from_slice(&pod.host_ports);
        self.pods.push(pod);
        self.check_sums();
    }

    /// Counts a pod as gone from the node; returns it if it was there.
    pub(crate) fn remove_pod(&mut self, uid: &Uid) -> Option<Arc<PodInfo>> {
        let at = self.pods.iter().position(|pod| pod.uid == *uid)?;
        let pod = self.pods.swap_remove(at);
        if self.requested.is_saturated() {
            self.requested = self.sum();
        } else {
            self.requested.subtract(&pod.requests);
        }
        self.cpu_milli_nonzero = self.cpu_milli_nonzero.saturating_sub(pod.cpu_milli_nonzero);
        self.memory_nonzero = self.memory_nonzero.saturating_sub(pod.memory_nonzero);
        for port in &pod.host_ports {
            if let Some(at) = self.host_ports.iter().position(|used| used == port) {
                self.host_ports.swap_remove(at);
            }
        }
        self.check_sums();
        Some(pod)
    }

    /// The requests of its pods, summed again.
    fn sum(&self) -> Resources {
        let mut sum = Resources::default();
        self.pods.iter().for_each(|pod| sum.add(&pod.requests));
        sum
    }

    /// In builds for development: the sums are those of the pods.
    fn check_sums(&self) {
        if cfg!(debug_assertions) {
            assert!(self.requested.same_as(&self.sum()), "{}: what its pods request", self.name);
            let ports: usize = self.pods.iter().map(|pod| pod.host_ports.len()).sum();
            assert_eq!(self.host_ports.len(), ports, "{}: the ports of its pods", self.name);
        }
    }
}
