//! The inputs of a decision about one object.

use std::sync::Arc;

use client::PartialObject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::graph::{Node, OwnerState};

/// The inputs of a decision about one object.
#[derive(Debug)]
pub(crate) enum Snapshot {
    /// It has owners that are gone, or are going after it.
    Dependent {
        node: Node,
        /// As the server has it.
        live: Arc<PartialObject>,
        owners: Vec<(OwnerReference, OwnerState)>,
        has_dependents: bool,
        /// A dependent waits for its own dependents: there may be a circle.
        dependent_waits: bool,
    },
    /// Its owners are there as far as can be told, but the graph has not seen all of them: were one to go now, nothing would
    /// tell.
    Unobserved,
    /// It is going and waits for its dependents.
    Foreground { node: Node, live: Arc<PartialObject>, blocked: bool },
    /// It is going and its dependents are to stay.
    Orphaning { node: Node, live: Arc<PartialObject>, dependents: Vec<Node> },
}
