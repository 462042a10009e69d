//! Pods that have terms about other pods.

use std::collections::HashMap;
use std::sync::Arc;

use super::{BySlot, Moves, Topologies, change};
use crate::state::counts::Counts;
use crate::state::label_index::LabelIndex;
use crate::state::{AffinityTerm, Namespaces, NodeInfo, NodeSlot, PodInfo};

/// Terms of pods, with their weight in each domain.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    tallies: Vec<Option<Tally>>,
    by_id: HashMap<Arc<str>, usize>,
    index: LabelIndex,
}

#[derive(Debug)]
struct Tally {
    term: AffinityTerm,
    /// How often pods carry it.
    carriers: usize,
    by_slot: BySlot,
    counts: Arc<Counts>,
}

impl Carried {
    /// A pod with a term is added to a node, or removed from it. `weight` is that of the term, the same both times.
    pub(crate) fn term_moved<'n>(
        &mut self,
        slot: NodeSlot,
        term: &AffinityTerm,
        weight: i64,
        comes: bool,
        topologies: &mut Topologies,
        nodes: impl Iterator<Item = &'n NodeInfo>,
    ) {
        let topology = topologies.get(&term.topology_key, nodes);
        let number = match self.by_id.get(&*term.id) {
            Some(number) => *number,
            None => self.insert(term, &topology),
        };
        let tally = self.tallies[number].as_mut().expect("ids lead to tallies");
        let amount = if comes { weight } else { -weight };
        tally.carriers = if comes { tally.carriers + 1 } else { tally.carriers - 1 };
        change(&mut tally.by_slot, slot, amount);
        if let Some(domain) = topology.domain(slot) {
            Arc::make_mut(&mut tally.counts).add(domain, amount);
        }
        if tally.carriers == 0 {
            debug_assert!(tally.by_slot.is_empty(), "what nobody carries weighs nothing");
            self.index.remove(&term.query, number);
            self.by_id.remove(&*term.id);
            self.tallies[number] = None;
        }
    }

    fn insert(&mut self, term: &AffinityTerm, topology: &crate::state::Topology) -> usize {
        let number = self.tallies.iter().position(Option::is_none).unwrap_or_else(|| {
            self.tallies.push(None);
            self.tallies.len() - 1
        });
        self.index.insert(&term.query, number);
        self.by_id.insert(Arc::clone(&term.id), number);
        let counts = Arc::new(Counts::of_all(topology));
        let tally = Tally { term: term.clone(), carriers: 0, by_slot: BySlot::default(), counts };
        self.tallies[number] = Some(tally);
        number
    }

    /// The terms that match a pod, with their weight in each domain.
    pub(crate) fn meaning(
        &self,
        pod: &PodInfo,
        namespaces: &Namespaces,
    ) -> impl Iterator<Item = (&AffinityTerm, &Arc<Counts>)> {
        let candidates = self.index.candidates(pod.key.namespace(), pod.labels()).into_iter();
        let tallies = candidates.filter_map(|number| self.tallies[number].as_ref());
        tallies
            .filter(move |tally| pod.is_meant_by(&tally.term.query, namespaces))
            .map(|tally| (&tally.term, &tally.counts))
    }

    /// The labels of a node changed, or it came or is gone.
    pub(crate) fn node_moved(&mut self, node: &NodeInfo, moves: &Moves) {
        for tally in self.tallies.iter_mut().flatten() {
            let Some(moved) = moves.0.get(&*tally.term.topology_key) else { continue };
            if moved.from == moved.to {
                continue;
            }
            let amount = tally.by_slot.get(&node.slot).copied().unwrap_or(0);
            let counts = Arc::make_mut(&mut tally.counts);
            moved.from.into_iter().for_each(|from| counts.move_node(from, -1, -amount));
            moved.to.into_iter().for_each(|to| counts.move_node(to, 1, amount));
        }
    }

    /// Whether anything is counted by this topology.
    pub(crate) fn counts_by(&self, key: &str) -> bool {
        self.tallies.iter().flatten().any(|tally| *tally.term.topology_key == *key)
    }

    /// The counts, for comparison with a recount.
    #[cfg(test)]
    pub(crate) fn known(&self) -> impl Iterator<Item = (&AffinityTerm, &Arc<Counts>)> {
        self.tallies.iter().flatten().map(|tally| (&tally.term, &tally.counts))
    }
}
