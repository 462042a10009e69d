//! The domains formed by the values of a node label.

use std::collections::HashMap;
use std::sync::Arc;

use super::{NodeInfo, NodeSlot};

/// The key of the topology in which every node is a separate domain, whatever its labels.
pub const EACH_NODE: &str = "";

/// The domains that the values of one node label make. Nodes without the label are in none. Numbers of domains
/// that are gone are given to new ones.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    key: String,
    by_slot: Vec<Option<u32>>,
    by_value: HashMap<Arc<str>, u32>,
    /// The value of each domain and the number of its nodes; `None` while the number is free.
    domains: Vec<Option<(Arc<str>, usize)>>,
    free: Vec<u32>,
}

impl Topology {
    pub(super) fn new<'n>(key: &str, nodes: impl Iterator<Item = &'n NodeInfo>) -> Topology {
        let mut topology = Topology { key: key.to_owned(), ..Topology::default() };
        for node in nodes {
            topology.set_node(node);
        }
        topology
    }

    /// The domain of a node.
    pub fn domain(&self, slot: NodeSlot) -> Option<usize> {
        self.by_slot.get(slot.index()).copied().flatten().map(|domain| domain as usize)
    }

    /// How many domains there are.
    pub fn count(&self) -> usize {
        self.by_value.len()
    }

    /// One more than the greatest number of a domain.
    pub fn bound(&self) -> usize {
        self.domains.len()
    }

    /// The number of nodes of each domain.
    pub(super) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.domains.iter().map(|domain| domain.as_ref().map_or(0, |(_, nodes)| *nodes))
    }

    /// The value of the label that makes a domain.
    pub fn value(&self, domain: usize) -> Option<&str> {
        self.domains.get(domain)?.as_ref().map(|(value, _)| &**value)
    }

    /// Takes a node's labels in, or that it is gone. Returns the domain that it was in.
    pub(super) fn set_node(&mut self, node: &NodeInfo) -> Option<usize> {
        let value = match node.node() {
            Some(_) if self.key == EACH_NODE => Some(&*node.name),
            Some(_) => node.label(&self.key),
            None => None,
        };
        let index = node.slot.index();
        if self.by_slot.len() <= index {
            self.by_slot.resize(index + 1, None);
        }
        let old = self.by_slot[index].map(|domain| domain as usize);
        if old.and_then(|old| self.value(old)) != value {
            if let Some(old) = old {
                self.leave(old);
            }
            self.by_slot[index] = value.map(|value| self.enter(value));
        }
        old
    }

    fn enter(&mut self, value: &str) -> u32 {
        if let Some(domain) = self.by_value.get(value) {
            if let Some((_, nodes)) = &mut self.domains[*domain as usize] {
                *nodes += 1;
            }
            return *domain;
        }
        let value: Arc<str> = value.into();
        let domain = self.free.pop().unwrap_or_else(|| {
            self.domains.push(None);
            u32::try_from(self.domains.len() - 1).expect("there are far fewer domains")
        });
        self.domains[domain as usize] = Some((Arc::clone(&value), 1));
        self.by_value.insert(value, domain);
        domain
    }

    fn leave(&mut self, domain: usize) {
        let Some((_, nodes)) = &mut self.domains[domain] else { return };
        *nodes -= 1;
        if *nodes == 0
            && let Some((value, _)) = self.domains[domain].take()
        {
            self.by_value.remove(&value);
            self.free.push(domain as u32);
        }
    }
}
