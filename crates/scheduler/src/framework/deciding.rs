//! The extension points of a decision.

use std::borrow::Cow;

use super::Plugin;
use crate::state::{NodeInfo, NodeSlot, PodInfo, Snapshot};

/// Decides whether a pod may be tried at all.
pub trait PreEnqueue: Plugin {
    /// The error says what the pod is waiting for.
    fn pre_enqueue(&self, pod: &PodInfo) -> Result<(), String>;
}

/// Decides which pod comes first.
pub trait QueueSort: Send + Sync + 'static {
    /// Pods with smaller ranks come first; equal ones in the order in which they were queued. Pods of all profiles
    /// wait in one queue.
    fn rank(&self, pod: &PodInfo) -> i64;
}

/// Decides whether a pod can run on a node.
pub trait Filter: Plugin {
    /// Data computed once per decision. It is cloned to assume that other pods come or go.
    type State: Clone + 'static;

    /// Prepares a decision.
    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Self::State>;

    /// Whether the pod can run on the node.
    fn filter(&self, state: &Self::State, pod: &PodInfo, node: &NodeInfo) -> Verdict;

    /// Changes the state as if another pod were on a node too, or were gone from it. The result must equal what
    /// [`Filter::pre_filter`] would return in that case. What [`Filter::filter`] reads from its `node` needs nothing
    /// here: the node that it is given has the pod, or has it no more.
    fn suppose(&self, _state: &mut Self::State, _pod: &PodInfo, _what: &Supposition<'_>) {}
}

/// The result of preparing a filter.
#[derive(Debug)]
pub enum PreFilter<S> {
    /// The filter has nothing to say about this pod.
    Skip,
    /// All nodes are to be checked.
    Check(S),
    /// Only these nodes are candidates; they must still be checked.
    CheckOnly(S, Vec<NodeSlot>),
    /// No node can do.
    Reject(Rejection),
}

/// Another pod, which is supposed to be on a node or to be gone from it.
#[derive(Clone, Copy, Debug)]
pub struct Supposition<'a> {
    /// The pod.
    pub other: &'a PodInfo,
    /// The node.
    pub node: &'a NodeInfo,
    /// Whether the pod is supposed to be there.
    pub there: bool,
    /// The cluster as it is.
    pub snapshot: &'a Snapshot,
}

impl Supposition<'_> {
    /// 1 for a pod that is added, -1 for one that is removed.
    pub fn amount(&self) -> i64 {
        if self.there { 1 } else { -1 }
    }
}

/// Whether a pod can run on a node.
pub type Verdict = Result<(), Rejection>;

/// Why a pod cannot run on a node. Most have one reason, and most are only counted, so the first one needs no
/// allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    first: Cow<'static, str>,
    more: Vec<Cow<'static, str>>,
    /// Whether it would stay so if other pods left the node.
    pub unresolvable: bool,
}

impl Rejection {
    /// Fewer pods on the node could change it.
    pub fn unschedulable(reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { first: reason.into(), more: Vec::new(), unresolvable: false }
    }

    /// Fewer pods on the node would not change it.
    pub fn unresolvable(reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { first: reason.into(), more: Vec::new(), unresolvable: true }
    }

    /// A rejection for several reasons; `None` if there are none.
    pub fn of(reasons: impl IntoIterator<Item = Cow<'static, str>>, unresolvable: bool) -> Option<Rejection> {
        let mut reasons = reasons.into_iter();
        let first = reasons.next()?;
        Some(Rejection { first, more: reasons.collect(), unresolvable })
    }

    /// Messages for people: each follows the number of nodes that it applies to. Upstream's words, where upstream has
    /// any.
    pub fn reasons(&self) -> impl Iterator<Item = &Cow<'static, str>> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// All reasons in one line.
    pub fn joined(&self) -> String {
        self.reasons().map(|reason| &**reason).collect::<Vec<_>>().join(", ")
    }
}

/// Decides how good a node is.
pub trait Score: Plugin {
    /// Data computed once per decision.
    type State;

    /// Prepares the scoring of the remaining nodes. `None` if all would get the same score.
    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo]) -> Option<Self::State>;

    /// The score of a node: from 0 to [`SCORE_MAX`](super::SCORE_MAX), or any number that `normalize` brings there.
    fn score(&self, state: &Self::State, pod: &PodInfo, node: &NodeInfo) -> i64;

    /// Brings the scores of all nodes to 0 to [`SCORE_MAX`](super::SCORE_MAX).
    fn normalize(&self, _state: &Self::State, _feasible: &[&NodeInfo], _scores: &mut [i64]) {}
}
