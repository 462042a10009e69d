//! The extension points of a decision.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Filters, Plugin};
#[cfg(doc)]
use super::{Profile, SCORE_MAX};
use crate::state::{NodeInfo, NodeSlot, PodInfo, Snapshot};

/// Decides whether a pod may be tried at all.
pub trait PreEnqueue: Plugin {
    /// An error says for people what the pod waits for.
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
    /// What is worked out once a decision. It is cloned to suppose that other pods come or go.
    type State: Clone + 'static;

    /// Prepares a decision.
    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Self::State>;

    /// Whether the pod can run on the node.
    fn filter(&self, state: &Self::State, pod: &PodInfo, node: &NodeInfo) -> Verdict;

    /// Lets the state be as if another pod were on a node too, or were gone from it. Afterwards it must be what
    /// [`Filter::pre_filter`] would return if it were so. What [`Filter::filter`] reads from its `node` needs
    /// nothing here: the node that it is given has the pod, or has it no more.
    fn suppose(&self, _state: &mut Self::State, _pod: &PodInfo, _what: &Supposition<'_>) {}
}

/// What comes of preparing a filter.
#[derive(Debug)]
pub enum PreFilter<S> {
    /// The filter has nothing to say about this pod.
    Skip,
    /// All nodes are to be checked.
    Check(S),
    /// Only these nodes come into question; they are to be checked.
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
    /// 1 for a pod that is there, -1 for one that is gone.
    pub fn amount(&self) -> i64 {
        if self.there { 1 } else { -1 }
    }
}

/// Whether a pod can run on a node.
pub type Verdict = Result<(), Rejection>;

/// Why a pod cannot run on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// For people: each after the number of nodes it holds for. Upstream's words, where there are any.
    pub reasons: Vec<Cow<'static, str>>,
    /// Whether it would stay so if other pods left the node.
    pub unresolvable: bool,
}

impl Rejection {
    /// Fewer pods on the node could change it.
    pub fn unschedulable(reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { reasons: vec![reason.into()], unresolvable: false }
    }

    /// Fewer pods on the node would not change it.
    pub fn unresolvable(reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { reasons: vec![reason.into()], unresolvable: true }
    }
}

/// Has the last word when no node is left.
pub trait PostFilter: Send + Sync + 'static {
    /// What can be done for the pod. Nothing is done here: what is returned is carried out by others.
    fn post_filter(&self, pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> PostFiltered;
}

/// What is known of a decision that found no node.
#[derive(Clone, Copy)]
pub struct Failure<'a> {
    /// The nodes that were checked, with their rejections; all others are out of the question.
    pub rejections: &'a [(NodeSlot, Rejection)],
    /// The filters, to try what would be if pods were gone. `None` if one of them ruled out all nodes at once.
    pub filters: Option<&'a Filters<'a>>,
    /// A random number.
    pub random: u64,
}

/// What can be done for a pod for which no node is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostFiltered {
    /// Pods that are to make room.
    pub preemption: Option<Preemption>,
    /// Whether an earlier nomination of the pod is to be taken back.
    pub gives_up_nomination: bool,
    /// A sentence for people that follows the reasons.
    pub message: Option<String>,
}

/// Pods that are to make room.
#[derive(Clone, Debug)]
pub struct Preemption {
    /// The node for which the pod is nominated.
    pub nominated: Arc<str>,
    /// The pods that are to go, the most important first.
    pub victims: Vec<Arc<PodInfo>>,
    /// Pods of lower priority that are nominated for the same node: they have to look for another.
    pub displaced: Vec<Arc<PodInfo>>,
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

/// Decides how good a node is.
pub trait Score: Plugin {
    /// What is worked out once a decision.
    type State;

    /// Prepares the scoring of the nodes that are left. `None` if all would come out alike.
    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo]) -> Option<Self::State>;

    /// The score of a node: from 0 to [`SCORE_MAX`], or any number that `normalize` brings there.
    fn score(&self, state: &Self::State, pod: &PodInfo, node: &NodeInfo) -> i64;

    /// Brings the scores of all nodes to 0 to [`SCORE_MAX`].
    fn normalize(&self, _state: &Self::State, _feasible: &[&NodeInfo], _scores: &mut [i64]) {}
}
