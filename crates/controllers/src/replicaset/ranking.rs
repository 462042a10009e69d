//! Which pods to delete if there are too many.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use client::LeanPod;
use jiff::Timestamp;

use crate::pods;

/// The cheaper a pod, the sooner it goes.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The rank of a pod; compared field by field, the lowest is deleted first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    /// Those that no node has yet.
    assigned: bool,
    /// Pending, then unknown, then running.
    phase: u8,
    ready: bool,
    cost: i32,
    /// Those with the most company on their node, counted downwards.
    company: std::cmp::Reverse<usize>,
    /// Those that became ready most recently, by order of magnitude.
    ready_for: Age<'a>,
    /// Those that restarted most often, counted downwards.
    restarts: std::cmp::Reverse<i32>,
    /// The youngest, by order of magnitude.
    exists_for: Age<'a>,
}

/// A duration by its order of magnitude. Among equals the UID decides: so that not always the youngest go, which
/// would leave pods unevenly spread after many a scaling.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Age<'a> {
    magnitude: i64,
    uid: Option<&'a str>,
}

impl<'a> Age<'a> {
    fn since(time: Option<Timestamp>, now: Timestamp, pod: &'a LeanPod) -> Age<'a> {
        let Some(time) = time else { return Age { magnitude: i64::MIN, uid: None } };
        let nanoseconds = now.duration_since(time).as_nanos();
        let magnitude = u128::try_from(nanoseconds).ok().and_then(u128::checked_ilog2).map_or(-1, i64::from);
        Age { magnitude, uid: Some(pod.metadata.uid.as_str()) }
    }
}

/// Chooses `count` of `active` for deletion. `related` are all pods of the same application: a pod goes sooner
/// if others of them share its node.
pub(super) fn choose(
    mut active: Vec<Arc<LeanPod>>,
    related: &[Arc<LeanPod>],
    count: usize,
    now: Timestamp,
) -> Vec<Arc<LeanPod>> {
    if count < active.len() {
        let mut company: HashMap<&str, usize> = HashMap::new();
        for pod in related.iter().filter(|pod| pods::is_active(pod)) {
            *company.entry(pods::node_name(pod)).or_default() += 1;
        }
        active.sort_by(|a, b| compare(a, b, &company, now));
        active.truncate(count);
    }
    active
}

fn compare(a: &LeanPod, b: &LeanPod, company: &HashMap<&str, usize>, now: Timestamp) -> Ordering {
    rank(a, company, now).cmp(&rank(b, company, now))
}

fn rank<'a>(pod: &'a LeanPod, company: &HashMap<&str, usize>, now: Timestamp) -> Rank<'a> {
    let node = pods::node_name(pod);
    let cost = pod.metadata.annotations.get(DELETION_COST);
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let ready_since = pods::ready_since(pod);
    Rank {
        assigned: !node.is_empty(),
        phase: match pods::phase(pod) {
            "Unknown" => 1,
            "Running" => 2,
            _ => 0,
        },
        ready: ready_since.is_some(),
        cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
        company: std::cmp::Reverse(company.get(node).copied().unwrap_or(0)),
        ready_for: Age::since(ready_since, now, pod),
        restarts: std::cmp::Reverse(restarts(pod)),
        exists_for: Age::since(created, now, pod),
    }
}

/// The most restarts of one of its containers.
fn restarts(pod: &LeanPod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| &status.container_statuses);
    statuses.map(|status| status.restart_count).max().unwrap_or(0)
}
