//! One decision: which node a pod gets, or why none.
//!
//! Filters are asked node by node until enough nodes are found; those are scored, and the best wins. In a large
//! cluster it is enough to look at a part of it, and each decision goes on where the last one stopped, so that
//! all nodes get their turn.

use std::borrow::Cow;
use std::collections::BTreeMap;

use clock::Clock;

use crate::framework::{CheckNode, PluginSet, PreFiltered, Profile, Rejection};
use crate::state::{NodeInfo, NodeSlot, PodInfo, Snapshot};

#[cfg(test)]
mod tests;

/// So many nodes are looked for at least.
const FEASIBLE_MIN: usize = 100;
/// This part of the nodes is looked for at least.
const FEASIBLE_PERCENT_MIN: usize = 5;

/// Why no node can take a pod.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Who said so. Nobody if there are no nodes.
    pub rejected_by: PluginSet,
    /// For people.
    pub message: String,
}

/// Makes decisions. It remembers where the last one stopped.
#[derive(Debug)]
pub struct Decider {
    clock: Clock,
    percentage: usize,
    next_start: usize,
    /// Memory that decisions use again.
    totals: Vec<i64>,
    scores: Vec<i64>,
}

impl Decider {
    /// `percentage` of the nodes are enough to choose from; 0 lets the size of the cluster decide. `clock` breaks
    /// ties.
    pub fn new(clock: Clock, percentage: u32) -> Decider {
        let percentage = percentage.min(100) as usize;
        Decider { clock, percentage, next_start: 0, totals: Vec::new(), scores: Vec::new() }
    }

    /// Finds a node for a pod.
    pub fn decide(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &Snapshot,
    ) -> Result<NodeSlot, Unfit> {
        if snapshot.is_empty() {
            let message = "no nodes available to schedule pods".to_owned();
            return Err(Unfit { rejected_by: PluginSet::default(), message });
        }
        let (feasible, diagnosis) = self.find_feasible(profile, pod, snapshot)?;
        match *feasible {
            [] => Err(diagnosis.unfit(profile, pod, snapshot)),
            [only] => Ok(only.slot),
            _ => Ok(self.select(profile, pod, snapshot, &feasible)),
        }
    }

    fn find_feasible<'s>(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &'s Snapshot,
    ) -> Result<(Vec<&'s NodeInfo>, Diagnosis), Unfit> {
        let mut diagnosis = Diagnosis::default();
        let mut checks: Vec<(usize, CheckNode<'_>)> = Vec::new();
        let mut only: Option<Vec<NodeSlot>> = None;
        for (place, filter) in profile.pre_filter(pod, snapshot) {
            match filter {
                PreFiltered::Skip => {}
                PreFiltered::Check(check, nodes) => {
                    checks.push((place, check));
                    if let Some(mut nodes) = nodes {
                        nodes.retain(|slot| only.as_ref().is_none_or(|only| only.contains(slot)));
                        only = Some(nodes);
                        diagnosis.narrowed_by.insert(place);
                    }
                }
                PreFiltered::Reject(rejection) => {
                    let mut message = format!("0/{} nodes are available:", snapshot.len());
                    message = format!("{message} {}.", rejection.reasons.join(", "));
                    diagnosis.rejected_by.insert(place);
                    return Err(diagnosis.finish(message, profile, pod, snapshot));
                }
            }
        }
        let nodes = only.as_deref().unwrap_or(snapshot.order());
        if only.is_some() {
            diagnosis.absent = snapshot.len() - nodes.len();
        }
        let wanted = self.wanted(nodes.len());
        let mut feasible = Vec::with_capacity(wanted);
        let mut checked = 0;
        while checked < nodes.len() && feasible.len() < wanted {
            let node = snapshot.node(nodes[(self.next_start + checked) % nodes.len()]);
            checked += 1;
            match checks.iter().find_map(|(place, check)| Some((*place, check(node).err()?))) {
                None => feasible.push(node),
                Some((place, rejection)) => diagnosis.add(place, node.slot, rejection),
            }
        }
        self.next_start = (self.next_start + checked) % snapshot.len();
        Ok((feasible, diagnosis))
    }

    /// How many nodes are enough to choose from.
    fn wanted(&self, nodes: usize) -> usize {
        if nodes < FEASIBLE_MIN {
            return nodes;
        }
        let percentage = match self.percentage {
            0 => 50_usize.saturating_sub(nodes / 125).max(FEASIBLE_PERCENT_MIN),
            set => set,
        };
        (nodes * percentage / 100).max(FEASIBLE_MIN)
    }

    /// The best of the nodes; one of the best at random.
    fn select(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &Snapshot,
        feasible: &[&NodeInfo],
    ) -> NodeSlot {
        self.totals.clear();
        self.totals.resize(feasible.len(), 0);
        profile.run_score(pod, snapshot, feasible, &mut self.totals, &mut self.scores);
        let best = self.totals.iter().copied().max().unwrap_or(0);
        let ties = self.totals.iter().filter(|total| **total == best).count();
        let chosen = self.clock.random_below(ties as u64) as usize;
        let mut best_nodes = feasible.iter().zip(&self.totals).filter(|(_, total)| **total == best);
        best_nodes.nth(chosen).map_or(feasible[0].slot, |(node, _)| node.slot)
    }
}

/// What was learned about the nodes that cannot take the pod.
#[derive(Debug, Default)]
struct Diagnosis {
    rejected_by: PluginSet,
    rejections: Vec<(NodeSlot, Rejection)>,
    /// The plugins that left only some nodes to be checked.
    narrowed_by: PluginSet,
    /// How many nodes were not checked therefore.
    absent: usize,
}

impl Diagnosis {
    fn add(&mut self, place: usize, node: NodeSlot, rejection: Rejection) {
        self.rejected_by.insert(place);
        self.rejections.push((node, rejection));
    }

    fn unfit(mut self, profile: &Profile, pod: &PodInfo, snapshot: &Snapshot) -> Unfit {
        let mut reasons: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
        for reason in self.rejections.iter().flat_map(|(_, rejection)| &rejection.reasons) {
            *reasons.entry(Cow::Borrowed(reason)).or_default() += 1;
        }
        if self.absent > 0 {
            let names = profile.names(self.narrowed_by).join(" ");
            reasons.insert(format!("node(s) didn't satisfy plugin(s) [{names}]").into(), self.absent);
        }
        self.rejected_by.extend(self.narrowed_by);
        let message = explain(snapshot.len(), reasons);
        self.finish(message, profile, pod, snapshot)
    }

    fn finish(self, mut message: String, profile: &Profile, pod: &PodInfo, snapshot: &Snapshot) -> Unfit {
        for sentence in profile.run_post_filter(pod, snapshot, &self.rejections) {
            message.push(' ');
            message.push_str(&sentence);
        }
        Unfit { rejected_by: self.rejected_by, message }
    }
}

/// The sentence that tells how many nodes have which reason, in upstream's form.
pub fn explain<'r>(nodes: usize, reasons: impl IntoIterator<Item = (Cow<'r, str>, usize)>) -> String {
    let counted = reasons.into_iter().filter(|(_, count)| *count > 0);
    let mut counted: Vec<String> = counted.map(|(reason, count)| format!("{count} {reason}")).collect();
    counted.sort_unstable();
    format!("0/{nodes} nodes are available: {}.", counted.join(", "))
}
