//! Type-erased plugins that decide.

use std::sync::Arc;

use super::binding::{Permission, Permit, PostBind};
use super::filters::{Ready, Stateful};
use super::{
    Event, EventKinds, Failure, Filter, Plugin, PostFilter, PostFiltered, PreEnqueue, PreFilter, Score,
};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// The hints of any plugin.
pub(super) trait AnyHint: Send + Sync {
    fn wakes_on(&self, pod: &PodInfo) -> EventKinds;
    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool;
}

impl<P: Plugin> AnyHint for Arc<P> {
    fn wakes_on(&self, pod: &PodInfo) -> EventKinds {
        P::wakes_on(self, pod)
    }

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        P::may_help(self, pod, event)
    }
}

pub(super) trait AnyPreEnqueue: Send + Sync {
    fn run(&self, pod: &PodInfo) -> Result<(), String>;
}

impl<P: PreEnqueue> AnyPreEnqueue for Arc<P> {
    fn run(&self, pod: &PodInfo) -> Result<(), String> {
        self.pre_enqueue(pod)
    }
}

/// A filter of any state: the state moves into what checks the nodes.
pub(super) trait AnyFilter: Send + Sync {
    fn prepare<'a>(&'a self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Box<dyn Ready + 'a>>;
}

impl<P: Filter> AnyFilter for Arc<P> {
    fn prepare<'a>(&'a self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Box<dyn Ready + 'a>> {
        let boxed = |state| -> Box<dyn Ready + 'a> { Box::new(Stateful::<P> { plugin: self, state }) };
        match self.pre_filter(pod, snapshot) {
            PreFilter::Skip => PreFilter::Skip,
            PreFilter::Reject(rejection) => PreFilter::Reject(rejection),
            PreFilter::Check(state) => PreFilter::Check(boxed(state)),
            PreFilter::CheckOnly(state, nodes) => PreFilter::CheckOnly(boxed(state), nodes),
        }
    }
}

/// A score of any state: one virtual call scores all nodes.
pub(super) trait AnyScore: Send + Sync {
    /// Fills `scores`, or returns `false`.
    fn run(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo], scores: &mut Vec<i64>) -> bool;
}

impl<P: Score> AnyScore for Arc<P> {
    fn run(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo], scores: &mut Vec<i64>) -> bool {
        let Some(state) = self.pre_score(pod, snapshot, feasible) else { return false };
        scores.clear();
        scores.extend(feasible.iter().map(|node| P::score(self, &state, pod, node)));
        self.normalize(&state, feasible, scores);
        true
    }
}

pub(super) trait AnyPermit: Send + Sync {
    fn run(&self, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Permission;
}

impl<P: Permit> AnyPermit for Arc<P> {
    fn run(&self, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Permission {
        self.permit(pod, node, snapshot)
    }
}

/// [`PostBind`] of any plugin.
pub(super) trait AnyPostBind: Send + Sync {
    fn post_bind(&self, pod: &PodInfo, node: &str);
}

impl<P: PostBind> AnyPostBind for Arc<P> {
    fn post_bind(&self, pod: &PodInfo, node: &str) {
        P::post_bind(self, pod, node);
    }
}

pub(super) trait AnyPostFilter: Send + Sync {
    fn run(&self, pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> PostFiltered;
}

impl<P: PostFilter> AnyPostFilter for Arc<P> {
    fn run(&self, pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> PostFiltered {
        self.post_filter(pod, snapshot, failure)
    }
}
