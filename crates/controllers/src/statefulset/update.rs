//! Which old pods are replaced by new ones: the highest ordinals first, and no more at once than may be unavailable.

use std::sync::Arc;

use client::LeanPod;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;

use super::identity;
use super::replicas::{self, Replica, Replicas, Revisions};
use crate::{pods, template};

/// How many pods may be unavailable during an update: a share is rounded down, but never to none.
pub(super) fn max_unavailable(set: &StatefulSet) -> usize {
    let rolling = replicas::rolling(set).and_then(|rolling| rolling.max_unavailable.as_ref());
    usize::try_from(template::scaled(rolling, identity::wanted(set), false)).unwrap_or(0).max(1)
}

/// How many of the wanted pods are unavailable, or do not exist.
pub(super) fn unavailable(set: &StatefulSet, replicas: &Replicas, now: Timestamp) -> usize {
    let is_unavailable = |replica: &&Replica| match replica {
        Replica::Present(pod) => replicas::is_unavailable(set, pod, now),
        Replica::Missing(_) => true,
    };
    replicas.wanted.iter().filter(is_unavailable).count()
}

/// The pods to delete for an update.
pub(super) fn outdated(
    set: &StatefulSet,
    replicas: &Replicas,
    revisions: &Revisions,
    now: Timestamp,
) -> Vec<Arc<LeanPod>> {
    if replicas::is_on_delete(set) {
        return Vec::new();
    }
    let from = usize::try_from(replicas::partition(set)).unwrap_or(0);
    let old = replicas.wanted.iter().skip(from).rev().filter_map(|replica| match replica {
        Replica::Present(pod) => Some(pod),
        Replica::Missing(_) => None,
    });
    // Those that are over are deleted anyway.
    let old = old.filter(|pod| {
        !revisions.is_updated(pod) && !replicas::is_deleting(pod) && !pods::is_terminal(&***pod)
    });
    let budget = max_unavailable(set).saturating_sub(unavailable(set, replicas, now));
    if !replicas::is_parallel(set) {
        return old.take(budget).cloned().collect();
    }
    // It costs nothing to replace pods that are unavailable already.
    let (available, useless): (Vec<_>, Vec<_>) =
        old.cloned().partition(|pod| replicas::is_available(set, pod, now));
    useless.into_iter().chain(available.into_iter().take(budget)).collect()
}
