//! The status of a DaemonSet.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};

use super::placement::Fit;
use super::places::{Places, is_updated, min_ready_seconds};
use crate::framework::{Action, Plan};
use crate::pods;

/// Ends a plan: writes the status if it differs, and returns when the next pod has been ready for long enough.
pub(super) fn finish(daemon_set: &DaemonSet, places: &Places, hash: &str, plan: &mut Plan, now: Timestamp) {
    let old = daemon_set.status.clone().unwrap_or_default();
    let mut status = DaemonSetStatus {
        observed_generation: daemon_set.metadata.generation,
        collision_count: old.collision_count,
        conditions: old.conditions,
        ..DaemonSetStatus::default()
    };
    let (mut available, mut updated) = (0, 0);
    for place in places.values().filter(|place| place.node.is_some()) {
        // While there are two, the older one counts.
        let pod = place.pods.first();
        if place.fit != Fit::Run {
            status.number_misscheduled += i32::from(pod.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = pod else { continue };
        status.current_number_scheduled += 1;
        updated += i32::from(is_updated(pod, hash));
        status.number_ready += i32::from(pods::is_ready(pod));
        match pods::available_at(pod, min_ready_seconds(daemon_set)) {
            Some(at) if at <= now => available += 1,
            Some(at) => plan.requeue_after(Duration::try_from(at.duration_since(now)).unwrap_or_default()),
            None => {}
        }
    }
    // Go omits zeros of these fields.
    let some = |count: i32| Some(count).filter(|count| *count != 0);
    status.number_available = some(available);
    status.number_unavailable = some(status.desired_number_scheduled - available);
    status.updated_number_scheduled = some(updated);
    if Some(&status) != daemon_set.status.as_ref() {
        let mut changed = daemon_set.clone();
        changed.status = Some(status);
        plan.then(Action::update_status(changed));
    }
}
