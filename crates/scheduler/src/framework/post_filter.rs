//! The extension point after a decision that found no node.

use std::sync::Arc;

use super::deciding::Rejection;
use super::filters::Filters;
use crate::state::{NodeSlot, PodInfo, Snapshot};

/// Has the last word when no node is left.
pub trait PostFilter: Send + Sync + 'static {
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
    /// The pods to preempt, the most important first.
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
