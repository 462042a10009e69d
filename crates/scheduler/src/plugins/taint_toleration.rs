//! Taints and tolerations: rejects nodes whose taints the pod does not tolerate, and prefers those with the fewest
//! `PreferNoSchedule` taints that it does not tolerate.
//!
//! This is the plugin to copy for a new one. It has all the parts: a filter and a score, an event that may help, a hint
//! that looks closer, and a table of tests next to all others in `tests`.

use semantics::{Effect, Taint, Toleration};

use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Score, Subject, Verdict, normalize_to_max,
};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// Rejects nodes with a `NoSchedule` or `NoExecute` taint that the pod does not tolerate; scores nodes lower the
/// more `PreferNoSchedule` taints they have that it does not tolerate.
#[derive(Debug)]
pub struct TaintToleration;

impl Plugin for TaintToleration {
    const NAME: &'static str = "TaintToleration";
    const WAKES_ON: EventKinds =
        EventKinds::NODE_ADDED.or(EventKinds::NODE_TAINTS).or(EventKinds::OWN_TOLERATIONS);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Node(node) => node.is_tolerated_by(&pod.tolerations),
            _ => true,
        }
    }
}

impl Filter for TaintToleration {
    type State = ();

    fn pre_filter(&self, _pod: &PodInfo, _snapshot: &Snapshot) -> PreFilter<()> {
        PreFilter::Check(())
    }

    fn filter(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if node.is_tolerated_by(&pod.tolerations) {
            return Ok(());
        }
        // If the taint were named, every taint in a large cluster would add a separate message.
        Err(Rejection::unresolvable("node(s) had untolerated taint(s)"))
    }
}

impl Score for TaintToleration {
    type State = ();

    fn pre_score(&self, _pod: &PodInfo, _snapshot: &Snapshot, feasible: &[&NodeInfo]) -> Option<()> {
        // Without such taints all nodes get the same score.
        let asks = |taint: &Taint| taint.effect == Effect::PreferNoSchedule;
        feasible.iter().any(|node| node.taints.iter().any(asks)).then_some(())
    }

    /// The number of taints that ask the pod to stay away.
    fn score(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> i64 {
        let asking = node.taints.iter().filter(|taint| taint.effect == Effect::PreferNoSchedule);
        asking.filter(|taint| !Toleration::any_tolerates(&pod.tolerations, taint)).count() as i64
    }

    fn normalize(&self, _: &(), _feasible: &[&NodeInfo], scores: &mut [i64]) {
        normalize_to_max(scores, true);
    }
}
