//! Resources: rejects nodes without enough free resources, and prefers some by how much of theirs is free.

use std::borrow::Cow;

use semantics::quota::is_extended;

use super::resource_score::{Demand, Unspecified, WeightedResource, demand};
use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, SCORE_MAX, Score, Subject, Verdict,
};
use crate::state::{NodeInfo, PodInfo, Resources, Snapshot};

/// Rejects nodes without enough of a resource, or without room for one more pod; scores by the free resources.
#[derive(Debug, Default)]
pub struct NodeResourcesFit {
    options: FitOptions,
}

/// The options of [`NodeResourcesFit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitOptions {
    /// Extended resources that are not checked.
    pub ignored: Vec<String>,
    /// Those of these groups are not checked either.
    pub ignored_groups: Vec<String>,
    /// Which nodes are preferred.
    pub strategy: FitStrategy,
    /// The resources that count for that.
    pub resources: Vec<WeightedResource>,
}

/// Which nodes are preferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FitStrategy {
    /// Those of which the least would be requested.
    LeastAllocated,
    /// Those of which the most would be requested.
    MostAllocated,
    /// Those whose requested share of their capacity has the highest score.
    RequestedToCapacityRatio(Shape),
}

/// A function of points with straight lines between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(Vec<(i64, i64)>);

impl Shape {
    /// One through these points, of which there is at least one: percentages in increasing order, and scores from 0 to 100.
    pub fn new(points: Vec<(i64, i64)>) -> Shape {
        Shape(points)
    }

    fn at(&self, percent: i64) -> i64 {
        let Some(next) = self.0.iter().position(|(at, _)| percent <= *at) else {
            return self.0.last().map_or(0, |(_, score)| *score);
        };
        let (right, above) = self.0[next];
        let Some((left, below)) = next.checked_sub(1).map(|before| self.0[before]) else { return above };
        below + (above - below) * (percent - left) / (right - left)
    }
}

impl Default for FitOptions {
    fn default() -> FitOptions {
        FitOptions {
            ignored: Vec::new(),
            ignored_groups: Vec::new(),
            strategy: FitStrategy::LeastAllocated,
            resources: WeightedResource::defaults(),
        }
    }
}

impl FitOptions {
    fn ignores(&self, name: &str) -> bool {
        let group = || name.split_once('/').map_or("", |(group, _)| group);
        self.ignored.iter().any(|ignored| ignored == name)
            || self.ignored_groups.iter().any(|ignored| ignored == group())
    }
}

impl NodeResourcesFit {
    /// The plugin with options.
    pub fn new(options: FitOptions) -> NodeResourcesFit {
        NodeResourcesFit { options }
    }

    /// The resources that are insufficient.
    fn missing<'a>(
        &'a self,
        pod: &'a PodInfo,
        node: &'a NodeInfo,
    ) -> impl Iterator<Item = Cow<'static, str>> + 'a {
        let (wanted, total, used) = (&pod.requests, &node.allocatable, &node.requested);
        let lacks = |wanted: i64, total: i64, used: i64| wanted > 0 && wanted > total.saturating_sub(used);
        let fixed = [
            (node.pods.len() as i64 + 1 > node.pods_max, "Too many pods"),
            (lacks(wanted.cpu_milli, total.cpu_milli, used.cpu_milli), "Insufficient cpu"),
            (lacks(wanted.memory, total.memory, used.memory), "Insufficient memory"),
            (
                lacks(wanted.ephemeral_storage, total.ephemeral_storage, used.ephemeral_storage),
                "Insufficient ephemeral-storage",
            ),
        ];
        let scalar = wanted.scalar.iter().filter(move |(name, wanted)| {
            // A request for zero of a resource does not count.
            lacks(*wanted, total.scalar(name), used.scalar(name)) && !self.is_ignored(name)
        });
        fixed
            .into_iter()
            .filter_map(|(lacks, reason)| lacks.then_some(Cow::Borrowed(reason)))
            .chain(scalar.map(|(name, _)| Cow::Owned(format!("Insufficient {name}"))))
    }

    /// Whether the request for a resource is not checked. Only extended resources can be ignored.
    fn is_ignored(&self, name: &str) -> bool {
        self.options.ignores(name) && is_extended(name)
    }

    /// Whether even an empty node is too small.
    fn exceeds(&self, wanted: &Resources, total: &Resources) -> bool {
        wanted.cpu_milli > total.cpu_milli
            || wanted.memory > total.memory
            || wanted.ephemeral_storage > total.ephemeral_storage
            || wanted
                .scalar
                .iter()
                .any(|(name, wanted)| *wanted > total.scalar(name) && !self.is_ignored(name))
    }
}

impl Plugin for NodeResourcesFit {
    const NAME: &'static str = "NodeResourcesFit";
    const WAKES_ON: EventKinds = EventKinds::NODE_ADDED
        .or(EventKinds::NODE_ALLOCATABLE)
        .or(EventKinds::POD_REMOVED)
        .or(EventKinds::POD_SCALED_DOWN)
        .or(EventKinds::OWN_SCALED_DOWN);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Node(node) => self.missing(pod, node).next().is_none(),
            _ => true,
        }
    }
}

impl Filter for NodeResourcesFit {
    type State = ();

    fn pre_filter(&self, _pod: &PodInfo, _snapshot: &Snapshot) -> PreFilter<()> {
        PreFilter::Check(())
    }

    fn filter(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(mut rejection) = Rejection::of(self.missing(pod, node), false) else { return Ok(()) };
        // Where even an empty node is too small, no pod needs to go.
        rejection.unresolvable = self.exceeds(&pod.requests, &node.allocatable);
        Err(rejection)
    }
}

impl Score for NodeResourcesFit {
    type State = ();

    fn pre_score(&self, _pod: &PodInfo, _snapshot: &Snapshot, _feasible: &[&NodeInfo]) -> Option<()> {
        Some(())
    }

    fn score(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for resource in &self.options.resources {
            let Some(demand) = demand(&resource.name, Unspecified::Little, pod, node) else { continue };
            let score = match &self.options.strategy {
                FitStrategy::LeastAllocated => free(demand),
                FitStrategy::MostAllocated => percent(demand),
                FitStrategy::RequestedToCapacityRatio(shape) => match shape.at(percent(demand)) {
                    // As in upstream, such a resource does not count at all.
                    ..=0 => continue,
                    score => score,
                },
            };
            sum += score * resource.weight;
            weights += resource.weight;
        }
        match (&self.options.strategy, weights) {
            (_, 0) => 0,
            (FitStrategy::RequestedToCapacityRatio(_), _) => (sum as f64 / weights as f64).round() as i64,
            _ => sum / weights,
        }
    }
}

/// How much of a resource would be left, of [`SCORE_MAX`].
fn free(demand: Demand) -> i64 {
    // Memory in bytes times a hundred stays far below the bounds.
    (demand.total - demand.requested).max(0).saturating_mul(SCORE_MAX) / demand.total
}

/// How much of a resource would be requested, in percent.
fn percent(demand: Demand) -> i64 {
    if demand.requested > demand.total { 100 } else { demand.requested.saturating_mul(100) / demand.total }
}
