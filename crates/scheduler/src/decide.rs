//! One decision: which node a pod gets, or why it gets none.
//!
//! Filters are asked node by node until enough nodes are found; those are scored, and the best wins. In a large cluster
//! it is enough to look at a part of it, and each decision continues where the last one stopped, so that all nodes get
//! their turn.

use std::borrow::Cow;
use std::collections::BTreeMap;

use clock::Clock;

use crate::framework::{Candidate, Failure, Filters, PluginSet, Preemption, Profile, Rejection};
use crate::state::{NodeInfo, NodeSlot, PodInfo, Snapshot};

#[cfg(test)]
mod tests;

/// The minimum number of feasible nodes to search for.
const FEASIBLE_MIN: usize = 100;
/// This part of the nodes is looked for at least.
const FEASIBLE_PERCENT_MIN: usize = 5;

/// Why no node can take a pod.
#[derive(Debug)]
pub struct Unfit {
    /// The plugins that rejected it. Empty if there are no nodes.
    pub rejected_by: PluginSet,
    /// A message for people.
    pub message: String,
    /// Pods that are to make room.
    pub preemption: Option<Preemption>,
    /// The nodes on which pods could make room, of which `preemption` is the best.
    pub candidates: Box<[Candidate]>,
    /// Whether an earlier nomination of the pod is to be taken back.
    pub gives_up_nomination: bool,
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
    rejections: Vec<(NodeSlot, Rejection)>,
}

impl Decider {
    /// `percentage` of the nodes are enough to choose from; 0 lets the size of the cluster decide. `clock` breaks
    /// ties.
    pub fn new(clock: Clock, percentage: u32) -> Decider {
        let percentage = percentage.min(100) as usize;
        Decider {
            clock,
            percentage,
            next_start: 0,
            totals: Vec::new(),
            scores: Vec::new(),
            rejections: Vec::new(),
        }
    }

    /// Finds a node for a pod.
    pub fn decide(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &Snapshot,
    ) -> Result<NodeSlot, Unfit> {
        let filters = self.prepare(profile, pod, snapshot)?;
        if let Some(node) = nominated(pod, snapshot, &filters) {
            return Ok(node.slot);
        }
        let (feasible, diagnosis) = self.find_feasible(profile, snapshot, &filters);
        let chosen = match *feasible {
            [] => return Err(diagnosis.unfit(profile, pod, snapshot, &filters, self.clock.random_u64())),
            [only] => only.slot,
            _ => {
                self.score(profile, pod, snapshot, &feasible);
                self.select(&feasible)
            }
        };
        self.rejections = diagnosis.rejections;
        Ok(chosen)
    }

    /// The nodes that pass the filters; only the one for which the pod is nominated, if it does and `nominee` asks for it.
    /// The decision is continued by [`Decider::totals`] or [`Decider::give_up`].
    pub(crate) fn find(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &Snapshot,
        nominee: bool,
    ) -> Result<Found, Unfit> {
        let filters = self.prepare(profile, pod, snapshot)?;
        if let Some(node) = nominated(pod, snapshot, &filters).filter(|_| nominee) {
            return Ok(Found {
                feasible: vec![node.slot],
                is_nominee: true,
                diagnosis: Diagnosis::default(),
            });
        }
        let (feasible, diagnosis) = self.find_feasible(profile, snapshot, &filters);
        let feasible = feasible.into_iter().map(|node| node.slot).collect();
        Ok(Found { feasible, is_nominee: false, diagnosis })
    }

    /// The scores of nodes, in their order.
    pub(crate) fn totals(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &Snapshot,
        feasible: &[NodeSlot],
    ) -> Vec<i64> {
        let feasible: Vec<&NodeInfo> = feasible.iter().map(|slot| snapshot.node(*slot)).collect();
        self.score(profile, pod, snapshot, &feasible);
        self.totals.clone()
    }

