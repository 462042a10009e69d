//! Pods that match queries.

use std::collections::HashMap;
use std::sync::Arc;

use semantics::{NodeTerms, Toleration};

use super::{BySlot, Moves, QUERIES_MAX, Topologies, change};
use crate::state::counts::Counts;
use crate::state::label_index::LabelIndex;
use crate::state::places::Places;
use crate::state::{Counted, Namespaces, NodeInfo, NodeSlot, PodInfo, PodQuery, Topology};

/// The maximum number of views kept for each query.
const VIEWS_MAX: usize = 16;

/// Which nodes take part in a count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFilter {
    /// Labels that a node must have.
    pub keys: Vec<Arc<str>>,
    /// Demands that a node must fulfil.
    pub terms: Option<NodeTerms>,
    /// Tolerations that must cover a node's taints.
    pub tolerations: Option<Vec<Toleration>>,
}

impl NodeFilter {
    /// Whether all nodes pass that have a value for the topology key.
    fn is_open(&self, key: &str) -> bool {
        self.keys.iter().all(|each| **each == *key)
            && self.terms.as_ref().is_none_or(NodeTerms::demands_nothing)
            && self.tolerations.is_none()
    }

    pub(crate) fn admits(&self, node: &NodeInfo) -> bool {
        node.node().is_some()
            && self.keys.iter().all(|key| node.label(key).is_some())
            && self.terms.as_ref().is_none_or(|terms| node.fulfils(terms))
            && self.tolerations.as_ref().is_none_or(|tolerations| node.is_tolerated_by(tolerations))
    }
}

/// The pods that queries mean, as far as they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Queried {
    tallies: Vec<Option<Tally>>,
    by_text: HashMap<Arc<str>, usize>,
    index: LabelIndex,
    /// Increases with each query, to find the least recently used tally.
    questions: u64,
}

#[derive(Debug)]
struct Tally {
    query: Arc<PodQuery>,
    by_slot: Arc<BySlot>,
    views: Vec<View>,
    last_used: u64,
}

/// A query counted by the domains of one topology.
#[derive(Debug)]
struct View {
    key: Arc<str>,
    filter: NodeFilter,
    counts: Arc<Counts>,
}

impl Queried {
    /// Counts the pods that a query means by the domains of a topology. Nodes are looked at only the first time.
    pub(crate) fn count(
        &mut self,
        query: &Arc<PodQuery>,
        topology: Arc<Topology>,
        key: &str,
        filter: &NodeFilter,
        cluster: &Cluster<'_>,
    ) -> Counted {
        let tally = self.tally(query, cluster);
        let same = |view: &View| *view.key == *key && view.filter == *filter;
        let counts = match tally.views.iter().find(|view| same(view)) {
            Some(view) => Arc::clone(&view.counts),
            None => tally.view(&topology, key, filter, cluster),
        };
        Counted { topology, counts }
    }

    /// Counts the pods that a query means by node, whatever the node.
    pub(crate) fn by_node(&mut self, query: &Arc<PodQuery>, cluster: &Cluster<'_>) -> Arc<BySlot> {
        Arc::clone(&self.tally(query, cluster).by_slot)
    }

    fn tally(&mut self, query: &Arc<PodQuery>, cluster: &Cluster<'_>) -> &mut Tally {
        self.questions += 1;
        let number = match self.by_text.get(query.text()) {
            Some(number) => *number,
            None => self.insert(query, cluster),
        };
        let tally = self.tallies[number].as_mut().expect("texts lead to tallies");
        tally.last_used = self.questions;
        tally
    }

    fn insert(&mut self, query: &Arc<PodQuery>, cluster: &Cluster<'_>) -> usize {
        if self.by_text.len() >= QUERIES_MAX {
            let used = self.tallies.iter().enumerate();
            let oldest = used.filter_map(|(at, tally)| Some((tally.as_ref()?.last_used, at))).min();
            oldest.into_iter().for_each(|(_, at)| self.forget(at));
        }
        let number = self.tallies.iter().position(Option::is_none).unwrap_or_else(|| {
            self.tallies.push(None);
            self.tallies.len() - 1
        });
        self.index.insert(query, number);
        self.by_text.insert(Arc::clone(query.text()), number);
        let by_slot = Arc::new(cluster.pods(query));
        let tally = Tally { query: Arc::clone(query), by_slot, views: Vec::new(), last_used: 0 };
        self.tallies[number] = Some(tally);
        number
    }

    fn forget(&mut self, number: usize) {
        if let Some(tally) = self.tallies[number].take() {
            self.index.remove(&tally.query, number);
            self.by_text.remove(tally.query.text());
        }
    }

    /// A pod is added to a node, or removed from it (`amount` is -1).
    pub(crate) fn pod_moved(
        &mut self,
        slot: NodeSlot,
        pod: &PodInfo,
        amount: i64,
        topologies: &Topologies,
        namespaces: &Namespaces,
    ) {
        for number in self.index.candidates(pod.key.namespace(), pod.labels()) {
            let Some(tally) = &mut self.tallies[number] else { continue };
            if pod.is_meant_by(&tally.query, namespaces) {
                change(Arc::make_mut(&mut tally.by_slot), slot, amount);
                for view in &mut tally.views {
                    if let Some(domain) = topologies.domain(&view.key, slot)
                        && view.counts.takes_part(slot)
                    {
                        Arc::make_mut(&mut view.counts).add(domain, amount);
                    }
                }
            }
        }
    }

