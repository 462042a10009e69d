//! Counts of pods that match queries and terms, kept up to date as pods come and go.
//!
//! A decision about spread or affinity needs the number of pods that match a query in each domain of a topology.
//! Counting them each time would mean scanning all pods of the cluster for each decision. So counts are kept: each pod
//! that is added or removed changes the counts of the queries that match it (found by its labels), and a node whose
//! labels or taints change moves its counts. The work of a decision no longer grows with the number of pods.
//!
//! | counts | used by | kept |
//! | --- | --- | --- |
//! | [`Queried`]: pods that match a query | spread constraints and affinity of the pod to be placed | while in use, up to [`QUERIES_MAX`] |
//! | [`Carried`]: pods that have a term | every pod to be placed that matches the term | while a pod has it |

use std::collections::HashMap;
use std::sync::Arc;

use super::numbers::NumberMap;
use super::{NodeInfo, NodeSlot, Topology};

mod carried;
mod queried;
#[cfg(test)]
mod tests;

pub(super) use carried::Carried;
pub use queried::NodeFilter;
pub(super) use queried::{Cluster, Queried};

/// The maximum number of queries kept. The least recently used one is evicted.
const QUERIES_MAX: usize = 1024;

/// Amounts by node. Most queries mean few pods, so nodes without any take no room.
pub(super) type BySlot = NumberMap<NodeSlot, i64>;

fn change(by_slot: &mut BySlot, slot: NodeSlot, amount: i64) {
    let entry = by_slot.entry(slot).or_default();
    *entry += amount;
    if *entry == 0 {
        by_slot.remove(&slot);
    }
}

/// The maximum number of unused topologies kept: users can name any number of keys.
const TOPOLOGIES_MIN: usize = 64;

/// The topologies that counts use.
#[derive(Debug, Default)]
pub(super) struct Topologies {
    by_key: HashMap<Arc<str>, Arc<Topology>>,
    /// How many were in use when last looked at.
    used: usize,
}

impl Topologies {
    /// The topology of a key, made from the nodes if it is new.
    pub(super) fn get<'n>(&mut self, key: &str, nodes: impl Iterator<Item = &'n NodeInfo>) -> Arc<Topology> {
        if let Some(topology) = self.by_key.get(key) {
            return Arc::clone(topology);
        }
        let topology = Arc::new(Topology::new(key, nodes));
        self.by_key.insert(key.into(), Arc::clone(&topology));
        topology
    }

    /// The domain of a node in the topology of a key; `None` if it is in none, or nothing counts by the key.
    fn domain(&self, key: &str, slot: NodeSlot) -> Option<usize> {
        self.by_key.get(key)?.domain(slot)
    }

    /// Records a node's change. Returns how each topology changed for it.
    pub(super) fn set_node(&mut self, node: &NodeInfo) -> Moves {
        let moves = self.by_key.iter_mut().map(|(key, topology)| {
            let topology = Arc::make_mut(topology);
            let from = topology.set_node(node);
            (Arc::clone(key), Move { from, to: topology.domain(node.slot) })
        });
        Moves(moves.collect())
    }

    /// Whether it is time to look which are in use.
    pub(super) fn are_many(&self) -> bool {
        self.by_key.len() > TOPOLOGIES_MIN + 2 * self.used
    }

    /// Forgets the topologies that nothing counts by.
    pub(super) fn retain(&mut self, in_use: impl Fn(&str) -> bool) {
        self.by_key.retain(|key, _| in_use(key));
        self.used = self.by_key.len();
    }
}

/// How a node moves between the domains, by topology key.
#[derive(Debug)]
pub(super) struct Moves(HashMap<Arc<str>, Move>);

#[derive(Clone, Copy, Debug)]
struct Move {
    from: Option<usize>,
    to: Option<usize>,
}