    /// One of the best of some nodes, at random; there is at least one.
    pub(crate) fn choose(&mut self, feasible: &[NodeSlot], totals: Vec<i64>) -> NodeSlot {
        let best = totals.iter().copied().max();
        let best: Vec<NodeSlot> = feasible
            .iter()
            .zip(totals)
            .filter(|(_, total)| Some(*total) == best)
            .map(|(slot, _)| *slot)
            .collect();
        best[self.clock.random_below(best.len() as u64) as usize]
    }

    /// No node is left of those that were found.
    pub(crate) fn give_up(
        &mut self,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &Snapshot,
        found: Found,
    ) -> Unfit {
        let random = self.clock.random_u64();
        match self.prepare(profile, pod, snapshot) {
            Ok(filters) => found.diagnosis.unfit(profile, pod, snapshot, &filters, random),
            Err(unfit) => unfit,
        }
    }

    fn prepare<'a>(
        &mut self,
        profile: &'a Profile,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
    ) -> Result<Filters<'a>, Unfit> {
        if snapshot.is_empty() {
            return Err(Unfit {
                rejected_by: PluginSet::default(),
                message: "no nodes available to schedule pods".to_owned(),
                preemption: None,
                candidates: Box::default(),
                gives_up_nomination: true,
            });
        }
        profile.prepare(pod, snapshot).map_err(|(place, rejection)| {
            let message = format!("0/{} nodes are available: {}.", snapshot.len(), rejection.joined());
            let diagnosis = Diagnosis { rejected_by: PluginSet::of(place), ..Diagnosis::default() };
            diagnosis.finish(message, profile, pod, snapshot, None, self.clock.random_u64())
        })
    }

    fn find_feasible<'s>(
        &mut self,
        profile: &Profile,
        snapshot: &'s Snapshot,
        filters: &Filters<'_>,
    ) -> (Vec<&'s NodeInfo>, Diagnosis) {
        let mut rejections = std::mem::take(&mut self.rejections);
        rejections.clear();
        let mut diagnosis = Diagnosis { rejections, ..Diagnosis::default() };
        let nodes = filters.only().unwrap_or(snapshot.order());
        if filters.only().is_some() {
            diagnosis.absent = snapshot.len() - nodes.len();
        }
        let wanted = self.wanted(profile, nodes.len());
        let mut feasible = Vec::with_capacity(wanted);
        let mut checked = 0;
        while checked < nodes.len() && feasible.len() < wanted {
            let node = snapshot.node(nodes[(self.next_start + checked) % nodes.len()]);
            checked += 1;
            match filters.check(node) {
                Ok(()) => feasible.push(node),
                Err((place, rejection)) => diagnosis.add(place, node.slot, rejection),
            }
        }
        self.next_start = (self.next_start + checked) % snapshot.len();
        (feasible, diagnosis)
    }

    /// How many nodes are enough to choose from.
    fn wanted(&self, profile: &Profile, nodes: usize) -> usize {
        if nodes < FEASIBLE_MIN {
            return nodes;
        }
        let own = profile.percentage().map(|percentage| percentage.min(100) as usize);
        let percentage = match own.unwrap_or(self.percentage) {
            0 => 50_usize.saturating_sub(nodes / 125).max(FEASIBLE_PERCENT_MIN),
            set => set,
        };
        (nodes * percentage / 100).max(FEASIBLE_MIN)
    }

    /// Scores the nodes.
    fn score(&mut self, profile: &Profile, pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo]) {
        self.totals.clear();
        self.totals.resize(feasible.len(), 0);
        profile.run_score(pod, snapshot, feasible, &mut self.totals, &mut self.scores);
    }

    /// The best of the nodes that were scored; one of the best at random.
    fn select(&mut self, feasible: &[&NodeInfo]) -> NodeSlot {
        let best = self.totals.iter().copied().max().unwrap_or(0);
        let ties = self.totals.iter().filter(|total| **total == best).count();
        let chosen = self.clock.random_below(ties as u64) as usize;
        let mut best_nodes = feasible.iter().zip(&self.totals).filter(|(_, total)| **total == best);
        best_nodes.nth(chosen).map_or(feasible[0].slot, |(node, _)| node.slot)
    }
}

