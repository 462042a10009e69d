//! Indexes of pods that several controllers use; questions about one pod are in [`semantics::pods`].

pub(crate) use semantics::pods::{
    available_at, is_active, is_ready, is_terminal, is_terminating, node_name, phase, ready_since,
};

#[cfg(test)]
use std::sync::Arc;

use crate::framework::controller_of;
use client::LeanPod;

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

/// An informer's form of a pod.
#[cfg(test)]
pub(crate) fn lean(pod: &k8s_openapi::api::core::v1::Pod) -> Arc<LeanPod> {
    Arc::new(serde_json::from_value(serde_json::to_value(pod).unwrap()).unwrap())
}
