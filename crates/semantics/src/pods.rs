//! The life of a pod: whether it has finished, is active, is ready, is available.

use jiff::{SignedDuration, Timestamp};

use crate::{Field, View, conditions};

/// The phase, or `""`.
pub fn phase(pod: &dyn View) -> &str {
    pod.field("status").field("phase").text()
}

/// Whether a phase is one from which no pod returns.
pub fn is_terminal_phase(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// Whether all its containers have ended for good.
pub fn is_terminal(pod: &dyn View) -> bool {
    is_terminal_phase(phase(pod))
}

/// Whether its deletion has begun.
pub fn is_deleting(pod: &dyn View) -> bool {
    !pod.field("metadata").field("deletionTimestamp").is_absent()
}

/// Whether it is active: neither finished nor being deleted.
pub fn is_active(pod: &dyn View) -> bool {
    !is_terminal(pod) && !is_deleting(pod)
}

/// Whether it is in deletion and not yet ended.
pub fn is_terminating(pod: &dyn View) -> bool {
    !is_terminal(pod) && is_deleting(pod)
}

/// The node that it is bound to, or `""`.
pub fn node_name(pod: &dyn View) -> &str {
    pod.field("spec").field("nodeName").text()
}

/// Since when it is ready; `None` if it is not.
pub fn ready_since(pod: &dyn View) -> Option<Timestamp> {
    let ready = conditions::of(pod, "Ready");
    (ready.field("status").text() == conditions::TRUE)
        .then(|| ready.field("lastTransitionTime").as_time().unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Whether it is ready.
pub fn is_ready(pod: &dyn View) -> bool {
    ready_since(pod).is_some()
}

/// When it counts as available: when it has been ready for so long. `None` if it is not ready.
pub fn available_at(pod: &dyn View, min_ready_seconds: i32) -> Option<Timestamp> {
    ready_since(pod)?.checked_add(SignedDuration::from_secs(min_ready_seconds.into())).ok()
}

/// Whether an init container is a sidecar: one that runs alongside the containers and is restarted like them.
pub fn is_sidecar(init_container: &dyn View) -> bool {
    init_container.field("restartPolicy").text() == "Always"
}

/// The containers that run side by side: the regular ones, then the sidecars.
pub fn running_containers(spec: &dyn View) -> impl Iterator<Item = Field<'_>> {
    let sidecars = spec.field("initContainers").items().filter(|container| is_sidecar(container));
    spec.field("containers").items().chain(sidecars)
}