/// The nodes that pass the filters, and why the others do not. It holds while the snapshot does not change.
#[derive(Debug)]
pub(crate) struct Found {
    /// The nodes.
    pub(crate) feasible: Vec<NodeSlot>,
    /// Whether only the node was checked for which the pod is nominated.
    pub(crate) is_nominee: bool,
    diagnosis: Diagnosis,
}

impl Found {
    /// Takes nodes away that others than plugins reject: any event may help then.
    pub(crate) fn reject(&mut self, rejected: impl IntoIterator<Item = (NodeSlot, Option<Rejection>)>) {
        for (slot, rejection) in rejected {
            self.feasible.retain(|other| *other != slot);
            self.diagnosis.rejected_by_others = true;
            self.diagnosis.rejections.extend(rejection.map(|rejection| (slot, rejection)));
        }
    }
}

/// The node for which the pod is nominated, if it can run there now: its victims went for it.
fn nominated<'s>(pod: &PodInfo, snapshot: &'s Snapshot, filters: &Filters<'_>) -> Option<&'s NodeInfo> {
    let name = match snapshot.nominations().node_of(&pod.uid) {
        Some(name) => name,
        None => pod.nominated_node_name()?,
    };
    let node = snapshot.node_named(name)?;
    let in_question = filters.only().is_none_or(|only| only.contains(&node.slot));
    (in_question && filters.check(node).is_ok()).then_some(node)
}

/// The findings about the nodes that rejected the pod.
#[derive(Debug, Default)]
struct Diagnosis {
    rejected_by: PluginSet,
    rejections: Vec<(NodeSlot, Rejection)>,
    /// How many nodes were not checked, as plugins left only some to be checked.
    absent: usize,
    /// Whether others than plugins rejected nodes.
    rejected_by_others: bool,
}

impl Diagnosis {
    fn add(&mut self, place: usize, node: NodeSlot, rejection: Rejection) {
        self.rejected_by.insert(place);
        self.rejections.push((node, rejection));
    }

    fn unfit(
        mut self,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &Snapshot,
        filters: &Filters<'_>,
        random: u64,
    ) -> Unfit {
        let mut reasons: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
        for reason in self.rejections.iter().flat_map(|(_, rejection)| rejection.reasons()) {
            *reasons.entry(Cow::Borrowed(reason)).or_default() += 1;
        }
        if self.absent > 0 {
            let names = profile.names(filters.narrowed_by()).join(" ");
            reasons.insert(format!("node(s) didn't satisfy plugin(s) [{names}]").into(), self.absent);
        }
        self.rejected_by.extend(filters.narrowed_by());
        let message = explain(snapshot.len(), reasons);
        self.finish(message, profile, pod, snapshot, Some(filters), random)
    }

    fn finish(
        self,
        mut message: String,
        profile: &Profile,
        pod: &PodInfo,
        snapshot: &Snapshot,
        filters: Option<&Filters<'_>>,
        random: u64,
    ) -> Unfit {
        let failure = Failure { rejections: &self.rejections, filters, random };
        let (mut candidates, mut gives_up_nomination) = (Vec::new(), false);
        for result in profile.run_post_filter(pod, snapshot, &failure) {
            if let Some(sentence) = result.message {
                message.push(' ');
                message.push_str(&sentence);
            }
            gives_up_nomination |= result.gives_up_nomination;
            candidates.extend(result.candidates);
        }
        let preemption = Preemption::best(&candidates, pod, snapshot);
        let rejected_by = if self.rejected_by_others { PluginSet::default() } else { self.rejected_by };
        Unfit { rejected_by, message, preemption, candidates: candidates.into(), gives_up_nomination }
    }
}

/// The sentence that says how many nodes have which reason, in upstream's form.
pub fn explain<'r>(nodes: usize, reasons: impl IntoIterator<Item = (Cow<'r, str>, usize)>) -> String {
    let counted = reasons.into_iter().filter(|(_, count)| *count > 0);
    let mut counted: Vec<String> = counted.map(|(reason, count)| format!("{count} {reason}")).collect();
    counted.sort_unstable();
    format!("0/{nodes} nodes are available: {}.", counted.join(", "))
}
