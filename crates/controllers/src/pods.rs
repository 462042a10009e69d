//! Indexes of pods that several controllers use; questions about one pod are in [`semantics::pods`].

pub(crate) use semantics::pods::{
    available_at, is_active, is_ready, is_terminal, is_terminating, node_name, phase, ready_since,
};

#[cfg(test)]
use std::sync::Arc;

use client::LeanPod;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;
use semantics::conditions;

use crate::framework::{api_time, controller_of};

/// The condition of pods that are ended from outside.
pub(crate) const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// The index of pods by the UID of their controller; those without one have the empty text.
pub(crate) const BY_CONTROLLER: &str = "controller";
/// The index of pods by their node; those without one have the empty text.
pub(crate) const BY_NODE: &str = "node";

/// Values of [`BY_CONTROLLER`].
pub(crate) fn controller_uid(pod: &LeanPod) -> Vec<String> {
    vec![controller_of(&pod.metadata).map(|owner| owner.uid.to_owned()).unwrap_or_default()]
}

/// Values of [`BY_NODE`].
pub(crate) fn node(pod: &LeanPod) -> Vec<String> {
    vec![node_name(pod).to_owned()]
}

/// The condition that shows users of a pod that it does not fail by itself. While it is true, the time of its transition
/// stays.
pub(crate) fn disruption(pod: &LeanPod, reason: &str, message: &str, now: Timestamp) -> PodCondition {
    let old = conditions::of(pod, DISRUPTION_TARGET);
    let since = Some(old).filter(|old| old.field("status").text() == conditions::TRUE);
    let since = since.and_then(|old| old.field("lastTransitionTime").as_time());
    PodCondition {
        type_: DISRUPTION_TARGET.into(),
        status: conditions::TRUE.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        observed_generation: pod.metadata.generation,
        last_transition_time: Some(api_time(since.unwrap_or(now))),
        ..PodCondition::default()
    }
}

/// An informer's form of a pod.
#[cfg(test)]
pub(crate) fn lean(pod: &k8s_openapi::api::core::v1::Pod) -> Arc<LeanPod> {
    Arc::new(serde_json::from_value(serde_json::to_value(pod).unwrap()).unwrap())
}
