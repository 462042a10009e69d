//! The extension point after a decision that found no node.

use std::cmp::Reverse;
use std::sync::Arc;

use super::Plugin;
use super::deciding::Rejection;
use super::filters::Filters;
use crate::state::{NodeSlot, PodInfo, Snapshot};

/// Has the last word when no node is left.
pub trait PostFilter: Plugin {
    /// Decides what can be done for the pod. It has no effects itself: the result is carried out elsewhere.
    fn post_filter(&self, pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> PostFiltered;
}

/// The known facts about a decision that found no node.
#[derive(Clone, Copy)]
pub struct Failure<'a> {
    /// The nodes that were checked, with their rejections; all others are out of the question.
    pub rejections: &'a [(NodeSlot, Rejection)],
    /// The filters, to try what would be if pods were gone. `None` if one of them ruled out all nodes at once.
    pub filters: Option<&'a Filters<'a>>,
    /// A random number.
    pub random: u64,
}

/// The remedy for a pod for which no node fits.
#[derive(Clone, Debug, Default)]
pub struct PostFiltered {
    /// The nodes on which pods could make room; the best is taken.
    pub candidates: Vec<Candidate>,
    /// Whether an earlier nomination of the pod is to be taken back.
    pub gives_up_nomination: bool,
    /// A sentence for people that follows the reasons.
    pub message: Option<String>,
}

/// A node that would be suitable if some pods were gone.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its name.
    pub node: Arc<str>,
    /// The pods that would have to go, the most important first; at least one.
    pub victims: Vec<Arc<PodInfo>>,
    /// How many evictions would violate a PodDisruptionBudget.
    pub violations: usize,
}

impl Candidate {
    /// The less the better, from the first on: violated budgets, the highest priority, all priorities together, the
    /// number of victims, and how long those of the highest priority have run.
    fn cost(&self) -> (usize, i32, i64, usize, Reverse<i64>) {
        let highest = self.victims.first().map_or(i32::MIN, |victim| victim.priority);
        // Raised above 0, so that many victims of low priority do not count less than few.
        let raised = |priority: i32| i64::from(priority) + i64::from(i32::MAX) + 1;
        let sum = self.victims.iter().map(|victim| raised(victim.priority)).sum();
        let important = self.victims.iter().filter(|victim| victim.priority == highest);
        let earliest = important.map(|victim| start(victim)).min().unwrap_or(i64::MAX);
        (self.violations, highest, sum, self.victims.len(), Reverse(earliest))
    }

    /// Puts the most important victims first: by priority, then by age.
    pub fn sort(victims: &mut [Arc<PodInfo>]) {
        victims.sort_by_key(|pod| (Reverse(pod.priority), start(pod)));
    }
}

/// When a pod started, in seconds; one that did not start yet counts as the youngest.
fn start(pod: &PodInfo) -> i64 {
    pod.start_seconds().unwrap_or(i64::MAX)
}

/// Pods that are to make room.
#[derive(Clone, Debug)]
pub struct Preemption {
    /// The node for which the pod is nominated.
    pub nominated: Arc<str>,
    /// The pods to preempt, the most important first.
    pub victims: Vec<Arc<PodInfo>>,
    /// Pods of lower priority that are nominated for the same node: they have to look for another.
    pub displaced: Vec<Arc<PodInfo>>,
}

impl Preemption {
    /// The best of the candidates for a pod; `None` if there is none.
    pub fn best(candidates: &[Candidate], pod: &PodInfo, snapshot: &Snapshot) -> Option<Preemption> {
        let best = candidates.iter().min_by_key(|candidate| candidate.cost())?;
        let nominated = snapshot.nominations().on(&best.node).iter();
        let displaced = nominated.filter(|other| other.priority < pod.priority).cloned().collect();
        let (nominated, victims) = (Arc::clone(&best.node), best.victims.clone());
        Some(Preemption { nominated, victims, displaced })
    }
}

impl PartialEq for Preemption {
    fn eq(&self, other: &Preemption) -> bool {
        let uids = |pods: &[Arc<PodInfo>]| pods.iter().map(|pod| pod.uid.clone()).collect::<Vec<_>>();
        self.nominated == other.nominated
            && uids(&self.victims) == uids(&other.victims)
            && uids(&self.displaced) == uids(&other.displaced)
    }
}

impl Eq for Preemption {}
