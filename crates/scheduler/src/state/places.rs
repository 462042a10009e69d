//! The nodes on which pods with a label run.
//!
//! A query is counted when it is first used, and again after it was evicted. The nodes to look at are those on which the
//! rarest of the labels runs that the query needs, however many pods there are elsewhere.

use super::numbers::{LabelKey, NumberMap};
use super::{NodeSlot, PodInfo, PodQuery};

/// How many pods with each label run on which nodes; for each label in the order of the slots.
#[derive(Debug, Default)]
pub(super) struct Places(NumberMap<LabelKey, Vec<(NodeSlot, u32)>>);

impl Places {
    /// A pod is added to a node, or removed from it.
    pub(super) fn pod_moved(&mut self, slot: NodeSlot, pod: &PodInfo, comes: bool) {
        for (key, value) in pod.labels().iter() {
            let key = LabelKey::new(Some(pod.key.namespace()), key, value);
            let nodes = self.0.entry(key).or_default();
            match (nodes.binary_search_by_key(&slot, |(slot, _)| *slot), comes) {
                (Ok(at), true) => nodes[at].1 += 1,
                (Ok(at), false) => {
                    nodes[at].1 -= 1;
                    if nodes[at].1 == 0 {
                        nodes.remove(at);
                    }
                }
                (Err(at), true) => nodes.insert(at, (slot, 1)),
                (Err(_), false) => debug_assert!(false, "pods leave where they came"),
            }
            if nodes.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    /// Nodes among which are all those with pods that a query means, each once; `None` if it may be any.
    pub(super) fn of(&self, query: &PodQuery) -> Option<Vec<NodeSlot>> {
        let nodes = |key: &LabelKey| self.0.get(key).map(Vec::as_slice).unwrap_or_default();
        let known = query.needed_labels().filter(|needed| !needed.anywhere);
        let rarest =
            known.min_by_key(|needed| needed.keys.iter().map(|key| nodes(key).len()).sum::<usize>())?;
        let mut slots: Vec<NodeSlot> = rarest.keys.iter().flat_map(nodes).map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        Some(slots)
    }

    /// Whether no pod is anywhere.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
