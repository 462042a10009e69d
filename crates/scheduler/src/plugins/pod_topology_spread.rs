//! Topology spread constraints: keeps the pods of a selector evenly spread over domains. See KEP-895.
//!
//! A pod without constraints of its own gets default ones, about the pods that are selected as it is by Services and by
//! its controller. See KEP-1258.

use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, SCORE_MAX, Score, Subject, Supposition, Verdict,
};
use crate::state::{NodeInfo, PodInfo, Snapshot, SpreadConstraint};

mod counted;
mod defaults;
mod hard;
mod soft;

use defaults::Defaults;
pub use hard::Hard;
use soft::IGNORED;
pub use soft::Soft;

/// Rejects nodes on which the pod would break a `DoNotSchedule` constraint; scores by how well it would even out
/// the `ScheduleAnyway` ones.
///
/// By default, pods without constraints are spread over nodes and zones if that can be: upstream's `defaultingType:
/// System`.
#[derive(Debug)]
pub struct PodTopologySpread {
    defaults: Defaults,
}

impl Default for PodTopologySpread {
    fn default() -> PodTopologySpread {
        PodTopologySpread { defaults: Defaults::system() }
    }
}

impl PodTopologySpread {
    /// The plugin with other default constraints, or with none: upstream's `defaultingType: List` with these
    /// `defaultConstraints`, which are valid and have no selectors.
    pub fn with_defaults(constraints: &[TopologySpreadConstraint]) -> PodTopologySpread {
        PodTopologySpread { defaults: Defaults::list(constraints) }
    }
}

impl Plugin for PodTopologySpread {
    const NAME: &'static str = "PodTopologySpread";
    const WAKES_ON: EventKinds = EventKinds::NODE_ADDED
        .or(EventKinds::NODE_LABELS)
        .or(EventKinds::NODE_TAINTS)
        .or(EventKinds::NODE_REMOVED)
        .or(EventKinds::POD_ADDED)
        .or(EventKinds::POD_LABELS)
        .or(EventKinds::POD_REMOVED)
        .or(EventKinds::OWN_LABELS);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        let Subject::Pod(old, new) = event.subject else { return true };
        let counts = |other: &PodInfo| {
            // Which pods a default constraint counts depends on Services and controllers.
            let by_default = !pod.pod_terms.has_spread();
            other.key.namespace == pod.key.namespace
                && (by_default
                    || pod.pod_terms.hard_spread.iter().any(|each| each.selector.matches(other.labels())))
        };
        old.is_some_and(counts) || new.is_some_and(counts)
    }
}

impl Filter for PodTopologySpread {
    type State = Vec<Hard>;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Vec<Hard>> {
        let defaults;
        let constraints: &[SpreadConstraint] = match pod.pod_terms.has_spread() {
            true => &pod.pod_terms.hard_spread,
            false => {
                defaults = self.defaults.hard(pod, snapshot);
                &defaults
            }
        };
        if constraints.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Check(constraints.iter().map(|each| Hard::new(each, pod, constraints, snapshot)).collect())
    }

    fn filter(&self, constraints: &Vec<Hard>, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
        for hard in constraints {
            match hard.allows(node) {
                None => {
                    let reason =
                        "node(s) didn't match pod topology spread constraints (missing required label)";
                    return Err(Rejection::unresolvable(reason));
                }
                Some(false) => {
                    let reason = "node(s) didn't match pod topology spread constraints";
                    return Err(Rejection::unschedulable(reason));
                }
                Some(true) => {}
            }
        }
        Ok(())
    }

    fn suppose(&self, constraints: &mut Vec<Hard>, _pod: &PodInfo, what: &Supposition<'_>) {
        constraints.iter_mut().for_each(|hard| hard.suppose(what));
    }
}

impl Score for PodTopologySpread {
    type State = Soft;

    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo]) -> Option<Soft> {
        if pod.pod_terms.has_spread() {
            return Soft::new(&pod.pod_terms.soft_spread, true, pod, snapshot, feasible);
        }
        let constraints = self.defaults.soft(pod, snapshot);
        Soft::new(&constraints, self.defaults.need_all_labels(), pod, snapshot, feasible)
    }

    fn score(&self, soft: &Soft, _pod: &PodInfo, node: &NodeInfo) -> i64 {
        soft.pods(node)
    }

    fn normalize(&self, _: &Soft, _feasible: &[&NodeInfo], scores: &mut [i64]) {
        let counted = || scores.iter().copied().filter(|score| *score != IGNORED);
        let (least, most) = (counted().min().unwrap_or(0), counted().max().unwrap_or(0));
        for score in scores {
            *score = match *score {
                IGNORED => 0,
                _ if most == 0 => SCORE_MAX,
                pods => SCORE_MAX * (most + least - pods) / most,
            };
        }
    }
}
