//! The number of pods in each domain of a topology.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{NodeInfo, NodeSlot, Topology};

/// Amounts by domain, kept up to date as pods and nodes come and go. Only participating nodes count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    domains: Vec<Domain>,
    /// How many domains have which amount: the least is found without a search.
    levels: BTreeMap<i64, usize>,
    /// The nodes that take part, by slot; `None` if all do.
    taking_part: Option<Vec<bool>>,
    /// How many domains have an amount other than 0.
    occupied: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Domain {
    amount: i64,
    /// Its nodes that take part.
    nodes: usize,
}

impl Counts {
    /// Nothing yet: the nodes that take part are to be added, with their amounts.
    pub(super) fn of_some() -> Counts {
        Counts { taking_part: Some(Vec::new()), ..Counts::default() }
    }

    /// No amounts yet; all nodes of a topology take part.
    pub(super) fn of_all(topology: &Topology) -> Counts {
        let domains: Vec<Domain> = topology.sizes().map(|nodes| Domain { amount: 0, nodes }).collect();
        let occupied = domains.iter().filter(|domain| domain.nodes > 0).count();
        let levels = (occupied > 0).then_some((0, occupied)).into_iter().collect();
        Counts { domains, levels, ..Counts::default() }
    }

    pub(super) fn takes_part(&self, slot: NodeSlot) -> bool {
        let Some(flags) = &self.taking_part else { return true };
        flags.get(slot.index()).copied().unwrap_or(false)
    }

    /// Records whether a node participates, before it is added or after it was removed.
    pub(super) fn set_takes_part(&mut self, slot: NodeSlot, takes_part: bool) {
        let Some(flags) = &mut self.taking_part else { return };
        if flags.len() <= slot.index() {
            flags.resize(slot.index() + 1, false);
        }
        flags[slot.index()] = takes_part;
    }

    /// A node joins a domain, or leaves it (`nodes` is -1), with its amount.
    pub(super) fn move_node(&mut self, domain: usize, nodes: isize, amount: i64) {
        self.change(domain, |entry| {
            entry.nodes = entry.nodes.checked_add_signed(nodes).expect("nodes leave where they came");
            entry.amount += amount;
        });
    }

    pub(super) fn add(&mut self, domain: usize, amount: i64) {
        self.change(domain, |entry| entry.amount += amount);
    }

    fn change(&mut self, domain: usize, change: impl FnOnce(&mut Domain)) {
        if self.domains.len() <= domain {
            self.domains.resize(domain + 1, Domain::default());
        }
        let entry = &mut self.domains[domain];
        let old = *entry;
        change(entry);
        let new = *entry;
        if old.nodes > 0
            && let Some(count) = self.levels.get_mut(&old.amount)
        {
            *count -= 1;
            if *count == 0 {
                self.levels.remove(&old.amount);
            }
        }
        if new.nodes > 0 {
            *self.levels.entry(new.amount).or_default() += 1;
        }
        self.occupied += usize::from(new.amount != 0);
        self.occupied -= usize::from(old.amount != 0);
    }

    fn amount(&self, domain: usize) -> i64 {
        self.domains.get(domain).map_or(0, |entry| entry.amount)
    }
}

/// Amounts by domain as one decision sees them, from which others can be supposed.
#[derive(Clone, Debug)]
pub struct Counted {
    pub(super) topology: Arc<Topology>,
    pub(super) counts: Arc<Counts>,
}

impl Counted {
    /// The amount of a node's domain; `None` if it is in none.
    pub fn at(&self, node: &NodeInfo) -> Option<i64> {
        Some(self.counts.amount(self.topology.domain(node.slot)?))
    }

    /// The amount of a domain of its topology.
    pub fn of(&self, domain: usize) -> i64 {
        self.counts.amount(domain)
    }

    /// Whether no domain has an amount.
    pub fn is_empty(&self) -> bool {
        self.counts.occupied == 0
    }

    /// The number of domains with nodes that take part.
    pub fn domains(&self) -> usize {
        self.counts.levels.values().sum()
    }

    /// The lowest count of a domain with participating nodes; `None` if there is none.
    pub fn least(&self) -> Option<i64> {
        self.counts.levels.keys().next().copied()
    }

    /// Assumes a higher (or lower) count on a node, if it participates and is in a domain.
    pub fn suppose(&mut self, node: &NodeInfo, amount: i64) {
        if let Some(domain) = self.topology.domain(node.slot)
            && self.counts.takes_part(node.slot)
        {
            Arc::make_mut(&mut self.counts).add(domain, amount);
        }
    }

    /// The amounts other than 0 by the value of the label, for comparisons.
    pub fn by_value(&self) -> BTreeMap<&str, i64> {
        let amounts = self.counts.domains.iter().enumerate().filter(|(_, entry)| entry.amount != 0);
        amounts.filter_map(|(domain, entry)| Some((self.topology.value(domain)?, entry.amount))).collect()
    }
}
