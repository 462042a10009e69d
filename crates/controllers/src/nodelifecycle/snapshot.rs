//! The inputs of a decision about one node.

use std::sync::Arc;

use client::LeanPod;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition};

/// The inputs of a decision about one node.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(super) node: Arc<Node>,
    /// Its pods, if it is [silent](is_silent).
    pub(super) pods: Vec<Arc<LeanPod>>,
    /// When it last gave a sign of life.
    pub(super) alive_at: Timestamp,
    /// How long it may be silent.
    pub(super) grace: SignedDuration,
}

/// One of a node's conditions.
pub(super) fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    semantics::conditions::find(&node.status.as_ref()?.conditions, kind)
}

/// Whether it is known that nothing is known of a node.
pub(super) fn is_silent(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|ready| ready.status == "Unknown")
}