    /// The labels or taints of a node changed, or it came or is gone.
    pub(crate) fn node_moved(&mut self, node: &NodeInfo, moves: &Moves) {
        for tally in self.tallies.iter_mut().flatten() {
            let amount = tally.by_slot.get(&node.slot).copied().unwrap_or(0);
            for view in &mut tally.views {
                let Some(moved) = moves.0.get(&view.key) else { continue };
                let takes_part = view.filter.admits(node);
                if moved.from == moved.to && view.counts.takes_part(node.slot) == takes_part {
                    continue;
                }
                let counts = Arc::make_mut(&mut view.counts);
                if let Some(from) = moved.from.filter(|_| counts.takes_part(node.slot)) {
                    counts.move_node(from, -1, -amount);
                }
                counts.set_takes_part(node.slot, takes_part);
                if let Some(to) = moved.to.filter(|_| counts.takes_part(node.slot)) {
                    counts.move_node(to, 1, amount);
                }
            }
        }
    }

    /// The labels of a namespace changed.
    pub(crate) fn namespace_changed(&mut self) {
        for number in 0..self.tallies.len() {
            if self.tallies[number].as_ref().is_some_and(|tally| tally.query.reads_namespaces()) {
                self.forget(number);
            }
        }
    }

    /// Whether anything is counted by this topology.
    pub(crate) fn counts_by(&self, key: &str) -> bool {
        self.tallies.iter().flatten().any(|tally| tally.views.iter().any(|view| *view.key == *key))
    }

    /// The counts by node, for comparison with a recount.
    #[cfg(test)]
    pub(crate) fn known_by_node(&self) -> impl Iterator<Item = (&Arc<PodQuery>, &Arc<BySlot>)> {
        self.tallies.iter().flatten().map(|tally| (&tally.query, &tally.by_slot))
    }

    /// The counts, for comparison with a recount.
    #[cfg(test)]
    pub(crate) fn known(&self) -> impl Iterator<Item = (&Arc<PodQuery>, &str, &NodeFilter, &Arc<Counts>)> {
        self.tallies.iter().flatten().flat_map(move |tally| {
            tally.views.iter().map(move |view| (&tally.query, &*view.key, &view.filter, &view.counts))
        })
    }
}

impl Tally {
    fn view(
        &mut self,
        topology: &Topology,
        key: &str,
        filter: &NodeFilter,
        cluster: &Cluster<'_>,
    ) -> Arc<Counts> {
        let counts = match filter.is_open(key) {
            true => self.of_all(topology),
            false => self.of_some(topology, filter, cluster),
        };
        if self.views.len() >= VIEWS_MAX {
            self.views.remove(0);
        }
        let counts = Arc::new(counts);
        self.views.push(View { key: key.into(), filter: filter.clone(), counts: Arc::clone(&counts) });
        counts
    }

    /// The counts of all nodes. Only those with pods are looked at.
    fn of_all(&self, topology: &Topology) -> Counts {
        let mut counts = Counts::of_all(topology);
        for (slot, amount) in &*self.by_slot {
            topology.domain(*slot).into_iter().for_each(|domain| counts.add(domain, *amount));
        }
        counts
    }

    fn of_some(&self, topology: &Topology, filter: &NodeFilter, cluster: &Cluster<'_>) -> Counts {
        let mut counts = Counts::of_some();
        for node in cluster.nodes() {
            counts.set_takes_part(node.slot, filter.admits(node));
            if let Some(domain) = topology.domain(node.slot).filter(|_| counts.takes_part(node.slot)) {
                counts.move_node(domain, 1, self.by_slot.get(&node.slot).copied().unwrap_or(0));
            }
        }
        counts
    }
}

/// The cluster, in which pods are counted.
pub(crate) struct Cluster<'a> {
    pub(crate) slots: &'a [Option<NodeInfo>],
    pub(crate) places: &'a Places,
    pub(crate) namespaces: &'a Namespaces,
}

impl Cluster<'_> {
    fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.slots.iter().flatten()
    }

    /// The pods that a query means, by node.
    fn pods(&self, query: &PodQuery) -> BySlot {
        let mut by_slot = BySlot::default();
        let mut count = |node: &NodeInfo| {
            let meant = node.pods.iter().filter(|pod| pod.is_meant_by(query, self.namespaces)).count();
            if meant > 0 {
                by_slot.insert(node.slot, meant as i64);
            }
        };
        match self.places.of(query) {
            Some(places) => {
                let nodes = places.iter().filter_map(|slot| self.slots[slot.index()].as_ref());
                nodes.for_each(count);
            }
            None => self.nodes().for_each(&mut count),
        }
        by_slot
    }
}
