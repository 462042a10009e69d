//! Resources: rejects nodes without enough free resources, and prefers those with the most.

use std::borrow::Cow;

use crate::framework::{
    Event, EventKinds, Filter, Plugin, PreFilter, Rejection, SCORE_MAX, Score, Subject, Verdict,
};
use crate::state::{NodeInfo, PodInfo, Resources, Snapshot};

/// Rejects nodes without enough of a resource, or without room for one more pod; scores by the free CPU and memory
/// (upstream's `LeastAllocated`).
#[derive(Debug)]
pub struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    const NAME: &'static str = "NodeResourcesFit";
    const WAKES_ON: EventKinds = EventKinds::NODE_ADDED
        .or(EventKinds::NODE_ALLOCATABLE)
        .or(EventKinds::POD_REMOVED)
        .or(EventKinds::POD_SCALED_DOWN)
        .or(EventKinds::OWN_SCALED_DOWN);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Node(node) => missing(pod, node).next().is_none(),
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
        let Some(mut rejection) = Rejection::of(missing(pod, node), false) else { return Ok(()) };
        // Where even an empty node is too small, no pod needs to go.
        rejection.unresolvable = exceeds(&pod.requests, &node.allocatable);
        Err(rejection)
    }
}

/// The resources that are insufficient.
fn missing<'a>(pod: &'a PodInfo, node: &'a NodeInfo) -> impl Iterator<Item = Cow<'static, str>> + 'a {
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
        lacks(*wanted, total.scalar(name), used.scalar(name))
    });
    fixed
        .into_iter()
        .filter_map(|(lacks, reason)| lacks.then_some(Cow::Borrowed(reason)))
        .chain(scalar.map(|(name, _)| Cow::Owned(format!("Insufficient {name}"))))
}

fn exceeds(wanted: &Resources, total: &Resources) -> bool {
    wanted.cpu_milli > total.cpu_milli
        || wanted.memory > total.memory
        || wanted.ephemeral_storage > total.ephemeral_storage
        || wanted.scalar.iter().any(|(name, wanted)| *wanted > total.scalar(name))
}

impl Score for NodeResourcesFit {
    type State = ();

    fn pre_score(&self, _pod: &PodInfo, _snapshot: &Snapshot, _feasible: &[&NodeInfo]) -> Option<()> {
        Some(())
    }

    fn score(&self, _: &(), pod: &PodInfo, node: &NodeInfo) -> i64 {
        let cpu = left(node.allocatable.cpu_milli, node.cpu_milli_nonzero, pod.cpu_milli_nonzero);
        let memory = left(node.allocatable.memory, node.memory_nonzero, pod.memory_nonzero);
        match (cpu, memory) {
            (Some(cpu), Some(memory)) => (cpu + memory) / 2,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => 0,
        }
    }
}

/// How much of a resource would be left, of [`SCORE_MAX`]; `None` if the node has nothing of it.
fn left(total: i64, used: i64, wanted: i64) -> Option<i64> {
    if total <= 0 {
        return None;
    }
    let left = total.saturating_sub(used.saturating_add(wanted)).max(0);
    // Memory in bytes times a hundred stays far below the bounds.
    Some(left.saturating_mul(SCORE_MAX) / total)
}
