//! Which old pods are replaced by new ones, within `maxUnavailable` or `maxSurge`.

use std::sync::Arc;

use client::LeanPod;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;

use super::placement::Fit;
use super::places::{Moves, Places, is_updated, min_ready_seconds};
use crate::{pods, template};

/// The limits of a rolling update, in nodes.
struct Limits {
    /// Nodes with two pods.
    surge: usize,
    /// Nodes without an available pod.
    unavailable: usize,
}

/// Whether there may be two pods on a node while they are exchanged.
pub(super) fn may_surge(daemon_set: &DaemonSet) -> bool {
    limits(daemon_set, 1).is_some_and(|limits| limits.surge > 0)
}

/// The limits for this number of nodes; `None` if pods are replaced only when a user deletes them.
fn limits(daemon_set: &DaemonSet, nodes: i32) -> Option<Limits> {
    let strategy = daemon_set.spec.update_strategy.clone().unwrap_or_default();
    if strategy.type_.as_deref() == Some("OnDelete") {
        return None;
    }
    let rolling = strategy.rolling_update.unwrap_or_default();
    let count = |value| usize::try_from(template::scaled(value, nodes, true)).unwrap_or(0);
    let (surge, unavailable) = (count(rolling.max_surge.as_ref()), count(rolling.max_unavailable.as_ref()));
    // With neither nothing could move.
    Some(Limits { surge, unavailable: if surge == 0 { unavailable.max(1) } else { unavailable } })
}

pub(super) fn plan(daemon_set: &DaemonSet, places: &Places, hash: &str, moves: &mut Moves, now: Timestamp) {
    let nodes = places.values().filter(|place| place.fit == Fit::Run).count();
    let Some(limits) = limits(daemon_set, i32::try_from(nodes).unwrap_or(i32::MAX)) else { return };
    let is_available = |pod: &LeanPod| {
        let at = pods::available_at(pod, min_ready_seconds(daemon_set));
        pod.metadata.deletion_timestamp.is_none() && at.is_some_and(|at| at <= now)
    };
    if limits.surge > 0 {
        surge(places, hash, &limits, moves, is_available);
    } else {
        replace(places, hash, &limits, moves, is_available);
    }
}

/// Deletes old pods first. Deleting unavailable ones does no harm.
fn replace(
    places: &Places,
    hash: &str,
    limits: &Limits,
    moves: &mut Moves,
    is_available: impl Fn(&LeanPod) -> bool,
) {
    let mut unavailable = 0;
    let mut candidates: Vec<&Arc<LeanPod>> = Vec::new();
    for place in places.values().filter(|place| place.node.is_some() && place.fit != Fit::Leave) {
        match &place.pods[..] {
            [pod] if is_updated(pod, hash) => unavailable += usize::from(!is_available(pod)),
            [pod] if is_available(pod) => candidates.push(pod),
            [pod] => {
                unavailable += 1;
                if pod.metadata.deletion_timestamp.is_none() {
                    moves.delete.push(Arc::clone(pod));
                }
            }
            [] => {}
            // Something else is in progress there.
            _ => unavailable += 1,
        }
    }
    let allowed = limits.unavailable.saturating_sub(unavailable);
    moves.delete.extend(candidates.into_iter().take(allowed).cloned());
}

/// Creates new pods first; the old one is deleted when the new one is available.
fn surge(
    places: &Places,
    hash: &str,
    limits: &Limits,
    moves: &mut Moves,
    is_available: impl Fn(&LeanPod) -> bool,
) {
    let mut surging = 0;
    let mut candidates: Vec<&String> = Vec::new();
    for (name, place) in places.iter().filter(|(_, place)| place.fit == Fit::Run) {
        match &place.pods[..] {
            [pod] if is_updated(pod, hash) => {}
            [pod] if is_available(pod) => candidates.push(name),
            [_] => moves.create.push(name.clone()),
            // The old one is deleted elsewhere (`Moves::keep_one`).
            [] | [_, _, ..] => surging += 1,
        }
    }
    let allowed = limits.surge.saturating_sub(surging);
    moves.create.extend(candidates.into_iter().take(allowed).cloned());
}
