//! The messages to a worker, from the agent and from evictions.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The messages to a worker.
pub(super) struct Inbox {
    pub(super) state: Mutex<InboxState>,
    pub(super) wake: Arc<Notify>,
}

pub(super) struct InboxState {
    pub(super) pod: Arc<Pod>,
    pub(super) removed: bool,
    pub(super) refresh: bool,
    /// The node evicts the pod.
    pub(super) eviction: Option<Eviction>,
    /// The worker's report: nothing of the pod is running any more, and its resources are released.
    pub(super) cleaned_up: bool,
}

/// Why a pod must leave its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Eviction {
    /// The message for users.
    pub(crate) message: String,
    /// The grace period of its containers in seconds; less if the pod's own is shorter.
    pub(crate) grace_seconds: i64,
    /// The pod is not at fault: the node is under pressure.
    pub(crate) is_disruption: bool,
}
