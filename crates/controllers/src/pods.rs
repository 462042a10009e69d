//! What several controllers ask about pods.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};

use crate::framework::controller_of;

/// The index of pods by the UID of their controller; those without one have the empty text.
pub(crate) const BY_CONTROLLER: &str = "controller";
/// The index of pods by their node; those without one have the empty text.
pub(crate) const BY_NODE: &str = "node";

/// Values of [`BY_CONTROLLER`].
pub(crate) fn controller_uid(pod: &Pod) -> Vec<String> {
    vec![controller_of(&pod.metadata).map(|owner| owner.uid.clone()).unwrap_or_default()]
}

/// Values of [`BY_NODE`].
pub(crate) fn node(pod: &Pod) -> Vec<String> {
    vec![node_name(pod).to_owned()]
}

/// The node that a pod is bound to, or `""`.
pub(crate) fn node_name(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// The phase, or `""`.
pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether all its containers have ended for good.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether it counts for those who want it: neither ended nor in deletion.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether it is in deletion and not yet ended.
pub(crate) fn is_terminating(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_some()
}

/// One of its conditions.
pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// Since when it is ready; `None` if it is not.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|condition| condition.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

/// Whether it is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

/// When it counts as available: when it has been ready for so long. `None` if it is not ready.
pub(crate) fn available_at(pod: &Pod, min_ready_seconds: i32) -> Option<Timestamp> {
    ready_since(pod)?.saturating_add(SignedDuration::from_secs(min_ready_seconds.into())).ok()
}
