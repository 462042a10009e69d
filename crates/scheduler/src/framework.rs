//! What a plugin is.
//!
//! A plugin implements [`Plugin`] and the traits of the extension points at which it takes part:
//!
//! | trait | decides |
//! | --- | --- |
//! | [`PreEnqueue`] | whether a pod may be tried at all |
//! | [`QueueSort`] | which pod comes first |
//! | [`Filter`] | whether a pod can run on a node |
//! | [`PostFilter`] | what else can be said or done when no node is left |
//! | [`Score`] | how good a node is |
//!
//! Plugins are pure and synchronous: they look at a pod and the [`Snapshot`] and return a value. What a plugin
//! works out once a decision is its associated `State`; there is nothing to look up by name and nothing to
//! downcast. Reserving is the same for all (the pod is assumed in the [`Cache`](crate::state::Cache)), and so
//! is binding ([`run`](mod@crate::run)).
//!
//! A [`Profile`] holds the plugins in their order, with the weights of their scores. See KEP-624.

use std::borrow::Cow;

use crate::state::{NodeInfo, NodeSlot, PodInfo, Snapshot};

mod event;
mod profile;
#[cfg(test)]
mod tests;

pub use event::{Event, EventKinds, Subject};
pub use profile::{CheckNode, PluginSet, PreFiltered, Profile};

/// The best score of a node.
pub const SCORE_MAX: i64 = 100;

/// What every plugin says about itself.
pub trait Plugin: Send + Sync + 'static {
    /// Upstream's name of it, where there is one.
    const NAME: &'static str;

    /// The events that may make a pod schedulable which this plugin rejected. Such a pod waits until one of
    /// them comes: an event that is missing here leaves the pod waiting for minutes.
    const WAKES_ON: EventKinds;

    /// Whether an event of these kinds may make this pod schedulable: the queueing hint. It is asked for every
    /// waiting pod which the plugin rejected, so it must be quick; if in doubt, the answer is yes.
    fn may_help(&self, _pod: &PodInfo, _event: &Event<'_>) -> bool {
        true
    }
}

/// Decides whether a pod may be tried at all.
pub trait PreEnqueue: Plugin {
    /// An error says for people what the pod waits for.
    fn pre_enqueue(&self, pod: &PodInfo) -> Result<(), String>;
}

/// Decides which pod comes first.
pub trait QueueSort: Send + Sync + 'static {
    /// Pods with smaller ranks come first; equal ones in the order in which they were queued.
    fn rank(&self, pod: &PodInfo) -> i64;
}

/// Decides whether a pod can run on a node.
pub trait Filter: Plugin {
    /// What is worked out once a decision.
    type State;

    /// Prepares a decision.
    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Self::State>;

    /// Whether the pod can run on the node.
    fn filter(&self, state: &Self::State, pod: &PodInfo, node: &NodeInfo) -> Verdict;
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
    pub fn unschedulable(reason: &'static str) -> Rejection {
        Rejection { reasons: vec![reason.into()], unresolvable: false }
    }

    /// Fewer pods on the node would not change it.
    pub fn unresolvable(reason: &'static str) -> Rejection {
        Rejection { reasons: vec![reason.into()], unresolvable: true }
    }
}

/// Has the last word when no node is left.
pub trait PostFilter: Send + Sync + 'static {
    /// A sentence that follows the reasons. `rejections` are those of the nodes that were checked; all others
    /// are out of the question.
    fn post_filter(
        &self,
        pod: &PodInfo,
        snapshot: &Snapshot,
        rejections: &[(NodeSlot, Rejection)],
    ) -> Option<String>;
}

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

/// Spreads scores so that the highest becomes [`SCORE_MAX`]; reversed, the highest becomes 0.
pub fn normalize_to_max(scores: &mut [i64], reversed: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        *score = if highest == 0 { 0 } else { SCORE_MAX * *score / highest };
        if reversed {
            *score = SCORE_MAX - *score;
        }
    }
}
